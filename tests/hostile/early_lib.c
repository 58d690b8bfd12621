/* Row 21: a library whose constructor runs before the preloaded one's and uses what we hook. */
#include "hostile.h"

__attribute__((constructor)) static void early(void)
{
	char c = 0;
	int p[2], fd;
	struct pollfd pfd = { .events = POLLIN };
	struct epoll_event ev;
	struct timeval none = { 0 };
	int pair[2];
	struct sockaddr_in addr;
	int listener;

	CHECK(pipe(p) == 0);
	CHECK(write(p[1], "x", 1) == 1);
	pfd.fd = p[0];
	CHECK(poll(&pfd, 1, 0) == 1);
	CHECK(read(p[0], &c, 1) == 1 && c == 'x');
	CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK(read(p[0], &c, 1) == -1 && errno == EAGAIN);
	CHECK(dup2(p[0], 40) == 40 && close(40) == 0);
	fd = epoll_create1(0);
	CHECK(fd >= 0 && epoll_wait(fd, &ev, 1, 0) == 0 && close(fd) == 0);
	CHECK(select(0, NULL, NULL, NULL, &none) == 0);
	listener = hostile_listen(&addr);
	hostile_pair(listener, &addr, pair);
	hostile_exchange(pair);
	CHECK(close(pair[0]) == 0 && close(pair[1]) == 0 && close(listener) == 0);
	CHECK(prctl(PR_GET_DUMPABLE) >= 0);
	close(p[0]);
	close(p[1]);
}

int early_anchor(void);
int early_anchor(void) { return 1; }
