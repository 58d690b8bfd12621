/* How many connections to databases there are, and whether they are used: by a look at all of them once a second, on the
 * side thread and without their locks. What is read may change meanwhile; its generation tells. A connection is used while
 * something is asked on it, or a transaction is open. */
#include "conn/conn.h"
#include "conn/exchange.h"
#include "conn/store.h"
#include "conn/store_session.h"
#include "core/tree.h"
#include "proto/store.h"

#define POOLS_PERIOD_NS 1000000000u

/* Side thread only: too large for its neighbours' stacks. */
static struct oa_db_pool_key pools_key;
static uint32_t pools_count[OA_DB_POOLS][OA_DB_USE_COUNT];

static _Atomic bool pools_any;

static bool pools_are(uint8_t proto)
{
	return proto && oa_protos[proto - 1]->flags & OA_PROTO_POOLED;
}

void oa_store_pools_begin(const struct oa_conn *c)
{
	if (pools_are(c->proto) && c->role != OA_ROLE_SERVER)
		atomic_store_explicit(&pools_any, true, memory_order_relaxed);
}

OA_UNSYNCED static void pools_path(const struct oa_conn *c)
{
	const volatile uint8_t *from = c->peer_path ? oa_block_at(0, c->peer_path - 1) : NULL;

	pools_key.path_len = from && c->peer_path_len <= OA_DB_PATH_MAX ? (uint8_t)c->peer_path_len : 0;
	for (unsigned i = 0; i < pools_key.path_len; i++)
		pools_key.path[i] = from[i];
}

/* Reads a connection. returns whether it is one of a pool; *ret_use then says more */
OA_UNSYNCED static bool pools_read(const struct oa_conn *c, enum oa_db_use *ret_use)
{
	unsigned ready = OA_STORE_READY;
	uint32_t store;
	uint8_t proto;

	if (atomic_load_explicit(&c->role, memory_order_relaxed) != OA_ROLE_CLIENT ||
	    atomic_load_explicit(&c->state, memory_order_acquire) != OA_CONN_HTTP || c->home != oa_exchange_home)
		return false;
	proto = __atomic_load_n(&c->proto, __ATOMIC_RELAXED);
	store = *(const volatile uint32_t *)&c->store;
	if (!pools_are(proto))
		return false;
	memset(&pools_key, 0, sizeof(pools_key));
	pools_key.addr = c->peer;
	pools_path(c);
	if (oa_protos[proto - 1]->flags & OA_PROTO_LOGIN)
		ready = store ? oa_session_peek(store, pools_key.ns, &pools_key.ns_len) : 0;
	*ret_use = *(const volatile uint16_t *)&c->open || ready == OA_STORE_IN_TX ? OA_DB_USED : OA_DB_IDLE;
	return ready;
}

static void pools_look(const struct oa_conn *c)
{
	uint32_t gen = atomic_load_explicit(&c->gen, memory_order_acquire);
	enum oa_db_use use;

	if (!(gen & 1) || !atomic_load_explicit(&c->refs, memory_order_acquire) || !pools_read(c, &use))
		return; /* free, going, or another sort */
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&c->gen, memory_order_relaxed) == gen && atomic_load_explicit(&c->refs, memory_order_relaxed))
		pools_count[oa_db_pool_get(oa_tree->db_pools, &pools_key)][use]++;
}

void oa_conn_count_pools(uint64_t now_ns)
{
	static uint64_t last_ns;
	uint32_t made = atomic_load_explicit(&oa_conn_pool.fresh, memory_order_relaxed);

	if (!atomic_load_explicit(&pools_any, memory_order_relaxed) || !oa_tree || !oa_self ||
	    (last_ns && now_ns - last_ns < POOLS_PERIOD_NS))
		return;
	last_ns = now_ns;
	memset(pools_count, 0, sizeof(pools_count));
	for (uint32_t i = 0; i < made && i < OA_CONNS_MAX; i++)
		pools_look(oa_conn_at(i));
	for (unsigned i = 0; i < OA_DB_POOLS; i++)
		for (unsigned use = 0; use < OA_DB_USE_COUNT; use++)
			atomic_store_explicit(&oa_self->db_pool[i][use], pools_count[i][use], memory_order_relaxed);
}
