#pragma once
/* Adds context headers to outgoing requests, or rewrites the parent id in one handed on, within the host's own
 * sending call. Rules 24-28 of the design: one real call, the host's byte count is its own bytes, what a short write
 * cut off of ours goes first next time.
 *
 * all: runs on host thread with the connection's lock held unless said; signal-safe: yes; heap: no */
#include "conn/conn.h"
#include "conn/exchange.h"

/* Looks at what is about to be sent: opens exchanges for the requests in it and composes s->iov when something is to
 * be added. */
void oa_inject_prepare(struct oa_conn *c, struct oa_send *s);

/* The host's bytes up to a limit in one piece: the first iovec when a whole header is in it, else a copy.
 * ret_block    block + 1 of class 2 to give back, 0 none */
struct oa_bytes oa_inject_view(const struct oa_send *s, enum oa_dir dir, uint32_t *ret_block);

/* What was composed cannot be sent: the requests go out as they are. */
void oa_inject_decline(struct oa_conn *c, struct oa_send *s);

/* Host bytes among the n bytes the kernel took of the composed call; keeps our remainder for the next call. c may be NULL
 * when the connection went away meanwhile. returns host bytes, or -1 with s->err */
ssize_t oa_inject_account(struct oa_conn *c, struct oa_send *s, ssize_t n);

/* After the host's bytes were fed: requests the kernel did not take whole stay prepared, others got their result. */
void oa_inject_settle(struct oa_conn *c, struct oa_send *s);

/* The call failed: nothing was asked. */
void oa_inject_cancel(struct oa_conn *c, struct oa_send *s);

/* Gives back what s holds. Without the lock. */
void oa_inject_release(struct oa_send *s);

/* The thread ends: whatever its sends still hold is given back. Without any lock. */
struct oa_flights;
void oa_inject_thread_exit(struct oa_flights *f);

/* Sends a kept remainder by itself. returns 0 or -errno of the kernel */
int oa_inject_flush(struct oa_conn *c, int fd);
