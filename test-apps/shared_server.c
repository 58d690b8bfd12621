/* shared_server UPSTREAM [WORKERS [dup]]: workers that wait on one epoll descriptor, each event for one of them (EPOLLONESHOT). What
 * an event brings becomes a task in one of the workers' queues in turn; a worker runs its own tasks first, then steals another's,
 * and only then waits. So a request is read by one thread, its upstream is asked by a second, the answer is read by a third
 * and passed on by a fourth, without a system call in between. dup: the descriptor was made before anything else, and what is
 * watched is added to a second number of it (mio, Rust's, does so). */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

#define WORKERS_MAX 32

enum kind { LISTENER, CLIENT, CALL };

struct side {
	enum kind kind;
	struct side *other, *next;
	bool sent;
	struct app_conn c;
	struct app_head request;
	char body[1024];
};

struct queue {
	pthread_mutex_t lock;
	struct side *first, **end;
};

static struct side listener_side = { .kind = LISTENER };
static struct queue queues[WORKERS_MAX];
static int upstream, epfd, watched, workers = 4;
static atomic_uint turn_of;

static void watch(struct side *s, int op, unsigned events)
{
	struct epoll_event ev = { .events = events | EPOLLONESHOT, .data.ptr = s };

	epoll_ctl(watched, op, s->c.fd, &ev);
}

static void task(struct side *s)
{
	struct queue *q = &queues[atomic_fetch_add(&turn_of, 1) % (unsigned)workers];

	s->next = NULL;
	pthread_mutex_lock(&q->lock);
	*q->end = s;
	q->end = &s->next;
	pthread_mutex_unlock(&q->lock);
}

static struct side *take(struct queue *q)
{
	struct side *s;

	pthread_mutex_lock(&q->lock);
	s = q->first;
	if (s)
		q->first = s->next;
	if (!q->first)
		q->end = &q->first;
	pthread_mutex_unlock(&q->lock);
	return s;
}

static void drop(struct side *s)
{
	close(s->c.fd);
	free(s);
}

static void on_accept(void)
{
	int fd;

	while ((fd = accept4(listener_side.c.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct side *s = calloc(1, sizeof(*s));

		s->kind = CLIENT;
		s->c.fd = fd;
		watch(s, EPOLL_CTL_ADD, EPOLLIN);
	}
	watch(&listener_side, EPOLL_CTL_MOD, EPOLLIN);
}

static void on_readable(struct side *s)
{
	struct app_head *head = &s->request;
	ssize_t n = read(s->c.fd, s->c.buf + s->c.len, APP_BUF - s->c.len);

	if (n <= 0 && s->kind == CLIENT) {
		drop(s);
		return;
	}
	s->c.len += n > 0 ? (size_t)n : 0;
	s->c.buf[s->c.len] = 0;
	if (n > 0 && (app_parse(s->c.buf, s->c.len, head) <= 0 ||
		      (s->kind == CALL && s->c.len < head->bytes + (size_t)head->content_length))) {
		watch(s, EPOLL_CTL_MOD, EPOLLIN);
		return;
	}
	if (s->kind == CALL)
		snprintf(s->body, sizeof(s->body), "%.1000s", n > 0 ? s->c.buf + head->bytes : "");
	s->c.len = 0;
	task(s);
}

static void ask(struct side *client)
{
	struct side *call = calloc(1, sizeof(*call));

	call->kind = CALL;
	call->other = client;
	call->c.fd = app_connect_begin(upstream);
	watch(call, EPOLL_CTL_ADD, EPOLLOUT);
}

static void send_request(struct side *call)
{
	char text[512];
	ssize_t n = app_upstream_text(&call->other->request, text, sizeof(text));

	if (write(call->c.fd, text, (size_t)n) != n)
		perror("write");
	call->sent = true;
	watch(call, EPOLL_CTL_MOD, EPOLLIN);
}

static void answer(struct side *call)
{
	struct side *client = call->other;

	if (app_reply(client->c.fd, 200, call->body, false))
		drop(client);
	else
		watch(client, EPOLL_CTL_MOD, EPOLLIN);
	drop(call);
}

static void run(struct side *s)
{
	if (s->kind == CLIENT)
		ask(s);
	else if (!s->sent)
		send_request(s);
	else
		answer(s);
}

static void on_event(struct side *s)
{
	if (s->kind == LISTENER)
		on_accept();
	else if (s->kind == CALL && !s->sent)
		task(s);
	else
		on_readable(s);
}

/* Its own tasks first, then any other's. */
static bool run_one(unsigned self)
{
	for (unsigned i = 0; i < (unsigned)workers; i++) {
		struct side *s = take(&queues[(self + i) % (unsigned)workers]);

		if (s) {
			run(s);
			return true;
		}
	}
	return false;
}

static void *work(void *arg)
{
	unsigned self = (unsigned)(size_t)arg;
	struct epoll_event events[4];

	while (!app_stopped) {
		int n = epoll_wait(epfd, events, 4, 10);

		for (int i = 0; i < n; i++)
			on_event(events[i].data.ptr);
		while (run_one(self))
			;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[WORKERS_MAX];

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	if (argc > 2)
		workers = atoi(argv[2]);
	if (workers < 1 || workers > WORKERS_MAX)
		return 2;
	epfd = epoll_create1(EPOLL_CLOEXEC);
	watched = argc > 3 ? fcntl(epfd, F_DUPFD_CLOEXEC, 3) : epfd;
	listener_side.c.fd = app_listen();
	app_nonblock(listener_side.c.fd);
	watch(&listener_side, EPOLL_CTL_ADD, EPOLLIN);
	for (int i = 0; i < workers; i++) {
		pthread_mutex_init(&queues[i].lock, NULL);
		queues[i].end = &queues[i].first;
	}
	for (int i = 1; i < workers; i++)
		pthread_create(&thread[i], NULL, work, (void *)(size_t)i);
	work(NULL);
	for (int i = 1; i < workers; i++)
		pthread_join(thread[i], NULL);
	close(listener_side.c.fd);
	if (watched != epfd)
		close(watched);
	close(epfd);
	return app_finish(0);
}
