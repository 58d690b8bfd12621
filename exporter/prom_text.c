/* Puts the parts of a scrape in order. */
#include "exporter/prom_text.h"

#include <errno.h>

#include "core/tree.h"

static void prom_find_alive(struct oa_prom_alive *alive)
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

int oa_prom_render(struct oa_prom_out *o)
{
	struct oa_prom_alive alive;

	o->len = 0;
	o->failed = false;
	prom_find_alive(&alive);
	oa_prom_target(o);
	oa_prom_series(o);
	oa_prom_process(o, &alive);
	oa_prom_self(o, &alive);
	if (o->openmetrics)
		oa_prom_lit(o, "# EOF\n");
	return o->failed ? -ENOMEM : 0;
}

void oa_prom_forget(void) { oa_prom_series_forget(); }
