/* et_client PORT BYTES REQUESTS: an edge-triggered client. The send buffer is as small as it gets
 * and the server reads slowly, so the POST goes out in short writes; the next one waits for the
 * edge that only a real EAGAIN brings. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

static int epfd;

static int wait_edge(unsigned want)
{
	struct epoll_event ev;

	do
		if (epoll_wait(epfd, &ev, 1, 20000) != 1)
			return -1;
	while (!(ev.events & want));
	return 0;
}

static int send_edge(int fd, const char *p, size_t len, int *short_writes)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			if (wait_edge(EPOLLOUT))
				return -1;
			continue;
		}
		if (n <= 0 || (size_t)n > len)
			return -1;
		*short_writes += (size_t)n < len;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_edge(struct app_conn *c, struct app_head *head)
{
	for (;;) {
		ssize_t n = app_parse(c->buf, c->len, head);

		if (n > 0 && c->len >= head->bytes + (size_t)head->content_length)
			return 0;
		n = recv(c->fd, c->buf + c->len, APP_BUF - c->len, 0);
		if (n < 0 && errno == EAGAIN) {
			if (wait_edge(EPOLLIN))
				return -1;
			continue;
		}
		if (n <= 0)
			return -1;
		c->len += (size_t)n;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	struct app_conn *c = calloc(1, sizeof(*c));
	struct app_head head;
	int small = 1, short_writes = 0, bad = 0;
	size_t size, n;
	char *text;

	app_start();
	if (argc < 4)
		return 2;
	size = (size_t)atol(argv[2]);
	text = malloc(size + 256);
	addr.sin_port = htons((uint16_t)atoi(argv[1]));
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev);
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) && errno == EINPROGRESS &&
	    wait_edge(EPOLLOUT))
		return 3;
	for (int i = 0; i < atoi(argv[3]) && !bad; i++) {
		n = (size_t)snprintf(
			text, 256,
			"POST /slow/%d HTTP/1.1\r\nHost: leaf\r\nContent-Length: %zu\r\n\r\n", i,
			size);
		memset(text + n, 'b', size);
		c->len = 0;
		bad = send_edge(c->fd, text, n + size, &short_writes) || read_edge(c, &head) ||
		      head.status != 200;
		printf("request %d: %s\n", i, bad ? "failed" : "200");
	}
	printf("short writes: %s\n", short_writes ? "yes" : "no");
	close(c->fd);
	close(epfd);
	free(c);
	free(text);
	return app_finish(bad);
}
