/* A reason may keep OTELAUTO_KEEP_RATE traces a second in the whole tree. Past that it keeps a share of them, by the same
 * random bits as the head sampler: what is kept still says what it stands for, and is a superset of what any lower
 * probability keeps. The share follows the last second in steps of 50 ms. */
#include "core/config.h"
#include "pipeline/keep.h"
#include "sampler/rules.h"
#include "sampler/threshold.h"

#define BUDGET_STEP_NS (1000000000ull / OA_KEEP_WINDOWS)

void oa_keep_seen(enum oa_keep reason)
{
	atomic_fetch_add_explicit(&oa_sampling()->stratum[reason].seen, 1, memory_order_relaxed);
}

uint64_t oa_keep_threshold(enum oa_keep reason)
{
	return atomic_load_explicit(&oa_sampling()->stratum[reason].threshold, memory_order_relaxed);
}

/* A burst within one window says what the second will be like. */
static double budget_rate(const struct oa_stratum *st, uint32_t newest, double budget)
{
	double rate = 0, burst = (double)newest * OA_KEEP_WINDOWS;

	for (unsigned i = 0; i < OA_KEEP_WINDOWS; i++)
		rate += st->window[i];
	return newest * 4.0 > budget && burst > rate ? burst : rate;
}

static void budget_step(struct oa_stratum *st, uint64_t step, unsigned steps, double budget)
{
	uint64_t seen = atomic_load(&st->seen);
	uint32_t newest = (uint32_t)(seen - st->seen_then);
	double rate;

	for (unsigned i = 1; i < steps && i <= OA_KEEP_WINDOWS; i++) /* that nobody counted */
		st->window[(step - i) % OA_KEEP_WINDOWS] = 0;
	st->window[step % OA_KEEP_WINDOWS] = newest;
	st->seen_then = seen;
	rate = budget_rate(st, steps > 1 ? newest / steps : newest, budget);
	atomic_store(&st->threshold, oa_th_of(rate > budget ? budget / rate : 1));
}

void oa_keep_budget_tick(uint64_t now_ns)
{
	struct oa_sampling *s = oa_sampling();
	uint64_t step = now_ns / BUDGET_STEP_NS, then;

	if (!oa_sampling_turn(&s->keep_ns, now_ns, BUDGET_STEP_NS))
		return;
	then = s->keep_step;
	s->keep_step = step;
	if (step <= then)
		return;
	for (unsigned i = 0; i < OA_KEEP_COUNT; i++)
		budget_step(&s->stratum[i], step, then ? (unsigned)(step - then > 100 ? 100 : step - then) : 1,
			    (double)oa_config.keep_rate);
}
