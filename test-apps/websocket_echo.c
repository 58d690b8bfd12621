/* websocket_echo serve | websocket_echo connect PORT COUNT SIZE: an Upgrade to WebSocket and an
 * echo of COUNT text frames of SIZE bytes (below 126). The client masks with zeros, so frames are
 * easy to count. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

/* The key and answer that RFC 6455 uses as its example. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static int read_exact(struct app_conn *c, char *to, size_t len)
{
	size_t have = c->len < len ? c->len : len;

	memcpy(to, c->buf, have);
	c->len -= have;
	memmove(c->buf, c->buf + have, c->len);
	while (have < len) {
		ssize_t n = read(c->fd, to + have, len - have);

		if (n <= 0)
			return -1;
		have += (size_t)n;
	}
	return 0;
}

/* returns the opcode; the payload is at `payload`, its length in *len */
static int read_frame(struct app_conn *c, char *payload, size_t *len)
{
	unsigned char head[2];
	char mask[4];

	if (read_exact(c, (char *)head, 2) || (head[1] & 0x7f) > 125)
		return -1;
	*len = head[1] & 0x7f;
	if ((head[1] & 0x80) && read_exact(c, mask, 4))
		return -1;
	return read_exact(c, payload, *len) ? -1 : head[0] & 0xf;
}

static int write_frame(int fd, int opcode, bool masked, const char *payload, size_t len)
{
	char frame[160] = { (char)(0x80 | opcode), (char)(len | (masked ? 0x80 : 0)) };
	size_t at = masked ? 6 : 2;

	memcpy(frame + at, payload, len);
	return app_write_all(fd, frame, at + len);
}

static void skip_head(struct app_conn *c, const struct app_head *head)
{
	c->len -= head->bytes;
	memmove(c->buf, c->buf + head->bytes, c->len);
}

static void echo(int fd)
{
	static const char yes[] =
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n";
	struct app_conn *c = calloc(1, sizeof(*c));
	struct app_head head;
	char payload[128];
	size_t len;
	int op = -1;

	c->fd = fd;
	if (app_read_head(c, &head) == 1 && head.upgrade &&
	    app_write_all(fd, yes, sizeof(yes) - 1) == 0) {
		skip_head(c, &head);
		while ((op = read_frame(c, payload, &len)) == 1 || op == 2)
			write_frame(fd, op, false, payload, len);
		if (op == 8)
			write_frame(fd, 8, false, payload, len);
	}
	close(fd);
	free(c);
}

static int serve(void)
{
	int listener = app_listen();

	while (!app_stopped) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			echo(fd);
		else if (errno != EINTR)
			break;
	}
	close(listener);
	return 0;
}

static int talk(int port, int count, size_t size)
{
	struct app_conn *c = calloc(1, sizeof(*c));
	struct app_head head;
	char text[512], payload[128], back[128];
	size_t len;
	int n, same = 0;

	memset(payload, 'x', sizeof(payload));
	c->fd = app_connect(port);
	n = snprintf(text, sizeof(text),
		     "GET /chat HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
		     "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY
		     "\r\nSec-WebSocket-Version: 13\r\n\r\n",
		     port);
	if (app_write_all(c->fd, text, (size_t)n) || app_read_head(c, &head) != 1 ||
	    head.status != 101)
		return 1;
	skip_head(c, &head);
	for (int i = 0; i < count; i++)
		if (write_frame(c->fd, 1, true, payload, size) == 0 &&
		    read_frame(c, back, &len) == 1)
			same += len == size && !memcmp(back, payload, size);
	write_frame(c->fd, 8, true, "", 0);
	n = read_frame(c, back, &len);
	printf("%d echoed, close %d\n", same, n);
	close(c->fd);
	free(c);
	return same == count ? 0 : 1;
}

int main(int argc, char **argv)
{
	app_start();
	if (argc == 2)
		return app_finish(serve());
	if (argc == 5)
		return app_finish(talk(atoi(argv[2]), atoi(argv[3]), (size_t)atoi(argv[4]) % 126));
	return 2;
}
