#pragma once
/* HTTP/2 connections: what the parser tells becomes exchanges found by their stream; gRPC calls among them.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/span_build.h"
#include "conn/conn.h"
#include "proto/http2.h"

oa_event_fn oa_http2_on_event;

/* A HTTP/1 request that asked for HTTP/2 on the same connection: when its answer says yes it goes on as stream 1. */
bool oa_http2_is_upgrade(const struct oa_exchange *ex);
/* Its answer was yes. returns false when the connection goes on as something else */
bool oa_http2_upgrade(struct oa_conn *c);

/* A request of this process, about to be sent: like oa_span_open_client(). returns exchange index or -1 */
int64_t oa_http2_open_client(struct oa_conn *c, const struct oa_http2_head *h, uint32_t stream, uint64_t now_ns,
			     struct oa_remote *remote, uint8_t *ret_result);

/* A header block of its response that is about to be sent was decoded. */
void oa_http2_answer_ahead(struct oa_exchange *ex, const struct oa_http2_block *b);

/* -- http2_inject.c -- */

/* Is what is about to be sent HTTP/2? For a connection that has not said anything yet. */
bool oa_http2_begins(const struct oa_conn *c, const struct oa_send *s);
/* Was this exchange's request looked at for this call? */
static inline bool oa_http2_is_in(const struct oa_exchange *ex, const struct oa_send *s)
{
	return ex->flags & OA_EX_PREPARED && ex->looked_at == (uint8_t)s->out_seq;
}
/* The call that was prepared for is over: so are the exchanges that were answered meanwhile. */
void oa_http2_sent(struct oa_conn *c);
/* Like oa_inject_prepare(): opens exchanges for the requests in it, and says where fields go. */
void oa_http2_prepare(struct oa_conn *c, struct oa_send *s);
