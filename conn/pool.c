/* Treiber stack of indices over chunks of mapped memory. */
#include <stddef.h>

#include "conn/pool.h"
#include "core/attr.h"
#include "core/sys.h"

static int pool_map_chunk(struct oa_pool *p, uint32_t index)
{
	uint8_t *_Atomic *where = &p->chunk[index >> p->chunk_shift];
	size_t bytes = (size_t)p->size << p->chunk_shift;
	uint8_t *none = NULL, *mem;

	if (atomic_load_explicit(where, memory_order_acquire))
		return 0;
	mem = oa_sys_map(bytes, 0);
	if (!mem)
		return -1;
	if (!atomic_compare_exchange_strong(where, &none, mem))
		oa_sys2(SYS_munmap, mem, bytes);
	return 0;
}

static int64_t pool_take_fresh(struct oa_pool *p)
{
	uint32_t index = atomic_load_explicit(&p->fresh, memory_order_relaxed);

	do {
		if (index >= p->max || index >> p->chunk_shift >= OA_POOL_CHUNKS)
			return -1;
		if (pool_map_chunk(p, index))
			return -1;
	} while (!atomic_compare_exchange_weak(&p->fresh, &index, index + 1));
	return index;
}

OA_HOT int64_t oa_pool_take(struct oa_pool *p)
{
	uint64_t top = atomic_load_explicit(&p->free, memory_order_acquire);

	while ((uint32_t)top) {
		uint32_t index = (uint32_t)top - 1;
		/* May be garbage when another thread took it meanwhile; the tag makes the swap fail then. */
		uint32_t next = __atomic_load_n((uint32_t *)oa_pool_at(p, index), __ATOMIC_RELAXED);
		uint64_t want = ((top >> 32) + 1) << 32 | next;

		if (atomic_compare_exchange_weak_explicit(&p->free, &top, want, memory_order_acq_rel,
							  memory_order_acquire))
			return index;
	}
	return pool_take_fresh(p);
}

OA_HOT void oa_pool_give(struct oa_pool *p, uint32_t index)
{
	uint64_t top = atomic_load_explicit(&p->free, memory_order_relaxed), want;

	do {
		__atomic_store_n((uint32_t *)oa_pool_at(p, index), (uint32_t)top, __ATOMIC_RELAXED);
		want = ((top >> 32) + 1) << 32 | (index + 1);
	} while (!atomic_compare_exchange_weak_explicit(&p->free, &top, want, memory_order_acq_rel,
							memory_order_relaxed));
}
