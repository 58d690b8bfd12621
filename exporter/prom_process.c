/* Open exchanges and process metrics: sums over the processes of the tree. What only grows is
 * summed over all slots, dead owners' included, so it never falls; the rest over the processes that
 * live. */
#include "exporter/prom_text.h"

#include "exporter/metric_walk.h"

struct prom_usage {
	char family[36]; /* "" = the one before; no pointers to relocate */
	char unit[8];    /* "" none */
	char help[26];
	char label[44]; /* "" none */
	enum oa_prom_type type;
	enum oa_usage usage;
	unsigned scale;
};

static const struct prom_usage prom_usages[] = {
	{ "process_cpu_time_seconds", "seconds", "CPU time used.", "cpu_mode=\"user\"",
	  OA_PROM_COUNTER, OA_USAGE_CPU_USER_US, 6 },
	{ "", "", "", "cpu_mode=\"system\"", OA_PROM_COUNTER, OA_USAGE_CPU_SYSTEM_US, 6 },
	{ "process_memory_usage_bytes", "bytes", "Physical memory in use.", "", OA_PROM_GAUGE,
	  OA_USAGE_RSS_BYTES, 0 },
	{ "process_memory_virtual_bytes", "bytes", "Virtual memory reserved.", "", OA_PROM_GAUGE,
	  OA_USAGE_VIRTUAL_BYTES, 0 },
	{ "process_thread_count", "", "Threads.", "", OA_PROM_GAUGE, OA_USAGE_THREADS, 0 },
	{ "process_unix_file_descriptor_count", "", "Open file descriptors.", "", OA_PROM_GAUGE,
	  OA_USAGE_FDS, 0 },
	{ "process_context_switches", "", "Context switches.",
	  "process_context_switch_type=\"voluntary\"", OA_PROM_COUNTER, OA_USAGE_SWITCH_VOLUNTARY,
	  0 },
	{ "", "", "", "process_context_switch_type=\"involuntary\"", OA_PROM_COUNTER,
	  OA_USAGE_SWITCH_INVOLUNTARY, 0 },
	{ "process_paging_faults", "", "Page faults.", "system_paging_fault_type=\"major\"",
	  OA_PROM_COUNTER, OA_USAGE_FAULT_MAJOR, 0 },
	{ "", "", "", "system_paging_fault_type=\"minor\"", OA_PROM_COUNTER,
	  OA_USAGE_FAULT_MINOR, 0 },
};

/* A gauge of 0 means that /proc could not be read: no process has no memory. It is left out then.
 */
static void prom_usage_all(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	const char *family = "";

	for (unsigned i = 0; i < sizeof(prom_usages) / sizeof(*prom_usages); i++) {
		const struct prom_usage *u = &prom_usages[i];
		uint64_t sum = oa_metric_usage(u->usage, alive);

		if (u->type == OA_PROM_GAUGE && !sum)
			continue;
		if (*u->family) {
			family = u->family;
			oa_prom_observed(o, family, u->type, *u->unit ? u->unit : NULL, u->help);
		}
		oa_prom_str(o, family);
		if (u->type == OA_PROM_COUNTER)
			oa_prom_lit(o, "_total");
		oa_prom_lit(o, "{" OA_PROM_SCOPE);
		if (*u->label)
			oa_prom_lit(o, ",");
		oa_prom_str(o, u->label);
		oa_prom_lit(o, "} ");
		oa_prom_put_fixed(o, sum, u->scale);
		oa_prom_lit(o, "\n");
	}
}

/* One line for each method and scheme that was ever seen. */
static void prom_active(struct oa_prom_out *o, const struct oa_prom_alive *alive, enum oa_kind kind,
			const char *name, const char *help)
{
	uint64_t sums[OA_METHOD_COUNT][2];
	bool head = false;

	oa_metric_active(sums, alive, kind);
	for (unsigned at = 0; at < OA_METHOD_COUNT * 2; at++) {
		uint64_t sum = sums[at / 2][at % 2];

		if (!sum && !oa_prom_seen(kind, at / 2, at % 2))
			continue;
		oa_prom_note_seen(kind, at / 2, at % 2);
		if (!head)
			oa_prom_observed(o, name, OA_PROM_GAUGE, NULL, help);
		head = true;
		oa_prom_str(o, name);
		oa_prom_lit(o, "{" OA_PROM_SCOPE ",http_request_method=\"");
		oa_prom_str(o, oa_method_name(at / 2));
		oa_prom_str(o, at % 2 ? "\",url_scheme=\"https\"} " : "\",url_scheme=\"http\"} ");
		oa_prom_put_uint(o, sum);
		oa_prom_lit(o, "\n");
	}
}

static void prom_pools(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	struct oa_metric_pool pool;
	bool head = false;

	for (unsigned i = 0; i < OA_DB_POOLS; i++) {
		if (!oa_metric_pool(&pool, i, alive))
			continue;
		if (!head)
			oa_prom_observed(o, "db_client_connection_count", OA_PROM_GAUGE, NULL, "Number of connections to a database, by state.");
		head = true;
		for (unsigned use = 0; use < OA_DB_USE_COUNT; use++) {
			oa_prom_lit(o, "db_client_connection_count{" OA_PROM_SCOPE);
			if (pool.name.len) {
				oa_prom_lit(o, ",db_client_connection_pool_name=\"");
				oa_prom_label_value(o, pool.name);
			} else {
				oa_prom_lit(o, ",otel_metric_overflow=\"true");
			}
			oa_prom_lit(o, "\",db_client_connection_state=\"");
			oa_prom_str(o, oa_db_use_names[use]);
			oa_prom_lit(o, "\"} ");
			oa_prom_put_uint(o, pool.count[use]);
			oa_prom_lit(o, "\n");
		}
	}
}

void oa_prom_process(struct oa_prom_out *o, const struct oa_prom_alive *alive)
{
	prom_active(o, alive, OA_KIND_SERVER, "http_server_active_requests",
		    "Number of active HTTP server requests.");
	prom_active(o, alive, OA_KIND_CLIENT, "http_client_active_requests",
		    "Number of active HTTP client requests.");
	prom_pools(o, alive);
	prom_usage_all(o, alive);
}
