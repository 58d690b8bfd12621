#pragma once
/* Encodes spans as Jaeger's Thrift structs, by OpenTelemetry's mapping. */
#include "exporter/exporter.h"
#include "exporter/thrift.h"

/* The fields of a struct Process, as a field of the open struct. */
void oa_jaeger_process(struct oa_thrift *t, int16_t id, const struct oa_proc_id *who);
/* One struct Span. */
void oa_jaeger_span(struct oa_thrift *t, const struct oa_span *s);
/* A whole struct Batch. */
void oa_jaeger_batch(struct oa_thrift *t, const struct oa_batch *batch);

/* Child after fork. */
void oa_jaeger_thrift_forget(void);
