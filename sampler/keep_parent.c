/* parentbased_*: what the parent decided; the root sampler decides for traces that begin here. */
#include "sampler/keep.h"
#include "sampler/sampler.h"

static bool parent_or_on(const uint8_t trace_id[16], bool has_parent, bool parent_sampled)
{
	(void)trace_id;
	return has_parent ? parent_sampled : true;
}

static bool parent_or_off(const uint8_t trace_id[16], bool has_parent, bool parent_sampled)
{
	(void)trace_id;
	return has_parent && parent_sampled;
}

static bool parent_or_ratio(const uint8_t trace_id[16], bool has_parent, bool parent_sampled)
{
	return has_parent ? parent_sampled : oa_keep_ratio(trace_id);
}

const struct oa_sampler oa_sampler_parentbased_always_on = { .name = "parentbased_always_on", .keep = parent_or_on };
const struct oa_sampler oa_sampler_parentbased_always_off = { .name = "parentbased_always_off", .keep = parent_or_off };
const struct oa_sampler oa_sampler_parentbased_traceidratio = { .name = "parentbased_traceidratio",
								.keep = parent_or_ratio };
