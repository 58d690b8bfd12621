#include <errno.h>

#include "exporter/otlp_json.h"
#include "exporter/otlp_metrics.h"
#include "exporter/otlp_pb.h"

static void json_fixed(struct oa_json *j, const char *key, uint64_t value, unsigned scale)
{
	oa_json_key_bytes(j, oa_bytes_str(key));
	oa_json_fixed(j, value, scale);
}

static void json_text_number(struct oa_json *j, const char *key, uint64_t value)
{
	oa_json_key_bytes(j, oa_bytes_str(key));
	oa_json_uint_text(j, value);
}

static void json_attrs(struct oa_json *j, const struct oa_metric_point *pt)
{
	oa_json_key(j, "attributes");
	oa_json_open(j, '[');
	for (unsigned i = 0; i < pt->attr_count; i++) {
		const struct oa_metric_attr *a = &pt->attr[i];

		if (a->type == OA_ATTR_TEXT) {
			oa_otlp_json_attr(j, oa_bytes_str(a->key), a->text);
			continue;
		}
		oa_json_open(j, '{');
		oa_json_key(j, "key");
		oa_json_text(j, oa_bytes_str(a->key));
		oa_json_key(j, "value");
		oa_json_open(j, '{');
		oa_json_key_bytes(j, a->type == OA_ATTR_INT ? OA_LIT("intValue") : OA_LIT("boolValue"));
		if (a->type == OA_ATTR_INT)
			oa_json_text(j, a->text);
		else
			oa_json_bool(j, true);
		oa_json_close(j, '}');
		oa_json_close(j, '}');
	}
	oa_json_close(j, ']');
}

static void json_exemplars(struct oa_json *j, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	struct oa_exemplar e;

	oa_json_key(j, "exemplars");
	oa_json_open(j, '[');
	for (unsigned i = 0; i < pt->series_buckets; i++) {
		if (!oa_otlp_exemplar(m, pt, i, &e))
			continue;
		oa_json_open(j, '{');
		json_text_number(j, "timeUnixNano", e.unix_ns);
		json_fixed(j, "asDouble", e.value, pt->scale);
		oa_json_key(j, "spanId");
		oa_json_hex(j, e.span_id, sizeof(e.span_id));
		oa_json_key(j, "traceId");
		oa_json_hex(j, e.trace_id, sizeof(e.trace_id));
		oa_json_close(j, '}');
	}
	oa_json_close(j, ']');
}

static void json_buckets(struct oa_json *j, const struct oa_metric_point *pt)
{
	oa_json_key(j, "bucketCounts");
	oa_json_open(j, '[');
	for (unsigned i = 0; i < pt->bucket_count; i++)
		oa_json_uint_text(j, pt->bucket[i]);
	oa_json_close(j, ']');
}

static void json_histogram(struct oa_json *j, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	const struct oa_stream *info = &oa_streams[oa_series_stream(&oa_tree->series, pt->series)];

	json_text_number(j, "count", pt->count);
	json_fixed(j, "sum", pt->sum, pt->scale);
	json_buckets(j, pt);
	oa_json_key(j, "explicitBounds");
	oa_json_open(j, '[');
	for (unsigned i = 0; i + 1 < pt->bucket_count; i++)
		oa_json_fixed(j, info->limits[i], pt->scale);
	oa_json_close(j, ']');
	json_exemplars(j, m, pt);
}

static void json_exponential(struct oa_json *j, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	json_text_number(j, "count", pt->count);
	json_fixed(j, "sum", pt->sum, pt->scale);
	oa_json_key(j, "scale");
	oa_json_int(j, pt->exp_scale);
	json_text_number(j, "zeroCount", pt->zero_count);
	json_fixed(j, "zeroThreshold", (uint64_t)(pt->zero_threshold * 1e18), 18);
	oa_json_key(j, "positive");
	oa_json_open(j, '{');
	oa_json_key(j, "offset");
	oa_json_int(j, pt->offset);
	json_buckets(j, pt);
	oa_json_close(j, '}');
	json_exemplars(j, m, pt);
}

static void json_on_begin(void *ctx, const struct oa_metric *m)
{
	static const char *const data[] = { [OA_METRIC_COUNTER] = "sum", [OA_METRIC_UPDOWN] = "sum", [OA_METRIC_GAUGE] = "gauge",
					    [OA_METRIC_HISTOGRAM] = "histogram",
					    [OA_METRIC_EXPONENTIAL] = "exponentialHistogram" };
	struct oa_json *j = ctx;

	oa_json_open(j, '{');
	oa_json_key(j, "name");
	oa_json_text(j, oa_bytes_str(m->name));
	oa_json_key(j, "description");
	oa_json_text(j, oa_bytes_str(m->help));
	oa_json_key(j, "unit");
	oa_json_text(j, oa_bytes_str(m->unit));
	oa_json_key_bytes(j, oa_bytes_str(data[m->kind]));
	oa_json_open(j, '{');
	oa_json_key(j, "dataPoints");
	oa_json_open(j, '[');
}

static void json_on_point(void *ctx, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	struct oa_json *j = ctx;

	oa_json_open(j, '{');
	if (m->kind != OA_METRIC_GAUGE)
		json_text_number(j, "startTimeUnixNano", pt->start_unix_ns);
	json_text_number(j, "timeUnixNano", pt->unix_ns);
	if (m->kind == OA_METRIC_HISTOGRAM)
		json_histogram(j, m, pt);
	else if (m->kind == OA_METRIC_EXPONENTIAL)
		json_exponential(j, m, pt);
	else if (pt->scale)
		json_fixed(j, "asDouble", pt->value, pt->scale);
	else
		json_text_number(j, "asInt", pt->value);
	json_attrs(j, pt);
	oa_json_close(j, '}');
}

static void json_on_end(void *ctx, const struct oa_metric *m)
{
	struct oa_json *j = ctx;

	oa_json_close(j, ']');
	if (m->kind != OA_METRIC_GAUGE) {
		oa_json_key(j, "aggregationTemporality");
		oa_json_uint(j, m->delta ? OA_TEMPORALITY_DELTA : OA_TEMPORALITY_CUMULATIVE);
	}
	if (m->kind == OA_METRIC_COUNTER) {
		oa_json_key(j, "isMonotonic");
		oa_json_bool(j, true);
	}
	oa_json_close(j, '}');
	oa_json_close(j, '}');
}

long oa_otlp_metrics_json(struct oa_json *j, const struct oa_proc_id *who, uint64_t now_unix_ns)
{
	static const struct oa_metric_sink sink = { json_on_begin, json_on_point, json_on_end };
	static const struct oa_otlp_json_names names = { "resourceMetrics", "scopeMetrics", "metrics" };
	unsigned points;

	oa_otlp_json_begin(j, who, &names);
	points = oa_metric_walk(&sink, j, oa_metric_mode(), now_unix_ns);
	oa_otlp_json_end(j);
	return j->failed ? -ENOMEM : (long)points;
}
