/* epoll_defer UPSTREAM [DELAY_MS]: one thread that hides cause from effect as well as it can. It
 * reads every ready request before it handles any, handles them later from its own timer queue in
 * another order, calls upstream without blocking, and puts the answers through the same queue. Only
 * a payload tells what belongs to what. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app.h"

enum { ASK, ANSWER };

enum kind { CLIENT, CALL };

/* One client connection and the request on it. */
struct client {
	enum kind kind;
	struct app_conn c;
	struct app_head request;
	bool busy, gone;
	char body[1024];
	/* its place in the timer queue */
	struct client *next;
	long due_ms;
	int then;
};

struct call {
	enum kind kind;
	struct app_conn c;
	bool sent;
	struct client *client;
};

static struct client *queue;
static int upstream, epfd, listener;
static long delay_ms = 5;
static unsigned seed = 12345;

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void later(struct client *c, int then)
{
	struct client **p = &queue;

	seed = seed * 1103515245 + 12345;
	c->due_ms = now_ms() + (delay_ms ? (seed >> 16) % (unsigned long)delay_ms : 0);
	c->then = then;
	/* New ones go in front of those that are due at the same time. */
	while (*p && (*p)->due_ms < c->due_ms)
		p = &(*p)->next;
	c->next = *p;
	*p = c;
}

static void client_free(struct client *c)
{
	close(c->c.fd);
	free(c);
}

static void ask(struct client *client)
{
	struct call *call = calloc(1, sizeof(*call));
	struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = call };

	call->kind = CALL;
	call->client = client;
	call->c.fd = app_connect_begin(upstream);
	epoll_ctl(epfd, EPOLL_CTL_ADD, call->c.fd, &ev);
}

static void answer(struct client *client)
{
	client->busy = false;
	if (client->gone || app_reply(client->c.fd, 200, client->body, false))
		client_free(client);
}

static void on_call(struct call *call)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = call };
	struct app_head head;
	char text[512];
	ssize_t n;

	if (!call->sent) {
		n = app_upstream_text(&call->client->request, text, sizeof(text));
		if (write(call->c.fd, text, (size_t)n) == n) {
			call->sent = true;
			epoll_ctl(epfd, EPOLL_CTL_MOD, call->c.fd, &ev);
			return;
		}
	} else {
		n = read(call->c.fd, call->c.buf + call->c.len, APP_BUF - call->c.len);
		if (n > 0) {
			call->c.len += (size_t)n;
			call->c.buf[call->c.len] = 0;
			if (app_parse(call->c.buf, call->c.len, &head) <= 0 ||
			    call->c.len < head.bytes + (size_t)head.content_length)
				return;
			snprintf(call->client->body, sizeof(call->client->body), "%.1000s",
				 call->c.buf + head.bytes);
		}
	}
	later(call->client, ANSWER);
	close(call->c.fd);
	free(call);
}

static void on_client(struct client *client)
{
	ssize_t n = read(client->c.fd, client->c.buf + client->c.len, APP_BUF - client->c.len);

	if (n <= 0) {
		epoll_ctl(epfd, EPOLL_CTL_DEL, client->c.fd, NULL);
		client->gone = true;
		if (!client->busy)
			client_free(client);
		return;
	}
	client->c.len += (size_t)n;
	if (app_parse(client->c.buf, client->c.len, &client->request) <= 0)
		return;
	client->c.len = 0;
	client->busy = true;
	later(client, ASK);
}

static void run_due(void)
{
	long now = now_ms();

	while (queue && queue->due_ms <= now) {
		struct client *c = queue;

		queue = c->next;
		if (c->then == ANSWER)
			answer(c);
		else
			ask(c);
	}
}

static void on_accept(void)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct client *client = calloc(1, sizeof(*client));

		client->c.fd = fd;
		epoll_ctl(epfd, EPOLL_CTL_ADD, fd,
			  &(struct epoll_event){ .events = EPOLLIN, .data.ptr = client });
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	if (argc > 2)
		delay_ms = atoi(argv[2]);
	listener = app_listen();
	app_nonblock(listener);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener,
		  &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &listener });
	while (!app_stopped) {
		long wait = queue ? queue->due_ms - now_ms() : -1;
		int n = epoll_wait(epfd, events, 256, queue && wait < 0 ? 0 : (int)wait);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &listener)
				on_accept();
			else if (*(enum kind *)events[i].data.ptr == CALL)
				on_call(events[i].data.ptr);
			else
				on_client(events[i].data.ptr);
		}
		run_due();
	}
	close(listener);
	close(epfd);
	return app_finish(0);
}
