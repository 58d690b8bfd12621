#pragma once
/* OTEL_TRACES_SAMPLER_ARG, which means something else for each sampler.
 *
 * all: runs on any thread; signal-safe: yes; heap: no; blocks: no */
#include "core/bytes.h"
#include "core/sampling.h"

struct oa_sampler_settings {
	double ratio;         /* probability; for a remote sampler the one until the first answer */
	double rate;          /* traces a second; for adaptive the target */
	uint64_t poll_ms;
	struct oa_bytes endpoint; /* as it stands in the setting */
	struct oa_bytes wrong; /* a part that could not be used, empty when all could; borrowed from the setting */
	const char *wanted;    /* what it should have been */
};

/* What is in force: the defaults for all that is not said or cannot be used. */
void oa_sampler_settings(struct oa_sampler_settings *ret);

/* A bucket of so many tokens a second, as many deep, but at least one; 0: none ever. */
void oa_class_set_rate(struct oa_class *c, double rate);
