#pragma once
/* The head decision: made once per trace, on the host thread, from the trace id and the parent alone. */
#include <stdbool.h>
#include <stdint.h>

struct oa_sampler {
	const char *name; /* value of OTEL_TRACES_SAMPLER */
	/* has_parent: an incoming context; parent_sampled: its sampled flag.
	 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
	bool (*keep)(const uint8_t trace_id[16], bool has_parent, bool parent_sampled);
};

/* By index of the choices of OTEL_TRACES_SAMPLER (samplers.def). */
extern const struct oa_sampler *const oa_samplers[];

/* Applies the configured sampler. */
bool oa_sample(const uint8_t trace_id[16], bool has_parent, bool parent_sampled);
