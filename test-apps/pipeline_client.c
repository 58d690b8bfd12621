/* pipeline_client PORT COUNT one|each|writev: COUNT requests before any answer is read, in one
 * write, a write each, or one writev. Prints the statuses in order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "app.h"

#define COUNT_MAX 64

int main(int argc, char **argv)
{
	static char text[COUNT_MAX][256];
	struct iovec iov[COUNT_MAX];
	struct app_conn *c = malloc(sizeof(*c));
	struct app_head head;
	char all[COUNT_MAX * 256] = "";
	int count, status = 0;

	app_start();
	if (argc < 4)
		return 2;
	count = atoi(argv[2]);
	c->len = 0;
	c->fd = app_connect(atoi(argv[1]));
	for (int i = 0; i < count; i++) {
		iov[i].iov_base = text[i];
		iov[i].iov_len = (size_t)snprintf(text[i], sizeof(text[i]),
						  "GET /item/%d HTTP/1.1\r\nHost: leaf\r\n\r\n", i);
		strcat(all, text[i]);
	}
	if (!strcmp(argv[3], "one"))
		status = app_write_all(c->fd, all, strlen(all));
	else if (!strcmp(argv[3], "writev"))
		status = writev(c->fd, iov, count) == (ssize_t)strlen(all) ? 0 : -1;
	else
		for (int i = 0; i < count && !status; i++)
			status = app_write_all(c->fd, text[i], iov[i].iov_len);
	for (int i = 0; i < count && !status; i++) {
		char body[256];

		if (app_read_head(c, &head) != 1 || app_read_body(c, &head, body, sizeof(body)) < 0)
			status = -1;
		else
			printf("%d %s\n", head.status, body);
	}
	close(c->fd);
	free(c);
	return app_finish(status ? 1 : 0);
}
