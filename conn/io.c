/* What the hooks report of receiving and sending calls. */
#include <errno.h>

#include "conn/conn.h"
#include "conn/context.h"
#include "conn/feed.h"
#include "conn/http2.h"
#include "conn/inject.h"
#include "conn/internal.h"
#include "conn/respond.h"
#include "conn/sql_comment.h"
#include "conn/store.h"
#include "core/state.h"
#include "core/thread.h"
#include "core/tsc.h"

#define RECV_NOT_DATA (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE)

static bool io_try_again(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == EINTR || err == EFAULT || err == EBADF || err == EINVAL ||
	       err == ENOTSOCK || err == ENOTCONN || err == EMSGSIZE || err == ENOBUFS || err == ENOMEM;
}

/* A call failed for good: so did what was under way. */
void oa_io_failed(struct oa_conn *c, int err)
{
	if (io_try_again(err))
		return;
	if (c->state == OA_CONN_CONNECTING) {
		oa_conn_connect_failed(c, err);
		return;
	}
	oa_conn_calls_failed(c);
	oa_conn_end_exchanges(c, oa_host_now_ns(), oa_error_from_errno(err));
}

/* The peer has said its last byte. */
void oa_io_eof(struct oa_conn *c)
{
	c->flags |= OA_CONN_EOF_IN;
	if (c->role != OA_ROLE_CLIENT)
		return; /* a client may close its half and still wait for the answer */
	oa_feed_end(c, true);
	oa_conn_calls_failed(c);
	oa_conn_end_exchanges(c, oa_host_now_ns(), OA_ERR_CONNECTION_CLOSED);
}

/* Enters for a receiving call, or deals with what is no connection. */
static struct oa_conn *recv_enter(int fd, ssize_t n, int flags)
{
	struct oa_fd *slot;
	struct oa_conn *c;

	if (flags & RECV_NOT_DATA)
		return NULL;
	c = oa_conn_enter(fd, &slot);
	if (c)
		return c;
	if (n > 0 && slot && atomic_load_explicit(&slot->kind, memory_order_relaxed) == OA_FD_WAKE)
		oa_ctx_wake();
	return NULL;
}

/* TCP throws the bytes away then, and the buffer may be NULL (HAProxy empties sockets so); Unix sockets take no notice. */
static bool recv_discards(const struct oa_conn *c, int flags)
{
	return flags & MSG_TRUNC && !(c->flags & OA_CONN_UNIX);
}

/* There are no bytes to look at: it failed, or ended, or they were thrown away. */
static bool recv_nothing(struct oa_conn *c, ssize_t n, int err, int flags)
{
	if (n > 0 && !recv_discards(c, flags))
		return false;
	if (n < 0)
		oa_io_failed(c, err);
	else if (n == 0)
		oa_io_eof(c);
	else
		oa_feed_blind(c, true, (uint64_t)n);
	return true;
}

static bool recv_is_wake(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);

	return slot && atomic_load_explicit(&slot->kind, memory_order_relaxed) == OA_FD_WAKE;
}

/* Anything but bytes of an HTTP connection. */
static OA_COLD void received_otherwise(int fd, const void *buf, size_t len, ssize_t n, int err, int flags)
{
	struct oa_conn *c;

	if (n == 0 && len == 0)
		return;
	c = recv_enter(fd, n, flags);
	if (!c)
		return;
	if (n >= 0)
		oa_conn_connected(c);
	if (!recv_nothing(c, n, err, flags))
		oa_feed_bytes(c, true, oa_bytes(buf, (size_t)n < len ? (size_t)n : len));
	oa_conn_unlock(c);
}

OA_HOT void oa_conn_on_received(int fd, const void *buf, size_t len, ssize_t n, int err, int flags)
{
	struct oa_conn *c;

	if (OA_UNLIKELY(n <= 0 || flags & (RECV_NOT_DATA | MSG_TRUNC))) {
		if (n >= 0 || err != EAGAIN)
			received_otherwise(fd, buf, len, n, err, flags);
		return;
	}
	c = oa_conn_enter_http(fd);
	if (OA_UNLIKELY(!c)) {
		if (recv_is_wake(fd))
			oa_ctx_wake();
		else
			received_otherwise(fd, buf, len, n, err, flags);
		return;
	}
	oa_feed_http(c, true, oa_bytes(buf, (size_t)n < len ? (size_t)n : len));
	oa_conn_unlock(c);
}

void oa_conn_on_received_iov(int fd, const struct iovec *iov, int iovcnt, ssize_t n, int err, int flags)
{
	struct oa_conn *c = recv_enter(fd, n, flags);

	if (!c)
		return;
	if (n >= 0)
		oa_conn_connected(c);
	if (!recv_nothing(c, n, err, flags))
		oa_feed_iov(c, true, iov, iovcnt, (size_t)n);
	oa_conn_unlock(c);
}

void oa_conn_on_received_blind(int fd, ssize_t n, int err)
{
	struct oa_conn *c = recv_enter(fd, n, 0);

	if (!c)
		return;
	if (!recv_nothing(c, n, err, 0))
		oa_feed_blind(c, true, (uint64_t)n);
	oa_conn_unlock(c);
}

/* -- sending -- */

void oa_conn_send_lost(void)
{
	struct oa_conn *c = oa_conn_at(oa_tls.send_conn);
	uint32_t gen = oa_tls.send_gen;

	oa_tls.send_sp = 0;
	if (atomic_load_explicit(&c->gen, memory_order_relaxed) != gen || !oa_conn_lock(c))
		return;
	if (c->gen == gen && c->state != OA_CONN_OPAQUE)
		oa_conn_make_opaque(c, OA_STAT_opaque_lost_send);
	oa_conn_unlock(c);
}

/* Notes what this thread is about to be in, so that its end, or its next send, tells when it never came back. */
static void send_enter(struct oa_conn *c, struct oa_send *s)
{
	if (__builtin_expect(!oa_tls.thread_idx, 0))
		oa_ctx_watch_thread();
	s->outer_sp = oa_tls.send_sp;
	s->outer_conn = oa_tls.send_conn;
	s->outer_gen = oa_tls.send_gen;
	oa_tls.send_conn = c->index;
	oa_tls.send_gen = s->conn_gen;
	oa_tls.send_sp = (uintptr_t)s;
}

static void send_leave(const struct oa_send *s)
{
	oa_tls.send_sp = s->outer_sp;
	if (__builtin_expect(!s->outer_sp, 1))
		return;
	oa_tls.send_conn = s->outer_conn;
	oa_tls.send_gen = s->outer_gen;
}

static inline void send_watch(struct oa_conn *c, int fd, const struct iovec *iov, int iovcnt, int flags, struct oa_send *s)
{
	oa_io_watch(c, fd, iov, iovcnt, flags, s);
	send_enter(c, s);
}

/* Locks a connection that owes its peer a part of a header, or will: that must be kept and go first, or the host's stream is
 * broken. So it is waited for. */
static bool send_lock_owing(struct oa_conn *c)
{
	if (!oa_conn_lock_patiently(c))
		return false;
	oa_conn_heed(c);
	return true;
}

/* The same for a descriptor that could not be entered; NULL when it owes nothing. */
static struct oa_conn *send_enter_owing(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	struct oa_conn *c;

	if (!slot || slot->kind != OA_FD_CONN || slot->flags & OA_FD_CLOSING)
		return NULL;
	c = oa_conn_at(atomic_load_explicit(&slot->conn, memory_order_relaxed));
	if (!c->stash || !send_lock_owing(c))
		return NULL;
	if (c->stash && oa_conn_at(atomic_load_explicit(&slot->conn, memory_order_relaxed)) == c)
		return c;
	oa_conn_unlock(c);
	return NULL;
}

static OA_COLD struct oa_conn *send_enter_otherwise(int fd)
{
	struct oa_fd *slot;
	struct oa_conn *c = oa_conn_enter(fd, &slot);

	return c ? c : send_enter_owing(fd);
}

/* After a stand-down nothing is looked at and nothing added; what was cut off before goes first all the same. */
static OA_COLD void send_owed(int fd, const struct iovec *iov, int iovcnt, int flags, struct oa_send *s)
{
	struct oa_conn *c = send_enter_owing(fd);

	if (!c)
		return;
	c->flags |= OA_CONN_COUNTED; /* as a stand-down */
	oa_conn_make_opaque(c, OA_STAT_opaque_contention);
	send_watch(c, fd, iov, iovcnt, flags, s);
	oa_inject_prepare(c, s);
	oa_conn_unlock(c);
}

static uint64_t plain_token(const struct oa_conn *c)
{
	return (uint64_t)atomic_load_explicit(&c->gen, memory_order_relaxed) << 32 |
	       atomic_load_explicit(&c->out_seq, memory_order_relaxed);
}

/* As in send_watch() and send_enter(). */
static inline void plain_watch(struct oa_conn *c, struct oa_plain *p)
{
	atomic_store_explicit(&c->out_seq, atomic_load_explicit(&c->out_seq, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	p->token = plain_token(c);
	p->conn = c->index;
	oa_tls.send_conn = c->index;
	oa_tls.send_gen = (uint32_t)(p->token >> 32);
	oa_tls.send_sp = (uintptr_t)__builtin_frame_address(0);
}

OA_HOT enum oa_plain_kind oa_conn_before_plain_send(int fd, struct oa_plain *p)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	struct oa_conn *c;

	if (OA_UNLIKELY(!slot || slot->kind != OA_FD_CONN || slot->flags))
		return OA_PLAIN_NONE;
	c = oa_conn_at(atomic_load_explicit(&slot->conn, memory_order_relaxed));
	if (OA_UNLIKELY(c->state != OA_CONN_HTTP || c->stash || !oa_tls.thread_idx || oa_tls.send_sp))
		return OA_PLAIN_NONE;
	if (c->role != OA_ROLE_SERVER)
		return oa_store_is(c) ? OA_PLAIN_COMMAND : OA_PLAIN_NONE;
	if (OA_UNLIKELY(oa_respond_on()))
		return OA_PLAIN_NONE;
	plain_watch(c, p);
	return OA_PLAIN_ANSWER;
}

OA_HOT bool oa_conn_before_command(int fd, const struct iovec *iov, struct oa_plain *p)
{
	struct oa_conn *c = oa_conn_enter_http(fd);
	bool asks;

	if (OA_UNLIKELY(!c))
		return false;
	asks = oa_store_ask(c, iov, &p->early);
	if (OA_LIKELY(asks))
		plain_watch(c, p);
	oa_conn_unlock(c);
	return asks;
}

/* The end of a plain send that is not what it mostly is. */
static OA_COLD void sent_otherwise(int fd, const struct oa_plain *p, bool command, const struct iovec *iov, int iovcnt,
				   ssize_t n, int err)
{
	struct oa_send s;

	s.watched = true;
	s.rewrite = false;
	s.fd = fd;
	s.flags = 0;
	s.host_iov = iov;
	s.host_iovcnt = iovcnt;
	s.points = s.points_out = s.requests = 0;
	s.head_len = 0;
	s.fed = command && p->early.fed;
	if (s.fed)
		s.early = p->early;
	s.scratch = s.text = 0;
	s.conn = p->conn;
	s.conn_gen = (uint32_t)(p->token >> 32);
	s.out_seq = (uint32_t)p->token;
	s.outer_sp = 0;
	(void)oa_conn_after_send(&s, n, err); /* n: nothing was added */
}

OA_HOT void oa_conn_after_plain_send(int fd, const struct oa_plain *p, const struct iovec *iov, int iovcnt, ssize_t n, int err)
{
	struct oa_conn *c;

	if (OA_UNLIKELY(n <= 0)) {
		if (n == 0 || err != EAGAIN)
			sent_otherwise(fd, p, false, iov, iovcnt, n, err);
		return;
	}
	c = oa_conn_enter_http(fd);
	if (OA_UNLIKELY(!c || c->index != p->conn || plain_token(c) != p->token)) {
		if (c)
			oa_conn_unlock(c);
		sent_otherwise(fd, p, false, iov, iovcnt, n, err);
		return;
	}
	if (OA_LIKELY((size_t)n <= iov->iov_len))
		oa_feed_http(c, false, oa_bytes(iov->iov_base, (size_t)n));
	else
		oa_feed_iov(c, false, iov, iovcnt, (size_t)n);
	oa_conn_unlock(c);
}

/* Nothing is left to be done then, and another thread may have the answer already. Nobody needs to be kept out: who sent
 * behind this call has said so long ago. */
OA_HOT bool oa_conn_command_sent(const struct oa_plain *p, const struct iovec *iov, ssize_t n)
{
	return n == (ssize_t)iov->iov_len && p->early.fed && !p->early.silent &&
	       plain_token(oa_conn_at(oa_tls.send_conn)) == p->token;
}

void oa_conn_after_command(int fd, const struct oa_plain *p, const struct iovec *iov, ssize_t n, int err)
{
	sent_otherwise(fd, p, true, iov, 1, n, err);
}

OA_HOT void oa_conn_before_send(int fd, const struct iovec *iov, int iovcnt, int flags, struct oa_send *s)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	struct oa_conn *c;

	s->watched = s->rewrite = false;
	if (iovcnt <= 0 || !iov || flags & MSG_OOB)
		return;
	if (OA_UNLIKELY(oa_state_get() == OA_STATE_OFF)) {
		send_owed(fd, iov, iovcnt, flags, s);
		return;
	}
	/* A handler's call stands below the one that it interrupted. */
	if (__builtin_expect(oa_tls.send_sp && oa_guard_stale(oa_tls.send_sp, (uintptr_t)s), 0))
		oa_conn_send_lost();
	if (__builtin_expect(slot->kind == OA_FD_CONN && !slot->flags, 1)) {
		c = oa_conn_at(atomic_load_explicit(&slot->conn, memory_order_relaxed));
		if (c->role == OA_ROLE_SERVER && !c->stash && !oa_respond_on()) { /* nothing to add: no need to lock it yet */
			if (c->state != OA_CONN_OPAQUE)
				send_watch(c, fd, iov, iovcnt, flags, s);
			return;
		}
	}
	c = oa_conn_enter_http(fd);
	if (OA_UNLIKELY(!c))
		c = send_enter_otherwise(fd);
	if (!c)
		return;
	send_watch(c, fd, iov, iovcnt, flags, s);
	if (c->stash || !oa_store_before_send(c, s))
		oa_inject_prepare(c, s);
	oa_conn_unlock(c);
}

static bool sent_meanwhile(const struct oa_conn *c, const struct oa_send *s)
{
	return atomic_load_explicit(&c->out_seq, memory_order_relaxed) != s->out_seq;
}

/* How many of this call's requests another thread has read the whole answer of before we got here. */
static unsigned sent_answered(const struct oa_conn *c, const struct oa_send *s)
{
	unsigned open = 0;

	if (!s->requests || oa_exchange_get((struct oa_ref){ s->first, s->first_gen }))
		return 0;
	for (uint32_t i = s->requests > 1 ? c->first : 0; i; i = oa_exchange_at(i - 1)->next)
		open += (oa_exchange_at(i - 1)->flags & OA_EX_PREPARED) != 0;
	return open < s->requests ? s->requests - open : 0;
}

/* A header that was read before it was sent, and went out whole, need not be read again. returns host bytes it was */
static size_t sent_head(struct oa_conn *c, const struct oa_send *s, const struct iovec *iov, size_t host_bytes)
{
	struct oa_exchange *ex;
	struct oa_http_head h;

	if (!s->head_len || host_bytes < s->head_len || iov->iov_len < s->head_len || c->carry[OA_DIR_REQUEST] ||
	    c->state != OA_CONN_HTTP || oa_protos[c->proto - 1] != &oa_proto_http1)
		return 0;
	ex = oa_exchange_get((struct oa_ref){ s->first, s->first_gen });
	if (!ex || !(ex->flags & OA_EX_PREPARED))
		return 0;
	h = (struct oa_http_head){ .block = oa_bytes(iov->iov_base, s->head_len), .method = s->head_method,
				   .flags = s->head_flags, .length = s->head_length };
	return oa_feed_head(c, &h);
}

static OA_HOT void sent_bytes(struct oa_conn *c, const struct oa_send *s, const struct iovec *iov, int iovcnt, size_t n)
{
	size_t head = sent_head(c, s, iov, n), rest;

	if (!head) {
		oa_feed_iov(c, false, iov, iovcnt, n);
		return;
	}
	n -= head;
	rest = iov->iov_len - head < n ? iov->iov_len - head : n;
	oa_feed_bytes(c, false, oa_bytes((uint8_t *)iov->iov_base + head, rest));
	oa_feed_iov(c, false, iov + 1, iovcnt - 1, n - rest);
}

/* The host's share of a successful call, fed to the parser. */
OA_HOT void oa_io_sent(struct oa_conn *c, const struct oa_send *s, const struct iovec *iov, int iovcnt, size_t host_bytes)
{
	unsigned answered;

	if (c->state == OA_CONN_OPAQUE)
		return;
	oa_conn_connected(c);
	answered = sent_answered(c, s);
	if (sent_meanwhile(c, s) && c->state <= OA_CONN_HTTP) {
		/* One request, over before the other thread began to send: the parser never hears of it. Otherwise
		 * two threads sent at once, and the order is unknown. */
		if (s->requests != 1 || !answered)
			oa_conn_make_opaque(c, OA_STAT_opaque_contention);
		return;
	}
	if (answered)
		c->answered = (uint8_t)answered;
	sent_bytes(c, s, iov, iovcnt, host_bytes);
	if (answered)
		c->answered = 0;
	if (OA_UNLIKELY(c->flags & OA_CONN_SENDING))
		oa_http2_sent(c);
}

/* Enters to account for a call that carried a header of ours, whatever became of its connection. NULL: it is over. */
static struct oa_conn *sent_enter_rewritten(const struct oa_send *s)
{
	struct oa_conn *c = oa_conn_at(s->conn);

	if (!send_lock_owing(c))
		return NULL;
	if (c->gen == s->conn_gen)
		return c;
	oa_conn_unlock(c);
	return NULL;
}

/* Is it the header of one request without a body, composed in one piece, that the kernel took whole? */
static inline bool sent_is_one_head(const struct oa_send *s, ssize_t n)
{
	return s->rewrite && s->head_len && s->head_flags & OA_HTTP_NO_BODY && !(s->head_flags & OA_HTTP_UPGRADE) &&
	       s->head_method != OA_METHOD_CONNECT && s->iovcnt == 1 && n == (ssize_t)s->iov->iov_len && s->host_iovcnt == 1 &&
	       s->host_iov->iov_len == s->head_len;
}

/* What oa_io_sent() and the parser would make of that. returns false when the connection is not as it mostly is */
static inline bool sent_one_head(const struct oa_send *s)
{
	struct oa_conn *c = oa_conn_enter_http(s->fd);
	struct oa_exchange *ex;
	bool as_usual;

	if (OA_UNLIKELY(!c))
		return false;
	ex = oa_exchange_get((struct oa_ref){ s->first, s->first_gen });
	as_usual = c->gen == s->conn_gen && !sent_meanwhile(c, s) && !c->stash && ex && ex->flags & OA_EX_PREPARED &&
		   c->last == s->first + 1 && !c->carry[OA_DIR_REQUEST] && oa_protos[c->proto - 1] == &oa_proto_http1 &&
		   oa_http1_at_boundary(c->pstate[OA_DIR_REQUEST]);
	if (OA_LIKELY(as_usual)) {
		oa_exchange_flag(ex, OA_EX_REQ_DONE, OA_EX_PREPARED);
		oa_exchange_span(ex)->flags |= OA_SPAN_HAS_REQ_BODY;
	}
	oa_conn_unlock(c);
	return as_usual;
}

static inline struct oa_conn *sent_enter(const struct oa_send *s)
{
	struct oa_conn *c;
	struct oa_fd *slot;

	if (s->rewrite)
		return sent_enter_rewritten(s);
	c = oa_conn_enter_http(s->fd);
	return OA_LIKELY(c != NULL) ? c : oa_conn_enter(s->fd, &slot);
}

static void sent_read_before(struct oa_conn *c, struct oa_send *s, ssize_t host)
{
	if (host >= 0)
		oa_conn_connected(c);
	if (OA_UNLIKELY(s->rewrite))
		oa_sql_comment_sent(c, s);
	oa_store_after_send(c, s, host);
	if (host < 0)
		oa_io_failed(c, s->err);
}

OA_HOT ssize_t oa_conn_after_send(struct oa_send *s, ssize_t n, int err)
{
	struct oa_conn *c;
	ssize_t host = n;

	if (sent_is_one_head(s, n) && sent_one_head(s)) {
		send_leave(s);
		oa_inject_release(s);
		return (ssize_t)s->head_len;
	}
	c = sent_enter(s);

	s->err = err;
	send_leave(s);
	if (c && (c->gen != s->conn_gen || c->index != s->conn)) { /* the number may mean another one by now */
		oa_conn_unlock(c);
		c = NULL;
	}
	if (s->rewrite)
		host = oa_inject_account(c, s, n);
	if (c) {
		if (OA_UNLIKELY(s->fed)) {
			sent_read_before(c, s, host);
		} else if (host < 0) {
			if (c->flags & OA_CONN_SENDING)
				oa_http2_sent(c);
			if (io_try_again(s->err))
				oa_inject_cancel(c, s);
			oa_io_failed(c, s->err);
		} else {
			oa_io_sent(c, s, s->host_iov, s->host_iovcnt, (size_t)host);
			if (s->requests && !sent_meanwhile(c, s))
				oa_inject_settle(c, s);
		}
		oa_conn_unlock(c);
	}
	oa_inject_release(s);
	return host;
}

int oa_conn_before_send_blind(int fd)
{
	struct oa_conn *c = send_enter_otherwise(fd);
	int err = 0;

	if (!c)
		return 0;
	if (c->stash)
		err = oa_inject_flush(c, fd);
	oa_conn_unlock(c);
	return err;
}

void oa_conn_after_send_blind(int fd, ssize_t n, int err)
{
	struct oa_fd *slot;
	struct oa_conn *c = oa_conn_enter(fd, &slot);

	if (!c)
		return;
	if (n < 0)
		oa_io_failed(c, err);
	else if (n > 0)
		oa_feed_blind(c, false, (uint64_t)n);
	oa_conn_unlock(c);
}
