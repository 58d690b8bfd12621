#pragma once
/* config.def as a table, and what was wrong with the values found. For config*.c only. */
#include <stddef.h>
#include <stdint.h>

#include "core/config.h"

enum oa_setting_kind {
	OA_KIND_NUM,
	OA_KIND_BOOL,
	OA_KIND_RATIO,
	OA_KIND_STR,
	OA_KIND_ENUM,
	OA_KIND_LIST
};

struct oa_setting {
	int64_t num, min, max;
	uint16_t texts;  /* where they begin among all, see below */
	uint16_t offset; /* in struct oa_config */
	uint8_t name_len;
	uint8_t kind;
};

/* One entry per setting in the order of config.def. */
extern const struct oa_setting oa_settings[];
extern const size_t oa_settings_count;

/* Its texts. No pointers in the table: they would have to be relocated in every process that starts. */
const char *oa_setting_name(const struct oa_setting *s);
const char *oa_setting_default(const struct oa_setting *s); /* NULL: a number */
const char *oa_setting_choices(const struct oa_setting *s); /* NUM: the unit; NULL: none */

enum oa_setting_trouble {
	OA_TROUBLE_VALUE,       /* not a value of this kind */
	OA_TROUBLE_UNSUPPORTED, /* a value of OpenTelemetry that this version does not have */
	OA_TROUBLE_NONE_BESIDE, /* `none` in a list with others */
	OA_TROUBLE_TOO_LONG,    /* no room for the text */
	OA_TROUBLE_NO_SETTING,  /* an OTELAUTO_ name that does not exist */
	OA_TROUBLE_BATCH, /* larger than the queue */
};

#define OA_WARNINGS_MAX      16
#define OA_WARNING_VALUE_MAX 64 /* quoted part of a value */

struct oa_setting_warning {
	uint8_t trouble;
	uint8_t setting;                  /* index, where there is one */
	char value[OA_WARNING_VALUE_MAX]; /* the value, or the name; cut and printable */
};

extern struct oa_setting_warning oa_setting_warnings[OA_WARNINGS_MAX];
extern unsigned oa_setting_warnings_count; /* may pass OA_WARNINGS_MAX: these were not kept */

/* Text of what is in force (in_force) or of the default, for people: "5000", "otlp,console".
 * returns buf, or a literal */
const char *oa_setting_text(const struct oa_setting *s, bool in_force, char *buf, size_t cap);
