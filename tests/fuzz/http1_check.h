#pragma once
/* One sample, all that must hold for it. Used by the fuzzer and, for its corpus, by the unit test. The first four
 * bytes choose direction, end of stream, the requests behind responses and where to cut; the rest is the wire. */
#include "proto/http1_impl.h"
#include "tests/fuzz/http1_reference.h"

#define HTTP1_CHECK_MAX 65536

struct http1_check {
	struct feed feed;
	struct feed_guard guard;
	struct feed_text expected;
	struct oa_request_note notes[4];
};

static inline void http1_check_init(struct http1_check *c)
{
	oa_http1_init();
	memset(c, 0, sizeof(*c));
	feed_guard_init(&c->guard, HTTP1_CHECK_MAX);
	c->feed = (struct feed){ .proto = &oa_proto_http1, .print = http1_print, .notes = c->notes, .note_count = 4 };
}

static inline void http1_check_fini(struct http1_check *c)
{
	feed_text_free(&c->feed.text);
	feed_text_free(&c->expected);
	feed_guard_fini(&c->guard);
}

static inline bool http1_check_differs(struct http1_check *c, struct oa_bytes in, feed_cut_fn *cut, void *ctx)
{
	feed_play(&c->feed, &c->guard, in, cut, ctx);
	return strcmp(c->feed.text.ptr, c->expected.ptr) != 0;
}

/* returns NULL, or which play differed from the reference (c->feed.text and c->expected are the two) */
static inline const char *http1_check_stream(struct http1_check *c, struct oa_bytes in, uint64_t seed)
{
	const uint8_t vectors = oa_http1_vectors;
	bool same = true;
	struct ref ref = { .p = in.ptr, .len = in.len, .dir = c->feed.dir, .notes = c->notes, .note_count = 4,
			   .eof = c->feed.eof, .t = &c->expected };

	ref_play(&ref);
	if (http1_check_differs(c, in, feed_cut_whole, NULL))
		return "whole";
	if (http1_check_differs(c, in, feed_cut_random, &seed))
		return "cut at random";
	if (in.len <= 1024 && http1_check_differs(c, in, feed_cut_bytes, NULL))
		return "byte by byte";
	for (oa_http1_vectors = HTTP1_NONE; oa_http1_vectors <= HTTP1_SSE2 && same; oa_http1_vectors++)
		same = !http1_check_differs(c, in, feed_cut_whole, NULL);
	oa_http1_vectors = vectors;
	return same ? NULL : "whole, without AVX2";
}

static inline const char *http1_check_sample(struct http1_check *c, const uint8_t *data, size_t size)
{
	if (size < 4 || size > HTTP1_CHECK_MAX)
		return NULL;
	c->feed.dir = data[0] & 1 ? OA_DIR_RESPONSE : OA_DIR_REQUEST;
	c->feed.eof = data[0] & 2;
	for (unsigned i = 0; i < 4; i++) {
		unsigned what = data[1] >> 2 * i & 3;

		c->notes[i] = (struct oa_request_note){ .known = what > 0, .head = what == 2, .connect = what == 3 };
	}
	return http1_check_stream(c, oa_bytes(data + 4, size - 4), data[2] | (uint64_t)data[3] << 8);
}
