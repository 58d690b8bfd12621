#include "sampler/adaptive.h"

#include "sampler/threshold.h"

#define ADAPTIVE_FEW   20   /* fewer requests in a minute say little about how many fail */
#define ADAPTIVE_ALPHA 0.25 /* share of the newest second in the average */

/* -- what was counted -- */

static void adaptive_clear_seconds(struct oa_adaptive *a, uint64_t from, uint64_t to)
{
	if (to - from > OA_ERROR_SECONDS)
		from = to - OA_ERROR_SECONDS;
	while (from < to) {
		unsigned at = (unsigned)(++from % OA_ERROR_SECONDS);

		a->seen[at] = a->failed[at] = 0;
	}
}

double oa_adaptive_error_rate(const struct oa_adaptive *a)
{
	uint64_t seen = 0, failed = 0;

	for (unsigned i = 0; i < OA_ERROR_SECONDS; i++) {
		seen += a->seen[i];
		failed += a->failed[i];
	}
	return failed ? (double)failed / (double)(seen < ADAPTIVE_FEW ? ADAPTIVE_FEW : seen) : 0;
}

static void adaptive_rate(struct oa_adaptive *a, double count, double seconds)
{
	double now = count / seconds, alpha = ADAPTIVE_ALPHA * seconds;

	if (!(a->probability > 0) || now > a->rate * OA_ADAPTIVE_BURST)
		a->rate = now;
	else
		a->rate += (alpha < 1 ? alpha : 1) * (now - a->rate);
}

static void adaptive_count(struct oa_class *c, uint64_t then_ns, uint64_t now_ns)
{
	uint64_t seen = atomic_load(&c->seen), failed = atomic_load(&c->failed);
	struct oa_adaptive *a = &c->adaptive;
	unsigned at = (unsigned)(now_ns / 1000000000 % OA_ERROR_SECONDS);

	adaptive_clear_seconds(a, then_ns / 1000000000, now_ns / 1000000000);
	a->seen[at] += (uint32_t)(seen - a->seen_then);
	a->failed[at] += (uint32_t)(failed - a->failed_then);
	adaptive_rate(a, (double)(seen - a->seen_then), (double)(now_ns - then_ns) / 1e9);
	a->seen_then = seen;
	a->failed_then = failed;
}

/* -- what may be kept -- */

static bool adaptive_controls(const struct oa_class *c)
{
	return atomic_load(&c->used) && !atomic_load(&c->fixed);
}

static double adaptive_weight(const struct oa_class *c)
{
	return c->adaptive.weight > 0 ? c->adaptive.weight : 1;
}

/* The level at which the classes together keep the target, each at most level times its weight: max-min fairness. What a
 * class does not need goes to the others. returns a negative number when there is enough for all */
static double adaptive_level(const struct oa_sampling *s, double target)
{
	bool sated[OA_CLASSES_MAX] = { false };

	for (;;) {
		double weights = 0, left = target, level;
		bool changed = false;

		for (unsigned i = 0; i < OA_CLASSES_MAX; i++) {
			if (!adaptive_controls(&s->cls[i]))
				continue;
			if (sated[i])
				left -= s->cls[i].adaptive.rate;
			else
				weights += adaptive_weight(&s->cls[i]);
		}
		if (!(weights > 0))
			return -1;
		level = left > 0 ? left / weights : 0;
		for (unsigned i = 0; i < OA_CLASSES_MAX; i++)
			if (adaptive_controls(&s->cls[i]) && !sated[i] &&
			    s->cls[i].adaptive.rate <= level * adaptive_weight(&s->cls[i]))
				changed = sated[i] = true;
		if (!changed)
			return level;
	}
}

static double adaptive_clamp(double p)
{
	return p > 1 ? 1 : p > OA_ADAPTIVE_MIN ? p : OA_ADAPTIVE_MIN;
}

static double adaptive_boost(const struct oa_adaptive *a)
{
	double errors = oa_adaptive_error_rate(a) / OA_ADAPTIVE_ERRORS;

	return 1 + (OA_ADAPTIVE_BOOST - 1) * (errors < 1 ? errors : 1);
}

static void adaptive_want(struct oa_class *c, double level)
{
	struct oa_adaptive *a = &c->adaptive;
	double share = level * adaptive_weight(c);

	if (level < 0 || a->rate <= share)
		a->wanted = 1;
	else
		a->wanted = adaptive_clamp(share / a->rate * adaptive_boost(a));
}

/* -- getting there -- */

/* OA_ADAPTIVE_GROWTH to the power of a time, without libm. */
static double adaptive_growth(double seconds)
{
	double growth = 1;

	for (; seconds >= 1 && growth < 1e4; seconds -= 1)
		growth *= OA_ADAPTIVE_GROWTH;
	return growth * (1 + (OA_ADAPTIVE_GROWTH - 1) * (seconds < 1 ? seconds : 0));
}

static void adaptive_move(struct oa_class *c, double seconds)
{
	struct oa_adaptive *a = &c->adaptive;
	double p = a->probability, next = p;

	if (!(p > 0) || a->wanted < p * (1 - OA_ADAPTIVE_SLACK)) {
		next = a->wanted;
	} else if (a->wanted > p * (1 + OA_ADAPTIVE_SLACK) || (a->wanted >= 1 && p < 1)) {
		next = p * adaptive_growth(seconds);
		next = next < a->wanted ? next : a->wanted;
	}
	a->probability = adaptive_clamp(next);
	atomic_store_explicit(&c->threshold, oa_th_of(a->probability), memory_order_relaxed);
}

void oa_adaptive_step(struct oa_sampling *s, double target, uint64_t now_ns)
{
	uint64_t then_ns = atomic_load(&s->step_ns);
	double seconds, level;

	atomic_store(&s->step_ns, now_ns);
	if (!then_ns || now_ns <= then_ns)
		return; /* the first one: nothing to compare with */
	seconds = (double)(now_ns - then_ns) / 1e9;
	for (unsigned i = 0; i < OA_CLASSES_MAX; i++)
		if (atomic_load(&s->cls[i].used)) {
			adaptive_count(&s->cls[i], then_ns, now_ns);
			s->cls[i].adaptive.kept_then = atomic_load(&s->cls[i].kept);
		}
	level = adaptive_level(s, target);
	for (unsigned i = 0; i < OA_CLASSES_MAX; i++)
		if (adaptive_controls(&s->cls[i])) {
			adaptive_want(&s->cls[i], level);
			adaptive_move(&s->cls[i], seconds);
		}
}

bool oa_adaptive_flooded(const struct oa_sampling *s, double target, uint64_t now_ns)
{
	uint64_t kept = 0, then_ns = atomic_load(&s->step_ns);

	if (!then_ns || now_ns - then_ns < OA_ADAPTIVE_STEP_NS / 20)
		return false; /* too short a time to measure a rate */
	for (unsigned i = 0; i < OA_CLASSES_MAX; i++)
		if (adaptive_controls(&s->cls[i]))
			kept += atomic_load(&s->cls[i].kept) - s->cls[i].adaptive.kept_then;
	return (double)kept > 2 * (target > 1 ? target : 1);
}
