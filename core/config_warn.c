/* Says what was wrong with the settings, with what is used instead. */
#include <stdio.h>
#include <string.h>

#include "core/config_value.h"
#include "core/setting.h"

#define OA_LOG_DOMAIN "config"
#include "core/log.h"

#define NAME_LEN_MAX 64

static struct oa_bytes choice_text(const char *choices, int index)
{
	const char *end;

	while (index-- > 0) {
		choices = strchr(choices, '|');
		if (!choices)
			return OA_LIT("");
		choices++;
	}
	end = strchr(choices, '|');
	return oa_bytes(choices, end ? (size_t)(end - choices) : strlen(choices));
}

static const char *list_text(const struct oa_setting *s, uint32_t bits, char *buf, size_t cap)
{
	size_t len = 0;

	if (bits & OA_LIST_NONE)
		return "none";
	buf[0] = '\0';
	for (int i = 0; i < 31; i++) {
		struct oa_bytes word = choice_text(oa_setting_choices(s), i);

		if (bits & (1u << i) && len + word.len + 2 < cap)
			len += (size_t)snprintf(buf + len, cap - len, "%s%.*s", len ? "," : "",
						(int)word.len, (const char *)word.ptr);
	}
	return buf;
}

static const char *enum_text(const struct oa_setting *s, int index, char *buf, size_t cap)
{
	struct oa_bytes word = index < 0 ? OA_LIT("") : choice_text(oa_setting_choices(s), index);

	snprintf(buf, cap, "%.*s", (int)word.len, (const char *)word.ptr);
	return buf;
}

static const char *number_text(int64_t number, char *buf, size_t cap)
{
	if (number < 0)
		return "";
	snprintf(buf, cap, "%lld", (long long)number);
	return buf;
}

const char *oa_setting_text(const struct oa_setting *s, bool in_force, char *buf, size_t cap)
{
	const void *field = (const char *)&oa_config + s->offset;

	if (!in_force)
		return oa_setting_default(s) ? oa_setting_default(s) : number_text(s->num, buf, cap);
	switch (s->kind) {
	case OA_KIND_NUM:
		return number_text(*(const int64_t *)field, buf, cap);
	case OA_KIND_BOOL:
		return *(const bool *)field ? "true" : "false";
	case OA_KIND_ENUM:
		return enum_text(s, *(const int *)field, buf, cap);
	case OA_KIND_LIST:
		return list_text(s, *(const uint32_t *)field, buf, cap);
	case OA_KIND_RATIO:
		snprintf(buf, cap, "%d %%", (int)(*(const double *)field * 100));
		return buf;
	default:
		return *(const char *const *)field;
	}
}

static void wanted_text(const struct oa_setting *s, char *buf, size_t cap)
{
	switch (s->kind) {
	case OA_KIND_NUM:
		snprintf(buf, cap, "a whole number from %lld to %lld (%s)", (long long)s->min,
			 (long long)s->max, oa_setting_choices(s));
		break;
	case OA_KIND_BOOL:
		snprintf(buf, cap, "true or false");
		break;
	case OA_KIND_RATIO:
		snprintf(buf, cap, "a number from 0 to 1");
		break;
	default:
		snprintf(buf, cap, "one of %s%s", oa_setting_choices(s),
			 s->kind == OA_KIND_LIST ? "|none" : "");
	}
}

/* Single edits between two names, b no longer than NAME_LEN_MAX (Levenshtein). */
static unsigned name_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	uint8_t row[NAME_LEN_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (uint8_t)j;
	for (size_t i = 0; i < a_len; i++) {
		uint8_t diagonal = row[0];

		row[0] = (uint8_t)(i + 1);
		for (size_t j = 0; j < b_len; j++) {
			uint8_t above = row[j + 1], best = (uint8_t)(diagonal + (a[i] != b[j]));

			best = best < above + 1 ? best : (uint8_t)(above + 1);
			best = best < row[j] + 1 ? best : (uint8_t)(row[j] + 1);
			diagonal = above;
			row[j + 1] = best;
		}
	}
	return row[b_len];
}

/* NULL when none of ours is near enough to be meant. */
static const char *nearest_name(const char *name)
{
	size_t len = strlen(name);
	unsigned best = (unsigned)len / 3 + 1;
	const char *nearest = NULL;

	for (size_t i = 0; i < oa_settings_count; i++) {
		const struct oa_setting *s = &oa_settings[i];
		unsigned distance;

		if (strncmp(oa_setting_name(s), "OTELAUTO_", 9) != 0 || s->name_len > NAME_LEN_MAX)
			continue;
		distance = name_distance(name, len, oa_setting_name(s), s->name_len);
		if (distance < best) {
			best = distance;
			nearest = oa_setting_name(s);
		}
	}
	return nearest;
}

static void warn_no_setting(const char *name)
{
	const char *meant = nearest_name(name);

	if (meant)
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN, "%s is not a setting; did you mean %s?",
			      name, meant);
	else
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN, "%s is not a setting", name);
}

static void warn_value(const struct oa_setting *s, const char *value)
{
	char wanted[256], now[128];

	wanted_text(s, wanted, sizeof(wanted));
	oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN, "%s: \"%s\" is not %s; using %s", oa_setting_name(s), value,
		      wanted, oa_setting_text(s, true, now, sizeof(now)));
}

static void warn_one(const struct oa_setting_warning *w)
{
	const struct oa_setting *s = &oa_settings[w->setting];
	char now[128];

	switch (w->trouble) {
	case OA_TROUBLE_VALUE:
		warn_value(s, w->value);
		break;
	case OA_TROUBLE_UNSUPPORTED:
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN,
			      "%s: \"%s\" is not supported by this version; using %s", oa_setting_name(s),
			      w->value, oa_setting_text(s, true, now, sizeof(now)));
		break;
	case OA_TROUBLE_NONE_BESIDE:
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN,
			      "%s: none stands beside others; using none", oa_setting_name(s));
		break;
	case OA_TROUBLE_TOO_LONG:
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN, "%s: too long; using the default",
			      oa_setting_name(s));
		break;
	case OA_TROUBLE_NO_SETTING:
		warn_no_setting(w->value);
		break;
	default:
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN,
			      "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is larger than "
			      "OTEL_BSP_MAX_QUEUE_SIZE; using %lld",
			      (long long)oa_config.bsp_max_queue_size);
	}
}

void oa_config_warn(void)
{
	unsigned count = oa_setting_warnings_count;

	oa_setting_warnings_count = 0;
	if (oa_log_level < OA_LOG_WARN)
		return;
	if (oa_config_file_says[0])
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN, "OTEL_CONFIG_FILE: %s", oa_config_file_says);
	oa_config_file_says[0] = '\0';
	for (unsigned i = 0; i < count && i < OA_WARNINGS_MAX; i++)
		warn_one(&oa_setting_warnings[i]);
	if (count > OA_WARNINGS_MAX)
		oa_log_always(OA_LOG_WARN, OA_LOG_DOMAIN, "and %u more settings are wrong",
			      count - OA_WARNINGS_MAX);
}
