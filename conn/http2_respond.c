/* traceresponse and Server-Timing on HTTP/2 responses. As for requests (http2_inject.c), header blocks are decoded before they
 * are sent, and the parser does not decode them again. */
#include <limits.h>

#include "conn/feed.h"
#include "conn/http2.h"
#include "conn/http2_fields.h"
#include "conn/respond.h"
#include "conn/streams.h"
#include "proto/http2.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static void answer_add(struct oa_adder *p, const struct oa_exchange *ex, const struct oa_http2_block *b)
{
	unsigned which = oa_respond_missing(&b->head->http);
	uint8_t text[OA_RESPOND_LINES];
	struct oa_buf lines = oa_buf(text, sizeof(text));

	if (!which || b->at < p->before || p->s->points >= OA_STREAM_POINTS_MAX || !oa_adder_open(p))
		return;
	oa_respond_lines(ex, which, &lines);
	(void)oa_adder_add(p, b, oa_buf_bytes(&lines)); /* the answer goes out, with it or without */
}

static bool answer_on_block(void *ctx, const struct oa_http2_block *b)
{
	struct oa_adder *p = ctx;
	uint32_t index;
	struct oa_exchange *ex = oa_stream_find(p->c, b->stream, &index);

	if (!ex || !b->head) /* a block that the kernel did not take before has its fields, or goes without */
		return true;
	oa_http2_answer_ahead(ex, b);
	if (!b->promise && b->head->flags & OA_HTTP2_HAS_STATUS && b->head->http.status >= 200 &&
	    oa_exchange_span(ex)->what == OA_WHAT_HTTP)
		answer_add(p, ex, b);
	return true;
}

OA_COLD void oa_http2_respond(struct oa_conn *c, struct oa_send *s)
{
	const struct oa_sink sink = { .memory = oa_http2_memory };
	struct oa_bytes before = oa_feed_carried(c, OA_DIR_RESPONSE);
	struct oa_adder p = { .c = c, .s = s, .before = before.len };

	if (s->flags & MSG_ZEROCOPY || s->host_iovcnt + 2 > IOV_MAX)
		return;
	oa_http2_limits(c->pstate[OA_DIR_REQUEST], &p.max_frame, &p.max_list);
	/* When it fails, so will feed(). */
	(void)oa_http2_ahead(c->pstate[OA_DIR_RESPONSE], OA_DIR_RESPONSE, before, s->host_iov, s->host_iovcnt, &sink,
			     answer_on_block, &p);
}
