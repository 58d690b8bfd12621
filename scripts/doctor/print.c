#include <stdio.h>
#include <string.h>

#include "scripts/doctor/report.h"

static const char *const kind_names[LIBRARY_KINDS] = {
	[LIBRARY_TLS] = "tls",
	[LIBRARY_TLS_UNSEEN] = "other_tls",
	[LIBRARY_GRPC] = "grpc",
	[LIBRARY_HTTP3] = "http3",
	[LIBRARY_DATABASE] = "databases",
	[LIBRARY_URING] = "io_uring",
};

static const char *const family_names[CALLS_FAMILIES] = {
	"accept", "connect", "receive", "send", "wait", "io_uring", "modules",
};

static void print_line(const char *label, const struct texts *texts)
{
	if (!texts->count)
		return;
	printf("  %-10s ", label);
	for (size_t i = 0; i < texts->count; i++)
		printf("%s%s", i ? ", " : "", texts->items[i]);
	printf("\n");
}

static void print_list(const char *title, const char *mark, const struct texts *texts,
		       const struct texts *why)
{
	if (texts->count)
		printf("%s\n", title);
	for (size_t i = 0; i < texts->count; i++) {
		printf("  %s %s\n", mark, texts->items[i]);
		if (why)
			printf("    because: %s\n", why->items[i]);
	}
}

static void print_version(const char *before, unsigned version)
{
	if (version)
		printf("%s%u.%u", before, version / 1000, version % 1000);
}

static void print_program(const struct report *report)
{
	if (strcmp(report->program.path, report->command) != 0)
		printf("  %-10s %s\n", "file", report->program.path);
	if (*report->program.script)
		printf("  %-10s %s\n", "script", report->program.script);
	if (report->opened != ELF_OK)
		return;
	printf("  %-10s %s%s, x86_64", "program", report->is_static ? "static" : "dynamic",
	       report->is_pie ? ", PIE" : "");
	printf("%s", report->is_musl ? ", musl" : "");
	print_version(", needs glibc ", report->glibc_needed);
	print_version(", here is ", report->is_static || report->is_musl ? 0 : report->glibc_here);
	printf("\n  %-10s %s%s%s\n", "language", report_language_name(report),
	       *report->language_version ? ", " : "", report->language_version);
	for (size_t i = 0; i < LIBRARY_KINDS; i++)
		if (kind_names[i])
			print_line(kind_names[i], &report->libraries[i]);
	for (size_t i = 0; i < CALLS_FAMILIES; i++)
		print_line(family_names[i], &report->calls[i]);
}

void report_print_text(const struct report *report)
{
	static const char *const texts[] = { "will be seen", "will be seen in part",
					     "will not be seen" };

	printf("%s: %s\n", report->command, texts[report->verdict]);
	if (report->located == LOCATE_OK)
		print_program(report);
	print_list("not seen at all", "-", &report->blockers, NULL);
	print_list("seen", "+", &report->seen, NULL);
	print_list("not seen", "-", &report->unseen, &report->why);
	print_list("notes", "*", &report->notes, NULL);
}

static void json_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if ((unsigned char)*text < ' ')
			printf("\\u%04x", (unsigned char)*text);
		else
			putchar(*text);
	}
	putchar('"');
}

static void json_field(const char *name, const char *text)
{
	printf(",\n  \"%s\": ", name);
	json_text(text);
}

static void json_bool(const char *name, bool value)
{
	printf(",\n  \"%s\": %s", name, value ? "true" : "false");
}

static void json_list(const char *indent, const char *name, const struct texts *texts)
{
	printf(",\n%s\"%s\": [", indent, name);
	for (size_t i = 0; i < texts->count; i++) {
		printf("%s", i ? ", " : "");
		json_text(texts->items[i]);
	}
	printf("]");
}

static void json_version(const char *name, unsigned version)
{
	char text[32] = "";

	if (version)
		snprintf(text, sizeof(text), "%u.%u", version / 1000, version % 1000);
	json_field(name, text);
}

static void json_unseen(const struct report *report)
{
	printf(",\n  \"not_seen\": [");
	for (size_t i = 0; i < report->unseen.count; i++) {
		printf("%s{\"what\": ", i ? ", " : "");
		json_text(report->unseen.items[i]);
		printf(", \"why\": ");
		json_text(report->why.items[i]);
		printf("}");
	}
	printf("]");
}

static void json_calls(const struct report *report)
{
	printf(",\n  \"calls\": {\n    \"io_uring\": %s",
	       report->calls[CALLS_URING].count ? "true" : "false");
	for (size_t i = 0; i < CALLS_FAMILIES; i++)
		if (i != CALLS_URING)
			json_list("    ", family_names[i], &report->calls[i]);
	printf("\n  }");
}

void report_print_json(const struct report *report)
{
	printf("{\n  \"command\": ");
	json_text(report->command);
	json_field("verdict", report_verdict_text(report));
	json_field("file", report->located == LOCATE_OK ? report->program.path : "");
	json_field("script", report->program.script);
	json_bool("static", report->is_static);
	json_bool("pie", report->is_pie);
	json_bool("setuid", report->is_setuid);
	json_bool("setgid", report->is_setgid);
	json_bool("capabilities", report->has_capabilities);
	json_bool("musl", report->is_musl);
	json_field("interpreter", report->interp);
	json_version("glibc_needed", report->glibc_needed);
	json_version("glibc_here", report->glibc_here);
	json_field("language", report->opened == ELF_OK ? report_language_name(report) : "");
	json_field("language_version", report->language_version);
	json_bool("tls_inside", report->tls_inside != NULL);
	for (size_t i = 0; i < LIBRARY_KINDS; i++)
		if (kind_names[i])
			json_list("  ", kind_names[i], &report->libraries[i]);
	json_calls(report);
	json_list("  ", "blockers", &report->blockers);
	json_list("  ", "seen", &report->seen);
	json_unseen(report);
	json_list("  ", "notes", &report->notes);
	printf("\n}\n");
}
