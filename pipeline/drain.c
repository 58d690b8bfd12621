/* Rings to processors. A record is copied and consumed before it is processed: when this process is
 * killed in between it is missing, never doubled. */
#include "pipeline/drain.h"

#include "core/clock.h"
#include "core/inject_result.h"
#include "core/stats.h"
#include "pipeline/processor.h"

#define DRAIN_STALL_NS 2000000000ull

static struct oa_span_buf drain_scratch; /* record that wraps around the end of its ring */
static struct oa_span_buf drain_record;  /* the one being processed, with room for more texts */
static struct {
	uint64_t tail;
	uint64_t since_ns; /* 0: not stalled */
} drain_stall[OA_SHARDS_MAX];

bool oa_drain_valid(const struct oa_span *s)
{
	if (s->bytes < sizeof(*s) || s->bytes > sizeof(struct oa_span_buf))
		return false;
	for (unsigned i = 0; i < OA_STR_COUNT; i++)
		if (s->str[i].len &&
		    (s->str[i].off < sizeof(*s) || s->str[i].off + s->str[i].len > s->bytes))
			return false;
	return (s->kind == OA_KIND_SERVER || s->kind == OA_KIND_CLIENT ||
		s->kind == OA_KIND_INTERNAL) &&
	       s->what >= OA_WHAT_HTTP && s->what <= OA_WHAT_CONNECT &&
	       s->method < OA_METHOD_COUNT && s->error < OA_ERR_COUNT &&
	       s->evidence < OA_EV_COUNT && s->inject < OA_INJECT_COUNT;
}

static void drain_process(struct oa_span_buf *rec, const struct oa_proc_id *who)
{
	rec->s.start_unix_ns = oa_unix_from_mono(rec->s.start_ns);
	for (const struct oa_processor *const *p = oa_processors; *p; p++)
		if ((*p)->on_span && (*p)->on_span(rec, who) < 0)
			return;
}

/* Copies the record at `tail`, consumes it up to pos and processes it. */
static void drain_one(struct oa_ring *r, const struct oa_span *s, uint64_t pos,
		      const struct oa_proc_id *who)
{
	uint16_t bytes = s->bytes;
	uint64_t tail = oa_ring_begin(r);
	bool fits = bytes >= sizeof(*s) && bytes <= sizeof(drain_record);

	if (fits) {
		memcpy(drain_record.raw, s, bytes);
		drain_record.s.bytes = bytes;
	}
	oa_ring_pop_to(r, pos > tail ? pos : tail + 1);
	if (fits && oa_drain_valid(&drain_record.s))
		drain_process(&drain_record, who);
	else
		oa_stat_inc(OA_STAT_drop_ring_stalled);
}

static void drain_count_dropped(struct oa_ring *r)
{
	if (atomic_load_explicit(&r->dropped, memory_order_relaxed))
		oa_stat_add(OA_STAT_drop_ring_full, atomic_exchange(&r->dropped, 0));
}

static unsigned drain_until(struct oa_ring *r, uint64_t end, const struct oa_proc_id *who)
{
	unsigned seen = 0;

	for (;;) {
		uint64_t pos = oa_ring_begin(r);
		const struct oa_span *s;

		if (pos >= end)
			break;
		s = oa_ring_next(r, &pos, &drain_scratch);
		if (!s)
			break;
		drain_one(r, s, pos, who);
		seen++;
	}
	drain_count_dropped(r);
	return seen;
}

/* Moves the tail from a record that was never finished to the next one that was, or to the end. */
static void drain_skip(struct oa_ring *r)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	uint64_t pos = oa_ring_begin(r);

	oa_stat_inc(OA_STAT_drop_ring_stalled);
	while (++pos < head) {
		uint64_t after = pos;

		if (oa_ring_next(r, &after, &drain_scratch))
			break;
	}
	oa_ring_pop_to(r, pos);
}

unsigned oa_drain_abandoned(struct oa_ring *r, const struct oa_proc_id *who)
{
	unsigned seen = 0;

	while (oa_ring_used(r)) {
		seen += drain_until(r, atomic_load_explicit(&r->head, memory_order_acquire), who);
		if (oa_ring_used(r))
			drain_skip(r);
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
	return oa_drain_abandoned(r, &oa_self->id);
}

unsigned oa_drain_own(uint64_t now_ns)
{
	unsigned seen = 0;

	if (!oa_self)
		return 0;
	for (unsigned i = 0; i < oa_self->shards; i++) {
		struct oa_ring *r = oa_proc_ring(oa_self, i);

		if (!r)
			continue;
		seen += drain_until(r, atomic_load_explicit(&r->head, memory_order_relaxed),
				    &oa_self->id);
		seen += drain_check_stall(i, r, now_ns);
	}
	return seen;
}

void oa_drain_forget(void) { memset(drain_stall, 0, sizeof(drain_stall)); }
