/* offload_server UPSTREAM [WORKERS]: one loop thread reads requests and writes answers; the calls
 * upstream are made by other threads, which wake the loop through an eventfd. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

struct job {
	struct job *next;
	struct app_conn conn;
	struct app_head request;
	int status;
	char body[1024];
};

struct list {
	struct job *first, **last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;
static struct list todo = { NULL, &todo.first }, done = { NULL, &done.first };
static int upstream, wake;

static void put(struct list *list, struct job *job)
{
	job->next = NULL;
	*list->last = job;
	list->last = &job->next;
}

static struct job *get(struct list *list)
{
	struct job *job = list->first;

	if (job && !(list->first = job->next))
		list->last = &list->first;
	return job;
}

static void *work(void *arg)
{
	(void)arg;
	for (;;) {
		struct job *job;
		uint64_t one = 1;

		pthread_mutex_lock(&lock);
		while (!(job = get(&todo)))
			pthread_cond_wait(&ready, &lock);
		pthread_mutex_unlock(&lock);
		job->status = app_upstream(upstream, &job->request, job->body, sizeof(job->body));
		pthread_mutex_lock(&lock);
		put(&done, job);
		pthread_mutex_unlock(&lock);
		if (write(wake, &one, sizeof(one)) < 0)
			abort();
	}
	return NULL;
}

static void on_readable(struct job *job)
{
	struct app_conn *c = &job->conn;
	ssize_t n = read(c->fd, c->buf + c->len, APP_BUF - c->len);

	if (n <= 0) {
		close(c->fd);
		free(job);
		return;
	}
	c->len += (size_t)n;
	if (app_parse(c->buf, c->len, &job->request) <= 0)
		return;
	c->len = 0;
	pthread_mutex_lock(&lock);
	put(&todo, job);
	pthread_cond_signal(&ready);
	pthread_mutex_unlock(&lock);
}

static void on_wake(void)
{
	uint64_t count;
	struct job *job;

	if (read(wake, &count, sizeof(count)) < 0)
		return;
	for (;;) {
		pthread_mutex_lock(&lock);
		job = get(&done);
		pthread_mutex_unlock(&lock);
		if (!job)
			return;
		app_reply(job->conn.fd, job->status < 0 ? 502 : 200, job->body, false);
	}
}

static void on_accept(int epfd, int listener)
{
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		struct job *job = calloc(1, sizeof(*job));

		job->conn.fd = fd;
		epoll_ctl(epfd, EPOLL_CTL_ADD, fd,
			  &(struct epoll_event){ .events = EPOLLIN, .data.ptr = job });
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	int workers = argc > 2 ? atoi(argv[2]) : 4, listener, epfd;
	pthread_t thread;

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	listener = app_listen();
	app_nonblock(listener);
	wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener,
		  &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &listener });
	epoll_ctl(epfd, EPOLL_CTL_ADD, wake,
		  &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &wake });
	for (int i = 0; i < workers; i++)
		pthread_create(&thread, NULL, work, NULL);
	while (!app_stopped) {
		int n = epoll_wait(epfd, events, 64, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &listener)
				on_accept(epfd, listener);
			else if (events[i].data.ptr == &wake)
				on_wake();
			else
				on_readable(events[i].data.ptr);
		}
	}
	close(listener);
	close(epfd);
	close(wake);
	return app_finish(0);
}
