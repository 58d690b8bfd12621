/* The table of settings for people. Tools only: nothing in the library refers to it. */
#include <stdio.h>
#include <string.h>

#include "core/setting.h"

struct table_line {
	const char *group; /* a heading, when not NULL */
	const char *help;
};

static const struct table_line table_lines[] = {
#define OA_SET_GROUP(title)                               { title, NULL },
#define OA_SET_NUM(field, env, def, min, max, unit, help) { NULL, help },
#define OA_SET_BOOL(field, env, help)                     { NULL, help },
#define OA_SET_RATIO(field, env, def, help)               { NULL, help },
#define OA_SET_STR(field, env, def, help)                 { NULL, help },
#define OA_SET_ENUM(field, env, def, choices, help)       { NULL, help },
#define OA_SET_LIST(field, env, def, choices, help)       { NULL, help },
#include "core/config.def"
#undef OA_SET_GROUP
#undef OA_SET_NUM
#undef OA_SET_BOOL
#undef OA_SET_RATIO
#undef OA_SET_STR
#undef OA_SET_ENUM
#undef OA_SET_LIST
};

static const char *kind_text(const struct oa_setting *s)
{
	static const char *const names[] = {
		[OA_KIND_NUM] = "number", [OA_KIND_BOOL] = "true/false", [OA_KIND_RATIO] = "number",
		[OA_KIND_STR] = "text",   [OA_KIND_ENUM] = "one of",     [OA_KIND_LIST] = "list of",
	};

	return s->kind == OA_KIND_NUM ? oa_setting_choices(s) : names[s->kind];
}

/* text with every `from` replaced. */
static void print_replaced(int fd, const char *text, char from, const char *to)
{
	for (; *text; text++)
		if (*text == from)
			dprintf(fd, "%s", to);
		else
			dprintf(fd, "%c", *text);
}

static bool has_choices(const struct oa_setting *s)
{
	return s->kind == OA_KIND_ENUM || s->kind == OA_KIND_LIST;
}

static void print_md_default(int fd, const struct oa_setting *s)
{
	char buf[32];
	const char *text = oa_setting_text(s, false, buf, sizeof(buf));

	if (!*text)
		dprintf(fd, " ");
	else if (strlen(text) > 40)
		dprintf(fd, " see below ");
	else
		dprintf(fd, " `%s` ", text);
}

static void print_md(int fd, const struct oa_setting *s, const char *help)
{
	dprintf(fd, "| `%s` |", oa_setting_name(s));
	print_md_default(fd, s);
	dprintf(fd, "| %s", kind_text(s));
	if (has_choices(s)) {
		dprintf(fd, " `");
		print_replaced(fd, oa_setting_choices(s), '|', "` `");
		dprintf(fd, s->kind == OA_KIND_LIST ? "`, or `none`" : "`");
	}
	dprintf(fd, " | ");
	print_replaced(fd, help, '|', "\\|");
	if (oa_setting_default(s) && strlen(oa_setting_default(s)) > 40 && !has_choices(s))
		dprintf(fd, "; default: `%s`", oa_setting_default(s));
	dprintf(fd, " |\n");
}

static void print_txt(int fd, const struct oa_setting *s, const char *help)
{
	char buf[32];
	const char *text = oa_setting_text(s, false, buf, sizeof(buf));

	dprintf(fd, "  %s%s%s\n      %s", oa_setting_name(s), *text ? "=" : "", text, help);
	if (has_choices(s)) {
		dprintf(fd, " [");
		print_replaced(fd, oa_setting_choices(s), '|', " ");
		dprintf(fd, "]");
	}
	dprintf(fd, "\n");
}

void oa_config_print_table(int fd, const char *form)
{
	bool md = !strcmp(form, "md");
	const struct oa_setting *s = oa_settings;

	for (size_t i = 0; i < sizeof(table_lines) / sizeof(table_lines[0]); i++) {
		const struct table_line *line = &table_lines[i];

		if (line->group && md)
			dprintf(fd,
				"%s### %s\n\n| name | default | value | meaning |\n| --- | --- | "
				"--- | --- |\n",
				i ? "\n" : "", line->group);
		else if (line->group)
			dprintf(fd, "%s%s\n", i ? "\n" : "", line->group);
		else if (md)
			print_md(fd, s++, line->help);
		else
			print_txt(fd, s++, line->help);
	}
}
