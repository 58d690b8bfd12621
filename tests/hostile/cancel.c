/* Row 63: threads cancelled inside read, recv, accept, poll, epoll_wait and a blocked write; later calls of
 * others must not hang, and the thread-local guard must not stay set in those that go on. */
#include "hostile.h"

static int fd[2], listener, full[2];
static const char *what;

static void *victim(void *arg)
{
	char c;
	struct pollfd p = { .fd = fd[1], .events = POLLIN };
	struct epoll_event ev = { .events = EPOLLIN };
	static char big[1 << 16];
	int ep;

	what = arg;
	if (!strcmp(arg, "read"))
		(void)!read(fd[1], &c, 1);
	else if (!strcmp(arg, "recv"))
		(void)recv(fd[1], &c, 1, 0);
	else if (!strcmp(arg, "accept"))
		(void)accept(listener, NULL, NULL);
	else if (!strcmp(arg, "poll"))
		(void)poll(&p, 1, -1);
	else if (!strcmp(arg, "write"))
		for (;;)
			(void)!write(full[0], big, sizeof(big));
	else {
		ep = epoll_create1(0);
		epoll_ctl(ep, EPOLL_CTL_ADD, fd[1], &ev);
		(void)epoll_wait(ep, &ev, 1, -1);
	}
	return NULL;
}

int main(void)
{
	static const char *const names[] = { "read", "recv", "accept", "poll", "write", "epoll" };
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	hostile_start(fd, &listener);
	CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
	hostile_pair(listener, &addr, full);
	for (int round = 0; round < 60; round++) {
		for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			pthread_t t;
			void *result;

			CHECK(pthread_create(&t, NULL, victim, (void *)names[i]) == 0);
			if (round % 3)
				sched_yield();
			if (round % 3 == 2)
				usleep(300);
			CHECK(pthread_cancel(t) == 0);
			CHECK(pthread_join(t, &result) == 0);
			CHECK(result == PTHREAD_CANCELED);
		}
	}
	hostile_exchange(fd);
	hostile_last(listener);
	puts("cancelled 360 threads, still serving");
	return 0;
}
