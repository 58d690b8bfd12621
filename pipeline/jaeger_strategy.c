#include "pipeline/jaeger_strategy.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "core/span.h"
#include "sampler/rules.h"

static double jaeger_clamp(double p) { return p > 1 ? 1 : p >= 0 ? p : 0; }

static void jaeger_add(struct oa_jaeger_strategy *s, struct oa_bytes name, double probability)
{
	struct oa_jaeger_operation *op = &s->operation[s->count];

	if (s->count == OA_CLASSES_MAX - 1 || name.len >= sizeof(op->name)) {
		s->skipped++;
		return;
	}
	memcpy(op->name, name.ptr, name.len);
	op->name[name.len] = '\0';
	op->probability = jaeger_clamp(probability);
	s->count++;
}

/* -- JSON: what proto3 writes, so a number that is not there is 0 -- */

static double json_number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static double json_ratio(const cJSON *object)
{
	return jaeger_clamp(json_number(cJSON_GetObjectItemCaseSensitive(object, "probabilisticSampling"), "samplingRate"));
}

static void json_operations(const cJSON *by, struct oa_jaeger_strategy *ret)
{
	const cJSON *op;

	ret->probability = jaeger_clamp(json_number(by, "defaultSamplingProbability"));
	ret->rate = json_number(by, "defaultLowerBoundTracesPerSecond");
	cJSON_ArrayForEach(op, cJSON_GetObjectItemCaseSensitive(by, "perOperationStrategies"))
	{
		const cJSON *name = cJSON_GetObjectItemCaseSensitive(op, "operation");

		if (cJSON_IsString(name))
			jaeger_add(ret, oa_bytes_str(name->valuestring), json_ratio(op));
	}
}

/* In this order, whatever strategyType says. */
static const char *json_strategy(const cJSON *root, struct oa_jaeger_strategy *ret)
{
	const cJSON *by = cJSON_GetObjectItemCaseSensitive(root, "operationSampling");
	const cJSON *rate = cJSON_GetObjectItemCaseSensitive(root, "rateLimitingSampling");
	const cJSON *ratio = cJSON_GetObjectItemCaseSensitive(root, "probabilisticSampling");

	if (cJSON_IsObject(by)) {
		json_operations(by, ret);
	} else if (cJSON_IsObject(rate)) {
		ret->by_rate = true;
		ret->rate = json_number(rate, "maxTracesPerSecond");
	} else if (cJSON_IsObject(ratio)) {
		ret->probability = json_ratio(root);
	} else {
		return "no strategy is in it";
	}
	return NULL;
}

const char *oa_jaeger_parse_json(struct oa_bytes body, struct oa_jaeger_strategy *ret)
{
	cJSON *root = cJSON_ParseWithLength((const char *)body.ptr, body.len);
	const char *wrong;

	memset(ret, 0, sizeof(*ret));
	wrong = cJSON_IsObject(root) ? json_strategy(root, ret) : "it is no JSON object";
	cJSON_Delete(root);
	return wrong;
}

/* -- protobuf -- */

struct pb_field {
	unsigned number, type;
	uint64_t value;        /* varint, fixed64 */
	struct oa_bytes bytes;
};

static bool pb_varint(struct oa_bytes *in, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && in->len; shift += 7) {
		uint8_t c = *in->ptr++;

		in->len--;
		value |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool pb_take(struct oa_bytes *in, size_t n, struct oa_bytes *ret)
{
	if (n > in->len)
		return false;
	*ret = oa_bytes(in->ptr, n);
	*in = oa_bytes(in->ptr + n, in->len - n);
	return true;
}

/* returns false at the end, and when it is broken: then `in` is not empty */
static bool pb_next(struct oa_bytes *in, struct pb_field *ret)
{
	struct oa_bytes rest = *in;
	uint64_t tag, len = 0;

	if (!rest.len || !pb_varint(&rest, &tag))
		return false;
	*ret = (struct pb_field){ .number = (unsigned)(tag >> 3), .type = tag & 7 };
	if (ret->type == 0 ? !pb_varint(&rest, &ret->value) :
	    ret->type == 1 ? !pb_take(&rest, 8, &ret->bytes) :
	    ret->type == 2 ? !pb_varint(&rest, &len) || !pb_take(&rest, len, &ret->bytes) :
			     ret->type != 5 || !pb_take(&rest, 4, &ret->bytes))
		return false;
	*in = rest;
	return true;
}

static double pb_double(const struct pb_field *f)
{
	double d = 0;

	if (f->type == 1)
		memcpy(&d, f->bytes.ptr, 8);
	return d;
}

/* The double that is the message's field 1. */
static double pb_only_double(struct oa_bytes message)
{
	struct pb_field f;
	double d = 0;

	while (pb_next(&message, &f))
		if (f.number == 1)
			d = pb_double(&f);
	return d;
}

static void pb_operation(struct oa_bytes message, struct oa_jaeger_strategy *ret)
{
	struct oa_bytes name = { 0 };
	struct pb_field f;
	double p = 0;

	while (pb_next(&message, &f)) {
		if (f.number == 1)
			name = f.bytes;
		else if (f.number == 2)
			p = pb_only_double(f.bytes);
	}
	jaeger_add(ret, name, p);
}

static void pb_operations(struct oa_bytes message, struct oa_jaeger_strategy *ret)
{
	struct pb_field f;

	while (pb_next(&message, &f)) {
		if (f.number == 1)
			ret->probability = jaeger_clamp(pb_double(&f));
		else if (f.number == 2)
			ret->rate = pb_double(&f);
		else if (f.number == 3)
			pb_operation(f.bytes, ret);
	}
}

static void pb_rate(struct oa_bytes message, struct oa_jaeger_strategy *ret)
{
	struct pb_field f;

	ret->by_rate = true;
	while (pb_next(&message, &f))
		if (f.number == 1)
			ret->rate = (double)f.value;
}

const char *oa_jaeger_parse_grpc(struct oa_bytes message, struct oa_jaeger_strategy *ret)
{
	struct oa_bytes part[5] = { { 0 } };
	struct pb_field f;

	memset(ret, 0, sizeof(*ret));
	while (pb_next(&message, &f))
		if (f.type == 2 && f.number < 5)
			part[f.number] = f.bytes.len ? f.bytes : OA_LIT("\x28\x00"); /* there, and empty */
	if (message.len)
		return "it is no SamplingStrategyResponse";
	if (part[4].len)
		pb_operations(part[4], ret);
	else if (part[3].len)
		pb_rate(part[3], ret);
	else if (part[2].len)
		ret->probability = jaeger_clamp(pb_only_double(part[2]));
	else
		return "no strategy is in it";
	return NULL;
}

/* -- into rules -- */

/* The shortest text that is this very number: Jaeger compares what we say with what it gave out. */
static struct oa_bytes jaeger_param(double value, char buf[OA_RULE_PARAM_MAX])
{
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(buf, OA_RULE_PARAM_MAX, "%.*g", digits, value);
		if (strtod(buf, NULL) == value)
			break;
	}
	return oa_bytes_str(buf);
}

/* Operations are the names of root spans: a server's method and route, a client's method. Others are not ours. */
static bool jaeger_rule(const struct oa_jaeger_operation *op, struct oa_rule_spec *spec)
{
	struct oa_bytes name = oa_bytes_str(op->name);
	size_t method = strcspn(op->name, " ");

	spec->name = name;
	spec->method = oa_bytes(name.ptr, method);
	if (oa_bytes_eq(spec->method, OA_LIT("HTTP")))
		spec->method = OA_LIT("_OTHER");
	else if (oa_method_parse(spec->method) == OA_METHOD_OTHER)
		return false;
	if (name.len > method + 1 && name.ptr[method + 1] == '/')
		spec->route = oa_bytes(name.ptr + method + 1, name.len - method - 1);
	else if (name.len > method)
		return false;
	spec->cond[0].attr = OA_LIT("span.kind");
	spec->cond[0].glob = spec->route.len ? OA_LIT("server") : OA_LIT("client");
	spec->conds = 1;
	return true;
}

static unsigned jaeger_wilds(const char *name)
{
	unsigned wilds = 0;

	for (; *name; name++)
		wilds += *name == '{' || *name == '*' || (*name == ':' && name[1]);
	return wilds;
}

static int jaeger_order(const void *a, const void *b)
{
	const struct oa_jaeger_operation *x = *(const struct oa_jaeger_operation *const *)a;
	const struct oa_jaeger_operation *y = *(const struct oa_jaeger_operation *const *)b;
	int wilds = (int)jaeger_wilds(x->name) - (int)jaeger_wilds(y->name);

	return wilds ? wilds : strcmp(x->name, y->name);
}

static void jaeger_add_rules(struct oa_rules_draft *draft, const struct oa_jaeger_strategy *s)
{
	const struct oa_jaeger_operation *sorted[OA_CLASSES_MAX];

	for (unsigned i = 0; i < s->count; i++)
		sorted[i] = &s->operation[i];
	qsort(sorted, s->count, sizeof(*sorted), jaeger_order); /* the plainest first: /users/me before /users/{id} */
	for (unsigned i = 0; i < s->count; i++) {
		struct oa_rule_spec spec = OA_RULE_SPEC;
		char param[OA_RULE_PARAM_MAX];

		spec.ratio = sorted[i]->probability;
		spec.rate = s->rate > 0 ? s->rate : -1;
		spec.param = jaeger_param(sorted[i]->probability, param);
		if (jaeger_rule(sorted[i], &spec))
			(void)oa_rules_add(draft, &spec);
	}
}

bool oa_jaeger_publish(const struct oa_jaeger_strategy *s, uint64_t id)
{
	static struct oa_rules_draft draft;
	struct oa_rule_spec rest = OA_RULE_SPEC;
	char param[OA_RULE_PARAM_MAX];

	rest.ratio = s->by_rate ? -1 : s->probability;
	rest.rate = s->by_rate || s->rate > 0 ? s->rate : -1;
	rest.param = jaeger_param(s->by_rate ? s->rate : s->probability, param);
	if (!oa_rules_begin(&draft, &rest))
		return false;
	jaeger_add_rules(&draft, s);
	oa_rules_commit(&draft, id);
	return true;
}
