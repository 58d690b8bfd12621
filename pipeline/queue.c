#include "pipeline/queue.h"

#include <string.h>
#include <sys/mman.h>

#include "core/stats.h"
#include "core/sys.h"
#include "exporter/exporter.h"
#include "pipeline/drain.h"

#define QUEUE_PRIVATE_MAX (64u << 20)
#define QUEUE_AHEAD       9 /* slots, some three records: looking at one takes less time than fetching it */

static struct oa_span_buf queue_packed, queue_scratch;

/* Mapped once, and emptied in a child, where it holds the parent's. */
static struct oa_ring *queue_spill(const struct oa_ring *ring, uint32_t max)
{
	static struct oa_ring *spill;
	uint32_t slots = OA_QUEUE_SLOTS;

	if (!ring || max <= ring->slots / 2)
		return NULL;
	while (slots < max * 2ull && OA_RING_BYTES(slots * 2) <= QUEUE_PRIVATE_MAX)
		slots *= 2;
	if (!spill)
		spill = oa_sys_map(OA_RING_BYTES(slots), 0);
	if (!spill)
		return NULL;
	(void)oa_sys3(SYS_madvise, spill, OA_RING_BYTES(slots), MADV_DONTNEED); /* zero pages */
	oa_ring_init(spill, slots);
	return spill;
}

/* How many spans wait, and how many of them the process takes with it when it is killed. */
static void queue_note(const struct oa_queue *q)
{
	atomic_store_explicit(&q->proc->queued, q->waiting, memory_order_relaxed);
	atomic_store_explicit(&q->proc->unsaved, q->proc->queue_unit < 0 ? q->waiting : q->spilled,
			      memory_order_relaxed);
}

void oa_queue_open(struct oa_queue *q, uint32_t max)
{
	struct oa_ring *ring = oa_proc_queue(oa_self);

	atomic_store_explicit(&oa_self->queue_max, max, memory_order_relaxed);
	*q = (struct oa_queue){ .proc = oa_self, .ring = ring, .spill = queue_spill(ring, max) };
}

/* -- in -- */

static bool queue_push(struct oa_queue *q, const struct oa_span *s)
{
	if (!q->spilled && oa_ring_push(q->ring, s))
		return true;
	if (!q->spill || !oa_ring_push(q->spill, s))
		return false;
	q->spilled++;
	return true;
}

/* Packed where it shall lie: one copy less. */
static bool queue_put_in_place(struct oa_queue *q, const struct oa_span *s)
{
	struct oa_span_buf *place = q->spilled ? NULL : oa_ring_reserve(q->ring);

	if (!place)
		return false;
	oa_span_pack(s, place);
	oa_ring_commit(q->ring, place);
	return true;
}

static bool queue_put_packed(struct oa_queue *q, const struct oa_span *s)
{
	oa_span_pack(s, &queue_packed);
	return queue_push(q, &queue_packed.s);
}

bool oa_queue_put(struct oa_queue *q, const struct oa_span *s)
{
	if (!q->ring || !(queue_put_in_place(q, s) || queue_put_packed(q, s)))
		return false;
	q->waiting++;
	queue_note(q);
	return true;
}

bool oa_queue_has(const struct oa_queue *q, const struct oa_span *s)
{
	return memcmp(q->last, s->span_id, sizeof(q->last)) == 0;
}

/* -- out -- */

struct oa_queue_take oa_queue_take(struct oa_queue *q, const struct oa_span **ret_spans, size_t max)
{
	struct oa_queue_take take = { .end = oa_ring_begin(q->ring) };

	while (take.records < q->waiting && take.count < max) {
		/* At most one of them wraps around the end of the ring: one scratch is enough. */
		const struct oa_span *s = oa_ring_next(q->ring, &take.end, &queue_scratch);

		if (!s)
			break;
		oa_ring_prefetch(q->ring, take.end + QUEUE_AHEAD);
		take.records++;
		if (oa_drain_valid(s))
			ret_spans[take.count++] = s;
		else
			oa_stat_inc(OA_STAT_drop_ring_stalled);
	}
	if (!take.records) { /* overwritten by somebody: would be tried for ever */
		take.records = q->waiting - q->spilled;
		take.end = atomic_load(&q->ring->head);
		oa_stat_add(OA_STAT_drop_ring_stalled, take.records);
	}
	atomic_store(&q->proc->wire, OA_WIRE_WAITS); /* for the exporters to change */
	atomic_store(&q->proc->flight_end, take.end);
	atomic_store_explicit(&q->proc->in_flight, take.count, memory_order_relaxed);
	return take;
}

/* Moves what waits in private memory up into the room that came free. */
static void queue_move_up(struct oa_queue *q)
{
	while (q->spilled) {
		const struct oa_span *s = oa_ring_peek(q->spill, &queue_scratch);

		if (!s || !oa_ring_push(q->ring, s))
			break;
		oa_ring_pop(q->spill);
		q->spilled--;
	}
}

void oa_queue_settle(struct oa_queue *q, const struct oa_queue_take *take)
{
	atomic_store(&q->proc->wire, OA_WIRE_SETTLED);
	oa_ring_pop_to(q->ring, take->end);
	atomic_store(&q->proc->flight_end, 0);
	atomic_store_explicit(&q->proc->in_flight, 0, memory_order_relaxed);
	q->waiting -= take->records;
	queue_move_up(q);
	queue_note(q);
}

void oa_queue_put_back(struct oa_queue *q)
{
	atomic_store(&q->proc->flight_end, 0);
	atomic_store_explicit(&q->proc->in_flight, 0, memory_order_relaxed);
}

uint32_t oa_queue_abandon(struct oa_queue *q, bool heir)
{
	uint32_t lost = heir && q->proc->queue_unit >= 0 ? q->spilled : q->waiting;

	if (q->spill)
		oa_ring_pop_to(q->spill, atomic_load(&q->spill->head));
	if (lost == q->waiting && q->ring)
		oa_ring_pop_to(q->ring, atomic_load(&q->ring->head));
	q->waiting -= lost;
	q->spilled = 0;
	queue_note(q);
	return lost;
}

/* -- inherited -- */

/* A process that was killed between clearing what it had delivered and moving the tail leaves a gap
 * in front. */
static void queue_skip_delivered(struct oa_ring *ring)
{
	uint64_t head = atomic_load(&ring->head), pos = oa_ring_begin(ring), after = pos;

	while (pos < head && !oa_ring_next(ring, &after, &queue_scratch))
		after = ++pos;
	if (pos < head)
		oa_ring_pop_to(ring, pos);
}

/* Spans that were on their way when their process died are not sent again, because a span that is
 * there twice is worse than one that is missing. */
static void queue_skip_flight(struct oa_proc *p, struct oa_ring *ring)
{
	uint64_t end = atomic_load(&p->flight_end), pos = oa_ring_begin(ring);
	unsigned count = 0;

	if (end && atomic_load(&p->wire) != OA_WIRE_WAITS) {
		while (pos < end && oa_ring_next(ring, &pos, &queue_scratch))
			count++;
		if (atomic_load(&p->wire) == OA_WIRE_OUT)
			oa_stat_add(OA_STAT_export_unknown, count);
		oa_ring_pop_to(ring, pos);
	}
	atomic_store(&p->flight_end, 0);
}

void oa_queue_inherit(struct oa_queue *q, struct oa_proc *p)
{
	const struct oa_span *s;
	uint64_t pos;

	*q = (struct oa_queue){ .proc = p, .ring = oa_proc_queue(p) };
	atomic_store_explicit(&p->queued, 0, memory_order_relaxed);
	atomic_store_explicit(&p->in_flight, 0, memory_order_relaxed);
	if (!q->ring)
		return;
	queue_skip_delivered(q->ring);
	queue_skip_flight(p, q->ring);
	pos = oa_ring_begin(q->ring);
	while ((s = oa_ring_next(q->ring, &pos, &queue_scratch)) != NULL) {
		memcpy(q->last, s->span_id, sizeof(q->last));
		q->waiting++;
	}
	/* Only its own side thread wrote here: what follows is the one record it died in the middle
	 * of. */
	atomic_store(&q->ring->head, pos);
	atomic_store_explicit(&p->queued, q->waiting, memory_order_relaxed);
}
