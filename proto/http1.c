/* HTTP/1.0 and 1.1 as a parser of one direction: header blocks and bodies in turn. docs/http1.md is the
 * contract. The other http1_*.c files read the pieces. */
#include "proto/http1.h"

#include <errno.h>

#include "core/attr.h"
#include "proto/http1_impl.h"

_Static_assert(sizeof(struct http1_state) <= 48, "conn/ keeps two of them per connection");

/* Empty lines before a request. returns bytes taken, 0 none or wait (then *ret_wait), -EPROTO */
static long skip_blank(struct http1_state *st, struct oa_bytes in, bool *ret_wait)
{
	int nl = st->seen ? 0 : oa_http1_blank(in);

	*ret_wait = nl == -EAGAIN;
	if (nl <= 0)
		return nl == -EAGAIN ? 0 : nl;
	return ++st->blanks > HTTP1_BLANKS_MAX ? -EPROTO : nl;
}

static void emit(const struct oa_sink *sink, enum oa_event_type type, const struct oa_http_head *h)
{
	struct oa_event ev = { .type = type, .u.head = h };

	sink->event(sink->ctx, &ev);
}

/* A 1xx or what ends HTTP on this connection: nothing but its head. */
static HTTP1_COLD void on_special(struct http1_state *st, const struct oa_http_head *h, bool tunnel,
				  const struct oa_sink *sink)
{
	emit(sink, OA_EVENT_RESPONSE, h);
	if (!tunnel)
		return;
	emit(sink, OA_EVENT_END, NULL);
	st->phase = HTTP1_TUNNEL;
	emit(sink, OA_EVENT_UPGRADED, NULL);
}

/* The response to a HEAD or CONNECT. returns true when a tunnel begins */
static HTTP1_COLD bool answers_special(struct oa_http_head *h, struct oa_request_note note)
{
	bool tunnel = note.connect && h->status < 300;

	if (note.head || tunnel)
		http1_no_body(h);
	return tunnel;
}

/* returns false when the response was special, and told */
static inline bool ask_request(struct http1_state *st, struct oa_http_head *h, const struct oa_sink *sink)
{
	struct oa_request_note note;
	bool tunnel = h->status == 101;

	if (HTTP1_LIKELY(h->status >= 200)) {
		note = sink->request_note(sink->ctx);
		if (HTTP1_LIKELY(!(note.head | note.connect)) || !note.known)
			return true;
		tunnel = answers_special(h, note);
		if (!tunnel)
			return true;
	}
	on_special(st, h, tunnel, sink);
	return false;
}

/* returns true when all of the body is among the `behind` bytes; else st says what is due */
static inline bool begin_body(struct http1_state *st, const struct oa_http_head *h, size_t behind)
{
	if (HTTP1_UNLIKELY(h->flags & (OA_HTTP_CHUNKED | OA_HTTP_UNTIL_CLOSE))) {
		st->phase = h->flags & OA_HTTP_CHUNKED ? HTTP1_CHUNK_FIRST : HTTP1_UNTIL_CLOSE;
		return false;
	}
	if (HTTP1_LIKELY(h->length <= behind))
		return true;
	st->phase = HTTP1_LENGTH;
	st->left = h->length;
	return false;
}

/* For a sink that has no `message`. */
static HTTP1_COLD void tell_by_events(const struct oa_sink *sink, enum oa_dir dir, const struct oa_http_head *h,
				      uint64_t body, bool whole)
{
	_Static_assert(OA_EVENT_RESPONSE - OA_EVENT_REQUEST == OA_DIR_RESPONSE - OA_DIR_REQUEST, "the first event");
	emit(sink, OA_EVENT_REQUEST + dir - OA_DIR_REQUEST, h);
	if (body)
		sink->event(sink->ctx, &(struct oa_event){ .type = OA_EVENT_BODY, .u.body_bytes = body });
	if (whole)
		emit(sink, OA_EVENT_END, NULL);
}

/* A head came while st was clear. A body that is behind it as a whole leaves st clear.
 * returns how many of the `behind` bytes belong to that body and were taken */
static inline __attribute__((always_inline)) size_t on_head(struct http1_state *st, enum oa_dir dir,
							     struct oa_http_head *h, size_t behind,
							     const struct oa_sink *sink)
{
	uint64_t body = 0;
	bool whole;

	if (dir == OA_DIR_RESPONSE && HTTP1_UNLIKELY(!ask_request(st, h, sink)))
		return 0;
	whole = h->flags & OA_HTTP_NO_BODY;
	if (!whole && begin_body(st, h, behind)) {
		whole = true;
		body = h->length;
	}
	if (HTTP1_LIKELY(sink->message))
		sink->message(sink->ctx, h, body, whole);
	else
		tell_by_events(sink, dir, h, body, whole);
	return body;
}

/* A message begins, and did not come whole or is not the first. returns bytes taken, 0 wait, -EPROTO, -E2BIG */
static HTTP1_COLD long feed_head(struct http1_state *st, enum oa_dir dir, struct oa_bytes in,
				 const struct oa_sink *sink)
{
	struct oa_http_head h;
	long n = 0, whole;

	if (!st->seen)
		n = http1_block(in, dir, &h);
	if (n <= 0) {
		whole = oa_http1_wait(st, dir, in);
		if (whole <= 0)
			return whole;
		n = n < 0 ? n : http1_block(in, dir, &h);
		if (n <= 0)
			return n < 0 ? n : -EPROTO;
	}
	*st = (struct http1_state){ 0 };
	return n + (long)on_head(st, dir, &h, in.len - (size_t)n, sink);
}

static long feed_some(struct http1_state *st, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	bool wait;
	long n;

	if (st->phase == HTTP1_TUNNEL)
		return (long)in.len;
	if (st->phase == HTTP1_DEAD)
		return -(long)st->dead_errno;
	if (st->phase != HTTP1_START)
		return oa_http1_body(st, in, sink);
	if (dir == OA_DIR_REQUEST && in.ptr[0] <= '\r') {
		n = skip_blank(st, in, &wait);
		if (n || wait)
			return n;
	}
	return feed_head(st, dir, in, sink);
}

/* From `at` on: whatever is due there. */
static __attribute__((noinline)) long feed_on(struct http1_state *st, enum oa_dir dir, struct oa_bytes in, size_t at,
					      const struct oa_sink *sink)
{
	while (at < in.len && (at == 0 || st->phase != HTTP1_TUNNEL)) {
		long n = feed_some(st, dir, oa_bytes(in.ptr + at, in.len - at), sink);

		if (n < 0) {
			st->dead_errno = (uint8_t)-n;
			st->phase = HTTP1_DEAD;
			return n;
		}
		if (n == 0)
			break;
		at += (size_t)n;
	}
	return (long)at;
}

/* Here only what most calls are: a whole head to begin with, and its body or nothing behind it. */
static HTTP1_HOT long http1_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct http1_state *st = state;
	struct oa_http_head h;
	size_t at;
	long n;

	if (HTTP1_UNLIKELY(st->place || !in.len || in.ptr[0] <= '\r'))
		return feed_on(st, dir, in, 0, sink);
	n = http1_block(in, dir, &h);
	if (HTTP1_UNLIKELY(n <= 0))
		return feed_on(st, dir, in, 0, sink);
	at = (size_t)n + on_head(st, dir, &h, in.len - (size_t)n, sink);
	if (HTTP1_UNLIKELY(at != in.len))
		return feed_on(st, dir, in, at, sink);
	return (long)at;
}

OA_HOT long oa_http1_accept_head(void *state, const struct oa_http_head *head, const struct oa_sink *sink)
{
	if (!oa_http1_at_boundary(state))
		return -EPROTO;
	*(struct http1_state *)state = (struct http1_state){ 0 };
	/* It changes only heads of responses. */
	on_head(state, OA_DIR_REQUEST, (struct oa_http_head *)(uintptr_t)head, 0, sink);
	return (long)head->block.len;
}

long oa_http1_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	struct http1_state *st = state;

	if (n == 0 || st->phase == HTTP1_TUNNEL)
		return (long)n;
	if ((st->phase != HTTP1_UNTIL_CLOSE && st->phase != HTTP1_LENGTH && st->phase != HTTP1_CHUNK_DATA) ||
	    (st->phase != HTTP1_UNTIL_CLOSE && n > st->left)) {
		st->dead_errno = EPROTO;
		st->phase = HTTP1_DEAD;
		return -EPROTO;
	}
	oa_http1_take_data(st, n);
	oa_http1_report(sink, n, st->phase == HTTP1_START);
	return (long)n;
}

OA_HOT bool oa_http1_at_boundary(const void *state)
{
	const struct http1_state *st = state;

	return st->phase == HTTP1_START && !st->seen;
}

static int http1_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	struct http1_state *st = state;

	switch (st->phase) {
	case HTTP1_START:
		return st->seen ? -EPROTO : 0;
	case HTTP1_TUNNEL:
		return 0;
	case HTTP1_UNTIL_CLOSE:
		st->phase = HTTP1_START;
		oa_http1_report(sink, 0, true);
		return 0;
	}
	return -EPROTO;
}

const struct oa_proto oa_proto_http1 = {
	.name = "http1",
	.state_bytes = sizeof(struct http1_state),
	.flags = OA_PROTO_HTTP,
	.detect = oa_http1_detect,
	.feed = http1_feed,
	.close = http1_close,
	.skip = oa_http1_skip,
};
