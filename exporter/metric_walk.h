#pragma once
/* The metrics of a process tree one by one, for those that push them: names of OpenTelemetry, values of all processes.
 * Differences are against what oa_pushed says was accepted; what a walk shows is noted there as on its way. */
#include "core/series_push.h"
#include "core/tree.h"
#include "exporter/db_pools.h"

enum oa_metric_kind { OA_METRIC_COUNTER, OA_METRIC_UPDOWN, OA_METRIC_GAUGE, OA_METRIC_HISTOGRAM, OA_METRIC_EXPONENTIAL };

struct oa_metric {
	const char *name, *unit, *help;
	enum oa_metric_kind kind;
	bool delta;
};

#define OA_METRIC_ATTRS_MAX 16

struct oa_metric_attr {
	const char *key;
	struct oa_bytes text;
	enum { OA_ATTR_TEXT, OA_ATTR_INT, OA_ATTR_TRUE } type; /* INT: text is its digits */
};

struct oa_metric_point {
	struct oa_metric_attr attr[OA_METRIC_ATTRS_MAX];
	unsigned attr_count;
	uint64_t start_unix_ns, unix_ns;
	uint64_t value;  /* numbers */
	unsigned scale;  /* value and sum are in units of 10^-scale; 0: whole numbers */
	/* histograms */
	uint64_t count, sum;
	const uint64_t *bucket;
	unsigned bucket_count;
	const double *bounds;           /* bucket_count - 1 of them */
	const struct oa_series *series; /* for exemplars, by explicit bucket */
	unsigned series_buckets;
	/* exponential ones */
	int exp_scale, offset;
	uint64_t zero_count;
	double zero_threshold;
};

struct oa_metric_sink {
	void (*begin)(void *ctx, const struct oa_metric *m);
	void (*point)(void *ctx, const struct oa_metric *m, const struct oa_metric_point *p);
	void (*end)(void *ctx, const struct oa_metric *m);
};

struct oa_metric_mode {
	bool delta_counters;   /* and histograms */
	bool delta_observed;   /* counters that are read from the system */
	bool exponential;
};

/* What the settings ask for. */
struct oa_metric_mode oa_metric_mode(void);

/* returns how many points were shown
 * runs on   side thread; locks: none; heap: no; blocks: no */
unsigned oa_metric_walk(const struct oa_metric_sink *sink, void *ctx, struct oa_metric_mode mode, uint64_t now_unix_ns);

/* What the last walk showed was accepted. */
void oa_metric_accepted(uint64_t unix_ns);

/* -- values, for the metrics endpoint too -- */
struct oa_prom_alive;
void oa_metric_alive(struct oa_prom_alive *ret_alive);
/* Connections to databases, by pool and use. returns false: there is no such pool, or none ever */
struct oa_metric_pool {
	struct oa_bytes name; /* empty: of all that found no number */
	char text[OA_DB_POOL_TEXT_MAX];
	uint64_t count[OA_DB_USE_COUNT];
};
bool oa_metric_pool(struct oa_metric_pool *ret, unsigned i, const struct oa_prom_alive *alive);
uint64_t oa_metric_usage(enum oa_usage usage, const struct oa_prom_alive *alive);
/* Open exchanges by method (as exported) and scheme. */
void oa_metric_active(uint64_t ret_sums[OA_METHOD_COUNT][2], const struct oa_prom_alive *alive, enum oa_kind kind);
