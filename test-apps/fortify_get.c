/* fortify_get PORT: built with _FORTIFY_SOURCE=2 and buffers whose size the compiler knows, so that
 * the checked names of read, recv, recvfrom and poll are called. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

static ssize_t take(int fd, int how, size_t len)
{
	char buf[512];
	struct pollfd wait[1] = { { .fd = fd, .events = POLLIN } };
	ssize_t n;

	if (poll(wait, (nfds_t)(len > 0), 10000) != 1)
		return -1;
	if (how == 0)
		n = read(fd, buf, len);
	else if (how == 1)
		n = recv(fd, buf, len, 0);
	else
		n = recvfrom(fd, buf, len, 0, NULL, NULL);
	return n > 12 && !memcmp(buf, "HTTP/1.1 200", 12) ? n : -1;
}

int main(int argc, char **argv)
{
	static const char text[] =
		"GET /fortify HTTP/1.1\r\nHost: leaf\r\nConnection: close\r\n\r\n";
	int bad = 0;

	app_start();
	if (argc < 2)
		return 2;
	for (int how = 0; how < 3; how++) {
		int fd = app_connect(atoi(argv[1]));
		char rest[256];
		bool ok;

		ok = app_write_all(fd, text, sizeof(text) - 1) == 0 &&
		     take(fd, how, (size_t)argc * 200) > 0;
		printf("%d: %s\n", how, ok ? "ok" : "failed");
		bad += !ok;
		while (read(fd, rest, sizeof(rest)) > 0)
			;
		close(fd);
	}
	return app_finish(bad);
}
