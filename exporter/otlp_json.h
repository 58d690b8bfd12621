#pragma once
/* Encodes batches as OTLP's JSON: what http/json sends and what otlp_file writes, a line each. Says the same as
 * otlp_pb.c, whose messages the tests compare it with. */
#include "exporter/exporter.h"
#include "exporter/json_out.h"

/* Encodes a request, in one line.
 *
 * max_bytes    it stays below; spans that do not fit are left out
 * ret_request  lies in j, until the next call
 * returns      spans encoded, from the first on; -ENOMEM
 */
long oa_otlp_json_request(struct oa_json *j, const struct oa_batch *batch, size_t max_bytes,
			  struct oa_bytes *ret_request);

/* What is around the spans, or the metrics, of one process: resource, scope, schema; one of each. */
struct oa_otlp_json_names {
	const char *resources, *scopes, *items; /* "resourceSpans", "scopeSpans", "spans" */
};
void oa_otlp_json_begin(struct oa_json *j, const struct oa_proc_id *who, const struct oa_otlp_json_names *names);
void oa_otlp_json_end(struct oa_json *j);

/* {"key":…,"value":{…}} of a string. */
void oa_otlp_json_attr(struct oa_json *j, struct oa_bytes key, struct oa_bytes value);
