/* traceidratio: the same trace id gives the same answer in every service, and a higher ratio keeps a superset. */
#include "core/config.h"
#include "sampler/keep.h"
#include "sampler/sampler.h"

#define RATIO_RANGE ((uint64_t)1 << 56)

static uint64_t ratio_randomness(const uint8_t trace_id[16])
{
	uint64_t r = 0;

	for (unsigned i = 9; i < 16; i++)
		r = r << 8 | trace_id[i];
	return r;
}

bool oa_keep_ratio(const uint8_t trace_id[16])
{
	double p = oa_config.sampler_arg;
	uint64_t threshold;

	if (p >= 1.0)
		return true;
	if (p <= 0.0)
		return false;
	threshold = (uint64_t)((1.0 - p) * (double)RATIO_RANGE);
	return ratio_randomness(trace_id) >= threshold;
}

static bool ratio_keep(const uint8_t trace_id[16], bool has_parent, bool parent_sampled)
{
	(void)has_parent;
	(void)parent_sampled;
	return oa_keep_ratio(trace_id);
}

const struct oa_sampler oa_sampler_traceidratio = { .name = "traceidratio", .keep = ratio_keep };
