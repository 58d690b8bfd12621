/* What side threads do for the samplers. */
#define OA_LOG_DOMAIN "sampling"
#include "core/log.h"
#include "core/tree.h"
#include "pipeline/processor.h"
#include "sampler/arg.h"

static int sampling_open(void)
{
	struct oa_sampler_settings s;

	oa_sampler_settings(&s);
	if (s.wanted)
		oa_warn("OTEL_TRACES_SAMPLER_ARG: \"%.*s\" is not %s; using the default", (int)s.wrong.len,
			(const char *)s.wrong.ptr, s.wanted);
	return 0;
}

const struct oa_processor oa_processor_sampling = {
	.name = "sampling",
	.open = sampling_open,
};
