#include "core/config.h"

#include <string.h>

#include "core/attr.h"
#include "core/config_value.h"
#include "core/log.h"
#include "core/setting.h"

#define CONFIG_TEXT_BYTES 32768 /* all texts together; a whole environment is rarely larger */

/* Name, default and choices of each setting behind one another. */
#define OA_SET_GROUP(title)
#define OA_SET_NUM(field, env, d, lo, hi, unit, help) TEXTS(field, env, "", unit)
#define OA_SET_BOOL(field, env, help)                 TEXTS(field, env, "false", "")
#define OA_SET_RATIO(field, env, d, help)             TEXTS(field, env, #d, "")
#define OA_SET_STR(field, env, d, help)               TEXTS(field, env, d, "")
#define OA_SET_ENUM(field, env, d, ch, help)          TEXTS(field, env, d, ch)
#define OA_SET_LIST(field, env, d, ch, help)          TEXTS(field, env, d, ch)
OA_START_CONST static const struct {
#define TEXTS(field, env, d, ch) char field[sizeof(env "\0" d "\0" ch)];
#include "core/config.def"
#undef TEXTS
} config_texts = {
#define TEXTS(field, env, d, ch) env "\0" d "\0" ch,
#include "core/config.def"
#undef TEXTS
};
_Static_assert(sizeof(config_texts) <= UINT16_MAX, "offsets fit");
#undef OA_SET_GROUP
#undef OA_SET_NUM
#undef OA_SET_BOOL
#undef OA_SET_RATIO
#undef OA_SET_STR
#undef OA_SET_ENUM
#undef OA_SET_LIST

#define ENTRY(field_, env, kind_) \
	.name_len = sizeof(env) - 1, .kind = OA_KIND_##kind_, .offset = offsetof(struct oa_config, field_), \
	.texts = offsetof(__typeof__(config_texts), field_)

OA_START_CONST const struct oa_setting oa_settings[] = {
#define OA_SET_GROUP(title)
#define OA_SET_NUM(field, env, d, lo, hi, unit, help) { ENTRY(field, env, NUM), .num = (d), .min = (lo), .max = (hi) },
#define OA_SET_BOOL(field, env, help)        { ENTRY(field, env, BOOL) },
#define OA_SET_RATIO(field, env, d, help)    { ENTRY(field, env, RATIO) },
#define OA_SET_STR(field, env, d, help)      { ENTRY(field, env, STR) },
#define OA_SET_ENUM(field, env, d, ch, help) { ENTRY(field, env, ENUM) },
#define OA_SET_LIST(field, env, d, ch, help) { ENTRY(field, env, LIST) },
#include "core/config.def"
#undef OA_SET_GROUP
#undef OA_SET_NUM
#undef OA_SET_BOOL
#undef OA_SET_RATIO
#undef OA_SET_STR
#undef OA_SET_ENUM
#undef OA_SET_LIST
};

const char *oa_setting_name(const struct oa_setting *s) { return (const char *)&config_texts + s->texts; }

static const char *config_default_text(const struct oa_setting *s) { return oa_setting_name(s) + s->name_len + 1; }

const char *oa_setting_default(const struct oa_setting *s)
{
	return s->kind == OA_KIND_NUM ? NULL : config_default_text(s);
}

const char *oa_setting_choices(const struct oa_setting *s)
{
	const char *def = config_default_text(s);

	return s->kind == OA_KIND_NUM || s->kind == OA_KIND_ENUM || s->kind == OA_KIND_LIST ? def + strlen(def) + 1 : NULL;
}

#define SETTINGS_COUNT (sizeof(oa_settings) / sizeof(oa_settings[0]))
const size_t oa_settings_count = SETTINGS_COUNT;

OA_START_DATA struct oa_config oa_config;
struct oa_setting_warning oa_setting_warnings[OA_WARNINGS_MAX];
OA_START_DATA unsigned oa_setting_warnings_count;

OA_START_DATA char oa_config_file_says[OA_CONFIG_FILE_SAYS_MAX];
static char config_text[CONFIG_TEXT_BYTES];
OA_START_DATA static size_t config_text_used;

/* Values of OTEL_LOG_LEVEL in OpenTelemetry and in its SDKs that mean the same as one of ours. */
OA_START_CONST static const struct {
	char theirs[8], ours[8];
} config_aliases[] = {
	{ "warning", "warn" },  { "off", "none" },  { "trace", "debug" },
	{ "verbose", "debug" }, { "all", "debug" }, { "fatal", "error" },
};

/* Values that exist, only not here: said as such instead of as a typing mistake. */
static const char config_known_elsewhere[] =
	"otlp|console|zipkin|jaeger|prometheus|logging|otlp/stdout|grpc|http/json|xray|ottrace";

static void config_warn_add(enum oa_setting_trouble trouble, size_t setting, struct oa_bytes value)
{
	size_t len = value.len < OA_WARNING_VALUE_MAX ? value.len : OA_WARNING_VALUE_MAX - 4;
	unsigned idx = oa_setting_warnings_count++;
	struct oa_setting_warning *w;

	if (idx >= OA_WARNINGS_MAX)
		return;
	w = &oa_setting_warnings[idx];
	w->trouble = (uint8_t)trouble;
	w->setting = (uint8_t)setting;
	for (size_t i = 0; i < len; i++)
		w->value[i] = value.ptr[i] < ' ' || value.ptr[i] == 0x7f ? '?' : (char)value.ptr[i];
	memcpy(w->value + len, len < value.len ? "..." : "", len < value.len ? 4 : 1);
}

static void *config_field(const struct oa_setting *s) { return (char *)&oa_config + s->offset; }

static struct oa_bytes config_alias(const struct oa_setting *s, struct oa_bytes text)
{
	if (s->offset != offsetof(struct oa_config, log_level))
		return text;
	for (size_t i = 0; i < sizeof(config_aliases) / sizeof(config_aliases[0]); i++)
		if (oa_bytes_ieq(text, oa_bytes_str(config_aliases[i].theirs)))
			return oa_bytes_str(config_aliases[i].ours);
	return text;
}

static void config_refuse(const struct oa_setting *s, struct oa_bytes text)
{
	bool elsewhere = oa_setting_choices(s) && oa_value_choice(text, config_known_elsewhere) >= 0;

	config_warn_add(elsewhere ? OA_TROUBLE_UNSUPPORTED : OA_TROUBLE_VALUE,
			(size_t)(s - oa_settings), text);
}

static bool config_set_list(const struct oa_setting *s, struct oa_bytes text)
{
	uint32_t bits = 0;
	struct oa_bytes item;

	while (oa_value_next_item(&text, &item)) {
		int choice = oa_value_choice(item, oa_setting_choices(s));

		if (oa_bytes_ieq(item, OA_LIT("none")))
			bits |= OA_LIST_NONE;
		else if (choice >= 0)
			bits |= 1u << choice;
		else if (item.len)
			config_refuse(s, item);
	}
	if ((bits & OA_LIST_NONE) && bits != OA_LIST_NONE) {
		config_warn_add(OA_TROUBLE_NONE_BESIDE, (size_t)(s - oa_settings), OA_LIT(""));
		bits = OA_LIST_NONE;
	}
	if (bits)
		*(uint32_t *)config_field(s) = bits;
	return true;
}

static bool config_set_enum(const struct oa_setting *s, struct oa_bytes text)
{
	int choice = oa_value_choice(config_alias(s, text), oa_setting_choices(s));

	if (choice < 0)
		return false;
	*(int *)config_field(s) = choice;
	return true;
}

static bool config_set_text(const struct oa_setting *s, struct oa_bytes text)
{
	char *copy = config_text + config_text_used;

	if (text.len >= CONFIG_TEXT_BYTES - config_text_used) {
		config_warn_add(OA_TROUBLE_TOO_LONG, (size_t)(s - oa_settings), OA_LIT(""));
		return true;
	}
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	config_text_used += text.len + 1;
	*(const char **)config_field(s) = copy;
	return true;
}

OA_START_CODE static bool config_set(const struct oa_setting *s, struct oa_bytes text)
{
	switch (s->kind) {
	case OA_KIND_NUM:
		return oa_value_int(text, s->min, s->max, config_field(s));
	case OA_KIND_BOOL:
		return oa_value_bool(text, config_field(s) == &oa_config.disabled, config_field(s));
	case OA_KIND_RATIO:
		return oa_value_ratio(text, config_field(s));
	case OA_KIND_ENUM:
		return config_set_enum(s, text);
	case OA_KIND_LIST:
		return config_set_list(s, text);
	default:
		return config_set_text(s, text);
	}
}

static void config_set_default(const struct oa_setting *s)
{
	if (s->kind == OA_KIND_STR)
		*(const char **)config_field(s) = oa_setting_default(s);
	else if (s->kind == OA_KIND_NUM)
		*(int64_t *)config_field(s) = s->num;
	else if (s->kind == OA_KIND_ENUM && !*oa_setting_default(s))
		*(int *)config_field(s) = -1;
	else
		config_set(s, oa_bytes_str(oa_setting_default(s)));
}

/* The value of NAME=value when it is the one asked for. */
static const char *config_value_of(const char *entry, const char *name, size_t name_len)
{
	return !strncmp(entry, name, name_len) && entry[name_len] == '=' ? entry + name_len + 1
									 : NULL;
}

OA_START_CODE static size_t config_find(const char *entry, size_t name_len)
{
	size_t i = 0;

	while (i < SETTINGS_COUNT && (oa_settings[i].name_len != name_len ||
				      memcmp(oa_setting_name(&oa_settings[i]), entry, name_len) != 0))
		i++;
	return i;
}

/* Names that are not in the table but not mistakes either, or worth a word. */
static void config_note_other(const char *entry, size_t name_len)
{
	struct oa_bytes name = oa_bytes(entry, name_len);
	bool set = oa_value_trim(entry + name_len + 1).len != 0;

	if (set && name_len > 9 && !memcmp(entry, "OTELAUTO_", 9) &&
		 !oa_bytes_eq(name, OA_LIT("OTELAUTO_CACHE"))) /* of scripts/ */
		config_warn_add(OA_TROUBLE_NO_SETTING, 0, name);
}

/* With a configuration file the environment has only what is ours alone, and the file's own name. */
static void config_leave_to_file(const char *values[])
{
	size_t file = config_find(OA_START_TEXT("OTEL_CONFIG_FILE"), 16);

	if (!values[file] || !oa_value_trim(values[file]).len)
		return;
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (i != file && !strncmp(oa_setting_name(&oa_settings[i]), "OTEL_", 5))
			values[i] = NULL;
}

/* Cheap first look: whether the name can be in the table. */
static bool config_may_be_ours(const char *entry)
{
	return !strncmp(entry, OA_START_TEXT("OTEL"), 4) || !strncmp(entry, OA_START_TEXT("POD_"), 4) ||
	       !strncmp(entry, OA_START_TEXT("NODE_NAME="), 10);
}

OA_START_CODE static void config_collect(char *const envp[], const char *values[])
{
	for (; *envp; envp++) {
		const char *equals;
		size_t i;

		if (!config_may_be_ours(*envp))
			continue;
		equals = strchr(*envp, '=');
		if (!equals)
			continue;
		i = config_find(*envp, (size_t)(equals - *envp));
		if (i == SETTINGS_COUNT)
			config_note_other(*envp, (size_t)(equals - *envp));
		else if (!values[i])
			values[i] = equals + 1; /* of doubles the first, as for getenv() */
	}
}

static void config_check_together(void)
{
	if (oa_config.bsp_max_export_batch_size <= oa_config.bsp_max_queue_size)
		return;
	oa_config.bsp_max_export_batch_size = oa_config.bsp_max_queue_size;
	config_warn_add(OA_TROUBLE_BATCH, 0, OA_LIT(""));
}

OA_START_CODE void oa_config_read(char *const envp[])
{
	OA_START_DATA static const char *values[SETTINGS_COUNT]; /* the host's stack may be small */

	memset(values, 0, sizeof(values));
	config_text_used = 0;
	oa_setting_warnings_count = 0;
	oa_config_file_says[0] = '\0';
	config_collect(envp, values);
	config_leave_to_file(values);
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct oa_setting *s = &oa_settings[i];
		struct oa_bytes text = values[i] ? oa_value_trim(values[i]) : OA_LIT("");

		config_set_default(s);
		if (text.len && !config_set(s, text))
			config_refuse(s, text);
	}
	oa_config_settle();
}

bool oa_config_override(const char *name, struct oa_bytes text)
{
	size_t i = config_find(name, strlen(name));

	if (i == SETTINGS_COUNT)
		return false;
	text = oa_bytes_trim(text);
	if (text.len && !config_set(&oa_settings[i], text))
		config_refuse(&oa_settings[i], text);
	return true;
}

OA_START_CODE void oa_config_settle(void)
{
	config_check_together();
	oa_log_level = oa_config.log_level;
}

OA_START_CODE bool oa_config_disabled(char *const envp[])
{
	const char *ours = NULL, *theirs = NULL;
	bool ours_on = false, theirs_on = false;

	for (; *envp; envp++) {
		if (strncmp(*envp, OA_START_TEXT("OTEL"), 4) != 0)
			continue;
		if (!ours)
			ours = config_value_of(*envp, OA_START_TEXT("OTELAUTO_DISABLED"), 17);
		if (!theirs)
			theirs = config_value_of(*envp, OA_START_TEXT("OTEL_SDK_DISABLED"), 17);
	}
	if (ours)
		(void)oa_value_bool(oa_value_trim(ours), true, &ours_on); /* else it is on */
	if (theirs)
		(void)oa_value_bool(oa_value_trim(theirs), false, &theirs_on);
	return ours_on || theirs_on;
}
