/* Bytes out: write writev send sendto sendmsg sendmmsg and the positioned writers that take "here". conn/ may add a
 * header to an outgoing request: then one kernel call is made all the same, with other buffers, and the host gets the
 * count of its own bytes. A thread cancelled while it waits in the real call never reaches send_end(): conn/
 * notices at the thread's end, or when it sends next. */
#include "hooks/hook.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/clock.h"

static inline void send_begin(struct oa_send *s, int fd, const struct iovec *iov, size_t count, int flags)
{
	s->watched = s->rewrite = false;
	if (!oa_hook_may_owe(fd) || !(count == 1 ? oa_hook_plausible(iov, sizeof(*iov)) && oa_hook_plausible_one(iov) :
						   oa_hook_plausible_iov(iov, count)))
		return;
	OA_OBSERVE_ALWAYS()
		oa_conn_before_send(fd, iov, (int)count, flags, s);
}

/* Once conn/ watches a call it must hear the end of it, whatever the guard says: the count is at stake. */
static inline ssize_t send_end(struct oa_send *s, ssize_t n)
{
	uintptr_t outer;
	int err = errno;

	if (!s->watched)
		return n;
	outer = oa_guard_force();
	n = oa_conn_after_send(s, n, err);
	s->watched = false;
	oa_guard_restore(outer);
	errno = n < 0 ? s->err : err;
	return n;
}

/* -- plain sends: the hook asks conn/ before, and tells it once afterwards -- */

static inline bool send_command(int fd, const struct iovec *iov, struct oa_plain *p)
{
	bool asks = false;

	if (oa_hook_plausible_one(iov))
		OA_HOOK_BLOCK(oa_guard_enter(errno))
			asks = oa_conn_before_command(fd, iov, p);
	return asks;
}

/* iov: the one buffer; NULL: there may be more. Inside a hook nothing is looked at, which the other way knows how to tell. */
static inline enum oa_plain_kind send_plain(int fd, const struct iovec *iov, struct oa_plain *p)
{
	enum oa_plain_kind kind;

	if (OA_UNLIKELY(!oa_hook_active() || !*oa_hook_fork_mark || oa_tls.guard_sp))
		return OA_PLAIN_NONE;
	kind = oa_conn_before_plain_send(fd, p);
	if (kind == OA_PLAIN_COMMAND && !(iov && send_command(fd, iov, p)))
		return OA_PLAIN_NONE;
	return kind;
}

static inline ssize_t send_plain_end(int fd, enum oa_plain_kind kind, const struct oa_plain *p, const struct iovec *iov,
				     int count, ssize_t n)
{
	bool sent = kind == OA_PLAIN_COMMAND && oa_conn_command_sent(p, iov, n);

	oa_tls.send_sp = 0;
	if (sent)
		return n;
	OA_OBSERVE() {
		if (kind == OA_PLAIN_COMMAND)
			oa_conn_after_command(fd, p, iov, n, g_.err);
		else
			oa_conn_after_plain_send(fd, p, iov, count, n, g_.err);
	}
	return n;
}

/* sendmsg() with the host's message but conn/'s buffers. */
OA_SLOW ssize_t send_rewritten(const struct oa_send *s, int fd, const struct msghdr *host, int flags)
{
	struct msghdr msg = *host;

	msg.msg_iov = (struct iovec *)s->iov;
	msg.msg_iovlen = (size_t)s->iovcnt;
	return OA_REAL(sendmsg)(fd, &msg, flags);
}

/* returns whether the call takes an array now; where what was composed is one piece, *buf and *len are that. */
static inline bool send_takes_array(const struct oa_send *s, const void **buf, size_t *len)
{
	if (!s->rewrite || s->iovcnt != 1)
		return s->rewrite;
	*buf = s->iov->iov_base;
	*len = s->iov->iov_len;
	return false;
}

OA_HOT OA_SLOW ssize_t write_watched(int fd, const void *buf, size_t len)
{
	struct iovec iov = { (void *)buf, len };
	struct oa_send s;
	ssize_t n;

	send_begin(&s, fd, &iov, 1, 0);
	n = send_takes_array(&s, &buf, &len) ? OA_REAL(writev)(fd, s.iov, s.iovcnt) : OA_REAL(write)(fd, buf, len);
	return send_end(&s, n);
}

OA_SLOW OA_HOT ssize_t write_tracked(int fd, const void *buf, size_t len)
{
	struct iovec iov = { (void *)buf, len };
	struct oa_plain p;
	enum oa_plain_kind kind = send_plain(fd, &iov, &p);

	if (OA_UNLIKELY(kind == OA_PLAIN_NONE))
		return write_watched(fd, buf, len);
	return send_plain_end(fd, kind, &p, &iov, 1, OA_REAL(write)(fd, buf, len));
}

OA_EXPORT OA_HOT ssize_t write(int fd, const void *buf, size_t len)
{
	return oa_fd_is_conn(fd) ? write_tracked(fd, buf, len) : OA_REAL(write)(fd, buf, len);
}

OA_SLOW ssize_t writev_watched(int fd, const struct iovec *iov, int count)
{
	struct oa_send s;
	ssize_t n;

	send_begin(&s, fd, iov, count < 0 ? 0 : (size_t)count, 0);
	n = s.rewrite ? OA_REAL(writev)(fd, s.iov, s.iovcnt) : OA_REAL(writev)(fd, iov, count);
	return send_end(&s, n);
}

OA_SLOW OA_HOT ssize_t writev_tracked(int fd, const struct iovec *iov, int count)
{
	struct oa_plain p;
	enum oa_plain_kind kind = send_plain(fd, count == 1 && oa_hook_plausible(iov, sizeof(*iov)) ? iov : NULL, &p);

	if (OA_UNLIKELY(kind == OA_PLAIN_NONE))
		return writev_watched(fd, iov, count);
	return send_plain_end(fd, kind, &p, iov, count, OA_REAL(writev)(fd, iov, count));
}

OA_EXPORT OA_HOT ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return oa_fd_is_conn(fd) ? writev_tracked(fd, iov, count) : OA_REAL(writev)(fd, iov, count);
}

OA_SLOW ssize_t pwritev2_here(int fd, const struct iovec *iov, int count, int flags)
{
	struct oa_send s;
	ssize_t n;

	send_begin(&s, fd, iov, count < 0 ? 0 : (size_t)count, 0);
	n = s.rewrite ? OA_REAL(pwritev2)(fd, s.iov, s.iovcnt, -1, flags) :
			OA_REAL(pwritev2)(fd, iov, count, -1, flags);
	return send_end(&s, n);
}

OA_EXPORT ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (offset == -1 && oa_fd_is_conn(fd))
		return pwritev2_here(fd, iov, count, flags);
	return OA_REAL(pwritev2)(fd, iov, count, offset, flags);
}

OA_EXPORT ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
	if (offset == -1 && oa_fd_is_conn(fd))
		return pwritev2_here(fd, iov, count, flags);
	return OA_REAL(pwritev64v2)(fd, iov, count, offset, flags);
}

OA_HOT OA_SLOW ssize_t send_watched(int fd, const void *buf, size_t len, int flags)
{
	struct iovec iov = { (void *)buf, len };
	struct msghdr none = { 0 };
	struct oa_send s;
	ssize_t n;

	send_begin(&s, fd, &iov, 1, flags);
	n = send_takes_array(&s, &buf, &len) ? send_rewritten(&s, fd, &none, flags) : OA_REAL(send)(fd, buf, len, flags);
	return send_end(&s, n);
}

OA_SLOW OA_HOT ssize_t send_tracked(int fd, const void *buf, size_t len, int flags)
{
	struct iovec iov = { (void *)buf, len };
	struct oa_plain p;
	enum oa_plain_kind kind = flags & MSG_OOB ? OA_PLAIN_NONE : send_plain(fd, &iov, &p);

	if (OA_UNLIKELY(kind == OA_PLAIN_NONE))
		return send_watched(fd, buf, len, flags);
	return send_plain_end(fd, kind, &p, &iov, 1, OA_REAL(send)(fd, buf, len, flags));
}

OA_EXPORT OA_HOT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	return oa_fd_is_conn(fd) ? send_tracked(fd, buf, len, flags) : OA_REAL(send)(fd, buf, len, flags);
}

/* TCP Fast Open: connects and sends in one. The connection is known from here on; what went with it is not. */
OA_SLOW ssize_t send_fast_open(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
			      socklen_t addr_len)
{
	uint64_t start_ns = oa_now_ns();
	ssize_t n = OA_REAL(sendto)(fd, buf, len, flags, addr, addr_len);

	if (oa_hook_plausible(addr, addr_len))
		OA_OBSERVE()
			oa_conn_on_connect(fd, addr, addr_len, n < 0 ? -1 : 0, n < 0 ? errno : 0, start_ns);
	return n;
}

OA_SLOW ssize_t sendto_watched(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
			       socklen_t addr_len)
{
	struct iovec iov = { (void *)buf, len };
	struct msghdr to = { .msg_name = (void *)addr, .msg_namelen = addr ? addr_len : 0 };
	struct oa_send s;
	ssize_t n;

	if (addr && (flags & MSG_FASTOPEN) && oa_hook_kind(fd) == OA_FD_STREAM)
		return send_fast_open(fd, buf, len, flags, addr, addr_len);
	if (addr && addr_len > sizeof(struct sockaddr_storage)) /* sendmsg() would take it for a shorter one */
		return OA_REAL(sendto)(fd, buf, len, flags, addr, addr_len);
	send_begin(&s, fd, &iov, 1, flags);
	n = send_takes_array(&s, &buf, &len) ? send_rewritten(&s, fd, &to, flags) :
					       OA_REAL(sendto)(fd, buf, len, flags, addr, addr_len);
	return send_end(&s, n);
}

OA_SLOW OA_HOT ssize_t sendto_tracked(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
				      socklen_t addr_len)
{
	struct iovec iov = { (void *)buf, len };
	struct oa_plain p;
	enum oa_plain_kind kind = flags & MSG_OOB ? OA_PLAIN_NONE : send_plain(fd, &iov, &p);

	if (OA_UNLIKELY(kind == OA_PLAIN_NONE))
		return sendto_watched(fd, buf, len, flags, addr, addr_len);
	return send_plain_end(fd, kind, &p, &iov, 1, OA_REAL(sendto)(fd, buf, len, flags, addr, addr_len));
}

OA_EXPORT OA_HOT ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr,
				socklen_t addr_len)
{
	return oa_fd_tracked(fd) ? sendto_tracked(fd, buf, len, flags, addr, addr_len) :
				   OA_REAL(sendto)(fd, buf, len, flags, addr, addr_len);
}

OA_SLOW ssize_t sendmsg_watched(int fd, const struct msghdr *msg, int flags)
{
	struct oa_send s;
	ssize_t n;

	s.watched = s.rewrite = false;
	if (oa_hook_plausible(msg, sizeof(*msg)))
		send_begin(&s, fd, msg->msg_iov, msg->msg_iovlen, flags);
	n = s.rewrite ? send_rewritten(&s, fd, msg, flags) : OA_REAL(sendmsg)(fd, msg, flags);
	return send_end(&s, n);
}

OA_SLOW OA_HOT ssize_t sendmsg_tracked(int fd, const struct msghdr *msg, int flags)
{
	struct oa_plain p;
	enum oa_plain_kind kind = flags & MSG_OOB ? OA_PLAIN_NONE : send_plain(fd, NULL, &p);
	ssize_t n;

	if (OA_UNLIKELY(kind == OA_PLAIN_NONE))
		return sendmsg_watched(fd, msg, flags);
	n = OA_REAL(sendmsg)(fd, msg, flags);
	/* What the kernel has taken bytes of can be read. */
	return send_plain_end(fd, kind, &p, n > 0 ? msg->msg_iov : NULL, n > 0 ? (int)msg->msg_iovlen : 0, n);
}

OA_EXPORT OA_HOT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return oa_fd_is_conn(fd) ? sendmsg_tracked(fd, msg, flags) : OA_REAL(sendmsg)(fd, msg, flags);
}

static size_t send_iov_bytes(const struct msghdr *msg)
{
	size_t total = 0;

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		total += msg->msg_iov[i].iov_len;
	return total;
}

/* What the kernel does with an array of messages, one by one: stops at an error or a short one, and tells the
 * error only when nothing was sent. */
static int send_each(int fd, struct mmsghdr *msgs, unsigned int count, int flags)
{
	int before = errno;
	unsigned int i;

	for (i = 0; i < count && i < IOV_MAX; i++) {
		ssize_t n = sendmsg_tracked(fd, &msgs[i].msg_hdr, flags);

		if (n < 0) {
			if (i)
				errno = before;
			return i ? (int)i : -1;
		}
		msgs[i].msg_len = (unsigned int)n;
		if ((size_t)n < send_iov_bytes(&msgs[i].msg_hdr))
			return (int)i + 1;
	}
	return (int)i;
}

/* More than one message on a stream is next to unheard of; datagrams are never taken apart. */
OA_EXPORT int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int count, int flags)
{
	if (count && oa_hook_kind(fd) == OA_FD_CONN && oa_hook_plausible(msgs, count * sizeof(*msgs)))
		return send_each(fd, msgs, count, flags);
	return OA_REAL(sendmmsg)(fd, msgs, count, flags);
}
