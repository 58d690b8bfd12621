/* What the samplers do: decisions and shares by class, and the tail rule's. */
#include "exporter/prom_text.h"

#define SAMPLING_RANGE ((uint64_t)1 << 56)

static void sampling_name(struct oa_prom_out *o, const char *name, const char *label, const char *value)
{
	oa_prom_str(o, name);
	oa_prom_lit(o, "{");
	oa_prom_str(o, label);
	oa_prom_lit(o, "=\"");
	oa_prom_label_value(o, oa_bytes_str(value));
	oa_prom_lit(o, "\"");
}

static void sampling_count(struct oa_prom_out *o, const char *rule, const char *decision, uint64_t count)
{
	sampling_name(o, "otelauto_sampling_decisions_total", "rule", rule);
	oa_prom_lit(o, ",decision=\"");
	oa_prom_str(o, decision);
	oa_prom_lit(o, "\"} ");
	oa_prom_put_uint(o, count);
	oa_prom_lit(o, "\n");
}

static void sampling_counts(struct oa_prom_out *o, const struct oa_sampling *s)
{
	oa_prom_observed(o, "otelauto_sampling_decisions", OA_PROM_COUNTER, NULL,
		       "finished requests for which the sampler decided, by rule");
	for (unsigned i = 0; i < OA_CLASSES_MAX; i++) {
		/* Kept first: it is counted last. */
		uint64_t kept = atomic_load(&s->cls[i].kept), seen = atomic_load(&s->cls[i].seen);

		if (!atomic_load(&s->cls[i].used))
			continue;
		sampling_count(o, s->cls[i].name, "kept", kept);
		sampling_count(o, s->cls[i].name, "dropped", seen > kept ? seen - kept : 0);
	}
}

/* In billionths. */
static uint64_t sampling_share(uint64_t threshold)
{
	return threshold >= SAMPLING_RANGE ? 0 : (uint64_t)((double)(SAMPLING_RANGE - threshold) / (double)SAMPLING_RANGE * 1e9 + 0.5);
}

static void sampling_gauge(struct oa_prom_out *o, const char *name, const char *label, const char *value, uint64_t threshold)
{
	sampling_name(o, name, label, value);
	oa_prom_lit(o, "} ");
	oa_prom_put_fixed(o, sampling_share(threshold), 9);
	oa_prom_lit(o, "\n");
}

static void sampling_shares(struct oa_prom_out *o, const struct oa_sampling *s)
{
	oa_prom_observed(o, "otelauto_sampling_probability", OA_PROM_GAUGE, NULL,
		       "share of traces that the sampler keeps just now, by rule; rules with a rate alone have none");
	for (unsigned i = 0; i < OA_CLASSES_MAX; i++)
		if (atomic_load(&s->cls[i].used) && atomic_load(&s->cls[i].mode) != OA_CLASS_RATE)
			sampling_gauge(o, "otelauto_sampling_probability", "rule", s->cls[i].name,
				       atomic_load(&s->cls[i].threshold));
}

static const char *const sampling_reasons[OA_KEEP_COUNT] = { "error", "slow", "rare" };

static void sampling_kept(struct oa_prom_out *o, const struct oa_sampling *s)
{
	oa_prom_observed(o, "otelauto_kept_traces", OA_PROM_COUNTER, NULL,
		       "traces that the sampler dropped and the tail rule kept, by reason");
	for (unsigned i = 0; i < OA_KEEP_COUNT; i++) {
		sampling_name(o, "otelauto_kept_traces_total", "reason", sampling_reasons[i]);
		oa_prom_lit(o, "} ");
		oa_prom_put_uint(o, atomic_load(&s->stratum[i].kept));
		oa_prom_lit(o, "\n");
	}
	oa_prom_observed(o, "otelauto_keep_probability", OA_PROM_GAUGE, NULL,
		       "share of traces with a reason to keep them that the tail rule takes just now");
	for (unsigned i = 0; i < OA_KEEP_COUNT; i++)
		sampling_gauge(o, "otelauto_keep_probability", "reason", sampling_reasons[i],
			       atomic_load(&s->stratum[i].threshold));
}

static void sampling_held(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < alive->count; i++)
		bytes += atomic_load(&alive->proc[i]->held_bytes);
	oa_prom_observed(o, "otelauto_keep_held_bytes", OA_PROM_GAUGE, "bytes",
		       "memory of spans that wait for the end of their request");
	oa_prom_lit(o, "otelauto_keep_held_bytes ");
	oa_prom_put_uint(o, bytes);
	oa_prom_lit(o, "\n");
}

void oa_prom_sampling(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	if (!oa_tree)
		return;
	sampling_counts(o, &oa_tree->sampling);
	sampling_shares(o, &oa_tree->sampling);
	sampling_kept(o, &oa_tree->sampling);
	sampling_held(o, alive);
}
