#pragma once
/* Between the files of conn/. */
#include "conn/conn.h"
#include "conn/exchange.h"
#include "conn/fd_table.h"
#include "conn/feed.h"

/* The connection behind a descriptor, locked; NULL when there is none, it is opaque, or another thread is in it.
 * *ret_slot is set in any case (may be NULL). End with oa_conn_unlock(). */
struct oa_conn *oa_conn_enter(int fd, struct oa_fd **ret_slot);

/* The same for what is usual: a connection whose state is HTTP and that nobody is in. NULL: oa_conn_enter() may know. */
OA_INLINE struct oa_conn *oa_conn_enter_http(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	union oa_fd_word was = { .word = slot ? atomic_load_explicit(oa_fd_word(slot), memory_order_acquire) : 0 };
	struct oa_conn *c;

	if (OA_UNLIKELY(was.kind != OA_FD_CONN || was.flags))
		return NULL;
	c = oa_conn_at(was.conn);
	if (OA_UNLIKELY(!oa_conn_lock_once(c)))
		return NULL;
	if (OA_LIKELY(atomic_load_explicit(oa_fd_word(slot), memory_order_relaxed) == was.word &&
		      atomic_load_explicit(&c->state, memory_order_relaxed) == OA_CONN_HTTP &&
		      !atomic_load_explicit(&c->contended, memory_order_relaxed)))
		return c;
	oa_conn_unlock(c);
	return NULL;
}

/* The sending call noted in oa_tls never came back: its thread was cancelled in it, or jumped out of it. Nobody knows how
 * much of it the kernel took, so its connection is left alone. Without any lock held. */
void oa_conn_send_lost(void);

/* -- conn.c: connections without a descriptor -- */

/* A fresh one for a TLS session, locked; NULL: no memory, counted. */
struct oa_conn *oa_conn_new_session(enum oa_role role);
/* Its stream is over: ends what is open as the close of a socket does. Locked. */
void oa_conn_finish(struct oa_conn *c, uint64_t closed_ns);
/* Gives a locked one back. */
void oa_conn_end(struct oa_conn *c);

/* -- io.c: the same for whatever carries the bytes. Locked. -- */

/* A call failed with an errno: for good, or not at all. */
void oa_io_failed(struct oa_conn *c, int err);
/* The peer has said its last byte. */
void oa_io_eof(struct oa_conn *c);
/* Begins to watch a sending call. */
OA_INLINE void oa_io_watch(struct oa_conn *c, int fd, const struct iovec *iov, int iovcnt, int flags, struct oa_send *s)
{
	s->watched = true;
	s->fd = fd;
	s->flags = flags;
	s->host_iov = iov;
	s->host_iovcnt = iovcnt;
	s->points = s->points_out = s->requests = 0;
	s->head_len = 0;
	s->fed = false;
	s->point = s->own;
	s->scratch = s->text = 0;
	s->conn = c->index;
	s->conn_gen = c->gen;
	/* Not one atomic step: it only has to show that another thread was sending meanwhile. */
	s->out_seq = atomic_load_explicit(&c->out_seq, memory_order_relaxed) + 1;
	atomic_store_explicit(&c->out_seq, s->out_seq, memory_order_relaxed);
}
/* The next host_bytes of such a call were taken. */
void oa_io_sent(struct oa_conn *c, const struct oa_send *s, const struct iovec *iov, int iovcnt, size_t host_bytes);
