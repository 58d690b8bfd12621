/* family_client PORT: the same request through each family of calls, a connection each. Prints the
 * status each got. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "app.h"

static char text[256], answer[2048];
static size_t text_len;

static ssize_t out_iov(int fd, int call)
{
	struct iovec iov[3] = { { text, 5 }, { text + 5, 20 }, { text + 25, text_len - 25 } };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 3 } } };

	switch (call) {
	case 0:
		return writev(fd, iov, 3);
	case 1:
		return pwritev2(fd, iov, 3, -1, 0);
	case 2:
		return sendmsg(fd, &m[0].msg_hdr, MSG_NOSIGNAL);
	default:
		return sendmmsg(fd, m, 1, MSG_NOSIGNAL) == 1 ? (ssize_t)m[0].msg_len : -1;
	}
}

static ssize_t in_iov(int fd, int call)
{
	struct iovec iov[2] = { { answer, 10 }, { answer + 10, sizeof(answer) - 11 } };
	struct mmsghdr m[1] = { { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 2 } } };

	switch (call) {
	case 0:
		return readv(fd, iov, 2);
	case 1:
		return preadv2(fd, iov, 2, -1, 0);
	case 2:
		return recvmsg(fd, &m[0].msg_hdr, 0);
	default:
		return recvmmsg(fd, m, 1, 0, NULL) == 1 ? (ssize_t)m[0].msg_len : -1;
	}
}

static ssize_t through_pipe(int in, int out, size_t len)
{
	int fd[2];
	ssize_t n;

	if (pipe2(fd, O_CLOEXEC))
		return -1;
	if (in < 0) {
		n = write(fd[1], text, len);
		n = splice(fd[0], NULL, out, NULL, (size_t)n, 0);
	} else {
		n = splice(in, NULL, fd[1], NULL, len, 0);
		n = read(fd[0], answer, (size_t)n);
	}
	close(fd[0]);
	close(fd[1]);
	return n;
}

static ssize_t out(int fd, int family)
{
	switch (family) {
	case 0:
		return write(fd, text, text_len);
	case 1:
		return send(fd, text, text_len, MSG_NOSIGNAL);
	case 2:
		return sendto(fd, text, text_len, MSG_NOSIGNAL, NULL, 0);
	case 7:
		return through_pipe(-1, fd, text_len);
	default:
		return out_iov(fd, family - 3);
	}
}

static ssize_t in(int fd, int family)
{
	switch (family) {
	case 0:
		return read(fd, answer, sizeof(answer) - 1);
	case 1:
		return recv(fd, answer, sizeof(answer) - 1, 0);
	case 2:
		return recvfrom(fd, answer, sizeof(answer) - 1, 0, NULL, NULL);
	case 7:
		return through_pipe(fd, -1, sizeof(answer) - 1);
	default:
		return in_iov(fd, family - 3);
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "write",    "send",    "sendto",   "writev",
					     "pwritev2", "sendmsg", "sendmmsg", "splice" };
	int bad = 0;

	app_start();
	if (argc < 2)
		return 2;
	for (int i = 0; i < 8; i++) {
		int fd = app_connect(atoi(argv[1]));
		ssize_t n, got;

		text_len = (size_t)snprintf(
			text, sizeof(text),
			"GET /family/%s HTTP/1.1\r\nHost: leaf\r\nConnection: close\r\n\r\n",
			names[i]);
		n = out(fd, i);
		memset(answer, 0, sizeof(answer));
		got = in(fd, i);
		printf("%s: %s, %.12s\n", names[i], n == (ssize_t)text_len ? "all" : "short",
		       answer);
		bad += got < 12 || n != (ssize_t)text_len;
		while (read(fd, answer, sizeof(answer)) > 0)
			;
		close(fd);
	}
	return app_finish(bad);
}
