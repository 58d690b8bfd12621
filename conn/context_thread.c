/* The states of threads: taken when one first does something of interest, given back at its end, and summed up. */
#include <pthread.h>

#include "conn/context_impl.h"
#include "conn/feed.h"
#include "conn/inject.h"
#include "conn/internal.h"
#include "core/stats.h"

struct oa_pool oa_ctx_pool = OA_POOL(sizeof(struct oa_ctx_thread), CTX_CHUNK_SHIFT, OA_THREADS_MAX);
struct oa_ctx_learnt oa_ctx_learnt;
static pthread_key_t ctx_key;
static bool ctx_key_ok;

/* -- free exchanges of its own: whoever reads many requests before it answers them needs many at a time -- */

#define CTX_SPARES 32

/* The pool's word links them, and `next` says how many there are. Each change of the list is one store: nothing else of the
 * thread comes between but a handler that jumps away. */
static inline int64_t ctx_take_spare(struct oa_ctx_thread *t)
{
	uint32_t name = t->spare;

	if (OA_LIKELY(name))
		t->spare = __atomic_load_n(&oa_exchange_at(name - 1)->pool_next, __ATOMIC_RELAXED);
	return (int64_t)name - 1;
}

OA_HOT int64_t oa_ctx_take_spare(void)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	return t ? ctx_take_spare(t) : -1;
}

OA_HOT bool oa_ctx_keep_spare(uint32_t index)
{
	struct oa_exchange *ex = oa_exchange_at(index);
	struct oa_ctx_thread *t = ctx_thread_peek();
	uint32_t kept;

	if (!t)
		return false;
	kept = t->spare ? oa_exchange_at(t->spare - 1)->next : 0;
	if (kept == CTX_SPARES)
		return false;
	ex->next = kept + 1;
	__atomic_store_n(&ex->pool_next, t->spare, __ATOMIC_RELAXED);
	atomic_signal_fence(memory_order_release);
	t->spare = index + 1;
	return true;
}

/* -- beginning and end -- */

static void ctx_thread_exit(void *arg)
{
	uint32_t index = (uint32_t)(uintptr_t)arg - 1;
	struct oa_ctx_thread *t = thread_at(index);

	if (oa_tls.send_sp) /* cancelled while it sent */
		oa_conn_send_lost();
	oa_inject_thread_exit(&t->flights);
	oa_tls.thread_idx = 0;
	oa_tls.context = NULL;
	while (t->spare)
		oa_pool_give(&oa_exchange_pool, (uint32_t)ctx_take_spare(t));
	atomic_store_explicit(&t->gen, t->gen + 2, memory_order_relaxed);
	oa_pool_give(&oa_ctx_pool, index);
}

OA_COLD struct oa_ctx_thread *oa_ctx_thread_new(void)
{
	int64_t index = oa_pool_take(&oa_ctx_pool);
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
	t->spare = 0;
	t->flights = (struct oa_flights){ 0 };
	t->at_once = t->in_order = 0;
	t->deferred = false;
	t->current = (struct oa_ref){ 0, 0 };
	atomic_store_explicit(&t->gen, t->gen | 1, memory_order_relaxed);
	t->timer_ns = UINT64_MAX; /* it served nothing so far: no timer can belong to a request */
	oa_tls.thread_idx = (uint32_t)index + 1;
	oa_tls.context = t;
	if (ctx_key_ok)
		pthread_setspecific(ctx_key, (void *)(uintptr_t)(index + 1));
	return t;
}

void oa_ctx_watch_thread(void)
{
	(void)ctx_thread_self();
}

struct oa_flights *oa_ctx_flights(void)
{
	struct oa_ctx_thread *t = ctx_thread_peek();

	return t ? &t->flights : NULL;
}

int oa_ctx_init(void)
{
	ctx_key_ok = !pthread_key_create(&ctx_key, ctx_thread_exit);
	return 0;
}

/* -- all of them -- */

struct oa_ctx_sums oa_ctx_sum(void)
{
	struct oa_ctx_sums sums = { 0 };

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
bool oa_ctx_sum_twice(struct oa_ctx_sums *ret)
{
	struct oa_ctx_sums again;

	*ret = oa_ctx_sum();
	atomic_thread_fence(memory_order_acquire);
	again = oa_ctx_sum();
	return memcmp(ret, &again, sizeof(again)) == 0;
}

/* More than one when that cannot be told. */
uint32_t oa_ctx_open_count(void)
{
	struct oa_ctx_sums sums;

	for (unsigned i = 0; i < 3; i++)
		if (oa_ctx_sum_twice(&sums))
			return sums.open;
	return sums.open > 1 ? sums.open : 2;
}

/* -- fork -- */

static void thread_counts_clear(struct oa_ctx_thread *t)
{
	atomic_store_explicit(&t->own_open, 0, memory_order_relaxed);
	atomic_store_explicit(&t->own_quiet, 0, memory_order_relaxed);
	atomic_store_explicit(&t->other_open, 0, memory_order_relaxed);
	atomic_store_explicit(&t->other_quiet, 0, memory_order_relaxed);
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
