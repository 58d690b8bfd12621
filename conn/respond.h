#pragma once
/* Adds our context to responses, for callers that cannot send one themselves: a browser's script reads it back and joins the
 * trace. Opt-in (OTELAUTO_RESPONSE_HEADERS). The same rules as for requests: one call, whole header block, never twice.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no */
#include "conn/conn.h"
#include "conn/exchange.h"
#include "core/buf.h"
#include "core/config.h"

#define OA_RESPONSE_TRACERESPONSE 0x1u
#define OA_RESPONSE_SERVER_TIMING 0x2u

static inline bool oa_respond_on(void)
{
	return (oa_config.response_headers & (OA_RESPONSE_TRACERESPONSE | OA_RESPONSE_SERVER_TIMING)) != 0;
}

/* Looks at what a server is about to send: where the header block of the next response ends (HTTP/2: of each response in it),
 * something is added. */
void oa_respond_prepare(struct oa_conn *c, struct oa_send *s);

/* Names of the fields, as for oa_http2_init(). */
#define OA_RESPOND_FIELDS "traceresponse,server-timing"

/* What is asked for and not there yet, of the program or who is behind it: OA_RESPONSE_* */
unsigned oa_respond_missing(const struct oa_http_head *head);
/* The header lines for these; at most OA_RESPOND_LINES bytes. */
#define OA_RESPOND_LINES 256
void oa_respond_lines(const struct oa_exchange *ex, unsigned which, struct oa_buf *out);

/* http2_respond.c: the same for a connection that is HTTP/2. */
void oa_http2_respond(struct oa_conn *c, struct oa_send *s);
