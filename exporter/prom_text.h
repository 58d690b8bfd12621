#pragma once
/* The metrics of a process tree as Prometheus text 0.0.4 or OpenMetrics 1.0.0. docs/metrics.md
 * lists them. */
#include "core/span.h"
#include "core/tree.h"
#include "exporter/prom_out.h"

/* Renders everything into `o`, from its start; `o->openmetrics` says which format.
 *
 * returns   0, or -ENOMEM: the text is not whole and must not be sent
 * runs on   side thread; locks: none; heap: yes; blocks: no
 */
int oa_prom_render(struct oa_prom_out *o);

/* Child after fork: forgets the caches without touching them. signal-safe: yes */
void oa_prom_forget(void);

/* -- the parts, for prom_text.c -- */

/* Labels every sample of an OpenTelemetry instrument carries. */
#define OA_PROM_SCOPE "otel_scope_name=\"otelauto\",otel_scope_version=\"" OA_VERSION "\""

/* prom_series.c: the histograms. */
void oa_prom_series(struct oa_prom_out *o);
/* True when a series of that method and scheme exists: then the gauge of open exchanges is shown,
 * also at 0. */
bool oa_prom_seen(enum oa_kind kind, enum oa_method method, bool https);
/* One is open: series may not tell, when a view leaves labels out. */
void oa_prom_note_seen(enum oa_kind kind, enum oa_method method, bool https);
/* Brings that up to date without a scrape. */
void oa_prom_series_look(void);
void oa_prom_series_forget(void);

/* prom_target.c: target_info. */
void oa_prom_target(struct oa_prom_out *o);

/* prom_process.c: active requests and process_*; prom_self.c: otelauto_*. `alive`: slots whose
 * process lives. */
struct oa_prom_alive {
	const struct oa_proc *proc[OA_PROCS_MAX + 1];
	unsigned count;
};
void oa_prom_process(struct oa_prom_out *o, const struct oa_prom_alive *alive);
void oa_prom_self(struct oa_prom_out *o, const struct oa_prom_alive *alive);
/* prom_sdk.c, prom_sampling.c: part of these. */
void oa_prom_sdk(struct oa_prom_out *o, const struct oa_prom_alive *alive);
void oa_prom_sampling(struct oa_prom_out *o, const struct oa_prom_alive *alive);
