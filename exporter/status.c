#include "exporter/status.h"

#include <cjson/cJSON.h>

#include "core/arena.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/lead.h"
#include "core/sys.h"
#include "core/tree.h"
#include "exporter/exporter.h"
#include "exporter/metric_walk.h"
#include "exporter/prom_text.h"
#include "exporter/spool.h"

#define STATUS_EXACT_MAX (1ull << 53) /* beyond, a double is not exact */

static void status_number(cJSON *to, const char *name, uint64_t value)
{
	(void)cJSON_AddNumberToObject(to, name, (double)(value < STATUS_EXACT_MAX ? value : STATUS_EXACT_MAX));
}

/* Counters by family, then by the value of their label. */
static void status_counters(cJSON *top)
{
	cJSON *all = cJSON_AddObjectToObject(top, "counters"), *family = NULL;
	const char *name = "";

	for (unsigned i = 0; i < OA_STAT_COUNT; i++) {
		const struct oa_stat_info info = oa_stat_info(i);

		if (!*info.label) {
			status_number(all, info.metric, oa_stat_sum(i));
			continue;
		}
		if (strcmp(name, info.metric) != 0)
			family = cJSON_AddObjectToObject(all, info.metric);
		name = info.metric;
		status_number(family, info.value, oa_stat_sum(i));
	}
}

static void status_exporters(cJSON *top)
{
	cJSON *traces = cJSON_AddArrayToObject(top, "traces_exporters"), *metrics = cJSON_AddArrayToObject(top, "metrics_exporters");

	for (unsigned i = 0; oa_exporters[i]; i++)
		if ((oa_config.traces_exporter >> i & 1) && !(oa_config.traces_exporter >> 31))
			(void)cJSON_AddItemToArray(traces, cJSON_CreateString(oa_exporters[i]->name));
	if (oa_config.metrics_exporter >> 31)
		return;
	if (oa_config.metrics_exporter & 1)
		(void)cJSON_AddItemToArray(metrics, cJSON_CreateString("prometheus"));
	if (oa_config.metrics_exporter >> 1 & 1)
		(void)cJSON_AddItemToArray(metrics, cJSON_CreateString("otlp"));
}

static void status_spool(cJSON *top)
{
	cJSON *spool = cJSON_AddObjectToObject(top, "spool");
	uint64_t bytes, spans, files;

	oa_spool_fill(&bytes, &spans, &files);
	(void)cJSON_AddBoolToObject(spool, "on", oa_config.spool_dir && *oa_config.spool_dir);
	status_number(spool, "bytes", bytes);
	status_number(spool, "spans", spans);
	status_number(spool, "files", files);
	status_number(spool, "max_bytes", (uint64_t)oa_config.spool_max_bytes);
}

static void status_process(cJSON *list, struct oa_proc *p)
{
	cJSON *one = cJSON_CreateObject();
	const struct oa_ring *queue = oa_proc_queue(p);
	uint64_t used = 0, slots = 0;

	for (unsigned i = 0; i < OA_SHARDS_MAX; i++) {
		const struct oa_ring *r = oa_proc_ring(p, i);

		used += r ? oa_ring_used(r) : 0;
		slots += r ? r->slots : 0;
	}
	status_number(one, "pid", p->id.pid);
	status_number(one, "ring_used_slots", used);
	status_number(one, "ring_slots", slots);
	status_number(one, "queue_used_slots", queue ? oa_ring_used(queue) : 0);
	status_number(one, "queue_slots", queue ? queue->slots : 0);
	(void)cJSON_AddItemToArray(list, one);
}

static void status_processes(cJSON *top)
{
	cJSON *list = cJSON_AddArrayToObject(top, "processes");
	struct oa_prom_alive alive;

	oa_metric_alive(&alive);
	for (unsigned i = 0; i < alive.count; i++)
		status_process(list, (struct oa_proc *)alive.proc[i]);
}

static void status_tree(cJSON *top)
{
	uint64_t now = oa_unix_now_ns();

	if (!oa_tree)
		return;
	status_number(top, "uptime_seconds", now > oa_tree->created_unix_ns ? (now - oa_tree->created_unix_ns) / 1000000000 : 0);
	status_number(top, "series", atomic_load(&oa_tree->series.used));
	status_number(top, "series_limit", (uint64_t)oa_config.series_limit);
}

char *oa_status_json(void)
{
	cJSON *top = cJSON_CreateObject();
	char *text;

	(void)cJSON_AddStringToObject(top, "version", OA_VERSION);
	status_number(top, "pid", (uint64_t)oa_sys0(SYS_getpid));
	(void)cJSON_AddBoolToObject(top, "leader", oa_lead_has());
	status_number(top, "arena_bytes", oa_arena_used_bytes());
	status_tree(top);
	status_exporters(top);
	status_processes(top);
	status_spool(top);
	status_counters(top);
	text = cJSON_PrintUnformatted(top);
	cJSON_Delete(top);
	return text;
}
