/* HTTP/1.0 and 1.1 as a parser of one direction: header blocks and bodies in turn. docs/http1.md is the
 * contract. The other http1_*.c files read the pieces. */
#include "proto/http1.h"

#include <errno.h>

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

/* Which body follows; st->phase says so. */
static void begin_body(struct http1_state *st, const struct oa_http_head *h)
{
	*st = (struct http1_state){ .phase = HTTP1_START };
	if (h->flags & OA_HTTP_NO_BODY)
		return;
	if (h->flags & OA_HTTP_CHUNKED) {
		st->phase = HTTP1_CHUNK_FIRST;
	} else if (h->flags & OA_HTTP_UNTIL_CLOSE) {
		st->phase = HTTP1_UNTIL_CLOSE;
	} else if (h->length) {
		st->phase = HTTP1_LENGTH;
		st->left = h->length;
	}
}

static void emit_head(const struct oa_sink *sink, enum oa_event_type type, const struct oa_http_head *h)
{
	struct oa_event ev = { .type = type, .u.head = h };

	sink->event(sink->ctx, &ev);
}

/* Asks about the request, unless the response is a 1xx. returns true when a tunnel begins */
static bool learn_request(struct oa_http_head *h, const struct oa_sink *sink)
{
	struct oa_request_note note;
	bool tunnel;

	if (h->status < 200)
		return h->status == 101;
	note = sink->request_note(sink->ctx);
	tunnel = note.known && note.connect && h->status < 300;
	if (note.known && (note.head || tunnel))
		oa_http1_no_body(h);
	return tunnel;
}

static void on_response(struct http1_state *st, struct oa_http_head *h, const struct oa_sink *sink)
{
	bool tunnel = learn_request(h, sink);

	begin_body(st, h);
	emit_head(sink, OA_EVENT_RESPONSE, h);
	if (h->status >= 200 || tunnel)
		oa_http1_report(sink, 0, st->phase == HTTP1_START);
	if (!tunnel)
		return;
	st->phase = HTTP1_TUNNEL;
	emit_head(sink, OA_EVENT_UPGRADED, NULL);
}

static void on_request(struct http1_state *st, const struct oa_http_head *h, const struct oa_sink *sink)
{
	begin_body(st, h);
	emit_head(sink, OA_EVENT_REQUEST, h);
	oa_http1_report(sink, 0, st->phase == HTTP1_START);
}

/* A header block, if it is whole. returns bytes taken, 0 wait, -EPROTO, -E2BIG */
static __attribute__((noinline)) long feed_head(struct http1_state *st, enum oa_dir dir, struct oa_bytes in,
						const struct oa_sink *sink)
{
	struct oa_http_head h;
	long n = 0, whole;

	if (!st->seen)
		n = oa_http1_block(in, dir, &h);
	if (n <= 0) {
		whole = oa_http1_wait(st, dir, in);
		if (whole <= 0)
			return whole;
		n = n < 0 ? n : oa_http1_block(in, dir, &h);
		if (n <= 0)
			return n < 0 ? n : -EPROTO;
	}
	if (dir == OA_DIR_REQUEST)
		on_request(st, &h, sink);
	else
		on_response(st, &h, sink);
	return n;
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

static long http1_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct http1_state *st = state;
	size_t at = 0;

	while (at < in.len) {
		long n = feed_some(st, dir, oa_bytes(in.ptr + at, in.len - at), sink);
		bool tunnel = st->phase == HTTP1_TUNNEL;

		if (n < 0) {
			st->dead_errno = (uint8_t)-n;
			st->phase = HTTP1_DEAD;
			return n;
		}
		at += (size_t)n;
		if (n == 0 || tunnel)
			break;
	}
	return (long)at;
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

bool oa_http1_at_boundary(const void *state)
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
};
