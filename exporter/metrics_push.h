#pragma once
/* OTEL_METRICS_EXPORTER=otlp: the leader of the tree posts the metrics of all its processes, every
 * OTEL_METRIC_EXPORT_INTERVAL and at the end. Side thread only. */
#include <stdbool.h>
#include <stdint.h>

/* About once a second, by the leader. */
void oa_metrics_push_tick(uint64_t now_ns);
void oa_metrics_push_forget(void);
