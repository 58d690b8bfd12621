#pragma once
/* What the hostile programs share. Each prints what it saw and must print the same without and with the
 * library; none may hang (alarm) or end by a signal, unless that is its point. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x) \
	do { \
		if (!(x)) { \
			dprintf(1, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #x, errno); \
			_exit(1); \
		} \
	} while (0)

static const char hostile_request[] = "GET /hostile HTTP/1.1\r\nHost: x\r\nTraceparent: "
				      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
static const char hostile_response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/* A listening TCP socket on loopback: from here on the library is active. */
static inline int hostile_listen(struct sockaddr_in *ret_addr)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	CHECK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	CHECK(listen(fd, 64) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
	if (ret_addr)
		*ret_addr = addr;
	return fd;
}

/* A connected pair: [0] client, [1] server. */
static inline void hostile_pair(int listener, const struct sockaddr_in *addr, int ret_fd[2])
{
	ret_fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(ret_fd[0] >= 0);
	CHECK(connect(ret_fd[0], (const struct sockaddr *)addr, sizeof(*addr)) == 0);
	ret_fd[1] = accept(listener, NULL, NULL);
	CHECK(ret_fd[1] >= 0);
}

static inline void hostile_send(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		CHECK(n > 0);
		text += n;
		len -= (size_t)n;
	}
}

static inline void hostile_read(int fd, size_t len)
{
	char buf[512];

	while (len) {
		ssize_t n = read(fd, buf, len < sizeof(buf) ? len : sizeof(buf));

		CHECK(n > 0);
		len -= (size_t)n;
	}
}

/* One request and its response; with it the library has a span and its thread. */
static inline void hostile_exchange(const int fd[2])
{
	hostile_send(fd[0], hostile_request, sizeof(hostile_request) - 1);
	hostile_read(fd[1], sizeof(hostile_request) - 1);
	hostile_send(fd[1], hostile_response, sizeof(hostile_response) - 1);
	hostile_read(fd[0], sizeof(hostile_response) - 1);
}

static inline void hostile_start(int ret_fd[2], int *ret_listener)
{
	struct sockaddr_in addr;
	int listener;

	alarm(20);
	listener = hostile_listen(&addr);
	hostile_pair(listener, &addr, ret_fd);
	hostile_exchange(ret_fd);
	if (ret_listener)
		*ret_listener = listener;
}

/* One more exchange, on a connection of its own and told apart by its path: proof that the library still works. */
static inline void hostile_last_begin(int listener, int ret_fd[2])
{
	static const char request[] = "GET /last HTTP/1.1\r\nHost: x\r\nTraceparent: "
				      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
	hostile_pair(listener, &addr, ret_fd);
	hostile_send(ret_fd[0], request, sizeof(request) - 1);
	hostile_read(ret_fd[1], sizeof(request) - 1);
}

static inline void hostile_last_end(const int fd[2])
{
	hostile_send(fd[1], hostile_response, sizeof(hostile_response) - 1);
	hostile_read(fd[0], sizeof(hostile_response) - 1);
	close(fd[0]);
	close(fd[1]);
}

static inline void hostile_last(int listener)
{
	int fd[2];

	hostile_last_begin(listener, fd);
	hostile_last_end(fd);
}

/* Threads of this process as the kernel counts them. */
static inline int hostile_threads(void)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	const char *at;

	close(fd);
	CHECK(n > 0);
	text[n] = '\0';
	at = strstr(text, "\nThreads:");
	CHECK(at);
	return atoi(at + 9);
}

/* Child's end in words. */
static inline int hostile_wait(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
