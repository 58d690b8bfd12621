/* Puts the parts of a scrape in order. */
#include "exporter/prom_text.h"

#include <errno.h>

#include "core/tree.h"
#include "exporter/metric_walk.h"

int oa_prom_render(struct oa_prom_out *o)
{
	struct oa_prom_alive alive;

	o->len = 0;
	o->failed = false;
	o->dropped = false;
	oa_metric_alive(&alive);
	oa_prom_target(o);
	oa_prom_series(o);
	oa_prom_process(o, &alive);
	oa_prom_self(o, &alive);
	oa_prom_families_end(o);
	if (o->openmetrics)
		oa_prom_lit(o, "# EOF\n");
	return o->failed ? -ENOMEM : 0;
}

void oa_prom_forget(void) { oa_prom_series_forget(); }
