/* Many threads in conn/ at once, without sockets: a sanitizer's runtime cannot be preloaded, so the
 * calls that hooks make are made here, on made-up descriptor numbers. Servers own numbers of their
 * own; two threads at a time also use shared ones, as broken programs do; another one plays the
 * side thread. What must hold: nothing races, nothing is lost, nothing is reported that did not
 * happen.
 *
 * Usage: conn [seconds [threads]] */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conn/conn.h"
#include "conn/fd_table.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/id.h"
#include "core/thread.h"
#include "core/tree.h"

#define THREADS_MAX  32
#define LISTENER     500
#define EPOLL        501
#define OWN_FIRST    1000 /* each thread has this many numbers from here on */
#define OWN_COUNT    64
#define SHARED_FIRST 700
#define SHARED_COUNT 16
#define PING         "*1\r\n$4\r\nPING\r\n"
#define ECHO         "*2\r\n$4\r\nECHO\r\n$1\r\na\r\n" /* on shared numbers */
#define RESPONSE     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static _Atomic bool stop, side_stop;
static _Atomic uint64_t served, called, taken, taken_server, taken_client, bad, shared_calls;

struct worker {
	pthread_t thread;
	unsigned number;
	uint64_t seed;
};

static uint32_t roll(struct worker *w, uint32_t sides)
{
	w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(w->seed >> 33) % sides;
}

/* -- what the host does -- */

static void receive(int fd, const char *bytes)
{
	oa_conn_on_received(fd, bytes, strlen(bytes), (ssize_t)strlen(bytes), 0, 0);
}

static void send_watched(int fd, const struct iovec *iov, ssize_t took)
{
	struct oa_send s;
	ssize_t n = took;

	oa_conn_before_send(fd, iov, 1, 0, &s);
	if (!s.watched)
		return;
	if (s.rewrite) {
		n = 0;
		for (int i = 0; i < s.iovcnt; i++)
			n += (ssize_t)s.iov[i].iov_len;
		took = (ssize_t)iov->iov_len;
	}
	if (oa_conn_after_send(&s, n, EAGAIN) != took)
		atomic_fetch_add(&bad, 1);
}

/* As the hooks do. took: by the kernel, of those that nothing is added to; -1: it has no room */
static void send_some(int fd, const char *bytes, ssize_t took)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, strlen(bytes) };
	struct oa_plain p;
	enum oa_plain_kind kind;
	bool sent;

	if (!oa_fd_tracked(fd))
		return;
	kind = oa_conn_before_plain_send(fd, &p);
	if (kind == OA_PLAIN_COMMAND && !oa_conn_before_command(fd, &iov, &p))
		kind = OA_PLAIN_NONE;
	if (kind == OA_PLAIN_NONE) {
		send_watched(fd, &iov, took);
		return;
	}
	sent = kind == OA_PLAIN_COMMAND && oa_conn_command_sent(&p, &iov, took);
	oa_tls.send_sp = 0;
	if (kind == OA_PLAIN_ANSWER)
		oa_conn_after_plain_send(fd, &p, &iov, 1, took, EAGAIN);
	else if (!sent)
		oa_conn_after_command(fd, &p, &iov, took, EAGAIN);
}

static void send_all(int fd, const char *bytes)
{
	send_some(fd, bytes, (ssize_t)strlen(bytes));
}

static void accept_one(int fd, bool nonblock)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)(20000 + fd)) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	oa_conn_on_accepted(LISTENER, fd, (struct sockaddr *)&a, sizeof(a), nonblock);
}

static void connect_one(int fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(8080) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	oa_conn_on_socket(fd, AF_INET, SOCK_STREAM);
	oa_conn_on_connect(fd, (struct sockaddr *)&a, sizeof(a), 0, 0, oa_now_ns());
}

/* A call made for the request that is being served. */
static void call_upstream(struct worker *w, int fd)
{
	connect_one(fd);
	send_all(fd, roll(w, 2) ? "GET /up HTTP/1.1\r\nHost: up\r\n\r\n"
				: "POST /up HTTP/1.1\r\nHost: up\r\nX-Request-Id: "
				  "same\r\nContent-Length: 2\r\n\r\nhi");
	receive(fd, "HTTP/1.1 200 OK\r\nContent-Le");
	receive(fd, "ngth: 5\r\n\r\nhello");
	atomic_fetch_add(&called, 1);
	oa_conn_before_close(fd);
}

/* The same of a store. Some sends find no room, or too little. */
static void ask_store(struct worker *w, int fd)
{
	connect_one(fd);
	for (unsigned n = 1 + roll(w, 4); n; n--) {
		ssize_t took = (ssize_t)roll(w, sizeof(PING)) - 1;

		send_some(fd, PING, took ? took : -1);
		if (took > 0)
			send_all(fd, &PING[took]);
		else
			send_all(fd, PING);
		receive(fd, "+PONG\r\n");
		atomic_fetch_add(&called, 1);
	}
	oa_conn_before_close(fd);
}

static void serve_requests(struct worker *w, int fd, int upstream)
{
	for (unsigned n = 1 + roll(w, 4); n; n--) {
		receive(fd,
			roll(w, 2)
				? "GET /in HTTP/1.1\r\nHost: h\r\nX-Request-Id: same\r\nbaggage: "
				  "a=1\r\ntracestate: x=y\r\n"
				  "traceparent: "
				  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"
				: "GET "
				  "/in?with=a&rather=long&query="
				  "0123456789012345678901234567890123456789"
				  "0123456789012345678901234567890123456789012345678901234567890123"
				  "4567890123456789"
				  "0123456789012345678901234567890123456789012345678901234567890123"
				  "4567890123456789 "
				  "HTTP/1.1\r\nHost: h\r\n\r\n");
		if (roll(w, 2))
			call_upstream(w, upstream);
		if (roll(w, 2))
			ask_store(w, upstream);
		send_all(fd, RESPONSE);
		atomic_fetch_add(&served, 1);
	}
}

static void use_shared(struct worker *w)
{
	int fd = SHARED_FIRST + (int)roll(w, SHARED_COUNT);

	atomic_fetch_add(&shared_calls, 1);
	switch (roll(w, 10)) {
	case 0:
		accept_one(fd, roll(w, 2));
		break;
	case 1:
		connect_one(fd);
		break;
	case 2:
		oa_conn_before_close(fd);
		break;
	case 3:
		oa_conn_on_dup(fd, SHARED_FIRST + (int)roll(w, SHARED_COUNT));
		break;
	case 4:
		oa_conn_on_nonblock(fd, roll(w, 2));
		break;
	case 5:
		oa_conn_on_shutdown(fd, SHUT_RDWR);
		break;
	case 6:
		receive(fd, "GET /shared HTTP/1.1\r\nHost: h\r\n\r\n");
		break;
	case 7:
		send_all(fd, ECHO);
		break;
	case 8:
		receive(fd, "$1\r\na\r\n");
		break;
	default:
		send_all(fd, RESPONSE);
	}
}

/* The rings hold what is made in ten milliseconds; a host does not write as fast as this. */
static void wait_for_room(void)
{
	for (unsigned i = 0; oa_self && i < oa_self->shards; i++)
		while (oa_ring_used(oa_proc_ring(oa_self, i)) > OA_RING_SLOTS / 2)
			sched_yield();
}

static void *work(void *arg)
{
	struct worker *w = arg;
	int own = OWN_FIRST + (int)w->number * OWN_COUNT;

	while (!atomic_load(&stop)) {
		int fd = own + (int)roll(w, OWN_COUNT / 2), upstream = fd + OWN_COUNT / 2;

		wait_for_room();
		if (roll(w, 4) == 0) {
			oa_conn_before_wait(OA_WAIT_LOOP, EPOLL, 10, false);
			oa_conn_after_wait(OA_WAIT_LOOP, EPOLL, 10, 1);
		}
		accept_one(fd, roll(w, 2));
		serve_requests(w, fd, upstream);
		oa_conn_before_close(fd);
		use_shared(w);
		if (roll(w, 64) == 0)
			oa_conn_on_lookup(NULL, 1);
		oa_conn_on_wake_fd(upstream);
	}
	return NULL;
}

/* -- threads come and go, too -- */

static void *short_life(void *arg)
{
	struct worker w = { .number = THREADS_MAX, .seed = (uintptr_t)arg };
	int fd = OWN_FIRST + THREADS_MAX * OWN_COUNT;

	accept_one(fd, false);
	serve_requests(&w, fd, fd + 1);
	oa_conn_before_close(fd);
	return NULL;
}

static void *spawn(void *arg)
{
	uintptr_t n = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		pthread_t t;

		wait_for_room();
		if (!pthread_create(&t, NULL, short_life, (void *)++n))
			pthread_join(t, NULL);
	}
	return NULL;
}

/* -- the side thread -- */

/* On shared numbers anything may have been said: an answer to HTTP is a command to Redis, too. */
static void look_at_command(const struct oa_span *s)
{
	struct oa_db_texts texts;
	struct oa_db db;

	if (!oa_span_db(s, &db, &texts))
		atomic_fetch_add(&bad, 1);
	else if (oa_bytes_eq(texts.operation, OA_LIT("PING")))
		atomic_fetch_add(s->error == OA_ERR_NONE && !(db.flags & OA_DB_FAILED) ? &taken_client : &bad, 1);
}

static void look_at(const struct oa_span *s)
{
	struct oa_bytes target = oa_span_str(s, OA_STR_TARGET);

	atomic_fetch_add(&taken, 1);
	if (s->what == OA_WHAT_DB) {
		look_at_command(s);
		return;
	}
	if (s->kind == OA_KIND_SERVER && target.len >= 3 && !memcmp(target.ptr, "/in", 3))
		atomic_fetch_add(&taken_server, 1);
	else if (s->kind == OA_KIND_CLIENT && oa_bytes_eq(target, OA_LIT("/up")))
		atomic_fetch_add(&taken_client, 1);
	else if (!oa_bytes_eq(target, OA_LIT("/shared")))
		atomic_fetch_add(&bad, 1);
	/* Numbers that one thread alone uses have whole exchanges. */
	if (!oa_bytes_eq(target, OA_LIT("/shared")) &&
	    (s->status != 200 || s->error != OA_ERR_NONE))
		atomic_fetch_add(&bad, 1);
}

static uint64_t drain(void)
{
	static struct oa_span_buf scratch;
	uint64_t n = 0;

	for (unsigned i = 0; oa_self && i < oa_self->shards; i++) {
		struct oa_ring *r = oa_proc_ring(oa_self, i);
		const struct oa_span *s;

		while (r && (s = oa_ring_peek(r, &scratch))) {
			look_at(s);
			oa_ring_pop(r);
			n++;
		}
	}
	return n;
}

static void *side(void *arg)
{
	(void)arg;
	oa_tls.guard_sp = OA_GUARD_SIDE_THREAD;
	while (!atomic_load(&side_stop)) {
		oa_conn_reap(false);
		oa_stat_settle();
		oa_stat_sum(OA_STAT_conns_server);
		drain();
	}
	return NULL;
}

static uint64_t ring_drops(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < oa_self->shards; i++)
		n += atomic_load(&oa_proc_ring(oa_self, i)->dropped);
	return n;
}

/* As many exchanges as a connection has at the most. */
#define AT_ONCE 4

/* Every exchange that was whole has been taken from a ring, or counted as dropped. A thread that lost its processor while
 * it looked at another one's connection costs that connection, which is counted. */
static int verdict(void)
{
	uint64_t lost = ring_drops() + oa_stat_sum(OA_STAT_drop_exchange_pool);
	uint64_t whole = served + called, seen = taken_server + taken_client;
	uint64_t contended = oa_stat_sum(OA_STAT_opaque_contention);

	printf("%lu served, %lu calls, %lu on shared numbers; %lu records, %lu dropped, %lu "
	       "connections contended\n",
	       (unsigned long)served, (unsigned long)called, (unsigned long)shared_calls,
	       (unsigned long)taken, (unsigned long)lost, (unsigned long)contended);
	if (bad) {
		printf("FAIL: %lu records of what did not happen\n", (unsigned long)bad);
		return 1;
	}
	if (seen + lost + AT_ONCE * contended < whole || seen > whole) {
		printf("FAIL: %lu whole exchanges, %lu records\n", (unsigned long)whole,
		       (unsigned long)seen);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	char *const none[] = { NULL };
	static struct worker workers[THREADS_MAX];
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 10;
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 6;
	pthread_t reaper, spawner;

	alarm(seconds * 4 + 60);
	oa_config_read(none);
	if (oa_tree_map() || oa_conn_init() || count > THREADS_MAX)
		return 2;
	oa_conn_on_epoll_fd(EPOLL);
	pthread_create(&reaper, NULL, side, NULL);
	pthread_create(&spawner, NULL, spawn, NULL);
	for (unsigned i = 0; i < count; i++) {
		workers[i] = (struct worker){ .number = i, .seed = i + 1 };
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	sleep(seconds);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < count; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_join(spawner, NULL);
	atomic_store(&side_stop, true);
	pthread_join(reaper, NULL);
	oa_conn_reap(true);
	drain();
	return verdict();
}
