/* unix_client PATH TARGET: two requests over one connection to an AF_UNIX socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app.h"

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct app_conn *c = calloc(1, sizeof(*c));
	struct app_head head;
	char text[512], body[512];
	int n, status = 0;

	app_start();
	if (argc < 3)
		return 2;
	strncpy(addr.sun_path, argv[1], sizeof(addr.sun_path) - 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr))) {
		perror("connect");
		return 1;
	}
	n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);
	for (int i = 0; i < 2 && !status; i++) {
		if (app_write_all(c->fd, text, (size_t)n) || app_read_head(c, &head) != 1 ||
		    app_read_body(c, &head, body, sizeof(body)) < 0)
			status = 1;
		else
			printf("%d %s\n", head.status, body);
	}
	close(c->fd);
	free(c);
	return app_finish(status);
}
