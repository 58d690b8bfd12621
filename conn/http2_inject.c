/* Adds context fields to the requests in an HTTP/2 client's bytes. The frame that a request's header block ends in is
 * replaced by a copy with literal fields behind the others: no table changes, of nobody. The blocks are decoded here,
 * before they are sent, so that nothing is added to a request that names a context; the parser is told of that, and
 * does not decode them again when they are sent. When the kernel takes nothing, or half of them, they are recognised
 * in the host's next call. */
#include <limits.h>
#include <sys/uio.h>

#include "conn/context.h"
#include "conn/feed.h"
#include "conn/http2.h"
#include "conn/inject_impl.h"
#include "conn/span_http.h"
#include "conn/streams.h"
#include "core/tsc.h"
#include "core/stats.h"
#include "proto/http2.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

#define FRAME_HEAD   9u
#define FIELD_EXTRA  32u /* of each field, in the size of a header list */
#define TEXT_CLASS   2 /* of blocks: the points, and what stands for them */

struct adder {
	struct oa_conn *c;
	struct oa_send *s;
	size_t before;                /* bytes sent earlier in front of this call's, as the parser counts */
	uint64_t now_ns;
	uint32_t max_frame, max_list; /* what the server accepts */
	bool open;                    /* there is a text block */
};

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

/* -- room -- */

static bool adder_texts_open(struct adder *p)
{
	if (p->open)
		return true;
	if (!oa_inject_reserve(p->c, p->s, TEXT_CLASS))
		return false;
	p->s->point = (struct oa_point *)(void *)(oa_block_at(TEXT_CLASS, p->s->text - 1) + oa_inject_text_offset());
	p->open = true;
	return true;
}

/* Free part of the text block, behind the points and the texts of earlier ones. */
static struct oa_buf adder_texts_room(const struct adder *p)
{
	const struct oa_send *s = p->s;
	const struct oa_point *last = s->points ? &s->point[s->points - 1] : NULL;
	uint8_t *end = oa_block_at(s->text_cls, s->text - 1) + oa_block_bytes[s->text_cls];
	uint8_t *from = last ? (uint8_t *)(uintptr_t)last->text + last->len : (uint8_t *)(s->point + OA_STREAM_POINTS_MAX);

	return oa_buf(from, (size_t)(end - from));
}

/* -- fields -- */

static void adder_put_byte(struct oa_buf *out, uint8_t c)
{
	oa_buf_put(out, oa_bytes(&c, 1));
}

/* A string, not Huffman-coded. */
static void adder_put_text(struct oa_buf *out, struct oa_bytes text)
{
	size_t rest;

	if (text.len < 127) {
		adder_put_byte(out, (uint8_t)text.len);
	} else {
		adder_put_byte(out, 127);
		for (rest = text.len - 127; rest >= 128; rest >>= 7)
			adder_put_byte(out, (uint8_t)(rest | 128));
		adder_put_byte(out, (uint8_t)rest);
	}
	oa_buf_put(out, text);
}

/* "Name: value\r\n" as a literal field without indexing, its name in lower case. kind: 0, or 0x10 for one that nobody on
 * the way may index */
static void adder_put_field(struct oa_buf *out, struct oa_bytes name, struct oa_bytes value, uint8_t kind)
{
	size_t at;

	adder_put_byte(out, kind);
	at = out->len + 1;
	adder_put_text(out, name);
	for (size_t i = 0; !out->full && i < name.len; i++)
		out->ptr[at + i] = oa_lower(out->ptr[at + i]);
	adder_put_text(out, value);
}

/* Takes the next line off `lines`. returns false at the end */
static bool adder_next_line(struct oa_bytes *lines, struct oa_bytes *ret_name, struct oa_bytes *ret_value)
{
	const uint8_t *colon = lines->len ? memchr(lines->ptr, ':', lines->len) : NULL;
	const uint8_t *lf = colon ? memchr(colon, '\n', lines->len - (size_t)(colon - lines->ptr)) : NULL;

	if (!lf)
		return false;
	*ret_name = oa_bytes(lines->ptr, (size_t)(colon - lines->ptr));
	*ret_value = oa_bytes(colon + 2, (size_t)(lf - 1 - (colon + 2)));
	*lines = oa_bytes(lf + 1, lines->len - (size_t)(lf + 1 - lines->ptr));
	return true;
}

/* All of `lines` as fields. returns what they add to the size of the header list */
static uint32_t adder_put_fields(struct oa_buf *out, struct oa_bytes lines)
{
	struct oa_bytes name, value;
	uint32_t size = 0;

	while (adder_next_line(&lines, &name, &value)) {
		adder_put_field(out, name, value, 0);
		size += (uint32_t)(name.len + value.len) + FIELD_EXTRA;
	}
	return size;
}

/* -- frames -- */

/* The copy of a frame is complete: its length, and whether the peer takes it. */
static enum oa_inject_result frame_done(struct adder *p, const struct oa_http2_block *b, const struct oa_buf *out)
{
	uint32_t len = (uint32_t)out->len - FRAME_HEAD;

	if (out->full)
		return OA_INJECT_POOL;
	if (len > p->max_frame)
		return OA_INJECT_PEER_LIMIT;
	out->ptr[0] = (uint8_t)(len >> 16);
	out->ptr[1] = (uint8_t)(len >> 8);
	out->ptr[2] = (uint8_t)len;
	p->s->point[p->s->points++] = (struct oa_point){ .off = (uint32_t)(b->at - p->before), .len = (uint32_t)out->len,
							 .text = out->ptr, .host_len = (uint32_t)b->frame.len };
	return OA_INJECT_DONE;
}

/* The header lines stand in a block of their own while they become fields. */
static enum oa_inject_result add_fields(struct adder *p, struct oa_exchange *ex, const struct oa_http2_block *b)
{
	unsigned cls = oa_inject_is_long(ex) ? 2 : 0;
	int64_t block = oa_block_take(cls);
	struct oa_buf lines, out = adder_texts_room(p);
	enum oa_inject_result result;
	uint32_t size;

	if (block < 0)
		return OA_INJECT_POOL;
	lines = oa_buf(oa_block_at(cls, (uint32_t)block), oa_block_bytes[cls]);
	result = oa_inject_lines(ex, &lines);
	if (result == OA_INJECT_DONE) {
		oa_buf_put(&out, oa_bytes(b->frame.ptr, b->fields_end));
		size = adder_put_fields(&out, oa_buf_bytes(&lines));
		oa_buf_put(&out, oa_bytes(b->frame.ptr + b->fields_end, b->frame.len - b->fields_end));
		if (b->head && p->max_list && b->head->list_bytes + size > p->max_list)
			result = OA_INJECT_PEER_LIMIT;
		else
			result = frame_done(p, b, &out);
	}
	oa_block_give(cls, (uint32_t)block);
	return result;
}

/* The traceparent that a proxy hands on, with our span in it; its own encoding may be shorter or longer. */
static enum oa_inject_result replace_parent(struct adder *p, struct oa_exchange *ex, const struct oa_http2_block *b)
{
	uint32_t from = b->fields_from + b->head->parent_from, to = b->fields_from + b->head->parent_to;
	struct oa_buf out = adder_texts_room(p);
	char text[OA_TRACEPARENT];

	oa_propagate_exchange(ex, text);
	oa_buf_put(&out, oa_bytes(b->frame.ptr, from));
	adder_put_field(&out, OA_LIT("traceparent"), oa_bytes(text, sizeof(text)), b->frame.ptr[from] & 0x10);
	oa_buf_put(&out, oa_bytes(b->frame.ptr + to, b->frame.len - to));
	return frame_done(p, b, &out) == OA_INJECT_DONE ? OA_INJECT_REWRITTEN : OA_INJECT_POOL;
}

/* -- requests -- */

/* A request whose fields were decoded just now. */
static enum oa_inject_result decide(struct adder *p, struct oa_exchange *ex, const struct oa_http2_block *b,
				    uint8_t given)
{
	enum oa_inject_result result = oa_inject_allowed(&b->head->http, p->s, OA_STREAM_POINTS_MAX);

	if (given == OA_INJECT_FOREIGN)
		return OA_INJECT_FOREIGN;
	if (b->at < p->before) /* a part of it is gone */
		return OA_INJECT_PARTIAL;
	if (result != OA_INJECT_NONE)
		return result;
	if (!adder_texts_open(p))
		return OA_INJECT_POOL;
	if (given != OA_INJECT_REWRITTEN)
		return add_fields(p, ex, b);
	return b->single ? replace_parent(p, ex, b) : OA_INJECT_PARTIAL;
}

static void adder_request_new(struct adder *p, const struct oa_http2_block *b)
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
static void adder_request_again(struct adder *p, const struct oa_http2_block *b)
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
	    !adder_texts_open(p))
		s->inject = OA_INJECT_SHORT;
	else
		s->inject = (uint8_t)add_fields(p, ex, b);
	if (s->inject != OA_INJECT_DONE)
		s->flags &= ~(OA_SPAN_INJECTED | OA_SPAN_REWRITTEN);
}

static bool adder_on_block(void *ctx, const struct oa_http2_block *b)
{
	struct adder *p = ctx;

	if (!b->request)
		return true;
	if (!b->head)
		adder_request_again(p, b);
	else if (!(b->head->flags & OA_HTTP2_MALFORMED))
		adder_request_new(p, b);
	return true;
}

void oa_http2_prepare(struct oa_conn *c, struct oa_send *s)
{
	const struct oa_sink sink = { .memory = oa_http2_memory };
	struct oa_bytes before = oa_feed_carried(c, OA_DIR_REQUEST);
	struct adder p = { .c = c, .s = s, .before = before.len };

	oa_http2_limits(c->pstate[OA_DIR_RESPONSE], &p.max_frame, &p.max_list);
	oa_ctx_used(c);
	c->flags |= OA_CONN_SENDING;
	oa_conn_set_proto(c, oa_http2_proto()); /* this is how the connection begins, if it does not go on so already */
	/* When it fails, so will feed(). */
	(void)oa_http2_ahead(c->pstate[OA_DIR_REQUEST], before, s->host_iov, s->host_iovcnt, &sink, adder_on_block, &p);
}
