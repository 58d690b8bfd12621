/* Sockets that speak TLS and the sessions that they carry find each other by the random number in the ClientHello. The
 * first record of a socket is looked at for it; the session's library tells it. A socket that no session claims is
 * inside a library that we do not see: counted as opaque. */
#include <string.h>

#include "conn/feed.h"
#include "conn/tls_internal.h"
#include "core/clock.h"

#define HELLO_BYTES 43         /* record header 5, handshake header 4, version 2, random 32 */
#define HELLO_RANDOM 11
#define HELLO_WAYS 4
#define HELLO_WAIT_MS 1000     /* from a ClientHello to the first call of a library that has its session */

/* What is collected, where the parsers would keep their state. */
struct hello {
	uint8_t bytes[HELLO_BYTES];
	uint8_t len;
	bool in; /* it was received */
};
_Static_assert(sizeof(struct hello) <= sizeof(((struct oa_conn *)0)->pstate), "room for a hello");

static struct {
	_Atomic uint64_t key;  /* 0: free */
	_Atomic uint64_t conn; /* struct oa_ref */
	_Atomic uint64_t since_ms; /* 0: counted already */
} hellos[OA_TLS_HELLOS];
static _Atomic uint32_t hellos_waiting;
static _Atomic bool hellos_used;

uint64_t oa_tls_key(const uint8_t random[32])
{
	uint64_t v[4];

	memcpy(v, random, sizeof(v));
	return v[0] | v[1] | v[2] | v[3] ? oa_hash(v[3], random, 32) | 1 : 0;
}

/* A program may be both ends of a connection: the session that sent a ClientHello is not the one that received it. */
static uint64_t hello_one_way(uint64_t key, bool in)
{
	return in || !key ? key : key ^ 1ull << 62;
}

static void hello_settle(unsigned i)
{
	if (atomic_exchange(&hellos[i].since_ms, 0))
		atomic_fetch_sub(&hellos_waiting, 1);
}

static void hello_count_unseen(unsigned i)
{
	if (!atomic_exchange(&hellos[i].since_ms, 0))
		return;
	atomic_fetch_sub(&hellos_waiting, 1);
	oa_stat_inc(OA_STAT_opaque_tls);
}

/* returns the slot of a key or -1 */
static int hello_find(uint64_t key)
{
	for (unsigned way = 0; way < HELLO_WAYS; way++) {
		unsigned i = (unsigned)(key + way) % OA_TLS_HELLOS;

		if (atomic_load_explicit(&hellos[i].key, memory_order_acquire) == key)
			return (int)i;
	}
	return -1;
}

bool oa_tls_hello_known(uint64_t key)
{
	return key && (hello_find(hello_one_way(key, true)) >= 0 || hello_find(hello_one_way(key, false)) >= 0);
}

/* One that does not say which end it is: none of two. */
static uint64_t hello_of(uint64_t key, enum oa_role role)
{
	uint64_t received = hello_one_way(key, true), sent = hello_one_way(key, false);

	if (role != OA_ROLE_UNKNOWN)
		return role == OA_ROLE_SERVER ? received : sent;
	if (hello_find(received) < 0)
		return sent;
	return hello_find(sent) < 0 ? received : 0;
}

struct oa_ref oa_tls_claim(uint64_t key, enum oa_role role)
{
	struct oa_ref ref = { 0, 0 };
	int i;

	key = key ? hello_of(key, role) : 0;
	i = key ? hello_find(key) : -1;
	if (i < 0)
		return ref;
	ref = oa_ref_unpack(atomic_load_explicit(&hellos[i].conn, memory_order_acquire));
	if (atomic_load_explicit(&hellos[i].key, memory_order_acquire) != key)
		return (struct oa_ref){ 0, 0 };
	hello_settle((unsigned)i);
	atomic_store_explicit(&hellos[i].key, 0, memory_order_release);
	return ref;
}

/* The oldest of the ways has waited long enough: it is counted, not forgotten. */
static unsigned hello_place(uint64_t key)
{
	unsigned best = (unsigned)key % OA_TLS_HELLOS;

	for (unsigned way = 0; way < HELLO_WAYS; way++) {
		unsigned i = (unsigned)(key + way) % OA_TLS_HELLOS;

		if (!atomic_load(&hellos[i].key))
			return i;
		if (atomic_load(&hellos[i].since_ms) < atomic_load(&hellos[best].since_ms))
			best = i;
	}
	return best;
}

/* A tunnel is somebody else's to look into: it is found when its session is here, and missed by nobody. */
static void hello_register(struct oa_conn *c, uint64_t key, bool missed)
{
	int known = hello_find(key);
	unsigned i = known >= 0 ? (unsigned)known : hello_place(key);

	if (!atomic_load_explicit(&hellos_used, memory_order_relaxed))
		atomic_store(&hellos_used, true);
	hello_count_unseen(i);
	atomic_store_explicit(&hellos[i].key, 0, memory_order_release);
	atomic_store_explicit(&hellos[i].conn, oa_ref_pack((struct oa_ref){ c->index, c->gen }), memory_order_release);
	if (missed) {
		atomic_store_explicit(&hellos[i].since_ms, oa_now_ns() / 1000000u, memory_order_release);
		atomic_fetch_add(&hellos_waiting, 1);
	}
	atomic_store_explicit(&hellos[i].key, key, memory_order_release);
}

/* Its end: whoever has not claimed it by now never will. */
static void hello_forget(const struct oa_conn *c)
{
	const struct hello *h = (const void *)c->pstate;
	int i = hello_find(hello_one_way(oa_tls_key(h->bytes + HELLO_RANDOM), h->in));

	if (i < 0 || atomic_load(&hellos[i].conn) != oa_ref_pack((struct oa_ref){ c->index, c->gen }))
		return;
	hello_count_unseen((unsigned)i);
	atomic_store_explicit(&hellos[i].key, 0, memory_order_release);
}

/* -- collecting -- */

static void hello_is_none(struct oa_conn *c)
{
	c->tls = OA_TLS_NONE;
	if (c->state != OA_CONN_TUNNEL)
		oa_conn_make_opaque(c, OA_STAT_opaque_tls);
	else
		c->tls = OA_TLS_BELOW; /* looked at, and nothing to be found */
}

static uint64_t hello_key(const uint8_t *bytes)
{
	return bytes[5] == 1 && bytes[9] == 3 ? oa_tls_key(bytes + HELLO_RANDOM) : 0;
}

/* TLS in a tunnel inside TLS: an outer library is given records whole. */
static void hello_in_session(struct oa_conn *c, bool in, struct oa_bytes bytes)
{
	uint64_t key = bytes.len >= HELLO_BYTES ? hello_key(bytes.ptr) : 0;

	if (key)
		hello_register(c, hello_one_way(key, in), false);
}

void oa_tls_hello(struct oa_conn *c, bool in, struct oa_bytes bytes)
{
	struct hello *h = (void *)c->pstate;
	size_t step;

	if (c->tls == OA_TLS_SESSION) {
		hello_in_session(c, in, bytes);
		return;
	}
	if (c->tls == OA_TLS_NONE) {
		memset(h, 0, sizeof(*h));
		h->in = in;
		c->tls = OA_TLS_HELLO;
		if (c->role == OA_ROLE_UNKNOWN)
			atomic_store_explicit(&c->role, in ? OA_ROLE_SERVER : OA_ROLE_CLIENT, memory_order_relaxed);
	} else if ((c->role == OA_ROLE_SERVER) != in) {
		hello_is_none(c); /* answered before it was whole */
		return;
	}
	step = bytes.len < (size_t)(HELLO_BYTES - h->len) ? bytes.len : (size_t)(HELLO_BYTES - h->len);
	memcpy(h->bytes + h->len, bytes.ptr, step);
	h->len = (uint8_t)(h->len + step);
	if (h->len >= 2 && h->bytes[1] != 3) {
		hello_is_none(c);
		return;
	}
	if (h->len < HELLO_BYTES)
		return;
	if (!hello_key(h->bytes)) {
		hello_is_none(c);
		return;
	}
	c->tls = OA_TLS_BELOW;
	hello_register(c, hello_one_way(hello_key(h->bytes), h->in), c->state != OA_CONN_TUNNEL);
	if (c->state == OA_CONN_TUNNEL)
		return;
	c->flags |= OA_CONN_COUNTED; /* when it is clear that nobody sees what is inside */
	oa_conn_make_opaque(c, OA_STAT_opaque_tls);
}

void oa_tls_conn_freed(struct oa_conn *c)
{
	if (c->tls == OA_TLS_BELOW)
		hello_forget(c);
	else if (c->tls == OA_TLS_HELLO && c->state != OA_CONN_TUNNEL)
		oa_stat_inc(OA_STAT_opaque_tls); /* it broke off */
}

void oa_tls_reap(bool all)
{
	static _Atomic uint64_t looked_ms;
	uint64_t now_ms = oa_now_ns() / 1000000u;

	if (!atomic_load_explicit(&hellos_waiting, memory_order_relaxed) ||
	    (!all && now_ms - atomic_load(&looked_ms) < HELLO_WAIT_MS / 4))
		return;
	atomic_store(&looked_ms, now_ms);
	for (unsigned i = 0; i < OA_TLS_HELLOS; i++) {
		uint64_t since = atomic_load_explicit(&hellos[i].since_ms, memory_order_relaxed);

		if (since && (all || now_ms - since >= HELLO_WAIT_MS))
			hello_count_unseen(i);
	}
}

/* The parent counts its own. */
void oa_tls_after_fork_child(void)
{
	if (!atomic_load(&hellos_used))
		return;
	memset(hellos, 0, sizeof(hellos));
	atomic_store(&hellos_waiting, 0);
}
