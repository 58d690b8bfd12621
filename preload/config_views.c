/* meter_provider.views of a configuration file, and the limits of series of its readers. Each view counts as far as it has a
 * place here; what has none is named. */
#include <string.h>

#include <cjson/cJSON.h>

#include "core/config_value.h"
#include "core/series_push.h"
#include "core/views.h"
#include "exporter/otlp_pb.h"
#include "exporter/utf8.h"
#include "preload/config_file.h"

#define VIEWS_LIST_MAX 2048

static unsigned views_index; /* of the view in its list */

/* what: the point at its end is left out where no more follows */
static void views_says(const char *what, const char *more)
{
	char path[256], *at = stpcpy(path, "meter_provider.views["), digits[8];
	unsigned left = views_index;
	size_t count = 0;

	do
		digits[count++] = (char)('0' + left % 10);
	while ((left /= 10) && count < sizeof(digits));
	while (count)
		*at++ = digits[--count];
	at = stpcpy(stpcpy(at, "]"), what);
	if (!*more && at[-1] == '.')
		*--at = '\0';
	if (strlen(more) < (size_t)(path + sizeof(path) - at))
		(void)stpcpy(at, more);
	oa_config_unknown(path);
}

static const cJSON *views_get(const cJSON *node, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(node, name);

	return cJSON_IsNull(item) ? NULL : item;
}

static const char *views_text(const cJSON *node, const char *name)
{
	return cJSON_GetStringValue(views_get(node, name));
}

/* The same where only a text will do; else it says so. */
static const char *views_text_at(const cJSON *node, const char *where, const char *name)
{
	if (views_get(node, name) && !views_text(node, name))
		views_says(where, name);
	return views_text(node, name);
}

/* returns whether it is an object, or nothing, and all keys are among `known`; else it says so */
static bool views_knows_keys(const cJSON *node, const char *where, const char *known)
{
	bool all = oa_config_may_be_object(node);

	if (!all)
		views_says(where, "");
	for (const cJSON *item = oa_config_members(node); item; item = item->next) {
		if (cJSON_IsNull(item) || oa_value_choice(oa_bytes_str(item->string), known) >= 0)
			continue;
		views_says(where, item->string);
		all = false;
	}
	return all;
}

static bool views_number(const cJSON *node, double *ret)
{
	const char *text = cJSON_GetStringValue(node);

	if (cJSON_IsNumber(node))
		*ret = node->valuedouble;
	return cJSON_IsNumber(node) || (text && oa_value_number(oa_bytes_str(text), 1e15, ret));
}

/* returns false when it is there and is no such number */
static bool views_whole(const cJSON *node, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	const cJSON *item = views_get(node, name);
	const char *text = cJSON_GetStringValue(item);
	bool minus = text && *text == '-';
	double number;

	if (!item)
		return true;
	if (!views_number(item, &number) && !(minus && oa_value_number(oa_bytes_str(text + 1), 1e15, &number)))
		return false;
	number = minus ? -number : number;
	if (!(number >= (double)min && number <= (double)max))
		return false;
	*ret = (int64_t)number;
	return true;
}

/* -- selector -- */

static bool views_sort(const cJSON *selector, struct oa_view *v)
{
	static const char names[] =
		"counter|up_down_counter|gauge|histogram|observable_counter|observable_up_down_counter|observable_gauge";
	const char *type = views_text(selector, "instrument_type");
	int sort = type ? oa_value_choice(oa_bytes_str(type), names) : -1;

	v->observed = sort > 3;
	v->sort = (enum oa_view_sort)(sort > 3 ? sort - 3 : sort + 1);
	return !type || sort >= 0;
}

static bool views_is(const cJSON *selector, const char *key, const char *ours)
{
	const char *text = views_text(selector, key);

	return !text || !strcmp(text, ours);
}

static bool views_are_texts(const cJSON *node, const char *where)
{
	bool all = true;

	for (const cJSON *item = oa_config_members(node); item; item = item->next)
		all &= cJSON_IsNull(item) || views_text_at(node, where, item->string);
	return all;
}

/* returns false when it selects nothing of ours, or it cannot be told what */
static bool views_selector(const cJSON *selector, struct oa_view *v)
{
	if (!views_knows_keys(selector, ".selector.",
			      "instrument_name|instrument_type|unit|meter_name|meter_version|meter_schema_url") ||
	    !views_are_texts(selector, ".selector."))
		return false;
	if (!views_sort(selector, v)) {
		views_says(".selector.instrument_type", "");
		return false;
	}
	v->instrument = views_text(selector, "instrument_name");
	v->unit = views_text(selector, "unit");
	return views_is(selector, "meter_name", OA_OTLP_SCOPE) && views_is(selector, "meter_version", OA_VERSION) &&
	       views_is(selector, "meter_schema_url", OA_OTLP_SCHEMA_URL);
}

/* -- stream -- */

/* Elements of a list, joined by commas. NULL: there is no list, or one without anything that counts */
static const char *views_list(const cJSON *keys, const char *name, char list[VIEWS_LIST_MAX])
{
	const cJSON *node = views_get(keys, name), *item;
	size_t used = 0;

	if (node && !cJSON_IsArray(node))
		views_says(".stream.attribute_keys.", name);
	if (!cJSON_IsArray(node))
		return NULL;
	list[0] = '\0';
	cJSON_ArrayForEach(item, node) {
		const char *text = cJSON_GetStringValue(item);
		size_t len = text ? strlen(text) : 0;

		if (!len || used + len + 2 > VIEWS_LIST_MAX) {
			views_says(".stream.attribute_keys.", name);
			continue;
		}
		if (used)
			list[used++] = ',';
		memcpy(list + used, text, len + 1);
		used += len;
	}
	return used || !node->child ? list : NULL;
}

static void views_min_max(const cJSON *node, const char *where)
{
	const cJSON *item = views_get(node, "record_min_max");
	const char *text = cJSON_GetStringValue(item);

	if (item && !cJSON_IsFalse(item) && !(text && !strcmp(text, "false")))
		views_says(where, "record_min_max");
}

static void views_explicit(const cJSON *node, struct oa_view *v)
{
	static double bounds[OA_BOUNDS_MAX + 1];
	static const char where[] = ".stream.aggregation.explicit_bucket_histogram.";
	const cJSON *list = views_get(node, "boundaries"), *item;

	(void)views_knows_keys(node, where, "boundaries|record_min_max");
	views_min_max(node, where);
	if (!list)
		return;
	v->bounds = bounds;
	if (!cJSON_IsArray(list))
		v->bounds_count = OA_BOUNDS_MAX + 1; /* as if they were too many */
	cJSON_ArrayForEach(item, list) {
		if (v->bounds_count > OA_BOUNDS_MAX)
			return; /* it has too many */
		if (!views_number(item, &bounds[v->bounds_count++])) {
			v->bounds_count = OA_BOUNDS_MAX + 1;
			return;
		}
	}
}

static void views_exponential(const cJSON *node, struct oa_view *v)
{
	static const char where[] = ".stream.aggregation.base2_exponential_bucket_histogram.";
	int64_t scale = OA_EXP_SCALE, size = 0;

	(void)views_knows_keys(node, where, "max_scale|max_size|record_min_max");
	views_min_max(node, where);
	if (!views_whole(node, "max_scale", -10, 20, &scale))
		views_says(where, "max_scale");
	if (!views_whole(node, "max_size", 2, UINT16_MAX, &size))
		views_says(where, "max_size");
	v->exp_coarser = scale < OA_EXP_SCALE ? (unsigned)(OA_EXP_SCALE - scale) : 0;
	v->exp_size = (unsigned)size;
}

static void views_aggregation(const cJSON *node, struct oa_view *v)
{
	static const char names[] =
		"default|drop|explicit_bucket_histogram|base2_exponential_bucket_histogram|sum|last_value";
	const cJSON *kind = oa_config_members(node); /* null is meant: `drop:` */
	int which = kind && !kind->next ? oa_value_choice(oa_bytes_str(kind->string), names) : -1;

	if (!node)
		return;
	if (which < 0 || !oa_config_may_be_object(kind)) {
		views_says(".stream.aggregation.", kind ? kind->string : "");
		return;
	}
	v->aggregation = (enum oa_view_aggregation)which;
	if (which == OA_VIEW_EXPLICIT)
		views_explicit(kind, v);
	if (which == OA_VIEW_EXPONENTIAL)
		views_exponential(kind, v);
}

static void views_stream(const cJSON *stream, struct oa_view *v)
{
	static char included[VIEWS_LIST_MAX], excluded[VIEWS_LIST_MAX];
	const cJSON *keys = views_get(stream, "attribute_keys");
	int64_t limit = 0;

	(void)views_knows_keys(keys, ".stream.attribute_keys.", "included|excluded");
	v->name = views_text_at(stream, ".stream.", "name");
	v->help = views_text_at(stream, ".stream.", "description");
	if (v->help && oa_utf8_size(oa_bytes_str(v->help)) != strlen(v->help)) {
		views_says(".stream.description", "");
		v->help = NULL;
	}
	v->included = views_list(keys, "included", included);
	v->excluded = views_list(keys, "excluded", excluded);
	if (!views_whole(stream, "aggregation_cardinality_limit", 1, UINT32_MAX, &limit))
		views_says(".stream.aggregation_cardinality_limit", "");
	v->series_max = (unsigned)limit;
	views_aggregation(views_get(stream, "aggregation"), v);
}

static void views_trouble(unsigned trouble)
{
	static const char *const names[] = { ".stream.name", ".stream.aggregation", ".stream.aggregation.(boundaries)",
					     ".stream.attribute_keys (of what has no series)", ".stream (name in use)",
					     ".stream.aggregation_cardinality_limit" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (trouble >> i & 1)
			views_says(names[i], "");
}

static void views_one(const cJSON *node)
{
	const cJSON *stream = views_get(node, "stream");
	struct oa_view view = { 0 };

	if (!cJSON_IsObject(node)) {
		views_says("", "");
		return;
	}
	(void)views_knows_keys(node, ".", "selector|stream");
	if (!views_selector(views_get(node, "selector"), &view))
		return;
	(void)views_knows_keys(stream, ".stream.",
			       "name|description|aggregation|aggregation_cardinality_limit|attribute_keys");
	if (!oa_config_may_be_object(stream))
		return;
	views_stream(stream, &view);
	views_trouble(oa_view_add(&view));
}

void oa_config_views(const cJSON *list)
{
	const cJSON *node;

	views_index = 0;
	if (!cJSON_IsArray(list) && !cJSON_IsNull(list))
		oa_config_unknown("meter_provider.views");
	for (node = cJSON_IsArray(list) ? list->child : NULL; node; node = node->next) {
		views_one(node);
		views_index++;
	}
}

/* -- limits -- */

static void views_limit(const cJSON *node, const char *name, enum oa_view_sort sort)
{
	char path[96] = "meter_provider.readers[].(reader).cardinality_limits.";
	int64_t limit = 0;

	if (!views_whole(node, name, 1, UINT32_MAX, &limit)) {
		(void)stpcpy(path + strlen(path), name);
		oa_config_unknown(path);
	} else if (limit && limit <= OA_SERIES_MAX) {
		oa_view_limit(sort, (unsigned)limit);
	}
}

void oa_config_cardinality(const cJSON *node)
{
	views_limit(node, "counter", OA_VIEW_COUNTER);
	views_limit(node, "histogram", OA_VIEW_HISTOGRAM);
	views_limit(node, "default", OA_VIEW_COUNTER);
	views_limit(node, "default", OA_VIEW_HISTOGRAM);
}
