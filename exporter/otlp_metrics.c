#include "exporter/otlp_metrics.h"

#include <errno.h>

#include "exporter/otlp_pb.h"
#include "exporter/otlp_resource.h"

struct pb_metrics {
	struct oa_pb *p;
	size_t metric, data;
};

double oa_otlp_double(uint64_t value, unsigned scale)
{
	double unit = 1;

	while (scale--)
		unit *= 10;
	return (double)value / unit;
}

bool oa_otlp_exemplar(const struct oa_metric *m, const struct oa_metric_point *p, unsigned bucket,
		      struct oa_exemplar *ret_exemplar)
{
	return oa_series_exemplar(p->series, bucket, ret_exemplar) && (!m->delta || ret_exemplar->unix_ns >= p->start_unix_ns);
}

static void pb_attr(struct oa_pb *p, unsigned field, const struct oa_metric_attr *a)
{
	size_t kv = oa_pb_begin(p, field), value;
	uint64_t number = 0;

	oa_pb_text(p, 1, oa_bytes_str(a->key));
	value = oa_pb_begin(p, 2);
	for (size_t i = 0; a->type == OA_ATTR_INT && i < a->text.len; i++)
		number = number * 10 + (uint8_t)(a->text.ptr[i] - '0');
	if (a->type == OA_ATTR_TEXT)
		oa_pb_text(p, 1, a->text);
	else if (a->type == OA_ATTR_TRUE)
		oa_pb_uint(p, 2, 1);
	else
		oa_pb_uint(p, 3, number);
	oa_pb_end(p, value);
	oa_pb_end(p, kv);
}

static void pb_exemplars(struct oa_pb *p, unsigned field, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	struct oa_exemplar e;

	for (unsigned i = 0; i < pt->series_buckets; i++) {
		size_t begin;

		if (!oa_otlp_exemplar(m, pt, i, &e))
			continue;
		begin = oa_pb_begin(p, field);
		oa_pb_fixed64(p, 2, e.unix_ns);
		oa_pb_double(p, 3, oa_otlp_double(e.value, pt->scale));
		oa_pb_bytes(p, 4, e.span_id, sizeof(e.span_id));
		oa_pb_bytes(p, 5, e.trace_id, sizeof(e.trace_id));
		oa_pb_end(p, begin);
	}
}

/* NumberDataPoint */
static void pb_number(struct oa_pb *p, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	if (m->kind != OA_METRIC_GAUGE)
		oa_pb_fixed64(p, 2, pt->start_unix_ns);
	oa_pb_fixed64(p, 3, pt->unix_ns);
	if (pt->scale)
		oa_pb_double(p, 4, oa_otlp_double(pt->value, pt->scale));
	else
		oa_pb_fixed64(p, 6, pt->value);
	for (unsigned i = 0; i < pt->attr_count; i++)
		pb_attr(p, 7, &pt->attr[i]);
}

/* HistogramDataPoint */
static void pb_histogram(struct oa_pb *p, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	size_t list;

	oa_pb_fixed64(p, 2, pt->start_unix_ns);
	oa_pb_fixed64(p, 3, pt->unix_ns);
	oa_pb_fixed64(p, 4, pt->count);
	oa_pb_double(p, 5, oa_otlp_double(pt->sum, pt->scale));
	list = oa_pb_begin(p, 6);
	for (unsigned i = 0; i < pt->bucket_count; i++)
		oa_pb_raw_fixed64(p, pt->bucket[i]);
	oa_pb_end(p, list);
	oa_pb_bytes(p, 7, pt->bounds, (pt->bucket_count - 1) * sizeof(double));
	pb_exemplars(p, 8, m, pt);
	for (unsigned i = 0; i < pt->attr_count; i++)
		pb_attr(p, 9, &pt->attr[i]);
}

/* ExponentialHistogramDataPoint */
static void pb_exponential(struct oa_pb *p, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	size_t positive, list;

	for (unsigned i = 0; i < pt->attr_count; i++)
		pb_attr(p, 1, &pt->attr[i]);
	oa_pb_fixed64(p, 2, pt->start_unix_ns);
	oa_pb_fixed64(p, 3, pt->unix_ns);
	oa_pb_fixed64(p, 4, pt->count);
	oa_pb_double(p, 5, oa_otlp_double(pt->sum, pt->scale));
	oa_pb_sint(p, 6, pt->exp_scale);
	oa_pb_fixed64(p, 7, pt->zero_count);
	positive = oa_pb_begin(p, 8);
	oa_pb_sint(p, 1, pt->offset);
	list = oa_pb_begin(p, 2);
	for (unsigned i = 0; i < pt->bucket_count; i++)
		oa_pb_raw_varint(p, pt->bucket[i]);
	oa_pb_end(p, list);
	oa_pb_end(p, positive);
	pb_exemplars(p, 11, m, pt);
	oa_pb_double(p, 14, pt->zero_threshold);
}

static void pb_on_begin(void *ctx, const struct oa_metric *m)
{
	static const unsigned data[] = { [OA_METRIC_COUNTER] = 7, [OA_METRIC_UPDOWN] = 7, [OA_METRIC_GAUGE] = 5,
					 [OA_METRIC_HISTOGRAM] = 9, [OA_METRIC_EXPONENTIAL] = 10 };
	struct pb_metrics *w = ctx;

	w->metric = oa_pb_begin(w->p, 2);
	oa_pb_text(w->p, 1, oa_bytes_str(m->name));
	oa_pb_text(w->p, 2, oa_bytes_str(m->help));
	oa_pb_text(w->p, 3, oa_bytes_str(m->unit));
	w->data = oa_pb_begin(w->p, data[m->kind]);
}

static void pb_on_point(void *ctx, const struct oa_metric *m, const struct oa_metric_point *pt)
{
	struct pb_metrics *w = ctx;
	size_t begin = oa_pb_begin(w->p, 1);

	if (m->kind == OA_METRIC_HISTOGRAM)
		pb_histogram(w->p, m, pt);
	else if (m->kind == OA_METRIC_EXPONENTIAL)
		pb_exponential(w->p, m, pt);
	else
		pb_number(w->p, m, pt);
	oa_pb_end(w->p, begin);
}

static void pb_on_end(void *ctx, const struct oa_metric *m)
{
	struct pb_metrics *w = ctx;

	if (m->kind != OA_METRIC_GAUGE)
		oa_pb_uint(w->p, 2, m->delta ? OA_TEMPORALITY_DELTA : OA_TEMPORALITY_CUMULATIVE);
	if (m->kind == OA_METRIC_COUNTER)
		oa_pb_uint(w->p, 3, 1); /* monotonic */
	oa_pb_end(w->p, w->data);
	oa_pb_end(w->p, w->metric);
}

long oa_otlp_metrics_pb(struct oa_pb *p, const struct oa_proc_id *who, uint64_t now_unix_ns)
{
	static const struct oa_metric_sink sink = { pb_on_begin, pb_on_point, pb_on_end };
	struct oa_bytes resource = oa_otlp_resource(who);
	struct pb_metrics w = { .p = p };
	size_t whole, scope, name;
	unsigned points;

	if (!resource.ptr)
		return -ENOMEM;
	p->len = 0;
	p->failed = false;
	whole = oa_pb_begin(p, 1);
	oa_pb_bytes(p, 1, resource.ptr, resource.len);
	scope = oa_pb_begin(p, 2);
	name = oa_pb_begin(p, 1);
	oa_pb_text(p, 1, OA_LIT(OA_OTLP_SCOPE));
	oa_pb_text(p, 2, OA_LIT(OA_VERSION));
	oa_pb_end(p, name);
	points = oa_metric_walk(&sink, &w, oa_metric_mode(), now_unix_ns);
	oa_pb_text(p, 3, OA_LIT(OA_OTLP_SCHEMA_URL));
	oa_pb_end(p, scope);
	oa_pb_text(p, 3, OA_LIT(OA_OTLP_SCHEMA_URL));
	oa_pb_end(p, whole);
	return p->failed ? -ENOMEM : (long)points;
}
