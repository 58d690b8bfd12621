/* always_on and always_off. */
#include "core/attr.h"
#include "sampler/keep.h"

OA_HOT void oa_keep_always(const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	(void)ask;
	ret->sampled = true;
}

void oa_keep_never(const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	(void)ask;
	ret->sampled = false;
}
