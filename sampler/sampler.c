/* The table of samplers and the configured one. */
#include "core/config.h"
#include "sampler/sampler.h"

#define OA_SAMPLER(id) extern const struct oa_sampler oa_sampler_##id;
#include "sampler/samplers.def"
#undef OA_SAMPLER

const struct oa_sampler *const oa_samplers[] = {
#define OA_SAMPLER(id) &oa_sampler_##id,
#include "sampler/samplers.def"
#undef OA_SAMPLER
};

bool oa_sample(const uint8_t trace_id[16], bool has_parent, bool parent_sampled)
{
	return oa_samplers[oa_config.sampler]->keep(trace_id, has_parent, parent_sampled);
}
