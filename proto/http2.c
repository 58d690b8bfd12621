/* HTTP/2 frames of one direction. Header blocks are taken as a whole, DATA as it comes, of the other frames what
 * says when streams end and what the peer may send; the rest is stepped over. What no endpoint would accept either
 * ends the reading: an endpoint that is hit by it ends the connection. */
#include "proto/http2.h"

#include <errno.h>

#include "core/attr.h"
#include "proto/http2_impl.h"

#define PREFACE_LEN (sizeof(OA_HTTP2_PREFACE) - 1)

_Static_assert(sizeof(struct http2_state) <= 32, "conn/ keeps two of them per connection");

void oa_http2_init(const char *const *lists, unsigned count)
{
	oa_hpack_names_init(lists, count);
}

/* -- detection -- */

/* A server may speak first: SETTINGS on stream 0, nothing else. */
static enum oa_detect detect_settings(struct oa_bytes in)
{
	struct http2_frame f;

	for (size_t i = 0; i < 3 && i < in.len; i++)
		if (i == 0 && in.ptr[0])
			return OA_DETECT_NO;
	if (in.len > 3 && in.ptr[3] != HTTP2_SETTINGS)
		return OA_DETECT_NO;
	if (in.len < HTTP2_FRAME_HEAD)
		return OA_DETECT_MORE;
	f = http2_frame(in.ptr);
	return f.flags == 0 && http2_be32(in.ptr + 5) == 0 && f.len % 6 == 0 && f.len <= HTTP2_FRAME_SIZE ?
		       OA_DETECT_YES :
		       OA_DETECT_NO;
}

static enum oa_detect http2_detect(enum oa_dir dir, struct oa_bytes in)
{
	size_t n = in.len < PREFACE_LEN ? in.len : PREFACE_LEN;

	if (dir == OA_DIR_RESPONSE)
		return detect_settings(in);
	if (n && memcmp(in.ptr, OA_HTTP2_PREFACE, n))
		return OA_DETECT_NO;
	return n == PREFACE_LEN ? OA_DETECT_YES : OA_DETECT_MORE;
}

/* -- frames -- */

OA_HOT int oa_http2_fragment(const struct http2_frame *f, struct oa_bytes payload, struct oa_bytes *ret)
{
	size_t pad = 0, before = 0;

	if (f->type != HTTP2_CONTINUATION) {
		if (f->flags & HTTP2_PADDED) {
			if (!payload.len)
				return -EPROTO;
			pad = payload.ptr[0];
			before = 1;
		}
		if (f->type == HTTP2_PUSH_PROMISE)
			before += 4;
		else if (f->flags & HTTP2_HAS_PRIO)
			before += 5;
	}
	if (before + pad > payload.len)
		return -EPROTO;
	*ret = oa_bytes(payload.ptr + before, payload.len - before - pad);
	return 0;
}

static void say(const struct oa_sink *sink, enum oa_event_type type, uint32_t stream, uint32_t code)
{
	struct oa_event ev = { .type = type, .stream = stream, .u.code = code };

	sink->event(sink->ctx, &ev);
}

static void take_setting(struct http2_state *st, const uint8_t *p)
{
	uint32_t id = (uint32_t)p[0] << 8 | p[1], value = http2_be32(p + 2);

	if (id == 5)
		st->max_frame = value < 0xffffff ? value & 0xffffff : 0xffffff;
	else if (id == 6)
		st->max_list = value ? value : 1; /* 0 would be: nothing at all */
}

/* Frames that are taken as a whole; all are small. returns bytes of the payload that were read, -EPROTO */
static long take_control(struct http2_state *st, struct http2_frame f, struct oa_bytes payload,
			 const struct oa_sink *sink)
{
	switch (f.type) {
	case HTTP2_SETTINGS:
		if (!(f.flags & HTTP2_ACK))
			for (uint32_t i = 0; i + 6 <= f.len; i += 6)
				take_setting(st, payload.ptr + i);
		return f.len;
	case HTTP2_RST_STREAM:
		say(sink, OA_EVENT_RESET, f.stream, http2_be32(payload.ptr));
		return 4;
	default: /* GOAWAY; its debug data is stepped over */
		say(sink, OA_EVENT_GOAWAY, http2_be32(payload.ptr) & 0x7fffffff, http2_be32(payload.ptr + 4));
		return 8;
	}
}

/* How many bytes of a frame's payload must be there before it is looked at; -EPROTO: no such frame may come */
static long frame_needs(const struct http2_frame *f)
{
	switch (f->type) {
	case HTTP2_DATA:
		return f->stream && f->len >= !!(f->flags & HTTP2_PADDED) ? !!(f->flags & HTTP2_PADDED) : -EPROTO;
	case HTTP2_RST_STREAM:
		return f->stream && f->len == 4 ? 4 : -EPROTO;
	case HTTP2_SETTINGS:
		return !f->stream && f->len % 6 == 0 && f->len <= HTTP2_FRAME_SIZE &&
				       !(f->flags & HTTP2_ACK && f->len) ?
			       (long)f->len :
			       -EPROTO;
	case HTTP2_GOAWAY:
		return !f->stream && f->len >= 8 ? 8 : -EPROTO;
	case HTTP2_CONTINUATION:
		return -EPROTO;
	default:
		return 0;
	}
}

static OA_HOT void data_done(struct http2_state *st, const struct oa_sink *sink)
{
	if (st->end)
		say(sink, OA_EVENT_END, st->stream, 0);
	st->left = st->padding;
	st->phase = st->left ? HTTP2_SKIP : HTTP2_FRAME;
}

/* returns bytes taken behind the frame header */
static long take_data(struct http2_state *st, struct http2_frame f, struct oa_bytes payload, const struct oa_sink *sink)
{
	long n = 0;

	st->padding = 0;
	if (f.flags & HTTP2_PADDED) {
		st->padding = payload.ptr[0];
		n = 1;
	}
	if (f.len < (uint32_t)n + st->padding)
		return -EPROTO;
	st->left = (f.len - (uint32_t)n - st->padding) & 0xffffff;
	st->stream = f.stream & 0x7fffffff;
	st->end = f.flags & HTTP2_END_STREAM;
	st->phase = HTTP2_PAYLOAD;
	if (!st->left)
		data_done(st, sink);
	return n;
}

/* returns bytes taken, 0: wait, negative */
static long take_block(struct http2_state *st, enum oa_dir dir, struct http2_frame f, struct oa_bytes in,
		       const struct oa_sink *sink)
{
	long n = oa_http2_block_len(in, f);
	int err;

	if (n <= 0)
		return n;
	err = oa_http2_block_take(st, dir, oa_bytes(in.ptr, (size_t)n), f, sink);
	return err ? err : n;
}

/* A frame begins at in.ptr[0]. returns bytes taken, 0: wait, negative */
static long take_frame(struct http2_state *st, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_bytes payload;
	struct http2_frame f;
	long need, n = 0;

	if (in.len < HTTP2_FRAME_HEAD)
		return 0;
	f = http2_frame(in.ptr);
	if (st->phase == HTTP2_SETTINGS_DUE && (f.type != HTTP2_SETTINGS || f.flags & HTTP2_ACK))
		return -EPROTO;
	if (http2_begins_block(f.type))
		return take_block(st, dir, f, in, sink);
	need = frame_needs(&f);
	payload = oa_bytes(in.ptr + HTTP2_FRAME_HEAD, in.len - HTTP2_FRAME_HEAD);
	if (need < 0 || payload.len < (size_t)need)
		return need < 0 ? need : 0;
	st->phase = HTTP2_FRAME;
	if (f.type == HTTP2_DATA) {
		n = take_data(st, f, payload, sink);
		return n < 0 ? n : (long)HTTP2_FRAME_HEAD + n;
	}
	if (need || f.type == HTTP2_SETTINGS)
		n = take_control(st, f, payload, sink);
	st->left = (f.len - (uint32_t)n) & 0xffffff;
	if (st->left)
		st->phase = HTTP2_SKIP;
	return (long)HTTP2_FRAME_HEAD + n;
}

static long take_payload(struct http2_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	uint32_t n = in.len < st->left ? (uint32_t)in.len : st->left;
	struct oa_event ev = { .type = OA_EVENT_BODY, .stream = st->stream, .u.body_bytes = n, .body = in.ptr };

	st->left = (st->left - n) & 0xffffff;
	sink->event(sink->ctx, &ev);
	if (!st->left)
		data_done(st, sink);
	return n;
}

static long take_skip(struct http2_state *st, struct oa_bytes in)
{
	uint32_t n = in.len < st->left ? (uint32_t)in.len : st->left;

	st->left = (st->left - n) & 0xffffff;
	if (!st->left)
		st->phase = HTTP2_FRAME;
	return n;
}

void oa_http2_begin(struct http2_state *st)
{
	if (st->max_frame)
		return; /* its first blocks were looked at before they came by */
	st->table_max = HPACK_TABLE_DEFAULT;
	st->max_frame = HTTP2_FRAME_SIZE;
}

static long take_start(struct http2_state *st, enum oa_dir dir, struct oa_bytes in)
{
	size_t n = in.len < PREFACE_LEN ? in.len : PREFACE_LEN;

	if (dir == OA_DIR_REQUEST && memcmp(in.ptr, OA_HTTP2_PREFACE, n))
		return -EPROTO;
	if (dir == OA_DIR_REQUEST && n < PREFACE_LEN)
		return 0;
	oa_http2_begin(st);
	st->phase = HTTP2_SETTINGS_DUE;
	return dir == OA_DIR_REQUEST ? (long)PREFACE_LEN : 0;
}

static OA_HOT long http2_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct http2_state *st = state;
	size_t at = 0;

	if (st->phase == HTTP2_DEAD)
		return -(long)st->left;
	while (at < in.len) {
		struct oa_bytes rest = oa_bytes(in.ptr + at, in.len - at);
		long n;

		if (st->phase == HTTP2_START) {
			n = take_start(st, dir, rest);
			if (n == 0 && st->phase != HTTP2_START)
				continue;
		} else if (st->phase == HTTP2_PAYLOAD) {
			n = take_payload(st, rest, sink);
		} else if (st->phase == HTTP2_SKIP) {
			n = take_skip(st, rest);
		} else {
			n = take_frame(st, dir, rest, sink);
		}
		if (n < 0) {
			st->left = (uint32_t)-n & 0xff;
			st->phase = HTTP2_DEAD;
			return n;
		}
		if (n == 0)
			break;
		at += (size_t)n;
	}
	return (long)at;
}

static long http2_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	struct http2_state *st = state;
	struct oa_event ev = { .type = OA_EVENT_BODY, .stream = st->stream, .u.body_bytes = n };

	if (st->phase != HTTP2_PAYLOAD || n > st->left) {
		st->left = EPROTO;
		st->phase = HTTP2_DEAD;
		return -EPROTO;
	}
	st->left = (st->left - (uint32_t)n) & 0xffffff;
	if (n)
		sink->event(sink->ctx, &ev);
	if (!st->left)
		data_done(st, sink);
	return (long)n;
}

/* Streams say themselves when they end. */
static int http2_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	const struct http2_state *st = state;

	return st->phase == HTTP2_START || st->phase == HTTP2_FRAME ? 0 : -EPROTO;
}

static void http2_release(void *state, const struct oa_sink *sink)
{
	struct http2_state *st = state;

	if (st->table)
		sink->memory(sink->ctx, http2_table(st), 0, NULL);
	st->table = 0;
}

OA_HOT void oa_http2_limits(const void *state, uint32_t *ret_frame, uint32_t *ret_list)
{
	const struct http2_state *st = state;

	*ret_frame = st->max_frame ? st->max_frame : HTTP2_FRAME_SIZE;
	*ret_list = st->max_list;
}

OA_HOT uint32_t *oa_http2_spare(void *response_state)
{
	return &((struct http2_state *)response_state)->spare;
}

void oa_http2_upgraded(void *state)
{
	((struct http2_state *)state)->last_stream = 1;
}

const struct oa_proto oa_proto_http2 = {
	.name = "http2",
	.state_bytes = sizeof(struct http2_state),
	.flags = OA_PROTO_HTTP | OA_PROTO_STREAMS | OA_PROTO_GREETS,
	.detect = http2_detect,
	.feed = http2_feed,
	.close = http2_close,
	.skip = http2_skip,
	.release = http2_release,
};
