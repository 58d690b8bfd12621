/* shape_server: a thread per connection; the path says what the answer looks like on the wire:
 * /length /chunked /chunked-cut /close /204 /304 /hints /continue /http10 /status/NNN /slow-head
 * /early /upgrade /reset /truncate /garbage /silent /hang; CONNECT opens a tunnel to an echo. HEAD
 * gets headers only. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

enum next { KEEP, LEAVE };

static int say(int fd, const char *text) { return app_write_all(fd, text, strlen(text)); }

static void say_bytewise(int fd, const char *text)
{
	for (; *text; text++)
		if (app_write_all(fd, text, 1))
			return;
}

static enum next echo(struct app_conn *c)
{
	ssize_t n = (ssize_t)c->len;

	if (n && app_write_all(c->fd, c->buf, (size_t)n))
		return LEAVE;
	while ((n = read(c->fd, c->buf, APP_BUF)) > 0)
		if (app_write_all(c->fd, c->buf, (size_t)n))
			break;
	return LEAVE;
}

static enum next reset(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return LEAVE;
}

static enum next hang(struct app_conn *c)
{
	while (read(c->fd, c->buf, APP_BUF) > 0)
		;
	return LEAVE;
}

#define CHUNKS "6\r\nhello \r\n5;x=y\r\nworld\r\n0\r\nX-Trailer: yes\r\n\r\n"

static enum next answer(struct app_conn *c, const struct app_head *head)
{
	const char *path = head->target;
	bool no_body = !strcmp(head->method, "HEAD");
	int fd = c->fd;

	if (!strcmp(head->method, "CONNECT")) {
		say(fd, "HTTP/1.1 200 Connection established\r\n\r\n");
		return echo(c);
	}
	if (!strcmp(path, "/chunked") || !strcmp(path, "/chunked-cut")) {
		say(fd,
		    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n");
		if (!no_body && path[8])
			say_bytewise(fd, CHUNKS);
		else if (!no_body)
			say(fd, CHUNKS);
	} else if (!strcmp(path, "/close")) {
		say(fd, "HTTP/1.1 200 OK\r\n\r\nuntil the end");
		return LEAVE;
	} else if (!strcmp(path, "/204")) {
		say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	} else if (!strcmp(path, "/304")) {
		say(fd, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n");
	} else if (!strcmp(path, "/hints")) {
		say(fd, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	} else if (!strcmp(path, "/http10")) {
		say(fd, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold");
		return LEAVE;
	} else if (!strncmp(path, "/status/", 8)) {
		app_reply(fd, atoi(path + 8), no_body ? "" : "status", false);
	} else if (!strcmp(path, "/slow-head")) {
		say_bytewise(fd,
			     "HTTP/1.1 200 OK\r\nX-Long: value\r\nContent-Length: 4\r\n\r\nslow");
	} else if (!strcmp(path, "/upgrade")) {
		say(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
			"echo\r\n\r\n");
		return echo(c);
	} else if (!strcmp(path, "/reset")) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
		return reset(fd);
	} else if (!strcmp(path, "/truncate")) {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
		return LEAVE;
	} else if (!strcmp(path, "/garbage")) {
		say(fd, "\x01\x02 this is not HTTP\n\n");
		return LEAVE;
	} else if (!strcmp(path, "/silent")) {
		return LEAVE;
	} else if (!strcmp(path, "/hang")) {
		return hang(c);
	} else {
		say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
		if (!no_body)
			say(fd, "hello");
	}
	return head->close ? LEAVE : KEEP;
}

static void *serve(void *arg)
{
	struct app_conn *c = calloc(1, sizeof(*c));
	struct app_head head;

	c->fd = (int)(intptr_t)arg;
	while (app_read_head(c, &head) == 1) {
		bool early = !strcmp(head.target, "/early");

		if (!strcmp(head.target, "/continue"))
			say(c->fd, "HTTP/1.1 100 Continue\r\n\r\n");
		if (early) {
			if (answer(c, &head) == LEAVE || app_read_body(c, &head, NULL, 0) < 0)
				break;
			continue;
		}
		if (app_read_body(c, &head, NULL, 0) < 0 || answer(c, &head) == LEAVE)
			break;
	}
	close(c->fd);
	free(c);
	return NULL;
}

int main(void)
{
	pthread_attr_t attr;
	int listener;

	app_start();
	listener = app_listen();
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while (!app_stopped) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (fd >= 0 && pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd))
			close(fd);
		else if (fd < 0 && errno != EINTR)
			break;
	}
	close(listener);
	return app_finish(0);
}
