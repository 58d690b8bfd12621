#pragma once
/* gRPC calls: a stream whose content type is application/grpc is a span of RPC rather than of HTTP. What has to be
 * remembered while it is open stands in the record itself, in OA_STR_RPC.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/exchange.h"
#include "proto/http2.h"

bool oa_rpc_is(const struct oa_http2_head *request);
void oa_rpc_open(struct oa_exchange *ex, const struct oa_http2_head *request);
/* A header block of the answer: the first, or the only one. */
void oa_rpc_response(struct oa_exchange *ex, const struct oa_http2_head *h);
void oa_rpc_trailers(struct oa_exchange *ex, const struct oa_http2_head *h);
/* Payload; its ptr is NULL when nobody could look at it. */
void oa_rpc_body(struct oa_exchange *ex, enum oa_dir dir, struct oa_bytes bytes);
/* The answer is complete / the stream was reset: settles the status. */
void oa_rpc_end(struct oa_exchange *ex, uint64_t now_ns);
void oa_rpc_reset(struct oa_exchange *ex, uint32_t code, uint64_t now_ns);
