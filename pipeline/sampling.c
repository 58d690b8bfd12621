#include "pipeline/sampling.h"

#define OA_LOG_DOMAIN "sampling"
#include "core/config.h"
#include "core/log.h"
#include "core/tree.h"
#include "exporter/span_attrs.h"
#include "pipeline/jaeger_remote.h"
#include "pipeline/processor.h"
#include "sampler/adaptive.h"
#include "sampler/arg.h"
#include "sampler/rules.h"
#include "sampler/sampler.h"

static double sampling_target; /* traces a second; 0: nothing is controlled */

static int sampling_open(void)
{
	struct oa_sampler_settings s;

	oa_sampler_settings(&s);
	sampling_target = oa_samplers[oa_config.sampler]->arg == OA_ARG_TARGET ? s.rate : 0;
	if (s.wanted)
		oa_warn("OTEL_TRACES_SAMPLER_ARG: \"%.*s\" is not %s; using the default", (int)s.wrong.len,
			(const char *)s.wrong.ptr, s.wanted);
	oa_jaeger_remote_open();
	return 0;
}

/* Counts what a class decided about. The calls made for a request have no decision of their own. */
static int sampling_on_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	const struct oa_span *s = &span->s;
	struct oa_class *c = &oa_sampling()->cls[s->rule];

	(void)who;
	if (!(s->flags & OA_SPAN_OWN_DECISION) || s->what == OA_WHAT_TUNNEL)
		return 0;
	atomic_fetch_add_explicit(&c->seen, 1, memory_order_relaxed);
	if (oa_span_failed(s))
		atomic_fetch_add_explicit(&c->failed, 1, memory_order_relaxed);
	if (s->flags & OA_SPAN_SAMPLED && !s->keep)
		atomic_fetch_add_explicit(&c->kept, 1, memory_order_relaxed);
	return 0;
}

static void sampling_control(uint64_t now_ns)
{
	struct oa_sampling *s = oa_sampling();

	if (!(sampling_target > 0))
		return;
	if (oa_adaptive_flooded(s, sampling_target, now_ns))
		atomic_store(&s->control_ns, 0);
	if (oa_sampling_turn(&s->control_ns, now_ns, OA_ADAPTIVE_STEP_NS))
		oa_adaptive_step(s, sampling_target, now_ns);
}

static void sampling_on_tick(uint64_t now_ns)
{
	oa_rules_file_tick(now_ns);
	oa_jaeger_remote_tick(now_ns);
	sampling_control(now_ns);
}

static void sampling_forget(void)
{
	oa_rules_file_forget();
	oa_jaeger_remote_forget();
}

const struct oa_processor oa_processor_sampling = {
	.name = "sampling",
	.open = sampling_open,
	.on_span = sampling_on_span,
	.counts = true,
	.on_tick = sampling_on_tick,
	.forget = sampling_forget,
};
