/* Evidence about causality, kept per thread: what the thread read last (`current`), whether it visibly acted on it
 * since, how many server exchanges it has open and how many of those wait for something we can see ("quiet").
 * docs/context.md explains the rules and what each cannot know. */
#include "conn/context_impl.h"

/* -- loose and quiet -- */

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

/* Says it, and whether it was otherwise. Where threads take up each other's work several may say so at the same moment; then
 * one of them counts it. A count that drifts would make uncertain calls certain, for good. */
static inline bool ctx_turn_loose(struct oa_exchange *ex, bool loose)
{
	if (atomic_load_explicit(&ex->loose, memory_order_relaxed) == loose)
		return false;
	if (ctx_knows(&oa_ctx_learnt.calls) && ctx_threads() > 1)
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

/* -- what a thread works for -- */

/* Is leaving the current exchange now a sign that this loop puts work off? Not while more of its bytes must come. */
OA_NOINLINE void oa_ctx_leave_current(struct oa_ctx_thread *t)
{
	struct oa_exchange *current = oa_exchange_get(t->current);

	if (!current || t->flags & (CTX_SETTLED | CTX_UNSURE) || !(current->flags & OA_EX_REQ_DONE))
		return;
	if (t->flags & CTX_RESUMED && atomic_load_explicit(&current->pending, memory_order_relaxed))
		return;
	t->deferred = true;
	ctx_learn(&oa_ctx_learnt.put_off);
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
		t->in_order += t->in_order < CTX_AT_ONCE_MIN;
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
		oa_ctx_leave_current(t);
	}
	if (OA_UNLIKELY(ctx_thread_get(ctx_owner(ex)) != t))
		ctx_learn(&oa_ctx_learnt.moved);
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
	oa_ctx_leave_current(t);
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

/* -- requests come and go -- */

/* This thread reads a request without having waited: another one did, and handed it over in memory. */
static OA_COLD void ctx_waited_for(void)
{
	if (ctx_threads() > 1)
		ctx_learn(&oa_ctx_learnt.moved);
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
		oa_ctx_leave_current(t);
	}
	t->current = ref;
	atomic_store_explicit(&ex->touch_wait, atomic_load_explicit(&t->waits, memory_order_relaxed), memory_order_relaxed);
	thread_flag(t, CTX_SERVED | (nonblock ? CTX_NONBLOCK : 0),
		    CTX_RESUMED | CTX_SETTLED | CTX_UNSURE | CTX_NONBLOCK | CTX_STRANGER | CTX_ANSWERED);
	ctx_learn(&oa_ctx_learnt.served);
	if (OA_UNLIKELY(nonblock && !(t->flags & (CTX_LOOP | CTX_WAITED_OWN))))
		ctx_waited_for();
}

/* Before it leaves the counts: who has counted without it sees that it is over. */
static inline void ctx_disown(struct oa_exchange *ex)
{
	atomic_store_explicit(&ex->owner, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
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

/* -- work under way for them -- */

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
