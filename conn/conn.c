/* Life of connections: which descriptor means which, from accept or connect to close. A close is final only once
 * the number was reused or the side thread saw it gone, because a vfork child runs our hooks in its parent's
 * memory: what it closes stays open here (docs/architecture.md). */
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/un.h>

#include "conn/conn.h"
#include "conn/context.h"
#include "conn/fd_table.h"
#include "conn/feed.h"
#include "conn/internal.h"
#include "conn/lookup.h"
#include "conn/peer.h"
#include "conn/proxied.h"
#include "conn/respond.h"
#include "conn/span_build.h"
#include "conn/streams.h"
#include "conn/tls.h"
#include "core/attr.h"
#include "core/config.h"
#include "core/tsc.h"
#include "proto/http2.h"
#include "core/own_fd.h"
#include "core/sys.h"
#include "core/tree.h"

#define CONNECT_TIMEOUT_NS 1000000000u /* a connect given up after this long counts as timed out */

struct oa_pool oa_conn_pool = OA_POOL(sizeof(struct oa_conn), OA_CONN_CHUNK_SHIFT, OA_CONNS_MAX);
static _Atomic uint32_t conn_closing; /* descriptors whose close is not final yet */

static void conn_no_side_thread(void)
{
}

OA_START_DATA void (*oa_conn_want_side_thread)(void) = conn_no_side_thread;

static const char *conn_captured[5]; /* the allow-lists of header fields, and what we add ourselves */

int oa_conn_init(void)
{
	int err;

	for (unsigned i = 0; oa_protos[i]; i++)
		if (oa_protos[i]->state_bytes > OA_PROTO_STATE_BYTES)
			return -E2BIG;
	oa_http1_init();
	conn_captured[0] = oa_config.capture_server_request_headers;
	conn_captured[1] = oa_config.capture_server_response_headers;
	conn_captured[2] = oa_config.capture_client_request_headers;
	conn_captured[3] = oa_config.capture_client_response_headers;
	conn_captured[4] = oa_respond_on() ? OA_RESPOND_FIELDS : NULL;
	oa_http2_init(conn_captured, 5);
	err = oa_ctx_init();
	return err ? err : (oa_fd_get(0) ? 0 : -ENOMEM);
}

/* -- slots -- */

/* All of a slot at once: its parts belong together. */
static union oa_fd_word slot_load(struct oa_fd *slot)
{
	return (union oa_fd_word){ .word = slot ? atomic_load_explicit(oa_fd_word(slot), memory_order_acquire) : 0 };
}

static enum oa_fd_kind slot_kind(struct oa_fd *slot)
{
	return slot ? atomic_load_explicit(&slot->kind, memory_order_acquire) : OA_FD_NONE;
}

/* Locked by the caller, who was the last to know it. */
static OA_HOT void conn_free(struct oa_conn *c, uint32_t index)
{
	if (c->flags & OA_CONN_WORKING)
		oa_ctx_drop_work(c->bound);
	for (int dir = 0; dir < 2; dir++)
		if (c->carry[dir])
			oa_block_give((c->carry[dir] - 1) & 3, (c->carry[dir] - 1) >> 2);
	if (c->stash)
		oa_block_give(c->stash_cls, c->stash - 1);
	if (c->peer_path)
		oa_block_give(0, c->peer_path - 1);
	if (OA_UNLIKELY(c->proxied))
		oa_proxied_forget(c);
	if (c->tls)
		oa_tls_conn_freed(c);
	oa_feed_release(c);
	oa_streams_free(c);
	atomic_store_explicit(&c->gen, c->gen + 1, memory_order_relaxed);
	oa_conn_unlock(c);
	oa_pool_give(&oa_conn_pool, index);
}

/* What a connection that was closed by the host leaves behind. */
static enum oa_error conn_close_error(const struct oa_conn *c)
{
	return c->flags & OA_CONN_EOF_IN ? OA_ERR_CONNECTION_CLOSED : OA_ERR_ABANDONED;
}

/* In a child: what other threads were in the middle of when it was forked is the parent's to tell. (The kernel copies the
 * descriptors before the memory, so such a number may even be free here.) */
static OA_COLD void conn_drop_parents(struct oa_conn *c)
{
	uint32_t next;

	/* Not one moment's copy, what they had in their hands: it may lead anywhere. */
	for (uint32_t i = c->first, n = c->open; i && n; i = next, n--) {
		const struct oa_exchange *ex = oa_exchange_at(i - 1);

		next = ex->next;
		if (ex->home == oa_exchange_home)
			continue;
		oa_exchange_discard(c, i - 1);
		oa_stat_inc(OA_STAT_opaque_shared);
	}
}

static OA_HOT void conn_finish_closed(struct oa_conn *c, uint64_t closed_ns)
{
	oa_conn_heed(c);
	if (OA_UNLIKELY(c->first && oa_exchange_home))
		conn_drop_parents(c);
	if (c->state == OA_CONN_CONNECTING) {
		if (oa_ns_since(c->connect_ns, closed_ns) >= CONNECT_TIMEOUT_NS)
			oa_span_connect_failed(c, c->connect_ns, closed_ns, OA_ERR_TIMEOUT, (struct oa_bytes){ 0 });
		else
			oa_stat_inc(OA_STAT_connect_abandoned);
		return;
	}
	/* Our close ends what we were sending: complete when it was delimited by the close. */
	if (c->role == OA_ROLE_SERVER)
		oa_feed_end(c, false);
	oa_conn_end_exchanges(c, closed_ns, conn_close_error(c));
}

void oa_conn_finish(struct oa_conn *c, uint64_t closed_ns)
{
	conn_finish_closed(c, closed_ns);
}

void oa_conn_end(struct oa_conn *c)
{
	conn_free(c, c->index);
}

static OA_HOT void conn_unref(uint32_t index, bool closing)
{
	struct oa_conn *c = oa_conn_at(index);
	uint64_t closed_ns;

	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (!oa_conn_lock_patiently(c)) { /* somebody is stuck in it: it leaks rather than break */
		oa_stat_inc(OA_STAT_opaque_contention);
		return;
	}
	closed_ns = closing ? atomic_load_explicit(&c->closed_ns, memory_order_relaxed) : 0;
	closed_ns = closed_ns ? closed_ns : oa_host_now_ns();
	if (c->tls == OA_TLS_BELOW)
		oa_tls_socket_closed(c, closed_ns);
	conn_finish_closed(c, closed_ns);
	conn_free(c, index);
}

/* One more descriptor for the connection of a slot, unless it is over already. */
static bool conn_ref(struct oa_fd *slot, uint32_t index)
{
	struct oa_conn *c = oa_conn_at(index);
	uint16_t refs = atomic_load_explicit(&c->refs, memory_order_relaxed);
	union oa_fd_word now;

	do {
		if (!refs || refs == UINT16_MAX)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&c->refs, &refs, refs + 1, memory_order_acq_rel,
							memory_order_relaxed));
	now = slot_load(slot);
	if (now.kind == OA_FD_CONN && now.conn == index)
		return true;
	conn_unref(index, false); /* it means another one by now */
	return false;
}

/* What a slot meant is over; the last descriptor of a connection ends it. */
static void slot_ended(union oa_fd_word was)
{
	if (was.flags & OA_FD_CLOSING)
		atomic_fetch_sub_explicit(&conn_closing, 1, memory_order_relaxed);
	if (was.kind == OA_FD_CONN)
		conn_unref(was.conn, was.flags & OA_FD_CLOSING);
}

/* Gives a slot its meaning in one step, so that nobody sees half of it and what it meant before ends once. */
static OA_HOT void slot_set(struct oa_fd *slot, enum oa_fd_kind kind, uint16_t aux, uint32_t conn)
{
	union oa_fd_word to = { .kind = (uint8_t)kind, .aux = aux, .conn = conn };

	slot_ended((union oa_fd_word){ .word = atomic_exchange_explicit(oa_fd_word(slot), to.word,
									memory_order_acq_rel) });
}

static void slot_clear(struct oa_fd *slot)
{
	slot_set(slot, OA_FD_NONE, 0, 0);
}

/* From one known state to another; false: it has changed. */
static bool slot_swap(struct oa_fd *slot, union oa_fd_word from, union oa_fd_word to)
{
	return atomic_compare_exchange_strong_explicit(oa_fd_word(slot), &from.word, to.word, memory_order_acq_rel,
						       memory_order_relaxed);
}

/* The slot of a number the kernel just handed out: whatever it meant before is over. */
static OA_HOT struct oa_fd *slot_fresh(int fd)
{
	struct oa_fd *slot = oa_fd_get(fd);

	if (!slot) {
		oa_stat_inc((unsigned)fd >= OA_FDS_MAX ? OA_STAT_untracked_fd : OA_STAT_untracked_pool);
		return NULL;
	}
	if (slot_kind(slot) != OA_FD_NONE)
		slot_clear(slot);
	return slot;
}

/* A pool object becomes a connection. Threads that still think of its last life may look at it, and lock it for a
 * moment to find out; so it is set up under its lock, which the caller releases. */
static OA_HOT struct oa_conn *conn_make(enum oa_role role, enum oa_conn_state state)
{
	int64_t index = oa_pool_take(&oa_conn_pool);
	struct oa_conn *c;

	if (index < 0) {
		oa_stat_inc(OA_STAT_untracked_pool);
		return NULL;
	}
	c = oa_conn_at((uint32_t)index);
	if ((!oa_self && oa_tree_claim() == -ENOMEM) || !oa_conn_lock_patiently(c)) {
		oa_stat_inc(OA_STAT_untracked_pool);
		oa_pool_give(&oa_conn_pool, (uint32_t)index);
		return NULL;
	}
	memset(&c->flags, 0, sizeof(*c) - offsetof(struct oa_conn, flags));
	atomic_store_explicit(&c->index, (uint32_t)index, memory_order_relaxed);
	atomic_store_explicit(&c->gen, c->gen + 1, memory_order_relaxed);
	atomic_store_explicit(&c->contended, 0, memory_order_relaxed);
	atomic_store_explicit(&c->role, (uint8_t)role, memory_order_relaxed);
	atomic_store_explicit(&c->stash, 0, memory_order_relaxed);
	atomic_store_explicit(&c->closed_ns, 0, memory_order_relaxed);
	oa_conn_set_state(c, state);
	atomic_store_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

struct oa_conn *oa_conn_new_session(enum oa_role role)
{
	struct oa_conn *c = conn_make(role, OA_CONN_NEW);

	if (c)
		c->tls = OA_TLS_SESSION;
	return c;
}

static struct oa_conn *conn_new(struct oa_fd *slot, enum oa_role role, enum oa_conn_state state)
{
	struct oa_conn *c = conn_make(role, state);

	if (!c)
		return NULL;
	slot_set(slot, OA_FD_CONN, 0, c->index);
	if (role == OA_ROLE_SERVER)
		oa_stat_inc(OA_STAT_conns_server);
	else if (role == OA_ROLE_CLIENT)
		oa_stat_inc(OA_STAT_conns_client);
	return c;
}

/* -- closing descriptors seen again -- */

enum peer_is { PEER_OTHER, PEER_SAME, PEER_BUSY /* somebody is stuck in it, or the slot has changed */ };

static enum peer_is slot_peer_is(struct oa_fd *slot, union oa_fd_word was, const struct oa_addr *peer)
{
	struct oa_conn *c = oa_conn_at(was.conn);
	enum peer_is is = PEER_BUSY;

	if (!oa_conn_lock(c))
		return PEER_BUSY;
	if (slot_load(slot).word == was.word)
		is = oa_peer_eq(peer, &c->peer) ? PEER_SAME : PEER_OTHER;
	oa_conn_unlock(c);
	return is;
}

/* A descriptor we saw closed is used all the same: by a parent whose vfork child closed its own copy, or because the
 * number means something else now. One system call tells, and only then. */
static bool slot_resurrect(struct oa_fd *slot, int fd)
{
	union oa_fd_word was = slot_load(slot), to = { .word = 0 };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	enum peer_is is = PEER_OTHER;
	struct oa_addr now;

	if (was.kind == OA_FD_CONN && oa_sys3(SYS_getpeername, fd, &ss, &len) == 0) {
		now = oa_peer_from((struct sockaddr *)&ss, len);
		if (now.family != 1) /* Unix sockets have no name that tells one from another */
			is = slot_peer_is(slot, was, &now);
	}
	if (is == PEER_BUSY)
		return false;
	if (is == PEER_SAME) {
		to = was;
		to.flags &= (uint8_t)~OA_FD_CLOSING;
	}
	if (!slot_swap(slot, was, to))
		return false;
	if (is == PEER_OTHER)
		slot_ended(was);
	else if (was.flags & OA_FD_CLOSING)
		atomic_fetch_sub_explicit(&conn_closing, 1, memory_order_relaxed);
	return is == PEER_SAME;
}

/* What carries TLS concerns us no more, but for its end. Under the lock, so that it is still what the slot means. */
static OA_COLD void conn_deafen(struct oa_fd *slot, union oa_fd_word was, struct oa_conn *c)
{
	union oa_fd_word to = was;

	if (was.flags || c->tls != OA_TLS_BELOW || !oa_conn_try_lock(c))
		return;
	to.flags = OA_FD_DEAF;
	if (c->tls == OA_TLS_BELOW && c->state == OA_CONN_OPAQUE && !c->stash)
		(void)slot_swap(slot, was, to);
	oa_conn_unlock(c);
}

OA_HOT struct oa_conn *oa_conn_enter(int fd, struct oa_fd **ret_slot)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	union oa_fd_word was = slot_load(slot), now;
	struct oa_conn *c;

	*ret_slot = slot;
	if (was.kind != OA_FD_CONN)
		return NULL;
	if (__builtin_expect(was.flags & OA_FD_CLOSING, 0) && !slot_resurrect(slot, fd))
		return NULL;
	c = oa_conn_at(was.conn);
	if (c->state == OA_CONN_OPAQUE && !c->stash) {
		conn_deafen(slot, was, c);
		return NULL;
	}
	if (__builtin_expect(!oa_conn_lock(c), 0))
		return NULL;
	now = slot_load(slot);
	if (__builtin_expect(now.kind != OA_FD_CONN || now.conn != was.conn, 0)) {
		oa_conn_unlock(c);
		return NULL;
	}
	oa_conn_heed(c);
	return c;
}

/* -- descriptors come and go -- */

void oa_conn_on_socket(int fd, int domain, int type)
{
	struct oa_fd *slot;
	int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);

	slot = slot_fresh(fd);
	if (!slot)
		return;
	if (kind != SOCK_STREAM || (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)) {
		slot_set(slot, OA_FD_WAKE, 0, 0);
		return;
	}
	slot_set(slot, OA_FD_STREAM, type & SOCK_NONBLOCK ? OA_CONN_NONBLOCK : 0, 0);
}

void oa_conn_on_wake_fd(int fd)
{
	struct oa_fd *slot = slot_fresh(fd);

	if (slot)
		slot_set(slot, OA_FD_WAKE, 0, 0);
}

void oa_conn_on_epoll_fd(int fd)
{
	struct oa_fd *slot = slot_fresh(fd);

	if (slot)
		slot_set(slot, OA_FD_EPOLL, 0, 0);
}

void oa_conn_on_listen(int fd)
{
	struct oa_fd *slot = oa_fd_get(fd);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct oa_addr a = { 0 };

	if (!slot)
		return;
	if (oa_sys3(SYS_getsockname, fd, &ss, &len) == 0)
		a = oa_peer_from((struct sockaddr *)&ss, len);
	slot_set(slot, OA_FD_LISTENER, a.port, 0);
}

OA_HOT void oa_conn_on_accepted(int listener, int fd, const struct sockaddr *addr, socklen_t len, bool nonblock)
{
	struct oa_fd *slot = slot_fresh(fd), *from = oa_fd_peek(listener);
	struct oa_conn *c;

	if (!slot)
		return;
	c = conn_new(slot, OA_ROLE_SERVER, OA_CONN_NEW);
	if (!c)
		return;
	c->peer = oa_peer_from(addr, len);
	c->local_port = slot_kind(from) == OA_FD_LISTENER ? from->aux : 0;
	c->flags = (uint8_t)((nonblock ? OA_CONN_NONBLOCK : 0) | (c->peer.family == 1 ? OA_CONN_UNIX : 0));
	oa_conn_unlock(c);
	oa_conn_want_side_thread();
}

void oa_conn_on_fd_received(int fd)
{
	struct oa_fd *slot = slot_fresh(fd);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int type = 0;
	socklen_t type_len = sizeof(type);
	struct oa_conn *c;

	/* Two system calls, once per passed descriptor: most are sockets, some are files. */
	if (!slot || oa_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &type_len) || type != SOCK_STREAM)
		return;
	if (oa_sys3(SYS_getpeername, fd, &ss, &len))
		return;
	c = conn_new(slot, OA_ROLE_UNKNOWN, OA_CONN_NEW);
	if (!c)
		return;
	c->peer = oa_peer_from((struct sockaddr *)&ss, len);
	c->flags = c->peer.family == 1 ? OA_CONN_UNIX : 0;
	oa_conn_unlock(c);
	oa_conn_want_side_thread();
}

void oa_conn_on_nonblock(int fd, bool nonblock)
{
	struct oa_fd *slot;
	struct oa_conn *c = oa_conn_enter(fd, &slot);
	union oa_fd_word was = slot_load(slot), now = was;

	if (c) {
		c->flags = (uint8_t)(nonblock ? c->flags | OA_CONN_NONBLOCK : c->flags & ~OA_CONN_NONBLOCK);
		oa_conn_unlock(c);
		return;
	}
	now.aux = nonblock ? OA_CONN_NONBLOCK : 0;
	if (was.kind == OA_FD_STREAM)
		(void)slot_swap(slot, was, now); /* else it is another socket now */
}

/* Not when it is open under another number too, or in the parent whose memory a vfork child runs in. */
static bool close_is_the_end(const struct oa_conn *c)
{
	const struct oa_proc *self = atomic_load_explicit(&oa_self, memory_order_relaxed);

	return (c->first || c->flags & OA_CONN_WORKING) && atomic_load_explicit(&c->refs, memory_order_relaxed) == 1 && self &&
	       self->id.pid == (uint32_t)oa_sys0(SYS_getpid);
}

/* What was asked over it will not be answered any more, at least not here: whoever asked may go on. Its end is told later. */
static void close_gives_up(struct oa_conn *c)
{
	if (!oa_conn_lock_once(c))
		return;
	if (OA_UNLIKELY(close_is_the_end(c))) {
		if (c->flags & OA_CONN_WORKING)
			oa_ctx_given_up(c->bound);
		for (uint32_t i = c->first, n = c->open; i && n; i = oa_exchange_at(i - 1)->next, n--)
			oa_ctx_given_up(oa_exchange_at(i - 1)->parent);
	}
	oa_conn_unlock(c);
}

OA_HOT void oa_conn_before_close(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	struct oa_conn *c;
	union oa_fd_word was, now;

	do {
		was = now = slot_load(slot);
		/* Reads of a number that stopped being a wake source only end a turn early; listeners are looked up by
		 * number, so a vfork child's close must not forget them: the number's next use does. */
		if (was.kind != OA_FD_CONN)
			return;
		c = oa_conn_at(was.conn);
		atomic_store_explicit(&c->closed_ns, oa_host_now_ns(), memory_order_relaxed);
		if (was.flags & OA_FD_CLOSING)
			return;
		now.flags |= OA_FD_CLOSING;
	} while (!slot_swap(slot, was, now));
	atomic_fetch_add_explicit(&conn_closing, 1, memory_order_relaxed);
	if (atomic_load_explicit(&c->role, memory_order_relaxed) == OA_ROLE_CLIENT)
		close_gives_up(c);
}

void oa_conn_before_close_range(unsigned first, unsigned last)
{
	int end = last > INT32_MAX ? INT32_MAX : (int)last;

	if (first > INT32_MAX)
		return;
	for (int fd = oa_fd_next((int)first, end); fd >= 0 && fd <= end; fd = oa_fd_next(fd + 1, end))
		oa_conn_before_close(fd);
}

/* Locked. A call of this process's own that it still waits for. A host thread may be in it all the same: then it finds
 * an opaque connection. */
static void conn_end_waiting(struct oa_conn *c)
{
	if (c->state != OA_CONN_HTTP || !c->first || oa_exchange_at(c->first - 1)->home != oa_exchange_home)
		return;
	oa_conn_heed(c);
	oa_conn_end_exchanges(c, oa_host_now_ns(), conn_close_error(c));
	c->flags |= OA_CONN_COUNTED;
	oa_conn_make_opaque(c, OA_STAT_opaque_contention);
}

/* returns the TLS session inside; gen 0: none */
static struct oa_ref conn_end_calls(struct oa_conn *c, uint32_t gen)
{
	struct oa_ref inside = { 0, 0 };

	if (atomic_load_explicit(&c->role, memory_order_relaxed) != OA_ROLE_CLIENT || !oa_conn_lock_patiently(c))
		return inside;
	if (!gen || c->gen == gen)
		conn_end_waiting(c);
	if (c->tls == OA_TLS_BELOW)
		inside = c->other;
	oa_conn_unlock(c);
	return inside;
}

void oa_conn_end_calls(void)
{
	for (int fd = oa_fd_next(0, -1); fd >= 0; fd = oa_fd_next(fd + 1, -1)) {
		union oa_fd_word was = slot_load(oa_fd_peek(fd));
		struct oa_ref inside = { 0, 0 };

		if (was.kind == OA_FD_CONN)
			inside = conn_end_calls(oa_conn_at(was.conn), 0);
		if (inside.gen)
			(void)conn_end_calls(oa_conn_at(inside.index), inside.gen);
	}
}

void oa_conn_on_dup(int oldfd, int newfd)
{
	struct oa_fd *from = oa_fd_peek(oldfd), *to;
	union oa_fd_word was = slot_load(from);

	if (oldfd == newfd)
		return;
	/* A number that was closed and now means something else, a file say, must not make its twin a connection. */
	if (was.kind == OA_FD_CONN && was.flags & OA_FD_CLOSING && !slot_resurrect(from, oldfd))
		was.word = 0;
	to = was.kind == OA_FD_NONE ? oa_fd_peek(newfd) : oa_fd_get(newfd);
	if (!to)
		return;
	if (was.kind == OA_FD_CONN && !conn_ref(from, was.conn))
		was.word = 0;
	slot_set(to, was.kind, was.aux, was.conn);
}

void oa_conn_on_shutdown(int fd, int how)
{
	struct oa_fd *slot;
	struct oa_conn *c = oa_conn_enter(fd, &slot);

	if (!c)
		return;
	if (how == SHUT_WR || how == SHUT_RDWR)
		oa_feed_end(c, false);
	oa_conn_unlock(c);
}

/* -- connecting -- */

OA_HOT void oa_conn_connected(struct oa_conn *c)
{
	uint64_t took;

	if (c->state != OA_CONN_CONNECTING)
		return;
	oa_conn_set_state(c, OA_CONN_NEW);
	took = oa_ns_since(c->connect_ns, oa_host_now_ns()) / 1000;
	c->connect_us = took ? (took < UINT32_MAX ? (uint32_t)took : UINT32_MAX) : 1;
	c->store = 0;
}

/* A stream socket we may follow? A number made before activation is asked once. */
static bool connect_is_stream(struct oa_fd *slot, int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	switch (slot_kind(slot)) {
	case OA_FD_STREAM:
	case OA_FD_CONN:
		return true;
	case OA_FD_NONE:
		return oa_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
	default:
		return false;
	}
}

static void connect_keep_path(struct oa_conn *c, const struct sockaddr *addr, socklen_t len)
{
	struct oa_bytes path = oa_peer_path(addr, len);
	int64_t block = path.len ? oa_block_take(0) : -1;
	uint8_t *to;

	if (block < 0)
		return;
	to = oa_block_at(0, (uint32_t)block);
	path = oa_bytes_cut(path, 108);
	memcpy(to, path.ptr, path.len);
	if (!to[0])
		to[0] = '@';
	c->peer_path = (uint16_t)(block + 1);
	c->peer_path_len = (uint16_t)path.len;
}

static struct oa_conn *connect_new(struct oa_fd *slot, int fd, const struct sockaddr *addr, socklen_t len,
				   uint64_t start_ns)
{
	uint16_t nonblock = slot_kind(slot) == OA_FD_STREAM ? slot->aux : 0;
	struct oa_pick pick;
	struct oa_conn *c;

	if (slot_kind(slot) == OA_FD_CONN)
		slot_clear(slot);
	c = conn_new(slot, OA_ROLE_CLIENT, OA_CONN_CONNECTING);
	if (!c)
		return NULL;
	c->peer = oa_peer_from(addr, len);
	c->flags = (uint8_t)(nonblock & OA_CONN_NONBLOCK);
	if (c->peer.family == 1) {
		c->flags |= OA_CONN_UNIX;
		connect_keep_path(c, addr, len);
	}
	c->connect_ns = start_ns;
	c->home = oa_exchange_home;
	atomic_store_explicit(&c->closed_ns, start_ns, memory_order_relaxed);
	oa_ctx_used(c);
	c->dns_us = oa_lookup_take(&c->peer, start_ns);
	oa_ctx_pick(c, NULL, &pick);
	c->bound = oa_ctx_opener(&pick, &c->bound_at);
	if (pick.parent.gen) {
		c->flags |= OA_CONN_WORKING;
		oa_ctx_begin_work(pick.parent);
	}
	return c;
}

/* The socket may be used for another attempt: connect() starts over with a fresh connection. */
void oa_conn_connect_failed(struct oa_conn *c, int err)
{
	oa_span_connect_failed(c, c->connect_ns, oa_host_now_ns(), oa_error_from_errno(err), (struct oa_bytes){ 0 });
	oa_conn_calls_failed(c);
	oa_conn_set_state(c, OA_CONN_OPAQUE);
	c->connect_ns = 0;
	c->flags |= OA_CONN_COUNTED;
}

/* The same socket asked again: the second connect() of a non-blocking one reports how the first went. */
static bool connect_again(int fd, const struct sockaddr *addr, socklen_t len, int result, int err)
{
	struct oa_fd *slot;
	struct oa_conn *c = oa_conn_enter(fd, &slot);
	struct oa_addr to = oa_peer_from(addr, len);
	bool same;

	if (!c)
		return false;
	same = c->state == OA_CONN_CONNECTING && oa_peer_eq(&to, &c->peer);
	if (same && (result == 0 || err == EISCONN))
		oa_conn_connected(c);
	else if (same && err != EALREADY && err != EINPROGRESS && err != EINTR)
		oa_conn_connect_failed(c, err);
	oa_conn_unlock(c);
	return same || err == EISCONN;
}

void oa_conn_on_connect(int fd, const struct sockaddr *addr, socklen_t len, int result, int err, uint64_t start_ns)
{
	struct oa_fd *slot = oa_fd_get(fd);
	bool under_way = result < 0 && (err == EINPROGRESS || err == EINTR);
	struct oa_conn *c;

	if (!slot || !addr || len < sizeof(addr->sa_family) || !connect_is_stream(slot, fd))
		return;
	if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6 && addr->sa_family != AF_UNIX)
		return;
	if (connect_again(fd, addr, len, result, err))
		return;
	/* Local programs probe for Unix sockets all the time; only an attempt over the network is worth a span. */
	if (result < 0 && !under_way && (addr->sa_family == AF_UNIX || err == EAGAIN || err == EBADF || err == EFAULT ||
					 err == EINVAL || err == EISCONN || err == EAFNOSUPPORT || err == ENOTSOCK))
		return;
	c = connect_new(slot, fd, addr, len, start_ns ? start_ns : oa_host_now_ns());
	if (!c)
		return;
	if (result == 0)
		oa_conn_connected(c);
	else if (!under_way)
		oa_conn_connect_failed(c, err);
	oa_conn_unlock(c);
	oa_conn_want_side_thread();
}

void oa_conn_on_so_error(int fd, int so_error)
{
	struct oa_fd *slot;
	struct oa_conn *c = oa_conn_enter(fd, &slot);

	if (!c)
		return;
	if (c->state == OA_CONN_CONNECTING) {
		if (so_error)
			oa_conn_connect_failed(c, so_error);
		else
			oa_conn_connected(c);
	}
	oa_conn_unlock(c);
}

/* -- waiting -- */

OA_HOT void oa_conn_before_wait(enum oa_wait kind, int ident, int timeout_ms, bool listens)
{
	struct oa_fd *slot = ident >= 0 ? oa_fd_peek(ident) : NULL;

	if (listens || (slot_kind(slot) == OA_FD_EPOLL && slot->aux))
		oa_conn_want_side_thread();
	oa_ctx_before_wait(kind == OA_WAIT_LOOP, ident, timeout_ms);
}

OA_HOT void oa_conn_after_wait(enum oa_wait kind, int ident, int timeout_ms, int n)
{
	oa_ctx_after_wait(kind == OA_WAIT_LOOP, ident, timeout_ms, n);
}

void oa_conn_on_epoll_ctl(int epfd, int op, int fd)
{
	struct oa_fd *ep, *slot = oa_fd_peek(fd);

	if (op == EPOLL_CTL_DEL || slot_kind(slot) != OA_FD_LISTENER)
		return;
	ep = oa_fd_get(epfd);
	if (!ep)
		return;
	if (slot_kind(ep) == OA_FD_NONE)
		slot_set(ep, OA_FD_EPOLL, 1, 0);
	else if (slot_kind(ep) == OA_FD_EPOLL)
		atomic_store_explicit(&ep->aux, 1, memory_order_relaxed);
}

OA_HOT void oa_conn_before_accept(int listener)
{
	(void)listener;
	oa_conn_want_side_thread();
}

/* -- life -- */

/* Whether the call that closes it may still be under way: to look at it then would keep it open a moment longer. */
static bool reap_too_early(union oa_fd_word was)
{
	return oa_ns_since(atomic_load_explicit(&oa_conn_at(was.conn)->closed_ns, memory_order_relaxed), oa_host_now_ns()) <
	       OA_CLOSE_TAKES_NS;
}

static bool reap_gone(int fd, struct oa_fd *slot, union oa_fd_word was)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct oa_addr now;
	int seen = oa_host_fd_borrow(fd);
	long err;

	if (seen < 0)
		return seen == -EBADF; /* else it is open, and that is all we may know */
	err = oa_sys3(SYS_getpeername, seen, &ss, &len);
	oa_host_fd_return(seen);
	if (err)
		return true; /* not a socket, or not connected any more */
	now = oa_peer_from((struct sockaddr *)&ss, len);
	return slot_peer_is(slot, was, &now) == PEER_OTHER;
}

/* The host may hand the number out again at this moment; whoever empties the slot ends the connection. */
static void reap_slot(int fd, struct oa_fd *slot, bool all)
{
	union oa_fd_word was = slot_load(slot);

	if (!(was.flags & OA_FD_CLOSING))
		return;
	if (!all && was.kind == OA_FD_CONN && (reap_too_early(was) || !reap_gone(fd, slot, was)))
		return;
	if (slot_swap(slot, was, (union oa_fd_word){ .word = 0 }))
		slot_ended(was);
}

void oa_conn_reap(bool all)
{
	oa_tls_reap(all);
	if (!atomic_load_explicit(&conn_closing, memory_order_relaxed))
		return;
	for (int fd = oa_fd_next(0, -1); fd >= 0; fd = oa_fd_next(fd + 1, -1))
		reap_slot(fd, oa_fd_peek(fd), all);
}

void oa_conn_after_fork_child(void)
{
	oa_exchange_fork_gen++;
	oa_exchange_home++;
	if (!++oa_conn_held)
		oa_conn_held = 1;
	oa_ctx_after_fork_child();
	oa_tls_after_fork_child();
}

void oa_conn_after_fork_parent(void)
{
	oa_exchange_fork_gen++;
}
