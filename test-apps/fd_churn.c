/* fd_churn PORT: the same descriptor numbers come and go by every call that can do it: dup, dup2,
 * dup3, F_DUPFD, close_range, closefrom, and reuse of a number for a file. Each step makes a
 * request or must leave a file alone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

static int port;

static int ask(int out, int in, const char *what)
{
	struct app_conn *c = calloc(1, sizeof(*c));
	struct app_head head = { 0 };
	char text[256], body[256];
	int n = snprintf(text, sizeof(text), "GET /churn/%s HTTP/1.1\r\nHost: leaf\r\n\r\n", what);

	c->fd = in;
	if (app_write_all(out, text, (size_t)n) || app_read_head(c, &head) != 1 ||
	    app_read_body(c, &head, body, sizeof(body)) < 0)
		head.status = -1;
	printf("%s: %d\n", what, head.status);
	free(c);
	return head.status == 200 ? 0 : 1;
}

static int file_alone(int fd)
{
	static const char text[] = "GET /file HTTP/1.1\r\nHost: leaf\r\n\r\n";
	char back[sizeof(text) + 64];
	ssize_t n;

	n = write(fd, text, sizeof(text) - 1);
	printf("file takes %zd", n);
	n = pread(fd, back, sizeof(back), 0);
	printf(", has %zd\n", n);
	return n != sizeof(text) - 1 || memcmp(text, back, sizeof(text) - 1);
}

int main(int argc, char **argv)
{
	int fd, copy, bad = 0;

	app_start();
	if (argc < 2)
		return 2;
	port = atoi(argv[1]);

	fd = app_connect(port);
	copy = dup(fd);
	bad += ask(fd, copy, "dup");
	close(fd);
	bad += ask(copy, copy, "dup-after-close");

	fd = memfd_create("churn", MFD_CLOEXEC);
	dup2(copy, fd); /* the file's number is the connection now */
	bad += ask(fd, copy, "dup2");
	close(copy);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 20);
	bad += ask(copy, fd, "dupfd");
	dup3(fd, 30, O_CLOEXEC);
	close(fd);
	bad += ask(30, copy, "dup3");
	close(copy);
	close(30);

	fd = app_connect(port);
	close_range((unsigned)fd, (unsigned)fd, 0);
	copy = memfd_create("churn", MFD_CLOEXEC);
	printf("same number: %s\n", copy == fd ? "yes" : "no");
	bad += file_alone(copy);
	close(copy);

	fd = app_connect(port);
	copy = memfd_create("churn", MFD_CLOEXEC);
	dup2(copy, fd); /* the connection's number is the file now */
	bad += file_alone(fd);
	close(copy);
	close(fd);

	fd = app_connect(port);
	bad += ask(fd, fd, "before-closefrom");
	closefrom(3);
	errno = 0;
	bad += write(fd, "x", 1) != -1 || errno != EBADF;
	fd = app_connect(port);
	bad += ask(fd, fd, "after-closefrom");
	close(fd);
	return app_finish(bad);
}
