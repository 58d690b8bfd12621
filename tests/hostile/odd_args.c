/* Rows 36, 65: legal and illegal arguments of every hooked call; result, errno and what came back must be what they
 * are without us. */
#include <netdb.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "hostile.h"

#define SAY(call) \
	do { \
		long r_; \
		errno = 4242; \
		r_ = (long)(call); \
		printf("%-58s %ld %d\n", #call, r_ < 0 ? -1 : r_ > 2 ? 2 : r_, errno); \
	} while (0)

/* Whatever the compiler knows about arguments must not matter. */
static void *volatile null;
static volatile int bad_fd = -1, high_fd = 0x7ffffff0;

static void all(int fd, int other)
{
	void *const nil = null, *const wild = (void *)-1, *const low = (void *)1;
	char buf[64];
	struct iovec iov = { buf, sizeof(buf) }, none = { nil, 0 }, evil = { nil, 8 }, worse = { wild, 8 }, letter = { "z", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 0 };
	struct msghdr evilmsg = { .msg_iov = &evil, .msg_iovlen = 1 }, onemsg = { .msg_iov = &letter, .msg_iovlen = 1 };
	struct mmsghdr many[2] = { { .msg_hdr = msg }, { .msg_hdr = msg } };
	struct mmsghdr half[2] = { { .msg_hdr = onemsg }, { .msg_hdr = evilmsg } };
	struct sockaddr_in addr = { 0 };
	socklen_t len = sizeof(addr), neg = (socklen_t)-1;
	struct timespec zero = { 0, 0 }, odd = { -1, 0 };
	struct timeval tz = { 0, 0 };
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	struct epoll_event ev = { .events = EPOLLOUT };
	int p2[2], one = 1, ep = epoll_create1(0);
	off_t off = 0;

	(void)other;
	SAY(sendto(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27, MSG_NOSIGNAL, (struct sockaddr *)&addr, 5000));
	SAY(read(fd, nil, 0));
	SAY(write(fd, nil, 10));
	SAY(write(fd, nil, 0));
	SAY(write(fd, wild, 10));
	SAY(write(fd, low, 10));
	SAY(send(fd, nil, 10, MSG_NOSIGNAL));
	SAY(send(fd, wild, 1, MSG_NOSIGNAL));
	SAY(send(fd, buf, 0, MSG_NOSIGNAL));
	SAY(send(fd, "x", 1, 0x40000000));
	SAY(send(fd, "x", 1, MSG_OOB | MSG_NOSIGNAL));
	SAY(sendto(fd, nil, 5, MSG_NOSIGNAL, nil, 0));
	SAY(sendto(fd, "y", 1, MSG_NOSIGNAL, low, 16));
	SAY(sendmsg(fd, nil, 0));
	SAY(sendmsg(fd, wild, 0));
	SAY(sendmsg(fd, &msg, 0));
	SAY(sendmsg(fd, &evilmsg, 0));
	SAY(sendmmsg(fd, nil, 1, 0));
	SAY(sendmmsg(fd, many, 0, 0));
	SAY(sendmmsg(fd, many, 2, 0));
	SAY(sendmmsg(fd, half, 2, MSG_NOSIGNAL));
	SAY(writev(fd, nil, 1));
	SAY(writev(fd, &iov, 0));
	SAY(writev(fd, &iov, -1));
	SAY(writev(fd, &iov, 1025));
	SAY(writev(fd, &none, 1));
	SAY(writev(fd, &evil, 1));
	SAY(writev(fd, &worse, 1));
	SAY(pwritev2(fd, &none, 1, -1, 0));
	SAY(pwritev2(fd, &none, 1, 3, 0));
	SAY(preadv2(fd, &iov, 1, 3, 0));
	SAY(recv(fd, nil, 10, MSG_DONTWAIT));
	SAY(recv(fd, buf, 10, MSG_DONTWAIT));
	SAY(recv(fd, buf, 10, MSG_DONTWAIT | MSG_ERRQUEUE));
	SAY(recv(fd, buf, 10, MSG_DONTWAIT | MSG_OOB));
	SAY(recv(fd, buf, 10, MSG_DONTWAIT | MSG_PEEK));
	SAY(recvfrom(fd, buf, 10, MSG_DONTWAIT, nil, nil));
	SAY(recvfrom(fd, buf, 10, MSG_DONTWAIT, (struct sockaddr *)&addr, &len));
	SAY(recvmsg(fd, nil, MSG_DONTWAIT));
	SAY(recvmsg(fd, &msg, MSG_DONTWAIT));
	SAY(recvmmsg(fd, nil, 1, MSG_DONTWAIT, nil));
	SAY(recvmmsg(fd, many, 2, MSG_DONTWAIT, nil));
	SAY(readv(fd, nil, 1));
	SAY(readv(fd, &iov, 0));
	SAY(sendfile(fd, -1, nil, 10));
	SAY(sendfile(fd, fd, nil, 10));
	SAY(sendfile64(fd, ep, &off, 0));
	SAY(splice(fd, nil, fd, nil, 10, SPLICE_F_NONBLOCK));
	SAY(accept(fd, nil, nil));
	SAY(accept(fd, (struct sockaddr *)&addr, nil));
	SAY(accept4(fd, nil, nil, 0x10000000));
	SAY(connect(fd, nil, 0));
	SAY(connect(fd, nil, 16));
	SAY(connect(fd, low, 16));
	SAY(connect(fd, (struct sockaddr *)&addr, 1));
	SAY(connect(fd, (struct sockaddr *)&addr, neg));
	SAY(bind(fd, nil, 16));
	SAY(bind(fd, (struct sockaddr *)&addr, 3));
	SAY(bind(fd, (struct sockaddr *)&addr, neg));
	SAY(listen(bad_fd, 5));
	SAY(shutdown(fd, 9));
	SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, nil, nil));
	SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, nil, &len));
	len = 2;
	SAY(getsockopt(fd, SOL_SOCKET, SO_ERROR, buf, &len));
	SAY(fcntl(fd, F_GETFD));
	SAY(fcntl(fd, F_SETFL, 0));
	SAY(fcntl(fd, F_DUPFD, -1));
	SAY(fcntl(fd, 9999, 1));
	SAY(ioctl(fd, FIONBIO, &one));
	SAY(ioctl(fd, FIONREAD, &one));
	SAY(ioctl(fd, FIONBIO, nil));
	SAY(ioctl(fd, 0xdead));
	SAY(dup2(fd, fd) == fd);
	SAY(dup2(fd, -1));
	SAY(dup3(fd, fd, 0));
	SAY(dup2(bad_fd, fd));
	SAY(dup(bad_fd));
	SAY(dup(high_fd));
	SAY(close(bad_fd));
	SAY(close(high_fd));
	SAY(close_range(10, 5, 0));
	SAY(close_range(5000, 6000, 0x100));
	SAY(pipe(nil));
	SAY(pipe2(p2, 0x10000000));
	SAY(socketpair(AF_INET, SOCK_STREAM, 0, p2));
	SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, nil));
	SAY(socket(9999, 1, 1));
	SAY(eventfd(0, 0x10000000));
	SAY(timerfd_create(999, 0));
	SAY(signalfd(-1, nil, 0));
	SAY(signalfd(fd, (sigset_t *)buf, 0));
	SAY(epoll_create(0));
	SAY(epoll_create1(0x1000));
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, fd, nil));
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev));
	SAY(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	SAY(epoll_wait(ep, nil, 1, 0));
	SAY(epoll_wait(ep, &ev, 0, 0));
	SAY(epoll_wait(bad_fd, &ev, 1, 0));
	SAY(epoll_wait(ep, &ev, 1, 0));
	SAY(epoll_pwait(ep, &ev, 1, 0, nil));
	SAY(epoll_pwait2(ep, &ev, 1, &zero, nil));
	SAY(epoll_pwait2(ep, &ev, 1, &odd, nil));
	SAY(poll(nil, 1, 0));
	SAY(poll(wild, 1, 0));
	SAY(poll(nil, 0, 0));
	SAY(poll(&p, 1, 0));
	SAY(poll(&p, 0x7fffffff, 0));
	SAY(ppoll(&p, 1, &zero, nil));
	SAY(ppoll(&p, 1, &odd, nil));
	SAY(select(-1, nil, nil, nil, &tz));
	SAY(select(0, nil, nil, nil, &tz));
	SAY(select(10, wild, nil, nil, &tz));
	SAY(pselect(0, nil, nil, nil, &zero, nil));
	SAY(pselect(0, nil, nil, nil, &odd, nil));
	SAY(prctl(9999, 1, 2, 3, 4));
	SAY(prctl(PR_GET_DUMPABLE));
	SAY(unshare(0x1));
	SAY(setns(bad_fd, 0));
	SAY(getaddrinfo(nil, nil, nil, nil));
	SAY(gethostbyname("127.0.0.1") != NULL);
	close(ep);
}

/* TCP throws bytes away for MSG_TRUNC, and the buffer may be NULL: HAProxy empties sockets so. */
static void throw_away(int fd, int other)
{
	void *const nil = null;
	struct iovec iov = { nil, 10 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr many[1] = { { .msg_hdr = msg } };

	for (int i = 0; i < 6; i++) {
		CHECK(write(other, "GET /thrown HTTP/1.1\r\nHost: x\r\n\r\n", 36) == 36);
		SAY(recv(fd, nil, 0x7fffffff, MSG_TRUNC));
		CHECK(write(other, "GET /away HTTP/1.1\r\nHost: x\r\n\r\n", 34) == 34);
		SAY(recvfrom(fd, nil, 0x7fffffff, MSG_TRUNC, nil, nil));
		CHECK(write(other, "0123456789", 10) == 10);
		SAY(recvmsg(fd, &msg, MSG_TRUNC));
		CHECK(write(other, "0123456789", 10) == 10);
		SAY(recvmmsg(fd, many, 1, MSG_TRUNC, nil));
	}
}

int main(void)
{
	int fd[2], p[2], thrown[2], closed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("-- bytes thrown away");
	hostile_start(thrown, NULL);
	throw_away(thrown[1], thrown[0]);
	hostile_start(fd, NULL);
	signal(SIGPIPE, SIG_IGN);
	puts("-- connected socket"); /* we stand down in the course of it */
	all(fd[1], fd[0]);
	puts("-- closed number");
	closed = fcntl(fd[1], F_DUPFD, 500);
	close(closed);
	all(closed, fd[0]);
	puts("-- pipe");
	CHECK(pipe(p) == 0);
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	all(p[0], p[1]);
	return 0;
}
