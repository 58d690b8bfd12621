/* epoll_proxy UPSTREAM: one thread, each event handled to its end: a request is read, passed on at
 * once over an idle upstream connection or a new non-blocking one, and the answer is relayed.
 * Headers are passed on as they came. One request at a time on a client connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

struct side {
	bool is_upstream, connecting;
	struct side
		*other; /* the connection at the other side of the exchange, or NULL when idle */
	struct side *next_idle;
	struct app_conn c;
};

static struct side *idle, listener_side;
static int upstream, epfd;

static void watch(struct side *s, int op, unsigned events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	epoll_ctl(epfd, op, s->c.fd, &ev);
}

static void drop(struct side *s)
{
	for (struct side **p = &idle; *p; p = &(*p)->next_idle)
		if (*p == s) {
			*p = s->next_idle;
			break;
		}
	close(s->c.fd);
	free(s);
}

static void drop_both(struct side *s)
{
	struct side *other = s->other;

	drop(s);
	if (other)
		drop(other);
}

static struct side *upstream_take(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)upstream) };
	struct side *s = idle;

	if (s) {
		idle = s->next_idle;
		return s;
	}
	s = calloc(1, sizeof(*s));
	s->is_upstream = true;
	s->c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->connecting = connect(s->c.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0;
	watch(s, EPOLL_CTL_ADD, s->connecting ? EPOLLOUT : EPOLLIN);
	return s;
}

/* Sends the client's request on; its buffer then holds nothing. */
static void pass_on(struct side *up)
{
	struct app_conn *c = &up->other->c;

	if (write(up->c.fd, c->buf, c->len) != (ssize_t)c->len)
		drop_both(up);
	else
		c->len = 0;
}

static void on_client(struct side *s)
{
	struct app_head head;
	ssize_t n = read(s->c.fd, s->c.buf + s->c.len, APP_BUF - s->c.len);

	if (n <= 0) {
		drop_both(s);
		return;
	}
	s->c.len += (size_t)n;
	if (app_parse(s->c.buf, s->c.len, &head) <= 0)
		return;
	s->other = upstream_take();
	s->other->other = s;
	if (!s->other->connecting)
		pass_on(s->other);
}

static void on_upstream(struct side *s)
{
	struct side *client = s->other;
	struct app_head head;
	size_t size;
	ssize_t n;

	if (s->connecting) {
		int err = 0;
		socklen_t len = sizeof(err);

		getsockopt(s->c.fd, SOL_SOCKET, SO_ERROR, &err, &len);
		s->connecting = false;
		if (err) {
			client->other = NULL;
			client->c.len = 0;
			app_reply(client->c.fd, 502, "no upstream", false);
			drop(s);
			return;
		}
		watch(s, EPOLL_CTL_MOD, EPOLLIN);
		pass_on(s);
		return;
	}
	n = read(s->c.fd, s->c.buf + s->c.len, APP_BUF - s->c.len);
	if (n <= 0) {
		drop_both(s);
		return;
	}
	s->c.len += (size_t)n;
	if (app_parse(s->c.buf, s->c.len, &head) <= 0)
		return;
	size = head.bytes + (head.content_length > 0 ? (size_t)head.content_length : 0);
	if (s->c.len < size)
		return;
	if (write(client->c.fd, s->c.buf, size) != (ssize_t)size) {
		drop_both(s);
		return;
	}
	s->c.len = 0;
	client->other = s->other = NULL;
	s->next_idle = idle;
	idle = s;
}

static void on_accept(void)
{
	int fd;

	while ((fd = accept4(listener_side.c.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct side *s = calloc(1, sizeof(*s));

		s->c.fd = fd;
		watch(s, EPOLL_CTL_ADD, EPOLLIN);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event ev;

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	listener_side.c.fd = app_listen();
	app_nonblock(listener_side.c.fd);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	watch(&listener_side, EPOLL_CTL_ADD, EPOLLIN);
	while (!app_stopped) {
		/* One event a turn: handling one may free the other side of a second. */
		if (epoll_wait(epfd, &ev, 1, -1) != 1)
			continue;
		if (ev.data.ptr == &listener_side)
			on_accept();
		else if (((struct side *)ev.data.ptr)->is_upstream)
			on_upstream(ev.data.ptr);
		else
			on_client(ev.data.ptr);
	}
	while (idle)
		drop(idle);
	close(listener_side.c.fd);
	close(epfd);
	return app_finish(0);
}
