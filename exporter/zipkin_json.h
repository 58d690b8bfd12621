#pragma once
/* Encodes batches as Zipkin's v2 JSON, by OpenTelemetry's mapping. */
#include "exporter/exporter.h"

/* returns   the text, to be freed by oa_zipkin_json_free(); NULL: no memory */
char *oa_zipkin_json(const struct oa_batch *batch);
void oa_zipkin_json_free(char *text);

/* Child after fork. */
void oa_zipkin_json_forget(void);
