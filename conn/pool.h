#pragma once
/* Fixed-size objects by index: mapped in chunks when first needed, handed out and taken back by one
 * compare-and-swap, never unmapped, so a stale index never faults. */
#include <stdatomic.h>
#include <stdint.h>

#define OA_POOL_CHUNKS 256

struct oa_pool {
	uint32_t size;        /* bytes of one object; its first four belong to the pool while it is free */
	uint32_t chunk_shift; /* log2 of objects in a chunk */
	uint32_t max;         /* objects at most */
	_Atomic uint64_t free; /* tag in the upper half against ABA, index + 1 in the lower */
	_Atomic uint32_t fresh; /* objects handed out for the first time so far */
	uint8_t *_Atomic chunk[OA_POOL_CHUNKS];
};

#define OA_POOL(bytes, shift, count) { .size = (bytes), .chunk_shift = (shift), .max = (count) }

/* returns index, or -1 when none is left. The object's bytes are what its last user left.
 * runs on   any thread; signal-safe: yes; locks: none; heap: no (mmap per chunk); blocks: no */
int64_t oa_pool_take(struct oa_pool *p);
void oa_pool_give(struct oa_pool *p, uint32_t index);

/* The object, by what the caller knows of the pool: constants make this two instructions. */
static inline void *oa_pool_at_of(struct oa_pool *p, uint32_t index, uint32_t size, uint32_t chunk_shift)
{
	uint8_t *chunk = atomic_load_explicit(&p->chunk[index >> chunk_shift], memory_order_acquire);

	return chunk + (index & ((1u << chunk_shift) - 1)) * (uint64_t)size;
}

static inline void *oa_pool_at(struct oa_pool *p, uint32_t index)
{
	return oa_pool_at_of(p, index, p->size, p->chunk_shift);
}
