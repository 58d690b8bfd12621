#pragma once
/* One sample, all that must hold for it. Used by the fuzzer and, for its corpus, by the unit test. The first four
 * bytes choose the direction and where to cut; the rest is the wire. */
#include <sys/uio.h>

#include "proto/hpack.h"
#include "tests/fuzz/http2_reference.h"

#define HTTP2_CHECK_MAX 131072

struct http2_check {
	struct feed feed;
	struct feed_guard guard;
	struct feed_text expected;
	struct ref2 ref;
};

static inline void http2_check_init(struct http2_check *c)
{
	oa_http2_init(NULL, 0);
	oa_hpack_check_all = true;
	memset(c, 0, sizeof(*c));
	feed_guard_init(&c->guard, HTTP2_CHECK_MAX);
	c->feed = (struct feed){ .proto = &oa_proto_http2, .print = http2_print };
}

static inline void http2_check_fini(struct http2_check *c)
{
	feed_text_free(&c->feed.text);
	feed_text_free(&c->expected);
	feed_guard_fini(&c->guard);
}

/* The refusals of the two may have different names: which limit comes first is not the point. */
static inline bool http2_same(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);

	if (!strcmp(a, b))
		return true;
	if (la < 6 || lb < 6 || (strcmp(a + la - 6, "E2BIG\n") && strcmp(b + lb - 6, "E2BIG\n")))
		return false;
	la -= strcmp(a + la - 6, "E2BIG\n") ? 7 : 6;
	lb -= strcmp(b + lb - 6, "E2BIG\n") ? 7 : 6;
	return la == lb && !memcmp(a, b, la);
}

static inline bool http2_check_differs(struct http2_check *c, struct oa_bytes in, feed_cut_fn *cut, void *ctx)
{
	feed_play(&c->feed, &c->guard, in, cut, ctx);
	return !http2_same(c->feed.text.ptr, c->expected.ptr);
}

/* returns NULL, or which play differed from the reference (c->feed.text and c->expected are the two) */
static inline const char *http2_check_stream(struct http2_check *c, struct oa_bytes in, uint64_t seed)
{
	c->ref.in = in;
	c->ref.dir = c->feed.dir;
	c->ref.t = &c->expected;
	ref2_play(&c->ref);
	if (http2_check_differs(c, in, feed_cut_whole, NULL))
		return "whole";
	if (http2_check_differs(c, in, feed_cut_random, &seed))
		return "cut at random";
	if (in.len <= 1024 && http2_check_differs(c, in, feed_cut_bytes, NULL))
		return "byte by byte";
	return NULL;
}

static inline const char *http2_check_sample(struct http2_check *c, const uint8_t *data, size_t size)
{
	if (size < 4 || size > HTTP2_CHECK_MAX)
		return NULL;
	c->feed.dir = data[0] & 1 ? OA_DIR_RESPONSE : OA_DIR_REQUEST;
	return http2_check_stream(c, oa_bytes(data + 4, size - 4), data[2] | (uint64_t)data[3] << 8);
}
