#pragma once
/* Trace context in HTTP headers, both ways: W3C tracecontext (level 2) and baggage, B3 single and multi, Jaeger,
 * X-Ray; OTEL_PROPAGATORS chooses. Facts: docs/context.md.
 *
 * all: runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include <stdbool.h>

#include "conn/exchange.h"
#include "core/buf.h"
#include "proto/http1.h"

struct oa_remote {
	bool valid;       /* ids are set */
	bool sampled;
	bool decided;     /* the peer said sampled or not; else the decision is ours */
	bool w3c;         /* came by traceparent: tracestate belongs to it */
	uint8_t flags;    /* W3C flags as received: sampled 1, random 2 */
	uint8_t trace_id[16], parent_id[8];
	struct oa_slice span_at; /* where the 16 hex digits of the parent id stand, for a rewrite in place; len 0: no */
};

/* Reads the context of a request. tracecontext wins over the others, which are asked in the order b3, b3multi, jaeger,
 * xray. */
void oa_propagate_extract(const struct oa_http_head *head, struct oa_remote *ret);

/* A traceparent by itself. returns false when it is none */
bool oa_propagate_parse(struct oa_bytes traceparent, struct oa_remote *ret);

/* True when the request names a trace in any format that is switched on, valid or not: then nothing is added. */
bool oa_propagate_present(const struct oa_http_head *head);

/* Joins every occurrence of a list field (tracestate, baggage) with commas into out; whole members only.
 * returns false when the result breaks the field's rules and must be dropped */
bool oa_propagate_join(const struct oa_http_head *head, enum oa_http_field field, struct oa_buf *out);
/* W3C level 2: at most 32 members, key and value grammar. */
bool oa_tracestate_valid(struct oa_bytes list);

struct oa_context {
	uint8_t trace_id[16], span_id[8];
	bool sampled;
	uint8_t flags;
	struct oa_bytes tracestate, baggage;
};

/* "00-<trace id>-<span id>-<flags>", without a terminator. flags: sampled 1, random 2 */
#define OA_TRACEPARENT 55
void oa_propagate_value(const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags, char ret[OA_TRACEPARENT]);
/* The same of an exchange: what a receiver takes as its parent. */
void oa_propagate_exchange(const struct oa_exchange *ex, char ret[OA_TRACEPARENT]);

/* Writes the header lines ("traceparent: …\r\n" …) of the formats that are switched on. */
void oa_propagate_inject(const struct oa_context *ctx, struct oa_buf *out);
