/* Counters. Each process counts in its own slot of the tree; what it counts before it has one waits
 * in a private array until the side thread moves it over. */
#include "core/stats.h"

#include <stddef.h>
#include <string.h>

#include "core/attr.h"
#include "core/inject_result.h"
#include "core/span.h"
#include "core/tree.h"

/* The texts of each counter behind one another, and where they begin: pointers would have to be relocated in every
 * process that starts. */
static const struct {
#define OA_STAT(id, metric, label, value, help) char id[sizeof(metric "\0" label "\0" value "\0" help)];
#include "core/stats.def"
#undef OA_STAT
} stats_texts = {
#define OA_STAT(id, metric, label, value, help) metric "\0" label "\0" value "\0" help,
#include "core/stats.def"
#undef OA_STAT
};
static const uint16_t stats_text_at[OA_STAT_COUNT] = {
#define OA_STAT(id, metric, label, value, help) offsetof(__typeof__(stats_texts), id),
#include "core/stats.def"
#undef OA_STAT
};
_Static_assert(sizeof(stats_texts) <= UINT16_MAX, "offsets fit");

struct oa_stat_info oa_stat_info(enum oa_stat s)
{
	const char *metric = (const char *)&stats_texts + stats_text_at[s], *label = metric + strlen(metric) + 1;
	const char *value = label + strlen(label) + 1;

	return (struct oa_stat_info){ metric, label, value, value + strlen(value) + 1 };
}

enum { OA_STAT_inject_NONE };

/* pipeline/red_metrics.c adds the enums to the first of their lines. */
#define OA_INJECT(id, name, help) \
	_Static_assert(OA_INJECT_##id == OA_INJECT_NONE || \
			       OA_STAT_inject_DONE + OA_INJECT_##id - OA_INJECT_DONE == \
				       OA_STAT_inject_##id, \
		       "stats.def follows inject_result.def");
#include "core/inject_result.def"
#undef OA_INJECT
_Static_assert(OA_STAT_parent_ROOT + OA_EV_COUNT - 1 == OA_STAT_parent_AMBIGUOUS,
	       "stats.def follows enum oa_evidence");

static _Atomic uint64_t stats_early[OA_STAT_COUNT];

OA_HOT void oa_stat_add(enum oa_stat s, uint64_t n)
{
	struct oa_proc *self = atomic_load_explicit(&oa_self, memory_order_acquire);

	atomic_fetch_add_explicit(self ? &self->stat[s] : &stats_early[s], n, memory_order_relaxed);
}

void oa_stat_touch(enum oa_stat s)
{
	struct oa_proc *self = atomic_load_explicit(&oa_self, memory_order_acquire);

	if (!self || !atomic_load_explicit(&self->stat[s], memory_order_relaxed))
		oa_stat_add(s, 0);
}

static bool stats_in_tree(const struct oa_proc *p)
{
	return oa_tree && p >= oa_tree->procs && p < oa_tree->procs + OA_PROCS_MAX;
}

uint64_t oa_stat_sum(enum oa_stat s)
{
	const struct oa_proc *self = atomic_load_explicit(&oa_self, memory_order_acquire);
	uint64_t sum = atomic_load_explicit(&stats_early[s], memory_order_relaxed);

	if (oa_tree)
		for (unsigned i = 0; i < OA_PROCS_MAX; i++)
			sum += atomic_load_explicit(&oa_tree->procs[i].stat[s],
						    memory_order_relaxed);
	if (self && !stats_in_tree(self))
		sum += atomic_load_explicit(&self->stat[s], memory_order_relaxed);
	return sum;
}

void oa_stat_settle(void)
{
	struct oa_proc *self = atomic_load_explicit(&oa_self, memory_order_acquire);

	if (!self)
		return;
	for (unsigned i = 0; i < OA_STAT_COUNT; i++) {
		if (!atomic_load_explicit(&stats_early[i], memory_order_relaxed))
			continue;
		atomic_fetch_add_explicit(
			&self->stat[i],
			atomic_exchange_explicit(&stats_early[i], 0, memory_order_relaxed),
			memory_order_relaxed);
	}
}

void oa_stat_forget(void)
{
	for (unsigned i = 0; i < OA_STAT_COUNT; i++)
		atomic_store_explicit(&stats_early[i], 0, memory_order_relaxed);
}
