/* Descriptors of the third parties: raw system calls, so that they meet neither our hooks nor another
 * library's. Whether a number is still ours is asked before, by exporter/loop_fd.c.
 *
 * Bytes leave by sendmsg() alone. On a number that the host has taken for a file it fails, where write()
 * would put our bytes into that file. */
#include <errno.h>
#include <stdarg.h>

#include "core/sys.h"
#include "core/wrap.h"

static long wrap_result(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

int __wrap_socket(int domain, int type, int protocol)
{
	return (int)wrap_result(oa_sys3(SYS_socket, domain, type | SOCK_CLOEXEC, protocol));
}

int __wrap_accept4(int fd, struct sockaddr *peer, socklen_t *peer_bytes, int flags)
{
	return (int)wrap_result(oa_sys4(SYS_accept4, fd, peer, peer_bytes, flags | SOCK_CLOEXEC));
}

int __wrap_accept(int fd, struct sockaddr *peer, socklen_t *peer_bytes)
{
	return __wrap_accept4(fd, peer, peer_bytes, 0);
}

int __wrap_open(const char *path, int flags, ...)
{
	return (int)wrap_result(oa_sys4(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600));
}

int __wrap_open64(const char *path, int flags, ...) { return __wrap_open(path, flags); }

int __wrap_close(int fd) { return (int)wrap_result(oa_sys1(SYS_close, fd)); }

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
	return (int)wrap_result(oa_sys3(SYS_bind, fd, address, bytes));
}

int __wrap_listen(int fd, int backlog) { return (int)wrap_result(oa_sys2(SYS_listen, fd, backlog)); }

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
	return (int)wrap_result(oa_sys3(SYS_connect, fd, address, bytes));
}

int __wrap_shutdown(int fd, int how) { return (int)wrap_result(oa_sys2(SYS_shutdown, fd, how)); }

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *bytes)
{
	return (int)wrap_result(oa_sys3(SYS_getsockname, fd, address, bytes));
}

int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *bytes)
{
	return (int)wrap_result(oa_sys3(SYS_getpeername, fd, address, bytes));
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *bytes)
{
	return (int)wrap_result(oa_sys5(SYS_getsockopt, fd, level, name, value, bytes));
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t bytes)
{
	return (int)wrap_result(oa_sys5(SYS_setsockopt, fd, level, name, value, bytes));
}

ssize_t __wrap_read(int fd, void *buf, size_t len) { return wrap_result(oa_sys3(SYS_read, fd, buf, len)); }

ssize_t __wrap_readv(int fd, const struct iovec *iov, int count)
{
	return wrap_result(oa_sys3(SYS_readv, fd, iov, count));
}

ssize_t __wrap_recvfrom(int fd, void *restrict buf, size_t len, int flags,
			struct sockaddr *restrict peer, socklen_t *restrict peer_bytes)
{
	return wrap_result(oa_sys6(SYS_recvfrom, fd, (long)buf, (long)len, flags, (long)peer,
				     (long)peer_bytes));
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	return __wrap_recvfrom(fd, buf, len, flags, NULL, NULL);
}

ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *peer,
		      socklen_t peer_bytes)
{
	return wrap_result(oa_sys6(SYS_sendto, fd, (long)buf, (long)len, flags | MSG_NOSIGNAL, (long)peer,
				     peer_bytes));
}

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	return __wrap_sendto(fd, buf, len, flags, NULL, 0);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len) { return __wrap_send(fd, buf, len, 0); }

ssize_t __wrap_writev(int fd, const struct iovec *iov, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };

	return wrap_result(oa_sys3(SYS_sendmsg, fd, &message, MSG_NOSIGNAL));
}

ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t count) { return wrap_result(-ENOSYS); }

off_t __wrap_lseek(int fd, off_t offset, int whence)
{
	return wrap_result(oa_sys3(SYS_lseek, fd, offset, whence));
}

int __wrap_fstat(int fd, struct stat *ret_stat) { return (int)wrap_result(oa_sys2(SYS_fstat, fd, ret_stat)); }

int __wrap_fcntl(int fd, int command, ...)
{
	va_list arguments;
	long value;

	va_start(arguments, command);
	value = va_arg(arguments, long);
	va_end(arguments);
	return (int)wrap_result(oa_sys3(SYS_fcntl, fd, command, value));
}

int __wrap_fcntl64(int fd, int command, ...)
{
	va_list arguments;
	long value;

	va_start(arguments, command);
	value = va_arg(arguments, long);
	va_end(arguments);
	return (int)wrap_result(oa_sys3(SYS_fcntl, fd, command, value));
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	long value;

	va_start(arguments, request);
	value = va_arg(arguments, long);
	va_end(arguments);
	return (int)wrap_result(oa_sys3(SYS_ioctl, fd, request, value));
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	return (int)wrap_result(oa_sys3(SYS_poll, fds, count, timeout_ms));
}

/* Without these libevent uses poll(), which holds no descriptor of its own. */
int __wrap_epoll_create(int size) { return (int)wrap_result(-ENOSYS); }
int __wrap_epoll_create1(int flags) { return (int)wrap_result(-ENOSYS); }
int __wrap_epoll_ctl(int fd, int op, int other, struct epoll_event *event) { return (int)wrap_result(-ENOSYS); }
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int ms) { return (int)wrap_result(-ENOSYS); }
int __wrap_pipe(int *ret_fds) { return (int)wrap_result(-ENOSYS); }
int __wrap_pipe2(int *ret_fds, int flags) { return (int)wrap_result(-ENOSYS); }
int __wrap_eventfd(unsigned int value, int flags) { return (int)wrap_result(-ENOSYS); }
int __wrap_socketpair(int domain, int type, int protocol, int *fds) { return (int)wrap_result(-ENOSYS); }
int __wrap_timerfd_create(clockid_t clock, int flags) { return (int)wrap_result(-ENOSYS); }

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *next, struct itimerspec *last)
{
	return (int)wrap_result(-ENOSYS);
}
