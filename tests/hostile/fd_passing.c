/* Row 52: a connection handed to another process over a Unix socket; the receiver has seen neither listen nor accept
 * of its own since exec. */
#include "hostile.h"

static void send_fd(int over, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { (void *)"f", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	CHECK(sendmsg(over, &msg, 0) == 1);
}

static int receive_fd(int over)
{
	char control[CMSG_SPACE(sizeof(int))], x;
	struct iovec iov = { &x, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd;

	CHECK(recvmsg(over, &msg, 0) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

int main(int argc, char **argv)
{
	int fd[2], over[2];
	pid_t pid;
	char number[16];

	alarm(20);
	if (argc > 1) {
		int got = receive_fd(atoi(argv[1]));

		hostile_read(got, sizeof(hostile_request) - 1);
		hostile_send(got, hostile_response, sizeof(hostile_response) - 1);
		close(got);
		return 4;
	}
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, over) == 0);
	hostile_start(fd, NULL);
	snprintf(number, sizeof(number), "%d", over[1]);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", argv[0], number, (char *)NULL);
		_exit(99);
	}
	send_fd(over[0], fd[1]);
	close(fd[1]);
	hostile_send(fd[0], hostile_request, sizeof(hostile_request) - 1);
	hostile_read(fd[0], sizeof(hostile_response) - 1);
	printf("receiver ended with %d\n", hostile_wait(pid));
	return 0;
}
