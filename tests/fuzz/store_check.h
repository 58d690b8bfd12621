#pragma once
/* One sample, all that must hold for a store's parser: what it says does not depend on how the bytes are cut, and what
 * it says is sane. Used by the fuzz targets and, for their corpora, by the unit test. The first four bytes choose
 * direction, end of stream, the hints behind answers and where to cut; the rest is the wire. */
#include "tests/unit/store_print.h"

#define STORE_CHECK_MAX 65536

struct store_check {
	struct store_play play;
	struct feed_text whole;
	uint16_t hints[8];
};

static inline void store_check_init(struct store_check *c, const struct oa_proto *proto, size_t bytes)
{
	memset(c, 0, sizeof(*c));
	feed_guard_init(&c->play.guard, bytes);
	c->play.feed.proto = proto;
}

static inline void store_check_fini(struct store_check *c)
{
	feed_text_free(&c->play.feed.text);
	feed_text_free(&c->whole);
	feed_guard_fini(&c->play.guard);
}

static inline bool store_check_differs(struct store_check *c, struct oa_bytes in, feed_cut_fn *cut, void *ctx)
{
	store_play_once(&c->play, in, cut, ctx);
	return strcmp(c->play.feed.text.ptr, c->whole.ptr) != 0;
}

/* returns NULL, or which play differed from the whole (play.feed.text and whole are the two) */
static inline const char *store_check_sample(struct store_check *c, const uint8_t *data, size_t size)
{
	struct oa_bytes in = oa_bytes(data + 4, size - 4);
	uint64_t seed;

	if (size < 4 || size > STORE_CHECK_MAX)
		return NULL;
	seed = data[2] | (uint64_t)data[3] << 8;
	c->play.feed.dir = data[0] & 1 ? OA_DIR_RESPONSE : OA_DIR_REQUEST;
	c->play.feed.eof = data[0] & 2;
	c->play.hints = c->hints;
	c->play.hint_count = data[0] & 4 ? 0 : 8;
	for (unsigned i = 0; i < 8; i++)
		c->hints[i] = (uint16_t)(data[1] * (i + 1) ^ (data[0] & 8 ? data[2] << 8 : 0));
	(void)c->play.feed.proto->detect(c->play.feed.dir, in);
	store_play_once(&c->play, in, feed_cut_whole, NULL);
	feed_text_free(&c->whole);
	c->whole = c->play.feed.text;
	c->play.feed.text = (struct feed_text){ 0 };
	if (store_check_differs(c, in, feed_cut_random, &seed))
		return "cut at random";
	return in.len <= 1024 && store_check_differs(c, in, feed_cut_bytes, NULL) ? "byte by byte" : NULL;
}

/* The body of a fuzz target. */
static inline int store_fuzz(const struct oa_proto *proto, const uint8_t *data, size_t size)
{
	static struct store_check check;
	const char *wrong;

	if (!check.play.guard.map)
		store_check_init(&check, proto, STORE_CHECK_MAX);
	wrong = store_check_sample(&check, data, size);
	if (!wrong)
		return 0;
	fprintf(stderr, "%s:\n%s-- but whole:\n%s", wrong, check.play.feed.text.ptr, check.whole.ptr);
	abort();
}
