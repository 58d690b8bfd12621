/* The decision: whose work a call is. docs/context.md has the rules, and what each cannot know. */
#include "conn/context_impl.h"
#include "core/tsc.h"

#define CTX_TIMER_MARGIN_NS 2000000u /* event loops round their timers to milliseconds */
#define CTX_USERS_MANY      UINT8_MAX

static _Atomic uint16_t ctx_unclear; /* calls over used connections that may be of a request that is opening another */

/* -- how its thread works -- */

/* Server exchanges besides `current` that may act now for reasons we cannot see. */
static uint32_t ctx_others_loose(const struct oa_ctx_thread *t, bool process_wide, const struct oa_exchange *current)
{
	struct oa_ctx_sums sums = { .open = thread_open(t), .quiet = thread_quiet(t) };
	bool itself = atomic_load_explicit(&current->loose, memory_order_acquire);
	uint32_t loose;

	if (process_wide && !oa_ctx_sum_twice(&sums))
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
					      !ctx_knows(&oa_ctx_learnt.loop_shared));
}

/* Do threads take up each other's requests? Then a request that waits for one answer may have more to do, in a queue in
 * memory that any thread empties. */
static bool ctx_tasks_move(void)
{
	return ctx_knows(&oa_ctx_learnt.loop_shared) ||
	       ctx_knows(&oa_ctx_learnt.moved);
}

/* Loops of their own may hand each other work as well (Netty), and need not wake who is awake. Then the request is one that
 * its own loop left without having acted on it. What a loop does before it has shown what it does with its own is no sign. */
static bool ctx_may_be_handed(const struct oa_ctx_thread *t)
{
	return ctx_threads() > 1 &&
	       (t->at_once < CTX_AT_ONCE_MIN || ctx_knows(&oa_ctx_learnt.put_off));
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
	       (t->at_once < CTX_AT_ONCE_MIN || ctx_knows(&oa_ctx_learnt.branches));
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

/* -- the connection it goes over -- */

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
	uint32_t opened = oa_ctx_sum().opened;

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
	ctx_learn(&oa_ctx_learnt.branches);
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

/* -- the only one there is, and candidates -- */

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

/* -- the rules -- */

static void pick_set(struct oa_pick *p, struct oa_ref parent, enum oa_evidence evidence)
{
	p->parent = parent;
	p->evidence = evidence;
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
		ctx_learn(&oa_ctx_learnt.branches);
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
		t->at_once += t->at_once < CTX_AT_ONCE_MIN && !(t->flags & CTX_SETTLED);
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
	if (!ctx_knows(&oa_ctx_learnt.served)) {
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
		ctx_learn(&oa_ctx_learnt.calls);
	if (ctx_pick_by_flow(t, c, head, ret)) {
		if (!head || !oa_ctx_contradicts(ret->parent, head)) {
			ctx_learn_branches(c, ret->parent);
			if (head && ret->evidence != OA_EV_ONLY)
				oa_ctx_learn_proxy(ret->parent, head);
			return;
		}
		memset(ret, 0, sizeof(*ret));
	} else if (head) {
		ret->parent = oa_ctx_fingerprint(head);
		oa_ctx_learn_match(head);
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
