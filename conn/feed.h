#pragma once
/* Bytes of a connection -> its parser. Internal to conn/.
 *
 * all: runs on host thread (or the side thread's reaper) with the connection's lock held; signal-safe: yes */
#include <sys/uio.h>

#include "conn/exchange.h"
#include "core/delay.h"
#include "core/stats.h"

/* What a lock held by a thread of this process says. Another value: the holder was not forked with us. */
extern _Atomic uint16_t oa_conn_held;

static inline bool oa_conn_lock_once(struct oa_conn *c)
{
	uint16_t free_ = 0;

	return atomic_compare_exchange_weak_explicit(&c->lock, &free_, atomic_load_explicit(&oa_conn_held, memory_order_relaxed),
						     memory_order_acquire, memory_order_relaxed);
}

/* Locks a connection against other threads. A holder that has lost its processor is waited for, 0.2 s at the most: then
 * nobody tries again for this connection. At once so where the holder may be this very thread, interrupted, or where it
 * is a thread of the process we were forked from: no copy of it will ever leave. */
bool oa_conn_lock(struct oa_conn *c);
/* The same, but a connection that is busy is not blamed for it: for looks that can wait. */
bool oa_conn_try_lock(struct oa_conn *c);
/* Waits for a holder that has lost its processor, 0.2 s at the most: for what cannot be left undone. */
bool oa_conn_lock_wait(struct oa_conn *c);
static inline bool oa_conn_lock_patiently(struct oa_conn *c)
{
	return OA_LIKELY(oa_conn_lock_once(c)) || oa_conn_lock_wait(c);
}

static inline void oa_conn_unlock(struct oa_conn *c)
{
	oa_delay(10);
	atomic_store_explicit(&c->lock, 0, memory_order_release);
}

/* Locks the connection of an exchange of any thread, so that it can be read: it does not end meanwhile. NULL when it is
 * over or busy; end with oa_conn_unlock(). */
struct oa_conn *oa_exchange_pin(struct oa_ref ref);

/* Leaves a connection alone for good, counted by reason. Its open exchanges are dropped: their end cannot be known. */
void oa_conn_make_opaque(struct oa_conn *c, enum oa_stat reason);

/* For whoever has just locked it: somebody could not get in, or found no memory, and so has missed some of its bytes. */
static inline void oa_conn_heed(struct oa_conn *c)
{
	uint16_t missed = atomic_load_explicit(&c->contended, memory_order_relaxed);

	if (__builtin_expect(missed, 0) && c->state != OA_CONN_OPAQUE)
		oa_conn_make_opaque(c, missed == 2 ? OA_STAT_opaque_pool : OA_STAT_opaque_contention);
}

/* Bytes that the parser of a direction was offered and has not taken. */
struct oa_bytes oa_feed_carried(const struct oa_conn *c, enum oa_dir dir);

/* Gives back what the parsers hold. */
void oa_feed_release(struct oa_conn *c);

/* in: bytes received (true) or sent. _http: of a connection whose state that is. */
void oa_feed_http(struct oa_conn *c, bool in, struct oa_bytes bytes);
/* A request's header sent on an HTTP/1 connection, read before. returns its bytes; 0: it must be fed */
struct oa_http_head;
size_t oa_feed_head(struct oa_conn *c, const struct oa_http_head *h);
/* Forgets what is kept of a direction for the parser's next call. */
void oa_feed_forget(struct oa_conn *c, enum oa_dir dir);
void oa_feed_bytes(struct oa_conn *c, bool in, struct oa_bytes bytes);
void oa_feed_iov(struct oa_conn *c, bool in, const struct iovec *iov, int iovcnt, size_t n);
/* n bytes passed that nobody could look at. */
void oa_feed_blind(struct oa_conn *c, bool in, uint64_t n);
/* The stream ended in one direction: close-delimited bodies are complete now. */
void oa_feed_end(struct oa_conn *c, bool in);
/* Ends every open exchange. error is for those that are not complete; now_ns their end. */
void oa_conn_end_exchanges(struct oa_conn *c, uint64_t now_ns, enum oa_error error);
/* This thread has just learnt that what is under way on a client's connection failed: whoever asked goes on with that. */
void oa_conn_calls_failed(struct oa_conn *c);
/* The direction (request/response) of bytes received or sent on a connection of known role. */
static inline enum oa_dir oa_conn_dir(const struct oa_conn *c, bool in)
{
	return (c->role == OA_ROLE_SERVER) == in ? OA_DIR_REQUEST : OA_DIR_RESPONSE;
}
/* Sees to it that a CONNECTING connection counts as connected. */
void oa_conn_connected(struct oa_conn *c);
/* Its attempt failed: a span says so. */
void oa_conn_connect_failed(struct oa_conn *c, int err);
