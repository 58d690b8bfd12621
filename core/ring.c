/* Multi-producer, single-consumer ring. A producer reserves whole slots by one compare-and-swap on `head`,
 * copies its record, then publishes by storing the reserved position + 1 in the first slot's `seq`. The
 * consumer clears `seq` of what it consumed before moving `tail`, so a slot of an older lap never looks
 * published. */
#include "core/ring.h"

#include "core/attr.h"

static uint32_t ring_slots_of(uint32_t bytes)
{
	return (bytes + OA_SLOT_BYTES - 1) / OA_SLOT_BYTES;
}

/* Never 0, and different for neighbouring laps. */
static uint32_t ring_seq(uint64_t pos)
{
	return (uint32_t)(pos * 2 + 1);
}

static uint8_t *ring_slot(struct oa_ring *r, uint64_t pos)
{
	return r->mem + (pos & (r->slots - 1)) * OA_SLOT_BYTES;
}

static _Atomic uint32_t *ring_slot_seq(struct oa_ring *r, uint64_t pos)
{
	return (_Atomic uint32_t *)(void *)ring_slot(r, pos);
}

void oa_ring_init(struct oa_ring *r, uint32_t slots)
{
	r->slots = slots;
}

/* Copies a record but for its seq, around the end where needed. */
static inline void ring_copy_in(struct oa_ring *r, uint64_t pos, const struct oa_span *rec)
{
	const uint8_t *from = (const uint8_t *)rec + sizeof(rec->seq);
	size_t off = (pos & (r->slots - 1)) * OA_SLOT_BYTES + sizeof(rec->seq);
	size_t len = rec->bytes - sizeof(rec->seq), room = (size_t)r->slots * OA_SLOT_BYTES - off;

	if (OA_LIKELY(len <= room)) {
		memcpy(r->mem + off, from, len);
		return;
	}
	memcpy(r->mem + off, from, room);
	memcpy(r->mem, from + room, len - room);
}

OA_COLD void oa_ring_drop(struct oa_ring *r) { atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed); }

OA_HOT bool oa_ring_try_push(struct oa_ring *r, const struct oa_span *rec)
{
	uint32_t need = ring_slots_of(rec->bytes);
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	do {
		uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);

		if (OA_UNLIKELY(head + need - tail > r->slots))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&r->head, &head, head + need, memory_order_relaxed,
							memory_order_relaxed));
	ring_copy_in(r, head, rec);
	atomic_store_explicit(ring_slot_seq(r, head), ring_seq(head), memory_order_release);
	return true;
}

bool oa_ring_push(struct oa_ring *r, const struct oa_span *rec)
{
	if (oa_ring_try_push(r, rec))
		return true;
	oa_ring_drop(r);
	return false;
}

struct oa_span_buf *oa_ring_reserve(struct oa_ring *r)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	uint32_t most = ring_slots_of(sizeof(struct oa_span_buf));

	if ((head & (r->slots - 1)) + most > r->slots || head + most - atomic_load_explicit(&r->tail, memory_order_acquire) > r->slots)
		return NULL;
	return (void *)ring_slot(r, head);
}

void oa_ring_commit(struct oa_ring *r, const struct oa_span_buf *rec)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

	atomic_store_explicit(&r->head, head + ring_slots_of(rec->s.bytes), memory_order_relaxed);
	atomic_store_explicit(ring_slot_seq(r, head), ring_seq(head), memory_order_release);
}

/* Length of the finished record at pos, 0 when there is none. One that cannot be, because a broken process of the
 * tree wrote over it, is none either. */
static uint32_t ring_bytes_at(struct oa_ring *r, uint64_t pos)
{
	const struct oa_span *s = (const void *)ring_slot(r, pos);
	uint32_t bytes;

	if (atomic_load_explicit(ring_slot_seq(r, pos), memory_order_acquire) != ring_seq(pos))
		return 0;
	bytes = *(const volatile uint16_t *)&s->bytes;
	return bytes >= sizeof(*s) && bytes <= sizeof(struct oa_span_buf) ? bytes : 0;
}

const struct oa_span *oa_ring_next(struct oa_ring *r, uint64_t *pos, struct oa_span_buf *scratch)
{
	const struct oa_span *s = (const void *)ring_slot(r, *pos);
	uint32_t bytes = ring_bytes_at(r, *pos), need = ring_slots_of(bytes);

	if (!bytes)
		return NULL;
	if ((*pos & (r->slots - 1)) + need > r->slots) {
		size_t first = (r->slots - (*pos & (r->slots - 1))) * (size_t)OA_SLOT_BYTES;

		memcpy(scratch->raw, s, first);
		memcpy(scratch->raw + first, r->mem, bytes - first);
		scratch->s.bytes = (uint16_t)bytes;
		s = &scratch->s;
	}
	*pos += need;
	return s;
}

void oa_ring_pop_to(struct oa_ring *r, uint64_t pos)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	for (; tail < pos; tail++)
		atomic_store_explicit(ring_slot_seq(r, tail), 0, memory_order_relaxed);
	atomic_store_explicit(&r->tail, pos, memory_order_release);
}

const struct oa_span *oa_ring_peek(struct oa_ring *r, struct oa_span_buf *scratch)
{
	uint64_t pos = oa_ring_begin(r);

	return oa_ring_next(r, &pos, scratch);
}

void oa_ring_pop(struct oa_ring *r)
{
	uint64_t tail = oa_ring_begin(r);
	uint32_t bytes = ring_bytes_at(r, tail);

	oa_ring_pop_to(r, tail + (bytes ? ring_slots_of(bytes) : 1));
}

bool oa_ring_stalled(const struct oa_ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	struct oa_ring *ring = (struct oa_ring *)(uintptr_t)r;

	if (atomic_load_explicit(&r->head, memory_order_relaxed) == tail)
		return false;
	return !ring_bytes_at(ring, tail);
}
