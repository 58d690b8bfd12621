/* cancel_thread PORT: a thread is cancelled while it waits in read, recv, recvmsg, accept, poll,
 * epoll_wait and write; each time another thread must be able to make a request afterwards. */
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

static int port, pair[2], listener, epfd, started[2];

static void block_in(const char *where)
{
	static char big[1 << 20];
	struct pollfd wait = { .fd = pair[0], .events = POLLIN };
	struct epoll_event ev;
	char buf[16];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = -1;

	if (!strcmp(where, "read"))
		n = read(pair[0], buf, sizeof(buf));
	else if (!strcmp(where, "recv"))
		n = recv(pair[0], buf, sizeof(buf), 0);
	else if (!strcmp(where, "recvmsg"))
		n = recvmsg(pair[0], &msg, 0);
	else if (!strcmp(where, "accept"))
		n = accept(listener, NULL, NULL);
	else if (!strcmp(where, "poll"))
		n = poll(&wait, 1, -1);
	else if (!strcmp(where, "epoll_wait"))
		n = epoll_wait(epfd, &ev, 1, -1);
	else if (!strcmp(where, "write"))
		while ((n = write(pair[1], big, sizeof(big))) > 0)
			;
	printf("%s came back with %zd\n", where, n);
}

static void *blocked(void *arg)
{
	if (write(started[1], "s", 1) != 1)
		return NULL;
	block_in(arg);
	return NULL;
}

static void *request(void *arg)
{
	char body[256];

	return (void *)(intptr_t)app_call(port, "GET", arg, "", body, sizeof(body));
}

int main(int argc, char **argv)
{
	static char *const places[] = { "read", "recv",       "recvmsg", "accept",
					"poll", "epoll_wait", "write" };
	int bad = 0;

	app_start();
	if (argc < 2 || pipe(started))
		return 2;
	port = atoi(argv[1]);
	listener = app_listen();
	epfd = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		pthread_t thread;
		void *result = NULL, *status = NULL;
		char path[64], byte;

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			return 2;
		pthread_create(&thread, NULL, blocked, places[i]);
		if (read(started[0], &byte, 1) != 1)
			return 2;
		pthread_cancel(thread);
		pthread_join(thread, &result);
		snprintf(path, sizeof(path), "/after/%s", places[i]);
		pthread_create(&thread, NULL, request, path);
		pthread_join(thread, &status);
		printf("%s: %s, then %d\n", places[i],
		       result == PTHREAD_CANCELED ? "cancelled" : "returned",
		       (int)(intptr_t)status);
		bad += result != PTHREAD_CANCELED || (intptr_t)status != 200;
		close(pair[0]);
		close(pair[1]);
	}
	close(listener);
	close(epfd);
	close(started[0]);
	close(started[1]);
	return app_finish(bad ? 1 : 0);
}
