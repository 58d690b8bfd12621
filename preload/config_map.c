/* A configuration file's tree into settings, by the paths of config_keys.def. What has no place there is named in one
 * warning. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "core/bytes.h"
#include "core/config.h"
#include "preload/config_file.h"

#define MAP_PATH_MAX    320
#define MAP_PENDING_MAX 64
#define MAP_TEXT_MAX    4096
#define MAP_ENV_MAX     96
#define MAP_MORE        ", and more (%u times)"
#define MAP_DIGITS_MAX  10

enum map_how { MAP_IGNORED, MAP_KEY, MAP_LIST, MAP_PAIRS, MAP_NAMES, MAP_PART, MAP_WORD, MAP_FILE, MAP_BEFORE, MAP_LIMITS, MAP_SERVICE, MAP_ONLY,
	       MAP_STABLE };

struct map_rule {
	const char *path, *setting, *word, *value;
	enum map_how how;
};

/* Each with its texts behind one another: pointers would have to be relocated in every process that starts. */
#define MAP_TEXTS(path, setting, word, value) path "\0" setting "\0" word "\0" value "\0"
#define OA_IGNORED(path)                   MAP_RULE(IGNORED, MAP_TEXTS(path, "", "", ""))
#define OA_KEY(path, setting)              MAP_RULE(KEY, MAP_TEXTS(path, setting, "", ""))
#define OA_LIST(path, setting)             MAP_RULE(LIST, MAP_TEXTS(path, setting, "", ""))
#define OA_PAIRS(path, setting)            MAP_RULE(PAIRS, MAP_TEXTS(path, setting, "", ""))
#define OA_NAMES(path, setting)            MAP_RULE(NAMES, MAP_TEXTS(path, setting, "", ""))
#define OA_PART(path, setting, value)      MAP_RULE(PART, MAP_TEXTS(path, setting, "", value))
#define OA_WORD(path, word, setting, text) MAP_RULE(WORD, MAP_TEXTS(path, setting, word, text))
#define OA_BEFORE(path, setting)           MAP_RULE(BEFORE, MAP_TEXTS(path, setting, "", ""))
#define OA_SERVICE(path)                   MAP_RULE(SERVICE, MAP_TEXTS(path, "OTEL_RESOURCE_ATTRIBUTES", "", ""))
#define OA_ONLY(path, word)                MAP_RULE(ONLY, MAP_TEXTS(path, "", word, ""))
#define OA_STABLE(path)                    MAP_RULE(STABLE, MAP_TEXTS(path, "", "", ""))
#define OA_LIMITS(path)                    MAP_RULE(LIMITS, MAP_TEXTS(path, "", "", ""))
#define OA_FILE(path, setting)             MAP_RULE(FILE, MAP_TEXTS(path, setting, "", ""))

static const char map_texts[] =
#define MAP_RULE(how, texts) texts
#include "preload/config_keys.def"
#undef MAP_RULE
	;
static const uint8_t map_hows[] = {
#define MAP_RULE(how, texts) MAP_##how,
#include "preload/config_keys.def"
#undef MAP_RULE
};

#define MAP_RULES (sizeof(map_hows) / sizeof(map_hows[0]))

/* at: map_texts at first; goes on to the next rule's */
static struct map_rule map_rule_next(size_t i, const char **at)
{
	struct map_rule r = { .how = map_hows[i] };

	r.path = oa_text_next(at);
	r.setting = oa_text_next(at);
	r.word = oa_text_next(at);
	r.value = oa_text_next(at);
	return r;
}

/* Settings as they come together; set at the end, lists whole. */
static struct map_pending {
	const char *setting;
	char *text; /* MAP_TEXT_MAX, the arena's */
} map_pending[MAP_PENDING_MAX];

static char map_path[MAP_PATH_MAX];
static const cJSON *map_limits; /* of series */
static bool map_service;        /* OTEL_SERVICE_NAME is asked for */
static unsigned map_unnamed;    /* what the one warning has no room for */

/* As another element of a list, say. */
static bool map_is_said(const char *path)
{
	size_t len = strlen(path);

	for (const char *at = oa_config_file_says; len && (at = strstr(at, path)); at++)
		if (at > oa_config_file_says && at[-1] == ' ' && (!at[len] || at[len] == ','))
			return true;
	return !len;
}

void oa_config_unknown(const char *path)
{
	size_t used = strlen(oa_config_file_says);
	const char *before = used ? ", " : "means nothing here: ";

	if (map_is_said(path))
		return;
	if (map_unnamed || used + strlen(before) + strlen(path) + sizeof(MAP_MORE) + MAP_DIGITS_MAX > OA_CONFIG_FILE_SAYS_MAX)
		map_unnamed++;
	else
		(void)stpcpy(stpcpy(oa_config_file_says + used, before), path);
}

static void map_count_unnamed(void)
{
	size_t used = strlen(oa_config_file_says);

	if (map_unnamed)
		(void)snprintf(oa_config_file_says + used, OA_CONFIG_FILE_SAYS_MAX - used, MAP_MORE, map_unnamed);
}

const cJSON *oa_config_members(const cJSON *node) { return cJSON_IsObject(node) ? node->child : NULL; }

bool oa_config_may_be_object(const cJSON *node) { return !node || cJSON_IsNull(node) || cJSON_IsObject(node); }

static char *map_text_of(const char *setting)
{
	for (unsigned i = 0; i < MAP_PENDING_MAX; i++) {
		struct map_pending *p = &map_pending[i];

		if (p->setting && !strcmp(p->setting, setting))
			return p->text;
		if (p->setting)
			continue;
		p->text = calloc(1, MAP_TEXT_MAX);
		p->setting = p->text ? setting : NULL;
		return p->text;
	}
	return NULL;
}

static void map_set(const char *setting, const char *value)
{
	char *text = map_text_of(setting);
	size_t len = strlen(value);

	if (text && len < MAP_TEXT_MAX)
		memcpy(text, value, len + 1);
}

static void map_append(const char *setting, const char *value)
{
	char *text = map_text_of(setting);
	size_t used = text ? strlen(text) : 0, len = strlen(value);

	if (!text || used + len + 2 > MAP_TEXT_MAX)
		return;
	if (used)
		text[used++] = ',';
	memcpy(text + used, value, len + 1);
}

/* In front of what there is: the last of several values counts. */
static void map_prepend(const char *setting, const char *value)
{
	char *text = map_text_of(setting);
	size_t used = text ? strlen(text) : 0, len = strlen(value);

	if (!text || !len || used + len + 2 > MAP_TEXT_MAX)
		return;
	memmove(text + len + (used != 0), text, used + 1);
	memcpy(text, value, len);
	if (used)
		text[len] = ',';
}

/* -- values -- */

static const char *map_scalar(const cJSON *node)
{
	static char number[32];
	char *text;

	if (cJSON_IsString(node))
		return node->valuestring;
	if (cJSON_IsBool(node))
		return cJSON_IsTrue(node) ? "true" : "false";
	if (!cJSON_IsNumber(node))
		return NULL;
	text = cJSON_PrintUnformatted(node); /* a JSON file's */
	if (!text || strlen(text) >= sizeof(number))
		return NULL;
	memcpy(number, text, strlen(text) + 1);
	cJSON_free(text);
	return number;
}

static const char *map_member(const cJSON *node, const char *name)
{
	return map_scalar(cJSON_GetObjectItemCaseSensitive(node, name));
}

static char *map_encode(char *to, const char *end, const char *from)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *from && to + 3 < end; from++) {
		unsigned char c = (unsigned char)*from;

		if ((c >= '0' && c <= '9') || (oa_lower(c) >= 'a' && oa_lower(c) <= 'z') || strchr("-_./:", c)) {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = hex[c >> 4];
		*to++ = hex[c & 15];
	}
	*to = '\0';
	return to;
}

/* { name: …, value: … } as name=value, percent-encoded; a null value is none. */
static void map_pair(const char *setting, const cJSON *node)
{
	static char pair[MAP_TEXT_MAX];
	const char *name = map_member(node, "name");
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(node, "value");
	size_t len = name ? strlen(name) : 0;
	const char *text;

	if (cJSON_IsNull(node) || (len && (!value || cJSON_IsNull(value))))
		return;
	text = map_scalar(value);
	if (!text || !len || len >= MAP_TEXT_MAX / 2) {
		oa_config_unknown(map_path); /* a list, say */
		return;
	}
	memcpy(pair, name, len);
	pair[len] = '=';
	(void)map_encode(pair + len + 1, pair + sizeof(pair), text);
	map_append(setting, pair);
}

/* low_memory is lowmemory in the environment. */
static const char *map_word(const char *text) { return !strcmp(text, "low_memory") ? "lowmemory" : text; }

static void map_file(const char *setting, const char *text)
{
	if (!strncmp(text, "file://", 7))
		map_set(setting, text + 7);
	else
		oa_config_unknown(map_path); /* stdout is the program's */
}

/* Of the specification's conventions we have the stable ones, and no older ones beside them. */
static void map_stable(const char *text)
{
	if (strstr(text, "/dup"))
		oa_config_unknown(map_path);
}

static void map_apply(const struct map_rule *r, const cJSON *node)
{
	const char *text = map_scalar(node);

	if (r->how == MAP_IGNORED)
		return;
	if ((r->how == MAP_LIMITS || r->how == MAP_PART || r->how == MAP_SERVICE) && !oa_config_may_be_object(node))
		oa_config_unknown(map_path);
	else if (r->how == MAP_LIMITS)
		map_limits = node; /* after the views, wherever they stand */
	else if (r->how == MAP_PART && r->value[0] == '=')
		map_set(r->setting, r->value + 1);
	else if (r->how == MAP_PART)
		map_append(r->setting, r->value);
	else if (r->how == MAP_SERVICE)
		map_service = true;
	else if (r->how == MAP_PAIRS)
		map_pair(r->setting, node);
	else if (r->how == MAP_NAMES && oa_config_members(node))
		map_append(r->setting, oa_config_members(node)->string);
	else if (cJSON_IsNull(node))
		return; /* the default */
	else if (!text)
		oa_config_unknown(map_path);
	else if (r->how == MAP_KEY)
		map_set(r->setting, map_word(text));
	else if (r->how == MAP_LIST || r->how == MAP_NAMES)
		map_append(r->setting, text);
	else if (r->how == MAP_WORD && !strcmp(text, r->word))
		map_set(r->setting, r->value);
	else if (r->how == MAP_FILE)
		map_file(r->setting, text);
	else if (r->how == MAP_BEFORE)
		map_prepend(r->setting, text);
	else if (r->how == MAP_ONLY && strcmp(text, r->word) != 0)
		oa_config_unknown(map_path);
	else if (r->how == MAP_STABLE)
		map_stable(text);
}

/* -- samplers -- */

static void map_sampler_set(bool parent, const char *name, const char *arg)
{
	static char text[64];

	memcpy(text, "parentbased_", 13);
	if (strlen(name) < sizeof(text) - 13)
		memcpy(text + 12, name, strlen(name) + 1);
	map_set("OTEL_TRACES_SAMPLER", parent ? text : name);
	if (arg)
		map_set("OTEL_TRACES_SAMPLER_ARG", arg);
}

/* One part of a sampler's argument; longer ones are left out. */
static char *map_arg(char *at, const char *start, const char *name, const char *value, size_t max)
{
	if (!value || strlen(value) >= max)
		return at;
	return stpcpy(stpcpy(stpcpy(at, at > start ? "," : ""), name), value);
}

/* name: a word of ours, or "" */
static void map_sampler_unknown(const char *name)
{
	char path[MAP_ENV_MAX] = "tracer_provider.sampler.(this sampler)";

	(void)stpcpy(stpcpy(path + strlen(path), *name ? "." : ""), name);
	oa_config_unknown(path);
}

/* Members of a sampler. NULL: there is none, or it has another shape, which is named */
static const char *map_sampler_text(const cJSON *node, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(node, name);
	const char *text = map_scalar(item);

	if (item && !text && !cJSON_IsNull(item))
		map_sampler_unknown(name);
	return text;
}

static const cJSON *map_sampler_object(const cJSON *node, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(node, name);

	if (!oa_config_may_be_object(item))
		map_sampler_unknown(name);
	return item;
}

static void map_ratio(bool parent, const cJSON *node)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(node, "ratio");
	const char *ratio = map_sampler_text(node, "ratio");

	if (ratio || !item || cJSON_IsNull(item))
		map_sampler_set(parent, "traceidratio", ratio ? ratio : "1");
}

static void map_jaeger_remote(bool parent, const cJSON *node)
{
	static char arg[1024];
	const cJSON *initial = map_sampler_object(map_sampler_object(node, "initial_sampler"), "trace_id_ratio_based");
	char *at = arg;

	at = map_arg(at, arg, "endpoint=", map_sampler_text(node, "endpoint"), sizeof(arg) / 2);
	at = map_arg(at, arg, "pollingIntervalMs=", map_sampler_text(node, "interval"), sizeof(arg) / 8);
	at = map_arg(at, arg, "initialSamplingRate=", map_sampler_text(initial, "ratio"), sizeof(arg) / 8);
	*at = '\0';
	map_sampler_set(parent, "jaeger_remote", arg);
}

static void map_composite(const cJSON *node, bool parent)
{
	struct oa_config_composite made = { 0 };
	const char *without = oa_config_composite(node, parent, &made);
	char name[96] = "tracer_provider.sampler.composite/development.";

	if (!without && made.rules && strlen(made.rules) >= MAP_TEXT_MAX)
		without = "rules (too many)";
	if (without) {
		memcpy(name + strlen(name), without, strlen(without) + 1); /* a word of ours */
		oa_config_unknown(name);
	} else {
		map_sampler_set(made.parent, made.name, made.ratio);
		if (made.rules)
			map_set("OTELAUTO_SAMPLING_RULES", made.rules);
	}
	cJSON_free(made.rules);
}

/* Whoever has a parent decides as the parent did. node: a member */
static void map_sampler_of_parent(const cJSON *node)
{
	const char *name = node->string, *does = oa_config_members(node) ? oa_config_members(node)->string : "";
	size_t len = strlen(name), not_len = sizeof("_not_sampled") - 1;
	bool not_sampled = len > not_len && !strcmp(name + len - not_len, "_not_sampled");
	char path[MAP_ENV_MAX + 64] = "tracer_provider.sampler.parent_based.";

	if (!strcmp(name, "root") || cJSON_IsNull(node) || !strcmp(does, not_sampled ? "always_off" : "always_on"))
		return;
	if (len < MAP_ENV_MAX)
		(void)stpcpy(path + strlen(path), name);
	oa_config_unknown(path);
}

static void map_sampler(const cJSON *node, bool parent)
{
	const cJSON *kind = oa_config_members(node);
	const char *name = kind && oa_config_may_be_object(kind) ? kind->string : "";

	if (!node || cJSON_IsNull(node))
		return;
	if (!strcmp(name, "parent_based") && !parent) {
		const cJSON *root = cJSON_GetObjectItemCaseSensitive(kind, "root");

		for (const cJSON *other = oa_config_members(kind); other; other = other->next)
			map_sampler_of_parent(other);
		if (root)
			map_sampler(root, true);
		else
			map_sampler_set(true, "always_on", NULL);
	} else if (!strcmp(name, "trace_id_ratio_based") || !strcmp(name, "probability/development")) {
		map_ratio(parent, kind);
	} else if (!strcmp(name, "jaeger_remote/development")) {
		map_jaeger_remote(parent, kind);
	} else if (!strcmp(name, "always_record")) {
		/* What is not sampled is measured here in any case. */
		map_sampler(cJSON_GetObjectItemCaseSensitive(kind, "root"), parent);
	} else if (!strcmp(name, "composite/development")) {
		map_composite(kind, parent);
	} else if (!strcmp(name, "always_on") || !strcmp(name, "always_off")) {
		map_sampler_set(parent, name, NULL);
	} else {
		map_sampler_unknown("");
	}
}

/* -- the walk -- */

static void map_otelauto(const cJSON *section)
{
	if (!oa_config_may_be_object(section))
		oa_config_unknown("otelauto");
	for (const cJSON *node = oa_config_members(section); node; node = node->next) {
		char env[MAP_ENV_MAX] = "OTELAUTO_", *at = env + 9;
		const char *text = map_scalar(node);

		for (const char *p = node->string; *p && at < env + sizeof(env) - 1; p++)
			*at++ = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
		*at = '\0';
		if (!cJSON_IsNull(node) && (!text || !oa_config_override(env, oa_bytes_str(text))))
			oa_config_unknown(env);
	}
}

/* Whether some rule goes on behind the path, by one of these characters. `count` may have the end of the text among them */
static bool map_leads_on(const char *by, size_t count)
{
	size_t len = strlen(map_path);
	const char *at = map_texts;

	for (size_t i = 0; i < MAP_RULES; i++) {
		struct map_rule r = map_rule_next(i, &at);

		if (!strncmp(r.path, map_path, len) && memchr(by, r.path[len], count))
			return true;
	}
	return false;
}

/* Whether it has members or elements where the rules have them. */
static bool map_fits(const cJSON *node)
{
	if (cJSON_IsObject(node))
		return !map_leads_on("[", 1);
	return cJSON_IsArray(node) ? map_leads_on("[", 1) : cJSON_IsNull(node);
}

/* returns whether a rule takes the node whole */
static bool map_by_rules(const cJSON *node)
{
	const char *at = map_texts;
	bool whole = false;

	for (size_t i = 0; i < MAP_RULES; i++) {
		struct map_rule r = map_rule_next(i, &at);

		if (strcmp(r.path, map_path) != 0)
			continue;
		map_apply(&r, node);
		whole |= r.how != MAP_PART;
	}
	return whole;
}

static void map_node(const cJSON *node);

static void map_child(const cJSON *node, const char *name, const char *before)
{
	size_t len = strlen(map_path), more = strlen(name) + strlen(before);

	if (len + more + 1 > sizeof(map_path))
		return;
	(void)stpcpy(stpcpy(map_path + len, before), name);
	map_node(node);
	map_path[len] = '\0';
}

static void map_node(const cJSON *node)
{
	if (!strcmp(map_path, "tracer_provider.sampler")) {
		map_sampler(node, false);
		return;
	}
	if (!strcmp(map_path, "otelauto")) {
		map_otelauto(node);
		return;
	}
	if (!strcmp(map_path, "meter_provider.views")) {
		oa_config_views(node);
		return;
	}
	if (map_path[0] && !map_leads_on(".[", 3)) {
		oa_config_unknown(map_path);
		return;
	}
	if (map_by_rules(node))
		return;
	if (!map_fits(node)) {
		oa_config_unknown(map_path);
		return;
	}
	for (const cJSON *child = node->child; child; child = child->next)
		map_child(child, cJSON_IsArray(node) ? "[]" : child->string, cJSON_IsArray(node) || !map_path[0] ? "" : ".");
}

/* What the environment says of the service; resource.attributes and resource.attributes_list say more. */
static void map_service_name(void)
{
	static char pair[MAP_TEXT_MAX] = "service.name=";
	const char *name = oa_config_env_get("OTEL_SERVICE_NAME");

	if (!map_service || !name)
		return;
	(void)map_encode(pair + 13, pair + sizeof(pair), name);
	map_prepend("OTEL_RESOURCE_ATTRIBUTES", pair);
}

static void map_flush(void)
{
	for (unsigned i = 0; i < MAP_PENDING_MAX && map_pending[i].setting; i++) {
		(void)oa_config_override(map_pending[i].setting, oa_bytes_str(map_pending[i].text));
		free(map_pending[i].text);
	}
	memset(map_pending, 0, sizeof(map_pending));
}

bool oa_config_map(const cJSON *top)
{
	const cJSON *disabled = cJSON_GetObjectItemCaseSensitive(top, "disabled");
	const char *text = map_scalar(disabled);

	if (text && !strcmp(text, "true"))
		return false;
	/* What the file does not have is not there. */
	(void)oa_config_override("OTEL_TRACES_EXPORTER", OA_LIT("none"));
	(void)oa_config_override("OTEL_METRICS_EXPORTER", OA_LIT("none"));
	(void)oa_config_override("OTEL_PROPAGATORS", OA_LIT("none"));
	if (!oa_config.resource_detectors)
		(void)oa_config_override("OTELAUTO_RESOURCE_DETECTORS", OA_LIT("none"));
	map_path[0] = '\0';
	map_limits = NULL;
	map_service = false;
	map_unnamed = 0;
	if (disabled && !text && !cJSON_IsNull(disabled))
		oa_config_unknown("disabled");
	for (const cJSON *node = oa_config_members(top); node; node = node->next)
		if (node != disabled)
			map_child(node, node->string, "");
	if (map_limits)
		oa_config_cardinality(map_limits);
	map_service_name();
	map_flush();
	map_count_unnamed();
	oa_config_settle();
	return true;
}
