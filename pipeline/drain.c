/* Rings to processors. A record is consumed after it was processed, and what became of it so far
 * stands in shared memory, so that the adopter of a process that is killed in between neither loses
 * nor doubles it. */
#include "pipeline/drain.h"

#include "core/clock.h"
#include "core/inject_result.h"
#include "core/stats.h"
#include "pipeline/processor.h"
#include "sampler/sampler.h"

#define DRAIN_STALL_NS 2000000000ull

static struct oa_span_buf drain_scratch; /* record that wraps around the end of its ring */
static struct oa_span_buf drain_record;  /* the one being processed, with room for more texts */
static struct {
	uint64_t tail;
	uint64_t since_ns; /* 0: not stalled */
} drain_stall[OA_SHARDS_MAX];

typedef int32_t drain_refs __attribute__((vector_size(16))); /* four texts: length in the upper half, offset in the lower */

static inline drain_refs drain_outside(drain_refs ref, int32_t first, int32_t end)
{
	drain_refs off = ref & 0xffff, len = (ref >> 16) & 0xffff;

	return (len != 0) & ((off < first) | (off + len > end));
}

/* Each record comes by here twice. */
static bool drain_texts_inside(const struct oa_span *s)
{
	const unsigned whole = OA_STR_COUNT & ~3u;
	drain_refs outside = { 0 }, ref = { 0 };

	memcpy(&ref, &s->str[whole], (OA_STR_COUNT - whole) * sizeof(s->str[0]));
	outside = drain_outside(ref, sizeof(*s), s->bytes);
	for (unsigned i = 0; i < whole; i += 4) {
		memcpy(&ref, &s->str[i], sizeof(ref));
		outside |= drain_outside(ref, sizeof(*s), s->bytes);
	}
	return !(outside[0] | outside[1] | outside[2] | outside[3]);
}

bool oa_drain_valid(const struct oa_span *s)
{
	if (s->bytes < sizeof(*s) || s->bytes > sizeof(struct oa_span_buf))
		return false;
	return drain_texts_inside(s) &&
	       (s->kind == OA_KIND_SERVER || s->kind == OA_KIND_CLIENT ||
		s->kind == OA_KIND_INTERNAL) &&
	       s->what >= OA_WHAT_HTTP && s->what <= OA_WHAT_DB &&
	       s->method < OA_METHOD_COUNT && s->error < OA_ERR_COUNT &&
	       s->evidence < OA_EV_COUNT && s->inject < OA_INJECT_COUNT;
}

/* The ring being emptied. */
struct drain {
	struct oa_ring *ring;
	const struct oa_proc_id *who;
	_Atomic uint64_t *taking; /* of struct oa_proc: drain_word() of the record at the tail */
};

/* How far a record has come. */
enum drain_stage {
	DRAIN_UNTOUCHED,
	DRAIN_TAKEN,   /* not counted yet; being queued can be seen in the queue */
	DRAIN_RETRIED, /* the same, by the second process */
	DRAIN_COUNTED, /* or in the middle of that */
	DRAIN_DONE,
	DRAIN_STAGES,
};

static void drain_note(const struct drain *d, uint64_t pos, enum drain_stage stage)
{
	atomic_store_explicit(d->taking, (pos + 1) * DRAIN_STAGES + stage, memory_order_release);
}

static enum drain_stage drain_stage(const struct drain *d, uint64_t pos)
{
	uint64_t word = atomic_load_explicit(d->taking, memory_order_acquire);

	return word / DRAIN_STAGES == pos + 1 ? word % DRAIN_STAGES : DRAIN_UNTOUCHED;
}

static void drain_process(const struct drain *d, uint64_t pos, struct oa_span_buf *rec)
{
	rec->s.start_unix_ns = oa_unix_from_mono(rec->s.start_ns);
	for (const struct oa_processor *const *p = oa_processors; *p; p++) {
		if (!(*p)->on_span)
			continue;
		if ((*p)->prepare)
			(*p)->prepare(&rec->s);
		if ((*p)->counts)
			drain_note(d, pos, DRAIN_COUNTED);
		if ((*p)->on_span(rec, d->who) < 0)
			return;
	}
}

static void drain_copied(const struct drain *d, uint64_t pos)
{
	switch (drain_stage(d, pos)) {
	case DRAIN_UNTOUCHED:
		drain_note(d, pos, DRAIN_TAKEN);
		break;
	case DRAIN_TAKEN: /* its process was killed, or it kills: once more is worth the risk */
		drain_note(d, pos, DRAIN_RETRIED);
		break;
	case DRAIN_DONE:
		return;
	default:
		oa_stat_inc(OA_STAT_drop_died);
		return;
	}
	drain_process(d, pos, &drain_record);
	drain_note(d, pos, DRAIN_DONE);
}

/* The record at the tail is done with. */
static void drain_consume(struct oa_ring *ring, uint64_t end)
{
	oa_ring_pop_to(ring, end);
	if (ring->is_private) /* then it is our own */
		atomic_fetch_add_explicit(&oa_self->taken_private, 1, memory_order_relaxed);
}

/* Copies the record at the tail, processes it and consumes it up to `end`. */
static void drain_one(const struct drain *d, const struct oa_span *s, uint64_t end)
{
	uint16_t bytes = s->bytes;
	uint64_t tail = oa_ring_begin(d->ring);
	bool fits = bytes >= sizeof(*s) && bytes <= sizeof(drain_record);

	oa_ring_prefetch(d->ring, end);
	if (fits) {
		memcpy(drain_record.raw, s, bytes);
		drain_record.s.bytes = bytes;
	}
	if (fits && oa_drain_valid(&drain_record.s))
		drain_copied(d, tail);
	else
		oa_stat_inc(OA_STAT_drop_ring_stalled);
	drain_consume(d->ring, end);
}

static void drain_count_dropped(struct oa_ring *r)
{
	if (atomic_load_explicit(&r->dropped, memory_order_relaxed))
		oa_stat_add(OA_STAT_drop_ring_full, atomic_exchange(&r->dropped, 0));
}

static bool drain_next(const struct drain *d, uint64_t end)
{
	uint64_t pos = oa_ring_begin(d->ring);
	const struct oa_span *s = pos < end ? oa_ring_next(d->ring, &pos, &drain_scratch) : NULL;

	if (s)
		drain_one(d, s, pos);
	return s;
}

static unsigned drain_until(const struct drain *d, uint64_t end)
{
	unsigned seen = 0;

	while (drain_next(d, end))
		seen++;
	drain_count_dropped(d->ring);
	return seen;
}

/* Moves the tail from a record that was never finished to the next one that was, or to the end. */
static void drain_skip(const struct drain *d)
{
	struct oa_ring *r = d->ring;
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	uint64_t pos = oa_ring_begin(r);

	if (drain_stage(d, pos) != DRAIN_DONE) /* else killed while it was consumed */
		oa_stat_inc(OA_STAT_drop_ring_stalled);
	while (++pos < head) {
		uint64_t after = pos;

		if (oa_ring_next(r, &after, &drain_scratch))
			break;
	}
	drain_consume(r, pos);
}

unsigned oa_drain_abandoned(struct oa_proc *p, unsigned shard, struct oa_ring *r)
{
	const struct drain d = { r, &p->id, &p->taking[shard] };
	unsigned seen = 0;

	while (oa_ring_used(r)) {
		seen += drain_until(&d, atomic_load_explicit(&r->head, memory_order_acquire));
		if (oa_ring_used(r))
			drain_skip(&d);
	}
	drain_count_dropped(r);
	return seen;
}

/* Takes a ring out of use when its oldest record has been unfinished for too long: whoever reserved
 * it was killed or jumped away. It may still come back and write to its slots, so they are never
 * used again. */
static unsigned drain_check_stall(unsigned shard, struct oa_ring *r, uint64_t now_ns)
{
	uint64_t tail = oa_ring_begin(r);
	unsigned seen;

	if (!oa_ring_stalled(r)) {
		drain_stall[shard].since_ns = 0;
		return 0;
	}
	if (!drain_stall[shard].since_ns || drain_stall[shard].tail != tail) {
		drain_stall[shard].since_ns = now_ns;
		drain_stall[shard].tail = tail;
		return 0;
	}
	if (now_ns - drain_stall[shard].since_ns <= DRAIN_STALL_NS ||
	    oa_tree_retire_ring(shard) < 0)
		return 0;
	drain_stall[shard].since_ns = 0;
	seen = oa_drain_abandoned(oa_self, shard, r);
	atomic_store(&oa_self->taking[shard], 0); /* positions start anew */
	return seen;
}

/* When the exchange of the oldest record ended; UINT64_MAX when there is none. */
static uint64_t drain_oldest_ns(struct oa_ring *r, uint64_t end)
{
	uint64_t pos = oa_ring_begin(r);
	const struct oa_span *s = pos < end ? oa_ring_next(r, &pos, &drain_scratch) : NULL;

	return s ? s->start_ns + s->duration_ns : UINT64_MAX;
}

/* The rings of several CPUs in the order in which exchanges ended: a call comes before the request it was made for. What
 * ended after `now_ns` waits for the next turn, because what ended before it elsewhere may not have been written yet. */
static unsigned drain_in_order(const struct drain *d, unsigned count, uint64_t now_ns)
{
	uint64_t end[OA_SHARDS_MAX], oldest[OA_SHARDS_MAX];
	unsigned seen = 0;

	for (unsigned i = 0; i < count; i++) {
		end[i] = atomic_load_explicit(&d[i].ring->head, memory_order_acquire);
		oldest[i] = drain_oldest_ns(d[i].ring, end[i]);
	}
	for (;;) {
		unsigned first = 0;

		for (unsigned i = 1; i < count; i++)
			if (oldest[i] < oldest[first])
				first = i;
		/* A record from further ahead than clocks go is broken: it must not stay for ever. */
		if (!count || (oldest[first] > now_ns && oldest[first] - now_ns < DRAIN_STALL_NS) || !drain_next(&d[first], end[first]))
			break;
		oldest[first] = drain_oldest_ns(d[first].ring, end[first]);
		seen++;
	}
	return seen;
}

unsigned oa_drain_own(uint64_t now_ns)
{
	struct drain d[OA_SHARDS_MAX];
	unsigned seen = 0, count = 0;
	bool in_order; /* for keep.c */

	for (unsigned i = 0; oa_self && i < oa_self->shards; i++) {
		struct oa_ring *r = oa_proc_ring(oa_self, i);

		if (r)
			d[count++] = (struct drain){ r, &oa_self->id, &oa_self->taking[i] };
	}
	in_order = (oa_sampler_tail || oa_sampler_tail_remote) && count > 1;
	if (in_order)
		seen = drain_in_order(d, count, now_ns);
	for (unsigned i = 0; i < count; i++) {
		if (!in_order)
			seen += drain_until(&d[i], atomic_load_explicit(&d[i].ring->head, memory_order_relaxed));
		drain_count_dropped(d[i].ring);
		seen += drain_check_stall((unsigned)(d[i].taking - oa_self->taking), d[i].ring, now_ns);
	}
	return seen;
}

void oa_drain_forget(void) { memset(drain_stall, 0, sizeof(drain_stall)); }
