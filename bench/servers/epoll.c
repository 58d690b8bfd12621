/* A server with one thread and one epoll loop that keeps nothing per connection: epoll_wait, read,
 * write per request. epoll [PORT]: prints its port, answers until it is killed. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/measure.h"

#define EVENTS 64

static void watch(int epoll, int fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
		measure_die("epoll_ctl");
}

static void answer(int fd)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	/* Whole requests only: this is a yardstick, not a server. */
	if (n <= 0 || write(fd, measure_response, measure_response_len) < 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at;
	struct epoll_event events[EVENTS];
	int listener = measure_listen(&at, argc > 1 ? (unsigned)atoi(argv[1]) : 0),
	    epoll = epoll_create1(EPOLL_CLOEXEC);

	measure_raise_fd_limit();
	measure_make_response();
	watch(epoll, listener);
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == listener)
				watch(epoll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
			else
				answer(fd);
		}
	}
}
