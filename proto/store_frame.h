#pragma once
/* What the parsers of stores share: the loop over units, bytes that are passed over, and what comes behind the end.
 * A parser says how the unit at the front begins; this takes it, and skips what of it nobody reads. */
#include <errno.h>

#include "proto/store.h"

#define STORE_COLD __attribute__((noinline, cold))

#define STORE_UPGRADED 1 /* said so: this call returns at that place */
#define STORE_SILENT   2 /* by a command that said OA_STORE_LAST; the answer's direction will say when */

/* First member of each state. */
struct store_state {
	uint32_t skip;    /* bytes of the unit that nobody reads */
	uint8_t dead;     /* errno: nothing is taken any more */
	uint8_t closed;   /* everything is taken, nothing said: STORE_UPGRADED, STORE_SILENT */
	uint8_t end_due;  /* END comes when skip is 0 */
	union {
		uint8_t begun;   /* the first unit was taken */
		uint8_t looks;   /* Kafka: records of the message that are still looked at */
	};
	uint32_t stream;  /* of the END that is due */
};

/* Looks at the unit at the front of `in` (not empty). Sets skip for what follows it.
 * returns bytes taken, 0 wait, -EPROTO, -E2BIG */
typedef long store_unit_fn(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink);

static inline void store_emit(const struct oa_sink *sink, enum oa_event_type type, uint32_t stream,
			      const struct oa_store_msg *msg)
{
	struct oa_event ev = { .type = type, .stream = stream, .u.store = msg };

	sink->event(sink->ctx, &ev);
}

/* REQUEST or RESPONSE, and its END. */
static inline void store_emit_whole(const struct oa_sink *sink, enum oa_event_type type, uint32_t stream,
				    const struct oa_store_msg *msg)
{
	struct oa_event ev = { .type = type, .stream = stream, .whole = true, .u.store = msg };

	sink->event(sink->ctx, &ev);
}

static inline void store_end(struct store_state *st, const struct oa_sink *sink, uint32_t stream)
{
	if (st->skip) {
		st->end_due = 1;
		st->stream = stream;
	} else {
		store_emit(sink, OA_EVENT_END, stream, NULL);
	}
}

/* REQUEST or RESPONSE; its END comes when what is passed over of it has been. */
static inline void store_emit_last(struct store_state *st, const struct oa_sink *sink, enum oa_event_type type,
				   uint32_t stream, const struct oa_store_msg *msg)
{
	struct oa_event ev = { .type = type, .stream = stream, .whole = !st->skip, .u.store = msg };

	sink->event(sink->ctx, &ev);
	if (st->skip)
		store_end(st, sink, stream);
}

static inline void store_upgraded_to(struct store_state *st, uint32_t code, const struct oa_sink *sink)
{
	struct oa_event ev = { .type = OA_EVENT_UPGRADED, .u.code = code };

	st->closed = STORE_UPGRADED;
	sink->event(sink->ctx, &ev);
}

static inline void store_upgraded(struct store_state *st, const struct oa_sink *sink)
{
	store_upgraded_to(st, 0, sink);
}

/* What was to be passed over has been. */
typedef void store_done_fn(void *state, const struct oa_sink *sink);

static inline void store_done_end(void *state, const struct oa_sink *sink)
{
	struct store_state *st = state;

	if (st->end_due) {
		st->end_due = 0;
		store_emit(sink, OA_EVENT_END, st->stream, NULL);
	}
}

static inline __attribute__((always_inline)) long store_feed(void *state, enum oa_dir dir, struct oa_bytes in,
							      const struct oa_sink *sink, store_unit_fn *unit,
							      store_done_fn *done)
{
	struct store_state *st = state;
	size_t at = 0;

	if (__builtin_expect(st->dead | st->closed, 0))
		return st->dead ? -(long)st->dead : (long)in.len;
	while (at < in.len) {
		long n;

		if (st->skip) {
			size_t step = st->skip < in.len - at ? st->skip : in.len - at;

			at += step;
			st->skip -= (uint32_t)step;
			if (!st->skip)
				done(state, sink);
		} else {
			n = unit(state, dir, oa_bytes(in.ptr + at, in.len - at), sink);
			if (__builtin_expect(n < 0, 0)) {
				st->dead = (uint8_t)-n;
				return n;
			}
			if (n == 0)
				break;
			at += (size_t)n;
		}
		if (__builtin_expect(st->closed, 0))
			return st->closed == STORE_SILENT ? (long)in.len : (long)at;
	}
	return (long)at;
}

/* `n` bytes that nobody saw: fine as long as nobody would have read them. */
static inline long store_unseen(void *state, uint64_t n, const struct oa_sink *sink, store_done_fn *done)
{
	struct store_state *st = state;

	if (st->closed)
		return (long)n;
	if (st->dead || n > st->skip)
		return -EPROTO;
	st->skip -= (uint32_t)n;
	if (!st->skip && n)
		done(state, sink);
	return (long)n;
}

/* The direction ended. `middle`: in the middle of a message by what the parser alone knows */
static inline int store_close(const struct store_state *st, bool middle)
{
	if (st->dead)
		return -(int)st->dead;
	return !st->closed && (st->skip || st->end_due || middle) ? -EPROTO : 0;
}

/* -- numbers at the front, their room already known to be there -- */

static inline uint16_t store_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t store_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t store_be64(const uint8_t *p)
{
	return (uint64_t)store_be32(p) << 32 | store_be32(p + 4);
}

static inline uint16_t store_le16(const uint8_t *p)
{
	return (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t store_le24(const uint8_t *p)
{
	return (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* The same where a fourth byte can be read: one load. */
static inline uint32_t store_le24_of4(const uint8_t *p)
{
	return oa_load32(p) & 0xffffff;
}

static inline uint32_t store_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | store_le24(p);
}

/* Up to a NUL. returns false when there is none; *in is then as before */
static inline bool store_cstring(struct oa_bytes *in, struct oa_bytes *ret)
{
	const uint8_t *end = in->len ? memchr(in->ptr, 0, in->len) : NULL;

	if (!end)
		return false;
	*ret = oa_bytes(in->ptr, (size_t)(end - in->ptr));
	*in = oa_bytes(end + 1, in->len - ret->len - 1);
	return true;
}

static inline bool store_take(struct oa_bytes *in, size_t n, struct oa_bytes *ret)
{
	if (in->len < n)
		return false;
	*ret = oa_bytes(in->ptr, n);
	*in = oa_bytes(in->ptr + n, in->len - n);
	return true;
}
