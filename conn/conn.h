#pragma once
/* What the hooks tell the host side. Every function takes what the host's call did; none changes it, but
 * for the send pair, which may add headers to an outgoing request. All of them are cheap no-ops for
 * descriptors we do not track; hooks ask oa_fd_tracked() (conn/fd_table.h) first on hot paths.
 *
 * all: runs on host thread; signal-safe: yes; locks: none held across real calls; heap: no (may mmap at the
 * first 1024 descriptors); blocks: no; errno: may be clobbered, the hook restores it */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/limits.h"

/* -- descriptors come and go -- */

/* socket(), or any call that returned a new descriptor of no interest: forgets what we knew of the number. A
 * datagram socket (type != SOCK_STREAM) counts as a wake source, see below. */
void oa_conn_on_socket(int fd, int domain, int type);
/* eventfd, pipe, timerfd, signalfd, socketpair: reading one wakes a loop for reasons we cannot see. */
void oa_conn_on_wake_fd(int fd);
/* epoll_create, epoll_create1 */
void oa_conn_on_epoll_fd(int fd);
void oa_conn_on_listen(int fd);
/* addr: the peer as accept returned it (the hook passes a buffer of its own when the host passed NULL). */
void oa_conn_on_accepted(int listener, int fd, const struct sockaddr *addr, socklen_t len, bool nonblock);
/* result, err: what connect() gave; start_ns: oa_now_ns() before it (0: not measured). */
void oa_conn_on_connect(int fd, const struct sockaddr *addr, socklen_t len, int result, int err, uint64_t start_ns);
/* The host read SO_ERROR of a descriptor (non-blocking connect). */
void oa_conn_on_so_error(int fd, int so_error);
/* fcntl(F_SETFL) / ioctl(FIONBIO): the descriptor's blocking mode, evidence for context rules. */
void oa_conn_on_nonblock(int fd, bool nonblock);
/* A descriptor received over a Unix socket: unknown until it speaks. */
void oa_conn_on_fd_received(int fd);
/* Before the real close/close_range/closefrom: the number may be reused at once. May be a vfork child. */
void oa_conn_before_close(int fd);
void oa_conn_before_close_range(unsigned first, unsigned last);
/* dup, dup2, dup3, F_DUPFD: newfd now means what oldfd means. Called after success; before a real dup2/dup3 that
 * may close newfd call oa_conn_before_close(newfd) when newfd != oldfd. */
void oa_conn_on_dup(int oldfd, int newfd);
void oa_conn_on_shutdown(int fd, int how);

/* -- bytes in -- */

/* After a receiving call. n: its result; err: errno when n < 0; flags: MSG_* as passed, 0 for read. PEEK, OOB, ERRQUEUE
 * are ignored inside; what TCP throws away for MSG_TRUNC counts as passed, and nothing is looked at. n == 0 is end of stream. */
void oa_conn_on_received(int fd, const void *buf, size_t len, ssize_t n, int err, int flags);
void oa_conn_on_received_iov(int fd, const struct iovec *iov, int iovcnt, ssize_t n, int err, int flags);
/* Bytes left the socket without passing through memory (splice, sendfile from a socket). */
void oa_conn_on_received_blind(int fd, ssize_t n, int err);

/* -- bytes out -- */

#define OA_SEND_EARLY 4
#define OA_SEND_IOV 9 /* iovecs on the stack; longer arrays use a pool */

/* One place in the host's bytes where ours go: behind `off` host bytes, instead of `host_len` of them (0: an insertion). */
struct oa_point {
	uint32_t off, len;
	const uint8_t *text;
	uint32_t host_len;
};

/* What was read before it was sent (conn/store.c), and where the connection stood before. */
struct oa_early {
	uint8_t parser[32];
	uint32_t last, batch;      /* the newest exchange, and how many operations it was */
	uint32_t first, first_gen; /* the newest that was opened by it */
	uint32_t oldest, oldest_gen;
	uint16_t prepared;         /* so many were */
	bool fed;                  /* that is so */
	bool silent;               /* some of them get no answer: they are over when they are sent */
};

/* One sending call on a tracked descriptor, on the hook's stack. The hook reads rewrite, iov, iovcnt, watched and
 * err; the rest is conn/'s. */
struct oa_send {
	const struct iovec *iov; /* what to pass to the kernel when rewrite is set */
	int iovcnt;
	bool rewrite;
	bool watched;            /* call oa_conn_after_send() */
	bool fed;                /* its bytes were read before they were sent: `early` */
	uint8_t points;
	uint8_t points_out;      /* of which something went out */
	uint8_t requests;        /* prepared exchanges */
	int err;                 /* errno for the host when oa_conn_after_send() returned -1 */
	int fd;
	int flags;
	uint32_t conn, conn_gen;
	uint32_t outer_conn, outer_gen; /* the call that a signal handler interrupted to make this one */
	uintptr_t outer_sp;             /* 0 none */
	uint32_t first, first_gen; /* first prepared exchange */
	uint32_t out_seq;
	uint32_t scratch;        /* block + 1 of class 2 that holds iov, 0 none */
	uint32_t text;           /* block + 1 that holds the points' texts, 0 none */
	uint8_t text_cls;
	uint8_t *text_at;        /* where that block stands */
	/* What the parser will want to know of its only request, when its header stands first in the first buffer. */
	uint16_t head_flags;     /* OA_HTTP_* */
	uint8_t head_method;
	uint32_t head_len;       /* 0: none, or more than one */
	uint64_t head_length;    /* Content-Length */
	const struct iovec *host_iov;
	int host_iovcnt;
	struct oa_point *point;  /* own, or in the text block */
	struct oa_point own[OA_INJECT_POINTS_MAX];
	union {
		struct iovec small[OA_SEND_IOV];
		struct oa_early early; /* takes the room of the first OA_SEND_EARLY of them */
		struct {            /* while requests are looked for behind a PROXY header: what follows it, and all of it */
			struct iovec iov[OA_SEND_IOV - 2];
			const struct iovec *host_iov;
			int host_iovcnt;
			uint32_t header;
		} behind;
	};
};

/* Before a sending call (write send sendto sendmsg writev sendmmsg's each message). iov describes the host's
 * bytes (one entry for plain buffers). Decides whether a header is added. flags: MSG_* as passed, 0 for write.
 * Ends with s->watched: false means: just make the real call as it is and forget about it. */
void oa_conn_before_send(int fd, const struct iovec *iov, int iovcnt, int flags, struct oa_send *s);
/* After it. n, err: what the real call gave. returns what the host gets: its own byte count (<= asked), or -1 with
 * s->err. */
ssize_t oa_conn_after_send(struct oa_send *s, ssize_t n, int err);

/* The same for what most sending calls are: nothing is added to them.
 *
 * Part of an answer is only looked at when it has been sent, in the host's own buffers, and only as far as the kernel took
 * them. A command to a store is read before: another thread may have its answer before the call returns.
 *
 * Once `before` or `before_command` has said yes, oa_tls.send_sp is to be set to 0 when the real call is back, and the others
 * called.
 *
 * before    runs on: also outside the guard
 * command   iov: one buffer, not empty, that can be read. returns false: the call is to be watched */
struct oa_plain {
	uint64_t token; /* of the connection: its generation, and what was sent by then */
	uint32_t conn;
	struct oa_early early; /* of a command */
};
enum oa_plain_kind { OA_PLAIN_NONE /* or not certain: to be watched */, OA_PLAIN_ANSWER, OA_PLAIN_COMMAND /* perhaps */ };
enum oa_plain_kind oa_conn_before_plain_send(int fd, struct oa_plain *p);
bool oa_conn_before_command(int fd, const struct iovec *iov, struct oa_plain *p);
/* While oa_tls.send_sp is still set. returns true: that was all of it. runs on: also outside the guard; errno: kept */
bool oa_conn_command_sent(const struct oa_plain *p, const struct iovec *iov, ssize_t n);
void oa_conn_after_plain_send(int fd, const struct oa_plain *p, const struct iovec *iov, int iovcnt, ssize_t n, int err);
void oa_conn_after_command(int fd, const struct oa_plain *p, const struct iovec *iov, ssize_t n, int err);

/* sendfile/splice/… to a tracked socket. before: writes out a header remainder kept from a short write first.
 * returns 0, or -errno the kernel gave for that remainder: the hook fails its call with it. */
int oa_conn_before_send_blind(int fd);
void oa_conn_after_send_blind(int fd, ssize_t n, int err);

/* -- turns of an event loop (context rules; docs/context.md) -- */

enum oa_wait { OA_WAIT_LOOP /* epoll, or poll/select over several descriptors */, OA_WAIT_OWN /* poll/select on one descriptor */ };

/* Around epoll_wait, epoll_pwait, epoll_pwait2, poll, ppoll, select, pselect. timeout_ms: -1 forever. ident: the epoll
 * descriptor, else -1. listens: a listening socket is among those waited for (hook looked, or epoll_ctl told). */
void oa_conn_before_wait(enum oa_wait kind, int ident, int timeout_ms, bool listens);
void oa_conn_after_wait(enum oa_wait kind, int ident, int timeout_ms, int n);
/* epoll_ctl(ADD/MOD): which loop a descriptor belongs to. */
void oa_conn_on_epoll_ctl(int epfd, int op, int fd);
/* A blocking accept() is about to wait on a listener. */
void oa_conn_before_accept(int listener);

/* -- names -- */

/* getaddrinfo and friends: `addrs` answers for a name took duration_ns. Remembered for a moment so that the next
 * connect to one of them can tell its lookup time. */
struct addrinfo;
void oa_conn_on_lookup(const struct addrinfo *addrs, uint64_t duration_ns);

/* Measures a lookup, when that is asked for. error: why it failed, NULL when it did not.
 * runs on host thread; signal-safe: no, as a lookup; locks: none; heap: no; blocks: no */
void oa_conn_measure_lookup(const char *name, uint64_t duration_ns, const char *error);

/* -- pools of connections to databases -- */

/* Counts those of this process by whom they lead to and whether they are used, once a second: into oa_self->db_pool.
 * runs on   side thread; locks: none; heap: no; blocks: no */
void oa_conn_count_pools(uint64_t now_ns);

/* -- life -- */

/* Maps the pools. returns 0 or -errno (then nothing is tracked). At activation. */
int oa_conn_init(void);
/* Child after fork: connections the parent owned are shared now: forget their exchanges, keep which fd is what. */
void oa_conn_after_fork_child(void);
void oa_conn_after_fork_parent(void);
/* Side thread, when the process ends: calls that it still waits for are given up with it. */
void oa_conn_end_calls(void);

#define OA_CLOSE_TAKES_NS 50000000u /* a descriptor is left alone for so long after its close was seen to begin */

/* Side thread, every turn: ends exchanges whose descriptor was closed. all: at exit, without looking again. */
void oa_conn_reap(bool all);
/* Called when a process should have its side thread (first exchange, or waiting on a listener). Set by preload/. */
extern void (*oa_conn_want_side_thread)(void);
