/* sendfile_server FILE: the header by send(MSG_MORE), the body by sendfile; /splice: the body by
 * splice through a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app.h"

static int send_body(int fd, int file, size_t size)
{
	off_t at = 0;

	while ((size_t)at < size)
		if (sendfile(fd, file, &at, size - (size_t)at) <= 0)
			return -1;
	return 0;
}

static int splice_body(int fd, int file, size_t size)
{
	int pipe_fd[2], failed = 0;
	loff_t at = 0;

	if (pipe2(pipe_fd, O_CLOEXEC))
		return -1;
	while ((size_t)at < size && !failed) {
		ssize_t n = splice(file, &at, pipe_fd[1], NULL, size - (size_t)at, SPLICE_F_MORE);

		failed = n <= 0;
		while (n > 0 && !failed) {
			ssize_t m = splice(pipe_fd[0], NULL, fd, NULL, (size_t)n, SPLICE_F_MORE);

			failed = m <= 0;
			n -= m;
		}
	}
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	return failed ? -1 : 0;
}

static void serve(int fd, const char *path)
{
	struct app_conn *c = calloc(1, sizeof(*c));
	struct app_head head;
	char text[256];

	c->fd = fd;
	while (app_read_head(c, &head) == 1 && app_read_body(c, &head, NULL, 0) >= 0) {
		int file = open(path, O_RDONLY | O_CLOEXEC), failed, n;
		struct stat st;

		if (file < 0 || fstat(file, &st))
			break;
		n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n",
			     (long long)st.st_size);
		failed = send(fd, text, (size_t)n, MSG_MORE | MSG_NOSIGNAL) != n;
		if (!failed && strcmp(head.method, "HEAD"))
			failed = strcmp(head.target, "/splice")
					 ? send_body(fd, file, (size_t)st.st_size)
					 : splice_body(fd, file, (size_t)st.st_size);
		close(file);
		if (failed || head.close)
			break;
	}
	close(fd);
	free(c);
}

int main(int argc, char **argv)
{
	int listener;

	app_start();
	if (argc < 2)
		return 2;
	listener = app_listen();
	while (!app_stopped) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			serve(fd, argv[1]);
		else if (errno != EINTR)
			break;
	}
	close(listener);
	return app_finish(0);
}
