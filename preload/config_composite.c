/* The composite samplers of a configuration file as samplers of ours: always_on, always_off, probability, parent_threshold,
 * and rule_based, which becomes the text of OTELAUTO_SAMPLING_RULES. A sampler that would decide otherwise here than it says
 * is not taken at all. */
#include <string.h>

#include <cjson/cJSON.h>

#include "core/config_value.h"
#include "preload/config_file.h"

#define COMPOSITE_RULES_MAX 255 /* of sampler/rules.c */

/* The rules under work. */
struct composite {
	cJSON *rules;
	bool parent;         /* whoever has a parent is not asked */
	const char *without; /* what has no place here; NULL: all has */
};

/* node: a member of an object */
static bool composite_is(const cJSON *node, const char *name) { return !strcmp(node->string, name); }

/* A number as it was written: printing it would take the program's locale. */
static bool composite_number(const cJSON *node, char ret[OA_CONFIG_RATIO_MAX])
{
	char *made = cJSON_IsNumber(node) ? cJSON_PrintUnformatted(node) : NULL;
	const char *text = made ? made : cJSON_GetStringValue(node); /* as YAML has it */
	size_t len = text ? strlen(text) : 0;
	double ratio;
	bool good = len && len < OA_CONFIG_RATIO_MAX && oa_value_ratio(oa_bytes_str(text), &ratio) && text[0] != '.' &&
		    text[len - 1] != '.'; /* and as JSON may have it */

	if (good)
		memcpy(ret, text, len + 1);
	cJSON_free(made);
	return good;
}

/* The share of always_on, always_off and probability. returns false for others */
static bool composite_ratio(const cJSON *sampler, char ret[OA_CONFIG_RATIO_MAX])
{
	const cJSON *kind = oa_config_members(sampler), *ratio;

	if (!kind || kind->next || !oa_config_may_be_object(kind))
		return false;
	memcpy(ret, composite_is(kind, "always_off") ? "0" : "1", 2);
	if (composite_is(kind, "always_on") || composite_is(kind, "always_off"))
		return true;
	ratio = cJSON_GetObjectItemCaseSensitive(kind, "ratio");
	return composite_is(kind, "probability") && (!ratio || cJSON_IsNull(ratio) || composite_number(ratio, ret));
}

/* -- conditions -- */

/* One condition: an attribute and what it may be, of which one has to do. */
struct composite_cond {
	const char *key;
	const cJSON *any; /* list; NULL: no such condition */
	bool exact;       /* texts, not patterns */
};

static void composite_refuse(struct composite *c, const char *what)
{
	if (!c->without)
		c->without = what;
}

static struct composite_cond composite_attribute(struct composite *c, const cJSON *rule, const char *what, const char *list)
{
	const cJSON *cond = cJSON_GetObjectItemCaseSensitive(rule, what);
	const cJSON *key = cJSON_GetObjectItemCaseSensitive(cond, "key"), *value;
	struct composite_cond ret = { .exact = !strcmp(list, "values") };

	if (!cond || cJSON_IsNull(cond))
		return ret;
	ret.any = cJSON_GetObjectItemCaseSensitive(cond, list);
	ret.key = cJSON_GetStringValue(key);
	if (!ret.key || !cJSON_IsArray(ret.any) || cJSON_GetObjectItemCaseSensitive(cond, "excluded"))
		composite_refuse(c, what);
	cJSON_ArrayForEach(value, ret.any)
		if (!cJSON_IsString(value) || (ret.exact && strpbrk(value->valuestring, "*?")))
			composite_refuse(c, what);
	return ret;
}

static struct composite_cond composite_kinds(struct composite *c, const cJSON *rule)
{
	const cJSON *kinds = cJSON_GetObjectItemCaseSensitive(rule, "span_kinds"), *kind;

	if (!kinds || cJSON_IsNull(kinds))
		return (struct composite_cond){ 0 };
	if (!cJSON_IsArray(kinds))
		composite_refuse(c, "span_kinds");
	cJSON_ArrayForEach(kind, kinds)
		if (!cJSON_IsString(kind))
			composite_refuse(c, "span_kinds");
	return (struct composite_cond){ "span.kind", kinds, true };
}

/* Traces begin here without a parent, or with one elsewhere: `local` is never asked. */
static void composite_parent(struct composite *c, const cJSON *rule)
{
	const cJSON *parent = cJSON_GetObjectItemCaseSensitive(rule, "parent"), *item;
	bool none = false, remote = c->parent;

	if (!parent || cJSON_IsNull(parent))
		return;
	cJSON_ArrayForEach(item, parent) {
		const char *text = cJSON_GetStringValue(item);

		none |= text && !strcmp(text, "none");
		remote |= text && !strcmp(text, "remote");
	}
	if (!none || !remote)
		composite_refuse(c, "parent");
}

/* -- rules -- */

static bool composite_put(cJSON *rule, const struct composite_cond *cond, const cJSON *value)
{
	cJSON *attributes = cJSON_GetObjectItemCaseSensitive(rule, "attribute");
	const char *key = cond->key;

	/* When a request begins nobody knows its route: a pattern says which path would have it. */
	if (!strcmp(key, "http.route"))
		return !cJSON_GetObjectItemCaseSensitive(rule, "route") && cJSON_AddStringToObject(rule, "route", value->valuestring);
	if (!attributes)
		attributes = cJSON_AddObjectToObject(rule, "attribute");
	return !cJSON_GetObjectItemCaseSensitive(attributes, key) && cJSON_AddStringToObject(attributes, key, value->valuestring);
}

/* A rule of ours for each combination of what the conditions allow. */
static void composite_expand(struct composite *c, const cJSON *so_far, const struct composite_cond *cond, unsigned left)
{
	const cJSON *value;

	while (left && !cond->any) {
		cond++;
		left--;
	}
	if (!left) {
		cJSON *rule = cJSON_Duplicate(so_far, true);

		if (!rule || cJSON_GetArraySize(c->rules) >= COMPOSITE_RULES_MAX) {
			cJSON_Delete(rule);
			composite_refuse(c, "rules");
			return;
		}
		cJSON_AddItemToArray(c->rules, rule);
		return;
	}
	cJSON_ArrayForEach(value, cond->any) {
		cJSON *rule = cJSON_Duplicate(so_far, true);

		if (!c->without && rule && composite_put(rule, cond, value))
			composite_expand(c, rule, cond + 1, left - 1);
		else
			composite_refuse(c, "rules");
		cJSON_Delete(rule);
	}
}

static void composite_known_keys(struct composite *c, const cJSON *rule)
{
	static const char *const known[] = { "attribute_values", "attribute_patterns", "span_kinds", "parent", "sampler" };

	if (!cJSON_IsObject(rule))
		composite_refuse(c, "rules");
	for (const cJSON *item = oa_config_members(rule); item; item = item->next) {
		bool is_known = false;

		for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is_known |= composite_is(item, known[i]);
		if (!is_known)
			composite_refuse(c, "rules");
	}
}

/* returns true when it takes all that reaches it: then its share is ret_rest, and nothing behind it counts */
static bool composite_rule(struct composite *c, const cJSON *rule, char ret_rest[OA_CONFIG_RATIO_MAX])
{
	struct composite_cond conds[] = { composite_kinds(c, rule), composite_attribute(c, rule, "attribute_values", "values"),
					  composite_attribute(c, rule, "attribute_patterns", "included") };
	char ratio[OA_CONFIG_RATIO_MAX] = "";
	cJSON *made = cJSON_CreateObject();
	bool all = !conds[0].any && !conds[1].any && !conds[2].any;

	composite_known_keys(c, rule);
	composite_parent(c, rule);
	if (!composite_ratio(cJSON_GetObjectItemCaseSensitive(rule, "sampler"), ratio) || !made ||
	    !cJSON_AddRawToObject(made, "ratio", ratio))
		composite_refuse(c, "rule's sampler");
	else if (all)
		memcpy(ret_rest, ratio, sizeof(ratio));
	if (!all && !c->without)
		composite_expand(c, made, conds, 3);
	cJSON_Delete(made);
	return all;
}

/* The rules as text; NULL: not all of them have a place here. */
static char *composite_rules(struct composite *c, const cJSON *list, char ret_rest[OA_CONFIG_RATIO_MAX])
{
	cJSON *top = cJSON_CreateObject(), *rule;
	char *text = NULL;

	memcpy(ret_rest, "0", 2); /* what no rule takes is not sampled */
	c->rules = top ? cJSON_AddArrayToObject(top, "rules") : NULL;
	if (!c->rules || (list && !cJSON_IsNull(list) && !cJSON_IsArray(list)))
		composite_refuse(c, "rules");
	for (rule = list ? list->child : NULL; rule && !c->without; rule = rule->next)
		if (composite_rule(c, rule, ret_rest))
			break;
	if (!c->without && cJSON_AddRawToObject(top, "default", ret_rest))
		text = cJSON_PrintUnformatted(top);
	cJSON_Delete(top);
	return text;
}

const char *oa_config_composite(const cJSON *node, bool parent, struct oa_config_composite *ret)
{
	struct composite c = { .parent = parent };
	const cJSON *kind = oa_config_members(node);

	if (kind && !kind->next && composite_is(kind, "parent_threshold") && !parent) {
		node = cJSON_GetObjectItemCaseSensitive(kind, "root");
		return node ? oa_config_composite(node, true, ret) : "parent_threshold";
	}
	ret->parent = parent;
	if (composite_ratio(node, ret->ratio)) {
		ret->name = composite_is(kind, "probability") ? "traceidratio" : kind->string;
		return NULL;
	}
	if (!kind || kind->next || !oa_config_may_be_object(kind) || !composite_is(kind, "rule_based"))
		return "(this sampler)";
	ret->name = "rules";
	ret->rules = composite_rules(&c, cJSON_GetObjectItemCaseSensitive(kind, "rules"), ret->ratio);
	return ret->rules ? NULL : c.without ? c.without : "rules";
}
