/* pool_server [UPSTREAM] [WORKERS]: the main thread only polls; whichever worker is free reads the
 * request, calls upstream and answers. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

#define QUEUE 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;
static int queue[QUEUE], head, tail, upstream, epfd;

static void arm(int op, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT, .data.fd = fd };

	epoll_ctl(epfd, op, fd, &ev);
}

/* returns true when the connection stays open */
static bool one_request(int fd)
{
	struct app_conn *c = malloc(sizeof(*c));
	struct app_head request;
	char body[1024];
	bool stays = false;

	c->fd = fd;
	c->len = 0;
	if (app_read_head(c, &request) == 1 && app_read_body(c, &request, NULL, 0) >= 0) {
		int status = app_upstream(upstream, &request, body, sizeof(body));

		stays = app_reply(fd, status, body, request.close) == 0 && !request.close;
	}
	free(c);
	return stays;
}

static void *work(void *arg)
{
	(void)arg;
	for (;;) {
		int fd;

		pthread_mutex_lock(&lock);
		while (head == tail)
			pthread_cond_wait(&ready, &lock);
		fd = queue[head++ % QUEUE];
		pthread_mutex_unlock(&lock);
		if (one_request(fd))
			arm(EPOLL_CTL_MOD, fd);
		else
			close(fd);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	int workers = argc > 2 ? atoi(argv[2]) : 8, listener;
	pthread_t thread;

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	listener = app_listen();
	app_nonblock(listener);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener,
		  &(struct epoll_event){ .events = EPOLLIN, .data.fd = listener });
	for (int i = 0; i < workers; i++)
		pthread_create(&thread, NULL, work, NULL);
	while (!app_stopped) {
		int n = epoll_wait(epfd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == listener) {
				while ((fd = accept(listener, NULL, NULL)) >= 0)
					arm(EPOLL_CTL_ADD, fd);
				continue;
			}
			pthread_mutex_lock(&lock);
			queue[tail++ % QUEUE] = fd;
			pthread_cond_signal(&ready);
			pthread_mutex_unlock(&lock);
		}
	}
	close(listener);
	close(epfd);
	return app_finish(0);
}
