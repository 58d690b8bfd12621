/* The table of samplers and the configured one. */
#include "core/attr.h"
#include "core/config.h"
#include "core/config_value.h"
#include "sampler/arg.h"
#include "sampler/keep.h"

#define OA_SAMPLER(id, fn, follows, what) \
	static const struct oa_sampler sampler_##id = { \
		.name = #id, .decide = oa_##fn, .parents = follows, .arg = OA_ARG_##what \
	};
#include "sampler/samplers.def"
#undef OA_SAMPLER

const struct oa_sampler *const oa_samplers[] = {
#define OA_SAMPLER(id, fn, follows, what) &sampler_##id,
#include "sampler/samplers.def"
#undef OA_SAMPLER
};

bool oa_sampler_tail, oa_sampler_tail_remote, oa_sampler_asks;

struct oa_sampling *oa_sampling(void)
{
	static struct oa_sampling alone;

	return oa_tree ? &oa_tree->sampling : &alone;
}

OA_HOT void oa_sample(const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	const struct oa_sampler *s = oa_samplers[oa_config.sampler];

	ret->rule = ret->type = ret->param_len = 0;
	ret->threshold = OA_TH_NONE;
	ret->tail = false;
	ret->ours = !(s->parents && ask->has_parent);
	if (__builtin_expect(ret->ours, 1)) {
		s->decide(ask, ret);
		ret->tail = ret->tail && oa_sampler_tail;
		return;
	}
	ret->sampled = ask->parent_sampled;
	ret->tail = !ret->sampled && oa_sampler_tail_remote;
}

static void sampler_set_bucket(struct oa_class *c, double rate)
{
	atomic_store(&c->mode, OA_CLASS_RATE);
	oa_class_set_rate(c, rate);
}

int oa_sampler_init(void)
{
	const struct oa_sampler *s = oa_samplers[oa_config.sampler];
	struct oa_class *rest = &oa_sampling()->cls[0];
	struct oa_sampler_settings arg;

	oa_sampler_settings(&arg);
	oa_sampler_asks = s->decide == oa_keep_rules;
	oa_sampler_tail = !(oa_config.keep & OA_LIST_NONE) && !(oa_config.traces_exporter & OA_LIST_NONE);
	oa_sampler_tail_remote = oa_sampler_tail && oa_config.keep_remote;
	oa_sampler_tail &= s->decide != oa_keep_always && s->decide != oa_keep_never; /* nothing to say there */
	atomic_store(&rest->used, 1);
	memcpy(rest->name, "default", sizeof("default"));
	if (s->arg == OA_ARG_RATE)
		sampler_set_bucket(rest, arg.rate);
	else
		atomic_store(&rest->threshold, s->decide == oa_keep_never ? OA_TH_NEVER :
					       oa_th_of(s->arg == OA_ARG_TARGET ? 1 : arg.ratio));
	return 0;
}
