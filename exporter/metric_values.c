/* Values of metrics that are sums over the processes of the tree. What only grows is summed over all slots, dead owners'
 * included, so it never falls; the rest over the processes that live. */
#include "exporter/metric_walk.h"
#include "exporter/prom_text.h"

void oa_metric_alive(struct oa_prom_alive *alive)
{
	bool self_seen = false;

	alive->count = 0;
	for (unsigned i = 0; oa_tree && i < OA_PROCS_MAX; i++) {
		const struct oa_proc *p = &oa_tree->procs[i];

		if (atomic_load_explicit(&p->state, memory_order_acquire) != OA_PROC_LIVE)
			continue;
		self_seen |= p == oa_self;
		if (p == oa_self || !oa_proc_dead(p))
			alive->proc[alive->count++] = p;
	}
	/* Without a free slot this process counts in a private one. */
	if (oa_self && !self_seen)
		alive->proc[alive->count++] = oa_self;
}

uint64_t oa_metric_usage(enum oa_usage u, const struct oa_prom_alive *alive)
{
	bool slots = u < OA_USAGE_CUMULATIVE && oa_tree, in_tree;
	uint64_t sum = 0;

	for (unsigned i = 0; slots && i < OA_PROCS_MAX; i++)
		sum += atomic_load_explicit(&oa_tree->procs[i].usage[u], memory_order_relaxed);
	for (unsigned i = 0; i < alive->count; i++) {
		in_tree = slots && alive->proc[i] >= oa_tree->procs &&
			  alive->proc[i] < oa_tree->procs + OA_PROCS_MAX;
		if (!in_tree)
			sum += atomic_load_explicit(&alive->proc[i]->usage[u],
						    memory_order_relaxed);
	}
	return sum;
}

static uint64_t metric_active_sum(const struct oa_prom_alive *alive, enum oa_kind kind,
				unsigned method, unsigned https)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < alive->count; i++) {
		const struct oa_proc *p = alive->proc[i];

		sum += atomic_load_explicit(kind == OA_KIND_SERVER
						    ? &p->active_server[method][https]
						    : &p->active_client[method][https],
					    memory_order_relaxed);
	}
	return sum > 0 ? (uint64_t)sum : 0;
}

/* What a method's open exchanges are counted under: those that are not known are one. */
static unsigned metric_active_method(unsigned method)
{
	struct oa_bytes name = oa_bytes_str(oa_method_name((enum oa_method)method));

	return oa_method_is_other(oa_method_exported(name)) ? OA_METHOD_OTHER : method;
}

void oa_metric_active(uint64_t ret_sums[OA_METHOD_COUNT][2], const struct oa_prom_alive *alive, enum oa_kind kind)
{
	memset(ret_sums, 0, sizeof(uint64_t[OA_METHOD_COUNT][2]));
	for (unsigned at = 0; at < OA_METHOD_COUNT * 2; at++)
		ret_sums[metric_active_method(at / 2)][at % 2] += metric_active_sum(alive, kind, at / 2, at % 2);
}
