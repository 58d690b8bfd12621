#pragma once
/* Who caused what: which server exchange an outgoing request belongs to. The rules, in order, and the evidence each
 * needs are in docs/context.md; this file keeps that evidence. Right or none, never a guess.
 *
 * all: runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include "conn/exchange.h"
#include "proto/http1.h"

/* A server exchange was read by this thread. nonblock: its socket is in non-blocking mode. */
void oa_ctx_open(struct oa_exchange *ex, uint32_t index, bool nonblock);
/* An exchange of either side ends: releases what it holds. Idempotent. */
void oa_ctx_close(struct oa_exchange *ex, uint32_t index);

/* This thread just read bytes that carry exchange `ref` (server side) on: it is what the thread works for now. */
void oa_ctx_touch(struct oa_ref ref);
/* It did something we can see because of that: wrote response bytes, or sent a request. */
void oa_ctx_settle(struct oa_exchange *ex);

/* This thread just read an answer to a call, or the news that it failed: the request that it was made for goes on, or,
 * when that is not known, some other. */
void oa_ctx_answered(const struct oa_exchange *call);
/* The same of a connection that was never used. */
void oa_ctx_never_opened(const struct oa_conn *c);

/* Outgoing work for a server exchange began / ended: a request, or a connection being opened. */
void oa_ctx_begin_work(struct oa_ref parent);
void oa_ctx_end_work(struct oa_ref parent);
/* The same at the end of a call: the request has nothing left to wait for that we see. */
void oa_ctx_drop_work(struct oa_ref parent);
/* The same before it is known to have ended. */
void oa_ctx_given_up(struct oa_ref parent);

/* Something unrelated to any connection we know woke this thread. */
void oa_ctx_wake(void);
void oa_ctx_before_wait(bool loop, int ident, int timeout_ms);
void oa_ctx_after_wait(bool loop, int ident, int timeout_ms, int n);

struct oa_pick {
	struct oa_ref parent;      /* gen 0: none */
	enum oa_evidence evidence;
	unsigned links;
	struct oa_ref link[OA_LINKS_MAX];
};

/* This thread sends on a client connection that carries many requests at a time. */
void oa_ctx_used(struct oa_conn *c);

/* Decides for an outgoing request. head: the request about to be sent, NULL when only a connection is opened. */
void oa_ctx_pick(const struct oa_conn *c, const struct oa_http_head *head, struct oa_pick *ret);

/* What to remember of a connection as `bound`, given what was decided when it was opened.
 *
 * ret_at    and as `bound_at`: tells at its first use whether that may be another request's */
struct oa_ref oa_ctx_opener(const struct oa_pick *pick, uint16_t *ret_at);

/* The open server exchange whose peer sent exactly this context, when there is exactly one. */
struct oa_ref oa_ctx_find_remote(const uint8_t trace_id[16], const uint8_t parent_id[8]);
/* Remembers what an arriving request can be recognised by. remote: it carried a context. */
void oa_ctx_index(struct oa_ref ref, const struct oa_http_head *head, bool remote, const uint8_t trace_id[16],
		  const uint8_t parent_id[8]);

/* Free exchanges, a few, kept for this thread's next ones. returns the index of one or -1 / false: the pool takes it */
int64_t oa_ctx_take_spare(void);
bool oa_ctx_keep_spare(uint32_t index);

/* Sees to it that the end of this thread is noticed. */
void oa_ctx_watch_thread(void);
/* Blocks of a thread (conn/inject.c). */
struct oa_flights {
	uint32_t first; /* head of the list of those that its sends hold */
	uint32_t spare; /* one that its next send may have: index + 1 */
};
/* This thread's, NULL when it has no state. */
struct oa_flights *oa_ctx_flights(void);

/* Open server exchanges of this process. */
uint32_t oa_ctx_open_count(void);

int oa_ctx_init(void);
void oa_ctx_after_fork_child(void);
