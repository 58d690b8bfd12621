/* Turns of event loops: what ends one, and what begins the next. */
#include "conn/context_impl.h"
#include "conn/fd_table.h"
#include "core/tsc.h"

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
		ctx_learn(&oa_ctx_learnt.loop_shared);
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
	oa_ctx_leave_current(t);
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
