#pragma once
/* Plays bytes to a protocol parser the way conn/ does, cut however one likes, and writes down what it reports.
 * Every offer ends against an unmapped page, so that a read past it is a crash. What a parser says must not
 * depend on the cuts: compare the texts of two plays. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/proto.h"

struct feed_text {
	char *ptr;
	size_t len, cap;
};

static inline void feed_put(struct feed_text *t, const void *ptr, size_t len)
{
	if (t->len + len + 1 > t->cap) {
		t->cap = 2 * (t->len + len + 1);
		t->ptr = realloc(t->ptr, t->cap);
		if (!t->ptr)
			abort();
	}
	if (len)
		memcpy(t->ptr + t->len, ptr, len);
	t->len += len;
	t->ptr[t->len] = 0;
}

static inline void feed_puts(struct feed_text *t, const char *s)
{
	feed_put(t, s, strlen(s));
}

static inline void feed_put_number(struct feed_text *t, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	feed_put(t, digits + i, sizeof(digits) - i);
}

/* Bytes with all but printable ASCII as \xNN. */
static inline void feed_put_escaped(struct feed_text *t, struct oa_bytes b)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < b.len; i++) {
		uint8_t c = b.ptr[i];

		if (c >= ' ' && c < 0x7f && c != '\\')
			feed_put(t, &c, 1);
		else
			feed_put(t, (char[]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
	}
}

static inline void feed_text_free(struct feed_text *t)
{
	free(t->ptr);
	*t = (struct feed_text){ 0 };
}

/* A buffer whose end is the end of mapped memory. */
struct feed_guard {
	uint8_t *map, *end;
	size_t bytes;
};

static inline void feed_guard_init(struct feed_guard *g, size_t bytes)
{
	g->bytes = (bytes + 4095) / 4096 * 4096;
	g->map = mmap(NULL, g->bytes + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->map == MAP_FAILED || mprotect(g->map + 4096, g->bytes, PROT_READ | PROT_WRITE))
		abort();
	g->end = g->map + 4096 + g->bytes;
}

static inline void feed_guard_fini(struct feed_guard *g)
{
	munmap(g->map, g->bytes + 8192);
}

struct feed {
	const struct oa_proto *proto;
	enum oa_dir dir;
	const struct oa_request_note *notes; /* answers in order; the last one again when they run out */
	unsigned note_count;
	bool eof;                            /* the direction ends behind the bytes */
	bool by_message;                     /* the sink has `message` */
	bool at_start;                       /* offers begin behind an unmapped page instead of ending before one */
	void (*print)(struct feed_text *t, const struct oa_event *ev); /* REQUEST and RESPONSE */
	/* -- of one play -- */
	struct feed_text text;
	uint64_t body; /* BODY events not written down yet: how many there are depends on the cuts */
	uint32_t body_stream;
	unsigned noted;
	bool tunnel;
	long result;
};

static inline void feed_flush_body(struct feed *f)
{
	if (!f->body)
		return;
	feed_puts(&f->text, "BODY ");
	if (f->body_stream) {
		feed_put_number(&f->text, f->body_stream);
		feed_puts(&f->text, " ");
	}
	feed_put_number(&f->text, f->body);
	feed_puts(&f->text, "\n");
	f->body = 0;
}

static inline void feed_on_event(void *ctx, const struct oa_event *ev)
{
	struct feed *f = ctx;

	if (ev->type == OA_EVENT_BODY) {
		if (ev->stream != f->body_stream)
			feed_flush_body(f);
		f->body_stream = ev->stream;
		f->body += ev->u.body_bytes;
		return;
	}
	feed_flush_body(f);
	if (ev->type == OA_EVENT_REQUEST || ev->type == OA_EVENT_RESPONSE || ev->stream ||
	    ev->type > OA_EVENT_UPGRADED)
		f->print(&f->text, ev);
	else
		feed_puts(&f->text, ev->type == OA_EVENT_END ? "END\n" : "UPGRADED\n");
	f->tunnel |= ev->type == OA_EVENT_UPGRADED;
}

/* Says in one what must come to the same as the events it stands for. */
static inline void feed_on_message(void *ctx, const struct oa_http_head *head, uint64_t body_bytes, bool whole)
{
	struct feed *f = ctx;

	feed_on_event(f, &(struct oa_event){ .type = f->dir == OA_DIR_REQUEST ? OA_EVENT_REQUEST : OA_EVENT_RESPONSE,
					     .u.head = head });
	f->body += body_bytes;
	if (whole)
		feed_on_event(f, &(struct oa_event){ .type = OA_EVENT_END });
}

static inline void *feed_memory(void *ctx, void *old, size_t want, size_t *ret_bytes)
{
	free(old);
	if (!want)
		return NULL;
	*ret_bytes = want;
	return malloc(want);
}

static inline struct oa_request_note feed_on_note(void *ctx)
{
	struct feed *f = ctx;
	unsigned i = f->noted++;

	if (!f->note_count)
		return (struct oa_request_note){ 0 };
	return f->notes[i < f->note_count ? i : f->note_count - 1];
}

/* Offers bytes once. returns bytes taken or the parser's error */
static inline long feed_offer(struct feed *f, struct feed_guard *g, void *state, struct oa_bytes in)
{
	const struct oa_sink sink = { feed_on_event, feed_on_note, f, f->by_message ? feed_on_message : NULL, feed_memory, NULL };
	uint8_t *at = f->at_start ? g->map + 4096 : g->end - in.len;
	long n;

	memcpy(at, in.ptr, in.len);
	n = f->proto->feed(state, f->dir, oa_bytes(at, in.len), &sink);
	memset(at, 0xee, in.len);
	if (n > (long)in.len)
		abort();
	return n;
}

static inline void feed_end(struct feed *f, void *state, size_t taken, size_t len)
{
	const struct oa_sink sink = { feed_on_event, feed_on_note, f, f->by_message ? feed_on_message : NULL, feed_memory, NULL };
	int rc;

	feed_flush_body(f);
	if (f->proto->release && !f->eof)
		f->proto->release(state, &sink);
	if (f->result < 0) {
		feed_puts(&f->text, f->result == -EPROTO ? "EPROTO\n" : f->result == -E2BIG ? "E2BIG\n" : "E?\n");
		return;
	}
	feed_puts(&f->text, "TAKEN ");
	feed_put_number(&f->text, taken);
	feed_puts(&f->text, " OF ");
	feed_put_number(&f->text, len);
	feed_puts(&f->text, "\n");
	if (!f->eof)
		return;
	rc = f->proto->close(state, f->dir, &sink);
	if (f->proto->release)
		f->proto->release(state, &sink);
	feed_flush_body(f);
	feed_puts(&f->text, rc == 0 ? "CLOSE\n" : rc == -EPROTO ? "CLOSE EPROTO\n" : "CLOSE ?\n");
}

/* How many bytes have arrived after step `i`; called until it returns `len`. */
typedef size_t feed_cut_fn(size_t i, size_t before, size_t len, void *ctx);

/* Plays `in` once; f->text is what came of it. */
static inline void feed_play(struct feed *f, struct feed_guard *g, struct oa_bytes in, feed_cut_fn *cut, void *ctx)
{
	uint64_t state[8] = { 0 };
	size_t arrived = 0, taken = 0, i = 0;

	if (f->proto->state_bytes > sizeof(state) || in.len > g->bytes)
		abort();
	f->text.len = 0;
	feed_put(&f->text, "", 0);
	f->body = f->noted = 0;
	f->tunnel = false;
	f->result = 0;
	do {
		arrived = cut(i++, arrived, in.len, ctx);
		for (bool again = true; again && f->result >= 0;) {
			bool was = f->tunnel;

			f->result = feed_offer(f, g, state, oa_bytes(in.ptr + taken, arrived - taken));
			taken += f->result > 0 ? (size_t)f->result : 0;
			again = f->tunnel && !was; /* what follows an upgrade is offered again at once */
		}
	} while (arrived < in.len && f->result >= 0);
	feed_end(f, state, taken, in.len);
}

static inline size_t feed_cut_whole(size_t i, size_t before, size_t len, void *ctx)
{
	return len;
}

static inline size_t feed_cut_bytes(size_t i, size_t before, size_t len, void *ctx)
{
	return before + (before < len);
}

/* ctx: size_t, the one place to cut at */
static inline size_t feed_cut_once(size_t i, size_t before, size_t len, void *ctx)
{
	return i == 0 ? *(size_t *)ctx : len;
}

/* ctx: uint64_t seed; pieces of 1 to 64 bytes, now and then up to 4 KiB */
static inline size_t feed_cut_random(size_t i, size_t before, size_t len, void *ctx)
{
	uint64_t *seed = ctx;
	size_t n;

	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	n = 1 + (*seed >> 33) % (*seed >> 60 ? 64 : 4096);
	return n < len - before ? before + n : len;
}

/* Plays `in` in all those ways. returns NULL, or which way gave another text than the whole did (then f->text is
 * that one and *ret_whole, to be freed, the whole's) */
static inline const char *feed_play_all(struct feed *f, struct feed_guard *g, struct oa_bytes in,
					struct feed_text *ret_whole)
{
	size_t step = in.len > 3000 ? in.len / 500 | 1 : 1;
	static char way[64];
	uint64_t seed = 1;

	f->at_start = true;
	feed_play(f, g, in, feed_cut_whole, NULL);
	*ret_whole = f->text;
	f->text = (struct feed_text){ 0 };
	f->at_start = false;
	feed_play(f, g, in, feed_cut_whole, NULL);
	if (strcmp(f->text.ptr, ret_whole->ptr))
		return "whole, before an unmapped page";
	feed_play(f, g, in, feed_cut_bytes, NULL);
	if (strcmp(f->text.ptr, ret_whole->ptr))
		return "byte by byte";
	f->by_message = true;
	feed_play(f, g, in, feed_cut_whole, NULL);
	if (strcmp(f->text.ptr, ret_whole->ptr))
		return "whole, by messages";
	for (size_t at = 1; at < in.len; at += step) {
		f->by_message = !f->by_message;
		feed_play(f, g, in, feed_cut_once, &at);
		if (strcmp(f->text.ptr, ret_whole->ptr)) {
			snprintf(way, sizeof(way), "cut at %zu", at);
			return way;
		}
	}
	for (int i = 0; i < 20; i++) {
		feed_play(f, g, in, feed_cut_random, &seed);
		if (strcmp(f->text.ptr, ret_whole->ptr))
			return "cut at random";
		f->by_message = !f->by_message;
	}
	f->by_message = false;
	return NULL;
}
