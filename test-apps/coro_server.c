/* coro_server UPSTREAM: one thread, a coroutine on its own 16 KiB stack for each connection. Code
 * reads as if it blocked; every wait switches to another coroutine. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "app.h"

#define STACK 16384

struct coro {
	ucontext_t context;
	bool done;
	struct app_conn client, call;
	struct app_head request, response;
	char text[1024], body[1024];
	_Alignas(16) char stack[STACK];
};

static ucontext_t loop;
static struct coro *current;
static int upstream, epfd;

static void wait_for(int fd, unsigned events)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.ptr = current };

	if (epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev))
		epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
	swapcontext(&current->context, &loop);
}

static int read_head(struct app_conn *c, struct app_head *head)
{
	for (;;) {
		ssize_t n = app_parse(c->buf, c->len, head);

		if (n)
			return n < 0 ? -1 : 1;
		n = read(c->fd, c->buf + c->len, APP_BUF - c->len);
		if (n < 0 && errno == EAGAIN) {
			wait_for(c->fd, EPOLLIN);
			continue;
		}
		if (n <= 0)
			return -1;
		c->len += (size_t)n;
		c->buf[c->len] = 0;
	}
}

static int write_text(int fd, const char *text, int len)
{
	for (;;) {
		ssize_t n = write(fd, text, (size_t)len);

		if (n == len)
			return 0;
		if (n >= 0 || errno != EAGAIN)
			return -1;
		wait_for(fd, EPOLLOUT);
	}
}

static int call_upstream(struct coro *co)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)upstream) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ok = -1;

	co->call.fd = fd;
	co->call.len = 0;
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) && errno == EINPROGRESS)
		wait_for(fd, EPOLLOUT);
	if (write_text(fd, co->text, app_upstream_text(&co->request, co->text, sizeof(co->text))) ==
		    0 &&
	    read_head(&co->call, &co->response) == 1)
		ok = 0;
	while (ok == 0 && co->call.len < co->response.bytes + (size_t)co->response.content_length) {
		ssize_t n = read(fd, co->call.buf + co->call.len, APP_BUF - co->call.len);

		if (n > 0)
			co->call.len += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			wait_for(fd, EPOLLIN);
		else
			ok = -1;
	}
	co->call.buf[co->call.len] = 0;
	snprintf(co->body, sizeof(co->body), "%.1000s", co->call.buf + co->response.bytes);
	close(fd);
	return ok;
}

static void serve(void)
{
	struct coro *co = current;

	while (read_head(&co->client, &co->request) == 1) {
		int ok = call_upstream(co);
		int n = app_reply_text(co->text, sizeof(co->text), ok ? 502 : 200,
				       ok ? "no upstream" : co->body, false);

		co->client.len = 0;
		if (write_text(co->client.fd, co->text, n))
			break;
	}
	close(co->client.fd);
	co->done = true;
}

static void resume(struct coro *co)
{
	current = co;
	swapcontext(&loop, &co->context);
	if (co->done)
		free(co);
}

static void spawn(int fd)
{
	struct coro *co = calloc(1, sizeof(*co));

	co->client.fd = fd;
	getcontext(&co->context);
	co->context.uc_stack.ss_sp = co->stack;
	co->context.uc_stack.ss_size = STACK;
	co->context.uc_link = &loop;
	makecontext(&co->context, serve, 0);
	resume(co);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	int listener;

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	listener = app_listen();
	app_nonblock(listener);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &(struct epoll_event){ .events = EPOLLIN });
	while (!app_stopped) {
		int n = epoll_wait(epfd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd;

			if (events[i].data.ptr)
				resume(events[i].data.ptr);
			else
				while ((fd = accept4(listener, NULL, NULL,
						     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
					spawn(fd);
		}
	}
	close(listener);
	close(epfd);
	return app_finish(0);
}
