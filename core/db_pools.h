#pragma once
/* The pools of connections to databases of a process tree: whom they lead to, in shared memory. A pool is an address and a
 * database there. One that was seen stays for the life of the tree, so that its counts are shown at 0 when nobody has
 * a connection of it any more; how many there are is in each process' slot (core/tree.h). */
#include <stdatomic.h>
#include <stdint.h>

#include "core/span.h"

#define OA_DB_POOLS     32  /* of one tree; connections of further ones count as number 0 */
#define OA_DB_PATH_MAX  108

enum oa_db_use { OA_DB_IDLE, OA_DB_USED, OA_DB_USE_COUNT };

struct oa_db_pool_key {
	struct oa_addr addr;
	uint8_t path_len, ns_len; /* of a Unix socket; of the database, 0 not known */
	uint8_t path[OA_DB_PATH_MAX];
	uint8_t ns[OA_DB_NAME_MAX];
};

struct oa_db_pool {
	_Atomic uint32_t state; /* 0 free, 1 being claimed (for good when its claimer was killed), 2 ready */
	struct oa_db_pool_key key; /* bytes behind the lengths are zero */
};

/* Number of a pool, made if need be; 0: there is no room for it.
 * runs on   side thread; locks: none; heap: no; blocks: no */
unsigned oa_db_pool_get(struct oa_db_pool pools[OA_DB_POOLS], const struct oa_db_pool_key *key);

/* NULL: there is none of that number; 0 has no key. */
static inline const struct oa_db_pool_key *oa_db_pool_at(const struct oa_db_pool *pools, unsigned i)
{
	return i && atomic_load_explicit(&pools[i].state, memory_order_acquire) == 2 ? &pools[i].key : NULL;
}
