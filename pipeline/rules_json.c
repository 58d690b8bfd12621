#include "pipeline/rules_json.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "sampler/rules.h"

/* One rule being read. What is wrong with it is a text of ours. */
struct rule_reader {
	struct oa_rule_spec spec;
	char methods[128];
	char names[OA_RULE_CONDS_EACH][96];
	const char *wrong;
};

static bool rule_is(const cJSON *item, const char *key) { return strcmp(item->string, key) == 0; }

static void rule_wrong(struct rule_reader *r, const char *why)
{
	if (!r->wrong)
		r->wrong = why;
}

static struct oa_bytes rule_text(struct rule_reader *r, const cJSON *item, const char *why)
{
	if (cJSON_IsString(item) && *item->valuestring)
		return oa_bytes_str(item->valuestring);
	rule_wrong(r, why);
	return (struct oa_bytes){ 0 };
}

static double rule_number(struct rule_reader *r, const cJSON *item, double max, const char *why)
{
	if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= max)
		return item->valuedouble;
	rule_wrong(r, why);
	return 0;
}

static void rule_methods(struct rule_reader *r, const cJSON *item)
{
	const cJSON *one;
	size_t len = 0;

	if (!cJSON_IsArray(item)) {
		r->spec.method = rule_text(r, item, "method is no text and no list of texts");
		return;
	}
	cJSON_ArrayForEach(one, item)
	{
		size_t need = cJSON_IsString(one) ? strlen(one->valuestring) : sizeof(r->methods);

		if (len + need + 1 >= sizeof(r->methods)) {
			rule_wrong(r, "method is no list of texts, or too long");
			return;
		}
		memcpy(r->methods + len, one->valuestring, need);
		len += need;
		r->methods[len++] = ',';
	}
	r->spec.method = oa_bytes(r->methods, len);
}

/* Attributes of a rule; prefix: "" or "http.request.header." */
static void rule_conds(struct rule_reader *r, const cJSON *object, const char *prefix)
{
	const cJSON *item;

	if (!cJSON_IsObject(object)) {
		rule_wrong(r, "header and attribute are objects of names and values");
		return;
	}
	cJSON_ArrayForEach(item, object)
	{
		unsigned at = r->spec.conds;
		int len;

		if (at == OA_RULE_CONDS_EACH) {
			rule_wrong(r, "a rule has at most 8 headers and attributes");
			return;
		}
		len = snprintf(r->names[at], sizeof(r->names[at]), "%s%s", prefix, item->string);
		if (len <= 0 || (size_t)len >= sizeof(r->names[at])) {
			rule_wrong(r, "the name of a header or attribute is too long");
			return;
		}
		r->spec.cond[at].attr = oa_bytes(r->names[at], (size_t)len);
		r->spec.cond[at].glob = rule_text(r, item, "the value of a header or attribute is no text");
		r->spec.conds++;
	}
}

/* What is kept. returns false when the key is something else */
static bool rule_share(struct rule_reader *r, const cJSON *item)
{
	if (rule_is(item, "ratio"))
		r->spec.ratio = rule_number(r, item, 1, "ratio is not a number from 0 to 1");
	else if (rule_is(item, "rate"))
		r->spec.rate = rule_number(r, item, 1e6, "rate is not a number of traces a second");
	else if (rule_is(item, "weight"))
		r->spec.weight = rule_number(r, item, 1e6, "weight is not a number above 0");
	else
		return false;
	return true;
}

static void rule_item(struct rule_reader *r, const cJSON *item)
{
	if (rule_share(r, item))
		return;
	if (rule_is(item, "name"))
		r->spec.name = rule_text(r, item, "name is no text");
	else if (rule_is(item, "route"))
		r->spec.route = rule_text(r, item, "route is no text");
	else if (rule_is(item, "method"))
		rule_methods(r, item);
	else if (rule_is(item, "header"))
		rule_conds(r, item, "http.request.header.");
	else if (rule_is(item, "attribute"))
		rule_conds(r, item, "");
	else
		rule_wrong(r, "a key is none of name, method, route, header, attribute, ratio, rate, weight");
}

static const char *rules_one(struct oa_rules_draft *d, const cJSON *object)
{
	struct rule_reader r = { .spec = OA_RULE_SPEC };
	const cJSON *item;

	if (!cJSON_IsObject(object))
		return "a rule is no object";
	cJSON_ArrayForEach(item, object) rule_item(&r, item);
	return r.wrong ? r.wrong : oa_rules_add(d, &r.spec);
}

/* What no rule names: a probability, or an object like a rule's without conditions. */
static const char *rules_rest(struct oa_rule_spec *rest, const cJSON *value, double ratio)
{
	struct rule_reader r = { .spec = OA_RULE_SPEC };
	const cJSON *item;

	if (cJSON_IsObject(value)) {
		cJSON_ArrayForEach(item, value) if (!rule_share(&r, item))
			rule_wrong(&r, "default has a key that is none of ratio, rate, weight");
	} else if (value) {
		r.spec.ratio = rule_number(&r, value, 1, "default is not a number from 0 to 1");
	}
	*rest = r.spec;
	if (rest->ratio < 0 && rest->rate < 0)
		rest->ratio = ratio;
	return r.wrong;
}

static bool rules_known_key(const cJSON *item)
{
	return rule_is(item, "default") || rule_is(item, "rules");
}

static const char *rules_check(const cJSON *root)
{
	const cJSON *item, *rules = cJSON_GetObjectItemCaseSensitive(root, "rules");

	if (!cJSON_IsObject(root))
		return "it is no JSON object";
	cJSON_ArrayForEach(item, root) if (!rules_known_key(item))
		return "a key is none of default, rules";
	return rules && !cJSON_IsArray(rules) ? "rules is no list" : NULL;
}

enum oa_rules_end oa_rules_apply(const struct cJSON *root, double ratio, uint64_t id, char *why, size_t why_cap)
{
	static struct oa_rules_draft draft;
	struct oa_rule_spec rest;
	const char *wrong = rules_check(root);
	const cJSON *rule;
	unsigned number = 0;

	if (!wrong)
		wrong = rules_rest(&rest, cJSON_GetObjectItemCaseSensitive(root, "default"), ratio);
	if (wrong) {
		snprintf(why, why_cap, "%s", wrong);
		return OA_RULES_WRONG;
	}
	if (!oa_rules_begin(&draft, &rest))
		return OA_RULES_LATER;
	cJSON_ArrayForEach(rule, cJSON_GetObjectItemCaseSensitive(root, "rules"))
	{
		number++;
		wrong = rules_one(&draft, rule);
		if (!wrong)
			continue;
		oa_rules_abandon(&draft);
		snprintf(why, why_cap, "rule %u: %s", number, wrong);
		return OA_RULES_WRONG;
	}
	oa_rules_commit(&draft, id);
	return OA_RULES_DONE;
}

enum oa_rules_end oa_rules_read(const char *text, size_t len, double ratio, uint64_t id, char *why, size_t why_cap)
{
	cJSON *root = cJSON_ParseWithLength(text, len);
	enum oa_rules_end end;

	end = oa_rules_apply(root, ratio, id, why, why_cap);
	cJSON_Delete(root);
	return end;
}
