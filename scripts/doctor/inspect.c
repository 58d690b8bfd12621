#include <gnu/libc-version.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/config.h"
#include "core/exclude.h"
#include "scripts/doctor/report.h"
#include "scripts/doctor/search.h"
#include "scripts/library.h"

static const struct {
	enum library_kind kind;
	const char *start, *name;
} libraries[] = {
#define OA_LIBRARY(kind, start, name) { LIBRARY_##kind, start, name },
#include "scripts/doctor/libraries.def"
#undef OA_LIBRARY
};

static const struct {
	enum call_family family;
	const char *names[12];
} calls[] = {
#define OA_CALLS(family, ...) { CALLS_##family, { __VA_ARGS__ } },
#include "scripts/doctor/calls.def"
#undef OA_CALLS
};

static void inspect_file_rights(struct report *report)
{
	struct stat st;
	char caps[64];

	if (stat(report->program.path, &st) == 0) {
		report->is_setuid = st.st_mode & S_ISUID;
		report->is_setgid = (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
	}
	report->has_capabilities = getxattr(report->program.path, "security.capability", caps,
					    sizeof(caps)) > 0;
}

static void inspect_linking(struct report *report, const struct elf *elf)
{
	uint64_t flags = 0;
	bool dynamic = elf->ehdr->e_type == ET_DYN;

	(void)elf_dyn_value(elf, DT_FLAGS_1, &flags); /* absent in old files: no flags */
	report->is_static = !*elf->interp;
	report->is_library = dynamic && !*elf->interp && !(flags & DF_1_PIE);
	report->is_pie = dynamic && !report->is_library;
	elf_copy_text(report->interp, sizeof(report->interp), elf->interp, SIZE_MAX);
	report->is_musl = strstr(elf->interp, "ld-musl") != NULL;
}

static unsigned version_number(const char *text)
{
	unsigned major, minor;

	return sscanf(text, "%u.%u", &major, &minor) == 2 ? major * 1000 + minor : 0;
}

static void inspect_glibc(struct report *report, const struct elf *elf)
{
	char path[PATH_MAX];
	struct elf ours;

	report->glibc_needed = elf_glibc_needed(elf);
	report->glibc_here = version_number(gnu_get_libc_version());
	if (library_find(path, sizeof(path)) && elf_open(&ours, path) == ELF_OK) {
		report->glibc_of_ours = elf_glibc_needed(&ours);
		elf_close(&ours);
	}
}

static void note_call(void *arg, const char *name, bool defined)
{
	struct report *report = arg;

	for (size_t i = 0; !defined && i < sizeof(calls) / sizeof(calls[0]); i++)
		for (size_t n = 0; calls[i].names[n]; n++)
			if (!strcmp(calls[i].names[n], name))
				texts_add(&report->calls[calls[i].family], "%s", name);
}

/* Libraries whose calls say nothing about the program: the C library's own reach nobody's preload,
 * and libcrypto can do everything but is rarely asked to. */
static bool is_no_evidence(const char *soname)
{
	static const char *const starts[] = { "libc.so",   "libpthread.so", "libdl.so",
					      "librt.so",  "libm.so",       "libresolv.so",
					      "libanl.so", "ld-linux",      "libcrypto.so" };

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (!strncmp(soname, starts[i], strlen(starts[i])))
			return true;
	return false;
}

static void note_library(struct report *report, const char *soname)
{
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (!strncmp(soname, libraries[i].start, strlen(libraries[i].start)))
			texts_add(&report->libraries[libraries[i].kind], "%s (%s)",
				  libraries[i].name, soname);
}

static void inspect_objects(struct report *report, const struct objects *objects)
{
	for (size_t i = 0; i < objects->count; i++) {
		const struct object *object = &objects->list[i];

		if (is_no_evidence(object->name))
			continue;
		note_library(report, object->name);
		elf_each_symbol(&object->elf, note_call, report);
	}
	snprintf(report->missing, sizeof(report->missing), "%s", objects->missing);
}

/* "go1.22.5" from .go.buildinfo: magic, pointer size, flags, then from byte 32 length and text. */
static void inspect_go_version(struct report *report, const struct elf *elf)
{
	size_t len;
	const uint8_t *info = elf_section(elf, ".go.buildinfo", &len);

	if (info && len > 33 && (info[15] & 2) && info[32] < 128 && info[32] < len - 33)
		elf_copy_text(report->language_version, sizeof(report->language_version),
			      (const char *)info + 33, info[32]);
}

static bool is_go(const struct elf *elf)
{
	size_t len;

	return elf_section(elf, ".go.buildinfo", &len) ||
	       elf_section(elf, ".note.go.buildid", &len) || elf_contains(elf, "\xff Go buildinf:");
}

static bool name_starts(const struct report *report, const char *start)
{
	return !strncmp(base_name(report->program.path), start, strlen(start));
}

static enum language find_language(const struct report *report, const struct elf *elf)
{
	const struct texts *libs = report->libraries;

	if (is_go(elf))
		return LANGUAGE_GO;
	if (libs[LIBRARY_JAVA].count)
		return LANGUAGE_JAVA;
	if (libs[LIBRARY_NODE].count || elf_defines(elf, "node_module_register"))
		return LANGUAGE_NODE;
	if (elf_defines(elf, "zend_parse_parameters") ||
	    (name_starts(report, "php") && libs[LIBRARY_PHP].count))
		return LANGUAGE_PHP;
	if (elf_defines(elf, "Py_BytesMain") ||
	    (name_starts(report, "python") && libs[LIBRARY_PYTHON].count))
		return LANGUAGE_PYTHON;
	if (name_starts(report, "ruby") && libs[LIBRARY_RUBY].count)
		return LANGUAGE_RUBY;
	if (elf_defines(elf, "Perl_newSV") ||
	    (name_starts(report, "perl") && libs[LIBRARY_PERL].count))
		return LANGUAGE_PERL;
	return elf_contains(elf, "/rustc/") ? LANGUAGE_RUST : LANGUAGE_NATIVE;
}

/* A program that is linked to libssl holds the text of its version too, taken from a header. */
static const char *tls_inside_file(const struct elf *elf, bool linked)
{
	static const struct {
		const char *mark, *name;
	} marks[] = { { "BoringSSL", "BoringSSL" }, { "rustls", "rustls" },     { "wolfSSL", "wolfSSL" },
		      { "Mbed TLS 3", "mbedTLS" },  { "mbed TLS", "mbedTLS" },  { "OpenSSL 1.", "OpenSSL" },
		      { "OpenSSL 3.", "OpenSSL" } };

	if (elf_defines(elf, "SSL_read"))
		return "OpenSSL";
	for (size_t i = 0; !linked && i < sizeof(marks) / sizeof(marks[0]); i++)
		if (elf_contains(elf, marks[i].mark))
			return marks[i].name;
	return NULL;
}

/* In the program, or in a gRPC library that has its own. */
static const char *find_tls_inside(const struct report *report, const struct objects *objects)
{
	bool linked = report->libraries[LIBRARY_TLS].count || report->libraries[LIBRARY_TLS_UNSEEN].count;
	const char *found = tls_inside_file(&objects->list[0].elf, linked);

	for (size_t i = 1; !found && i < objects->count; i++)
		if (!strncmp(objects->list[i].name, "libgrpc", 7) && elf_contains(&objects->list[i].elf, "BoringSSL"))
			found = "BoringSSL";
	return found;
}

static void inspect_settings(struct report *report)
{
	oa_config_read(environ);
	report->switched_off = oa_config_disabled(environ);
	switch (oa_program_verdict(base_name(report->program.path))) {
	case OA_PROGRAM_EXCLUDED:
		report->excluded_by = "OTELAUTO_EXCLUDE names it";
		break;
	case OA_PROGRAM_NOT_INCLUDED:
		report->excluded_by = "OTELAUTO_INCLUDE does not name it";
		break;
	case OA_PROGRAM_BUILT_IN:
		report->excluded_by =
			"it is on the built-in list of programs that are not observed "
			"(OTELAUTO_EXCLUDE=!name takes one off)";
		break;
	default:
		break;
	}
}

void report_inspect(struct report *report, const char *command)
{
	struct objects objects;

	*report = (struct report){ .command = command };
	report->located = program_locate(command, &report->program);
	if (report->located != LOCATE_OK)
		return;
	inspect_file_rights(report);
	inspect_settings(report);
	report->opened = objects_open(&objects, report->program.path);
	if (report->opened == ELF_OTHER_MACHINE)
		report->machine = elf_machine_name(report->program.path);
	if (report->opened == ELF_OK) {
		const struct elf *elf = &objects.list[0].elf;

		inspect_linking(report, elf);
		inspect_glibc(report, elf);
		inspect_objects(report, &objects);
		report->language = find_language(report, elf);
		report->tls_inside = find_tls_inside(report, &objects);
		if (report->language == LANGUAGE_GO)
			inspect_go_version(report, elf);
	}
	objects_close(&objects);
}
