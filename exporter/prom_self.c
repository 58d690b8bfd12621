/* otelauto_*: our own counters and gauges. */
#include "exporter/prom_text.h"

#include "exporter/blind_layers.h"
#include "exporter/spool.h"

static void prom_sample(struct oa_prom_out *o, const char *name, const char *suffix,
			const char *label, const char *label_value, uint64_t value)
{
	oa_prom_str(o, name);
	oa_prom_str(o, suffix);
	if (*label) {
		oa_prom_lit(o, "{");
		oa_prom_str(o, label);
		oa_prom_lit(o, "=\"");
		oa_prom_str(o, label_value);
		oa_prom_lit(o, "\"}");
	}
	oa_prom_lit(o, " ");
	oa_prom_put_uint(o, value);
	oa_prom_lit(o, "\n");
}

/* Counters are there from the start, at 0: rate() needs the first step. */
static void prom_stats(struct oa_prom_out *o)
{
	const char *family = "";

	for (unsigned i = 0; i < OA_STAT_COUNT; i++) {
		const struct oa_stat_info info = oa_stat_info(i);

		if (strcmp(family, info.metric) != 0) {
			family = info.metric;
			oa_prom_observed(o, family, OA_PROM_COUNTER, NULL, info.help);
		}
		prom_sample(o, family, "_total", info.label, info.value, oa_stat_sum(i));
	}
}

static void prom_gauge(struct oa_prom_out *o, const char *name, const char *help, uint64_t value)
{
	oa_prom_observed(o, name, OA_PROM_GAUGE, NULL, help);
	prom_sample(o, name, "", "", "", value);
}

static void prom_rings(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	uint64_t used = 0, slots = 0, queue_used = 0, queue_slots = 0;

	for (unsigned i = 0; i < alive->count; i++) {
		struct oa_proc *p = (struct oa_proc *)alive->proc[i];
		const struct oa_ring *r;

		for (unsigned shard = 0; shard < OA_SHARDS_MAX; shard++) {
			if (!(r = oa_proc_ring(p, shard)))
				continue;
			used += oa_ring_used(r);
			slots += r->slots;
		}
		if ((r = oa_proc_queue(p))) {
			queue_used += oa_ring_used(r);
			queue_slots += r->slots;
		}
	}
	prom_gauge(o, "otelauto_ring_used_slots",
		   "slots of the rings that hold records not read yet", used);
	prom_gauge(o, "otelauto_ring_slots", "slots of all rings", slots);
	prom_gauge(o, "otelauto_queue_used_slots",
		   "slots of the queues that hold spans waiting for export", queue_used);
	prom_gauge(o, "otelauto_queue_slots", "slots of all queues", queue_slots);
}

/* Of the folder, which processes that are no part of the tree may use too. */
static void prom_spool(struct oa_prom_out *o)
{
	uint64_t bytes, spans, files;

	oa_spool_fill(&bytes, &spans, &files);
	prom_gauge(o, "otelauto_spool_bytes", "bytes of spans that wait on disk", bytes);
	prom_gauge(o, "otelauto_spool_waiting_spans", "spans that wait on disk", spans);
	prom_gauge(o, "otelauto_spool_files", "batches that wait on disk", files);
}

static void prom_series_counts(struct oa_prom_out *o)
{
	if (!oa_tree)
		return;
	prom_gauge(o, "otelauto_series", "metric series in use",
		   atomic_load_explicit(&oa_tree->series.used, memory_order_relaxed));
	oa_prom_observed(o, "otelauto_series_overflowed", OA_PROM_COUNTER, NULL,
		       "measurements that went to an overflow series");
	prom_sample(o, "otelauto_series_overflowed", "_total", "", "",
		    atomic_load_explicit(&oa_tree->series.overflowed, memory_order_relaxed));
}

static void prom_blind(struct oa_prom_out *o)
{
	const struct oa_blind_layer *t = oa_blind_layer_table;
	uint32_t found = oa_blind_layers();

	if (!t[0].layer)
		return;
	oa_prom_observed(o, "otelauto_blind_layers", OA_PROM_GAUGE, NULL,
		       "1: the process that answers has a layer loaded whose traffic is not seen");
	for (unsigned i = 0; t[i].layer;) {
		const char *layer = t[i].layer;
		uint64_t any = 0;

		for (; t[i].layer && strcmp(t[i].layer, layer) == 0; i++)
			any |= found >> i & 1;
		prom_sample(o, "otelauto_blind_layers", "", "layer", layer, any);
	}
}

void oa_prom_self(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	prom_gauge(o, "otelauto_processes", "processes of the tree that live", alive->count);
	prom_stats(o);
	oa_prom_sdk(o, alive);
	oa_prom_sampling(o, alive);
	prom_series_counts(o);
	prom_rings(o, alive);
	prom_spool(o);
	prom_blind(o);
}
