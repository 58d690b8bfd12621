/* Life of sessions: the table that finds them by the address of the library's object, the socket below, what the
 * handshake says, and their end. */
#include "conn/tls.h"

#include <string.h>

#include "conn/context.h"
#include "conn/feed.h"
#include "conn/internal.h"
#include "conn/proxied.h"
#include "conn/span_build.h"
#include "conn/tls_internal.h"
#include "core/clock.h"
#include "core/state.h"
#include "core/sys.h"

#define TABLE_SLOTS (2 * OA_TLS_SESSIONS_MAX) /* power of two; 2 MiB of address space, touched where used */
#define TABLE_WAYS 16

struct oa_pool oa_tls_pool = OA_POOL(sizeof(struct oa_tls_session), 9, OA_TLS_SESSIONS_MAX);

/* -- by address -- */

struct slot {
	_Atomic uint64_t session; /* 0: free */
	_Atomic uint64_t conn;    /* struct oa_ref */
};
static struct slot *_Atomic table;

static struct slot *table_map(void)
{
	struct slot *none = NULL, *mem = oa_sys_map(sizeof(struct slot) * TABLE_SLOTS, 0);

	if (!mem)
		return NULL;
	if (atomic_compare_exchange_strong(&table, &none, mem))
		return mem;
	oa_sys2(SYS_munmap, mem, sizeof(struct slot) * TABLE_SLOTS);
	return none;
}

static struct slot *table_way(struct slot *t, uint64_t session, unsigned way)
{
	return &t[((session * 0x9e3779b97f4a7c15u >> 40) + way) & (TABLE_SLOTS - 1)];
}

static OA_HOT struct slot *table_find(uint64_t session)
{
	struct slot *t = atomic_load_explicit(&table, memory_order_acquire);

	for (unsigned way = 0; t && way < TABLE_WAYS; way++) {
		struct slot *at = table_way(t, session, way);

		if (atomic_load_explicit(&at->session, memory_order_acquire) == session)
			return at;
	}
	return NULL;
}

/* A place for it: a session is used by one thread at a time, so nobody else adds the same. */
static struct slot *table_add(uint64_t session)
{
	struct slot *t = atomic_load_explicit(&table, memory_order_acquire);

	if (!t)
		t = table_map();
	for (unsigned way = 0; t && way < TABLE_WAYS; way++) {
		struct slot *at = table_way(t, session, way);
		uint64_t none = 0;

		if (atomic_load_explicit(&at->session, memory_order_relaxed))
			continue;
		if (atomic_compare_exchange_strong(&at->session, &none, session))
			return at;
	}
	oa_stat_inc(OA_STAT_untracked_pool);
	return NULL;
}

static void table_remove(struct slot *at)
{
	atomic_store_explicit(&at->conn, 0, memory_order_release);
	atomic_store_explicit(&at->session, 0, memory_order_release);
}

/* -- sessions -- */

/* A handshake, and then nothing passed the functions that we see: idle, or read past them. */
static void session_count_unseen(struct oa_conn *c)
{
	if (c->state != OA_CONN_NEW || c->flags & OA_CONN_COUNTED || !(oa_tls_of(c)->flags & OA_TLS_KNOWN))
		return;
	c->flags |= OA_CONN_COUNTED;
	oa_stat_inc(OA_STAT_opaque_tls_no_data);
}

static void session_free(struct oa_conn *c)
{
	struct oa_tls_session *s = oa_tls_of(c);
	uint32_t index = c->session - 1;

	oa_tls_drop_pin(s);
	c->session = 0;
	oa_conn_end(c);
	oa_pool_give(&oa_tls_pool, index);
}

static enum oa_role session_role(const struct oa_tls_source *src)
{
	return src->ops->role ? src->ops->role(src) : OA_ROLE_UNKNOWN;
}

/* An unlinked session says less about who waits for whom: it counts as non-blocking. */
static struct oa_ref session_new(const struct oa_tls_source *src)
{
	enum oa_role role = session_role(src);
	struct slot *at = table_add((uint64_t)(uintptr_t)src->session);
	struct oa_ref ref = { 0, 0 };
	struct oa_tls_session *s;
	struct oa_conn *c;
	int64_t index;

	if (!at)
		return ref;
	index = oa_pool_take(&oa_tls_pool);
	c = index < 0 ? NULL : oa_conn_new_session(role);
	if (!c) {
		if (index >= 0)
			oa_pool_give(&oa_tls_pool, (uint32_t)index);
		table_remove(at);
		return ref;
	}
	s = oa_pool_at(&oa_tls_pool, (uint32_t)index);
	memset(&s->pin, 0, sizeof(*s) - offsetof(struct oa_tls_session, pin));
	s->session = src->session;
	c->session = (uint32_t)index + 1;
	c->flags = OA_CONN_NONBLOCK;
	if (src->ops->foreign && src->ops->foreign(src))
		oa_conn_make_opaque(c, OA_STAT_opaque_not_http);
	ref = (struct oa_ref){ c->index, c->gen };
	oa_conn_unlock(c);
	atomic_store_explicit(&at->conn, oa_ref_pack(ref), memory_order_release);
	return ref;
}

/* returns the key of its ClientHello, 0 when it is not known. *ret_mark: enough of it to notice another one */
static uint64_t session_key(const struct oa_tls_source *src, uint64_t *ret_mark)
{
	uint8_t random[32];

	if (!src->ops->random || !src->ops->random(src, random))
		return 0;
	memcpy(ret_mark, random + 8, 8); /* some begin with the time */
	return oa_tls_key(random);
}

static bool ref_alive(struct oa_ref ref)
{
	return ref.gen && oa_conn_at(ref.index)->gen == ref.gen;
}

OA_HOT struct oa_conn *oa_tls_enter(struct oa_ref ref)
{
	struct oa_conn *c;

	if (!ref_alive(ref))
		return NULL;
	c = oa_conn_at(ref.index);
	if (c->state == OA_CONN_OPAQUE || !oa_conn_lock(c))
		return NULL;
	if (c->gen != ref.gen || c->tls != OA_TLS_SESSION) {
		oa_conn_unlock(c);
		return NULL;
	}
	oa_conn_heed(c);
	return c;
}

/* The object was freed out of our sight and is another session now: its handshake began with another ClientHello,
 * one that a socket carried. (A renegotiation's is encrypted, and no socket shows it.) */
static bool session_replaced(const struct oa_tls_source *src, struct oa_ref ref)
{
	struct oa_conn *c = oa_conn_at(ref.index);
	struct oa_tls_session *s;
	uint64_t mark = 0;
	uint8_t random[32];

	if (c->first || !c->session) /* in the middle of something: it will be asked later */
		return false;
	s = oa_pool_at(&oa_tls_pool, c->session - 1);
	if (!atomic_load_explicit(&s->key, memory_order_relaxed) || !src->ops->random(src, random))
		return false;
	memcpy(&mark, random + 8, 8);
	return mark != atomic_load_explicit(&s->mark, memory_order_relaxed) && oa_tls_hello_known(oa_tls_key(random));
}

OA_HOT struct oa_ref oa_tls_find(const struct oa_tls_source *src)
{
	struct slot *at = table_find((uint64_t)(uintptr_t)src->session);
	struct oa_ref ref;

	if (!src->session)
		return (struct oa_ref){ 0, 0 };
	if (!at)
		return oa_state_get() == OA_STATE_ACTIVE ? session_new(src) : (struct oa_ref){ 0, 0 };
	ref = oa_ref_unpack(atomic_load_explicit(&at->conn, memory_order_acquire));
	if (__builtin_expect(ref_alive(ref) && !session_replaced(src, ref), 1))
		return ref;
	oa_tls_before_free(src->session);
	return session_new(src);
}

/* -- the socket below -- */

static void link_path(struct oa_conn *c, const struct oa_conn *sock)
{
	int64_t block = sock->peer_path ? oa_block_take(0) : -1;

	if (block < 0)
		return;
	memcpy(oa_block_at(0, (uint32_t)block), oa_block_at(0, sock->peer_path - 1), sock->peer_path_len);
	c->peer_path = (uint16_t)(block + 1);
	c->peer_path_len = sock->peer_path_len;
}

/* What the socket knows is the session's from now on; so is the work that its opening counts as. */
static void link_take(struct oa_conn *c, struct oa_conn *sock)
{
	const uint8_t kept = OA_CONN_NONBLOCK | OA_CONN_UNIX | OA_CONN_WORKING;

	c->peer = sock->peer;
	c->local_port = sock->local_port;
	if (sock->role == OA_ROLE_CLIENT)
		atomic_store_explicit(&c->closed_ns, atomic_load_explicit(&sock->closed_ns, memory_order_relaxed), memory_order_relaxed);
	c->flags = (uint8_t)((c->flags & ~kept) | (sock->flags & kept));
	sock->flags &= (uint8_t)~OA_CONN_WORKING;
	c->bound = sock->bound;
	c->bound_at = sock->bound_at;
	c->dns_us = sock->dns_us;
	c->connect_us = oa_conn_connect_us(sock);
	if (c->role == OA_ROLE_UNKNOWN)
		atomic_store_explicit(&c->role, sock->role, memory_order_relaxed);
	if (!c->peer_path)
		link_path(c, sock);
	oa_proxied_copy(c, sock);
	c->other = (struct oa_ref){ sock->index, sock->gen };
	sock->other = (struct oa_ref){ c->index, c->gen };
}

static void session_link(struct oa_conn *c, uint64_t key, enum oa_role role)
{
	struct oa_ref below = oa_tls_claim(key, role);
	struct oa_conn *sock;

	if (!ref_alive(below) || below.index == c->index)
		return;
	sock = oa_conn_at(below.index);
	if (!oa_conn_try_lock(sock))
		return;
	if (sock->gen == below.gen)
		link_take(c, sock);
	oa_conn_unlock(sock);
}

/* An OpenSSL object that can be either says "server" until its handshake begins. */
static void session_learn_role(const struct oa_tls_source *src, struct oa_conn *c)
{
	enum oa_role role = session_role(src);

	if (role != OA_ROLE_UNKNOWN && c->state == OA_CONN_NEW && !c->carry[0] && !c->carry[1])
		atomic_store_explicit(&c->role, role, memory_order_relaxed);
}

void oa_tls_learn(const struct oa_tls_source *src, struct oa_conn *c)
{
	struct oa_tls_session *s = oa_tls_of(c);
	uint64_t key, mark;

	if (!atomic_load_explicit(&s->key, memory_order_relaxed) && (key = session_key(src, &mark))) {
		atomic_store_explicit(&s->mark, mark, memory_order_relaxed);
		atomic_store_explicit(&s->key, key, memory_order_relaxed);
		session_link(c, key, session_role(src)); /* which is true by now: there was a ClientHello */
	}
	if (s->flags & OA_TLS_KNOWN || (src->ops->finished && !src->ops->finished(src)))
		return;
	s->flags |= OA_TLS_KNOWN;
	session_learn_role(src, c);
	s->version = src->ops->version ? src->ops->version(src) : 0;
	s->cipher = src->ops->cipher ? src->ops->cipher(src) : 0;
}

OA_HOT void oa_tls_describe(const struct oa_conn *c, struct oa_span *span)
{
	const struct oa_tls_session *s = oa_tls_of(c);

	span->flags |= OA_SPAN_HTTPS;
	span->tls_version = s->version;
	span->tls_cipher = s->cipher;
	if (!(c->flags & OA_CONN_USED))
		span->tls_us = s->handshake_us;
}

/* -- what happened to it -- */

void oa_tls_handshake_failed(const struct oa_tls_source *src, struct oa_conn *c)
{
	struct oa_tls_session *s = oa_tls_of(c);
	bool distrusted = src->ops->distrusted && src->ops->distrusted(src);
	uint64_t now = oa_now_ns();

	if (s->flags & OA_TLS_FAILED_ONCE)
		return;
	s->flags |= OA_TLS_FAILED_ONCE;
	oa_tls_learn(src, c);
	oa_stat_inc(c->role == OA_ROLE_CLIENT ? OA_STAT_tls_failed_client : OA_STAT_tls_failed_server);
	if (c->role == OA_ROLE_CLIENT)
		oa_conn_calls_failed(c);
	if (c->role == OA_ROLE_CLIENT && !c->first)
		oa_span_connect_failed(c, s->begin_ns ? s->begin_ns : now, now,
				       distrusted ? OA_ERR_TLS_CERTIFICATE : OA_ERR_TLS_HANDSHAKE,
				       src->ops->name ? src->ops->name(src) : (struct oa_bytes){ 0 });
	else
		oa_conn_end_exchanges(c, now, distrusted ? OA_ERR_TLS_CERTIFICATE : OA_ERR_TLS_HANDSHAKE);
	c->flags |= OA_CONN_COUNTED;
	oa_conn_make_opaque(c, OA_STAT_opaque_tls);
}

void oa_tls_on_handshake(const struct oa_tls_source *src, struct oa_ref ref, uint64_t start_ns, enum oa_tls_result result)
{
	struct oa_conn *c = oa_tls_enter(ref);
	struct oa_tls_session *s;
	uint64_t took_us;

	if (!c)
		return;
	s = oa_tls_of(c);
	if (!s->begin_ns)
		s->begin_ns = start_ns;
	if (result == OA_TLS_FAILED) {
		oa_tls_handshake_failed(src, c);
	} else if (result == OA_TLS_DONE && !(s->flags & OA_TLS_KNOWN)) {
		took_us = (oa_now_ns() - s->begin_ns) / 1000;
		s->handshake_us = took_us < UINT32_MAX ? took_us ? (uint32_t)took_us : 1 : UINT32_MAX;
		oa_tls_learn(src, c);
	}
	oa_conn_unlock(c);
}

static OA_HOT void tls_feed(const struct oa_tls_source *src, struct oa_ref ref, bool in, struct oa_bytes bytes)
{
	struct oa_conn *c = oa_tls_enter(ref);

	if (!c)
		return;
	if (!(oa_tls_of(c)->flags & OA_TLS_KNOWN))
		oa_tls_learn(src, c);
	if (OA_LIKELY(c->state == OA_CONN_HTTP))
		oa_feed_http(c, in, bytes);
	else
		oa_feed_bytes(c, in, bytes);
	oa_conn_unlock(c);
}

OA_HOT void oa_tls_on_read(const struct oa_tls_source *src, struct oa_ref ref, const void *buf, size_t n)
{
	tls_feed(src, ref, true, oa_bytes(buf, n));
}

void oa_tls_on_sent(const struct oa_tls_source *src, struct oa_ref ref, const void *buf, size_t n)
{
	tls_feed(src, ref, false, oa_bytes(buf, n));
}

void oa_tls_on_end(const struct oa_tls_source *src, struct oa_ref ref, int err)
{
	struct oa_conn *c = oa_tls_enter(ref);

	if (!c)
		return;
	if (!(oa_tls_of(c)->flags & OA_TLS_KNOWN) && src->ops->finished && !src->ops->finished(src))
		oa_tls_handshake_failed(src, c);
	else if (err)
		oa_io_failed(c, err);
	else
		oa_io_eof(c);
	oa_conn_unlock(c);
}

void oa_tls_on_sent_blind(struct oa_ref ref, size_t n)
{
	struct oa_conn *c = oa_tls_enter(ref);

	if (!c)
		return;
	oa_feed_blind(c, false, n);
	oa_conn_unlock(c);
}

void oa_tls_give_up(struct oa_ref ref, enum oa_stat reason)
{
	struct oa_conn *c = oa_tls_enter(ref);

	if (!c)
		return;
	oa_conn_make_opaque(c, reason);
	oa_conn_unlock(c);
}

static struct oa_ref session_ref(void *session)
{
	struct slot *at = session ? table_find((uint64_t)(uintptr_t)session) : NULL;

	return at ? oa_ref_unpack(atomic_load_explicit(&at->conn, memory_order_acquire)) : (struct oa_ref){ 0, 0 };
}

void oa_tls_on_shutdown(void *session)
{
	struct oa_conn *c = oa_tls_enter(session_ref(session));

	if (!c)
		return;
	oa_feed_end(c, false);
	oa_conn_unlock(c);
}

/* -- the end -- */

/* One that is opaque too: it goes. */
static struct oa_conn *session_enter_any(struct oa_ref ref)
{
	struct oa_conn *c;

	if (!ref_alive(ref))
		return NULL;
	c = oa_conn_at(ref.index);
	if (!oa_conn_lock(c))
		return NULL;
	if (c->gen == ref.gen && c->tls == OA_TLS_SESSION)
		return c;
	oa_conn_unlock(c);
	return NULL;
}

void oa_tls_before_free(void *session)
{
	struct slot *at = session ? table_find((uint64_t)(uintptr_t)session) : NULL;
	struct oa_conn *c;

	if (!at)
		return;
	c = session_enter_any(oa_ref_unpack(atomic_load_explicit(&at->conn, memory_order_acquire)));
	table_remove(at);
	if (!c)
		return; /* somebody is stuck in it: it leaks rather than break */
	oa_conn_finish(c, oa_now_ns());
	session_count_unseen(c);
	session_free(c);
}

/* The library's object may live on; what was under way on it is over. */
void oa_tls_socket_closed(struct oa_conn *sock, uint64_t closed_ns)
{
	struct oa_conn *c = ref_alive(sock->other) ? oa_conn_at(sock->other.index) : NULL;

	if (!c || !oa_conn_try_lock(c))
		return;
	if (c->gen == sock->other.gen && c->tls == OA_TLS_SESSION && c->state != OA_CONN_OPAQUE) {
		oa_conn_finish(c, closed_ns);
		session_count_unseen(c);
		c->flags |= OA_CONN_COUNTED;
		oa_conn_make_opaque(c, OA_STAT_opaque_tls);
	}
	oa_conn_unlock(c);
}
