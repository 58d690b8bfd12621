#pragma once
/* Drives conn/ without sockets: descriptor numbers are made up, bytes come from the test, finished records are read
 * from the rings. One rig per test process (Check forks one per test). */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conn/conn.h"
#include "conn/fd_table.h"
#include "conn/feed.h"
#include "core/config.h"
#include "core/id.h"
#include "core/thread.h"
#include "core/tree.h"

#define RIG_LISTENER 500

static inline struct sockaddr_in rig_addr(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static inline void rig_start(void)
{
	char *const none[] = { NULL };

	if (oa_tree) /* a second connection of the same test */
		return;
	oa_config_read(none);
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_conn_init(), 0);
}

static inline void rig_accept(int fd, bool nonblock)
{
	struct sockaddr_in a = rig_addr((uint16_t)(40000 + fd));

	oa_conn_on_accepted(RIG_LISTENER, fd, (struct sockaddr *)&a, sizeof(a), nonblock);
}

static inline void rig_receive(int fd, const char *text)
{
	oa_conn_on_received(fd, text, strlen(text), (ssize_t)strlen(text), 0, 0);
}

static inline void rig_connect(int fd)
{
	struct sockaddr_in a = rig_addr(8080);

	oa_conn_on_socket(fd, AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
	oa_conn_on_connect(fd, (struct sockaddr *)&a, sizeof(a), 0, 0, 1);
}

/* Every call is a watched one, as those in several buffers are. */
static bool rig_watched_only __attribute__((unused));

/* A sending call, as its hook makes it. */
struct rig_call {
	enum oa_plain_kind plain;
	struct oa_plain p;
	struct oa_send s;
	const struct iovec *iov, *use; /* the host's, the kernel's */
	int fd, iovcnt, count;
};

static inline void rig_send_begins(struct rig_call *k, int fd, const struct iovec *iov, int iovcnt, int flags)
{
	memset(k, 0xa5, sizeof(*k)); /* as the hooks have them on the stack */
	k->plain = OA_PLAIN_NONE;
	k->fd = fd;
	k->iov = k->use = iov;
	k->iovcnt = k->count = iovcnt;
	if (!rig_watched_only && !flags && !oa_tls.send_sp)
		k->plain = oa_conn_before_plain_send(fd, &k->p);
	if (k->plain == OA_PLAIN_COMMAND && !(iovcnt == 1 && iov->iov_len && oa_conn_before_command(fd, iov, &k->p)))
		k->plain = OA_PLAIN_NONE;
	if (k->plain)
		return;
	oa_conn_before_send(fd, iov, iovcnt, flags, &k->s);
	if (k->s.rewrite) {
		k->use = k->s.iov;
		k->count = k->s.iovcnt;
	}
}

/* returns what the host gets */
static inline ssize_t rig_send_ends(struct rig_call *k, ssize_t n, int err)
{
	bool sent = k->plain == OA_PLAIN_COMMAND && oa_conn_command_sent(&k->p, k->iov, n);

	if (!k->plain)
		return k->s.watched ? oa_conn_after_send(&k->s, n, err) : n;
	oa_tls.send_sp = 0;
	if (k->plain == OA_PLAIN_ANSWER)
		oa_conn_after_plain_send(k->fd, &k->p, k->iov, k->iovcnt, n, err);
	else if (!sent)
		oa_conn_after_command(k->fd, &k->p, k->iov, n, err);
	return n;
}

/* Sends `text`; the kernel takes at most `room` bytes of what it is given, which is appended to wire. returns what
 * the host would get. */
static inline ssize_t rig_send_iov(int fd, const struct iovec *iov, int iovcnt, int flags, size_t room, char *wire)
{
	struct rig_call k;
	size_t took = 0;

	rig_send_begins(&k, fd, iov, iovcnt, flags);
	if (room)
		for (int i = 0; i < k.count && took < room; i++) {
			size_t step = k.use[i].iov_len < room - took ? k.use[i].iov_len : room - took;

			if (wire)
				strncat(wire, k.use[i].iov_base, step);
			took += step;
		}
	return rig_send_ends(&k, room ? (ssize_t)took : -1, room ? 0 : EAGAIN);
}

static inline ssize_t rig_send(int fd, const char *text, size_t room, char *wire)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };

	return rig_send_iov(fd, &iov, 1, 0, room, wire);
}

/* Answers the oldest request of a server connection. */
static inline void rig_respond(int fd)
{
	rig_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", SIZE_MAX, NULL);
}

/* What the side thread does when a close has been over for long enough. */
static inline void rig_reap(void)
{
	usleep(OA_CLOSE_TAKES_NS / 1000 + 1000);
	oa_conn_reap(false);
}

/* The next finished record, NULL when there is none. */
static inline const struct oa_span *rig_next(void)
{
	static struct oa_span_buf copy;
	struct oa_span_buf scratch;

	for (unsigned i = 0; oa_self && i < oa_self->shards; i++) {
		struct oa_ring *r = oa_proc_ring(oa_self, i);
		const struct oa_span *s = oa_ring_peek(r, &scratch);

		if (!s)
			continue;
		memcpy(&copy, s, s->bytes);
		oa_ring_pop(r);
		return &copy.s;
	}
	return NULL;
}

static pthread_barrier_t rig_inside __attribute__((unused));

static inline void *rig_dwells(void *arg)
{
	struct oa_conn *c = arg;

	ck_assert(oa_conn_lock(c));
	pthread_barrier_wait(&rig_inside);
	usleep(20000);
	oa_conn_unlock(c);
	return NULL;
}

/* Another thread is in the connection of a descriptor, and without a processor for longer than anybody spins. To be joined. */
static inline pthread_t rig_another_is_in(int fd)
{
	pthread_t t;

	pthread_barrier_init(&rig_inside, NULL, 2);
	ck_assert_int_eq(pthread_create(&t, NULL, rig_dwells, oa_conn_at(oa_fd_peek(fd)->conn)), 0);
	pthread_barrier_wait(&rig_inside);
	return t;
}

/* The first bytes of a TLS connection, 44 of them, with a random number made of `seed`. */
static inline void rig_hello(char *out, uint8_t seed)
{
	static const uint8_t head[11] = { 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3 };

	memcpy(out, head, sizeof(head));
	for (unsigned i = 0; i < 32; i++)
		out[11 + i] = (char)(seed * 31 + i * 7 + 1);
	out[43] = 32;
}

static inline bool rig_str_is(const struct oa_span *s, enum oa_str which, const char *text)
{
	return oa_bytes_eq(oa_span_str(s, which), oa_bytes_str(text));
}
