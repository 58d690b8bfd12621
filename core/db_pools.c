/* Numbers for pools of connections: taken in order, never given back. */
#include "core/db_pools.h"

#include <string.h>

#define CLAIM_LOOKS 100000 /* a process that is killed while it claims one leaves it to nobody */

static uint32_t pool_state(const struct oa_db_pool *pool)
{
	uint32_t state;
	unsigned looks = 0;

	do
		state = atomic_load_explicit(&pool->state, memory_order_acquire);
	while (state == 1 && ++looks < CLAIM_LOOKS);
	return state;
}

unsigned oa_db_pool_get(struct oa_db_pool pools[OA_DB_POOLS], const struct oa_db_pool_key *key)
{
	for (unsigned i = 1; i < OA_DB_POOLS; i++) {
		uint32_t state = 0;

		if (atomic_compare_exchange_strong(&pools[i].state, &state, 1)) {
			pools[i].key = *key;
			atomic_store_explicit(&pools[i].state, 2, memory_order_release);
			return i;
		}
		if (pool_state(&pools[i]) == 2 && !memcmp(&pools[i].key, key, sizeof(*key)))
			return i;
	}
	return 0;
}
