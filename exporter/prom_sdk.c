/* otel.sdk.*: what OpenTelemetry's conventions call some of our own counters. */
#include "exporter/sdk_metrics.h"

#include "core/stats.h"
#include "exporter/prom_text.h"

static const struct oa_sdk_metric sdk_metrics[] = {
	{ "otel.sdk.exporter.span.exported", "otel_sdk_exporter_span_exported", "{span}",
	  "Spans for which an export has ended; error.type when it failed." },
	{ "otel.sdk.processor.span.processed", "otel_sdk_processor_span_processed", "{span}",
	  "Spans that the queue is done with; error.type when it was full." },
};

static const struct oa_sdk_point sdk_points[] = {
	{ 0, OA_STAT_export_ok, "" }, { 0, OA_STAT_export_rejected, "rejected" }, { 0, OA_STAT_export_failed, "export_failed" },
	{ 0, OA_STAT_export_unknown, "unknown" },
	{ 1, OA_STAT_export_ok, "" }, { 1, OA_STAT_drop_queue_full, "queue_full" },
};

const struct oa_sdk_metric *oa_sdk_metric(unsigned index)
{
	return index < sizeof(sdk_metrics) / sizeof(sdk_metrics[0]) ? &sdk_metrics[index] : NULL;
}

const struct oa_sdk_point *oa_sdk_point(unsigned index)
{
	return index < sizeof(sdk_points) / sizeof(sdk_points[0]) ? &sdk_points[index] : NULL;
}

/* For the processor also those whose export failed: it has handed them over. */
uint64_t oa_sdk_value(const struct oa_sdk_point *p)
{
	if (p->metric == 1 && p->stat == OA_STAT_export_ok)
		return oa_stat_sum(OA_STAT_export_ok) + oa_stat_sum(OA_STAT_export_rejected) +
		       oa_stat_sum(OA_STAT_export_failed) + oa_stat_sum(OA_STAT_export_unknown);
	return oa_stat_sum(p->stat);
}

void oa_prom_sdk(struct oa_prom_out *o)
{
	unsigned last = UINT_MAX;

	for (unsigned i = 0; oa_sdk_point(i); i++) {
		const struct oa_sdk_point *p = oa_sdk_point(i);
		const struct oa_sdk_metric *m = oa_sdk_metric(p->metric);

		if (p->metric != last)
			oa_prom_family(o, m->prom, OA_PROM_COUNTER, NULL, m->help);
		last = p->metric;
		oa_prom_str(o, m->prom);
		oa_prom_lit(o, "_total{" OA_PROM_SCOPE ",otel_component_name=\"otelauto\"");
		if (*p->error) {
			oa_prom_lit(o, ",error_type=\"");
			oa_prom_str(o, p->error);
			oa_prom_lit(o, "\"");
		}
		oa_prom_lit(o, "} ");
		oa_prom_put_uint(o, oa_sdk_value(p));
		oa_prom_lit(o, "\n");
	}
}
