/* Bytes in: read readv recv recvfrom recvmsg recvmmsg, the positioned readers that take "here", and the fortified
 * names. What arrived is looked at after the real call, in the host's own buffers; nothing is taken, kept
 * back or asked for. The untracked path of each is a jump, hence the second functions. */
#include "hooks/hook.h"

#include <sys/socket.h>

#include "conn/expect.h"

ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *addr,
		       socklen_t *addr_len);

OA_SLOW OA_HOT ssize_t read_tracked(int fd, void *buf, size_t len)
{
	ssize_t n;

	oa_conn_expect(fd);
	n = OA_REAL(read)(fd, buf, len);
	OA_OBSERVE()
		oa_conn_on_received(fd, buf, len, n, errno, 0);
	return n;
}

OA_EXPORT OA_HOT ssize_t read(int fd, void *buf, size_t len)
{
	if (!oa_fd_is_heard(fd))
		return OA_REAL(read)(fd, buf, len);
	return read_tracked(fd, buf, len);
}

OA_SLOW ssize_t read_chk_tracked(int fd, void *buf, size_t len, size_t room)
{
	ssize_t n = OA_REAL(__read_chk)(fd, buf, len, room);

	OA_OBSERVE()
		oa_conn_on_received(fd, buf, len, n, errno, 0);
	return n;
}

OA_EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (!oa_fd_is_heard(fd))
		return OA_REAL(__read_chk)(fd, buf, len, room);
	return read_chk_tracked(fd, buf, len, room);
}

OA_SLOW OA_HOT ssize_t readv_tracked(int fd, const struct iovec *iov, int count)
{
	ssize_t n;

	oa_conn_expect(fd);
	n = OA_REAL(readv)(fd, iov, count);
	OA_OBSERVE()
		oa_conn_on_received_iov(fd, iov, count, n, errno, 0);
	return n;
}

OA_EXPORT OA_HOT ssize_t readv(int fd, const struct iovec *iov, int count)
{
	if (!oa_fd_is_heard(fd))
		return OA_REAL(readv)(fd, iov, count);
	return readv_tracked(fd, iov, count);
}

/* On a socket only offset -1, "here", works; others fail with ESPIPE. */
OA_SLOW ssize_t preadv2_tracked(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	ssize_t n = OA_REAL(preadv2)(fd, iov, count, offset, flags);

	OA_OBSERVE()
		oa_conn_on_received_iov(fd, iov, count, n, errno, 0);
	return n;
}

OA_EXPORT ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	if (offset != -1 || !oa_fd_is_heard(fd))
		return OA_REAL(preadv2)(fd, iov, count, offset, flags);
	return preadv2_tracked(fd, iov, count, offset, flags);
}

OA_SLOW ssize_t preadv64v2_tracked(int fd, const struct iovec *iov, int count, off64_t offset,
				   int flags)
{
	ssize_t n = OA_REAL(preadv64v2)(fd, iov, count, offset, flags);

	OA_OBSERVE()
		oa_conn_on_received_iov(fd, iov, count, n, errno, 0);
	return n;
}

OA_EXPORT ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
	if (offset != -1 || !oa_fd_is_heard(fd))
		return OA_REAL(preadv64v2)(fd, iov, count, offset, flags);
	return preadv64v2_tracked(fd, iov, count, offset, flags);
}

OA_SLOW OA_HOT ssize_t recv_tracked(int fd, void *buf, size_t len, int flags)
{
	ssize_t n;

	oa_conn_expect(fd);
	n = OA_REAL(recv)(fd, buf, len, flags);
	OA_OBSERVE()
		oa_conn_on_received(fd, buf, len, n, errno, flags);
	return n;
}

OA_EXPORT OA_HOT ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	if (!oa_fd_is_heard(fd))
		return OA_REAL(recv)(fd, buf, len, flags);
	return recv_tracked(fd, buf, len, flags);
}

OA_SLOW ssize_t recv_chk_tracked(int fd, void *buf, size_t len, size_t room, int flags)
{
	ssize_t n = OA_REAL(__recv_chk)(fd, buf, len, room, flags);

	OA_OBSERVE()
		oa_conn_on_received(fd, buf, len, n, errno, flags);
	return n;
}

OA_EXPORT ssize_t __recv_chk(int fd, void *buf, size_t len, size_t room, int flags)
{
	if (!oa_fd_is_heard(fd))
		return OA_REAL(__recv_chk)(fd, buf, len, room, flags);
	return recv_chk_tracked(fd, buf, len, room, flags);
}

OA_SLOW OA_HOT ssize_t recvfrom_tracked(int fd, void *buf, size_t len, int flags,
					struct sockaddr *addr, socklen_t *addr_len)
{
	ssize_t n;

	oa_conn_expect(fd);
	n = OA_REAL(recvfrom)(fd, buf, len, flags, addr, addr_len);
	OA_OBSERVE()
		oa_conn_on_received(fd, buf, len, n, errno, flags);
	return n;
}

OA_EXPORT OA_HOT ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addr_len)
{
	if (!oa_fd_is_heard(fd))
		return OA_REAL(recvfrom)(fd, buf, len, flags, addr, addr_len);
	return recvfrom_tracked(fd, buf, len, flags, addr, addr_len);
}

OA_SLOW ssize_t recvfrom_chk_tracked(int fd, void *buf, size_t len, size_t room, int flags,
				     struct sockaddr *addr, socklen_t *addr_len)
{
	ssize_t n = OA_REAL(__recvfrom_chk)(fd, buf, len, room, flags, addr, addr_len);

	OA_OBSERVE()
		oa_conn_on_received(fd, buf, len, n, errno, flags);
	return n;
}

OA_EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t len, size_t room, int flags, struct sockaddr *addr,
				 socklen_t *addr_len)
{
	if (!oa_fd_is_heard(fd))
		return OA_REAL(__recvfrom_chk)(fd, buf, len, room, flags, addr, addr_len);
	return recvfrom_chk_tracked(fd, buf, len, room, flags, addr, addr_len);
}

/* Tells about descriptors that came with a message, and lets a connection that was handed over start us. */
static void receive_note_fds(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		const unsigned char *at = CMSG_DATA(c);
		const unsigned char *end = (const unsigned char *)c + c->cmsg_len;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (; at + sizeof(int) <= end; at += sizeof(int)) {
			int fd;

			__builtin_memcpy(&fd, at, sizeof(fd));
			oa_note_set(fd, OA_NOTE_UNKNOWN);
			if (!oa_hook_active() && !(oa_hook_is_stream(fd) && oa_hook_start()))
				continue;
			OA_OBSERVE()
				oa_conn_on_fd_received(fd);
		}
	}
}

static bool receive_has_control(const struct msghdr *msg)
{
	return msg && msg->msg_control && msg->msg_controllen >= sizeof(struct cmsghdr);
}

static void receive_note_msg(int fd, struct msghdr *msg, ssize_t n, int flags)
{
	if (oa_fd_is_heard(fd) && oa_hook_plausible(msg, sizeof(*msg)))
		OA_OBSERVE()
			oa_conn_on_received_iov(fd, msg->msg_iov, (int)msg->msg_iovlen, n, errno, flags);
	if (n >= 0 && receive_has_control(msg)) {
		int err = errno;

		receive_note_fds(msg);
		errno = err;
	}
}

OA_EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = OA_REAL(recvmsg)(fd, msg, flags);

	if (oa_hook_awake())
		receive_note_msg(fd, msg, n, flags);
	return n;
}

OA_EXPORT int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int count, int flags, struct timespec *timeout)
{
	int got = OA_REAL(recvmmsg)(fd, msgs, count, flags, timeout);

	if (!oa_hook_awake())
		return got;
	for (int i = 0; i < got; i++)
		receive_note_msg(fd, &msgs[i].msg_hdr, msgs[i].msg_len, flags);
	if (got < 0 && oa_fd_is_heard(fd))
		OA_OBSERVE()
			oa_conn_on_received(fd, NULL, 0, got, errno, flags);
	return got;
}
