/* Each way that hiredis has of asking: one by one, in pipelines, over a Unix socket, again after it was cut off, with time limits,
 * without waiting, and with callbacks.
 *
 *   hiredis PORT SOCKET */
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(redisReply *r)
{
	if (!r)
		exit(3);
	if (r->type == REDIS_REPLY_INTEGER)
		printf("%lld\n", r->integer);
	else if (r->type == REDIS_REPLY_ARRAY)
		printf("%zu elements\n", r->elements);
	else
		printf("%.*s\n", r->len < 40 ? (int)r->len : 40, r->str ? r->str : "nothing");
	freeReplyObject(r);
}

static redisContext *well(redisContext *c)
{
	if (!c || c->err)
		exit(2);
	return c;
}

static void one_by_one(redisContext *c)
{
	static char big[1000000];

	memset(big, 'b', sizeof(big));
	say(redisCommand(c, "SET %s %b", "hunter2", "hunter2\r\n\0", (size_t)10));
	say(redisCommand(c, "GET hunter2"));
	say(redisCommandArgv(c, 3, (const char *[]){ "LPUSH", "list", "hunter2" }, NULL));
	say(redisCommand(c, "LRANGE list 0 -1"));
	say(redisCommand(c, "INCR list"));
	say(redisCommand(c, "SET big %b", big, sizeof(big)));
	say(redisCommand(c, "GET big"));
	say(redisCommand(c, "MULTI"));
	say(redisCommand(c, "INCR n"));
	say(redisCommand(c, "EXEC"));
	say(redisCommand(c, "BLPOP empty 0.2"));
}

static void pipeline(redisContext *c, int count)
{
	void *r;

	for (int i = 0; i < count; i++)
		redisAppendCommand(c, "INCR p");
	for (int i = 0; i < count; i++) {
		if (redisGetReply(c, &r))
			exit(4);
		if (i + 1 == count)
			say(r);
		else
			freeReplyObject(r);
	}
}

/* The program's own loop writes and reads. */
static void without_waiting(int port)
{
	redisContext *c = well(redisConnectNonBlock("127.0.0.1", port));
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };
	void *r = NULL;
	int done = 0;

	redisAppendCommand(c, "INCR w");
	poll(&p, 1, -1);
	while (!done)
		if (redisBufferWrite(c, &done))
			exit(5);
	p.events = POLLIN;
	while (!r) {
		poll(&p, 1, -1);
		if (redisBufferRead(c) || redisGetReplyFromReader(c, &r))
			exit(6);
	}
	say(r);
	redisFree(c);
}

/* -- with callbacks: the smallest loop there is -- */

static short wanted;
static int called;

static void want_read(void *unused) { wanted |= POLLIN; }
static void no_read(void *unused) { wanted &= ~POLLIN; }
static void want_write(void *unused) { wanted |= POLLOUT; }
static void no_write(void *unused) { wanted &= ~POLLOUT; }
static void over(void *unused) { wanted = 0; }

static void on_incr(redisAsyncContext *c, void *r, void *last)
{
	called++;
	if (last)
		redisAsyncDisconnect(c);
}

static void on_news(redisAsyncContext *c, void *reply, void *port)
{
	redisReply *r = reply;

	if (!r)
		return;
	printf("%s\n", r->element[0]->str);
	if (!strcmp(r->element[0]->str, "message")) {
		redisAsyncFree(c);
		return;
	}
	redisContext *other = well(redisConnect("127.0.0.1", *(int *)port));

	say(redisCommand(other, "PUBLISH news hunter2"));
	redisFree(other);
}

static void loop(redisAsyncContext *c)
{
	int fd = c->c.fd;

	while (wanted) {
		struct pollfd p = { .fd = fd, .events = wanted };

		poll(&p, 1, -1);
		if (p.revents & POLLOUT)
			redisAsyncHandleWrite(c);
		if (wanted & POLLIN && p.revents & POLLIN)
			redisAsyncHandleRead(c);
	}
}

static redisAsyncContext *begin(int port)
{
	redisAsyncContext *c = redisAsyncConnect("127.0.0.1", port);

	c->ev.addRead = want_read;
	c->ev.delRead = no_read;
	c->ev.addWrite = want_write;
	c->ev.delWrite = no_write;
	c->ev.cleanup = over;
	wanted = POLLOUT;
	return c;
}

static void with_callbacks(int port)
{
	redisAsyncContext *c = begin(port);

	for (int i = 0; i < 500; i++)
		redisAsyncCommand(c, on_incr, i == 499 ? c : NULL, "INCR %s", "c");
	loop(c);
	printf("%d called\n", called);
	c = begin(port);
	redisAsyncCommand(c, on_news, &port, "SUBSCRIBE news");
	loop(c);
}

int main(int argc, char **argv)
{
	int port = atoi(argv[1]);
	redisContext *c = well(redisConnect("127.0.0.1", port));

	one_by_one(c);
	pipeline(c, 2000);
	say(redisCommand(c, "QUIT"));
	if (redisReconnect(c))
		return 1;
	say(redisCommand(c, "INCR n"));
	redisFree(c);
	c = well(redisConnectUnix(argv[2]));
	say(redisCommand(c, "SELECT 5"));
	pipeline(c, 100);
	redisFree(c);
	c = well(redisConnectWithTimeout("127.0.0.1", port, (struct timeval){ .tv_sec = 10 }));
	redisSetTimeout(c, (struct timeval){ .tv_sec = 10 });
	say(redisCommand(c, "GET nothing"));
	redisFree(c);
	without_waiting(port);
	with_callbacks(port);
	return 0;
}
