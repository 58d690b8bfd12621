#pragma once
/* otel.sdk.*: some of our own counters by the names of OpenTelemetry's conventions, for the endpoint and for pushing. */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/stats.h"

struct oa_prom_alive;

struct oa_sdk_metric {
	const char *name, *prom, *unit, *help;
	bool updown; /* may fall */
	bool of_component;
};

/* NULL behind the last. */
const struct oa_sdk_metric *oa_sdk_metric(unsigned index);

struct oa_sdk_point {
	unsigned metric; /* points of one stand together */
	const char *key, *prom_key, *text; /* its attribute; NULL: none */
};

const struct oa_sdk_point *oa_sdk_point(unsigned index);
uint64_t oa_sdk_value(unsigned index, const struct oa_prom_alive *alive);
