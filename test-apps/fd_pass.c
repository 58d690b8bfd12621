/* fd_pass [UPSTREAM]: the parent accepts and passes each connection to one of two worker processes
 * over a Unix socket; it never reads a byte of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app.h"

#define WORKERS 2

static void pass(int channel, int fd)
{
	char byte = 'c', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	sendmsg(channel, &msg, 0);
	close(fd);
}

static int receive(int channel)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(channel, &msg, MSG_CMSG_CLOEXEC) == 1 && (c = CMSG_FIRSTHDR(&msg)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void work(int channel, int upstream)
{
	int fd;

	alarm(60);
	while (!app_stopped && (fd = receive(channel)) >= 0)
		app_serve(fd, upstream);
	_exit(0);
}

int main(int argc, char **argv)
{
	int upstream = argc > 1 ? atoi(argv[1]) : 0, channel[WORKERS], listener;
	pid_t pid[WORKERS];

	app_start();
	listener = app_listen();
	for (int i = 0; i < WORKERS; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			return 2;
		pid[i] = fork();
		if (pid[i] == 0) {
			close(pair[0]);
			close(listener);
			work(pair[1], upstream);
		}
		close(pair[1]);
		channel[i] = pair[0];
	}
	for (int turn = 0; !app_stopped; turn++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			pass(channel[turn % WORKERS], fd);
		else if (errno != EINTR)
			break;
	}
	for (int i = 0; i < WORKERS; i++) {
		kill(pid[i], SIGTERM);
		close(channel[i]);
	}
	while (wait(NULL) > 0)
		;
	close(listener);
	return app_finish(0);
}
