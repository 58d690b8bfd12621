#pragma once
/* Encodes the metrics of the tree as an ExportMetricsServiceRequest. */
#include "exporter/json_out.h"
#include "exporter/metric_walk.h"
#include "exporter/pb_out.h"

/* Whose they are: the tree, by an instance id of its own. */
/* returns data points, 0 when there are none, -ENOMEM; the request is what p or j holds */
long oa_otlp_metrics_pb(struct oa_pb *p, const struct oa_proc_id *who, uint64_t now_unix_ns);
long oa_otlp_metrics_json(struct oa_json *j, const struct oa_proc_id *who, uint64_t now_unix_ns);

/* value / 10^scale */
double oa_otlp_double(uint64_t value, unsigned scale);
/* The exemplar of an explicit bucket, when it is of the time of the point. */
bool oa_otlp_exemplar(const struct oa_metric *m, const struct oa_metric_point *p, unsigned bucket,
		      struct oa_exemplar *ret_exemplar);
enum { OA_TEMPORALITY_DELTA = 1, OA_TEMPORALITY_CUMULATIVE = 2 };
