/* otel.sdk.*: what OpenTelemetry's conventions call some of our own counters, and the queue of spans. */
#include "exporter/sdk_metrics.h"

#include "core/stats.h"
#include "core/tree.h"
#include "exporter/prom_text.h"

#define SDK_COMPONENT "otelauto"

enum { SDK_STARTED, SDK_PROCESSED, SDK_QUEUE_SIZE, SDK_QUEUE_CAPACITY, SDK_INFLIGHT, SDK_EXPORTED };

static const struct oa_sdk_metric sdk_metrics[] = {
	[SDK_STARTED] = { "otel.sdk.span.started", "otel_sdk_span_started", "{span}",
			  "Spans by what the sampler said; counted when they end.", false, false },
	[SDK_PROCESSED] = { "otel.sdk.processor.span.processed", "otel_sdk_processor_span_processed", "{span}",
			    "Spans that the queue is done with; error.type when it was full.", false, true },
	[SDK_QUEUE_SIZE] = { "otel.sdk.processor.span.queue.size", "otel_sdk_processor_span_queue_size", "{span}",
			     "Spans in the queues, those that are being sent included.", true, true },
	[SDK_QUEUE_CAPACITY] = { "otel.sdk.processor.span.queue.capacity", "otel_sdk_processor_span_queue_capacity", "{span}",
				 "Spans that the queues may hold.", true, true },
	[SDK_INFLIGHT] = { "otel.sdk.exporter.span.inflight", "otel_sdk_exporter_span_inflight", "{span}",
			   "Spans that were handed to the exporters, and for which they have not ended.", true, true },
	[SDK_EXPORTED] = { "otel.sdk.exporter.span.exported", "otel_sdk_exporter_span_exported", "{span}",
			   "Spans for which an export has ended; error.type when it failed.", false, true },
};

static uint64_t sdk_sampled(enum oa_stat unused)
{
	(void)unused;
	return oa_stat_sum(OA_STAT_spans_sampled) + oa_stat_sum(OA_STAT_spans_kept);
}

/* Those whose export failed, too: the queue has handed them over. */
static uint64_t sdk_handed_over(enum oa_stat unused)
{
	(void)unused;
	return oa_stat_sum(OA_STAT_export_ok) + oa_stat_sum(OA_STAT_export_rejected) + oa_stat_sum(OA_STAT_export_failed) +
	       oa_stat_sum(OA_STAT_export_unknown);
}

#define SDK_RESULT "otel.span.sampling_result", "otel_span_sampling_result"
#define SDK_ERROR  "error.type", "error_type"

static const struct {
	struct oa_sdk_point point;
	uint64_t (*sum)(enum oa_stat stat); /* NULL: a gauge of the processes */
	enum oa_stat stat;
} sdk_points[] = {
	{ { SDK_STARTED, SDK_RESULT, "RECORD_AND_SAMPLE" }, sdk_sampled, 0 },
	{ { SDK_STARTED, SDK_RESULT, "DROP" }, oa_stat_sum, OA_STAT_spans_unsampled },
	{ { SDK_PROCESSED, NULL, NULL, NULL }, sdk_handed_over, 0 },
	{ { SDK_PROCESSED, SDK_ERROR, "queue_full" }, oa_stat_sum, OA_STAT_drop_queue_full },
	{ { SDK_QUEUE_SIZE, NULL, NULL, NULL }, NULL, 0 },
	{ { SDK_QUEUE_CAPACITY, NULL, NULL, NULL }, NULL, 0 },
	{ { SDK_INFLIGHT, NULL, NULL, NULL }, NULL, 0 },
	{ { SDK_EXPORTED, NULL, NULL, NULL }, oa_stat_sum, OA_STAT_export_ok },
	{ { SDK_EXPORTED, SDK_ERROR, "rejected" }, oa_stat_sum, OA_STAT_export_rejected },
	{ { SDK_EXPORTED, SDK_ERROR, "export_failed" }, oa_stat_sum, OA_STAT_export_failed },
	{ { SDK_EXPORTED, SDK_ERROR, "unknown" }, oa_stat_sum, OA_STAT_export_unknown },
};

const struct oa_sdk_metric *oa_sdk_metric(unsigned index)
{
	return index < sizeof(sdk_metrics) / sizeof(sdk_metrics[0]) ? &sdk_metrics[index] : NULL;
}

const struct oa_sdk_point *oa_sdk_point(unsigned index)
{
	return index < sizeof(sdk_points) / sizeof(sdk_points[0]) ? &sdk_points[index].point : NULL;
}

static uint64_t sdk_of_proc(const struct oa_proc *p, unsigned metric)
{
	const _Atomic uint32_t *gauge = metric == SDK_QUEUE_SIZE     ? &p->queued :
					metric == SDK_QUEUE_CAPACITY ? &p->queue_max :
								       &p->in_flight;

	return atomic_load_explicit(gauge, memory_order_relaxed);
}

/* What dead processes left waits too, until it is sent; their slots are no part of the living. */
static uint64_t sdk_orphaned(unsigned metric)
{
	uint64_t sum = 0;

	for (unsigned i = 0; oa_tree && metric != SDK_QUEUE_CAPACITY && i < OA_PROCS_MAX; i++)
		if (atomic_load_explicit(&oa_tree->procs[i].state, memory_order_acquire) == OA_PROC_ORPHAN)
			sum += sdk_of_proc(&oa_tree->procs[i], metric);
	return sum;
}

uint64_t oa_sdk_value(unsigned index, const struct oa_prom_alive *alive)
{
	unsigned metric = sdk_points[index].point.metric;
	uint64_t sum;

	if (sdk_points[index].sum)
		return sdk_points[index].sum(sdk_points[index].stat);
	sum = sdk_orphaned(metric);
	for (unsigned i = 0; i < alive->count; i++)
		sum += sdk_of_proc(alive->proc[i], metric);
	return sum;
}

static void prom_sdk_point(struct oa_prom_out *o, unsigned index, const struct oa_prom_alive *alive)
{
	const struct oa_sdk_point *p = oa_sdk_point(index);
	const struct oa_sdk_metric *m = oa_sdk_metric(p->metric);

	oa_prom_str(o, m->prom);
	if (!m->updown)
		oa_prom_lit(o, "_total");
	oa_prom_lit(o, "{" OA_PROM_SCOPE);
	if (m->of_component)
		oa_prom_lit(o, ",otel_component_name=\"" SDK_COMPONENT "\"");
	if (p->key) {
		oa_prom_lit(o, ",");
		oa_prom_str(o, p->prom_key);
		oa_prom_lit(o, "=\"");
		oa_prom_str(o, p->text);
		oa_prom_lit(o, "\"");
	}
	oa_prom_lit(o, "} ");
	oa_prom_put_uint(o, oa_sdk_value(index, alive));
	oa_prom_lit(o, "\n");
}

void oa_prom_sdk(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	unsigned last = UINT_MAX;

	for (unsigned i = 0; oa_sdk_point(i); i++) {
		const struct oa_sdk_metric *m = oa_sdk_metric(oa_sdk_point(i)->metric);

		if (oa_sdk_point(i)->metric != last)
			oa_prom_observed(o, m->prom, m->updown ? OA_PROM_GAUGE : OA_PROM_COUNTER, NULL, m->help);
		last = oa_sdk_point(i)->metric;
		prom_sdk_point(o, i, alive);
	}
}
