/* Adds context fields to the requests in an HTTP/2 client's bytes. The blocks are decoded here, before they are sent, so
 * that nothing is added to a request that names a context; the parser is told of that, and does not decode them again when
 * they are sent. When the kernel takes nothing, or half of them, they are recognised in the host's next call. */
#include <limits.h>
#include <sys/uio.h>

#include "conn/context.h"
#include "conn/feed.h"
#include "conn/http2.h"
#include "conn/http2_fields.h"
#include "conn/span_http.h"
#include "conn/streams.h"
#include "core/tsc.h"
#include "core/stats.h"
#include "proto/http2.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static bool adder_iov_begins(const struct oa_send *s, struct oa_bytes with)
{
	for (int i = 0; i < s->host_iovcnt && with.len; i++) {
		size_t n = s->host_iov[i].iov_len < with.len ? s->host_iov[i].iov_len : with.len;

		if (n && memcmp(s->host_iov[i].iov_base, with.ptr, n))
			return false;
		with = oa_bytes(with.ptr + n, with.len - n);
	}
	return !with.len;
}

bool oa_http2_begins(const struct oa_conn *c, const struct oa_send *s)
{
	struct oa_bytes before = oa_feed_carried(c, OA_DIR_REQUEST), preface = OA_LIT(OA_HTTP2_PREFACE);

	if (c->state > OA_CONN_NEW || before.len > preface.len || (before.len && memcmp(before.ptr, preface.ptr, before.len)))
		return false;
	return adder_iov_begins(s, oa_bytes(preface.ptr + before.len, preface.len - before.len));
}

/* -- requests -- */

/* The header lines stand in a block of their own while they become fields. */
static OA_HOT enum oa_inject_result add_fields(struct oa_adder *p, struct oa_exchange *ex, const struct oa_http2_block *b)
{
	unsigned cls = oa_inject_is_long(ex) ? 2 : 0;
	int64_t block = oa_block_take(cls);
	enum oa_inject_result result;
	struct oa_buf lines;

	if (block < 0)
		return OA_INJECT_POOL;
	lines = oa_buf(oa_block_at(cls, (uint32_t)block), oa_block_bytes[cls]);
	result = oa_inject_lines(ex, &lines);
	if (result == OA_INJECT_DONE)
		result = oa_adder_add(p, b, oa_buf_bytes(&lines));
	oa_block_give(cls, (uint32_t)block);
	return result;
}

/* The traceparent that a proxy hands on, with our span in it; its own encoding may be shorter or longer. */
static enum oa_inject_result replace_parent(struct oa_adder *p, struct oa_exchange *ex, const struct oa_http2_block *b)
{
	uint32_t from = b->fields_from + b->head->parent_from, to = b->fields_from + b->head->parent_to;
	struct oa_buf out = oa_adder_room(p);
	char text[OA_TRACEPARENT];
	enum oa_inject_result result;

	oa_propagate_exchange(ex, text);
	oa_buf_put(&out, oa_bytes(b->frame.ptr, from));
	oa_adder_put_field(&out, OA_LIT("traceparent"), oa_bytes(text, sizeof(text)), b->frame.ptr[from] & 0x10);
	oa_buf_put(&out, oa_bytes(b->frame.ptr + to, b->frame.len - to));
	result = oa_adder_done(p, b, &out);
	return result == OA_INJECT_DONE ? OA_INJECT_REWRITTEN : result;
}

/* A request whose fields were decoded just now. */
static enum oa_inject_result decide(struct oa_adder *p, struct oa_exchange *ex, const struct oa_http2_block *b,
				    uint8_t given)
{
	enum oa_inject_result result = oa_inject_allowed(&b->head->http, p->s, OA_STREAM_POINTS_MAX);

	if (given == OA_INJECT_FOREIGN)
		return OA_INJECT_FOREIGN;
	if (b->at < p->before) /* a part of it is gone */
		return OA_INJECT_PARTIAL;
	if (result != OA_INJECT_NONE)
		return result;
	if (!oa_adder_open(p))
		return OA_INJECT_POOL;
	if (given != OA_INJECT_REWRITTEN)
		return add_fields(p, ex, b);
	return b->single ? replace_parent(p, ex, b) : OA_INJECT_PARTIAL;
}

static void adder_request_new(struct oa_adder *p, const struct oa_http2_block *b)
{
	struct oa_remote remote;
	uint8_t given = OA_INJECT_NONE;
	struct oa_exchange *ex;
	struct oa_span *s;
	int64_t index;

	if (!p->now_ns)
		p->now_ns = oa_host_now_ns();
	index = oa_http2_open_client(p->c, b->head, b->stream, p->now_ns, &remote, &given);
	if (index < 0)
		return;
	ex = oa_exchange_at((uint32_t)index);
	s = oa_exchange_span(ex);
	ex->baggage_len = (uint32_t)b->hash;
	ex->looked_at = (uint8_t)p->s->out_seq;
	s->inject = (uint8_t)decide(p, ex, b, given);
	if (s->inject == OA_INJECT_DONE)
		s->flags |= OA_SPAN_INJECTED;
	if (s->inject != OA_INJECT_REWRITTEN)
		s->flags &= ~OA_SPAN_REWRITTEN;
}

/* A request that the kernel did not take when the host tried before. */
static void adder_request_again(struct oa_adder *p, const struct oa_http2_block *b)
{
	uint32_t index;
	struct oa_exchange *ex = oa_stream_find(p->c, b->stream, &index);
	struct oa_span *s;

	if (!ex || !(ex->flags & OA_EX_PREPARED) || ex->baggage_len != (uint32_t)b->hash)
		return; /* other bytes than before: the parser will see */
	s = oa_exchange_span(ex);
	ex->looked_at = (uint8_t)p->s->out_seq;
	if (b->at < p->before || (s->inject != OA_INJECT_DONE && s->inject != OA_INJECT_REWRITTEN))
		return; /* the rest of our copy of it goes first in this call */
	if (s->inject == OA_INJECT_REWRITTEN || p->s->flags & MSG_ZEROCOPY || p->s->points >= OA_STREAM_POINTS_MAX ||
	    !oa_adder_open(p))
		s->inject = OA_INJECT_SHORT;
	else
		s->inject = (uint8_t)add_fields(p, ex, b);
	if (s->inject != OA_INJECT_DONE)
		s->flags &= ~(OA_SPAN_INJECTED | OA_SPAN_REWRITTEN);
}

static OA_HOT bool adder_on_block(void *ctx, const struct oa_http2_block *b)
{
	struct oa_adder *p = ctx;

	if (!b->request)
		return true;
	if (!b->head)
		adder_request_again(p, b);
	else if (!(b->head->flags & OA_HTTP2_MALFORMED))
		adder_request_new(p, b);
	return true;
}

OA_HOT void oa_http2_prepare(struct oa_conn *c, struct oa_send *s)
{
	const struct oa_sink sink = { .memory = oa_http2_memory };
	struct oa_bytes before = oa_feed_carried(c, OA_DIR_REQUEST);
	struct oa_adder p = { .c = c, .s = s, .before = before.len };

	oa_http2_limits(c->pstate[OA_DIR_RESPONSE], &p.max_frame, &p.max_list);
	oa_ctx_used(c);
	c->flags |= OA_CONN_SENDING;
	oa_conn_set_proto(c, oa_proto_number(&oa_proto_http2)); /* this is how the connection begins, if it does not go on so already */
	/* When it fails, so will feed(). */
	(void)oa_http2_ahead(c->pstate[OA_DIR_REQUEST], OA_DIR_REQUEST, before, s->host_iov, s->host_iovcnt, &sink, adder_on_block, &p);
}
