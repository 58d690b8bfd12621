#pragma once
/* otel.sdk.*: some of our own counters by the names of OpenTelemetry's conventions, for the endpoint and for pushing. */
#include <limits.h>
#include <stdint.h>

#include "core/stats.h"

struct oa_sdk_metric {
	const char *name, *prom, *unit, *help;
};

struct oa_sdk_point {
	unsigned metric; /* points of one stand together */
	enum oa_stat stat;
	const char *error; /* error.type; "" none */
};

/* NULL behind the last. */
const struct oa_sdk_metric *oa_sdk_metric(unsigned index);
const struct oa_sdk_point *oa_sdk_point(unsigned index);
uint64_t oa_sdk_value(const struct oa_sdk_point *p);
