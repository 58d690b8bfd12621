/* Pools of connections to databases: their names, and their counts over the processes of the tree that live. */
#include "exporter/db_pools.h"

#include "exporter/addr_text.h"
#include "exporter/metric_walk.h"
#include "exporter/prom_text.h"

const char *const oa_db_use_names[] = { [OA_DB_IDLE] = "idle", [OA_DB_USED] = "used" };

_Static_assert(OA_DB_POOL_TEXT_MAX > OA_DB_PATH_MAX + OA_ADDR_TEXT_MAX + 16 + OA_DB_NAME_MAX, "room for all parts");

static char *pool_put(char *to, const void *from, size_t len)
{
	if (len)
		memcpy(to, from, len);
	return to + len;
}

static char *pool_put_address(char *to, const struct oa_addr *addr)
{
	size_t len;

	if (addr->family == 6)
		*to++ = '[';
	len = oa_addr_text(to, addr);
	to += len;
	if (addr->family == 6)
		*to++ = ']';
	if (!len || !addr->port)
		return to;
	*to++ = ':';
	return oa_decimal(to, addr->port);
}

struct oa_bytes oa_db_pool_name(char text[OA_DB_POOL_TEXT_MAX], const struct oa_addr *addr, struct oa_bytes path,
				struct oa_bytes ns)
{
	char *to = text;

	path = oa_bytes_cut(path, OA_DB_PATH_MAX);
	ns = oa_bytes_cut(ns, OA_DB_NAME_MAX);
	to = path.len ? pool_put(to, path.ptr, path.len) : pool_put_address(to, addr);
	if (ns.len) {
		to = pool_put(to, "/", 1);
		to = pool_put(to, ns.ptr, ns.len);
	}
	if (to == text)
		to = pool_put(to, "unknown", 7);
	return oa_bytes(text, (size_t)(to - text));
}

static bool pool_count(struct oa_metric_pool *pool, unsigned i, const struct oa_prom_alive *alive)
{
	for (unsigned use = 0; use < OA_DB_USE_COUNT; use++) {
		pool->count[use] = 0;
		for (unsigned p = 0; p < alive->count; p++)
			pool->count[use] += atomic_load_explicit(&alive->proc[p]->db_pool[i][use], memory_order_relaxed);
	}
	return pool->count[OA_DB_IDLE] || pool->count[OA_DB_USED];
}

bool oa_metric_pool(struct oa_metric_pool *ret, unsigned i, const struct oa_prom_alive *alive)
{
	const struct oa_db_pool_key *key = oa_tree ? oa_db_pool_at(oa_tree->db_pools, i) : NULL;
	bool any = pool_count(ret, i, alive);

	ret->name = (struct oa_bytes){ 0 };
	if (key)
		ret->name = oa_db_pool_name(ret->text, &key->addr, oa_bytes(key->path, key->path_len), oa_bytes(key->ns, key->ns_len));
	return key || (!i && any);
}
