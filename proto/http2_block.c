/* Header blocks: HEADERS or PUSH_PROMISE and the CONTINUATION frames behind it. They are read when they come by, or ahead
 * of that, by whoever wants to add a field before they are sent. */
#include <errno.h>

#include "core/attr.h"
#include "proto/http2_impl.h"

#define SCRATCH_LARGE 36000u
#define SCRATCH_SMALL 2032u /* texts of a usual block */

OA_HOT long oa_http2_block_len(struct oa_bytes in, struct http2_frame first)
{
	struct http2_frame f = first;
	size_t at = 0;

	if (!first.stream)
		return -EPROTO;
	for (unsigned frames = 0; frames <= OA_CONTINUATIONS_MAX; frames++) {
		if (at + f.len > OA_HTTP_HEADER_MAX)
			return -E2BIG;
		at += HTTP2_FRAME_HEAD + f.len;
		if (f.flags & HTTP2_END_HEADERS)
			return in.len >= at ? (long)at : 0;
		if (in.len < at + HTTP2_FRAME_HEAD)
			return 0;
		f = http2_frame(in.ptr + at);
		if (f.type != HTTP2_CONTINUATION || f.stream != first.stream)
			return -EPROTO;
	}
	return -E2BIG;
}

/* The last frame of a whole block. returns its offset */
static size_t last_frame(struct oa_bytes in, struct http2_frame *f)
{
	size_t at = 0;

	while (!(f->flags & HTTP2_END_HEADERS)) {
		at += HTTP2_FRAME_HEAD + f->len;
		*f = http2_frame(in.ptr + at);
	}
	return at;
}

/* The fields of a block in several frames, one behind the other. returns length, -EPROTO */
static long gather(struct oa_bytes in, struct http2_frame f, uint8_t *to)
{
	size_t at = 0, len = 0;

	for (;;) {
		struct oa_bytes part;

		if (oa_http2_fragment(&f, oa_bytes(in.ptr + at + HTTP2_FRAME_HEAD, f.len), &part))
			return -EPROTO;
		memcpy(to + len, part.ptr, part.len);
		len += part.len;
		if (f.flags & HTTP2_END_HEADERS)
			return (long)len;
		at += HTTP2_FRAME_HEAD + f.len;
		f = http2_frame(in.ptr + at);
	}
}

struct scratch {
	struct oa_buf buf;
	uint8_t *joined; /* the fields, when they stood in several frames */
};

/* The fields of a block in one piece, and room for what is decoded from them. */
static OA_HOT int scratch_open(struct scratch *s, struct oa_bytes in, struct http2_frame f, const struct oa_sink *sink,
			struct oa_bytes *ret_fields)
{
	size_t got;
	long len;

	*s = (struct scratch){ .joined = NULL };
	if (f.flags & HTTP2_END_HEADERS) {
		if (oa_http2_fragment(&f, oa_bytes(in.ptr + HTTP2_FRAME_HEAD, f.len), ret_fields))
			return -EPROTO;
	} else {
		s->joined = sink->memory(sink->ctx, NULL, in.len, &got);
		if (!s->joined)
			return -ENOMEM;
		len = gather(in, f, s->joined);
		if (len < 0)
			return (int)len;
		*ret_fields = oa_bytes(s->joined, (size_t)len);
	}
	/* Three bytes may stand for a long text that is in the table. */
	s->buf.ptr = sink->memory(sink->ctx, NULL, SCRATCH_LARGE, &got);
	if (!s->buf.ptr)
		s->buf.ptr = sink->memory(sink->ctx, NULL, SCRATCH_SMALL, &got);
	if (!s->buf.ptr)
		return -ENOMEM;
	s->buf.cap = got;
	return 0;
}

static int block_decode(struct http2_state *st, struct oa_bytes fields, struct oa_buf *out, struct oa_http2_head *h,
			const struct oa_sink *sink)
{
	struct hpack_table *table = http2_table(st);
	int err = oa_hpack_block(&table, &st->table_max, fields, out, h, sink);

	st->table = (uintptr_t)table;
	return err;
}

static OA_HOT void scratch_close(struct scratch *s, const struct oa_sink *sink)
{
	if (s->joined)
		sink->memory(sink->ctx, s->joined, 0, NULL);
	if (s->buf.ptr)
		sink->memory(sink->ctx, s->buf.ptr, 0, NULL);
}

/* Only has to tell one block from another that the same program might send instead. */
static OA_HOT uint64_t block_hash(struct oa_bytes in)
{
	uint64_t h = in.len, w;
	size_t i = 0;

	for (; i + 8 <= in.len; i += 8) {
		memcpy(&w, in.ptr + i, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	return oa_hash(h, in.ptr + i, in.len - i);
}

static void say(const struct oa_sink *sink, enum oa_event_type type, uint32_t stream, const struct oa_http2_head *h)
{
	struct oa_event ev = { .type = type, .stream = stream, .u.head = h ? &h->http : NULL };

	sink->event(sink->ctx, &ev);
}

/* What a block is: by its fields, or by whether its stream is new. */
static enum oa_event_type block_is(struct http2_state *st, enum oa_dir dir, uint32_t stream,
				   const struct oa_http2_head *h)
{
	if (dir == OA_DIR_RESPONSE)
		return h->flags & OA_HTTP2_HAS_STATUS ? OA_EVENT_RESPONSE : OA_EVENT_TRAILERS;
	return stream > st->last_stream ? OA_EVENT_REQUEST : OA_EVENT_TRAILERS;
}

/* CONNECT has no path; all others do, and it is not empty. */
static void check_request(struct oa_http2_head *h)
{
	bool connect = h->http.method == OA_METHOD_CONNECT && !h->protocol.len;

	if (!(h->flags & OA_HTTP2_HAS_METHOD) || (!connect && !h->http.target.len))
		h->flags |= OA_HTTP2_MALFORMED;
}

/* A block was decoded. */
static void block_told(struct http2_state *st, enum oa_dir dir, struct http2_frame f, struct oa_http2_head *h,
		       const struct oa_sink *sink)
{
	bool end = f.flags & HTTP2_END_STREAM;
	enum oa_event_type type;

	if (f.type == HTTP2_PUSH_PROMISE)
		return;
	h->http.version = 20;
	h->flags |= end ? OA_HTTP2_END : 0;
	type = block_is(st, dir, f.stream, h);
	if (type == OA_EVENT_REQUEST)
		check_request(h);
	say(sink, type, f.stream, h);
	if (end)
		say(sink, OA_EVENT_END, f.stream, NULL);
}

static int block_known(struct http2_state *st, struct oa_bytes in, struct http2_frame f, const struct oa_sink *sink)
{
	struct oa_event ev = { .type = OA_EVENT_AHEAD, .stream = f.stream, .u.hash = block_hash(in) };

	st->ahead--;
	sink->event(sink->ctx, &ev);
	if (f.flags & HTTP2_END_STREAM)
		say(sink, OA_EVENT_END, f.stream, NULL);
	return 0;
}

/* A client's streams are odd and only go up. */
static int stream_opened(struct http2_state *st, enum oa_dir dir, struct http2_frame f)
{
	if (dir != OA_DIR_REQUEST || f.stream <= st->last_stream)
		return 0;
	if (!(f.stream & 1) || f.type != HTTP2_HEADERS)
		return -EPROTO;
	st->last_stream = f.stream;
	return 0;
}

OA_HOT int oa_http2_block_take(struct http2_state *st, enum oa_dir dir, struct oa_bytes in, struct http2_frame f,
			const struct oa_sink *sink)
{
	struct oa_http2_head h;
	struct oa_bytes fields;
	struct scratch s;
	int err;

	if (st->ahead) {
		err = stream_opened(st, dir, f);
		return err ? err : block_known(st, in, f, sink);
	}
	err = scratch_open(&s, in, f, sink, &fields);
	if (!err) {
		memset(&h, 0, sizeof(h));
		err = block_decode(st, fields, &s.buf, &h, sink);
	}
	if (!err)
		block_told(st, dir, f, &h, sink);
	if (!err)
		err = stream_opened(st, dir, f);
	scratch_close(&s, sink);
	return err;
}

OA_HOT int oa_http2_block_look(struct http2_state *st, struct oa_bytes in, struct http2_frame f,
			const struct oa_sink *sink, struct http2_look *look)
{
	struct oa_http2_block *b = &look->block;
	struct http2_frame last = f;
	size_t at = last_frame(in, &last);
	struct oa_http2_head h;
	struct oa_bytes fields;
	struct scratch s = { 0 };
	int err;

	b->frame = oa_bytes(in.ptr + at, HTTP2_FRAME_HEAD + last.len);
	b->at += at;
	b->single = !at;
	b->promise = f.type == HTTP2_PUSH_PROMISE;
	b->stream = f.stream;
	b->hash = block_hash(in);
	err = oa_http2_fragment(&last, oa_bytes(b->frame.ptr + HTTP2_FRAME_HEAD, last.len), &fields);
	if (err)
		return err;
	b->fields_from = (uint32_t)(fields.ptr - b->frame.ptr);
	b->fields_end = b->fields_from + (uint32_t)fields.len;
	b->head = NULL;
	if (look->known) {
		look->known--;
	} else {
		err = scratch_open(&s, in, f, sink, &fields);
		memset(&h, 0, sizeof(h));
		if (!err)
			err = block_decode(st, fields, &s.buf, &h, sink);
		h.http.version = 20;
		h.flags |= f.flags & HTTP2_END_STREAM ? OA_HTTP2_END : 0;
		if (b->request)
			check_request(&h);
		st->ahead++;
		b->head = &h;
	}
	look->go_on = !err && look->each(look->ctx, b);
	scratch_close(&s, sink);
	return err;
}
