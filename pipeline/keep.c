/* A record that the tail rule may have a say about waits for the end of its local root, which decides for all of them:
 * those that the head dropped are kept when a reason's share takes them in, and those it kept anyway say from then on what
 * they stand for among the kept ones. Metrics count everything when it comes by. */
#include "pipeline/keep.h"

#include "core/clock.h"
#include "core/config.h"
#include "core/config_value.h"
#include "core/stats.h"
#include "exporter/span_attrs.h"
#include "pipeline/batch.h"
#include "pipeline/processor.h"
#include "sampler/ot_state.h"
#include "sampler/sampler.h"

#define KEEP_SPANS_MAX 256           /* of one trace; a request that makes more calls is known well enough */
#define KEEP_AGE_NS    30000000000ull
#define KEEP_RECALL    8192          /* decisions remembered for calls that end after their request */

/* What became of a trace. */
struct keep_decision {
	bool kept;          /* by a reason */
	uint8_t reason;     /* enum oa_keep */
	uint64_t threshold; /* what kept spans stand for */
};

static bool keep_on;
static uint32_t keep_held_sampled;
static struct {
	uint8_t id[16];
	struct keep_decision decision;
} keep_recalled[KEEP_RECALL];

/* -- what a record says -- */

/* The request itself, or a call that begins a trace, or one that the program gave a context of its own. */
static bool keep_is_root(const struct oa_span *s)
{
	return s->what != OA_WHAT_TUNNEL && (s->kind == OA_KIND_SERVER || s->flags & (OA_SPAN_OWN_DECISION | OA_SPAN_FOREIGN));
}

/* A call that was refused or not answered; 4xx is an answer. */
static bool keep_call_failed(const struct oa_span *s)
{
	return s->error != OA_ERR_NONE || (s->flags & OA_SPAN_HAS_STATUS && (s->status >= 500 || s->status < 100));
}

static uint64_t keep_random(const struct oa_span *s)
{
	struct oa_ot ot;

	oa_ot_parse(oa_span_str(s, OA_STR_TRACESTATE), &ot);
	return ot.has_random ? ot.random : oa_th_random(s->trace_id);
}

/* -- what a decision does to a record -- */

static void keep_set_threshold(struct oa_span_buf *rec, uint64_t threshold)
{
	static uint8_t text[OA_TRACESTATE_MAX];
	struct oa_buf out = oa_buf(text, sizeof(text));
	struct oa_bytes list = oa_span_str(&rec->s, OA_STR_TRACESTATE);
	struct oa_ot ot;

	oa_ot_parse(list, &ot);
	if (ot.threshold != OA_TH_NONE && ot.threshold <= threshold) /* as it would have been without the rule */
		return;
	if (oa_ot_write(list, &ot, threshold, &out))
		(void)oa_span_set_str(&rec->s, sizeof(*rec), OA_STR_TRACESTATE, oa_buf_bytes(&out));
}

static void keep_apply(struct oa_span_buf *rec, const struct keep_decision *d)
{
	if (!d->kept)
		return;
	keep_set_threshold(rec, d->threshold);
	if (rec->s.flags & OA_SPAN_SAMPLED)
		return;
	rec->s.flags |= OA_SPAN_SAMPLED;
	rec->s.keep = (uint8_t)(d->reason + 1);
}

static enum oa_stat keep_stat(const struct oa_span *s)
{
	return s->keep ? OA_STAT_spans_kept : s->flags & OA_SPAN_SAMPLED ? OA_STAT_spans_sampled : OA_STAT_spans_unsampled;
}

static void keep_note_held(int change)
{
	keep_held_sampled += (uint32_t)change;
	if (oa_self)
		atomic_store_explicit(&oa_self->held, keep_held_sampled, memory_order_relaxed);
}

static void keep_release(struct oa_keep_trace *t, const struct keep_decision *d)
{
	static struct oa_span_buf rec;

	while (oa_keep_take(t, &rec)) {
		if (rec.s.flags & OA_SPAN_SAMPLED)
			keep_note_held(-1);
		keep_apply(&rec, d);
		oa_stat_inc(keep_stat(&rec.s));
		if (rec.s.flags & OA_SPAN_SAMPLED)
			oa_batch_put(&rec, t->who);
	}
	oa_keep_end(t);
}

/* -- deciding -- */

static bool keep_wants(enum oa_keep reason) { return oa_config.keep >> reason & 1; }

/* Traces of several reasons are kept by the most generous of them: one threshold says all. */
static struct keep_decision keep_decide(const bool reasons[OA_KEEP_COUNT], uint64_t random)
{
	struct keep_decision d = { .threshold = OA_TH_NEVER };

	for (unsigned i = 0; i < OA_KEEP_COUNT; i++) {
		uint64_t threshold;

		if (!reasons[i] || !keep_wants((enum oa_keep)i))
			continue;
		oa_keep_seen((enum oa_keep)i);
		threshold = oa_keep_threshold((enum oa_keep)i);
		if (threshold >= d.threshold)
			continue;
		d.threshold = threshold;
		d.reason = (uint8_t)i;
	}
	d.kept = random >= d.threshold;
	return d;
}

static void keep_count(const struct keep_decision *d)
{
	atomic_fetch_add_explicit(&oa_tree->sampling.stratum[d->reason].kept, 1, memory_order_relaxed);
}

/* Without its root: by what has failed so far. */
static void keep_decide_early(struct oa_keep_trace *t, enum oa_stat why)
{
	const bool reasons[OA_KEEP_COUNT] = { [OA_KEEP_ERROR] = t->failed };
	struct keep_decision d = keep_decide(reasons, t->random);

	oa_stat_inc(why);
	if (d.kept)
		keep_count(&d);
	keep_release(t, &d);
}

/* -- remembering -- */

static unsigned keep_recall_at(const uint8_t id[16])
{
	return (unsigned)(oa_th_random(id) % KEEP_RECALL);
}

static const struct keep_decision *keep_recall(const uint8_t id[16])
{
	unsigned at = keep_recall_at(id);

	return memcmp(keep_recalled[at].id, id, 16) ? NULL : &keep_recalled[at].decision;
}

static void keep_remember(const uint8_t id[16], const struct keep_decision *d)
{
	unsigned at = keep_recall_at(id);

	memcpy(keep_recalled[at].id, id, 16);
	keep_recalled[at].decision = *d;
}

/* -- records -- */

static bool keep_is_slow(const struct oa_span *s, const struct oa_keep_usual *usual)
{
	uint64_t limit = oa_config.keep_slow ? (uint64_t)oa_config.keep_slow * 1000000 : usual->p99_ns;

	return limit && s->duration_ns > limit;
}

static void keep_root(struct oa_span_buf *rec)
{
	const struct oa_span *s = &rec->s;
	struct oa_keep_usual usual = oa_keep_route(s, s->start_ns + s->duration_ns);
	struct oa_keep_trace *t = oa_keep_find(s->trace_id);
	const bool reasons[OA_KEEP_COUNT] = {
		[OA_KEEP_ERROR] = oa_span_failed(s) || (t && t->failed),
		[OA_KEEP_SLOW] = keep_is_slow(s, &usual),
		[OA_KEEP_RARE] = usual.lately < (uint64_t)oa_config.keep_rare,
	};
	struct keep_decision d = keep_decide(reasons, keep_random(s));

	if (d.kept && !(s->flags & OA_SPAN_SAMPLED))
		keep_count(&d);
	keep_remember(s->trace_id, &d);
	if (t)
		keep_release(t, &d); /* before the root is queued: drain.c asks for that one when this process died */
	keep_apply(rec, &d);
}

static bool keep_make_room(const struct oa_keep_trace *t)
{
	struct oa_keep_trace *oldest = oa_keep_oldest();

	if (!oldest || oldest == t)
		return false;
	keep_decide_early(oldest, OA_STAT_keep_memory);
	return true;
}

static bool keep_hold(const struct oa_span *s, const struct oa_proc_id *who)
{
	struct oa_keep_trace *t;

	do
		t = oa_keep_begin(s->trace_id, who, oa_now_ns());
	while (!t && keep_make_room(NULL));
	if (!t)
		return false;
	if (t->count >= KEEP_SPANS_MAX && !keep_call_failed(s)) {
		oa_stat_inc(OA_STAT_keep_spans);
		return false;
	}
	while (!oa_keep_hold(t, s))
		if (!keep_make_room(t)) {
			oa_stat_inc(OA_STAT_keep_memory);
			return false;
		}
	t->random = keep_random(s);
	t->failed |= keep_call_failed(s);
	return true;
}

static void keep_child(struct oa_span_buf *rec, const struct oa_proc_id *who)
{
	const struct keep_decision *known = keep_recall(rec->s.trace_id);

	if (known) {
		keep_apply(rec, known);
		return;
	}
	if (!keep_hold(&rec->s, who))
		return; /* as the head decided */
	if (rec->s.flags & OA_SPAN_SAMPLED)
		keep_note_held(1);
	rec->s.flags = (rec->s.flags & ~OA_SPAN_SAMPLED) | OA_SPAN_HELD;
}

static int keep_on_span(struct oa_span_buf *rec, const struct oa_proc_id *who)
{
	if (!keep_on || !(rec->s.flags & OA_SPAN_TAIL))
		return 0;
	if (keep_is_root(&rec->s))
		keep_root(rec);
	else
		keep_child(rec, who);
	return 0;
}

/* -- the rest -- */

static int keep_open(void)
{
	keep_on = (oa_sampler_tail || oa_sampler_tail_remote) && oa_tree && !oa_keep_store_open((size_t)oa_config.keep_memory << 20);
	return 0;
}

static void keep_on_tick(uint64_t now_ns)
{
	struct oa_keep_trace *t;

	if (!keep_on)
		return;
	oa_keep_budget_tick(now_ns);
	while ((t = oa_keep_oldest()) && now_ns - t->since_ns > KEEP_AGE_NS && now_ns > t->since_ns)
		keep_decide_early(t, OA_STAT_keep_age);
	if (oa_self)
		atomic_store_explicit(&oa_self->held_bytes, oa_keep_bytes(), memory_order_relaxed);
}

static void keep_flush(void)
{
	struct oa_keep_trace *t;

	while (keep_on && (t = oa_keep_oldest()))
		keep_decide_early(t, OA_STAT_keep_exit);
}

static void keep_adopted(const struct oa_proc_id *who)
{
	struct oa_keep_trace *t;
	uint32_t pos = 0;

	while (keep_on && (t = oa_keep_of(who, &pos)))
		keep_decide_early(t, OA_STAT_keep_exit);
}

static void keep_forget(void)
{
	keep_on = false;
	keep_held_sampled = 0;
	memset(keep_recalled, 0, sizeof(keep_recalled));
	oa_keep_route_forget();
	oa_keep_store_forget();
}

const struct oa_processor oa_processor_keep = {
	.name = "keep",
	.open = keep_open,
	.on_span = keep_on_span,
	.on_tick = keep_on_tick,
	.flush = keep_flush,
	.adopted = keep_adopted,
	.forget = keep_forget,
};
