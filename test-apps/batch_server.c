/* batch_server UPSTREAM: the loop of one thread of HAProxy. Another thread accepts connections that have something to say,
 * puts them into a queue and wakes the loop. A turn reads all there is to read, then lets connections that became ready send
 * what waits for them, and only then works on what was read: a new request opens a connection of its own, an answer is
 * passed on. A ready connection waits for the next answer that is to come, so that the two always meet in one turn. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

#define EVENTS   64
#define QUEUE    512
#define HOLD_MAX 5000 /* milliseconds */

enum kind { WAKE, CLIENT, CALL };

struct side {
	enum kind kind;
	struct side *other, *next;
	bool ready;
	struct app_conn c;
	struct app_head request;
	char body[1024];
};

static struct side wake_side = { .kind = WAKE };
static struct side *tasks, **tasks_end = &tasks;
static int upstream, epfd, listener, wake_fd, asked;

static int handed[QUEUE], handed_count;
static pthread_mutex_t handed_lock = PTHREAD_MUTEX_INITIALIZER;

static void *acceptor(void *arg)
{
	uint64_t one = 1;
	int fd;

	(void)arg;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		pthread_mutex_lock(&handed_lock);
		if (handed_count < QUEUE)
			handed[handed_count++] = fd;
		else
			close(fd);
		pthread_mutex_unlock(&handed_lock);
		if (write(wake_fd, &one, sizeof(one)) != sizeof(one))
			break;
	}
	return NULL;
}

static void watch(struct side *s, int op, unsigned events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	epoll_ctl(epfd, op, s->c.fd, &ev);
}

static void task(struct side *s)
{
	s->next = NULL;
	*tasks_end = s;
	tasks_end = &s->next;
}

static void drop(struct side *s)
{
	close(s->c.fd);
	free(s);
}

static void on_readable(struct side *s)
{
	struct app_head *head = &s->request;
	ssize_t n = read(s->c.fd, s->c.buf + s->c.len, APP_BUF - s->c.len);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		if (s->kind == CLIENT && !s->other)
			drop(s);
		else if (s->kind == CALL)
			task(s);
		else
			watch(s, EPOLL_CTL_MOD, 0);
		return;
	}
	s->c.len += (size_t)n;
	s->c.buf[s->c.len] = 0;
	if (app_parse(s->c.buf, s->c.len, head) <= 0 ||
	    (s->kind == CALL && s->c.len < head->bytes + (size_t)head->content_length))
		return;
	if (s->kind == CALL)
		snprintf(s->body, sizeof(s->body), "%.1000s", s->c.buf + head->bytes);
	s->c.len = 0;
	task(s);
}

static void on_wake(void)
{
	uint64_t count;

	if (read(wake_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&handed_lock);
	while (handed_count) {
		struct side *s = calloc(1, sizeof(*s));

		s->kind = CLIENT;
		s->c.fd = handed[--handed_count];
		watch(s, EPOLL_CTL_ADD, EPOLLIN);
		on_readable(s);
	}
	pthread_mutex_unlock(&handed_lock);
}

static void on_ready(struct side *call)
{
	char text[512];
	ssize_t n = app_upstream_text(&call->other->request, text, sizeof(text));

	if (write(call->c.fd, text, (size_t)n) != n)
		perror("write");
	asked++;
	call->ready = true;
	watch(call, EPOLL_CTL_MOD, EPOLLIN);
}

static void ask(struct side *client)
{
	struct side *call = calloc(1, sizeof(*call));

	call->kind = CALL;
	call->other = client;
	client->other = call;
	call->c.fd = app_connect_begin(upstream);
	watch(call, EPOLL_CTL_ADD, EPOLLOUT);
}

static void answer(struct side *call)
{
	struct side *client = call->other;

	asked--;
	client->other = NULL;
	if (app_reply(client->c.fd, 200, call->body, false))
		drop(client);
	drop(call);
}

static void run_tasks(void)
{
	while (tasks) {
		struct side *s = tasks;

		tasks = s->next;
		if (!tasks)
			tasks_end = &tasks;
		if (s->kind == CLIENT)
			ask(s);
		else
			answer(s);
	}
}

static bool is_answer(const struct side *s)
{
	return s->kind == CALL && s->ready;
}

static bool is_opened(const struct side *s)
{
	return s->kind == CALL && !s->ready;
}

/* Only ready connections, and an answer is to come? */
static bool incomplete(const struct epoll_event *events, int n)
{
	int opened = 0;

	for (int i = 0; i < n; i++)
		opened += is_opened(events[i].data.ptr);
	return asked && opened && opened == n;
}

static void turn(void)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epfd, events, EVENTS, -1);

	for (int held = 0; incomplete(events, n) && held < HOLD_MAX && !app_stopped; held++) {
		usleep(1000);
		n = epoll_wait(epfd, events, EVENTS, -1);
	}
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr == &wake_side)
			on_wake();
	for (int i = 0; i < n; i++) {
		struct side *s = events[i].data.ptr;

		if (s->kind == CLIENT || is_answer(s)) {
			on_readable(s);
			events[i].data.ptr = &wake_side;
		}
	}
	for (int i = 0; i < n; i++)
		if (is_opened(events[i].data.ptr))
			on_ready(events[i].data.ptr);
	run_tasks();
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int seconds = 5;

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	listener = app_listen();
	setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
	epfd = epoll_create1(EPOLL_CLOEXEC);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	wake_side.c.fd = wake_fd;
	watch(&wake_side, EPOLL_CTL_ADD, EPOLLIN);
	pthread_create(&thread, NULL, acceptor, NULL);
	while (!app_stopped)
		turn();
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
	close(epfd);
	close(wake_fd);
	return app_finish(0);
}
