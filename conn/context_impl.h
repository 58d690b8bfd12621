#pragma once
/* Between the context_*.c files: the state of a thread, and what the process has learnt of how its threads work. */
#include "conn/context.h"
#include "core/thread.h"

#define CTX_RECENT      8
#define CTX_AT_ONCE_MIN 4 /* certain calls made at once before a loop is known to do that */

#define CTX_LOOP       0x01u /* waits for several descriptors at once */
#define CTX_SHARED     0x02u /* its epoll descriptor is waited on by other threads too */
#define CTX_BACKGROUND 0x04u /* makes calls while it serves nothing */
#define CTX_SERVED     0x08u /* has served before */
#define CTX_RESUMED    0x10u /* current came from a response, not from a request */
#define CTX_SETTLED    0x20u /* current has visibly acted since it was touched */
#define CTX_MIXED      0x40u /* this turn carried work of several exchanges, or of something unseen */
#define CTX_NONBLOCK   0x80u /* current was read from a non-blocking socket */
#define CTX_WORKER     0x400u /* has made calls for requests that a loop left parked */
#define CTX_UNSURE     0x200u /* current may have acted: an ambiguous call was made in its turn */
#define CTX_STRANGER   0x800u /* what was read last was an answer for nobody known */
#define CTX_SEVERAL    0x1000u /* this turn carried several exchanges, each acted on before the next */
#define CTX_LEFT_OVER  0x2000u /* this turn began without waiting: the loop had something left to do */
#define CTX_ANSWERED   0x4000u /* current came from the answer to a call made for it */
#define CTX_PUT_OFF    0x8000u /* once it did not act on a request in the turn that read it */
#define CTX_WAITED_OWN 0x100u /* this thread waits for single descriptors: blocking style on non-blocking sockets */

struct oa_ctx_thread {
	uint32_t pool_next;
	_Atomic uint32_t gen;
	/* Written by the thread itself, without atomic steps, and looked at by others. */
	_Atomic uint32_t flags;
	_Atomic uint32_t waits;       /* turns so far */
	_Atomic uint32_t own_open, own_quiet; /* server exchanges of this thread, and those of them that are quiet */
	_Atomic uint32_t recent_pos;
	/* Its own. */
	uint32_t spare;               /* its free exchanges: the first one's index + 1 */
	struct oa_flights flights;
	struct oa_ref current;
	/* Up to CTX_AT_ONCE_MIN. */
	uint8_t at_once;              /* requests and answers acted on in the turn that read them */
	uint8_t in_order;             /* and how often before the next one was read */
	bool deferred;                /* one was not */
	uint64_t timer_ns;            /* no timer set before this turn can have fired before this */
	/* Looked at by others. */
	_Atomic uint64_t recent[CTX_RECENT] __attribute__((aligned(64))); /* exchanges read last */
	/* What others change of its counts (a response written elsewhere). */
	_Atomic uint32_t other_open __attribute__((aligned(64))), other_quiet;
};
_Static_assert(sizeof(struct oa_ctx_thread) == 3 * 64, "what others write has a cache line of its own");

#define CTX_CHUNK_SHIFT 6
extern struct oa_pool oa_ctx_pool;

/* Once true, true for good. */
struct oa_ctx_learnt {
	_Atomic bool calls;       /* has sent a request while it served */
	_Atomic bool served;
	_Atomic bool loop_shared; /* several threads wait on one epoll descriptor */
	_Atomic bool moved;       /* one thread read a request, another what came for it */
	_Atomic bool put_off;     /* a loop has left a request that it had read without acting on it */
	_Atomic bool branches;    /* a request has had two calls at the same time, or opened a connection that it did not use */
};
extern struct oa_ctx_learnt oa_ctx_learnt;

static inline bool ctx_knows(const _Atomic bool *what)
{
	return atomic_load_explicit(what, memory_order_relaxed);
}

/* Written once, so that nobody's cache line is taken away. */
static inline void ctx_learn(_Atomic bool *what)
{
	if (OA_UNLIKELY(!ctx_knows(what)))
		atomic_store_explicit(what, true, memory_order_relaxed);
}

/* -- threads (context_thread.c) -- */

struct oa_ctx_thread *oa_ctx_thread_new(void);

static inline struct oa_ctx_thread *thread_at(uint32_t index)
{
	return oa_pool_at_of(&oa_ctx_pool, index, sizeof(struct oa_ctx_thread), CTX_CHUNK_SHIFT);
}

static inline void thread_add(_Atomic uint32_t *own, uint32_t step)
{
	atomic_store_explicit(own, atomic_load_explicit(own, memory_order_relaxed) + step, memory_order_relaxed);
}

static inline void thread_flag(struct oa_ctx_thread *t, uint32_t set, uint32_t clear)
{
	uint32_t was = atomic_load_explicit(&t->flags, memory_order_relaxed);

	atomic_store_explicit(&t->flags, (was & ~clear) | set, memory_order_relaxed);
}

static inline struct oa_ref ctx_owner(const struct oa_exchange *ex)
{
	return oa_ref_unpack(atomic_load_explicit(&ex->owner, memory_order_relaxed));
}

static inline struct oa_ctx_thread *ctx_thread_peek(void)
{
	return oa_tls.context;
}

static inline struct oa_ctx_thread *ctx_thread_self(void)
{
	return OA_LIKELY(oa_tls.context != NULL) ? oa_tls.context : oa_ctx_thread_new();
}

static inline struct oa_ctx_thread *ctx_thread_get(struct oa_ref ref)
{
	struct oa_ctx_thread *t;

	if (!ref.gen)
		return NULL;
	t = thread_at(ref.index);
	return t->gen == ref.gen ? t : NULL;
}

static inline uint32_t thread_open(const struct oa_ctx_thread *t)
{
	return atomic_load_explicit(&t->own_open, memory_order_relaxed) +
	       atomic_load_explicit(&t->other_open, memory_order_relaxed);
}

static inline uint32_t thread_quiet(const struct oa_ctx_thread *t)
{
	return atomic_load_explicit(&t->own_quiet, memory_order_relaxed) +
	       atomic_load_explicit(&t->other_quiet, memory_order_relaxed);
}

/* The exchange read i exchanges ago. */
static inline struct oa_ref thread_recent(const struct oa_ctx_thread *t, unsigned i)
{
	uint32_t pos = atomic_load_explicit(&t->recent_pos, memory_order_relaxed) - 1 - i;

	return oa_ref_unpack(atomic_load_explicit(&t->recent[pos % CTX_RECENT], memory_order_acquire));
}

/* Threads that ever had a state; free ones count nothing. */
static inline uint32_t ctx_threads(void)
{
	uint32_t fresh = atomic_load_explicit(&oa_ctx_pool.fresh, memory_order_relaxed);

	return fresh < OA_THREADS_MAX ? fresh : OA_THREADS_MAX;
}

/* After counting: was it counted? */
static inline bool ctx_still_counted(const struct oa_exchange *ex)
{
	atomic_thread_fence(memory_order_acquire);
	return ctx_owner(ex).gen;
}

static inline bool ref_eq(struct oa_ref a, struct oa_ref b)
{
	return a.index == b.index && a.gen == b.gen;
}

struct oa_ctx_sums {
	uint32_t open, quiet, opened;
};
/* Over all threads: only where the process as a whole is asked about. */
struct oa_ctx_sums oa_ctx_sum(void);
/* The same twice, because what comes and goes meanwhile would be counted in one place and not in the other.
 * returns false when they differ */
bool oa_ctx_sum_twice(struct oa_ctx_sums *ret);

/* -- what it works for (context.c) -- */

/* It goes on to something else than what it read last. */
void oa_ctx_leave_current(struct oa_ctx_thread *t);

/* -- requests by their texts (context_match.c) -- */

/* The open request that this one has a text in common with, when there is exactly one. */
struct oa_ref oa_ctx_fingerprint(const struct oa_http_head *head);
/* Whether the two have the same target. */
void oa_ctx_learn_proxy(struct oa_ref parent, const struct oa_http_head *head);
/* The call has the target of exactly one open request, and that is not the one that flow says it was made for. In what may
 * be a proxy that is one witness against the other: neither is believed, and nothing learnt. */
bool oa_ctx_contradicts(struct oa_ref parent, const struct oa_http_head *head);
/* An uncertain call. A loop that reads several requests before it acts on them (HAProxy, Squid) never shows a certain
 * pair; but when call after call has the target of exactly one open request, each another one, that is no chance. A call
 * that nobody's target explains starts the count anew. */
void oa_ctx_learn_match(const struct oa_http_head *head);
