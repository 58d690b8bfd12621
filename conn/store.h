#pragma once
/* Commands to data stores as exchanges: what their parsers tell (proto/store.h).
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/conn.h"
#include "conn/span_build.h"

oa_event_fn oa_store_on_event;

/* The parser has said that something else follows. returns true when that is TLS: its first bytes are awaited */
bool oa_store_begins_anew(struct oa_conn *c);

static inline bool oa_store_is(const struct oa_conn *c)
{
	uint8_t proto = __atomic_load_n(&c->proto, __ATOMIC_RELAXED); /* it may be asked outside the lock */

	return proto && oa_protos[proto - 1]->flags & OA_PROTO_STORE;
}

/* What a host is about to send on a store's connection is read before it is sent: another thread may have the answer
 * before the sending call returns.
 *
 * returns   false: the connection is not a store's
 */
bool oa_store_before_send(struct oa_conn *c, struct oa_send *s);

/* The same of one buffer, when nothing is to be added to it whatever it is. Only when the connection's state is HTTP.
 *
 * returns   false: nothing was read, it is for oa_store_before_send() */
bool oa_store_ask(struct oa_conn *c, const struct iovec *iov, struct oa_early *ret);

/* The same inside TLS, where only a query that gets a comment is read before. returns true: the call is to be composed, or the
 * other one follows */
bool oa_store_before_write(struct oa_conn *c, struct oa_send *s);
/* It will be sent, and read, as the host has it. */
void oa_store_unread(struct oa_conn *c, struct oa_send *s);

/* Its protocol was found. When programs keep pools of such connections the side thread counts them from now on. */
void oa_store_pools_begin(const struct oa_conn *c);

/* It was sent, up to `n` bytes of it (< 0: nothing). Only when s->fed. */
void oa_store_after_send(struct oa_conn *c, struct oa_send *s, ssize_t n);
