#pragma once
/* A ring of 256-byte slots for many producers and one consumer: span records from host threads to the
 * side thread (one ring per CPU shard) and finished spans waiting for export. The memory may be shared
 * between the processes of a tree, so a survivor can empty the ring of a worker that was killed.
 * Full means: the newest is dropped and counted. Nobody is woken here (core/doze.h). */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/span.h"

struct oa_ring {
	_Atomic uint64_t head __attribute__((aligned(64))); /* next slot to reserve, ever growing */
	_Atomic uint64_t dropped;                           /* records refused because it was full */
	_Atomic uint64_t tail __attribute__((aligned(64))); /* next slot to read */
	uint32_t slots;                                     /* power of two */
	uint32_t is_private;                                /* its owner's note: dies with the process (core/tree.c) */
	uint8_t mem[] __attribute__((aligned(64)));         /* slots * OA_SLOT_BYTES */
};

#define OA_RING_BYTES(slots) (sizeof(struct oa_ring) + (size_t)(slots) * OA_SLOT_BYTES)

/* mem: zeroed, OA_RING_BYTES(slots) long. */
void oa_ring_init(struct oa_ring *r, uint32_t slots);

/* Appends a copy of one record of `rec->bytes` bytes; its `seq` is ignored.
 *
 * returns   true; false when it did not fit: counted in r->dropped
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
bool oa_ring_push(struct oa_ring *r, const struct oa_span *rec);
/* The same in two steps, for who has another place for it. */
bool oa_ring_try_push(struct oa_ring *r, const struct oa_span *rec);
void oa_ring_drop(struct oa_ring *r);

/* Room for the largest record in one piece, to be written in place, all but its `seq`; NULL when there is none just now.
 * Then oa_ring_commit() appends as much of it as its `bytes` say.
 *
 * runs on   the one producer of a ring that has one
 */
struct oa_span_buf *oa_ring_reserve(struct oa_ring *r);
void oa_ring_commit(struct oa_ring *r, const struct oa_span_buf *rec);

/* The oldest record, or NULL when the ring is empty or the oldest is still being written. A record that
 * wraps around the end is copied to `scratch`; the pointer is valid until oa_ring_pop().
 *
 * runs on   the one consumer
 */
const struct oa_span *oa_ring_peek(struct oa_ring *r, struct oa_span_buf *scratch);
void oa_ring_pop(struct oa_ring *r);

/* Like peek, but `*pos` walks on without consuming: start with oa_ring_begin(). For batches that are
 * consumed (oa_ring_pop_to) only after they were delivered. */
static inline uint64_t oa_ring_begin(const struct oa_ring *r)
{
	return atomic_load_explicit(&r->tail, memory_order_relaxed);
}
const struct oa_span *oa_ring_next(struct oa_ring *r, uint64_t *pos, struct oa_span_buf *scratch);

/* Has the processor fetch an ordinary record that is needed soon: another one wrote it. */
static inline void oa_ring_prefetch(const struct oa_ring *r, uint64_t pos)
{
	const uint8_t *at = r->mem + (pos & (r->slots - 1)) * OA_SLOT_BYTES;

	for (unsigned i = 0; i < 2 * OA_SLOT_BYTES; i += 64)
		__builtin_prefetch(at + i);
}
void oa_ring_pop_to(struct oa_ring *r, uint64_t pos);

/* True when a producer reserved the oldest slot and has not finished it, or its length was overwritten. One that stays so was killed
 * or jumped away in the middle; the consumer retires the ring then (docs/architecture.md). */
bool oa_ring_stalled(const struct oa_ring *r);

static inline uint32_t oa_ring_used(const struct oa_ring *r)
{
	return (uint32_t)(atomic_load_explicit(&r->head, memory_order_relaxed) -
			  atomic_load_explicit(&r->tail, memory_order_relaxed));
}
