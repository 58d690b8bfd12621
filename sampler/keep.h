#pragma once
/* Root decisions, shared by the plain samplers and their parentbased forms. */
#include <stdbool.h>
#include <stdint.h>

/* Consistent probability (OpenTelemetry probability sampling, W3C level 2): keeps when the 56 random bits on the
 * right of the trace id reach the rejection threshold of OTEL_TRACES_SAMPLER_ARG. */
bool oa_keep_ratio(const uint8_t trace_id[16]);
