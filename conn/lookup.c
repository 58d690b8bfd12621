/* A small table of recent answers. Written by the thread that resolved, taken by the one that connects (node
 * resolves in a worker thread); a lost race loses a duration, never a wrong one. */
#include <netdb.h>
#include <stdatomic.h>

#include "conn/conn.h"
#include "conn/lookup.h"
#include "conn/peer.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/tree.h"

#define LOOKUP_SLOTS 64
#define LOOKUP_AGE_MS 2000
#define LOOKUP_ADDRS 8 /* of one answer */
#define LOOKUP_NAME_MAX 253 /* of DNS */

static struct {
	_Atomic uint64_t key;   /* hash of the address, port left out */
	_Atomic uint64_t value; /* duration in us << 32 | end in ms */
} lookup_table[LOOKUP_SLOTS];

static uint64_t lookup_key(const struct oa_addr *a)
{
	return oa_hash(a->family, a->ip, sizeof(a->ip)) | 1;
}

void oa_conn_on_lookup(const struct addrinfo *addrs, uint64_t duration_ns)
{
	uint64_t end_ms = oa_now_ns() / 1000000u, us = duration_ns / 1000u;

	for (unsigned i = 0; addrs && i < LOOKUP_ADDRS; addrs = addrs->ai_next, i++) {
		struct oa_addr a = oa_peer_from(addrs->ai_addr, addrs->ai_addrlen);
		uint64_t key = lookup_key(&a);

		if (a.family != 4 && a.family != 6)
			continue;
		atomic_store(&lookup_table[key % LOOKUP_SLOTS].value, 0);
		atomic_store(&lookup_table[key % LOOKUP_SLOTS].key, key);
		atomic_store(&lookup_table[key % LOOKUP_SLOTS].value,
			     (us < UINT32_MAX ? us ? us : 1 : UINT32_MAX) << 32 | (uint32_t)end_ms);
	}
}

uint32_t oa_lookup_take(const struct oa_addr *addr, uint64_t start_ns)
{
	uint64_t key = lookup_key(addr), value;
	uint32_t age;

	if (addr->family != 4 && addr->family != 6)
		return 0;
	if (atomic_load(&lookup_table[key % LOOKUP_SLOTS].key) != key)
		return 0;
	value = atomic_exchange(&lookup_table[key % LOOKUP_SLOTS].value, 0);
	if (atomic_load(&lookup_table[key % LOOKUP_SLOTS].key) != key)
		return 0;
	age = (uint32_t)(start_ns / 1000000u) - (uint32_t)value;
	return age <= LOOKUP_AGE_MS ? (uint32_t)(value >> 32) : 0;
}

/* An address written down, which nobody looks up. */
static bool lookup_is_address(const char *name)
{
	return strchr(name, ':') || !name[strspn(name, "0123456789.")];
}

/* Straight to its series, which have no locks: a lookup belongs to no connection, and takes longer than this by far. */
OA_COLD void oa_conn_measure_lookup(const char *name, uint64_t duration_ns, const char *error)
{
	struct oa_label_set labels;

	if (!oa_tree || lookup_is_address(name))
		return;
	labels.len = 0;
	labels.overflow = false;
	oa_label_add(&labels, OA_LABEL_dns_name, oa_bytes(name, strnlen(name, LOOKUP_NAME_MAX)));
	if (error)
		oa_label_add(&labels, OA_LABEL_error, oa_bytes_str(error));
	oa_series_record(&oa_tree->series, (unsigned)oa_config.series_limit, OA_INS_dns_lookup, &labels, duration_ns, NULL, NULL, 0);
}
