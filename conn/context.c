/* Evidence about causality, kept per thread: what the thread read last (`current`), whether it visibly acted on it
 * since, how many server exchanges it has open and how many of those wait for something we can see ("quiet").
 * docs/context.md explains the rules and what each cannot know. */
#include <pthread.h>

#include "conn/context.h"
#include "conn/fd_table.h"
#include "conn/feed.h"
#include "conn/inject.h"
#include "conn/internal.h"
#include "core/tsc.h"
#include "core/stats.h"
#include "core/thread.h"

#define CTX_RECENT 8
#define CTX_TIMER_MARGIN_NS 2000000u /* event loops round their timers to milliseconds */
#define CTX_AT_ONCE_MIN 4            /* certain calls made at once before a loop is known to do that */
#define CTX_PROXY_MIN 8              /* certain pairs seen before "same target" counts as evidence */
#define CTX_MATCH_MIN 32             /* or different targets of uncertain calls, each of exactly one open request */
#define CTX_INDEX_FIRST 1024         /* requests indexed by target before the process is seen to call anybody */

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
	uint32_t spare;               /* free exchange, index + 1 */
	uint32_t flights;             /* what its sends hold, see conn/inject.c */
	struct oa_ref current;
	uint32_t at_once, deferred;   /* requests and answers acted on in the turn that read them, and not */
	uint32_t in_order;            /* and how often before the next one was read */
	uint64_t timer_ns;            /* no timer set before this turn can have fired before this */
	/* Looked at by others. */
	_Atomic uint64_t recent[CTX_RECENT] __attribute__((aligned(64))); /* exchanges read last */
	/* What others change of its counts (a response written elsewhere). */
	_Atomic uint32_t other_open __attribute__((aligned(64))), other_quiet;
};
_Static_assert(sizeof(struct oa_ctx_thread) == 3 * 64, "what others write has a cache line of its own");

#define CTX_CHUNK_SHIFT 6
static struct oa_pool ctx_pool = OA_POOL(sizeof(struct oa_ctx_thread), CTX_CHUNK_SHIFT, OA_THREADS_MAX);
static pthread_key_t ctx_key;
static bool ctx_key_ok;

static _Atomic uint32_t ctx_same_target, ctx_other_target;
static _Atomic uint64_t ctx_matched; /* targets of uncertain calls that one open request had: a bit each, by hash */
static _Atomic uint32_t ctx_indexed; /* requests, up to CTX_INDEX_FIRST */
static _Atomic bool ctx_calls;       /* has sent a request while it served */
static _Atomic bool ctx_served;
static _Atomic bool ctx_loop_shared; /* several threads wait on one epoll descriptor */
static _Atomic bool ctx_moved; /* one thread read a request, another what came for it */
static _Atomic bool ctx_put_off; /* a loop has left a request that it had read without acting on it */
static _Atomic bool ctx_branches; /* a request has had two calls at the same time, or opened a connection that it did not use */
static _Atomic uint16_t ctx_unclear; /* calls over used connections that may be of a request that is opening another */

/* Once true, true for good: written once, so that nobody's cache line is taken away. */
static inline void ctx_learn(_Atomic bool *what)
{
	if (OA_UNLIKELY(!atomic_load_explicit(what, memory_order_relaxed)))
		atomic_store_explicit(what, true, memory_order_relaxed);
}

/* -- threads -- */

static inline struct oa_ctx_thread *thread_at(uint32_t index)
{
	return oa_pool_at_of(&ctx_pool, index, sizeof(struct oa_ctx_thread), CTX_CHUNK_SHIFT);
}

static inline void thread_add(_Atomic uint32_t *own, uint32_t step)
{
	atomic_store_explicit(own, atomic_load_explicit(own, memory_order_relaxed) + step, memory_order_relaxed);
}

static void thread_flag(struct oa_ctx_thread *t, uint32_t set, uint32_t clear)
{
	uint32_t was = atomic_load_explicit(&t->flags, memory_order_relaxed);

	atomic_store_explicit(&t->flags, (was & ~clear) | set, memory_order_relaxed);
}

static void thread_counts_clear(struct oa_ctx_thread *t)
{
	atomic_store_explicit(&t->own_open, 0, memory_order_relaxed);
	atomic_store_explicit(&t->own_quiet, 0, memory_order_relaxed);
	atomic_store_explicit(&t->other_open, 0, memory_order_relaxed);
	atomic_store_explicit(&t->other_quiet, 0, memory_order_relaxed);
}

/* The exchange read i exchanges ago. */
static struct oa_ref thread_recent(const struct oa_ctx_thread *t, unsigned i)
{
	uint32_t pos = atomic_load_explicit(&t->recent_pos, memory_order_relaxed) - 1 - i;

	return oa_ref_unpack(atomic_load_explicit(&t->recent[pos % CTX_RECENT], memory_order_acquire));
}

static struct oa_ref ctx_owner(const struct oa_exchange *ex)
{
	return oa_ref_unpack(atomic_load_explicit(&ex->owner, memory_order_relaxed));
}

static void ctx_thread_exit(void *arg)
{
	uint32_t index = (uint32_t)(uintptr_t)arg - 1;
	struct oa_ctx_thread *t = thread_at(index);

	if (oa_tls.send_sp) /* cancelled while it sent */
		oa_conn_send_lost();
	oa_inject_thread_exit(&t->flights);
	oa_tls.thread_idx = 0;
	oa_tls.context = NULL;
	if (t->spare)
		oa_pool_give(&oa_exchange_pool, t->spare - 1);
	t->spare = 0;
	atomic_store_explicit(&t->gen, t->gen + 2, memory_order_relaxed);
	oa_pool_give(&ctx_pool, index);
}

static OA_COLD struct oa_ctx_thread *ctx_thread_new(void)
{
	int64_t index = oa_pool_take(&ctx_pool);
	struct oa_ctx_thread *t;

	if (index < 0) {
		oa_stat_inc(OA_STAT_thread_states_full);
		return NULL;
	}
	t = thread_at((uint32_t)index);
	atomic_store_explicit(&t->flags, 0, memory_order_relaxed);
	atomic_store_explicit(&t->waits, 0, memory_order_relaxed);
	for (unsigned i = 0; i < CTX_RECENT; i++)
		atomic_store_explicit(&t->recent[i], 0, memory_order_relaxed);
	t->spare = t->flights = t->at_once = t->deferred = t->in_order = 0;
	t->current = (struct oa_ref){ 0, 0 };
	atomic_store_explicit(&t->gen, t->gen | 1, memory_order_relaxed);
	t->timer_ns = UINT64_MAX; /* it served nothing so far: no timer can belong to a request */
	oa_tls.thread_idx = (uint32_t)index + 1;
	oa_tls.context = t;
	if (ctx_key_ok)
		pthread_setspecific(ctx_key, (void *)(uintptr_t)(index + 1));
	return t;
}

static inline struct oa_ctx_thread *ctx_thread_peek(void)
{
	return oa_tls.context;
}

static inline struct oa_ctx_thread *ctx_thread_self(void)
{
	return OA_LIKELY(oa_tls.context != NULL) ? oa_tls.context : ctx_thread_new();
}

void oa_ctx_watch_thread(void)
{
	(void)ctx_thread_self();
}

uint32_t *oa_ctx_flights(void)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	return t ? &t->flights : NULL;
}

static struct oa_ctx_thread *ctx_thread_get(struct oa_ref ref)
{
	struct oa_ctx_thread *t;

	if (!ref.gen)
		return NULL;
	t = thread_at(ref.index);
	return t->gen == ref.gen ? t : NULL;
}

int oa_ctx_init(void)
{
	ctx_key_ok = !pthread_key_create(&ctx_key, ctx_thread_exit);
	return 0;
}

/* -- loose and quiet -- */

static uint32_t thread_open(const struct oa_ctx_thread *t)
{
	return atomic_load_explicit(&t->own_open, memory_order_relaxed) +
	       atomic_load_explicit(&t->other_open, memory_order_relaxed);
}

static uint32_t thread_quiet(const struct oa_ctx_thread *t)
{
	return atomic_load_explicit(&t->own_quiet, memory_order_relaxed) +
	       atomic_load_explicit(&t->other_quiet, memory_order_relaxed);
}

static void thread_count(struct oa_ctx_thread *t, _Atomic uint32_t *own, _Atomic uint32_t *other, uint32_t step)
{
	if (t == ctx_thread_peek())
		thread_add(own, step);
	else
		atomic_fetch_add_explicit(other, step, memory_order_relaxed);
}

/* The state that an exchange is counted in. Its thread may be gone, and the state another's: the exchange is open all the
 * same (servers that start and end threads as the load goes, gRPC's for one). */
static struct oa_ctx_thread *ctx_counted_in(const struct oa_exchange *ex)
{
	struct oa_ref owner = ctx_owner(ex);

	return owner.gen ? thread_at(owner.index) : NULL;
}

/* Threads that ever had a state; free ones count nothing. */
static uint32_t ctx_threads(void)
{
	uint32_t fresh = atomic_load_explicit(&ctx_pool.fresh, memory_order_relaxed);

	return fresh < OA_THREADS_MAX ? fresh : OA_THREADS_MAX;
}

/* Says it, and whether it was otherwise. Where threads take up each other's work several may say so at the same moment; then
 * one of them counts it. A count that drifts would make uncertain calls certain, for good. */
static inline bool ctx_turn_loose(struct oa_exchange *ex, bool loose)
{
	if (atomic_load_explicit(&ex->loose, memory_order_relaxed) == loose)
		return false;
	if (atomic_load_explicit(&ctx_calls, memory_order_relaxed) && ctx_threads() > 1)
		return atomic_exchange_explicit(&ex->loose, loose, memory_order_relaxed) != loose;
	atomic_store_explicit(&ex->loose, loose, memory_order_relaxed);
	return true;
}

static OA_HOT void ctx_set_loose(struct oa_exchange *ex, bool loose)
{
	struct oa_ctx_thread *owner;

	if (!ctx_turn_loose(ex, loose))
		return;
	owner = ctx_counted_in(ex);
	if (owner)
		thread_count(owner, &owner->own_quiet, &owner->other_quiet, loose ? -1u : 1u);
}

struct ctx_sums {
	uint32_t open, quiet, opened;
};

static struct ctx_sums ctx_sum(void)
{
	struct ctx_sums sums = { 0 };

	for (uint32_t i = 0; i < ctx_threads(); i++) {
		struct oa_ctx_thread *t = thread_at(i);

		sums.open += thread_open(t);
		sums.quiet += thread_quiet(t);
		sums.opened += atomic_load_explicit(&t->recent_pos, memory_order_acquire);
	}
	return sums;
}

/* Sums over all threads: only where the process as a whole is asked about. What comes and goes while they are made would be
 * counted in one place and not in the other, so they are made twice. returns false when they differ */
static bool ctx_process(struct ctx_sums *ret)
{
	struct ctx_sums again;

	*ret = ctx_sum();
	atomic_thread_fence(memory_order_acquire);
	again = ctx_sum();
	return memcmp(ret, &again, sizeof(again)) == 0;
}

/* More than one when that cannot be told. */
uint32_t oa_ctx_open_count(void)
{
	struct ctx_sums sums;

	for (unsigned i = 0; i < 3; i++)
		if (ctx_process(&sums))
			return sums.open;
	return sums.open > 1 ? sums.open : 2;
}

OA_HOT int64_t oa_ctx_take_spare(void)
{
	struct oa_ctx_thread *t = ctx_thread_peek();
	int64_t index = t ? (int64_t)t->spare - 1 : -1;

	if (index >= 0)
		t->spare = 0;
	return index;
}

OA_HOT bool oa_ctx_keep_spare(uint32_t index)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	if (!t || t->spare)
		return false;
	t->spare = index + 1;
	return true;
}

static inline bool ref_eq(struct oa_ref a, struct oa_ref b)
{
	return a.index == b.index && a.gen == b.gen;
}

/* Is leaving the current exchange now a sign that this loop puts work off? Not while more of its bytes must come. */
static OA_NOINLINE void ctx_leave_current(struct oa_ctx_thread *t)
{
	struct oa_exchange *current = oa_exchange_get(t->current);

	if (!current || t->flags & (CTX_SETTLED | CTX_UNSURE) || !(current->flags & OA_EX_REQ_DONE))
		return;
	if (t->flags & CTX_RESUMED && atomic_load_explicit(&current->pending, memory_order_relaxed))
		return;
	t->deferred++;
	ctx_learn(&ctx_put_off);
	if (!(t->flags & CTX_ANSWERED))
		thread_flag(t, CTX_PUT_OFF, 0);
}

/* Another exchange's bytes are read: before the current one has acted, or behind what it did. */
static OA_NOINLINE void ctx_mix(struct oa_ctx_thread *t)
{
	struct oa_exchange *current = oa_exchange_get(t->current);

	if (!current)
		return;
	if (t->flags & CTX_SETTLED) {
		t->in_order++;
		thread_flag(t, CTX_SEVERAL, 0);
		return;
	}
	if (!t->deferred && t->flags & CTX_RESUMED && atomic_load_explicit(&current->pending, memory_order_relaxed))
		ctx_set_loose(current, false); /* more of its upstream's answer is to come, and this loop does not put off */
	else
		thread_flag(t, CTX_MIXED, 0);
}

/* how: CTX_ANSWERED, or 0 */
static inline void ctx_touch(struct oa_ref ref, uint32_t how)
{
	struct oa_ctx_thread *t = ctx_thread_self();
	struct oa_exchange *ex = oa_exchange_get(ref);

	if (!ex || !t)
		return;
	if (!ref_eq(t->current, ref)) {
		ctx_mix(t);
		ctx_leave_current(t);
	}
	if (OA_UNLIKELY(ctx_thread_get(ctx_owner(ex)) != t))
		ctx_learn(&ctx_moved);
	t->current = ref;
	thread_flag(t, CTX_RESUMED | how | (ex->flags & OA_EX_NONBLOCK ? CTX_NONBLOCK : 0),
		    CTX_SETTLED | CTX_NONBLOCK | CTX_UNSURE | CTX_STRANGER | CTX_ANSWERED);
	atomic_store_explicit(&ex->touch_wait, t->waits, memory_order_relaxed);
	ctx_set_loose(ex, true);
}

OA_HOT void oa_ctx_touch(struct oa_ref ref)
{
	ctx_touch(ref, 0);
}

/* Some request goes on now, and which one is not known. Only a loop that handles one event after another will be done with
 * it when it reads the next. */
static OA_COLD void ctx_touch_unknown(void)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	if (!t || !(t->flags & CTX_LOOP))
		return;
	ctx_mix(t);
	ctx_leave_current(t);
	t->current.gen = 0;
	thread_flag(t, CTX_STRANGER | (t->in_order >= CTX_AT_ONCE_MIN && !t->deferred ? 0 : CTX_MIXED),
		    CTX_RESUMED | CTX_SETTLED | CTX_UNSURE);
}

void oa_ctx_answered(const struct oa_exchange *call)
{
	if (OA_LIKELY(call->parent.gen))
		ctx_touch(call->parent, CTX_ANSWERED);
	else if (oa_exchange_span(call)->evidence == OA_EV_AMBIGUOUS)
		ctx_touch_unknown();
}

void oa_ctx_never_opened(const struct oa_conn *c)
{
	if (c->bound.gen)
		oa_ctx_touch(c->bound);
	else if (c->bound.index)
		ctx_touch_unknown();
}

/* This thread reads a request without having waited: another one did, and handed it over in memory. */
static OA_COLD void ctx_waited_for(void)
{
	if (ctx_threads() > 1)
		ctx_learn(&ctx_moved);
}

OA_HOT void oa_ctx_open(struct oa_exchange *ex, uint32_t index, bool nonblock)
{
	struct oa_ctx_thread *t = ctx_thread_self();
	struct oa_ref ref = { index, atomic_load_explicit(&ex->gen, memory_order_relaxed) };
	uint32_t pos;

	if (OA_UNLIKELY(!t))
		return;
	pos = atomic_load_explicit(&t->recent_pos, memory_order_relaxed);
	atomic_store_explicit(&ex->owner, oa_ref_pack((struct oa_ref){ oa_tls.thread_idx - 1, t->gen }), memory_order_relaxed);
	atomic_store_explicit(&ex->loose, 1, memory_order_relaxed);
	if (nonblock)
		oa_exchange_flag(ex, OA_EX_NONBLOCK, 0);
	thread_add(&t->own_open, 1);
	atomic_store_explicit(&t->recent[pos % CTX_RECENT], oa_ref_pack(ref), memory_order_release);
	atomic_store_explicit(&t->recent_pos, pos + 1, memory_order_relaxed);
	if (OA_UNLIKELY(t->current.gen)) {
		ctx_mix(t);
		ctx_leave_current(t);
	}
	t->current = ref;
	atomic_store_explicit(&ex->touch_wait, atomic_load_explicit(&t->waits, memory_order_relaxed), memory_order_relaxed);
	thread_flag(t, CTX_SERVED | (nonblock ? CTX_NONBLOCK : 0),
		    CTX_RESUMED | CTX_SETTLED | CTX_UNSURE | CTX_NONBLOCK | CTX_STRANGER | CTX_ANSWERED);
	ctx_learn(&ctx_served);
	if (OA_UNLIKELY(nonblock && !(t->flags & (CTX_LOOP | CTX_WAITED_OWN))))
		ctx_waited_for();
}

/* Before it leaves the counts: who has counted without it sees that it is over. */
static inline void ctx_disown(struct oa_exchange *ex)
{
	atomic_store_explicit(&ex->owner, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

/* After counting: was it counted? */
static bool ctx_still_counted(const struct oa_exchange *ex)
{
	atomic_thread_fence(memory_order_acquire);
	return ctx_owner(ex).gen;
}

/* Of another thread, or from before a fork. */
static OA_COLD void ctx_close_elsewhere(struct oa_exchange *ex)
{
	struct oa_ctx_thread *owner = ctx_counted_in(ex);

	if (ex->home == oa_exchange_home)
		ctx_set_loose(ex, true);
	ctx_disown(ex);
	if (owner && ex->home == oa_exchange_home)
		thread_count(owner, &owner->own_open, &owner->other_open, -1u);
}

static inline void ctx_close_server(uint32_t index, struct oa_exchange *ex, struct oa_ref owner)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	if (OA_LIKELY(t && owner.index == oa_tls.thread_idx - 1 && owner.gen == t->gen && ex->home == oa_exchange_home)) {
		if (ctx_turn_loose(ex, true))
			thread_add(&t->own_quiet, -1u);
		ctx_disown(ex);
		thread_add(&t->own_open, -1u); /* last: who counts meanwhile finds a loose one too many, never one too few */
	} else {
		ctx_close_elsewhere(ex);
	}
	if (t && t->current.index == index)
		t->current.gen = 0;
}

OA_HOT void oa_ctx_close(struct oa_exchange *ex, uint32_t index)
{
	struct oa_ref owner = ctx_owner(ex);

	if (OA_LIKELY(owner.gen))
		ctx_close_server(index, ex, owner);
	if (ex->parent.gen) {
		oa_ctx_drop_work(ex->parent);
		ex->parent.gen = 0;
	}
}

OA_HOT void oa_ctx_settle(struct oa_exchange *ex)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	if (t && oa_exchange_get(t->current) == ex)
		thread_flag(t, CTX_SETTLED, 0);
	ctx_set_loose(ex, false);
}

void oa_ctx_begin_work(struct oa_ref parent)
{
	struct oa_exchange *ex = oa_exchange_get(parent);

	if (!ex)
		return;
	atomic_fetch_add_explicit(&ex->pending, 1, memory_order_relaxed);
	oa_ctx_settle(ex);
}

OA_NOINLINE void oa_ctx_end_work(struct oa_ref parent)
{
	struct oa_exchange *ex = oa_exchange_get(parent);

	if (ex && atomic_load_explicit(&ex->pending, memory_order_relaxed))
		atomic_fetch_sub_explicit(&ex->pending, 1, memory_order_relaxed);
}

/* Only by the request's own thread, so never while that one ends it: a count of loose requests that is one too small for a
 * moment makes an uncertain call certain. */
static void ctx_give_up(struct oa_exchange *ex, unsigned pending)
{
	if (ex && atomic_load_explicit(&ex->pending, memory_order_relaxed) <= pending &&
	    ctx_thread_get(ctx_owner(ex)) == ctx_thread_peek())
		ctx_set_loose(ex, true);
}

void oa_ctx_given_up(struct oa_ref parent)
{
	ctx_give_up(oa_exchange_get(parent), 1);
}

void oa_ctx_drop_work(struct oa_ref parent)
{
	oa_ctx_end_work(parent);
	ctx_give_up(oa_exchange_get(parent), 0);
}

/* -- turns -- */

void oa_ctx_wake(void)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	if (t && (t->flags & CTX_LOOP))
		thread_flag(t, CTX_MIXED, 0);
}

/* It may have been made before we were active, or be a second number of one that was (mio waits on one and adds to another). */
static OA_COLD void ctx_epoll_found(int ident)
{
	struct oa_fd *slot = oa_fd_get(ident);
	union oa_fd_word none = { .word = 0 }, epoll = { .kind = OA_FD_EPOLL };

	if (slot)
		atomic_compare_exchange_strong(oa_fd_word(slot), &none.word, epoll.word);
}

/* NULL: it is none, or not known. */
static struct oa_fd *ctx_epoll(int ident)
{
	struct oa_fd *slot = ident >= 0 ? oa_fd_peek(ident) : NULL;

	return slot && atomic_load_explicit(&slot->kind, memory_order_relaxed) == OA_FD_EPOLL ? slot : NULL;
}

/* Which thread waits on an epoll descriptor; a second one makes it shared for good. */
static void ctx_note_loop(struct oa_ctx_thread *t, int ident)
{
	struct oa_fd *slot = ctx_epoll(ident);
	uint32_t self = oa_tls.thread_idx, was = 0;

	thread_flag(t, CTX_LOOP, 0);
	if (!slot)
		return;
	if (!atomic_compare_exchange_strong(&slot->conn, &was, self) && was != self) {
		atomic_store_explicit(&slot->conn, UINT32_MAX, memory_order_relaxed);
		ctx_learn(&ctx_loop_shared);
	}
	if (atomic_load_explicit(&slot->conn, memory_order_relaxed) != self)
		thread_flag(t, CTX_SHARED, 0);
	else
		thread_flag(t, 0, CTX_SHARED);
}

/* Others may have begun to wait there while this thread did. */
static void ctx_note_shared(struct oa_ctx_thread *t, int ident)
{
	const struct oa_fd *slot = ctx_epoll(ident);

	if (slot && atomic_load_explicit(&slot->conn, memory_order_relaxed) == UINT32_MAX)
		thread_flag(t, CTX_SHARED, 0);
}

OA_HOT void oa_ctx_before_wait(bool loop, int ident, int timeout_ms)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	if (!t && loop && ctx_epoll(ident))
		t = ctx_thread_self(); /* the first to read a request must know who else waits there */
	if (!t)
		return;
	if (!loop) {
		thread_flag(t, CTX_WAITED_OWN, 0);
		return;
	}
	ctx_note_loop(t, ident);
	ctx_leave_current(t);
	thread_flag(t, CTX_UNSURE, 0); /* counted */
	if (timeout_ms != 0)
		thread_add(&t->waits, 1); /* what was read before is in other hands, or asleep */
	/* Timers that exist now are due at the earliest when this wait would time out. A zero timeout says nothing
	 * about them (asyncio polls so while it has work), the last real wait's answer stays. Without an open request no
	 * timer can belong to one. */
	if (timeout_ms < 0)
		t->timer_ns = UINT64_MAX;
	else if (timeout_ms > 0)
		t->timer_ns = thread_open(t) ? oa_host_now_ns() + (uint64_t)timeout_ms * 1000000u : UINT64_MAX;
}

OA_HOT void oa_ctx_after_wait(bool loop, int ident, int timeout_ms, int n)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	if (!loop)
		return;
	if (n >= 0 && ident >= 0 && OA_UNLIKELY(!oa_fd_tracked(ident)))
		ctx_epoll_found(ident);
	if (!t)
		return;
	if (!(t->flags & CTX_SHARED))
		ctx_note_shared(t, ident);
	if (n == 0 && timeout_ms == 0)
		return; /* delivered nothing and waited for nothing: the turn goes on */
	thread_add(&t->waits, 1);
	t->current.gen = 0;
	/* Who does not wait has work of its own left, and may do that before what it is told now. */
	thread_flag(t, timeout_ms ? 0 : CTX_LEFT_OVER,
		    CTX_MIXED | CTX_SETTLED | CTX_UNSURE | CTX_STRANGER | CTX_SEVERAL | CTX_LEFT_OVER);
}

/* -- recognising requests -- */

#define FP_SLOTS 4096 /* power of two */
#define FP_WAYS 8     /* neighbours a key may stand in */

struct fp_slot {
	_Atomic uint64_t key;
	_Atomic uint64_t ref; /* index << 32 | gen; UINT64_MAX: two exchanges had the key */
};
static struct fp_slot fp_table[FP_SLOTS];

static inline struct fp_slot *fp_slot(uint64_t key, unsigned way)
{
	return &fp_table[(key + way) & (FP_SLOTS - 1)];
}

static bool fp_live(uint64_t ref)
{
	return ref == UINT64_MAX || oa_exchange_get(oa_ref_unpack(ref));
}

/* The slot that has the key, else NULL. */
static struct fp_slot *fp_lookup(uint64_t key)
{
	for (unsigned way = 0; way < FP_WAYS; way++)
		if (atomic_load_explicit(&fp_slot(key, way)->key, memory_order_acquire) == key)
			return fp_slot(key, way);
	return NULL;
}

/* A slot nobody needs any more, else the first: its key is forgotten, which only loses evidence. */
static inline struct fp_slot *fp_victim(uint64_t key)
{
	for (unsigned way = 0; way < FP_WAYS; way++)
		if (!fp_live(atomic_load_explicit(&fp_slot(key, way)->ref, memory_order_relaxed)))
			return fp_slot(key, way);
	return fp_slot(key, 0);
}

static OA_HOT OA_NOINLINE void fp_insert(uint64_t key, struct oa_ref ref)
{
	struct fp_slot *slot = fp_lookup(key);
	uint64_t old = slot ? atomic_load_explicit(&slot->ref, memory_order_relaxed) : 0;

	if (slot && (old == UINT64_MAX ? oa_ctx_open_count() > 1 : fp_live(old))) {
		atomic_store_explicit(&slot->ref, UINT64_MAX, memory_order_release);
		return;
	}
	if (!slot)
		slot = fp_victim(key);
	atomic_store_explicit(&slot->ref, 0, memory_order_release);
	atomic_store_explicit(&slot->key, key, memory_order_release);
	atomic_store_explicit(&slot->ref, oa_ref_pack(ref), memory_order_release);
}

static struct oa_ref fp_find(uint64_t key)
{
	struct fp_slot *slot = fp_lookup(key);
	uint64_t v = slot ? atomic_load_explicit(&slot->ref, memory_order_acquire) : 0;
	struct oa_ref none = { 0, 0 };

	if (!v || v == UINT64_MAX || atomic_load_explicit(&slot->key, memory_order_acquire) != key ||
	    atomic_load_explicit(&slot->ref, memory_order_acquire) != v)
		return none;
	return oa_exchange_get(oa_ref_unpack(v)) ? oa_ref_unpack(v) : none;
}

static inline uint64_t fp_step(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

/* Cookies are long and come with every request: eight bytes at a time. */
static OA_HOT uint64_t fp_text(uint64_t h, const uint8_t *p, size_t len)
{
	uint64_t word = 0;

	h = fp_step(h, len);
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		h = fp_step(h, word);
	}
	word = 0;
	memcpy(&word, p, len);
	return fp_step(fp_step(h, word), len) | 1;
}

static uint64_t fp_of(unsigned what, struct oa_bytes text)
{
	return fp_text(0x9ae16a3b2f90404full + what, text.ptr, text.len);
}

/* The ids are random, or should be: two rounds of mixing. */
static uint64_t fp_remote(const uint8_t trace_id[16], const uint8_t parent_id[8])
{
	uint64_t v[3];

	memcpy(v, trace_id, 16);
	memcpy(v + 2, parent_id, 8);
	v[0] = (v[0] ^ v[1] >> 32 ^ v[1] << 32 ^ v[2]) * 0x9e3779b97f4a7c15u;
	v[0] = (v[0] ^ v[0] >> 32 ^ v[2] >> 24) * 0xbf58476d1ce4e5b9u;
	return (v[0] ^ v[0] >> 29) | 1;
}

/* A forward proxy gets whole URLs and asks for what is behind the authority. */
static OA_HOT struct oa_bytes ctx_path_of(struct oa_bytes target)
{
	const uint8_t *at = target.len && *target.ptr != '/' ? memmem(target.ptr, target.len, "://", 3) : NULL;
	const uint8_t *end = target.ptr + target.len;

	if (!at)
		return target;
	for (at += 3; at < end && *at != '/' && *at != '?';)
		at++;
	return at < end ? oa_bytes(at, (size_t)(end - at)) : OA_LIT("/");
}

static uint64_t fp_target(const struct oa_http_head *head)
{
	struct oa_bytes path = ctx_path_of(oa_http_slice(head, head->target));

	return fp_text(head->method + 1u, path.ptr, path.len);
}

/* Fields that name one request, or one user, and that programs hand on. */
static const enum oa_http_field fp_fields[] = { OA_FIELD_request_id, OA_FIELD_correlation_id, OA_FIELD_authorization,
						OA_FIELD_cookie };
#define FP_FIELDS (sizeof(fp_fields) / sizeof(*fp_fields))

/* A process that has only ever handed targets on unchanged is a proxy: equal targets belong together. */
static bool ctx_is_proxy(void)
{
	if (atomic_load_explicit(&ctx_other_target, memory_order_relaxed))
		return false;
	return atomic_load_explicit(&ctx_same_target, memory_order_relaxed) >= CTX_PROXY_MIN ||
	       __builtin_popcountll(atomic_load_explicit(&ctx_matched, memory_order_relaxed)) >= CTX_MATCH_MIN;
}

/* Is it worth remembering requests by their targets? Not in a server that calls nobody. */
static bool ctx_may_be_proxy(void)
{
	if (atomic_load_explicit(&ctx_other_target, memory_order_relaxed))
		return false;
	return atomic_load_explicit(&ctx_calls, memory_order_relaxed) ||
	       (atomic_load_explicit(&ctx_indexed, memory_order_relaxed) < CTX_INDEX_FIRST &&
		atomic_fetch_add_explicit(&ctx_indexed, 1, memory_order_relaxed) < CTX_INDEX_FIRST);
}

static OA_COLD void ctx_index_texts(struct oa_ref ref, const struct oa_http_head *head, bool target)
{
	for (unsigned i = 0; i < FP_FIELDS; i++)
		if (head->field[fp_fields[i]].len)
			fp_insert(fp_of(fp_fields[i], oa_http_field(head, fp_fields[i])), ref);
	if (target)
		fp_insert(fp_target(head), ref);
}

OA_HOT void oa_ctx_index(struct oa_ref ref, const struct oa_http_head *head, bool remote, const uint8_t trace_id[16],
			 const uint8_t parent_id[8])
{
	bool target = ctx_may_be_proxy();
	uint32_t texts = 0;

	if (remote)
		fp_insert(fp_remote(trace_id, parent_id), ref);
	for (unsigned i = 0; i < FP_FIELDS; i++)
		texts |= head->field[fp_fields[i]].len;
	if (OA_UNLIKELY(texts || target))
		ctx_index_texts(ref, head, target);
}

struct oa_ref oa_ctx_find_remote(const uint8_t trace_id[16], const uint8_t parent_id[8])
{
	return fp_find(fp_remote(trace_id, parent_id));
}

static struct oa_ref ctx_fingerprint(const struct oa_http_head *head)
{
	struct oa_ref found = { 0, 0 };

	for (unsigned i = 0; i < FP_FIELDS && !found.gen; i++)
		if (head->field[fp_fields[i]].len)
			found = fp_find(fp_of(fp_fields[i], oa_http_field(head, fp_fields[i])));
	if (!found.gen && ctx_is_proxy())
		found = fp_find(fp_target(head));
	return found;
}

/* One counter-example is enough for good. */
static void ctx_learn_proxy(struct oa_ref parent, const struct oa_http_head *head)
{
	struct oa_bytes theirs = oa_http_slice(head, head->target);
	const struct oa_span *s;
	struct oa_conn *c;
	bool same;

	if (atomic_load_explicit(&ctx_other_target, memory_order_relaxed) || theirs.len > OA_TARGET_TEXT_MAX)
		return;
	c = oa_exchange_pin(parent);
	if (!c)
		return;
	s = oa_exchange_span(oa_exchange_at(parent.index));
	same = s->method == head->method &&
	       oa_bytes_eq(ctx_path_of(oa_span_str(s, OA_STR_TARGET)), ctx_path_of(theirs));
	oa_conn_unlock(c);
	atomic_fetch_add_explicit(same ? &ctx_same_target : &ctx_other_target, 1, memory_order_relaxed);
}

/* The call has the target of exactly one open request, and that is not the one that flow says it was made for. In what may
 * be a proxy that is one witness against the other: neither is believed, and nothing learnt. */
static bool ctx_contradicts(struct oa_ref parent, const struct oa_http_head *head)
{
	struct oa_ref same;

	if (!parent.gen || atomic_load_explicit(&ctx_other_target, memory_order_relaxed))
		return false;
	same = fp_find(fp_target(head));
	return same.gen && (same.index != parent.index || same.gen != parent.gen);
}

/* An uncertain call. A loop that reads several requests before it acts on them (HAProxy, Squid) never shows a certain
 * pair; but when call after call has the target of exactly one open request, each another one, that is no chance. A call
 * that nobody's target explains starts the count anew. */
static void ctx_learn_match(const struct oa_http_head *head)
{
	uint64_t key = fp_target(head);
	struct fp_slot *slot = fp_lookup(key);

	if (fp_find(key).gen)
		atomic_fetch_or_explicit(&ctx_matched, 1ull << (key * 0x9e3779b97f4a7c15u >> 58), memory_order_relaxed);
	else if (!slot || atomic_load_explicit(&slot->ref, memory_order_relaxed) != UINT64_MAX)
		atomic_store_explicit(&ctx_matched, 0, memory_order_relaxed);
}

/* -- the decision -- */

static void pick_set(struct oa_pick *p, struct oa_ref parent, enum oa_evidence evidence)
{
	p->parent = parent;
	p->evidence = evidence;
}

/* Server exchanges besides `current` that may act now for reasons we cannot see. */
static uint32_t ctx_others_loose(const struct oa_ctx_thread *t, bool process_wide, const struct oa_exchange *current)
{
	struct ctx_sums sums = { .open = thread_open(t), .quiet = thread_quiet(t) };
	bool itself = atomic_load_explicit(&current->loose, memory_order_acquire);
	uint32_t loose;

	if (process_wide && !ctx_process(&sums))
		return 1;
	loose = sums.open > sums.quiet ? sums.open - sums.quiet : 0;
	/* Another thread may have read its answer meanwhile: then nobody knows whether it was counted. */
	atomic_thread_fence(memory_order_acquire);
	if (itself != (bool)atomic_load_explicit(&current->loose, memory_order_relaxed))
		return 1;
	return loose - (itself && loose);
}

/* May another exchange of this loop act because a timer fired? Only timers set before this turn count. */
static bool ctx_timer_due(const struct oa_ctx_thread *t)
{
	return t->timer_ns != UINT64_MAX && oa_host_now_ns() + CTX_TIMER_MARGIN_NS >= t->timer_ns;
}

/* A loop that has always acted on a request in the turn that read it (nginx, node) does not put it off now: then an
 * exchange is loose only because a call of its own could not be attributed. What is left of that call comes over a
 * connection that ctx_opened_by_another() knows. */
static bool ctx_acts_at_once(const struct oa_ctx_thread *t)
{
	return t->at_once >= CTX_AT_ONCE_MIN && !t->deferred && !(t->flags & (CTX_SETTLED | CTX_UNSURE));
}

static bool ctx_is_sync(const struct oa_ctx_thread *t)
{
	return !(t->flags & CTX_NONBLOCK) || ((t->flags & (CTX_WAITED_OWN | CTX_LOOP)) == CTX_WAITED_OWN &&
					      !atomic_load_explicit(&ctx_loop_shared, memory_order_relaxed));
}

/* Do threads take up each other's requests? Then a request that waits for one answer may have more to do, in a queue in
 * memory that any thread empties. */
static bool ctx_tasks_move(void)
{
	return atomic_load_explicit(&ctx_loop_shared, memory_order_relaxed) ||
	       atomic_load_explicit(&ctx_moved, memory_order_relaxed);
}

/* Loops of their own may hand each other work as well (Netty), and need not wake who is awake. Then the request is one that
 * its own loop left without having acted on it. What a loop does before it has shown what it does with its own is no sign. */
static bool ctx_may_be_handed(const struct oa_ctx_thread *t)
{
	return ctx_threads() > 1 &&
	       (t->at_once < CTX_AT_ONCE_MIN || atomic_load_explicit(&ctx_put_off, memory_order_relaxed));
}

/* Tasks may come to this thread from others without a system call: several wait on its epoll descriptor, or it reads
 * non-blocking sockets that it never waited for. Where some do so, a loop that one thread had for itself so far is nobody's. */
static bool ctx_shares_tasks(const struct oa_ctx_thread *t)
{
	return !ctx_is_sync(t) && ((t->flags & (CTX_LOOP | CTX_SHARED)) != CTX_LOOP || ctx_tasks_move() ||
				   ctx_may_be_handed(t));
}

/* For the queue of this thread's own loop: may another request's task run in this turn when current does not, or no
 * more? Who reads an answer often has somebody else wait for it; only a request is worked on by who read it, unless once it
 * was not. */
static bool ctx_queue_may_run(const struct oa_ctx_thread *t)
{
	return t->flags & (CTX_SEVERAL | CTX_LEFT_OVER) &&
	       t->flags & (CTX_RESUMED | CTX_SETTLED | CTX_UNSURE | CTX_PUT_OFF);
}

/* An answer frees a connection, or a place, for whoever waits for one. A request that waits for an answer itself may be
 * among them where requests make several calls at a time; a loop that has not shown yet what it does may do so. */
static bool ctx_answer_frees_another(const struct oa_ctx_thread *t)
{
	return t->flags & CTX_RESUMED && !ctx_is_sync(t) &&
	       (t->at_once < CTX_AT_ONCE_MIN || atomic_load_explicit(&ctx_branches, memory_order_relaxed));
}

/* Is what this thread read last certainly what it works for now? */
static bool ctx_current_certain(const struct oa_ctx_thread *t, const struct oa_exchange *current, bool shared)
{
	bool own_loop = (t->flags & (CTX_LOOP | CTX_SHARED)) == CTX_LOOP;
	/* A worker that made a call for a request another thread read may be on its next job by now. */
	bool process_wide = shared || ctx_shares_tasks(t) || ctx_thread_get(ctx_owner(current)) != t;
	uint32_t open = process_wide ? oa_ctx_open_count() : thread_open(t);

	if (open > 1 && process_wide && ctx_tasks_move())
		return false;
	if (open > 1 && ctx_answer_frees_another(t))
		return false;
	if (ctx_others_loose(t, process_wide, current) && !(own_loop && !process_wide && ctx_acts_at_once(t)))
		return false;
	if (open > 1 && (t->flags & CTX_MIXED || ctx_queue_may_run(t) || (!ctx_is_sync(t) && ctx_timer_due(t))))
		return false;
	/* Else another thread has answered it, and what was counted are the others. */
	return ctx_still_counted(current) && oa_exchange_get(t->current) == current;
}

#define CTX_USERS_MANY UINT8_MAX

/* Which thread is noted in a byte: two that look the same have to have a connection in common first. */
static uint8_t ctx_user(void)
{
	return (uint8_t)(1 + oa_tls.thread_idx % (CTX_USERS_MANY - 1));
}

void oa_ctx_used(struct oa_conn *c)
{
	uint8_t self = ctx_user();

	c->user = !oa_tls.thread_idx || (c->user && c->user != self) ? CTX_USERS_MANY : self;
}

/* A connection that several requests share may be written to by a thread that happens to be in it on behalf of another
 * (gRPC works so). Only a loop that has it for itself writes what it works for. */
static bool ctx_shared_conn(const struct oa_ctx_thread *t, const struct oa_conn *c)
{
	return (c->user == CTX_USERS_MANY || (t->flags & (CTX_LOOP | CTX_SHARED)) != CTX_LOOP);
}

/* Requests read so far, by all threads. Never 0. */
static uint32_t ctx_opened(void)
{
	uint32_t opened = ctx_sum().opened;

	return opened ? opened : 1;
}

struct oa_ref oa_ctx_opener(const struct oa_pick *pick, uint16_t *ret_at)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	*ret_at = atomic_load_explicit(&ctx_unclear, memory_order_relaxed);
	if (pick->parent.gen)
		return pick->parent;
	if (pick->evidence == OA_EV_AMBIGUOUS || (pick->evidence == OA_EV_ROOT && t && t->flags & CTX_LOOP))
		return (struct oa_ref){ ctx_opened() << 1 | (pick->evidence == OA_EV_ROOT), 0 };
	return (struct oa_ref){ 0, 0 };
}

/* What this connection was opened for is not known: its first use is the work of a request of that time, done when the
 * connection became ready, whatever was read last. Unless that leaves one only. A connection that was opened while nothing
 * was served is a background's (a proxy asking for its server's health) when it speaks HTTP/1; pools of other kinds are
 * filled so. */
static bool ctx_opened_by_another(const struct oa_ctx_thread *t, const struct oa_conn *c, const struct oa_http_head *head)
{
	uint32_t note = c->bound.gen || c->flags & OA_CONN_USED ? 0 : c->bound.index;

	if (OA_LIKELY(!note) || (note & 1 && (!head || head->version == 20)) || (head && head->version == 20 && c->open > 1))
		return false;
	if (!(t->flags & CTX_LOOP) && c->user == ctx_user())
		return false; /* a thread that waits for what it works on opened it itself */
	return note >> 1 != (ctx_opened() & UINT32_MAX >> 1) || oa_ctx_open_count() > 1;
}

/* The connection's first use, and it was not opened by what the current request does now. */
static bool ctx_opened_before(const struct oa_ctx_thread *t, const struct oa_conn *c, const struct oa_http_head *head)
{
	return ctx_opened_by_another(t, c, head) || (oa_exchange_get(c->bound) && !(c->flags & OA_CONN_USED));
}

/* A pool that opens a connection for a request may give that one an idle connection meanwhile, and the new one to whoever
 * comes next (hyper). Such a call went over a used connection, and it was that request's, or nobody knows whose. */
static bool ctx_opener_served(const struct oa_ctx_thread *t, const struct oa_conn *c)
{
	return c->bound_at != atomic_load_explicit(&ctx_unclear, memory_order_relaxed) && !ctx_is_sync(t) &&
	       oa_ctx_open_count() > 1;
}

static OA_COLD void ctx_note_unclear(const struct oa_conn *c)
{
	if (c->flags & OA_CONN_USED)
		atomic_fetch_add_explicit(&ctx_unclear, 1, memory_order_relaxed);
}

static OA_COLD void ctx_note_branches(const struct oa_conn *c)
{
	ctx_learn(&ctx_branches);
	ctx_note_unclear(c);
}

/* What the connection was opened for, and counts as pending, is this very call. */
static inline void ctx_learn_branches(const struct oa_conn *c, struct oa_ref parent)
{
	const struct oa_exchange *ex = oa_exchange_get(parent);
	uint32_t own = c->flags & OA_CONN_WORKING && ref_eq(c->bound, parent);

	if (OA_UNLIKELY(ex && atomic_load_explicit(&ex->pending, memory_order_relaxed) > own))
		ctx_note_branches(c);
}

/* The single open exchange of the thread, when there is one. */
static struct oa_ref ctx_only_recent(const struct oa_ctx_thread *t)
{
	for (unsigned i = 0; i < CTX_RECENT; i++) {
		struct oa_ref ref = thread_recent(t, i);
		const struct oa_exchange *ex = oa_exchange_get(ref);

		if (ex && ctx_still_counted(ex))
			return ref;
	}
	return (struct oa_ref){ 0, 0 };
}

/* Exactly one exchange is open in the process, and the thread that read it went on to wait for other work: somebody
 * else, this thread for one, handles it. A known worker need not wait for that. */
static struct oa_ref ctx_only_parked(bool worker)
{
	for (uint32_t i = 0; i < ctx_threads(); i++) {
		struct oa_ctx_thread *t = thread_at(i);
		struct oa_ref ref;
		struct oa_exchange *ex;

		if (!thread_open(t))
			continue;
		ref = ctx_only_recent(t);
		ex = oa_exchange_get(ref);
		if (ex && (t->flags & CTX_LOOP) && (worker || ex->touch_wait != t->waits))
			return ref;
	}
	return (struct oa_ref){ 0, 0 };
}

static void ctx_links_of(const struct oa_ctx_thread *t, struct oa_pick *ret)
{
	for (unsigned i = 0; i < CTX_RECENT && ret->links < OA_LINKS_MAX; i++) {
		struct oa_ref ref = thread_recent(t, i);

		if (oa_exchange_get(ref))
			ret->link[ret->links++] = ref;
	}
}

/* The candidates: what this thread has open, or, when it serves nothing itself, what others have. */
static void ctx_links(const struct oa_ctx_thread *t, struct oa_pick *ret)
{
	if (thread_open(t)) {
		ctx_links_of(t, ret);
		return;
	}
	for (uint32_t i = 0; i < ctx_threads() && ret->links < OA_LINKS_MAX; i++) {
		if (thread_open(thread_at(i)))
			ctx_links_of(thread_at(i), ret);
	}
}

/* Rules 2 to 4: certain without looking at the message. */
static bool ctx_pick_by_flow(struct oa_ctx_thread *t, const struct oa_conn *c, const struct oa_http_head *head,
			     struct oa_pick *ret)
{
	struct oa_exchange *current = oa_exchange_get(t->current), *bound = oa_exchange_get(c->bound);
	bool multiplexed = head && head->version == 20;
	bool shared = multiplexed && ctx_shared_conn(t, c);
	uint32_t open = shared || ctx_shares_tasks(t) ? oa_ctx_open_count() : thread_open(t);

	if (OA_UNLIKELY(c->bound.gen && !bound && head && c->open <= 1 && !(c->flags & OA_CONN_USED)))
		ctx_learn(&ctx_branches);
	if (bound && (c->flags & OA_CONN_USED))
		bound = NULL; /* a pooled connection: what it was opened for says nothing any more */
	if (bound && multiplexed && (c->open > 1 || c->user == CTX_USERS_MANY))
		bound = NULL;
	if (OA_UNLIKELY(ctx_opened_by_another(t, c, head)))
		return false;
	if (bound) {
		/* When another one is current, it must have acted already: then this connection has become writable. */
		if (current && current != bound && !(t->flags & CTX_SETTLED))
			return false;
		/* A pool may give it to another request than it was opened for (hyper), when that found an idle one meanwhile. */
		if (ctx_tasks_move() && !ctx_is_sync(t) && oa_ctx_open_count() > 1)
			return false;
		if (OA_UNLIKELY(ctx_opener_served(t, c)))
			return false;
		pick_set(ret, c->bound, OA_EV_BOUND);
		return true;
	}
	if (current && ctx_current_certain(t, current, shared)) {
		pick_set(ret, t->current, t->flags & CTX_RESUMED ? OA_EV_BOUND : OA_EV_TURN);
		t->at_once += !(t->flags & CTX_SETTLED);
		return true;
	}
	if (open == 1 && !current && !(t->flags & CTX_STRANGER) &&
	    (t->flags & (CTX_LOOP | CTX_BACKGROUND)) != (CTX_LOOP | CTX_BACKGROUND)) {
		struct oa_ref only = ctx_only_recent(t);

		if (only.gen) {
			pick_set(ret, only, OA_EV_ONLY);
			return true;
		}
	}
	if (!thread_open(t) && !(t->flags & CTX_BACKGROUND) && oa_ctx_open_count() == 1) {
		struct oa_ref only = ctx_only_parked(t->flags & CTX_WORKER);

		if (only.gen && oa_ctx_open_count() == 1) { /* none came meanwhile */
			thread_flag(t, CTX_WORKER, 0);
			pick_set(ret, only, OA_EV_ONLY);
			return true;
		}
	}
	return false;
}

OA_HOT void oa_ctx_pick(const struct oa_conn *c, const struct oa_http_head *head, struct oa_pick *ret)
{
	struct oa_ctx_thread *t = ctx_thread_self();

	memset(ret, 0, sizeof(*ret));
	if (!atomic_load_explicit(&ctx_served, memory_order_relaxed)) {
		ret->evidence = OA_EV_ROOT;
		return;
	}
	if (!(t && thread_open(t)) && !oa_ctx_open_count()) {
		/* A call made while nothing is served, by a process that has served: a background thread's. */
		if (t)
			thread_flag(t, CTX_BACKGROUND, 0);
		ret->evidence = OA_EV_ROOT;
		return;
	}
	if (!t) {
		ret->evidence = OA_EV_AMBIGUOUS;
		return;
	}
	if (head)
		ctx_learn(&ctx_calls);
	if (ctx_pick_by_flow(t, c, head, ret)) {
		if (!head || !ctx_contradicts(ret->parent, head)) {
			ctx_learn_branches(c, ret->parent);
			if (head && ret->evidence != OA_EV_ONLY)
				ctx_learn_proxy(ret->parent, head);
			return;
		}
		memset(ret, 0, sizeof(*ret));
	} else if (head) {
		ret->parent = ctx_fingerprint(head);
		ctx_learn_match(head);
		if (ret->parent.gen) {
			ret->evidence = OA_EV_FINGERPRINT;
			return;
		}
	}
	if ((t->flags & CTX_BACKGROUND) && !thread_open(t)) {
		ret->evidence = OA_EV_ROOT;
		return;
	}
	if (!ctx_opened_before(t, c, head))
		thread_flag(t, CTX_UNSURE, 0);
	ctx_note_unclear(c);
	ret->evidence = OA_EV_AMBIGUOUS;
	ctx_links(t, ret);
}

/* Only the forking thread lives on. What it was working on stays its work: a child may answer the request. */
void oa_ctx_after_fork_child(void)
{
	struct oa_ctx_thread *self = ctx_thread_peek();

	for (uint32_t i = 0; i < ctx_threads(); i++) {
		struct oa_ctx_thread *t = thread_at(i);

		if (t != self)
			atomic_store_explicit(&t->gen, t->gen + 2, memory_order_relaxed);
		thread_counts_clear(t);
	}
	for (unsigned i = 0; self && i < CTX_RECENT; i++) {
		struct oa_exchange *ex = oa_exchange_get(oa_ref_unpack(self->recent[i]));

		if (!ex || ctx_thread_get(ctx_owner(ex)) != self || ex->home == oa_exchange_home)
			continue;
		ex->home = oa_exchange_home;
		oa_exchange_flag(ex, 0, OA_EX_ACTIVE); /* the parent counts it */
		atomic_store(&ex->loose, 1);
		thread_add(&self->own_open, 1);
	}
}
