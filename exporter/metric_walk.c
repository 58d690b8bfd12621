#include "exporter/metric_walk.h"

#include "core/config.h"
#include "core/views.h"
#include "exporter/prom_text.h"
#include "exporter/sdk_metrics.h"

#define EXP_EXPORT_MAX 160 /* buckets of one point, as SDKs have it */

struct walk {
	const struct oa_metric_sink *sink;
	void *ctx;
	struct oa_metric_mode mode;
	uint64_t now, start, created;
	unsigned points;
	struct oa_metric described; /* by a view */
	bool dropped;
};

static void walk_begin(struct walk *w, const struct oa_metric *m) { w->sink->begin(w->ctx, m); }

/* Of a metric without series, which a view may have something to say of. */
static void walk_begin_observed(struct walk *w, const struct oa_metric *m)
{
	struct oa_view_observed view = oa_view_of_observed(m->name, m->kind == OA_METRIC_COUNTER);

	w->dropped = view.dropped;
	w->described = *m;
	w->described.help = view.help ? view.help : m->help;
	if (!w->dropped)
		walk_begin(w, &w->described);
}

static void walk_end(struct walk *w, const struct oa_metric *m)
{
	if (!w->dropped)
		w->sink->end(w->ctx, m);
	w->dropped = false;
}

static void walk_point(struct walk *w, const struct oa_metric *m, struct oa_metric_point *p)
{
	if (w->dropped)
		return;
	p->unix_ns = w->now;
	p->start_unix_ns = m->delta ? w->start : w->created;
	w->sink->point(w->ctx, m, p);
	w->points++;
}

static void walk_attr(struct oa_metric_point *p, const char *key, struct oa_bytes text, int type)
{
	if (p->attr_count < OA_METRIC_ATTRS_MAX)
		p->attr[p->attr_count++] = (struct oa_metric_attr){ key, text, (unsigned)type };
}

/* -- histograms -- */

static void walk_labels(struct oa_metric_point *p, struct oa_bytes labels)
{
	struct oa_bytes value;
	enum oa_label label;
	unsigned pos = 0;

	while (oa_label_next(labels.ptr, (unsigned)labels.len, &pos, &label, &value))
		walk_attr(p, oa_labels[label].name, value,
			  label == OA_LABEL_overflow				  ? OA_ATTR_TRUE
			  : label == OA_LABEL_status || label == OA_LABEL_port ? OA_ATTR_INT
									    : OA_ATTR_TEXT);
}

static uint64_t walk_read(const _Atomic uint64_t *word) { return atomic_load_explicit(word, memory_order_relaxed); }

/* The difference to what was accepted, and `now` noted as on its way. */
static uint64_t walk_less(bool delta, uint64_t *accepted, uint64_t *on_way, uint64_t now)
{
	if (!delta)
		return now;
	*on_way = now;
	return now - *accepted;
}

static void walk_explicit(const struct walk *w, struct oa_metric_point *p, unsigned at, uint64_t *bucket)
{
	struct oa_pushed_series *had = w->mode.delta_counters ? &oa_pushed[0].series[at] : NULL;
	struct oa_pushed_series *sent = had ? &oa_pushed[1].series[at] : NULL;

	/* Counts before the sum: it may then be of a few measurements more, never of fewer. */
	for (unsigned i = 0; i < p->series_buckets; i++) {
		bucket[i] = walk_less(had, had ? &had->bucket[i] : NULL, sent ? &sent->bucket[i] : NULL,
				      walk_read(&p->series->bucket[i]));
		p->count += bucket[i];
	}
	p->sum = walk_less(had, had ? &had->sum : NULL, sent ? &sent->sum : NULL, walk_read(&p->series->sum));
	p->bucket = bucket;
	p->bucket_count = p->series_buckets;
}

/* Halves the number of buckets until they are few enough, and as wide as they have to be. */
static void walk_exp_scale(struct oa_metric_point *p, uint64_t *bucket, unsigned first, unsigned last, unsigned stream)
{
	unsigned count = last - first + 1, size = oa_streams[stream].exp_size;
	int index = oa_exp_offset(stream) + (int)first;

	if (!size || size > EXP_EXPORT_MAX)
		size = EXP_EXPORT_MAX;
	memmove(bucket, bucket + first, count * sizeof(*bucket));
	p->exp_scale = OA_EXP_SCALE;
	while (count > size || p->exp_scale > OA_EXP_SCALE - oa_streams[stream].exp_coarser) {
		unsigned shift = (unsigned)(index & 1), half = (count + shift + 1) / 2;
		static uint64_t merged[OA_EXP_BUCKETS];

		memset(merged, 0, sizeof(merged));
		for (unsigned i = 0; i < count; i++)
			merged[(i + shift) / 2] += bucket[i];
		memcpy(bucket, merged, half * sizeof(*bucket));
		index = (index - (int)shift) / 2;
		count = half;
		p->exp_scale--;
	}
	p->offset = index;
	p->bucket = bucket;
	p->bucket_count = count;
}

static void walk_exponential(const struct walk *w, struct oa_metric_point *p, unsigned stream, unsigned at,
			     uint64_t *bucket)
{
	bool delta = w->mode.delta_counters;
	struct oa_exp_series *had = delta ? &oa_exp_pushed[at] : NULL;
	struct oa_exp_series *sent = delta ? &oa_exp_pushed[OA_SERIES_ENTRIES + at] : NULL;
	unsigned first = OA_EXP_BUCKETS, last = 0;

	p->zero_count = walk_less(delta, delta ? (uint64_t *)&had->zero : NULL, delta ? (uint64_t *)&sent->zero : NULL,
				  walk_read(&oa_exp[at].zero));
	p->count = p->zero_count;
	for (unsigned i = 0; i < OA_EXP_BUCKETS; i++) {
		bucket[i] = walk_less(delta, delta ? (uint64_t *)&had->bucket[i] : NULL,
				      delta ? (uint64_t *)&sent->bucket[i] : NULL, walk_read(&oa_exp[at].bucket[i]));
		p->count += bucket[i];
		if (bucket[i]) {
			first = first < i ? first : i;
			last = i;
		}
	}
	if (first <= last)
		walk_exp_scale(p, bucket, first, last, stream);
	else
		p->exp_scale = OA_EXP_SCALE - oa_streams[stream].exp_coarser;
	p->zero_threshold = p->scale ? 1.0 / (1 << 20) : 0.5;
}

static void walk_series(struct walk *w, const struct oa_metric *m, unsigned stream, const struct oa_series *s)
{
	const struct oa_stream *info = &oa_streams[stream];
	struct oa_metric_point p = { .scale = info->unit[0] == 's' ? 9 : 0, .bounds = info->bounds, .series = s,
				     .series_buckets = info->bounds_count + 1 };
	static uint64_t bucket[OA_EXP_BUCKETS], explicit[OA_BOUNDS_MAX + 1]; /* side thread only */
	unsigned at = (unsigned)(s - oa_tree->series.entry);

	walk_labels(&p, oa_series_labels(&oa_tree->series, s));
	if (m->kind == OA_METRIC_COUNTER) {
		p.value = walk_less(w->mode.delta_counters, w->mode.delta_counters ? &oa_pushed[0].series[at].sum : NULL,
				    w->mode.delta_counters ? &oa_pushed[1].series[at].sum : NULL, walk_read(&s->sum));
		if (p.value)
			walk_point(w, m, &p);
		return;
	}
	walk_explicit(w, &p, at, explicit);
	if (m->kind == OA_METRIC_EXPONENTIAL) {
		p.count = 0;
		walk_exponential(w, &p, stream, at, bucket);
	}
	if (p.count)
		walk_point(w, m, &p);
}

static enum oa_metric_kind walk_kind(const struct walk *w, const struct oa_stream *info)
{
	if (info->kind == OA_STREAM_SUM)
		return OA_METRIC_COUNTER;
	return w->mode.exponential && info->kind == OA_STREAM_EXPONENTIAL ? OA_METRIC_EXPONENTIAL : OA_METRIC_HISTOGRAM;
}

static void walk_streams(struct walk *w)
{
	for (unsigned stream = 0; oa_tree && stream < oa_streams_count; stream++) {
		const struct oa_stream *info = &oa_streams[stream];
		const struct oa_metric m = { info->name, info->unit, info->help, walk_kind(w, info), w->mode.delta_counters };
		const struct oa_series *s;
		bool begun = false;
		unsigned pos = 0;

		while ((s = oa_series_next(&oa_tree->series, &pos))) {
			if (oa_series_stream(&oa_tree->series, s) != stream)
				continue;
			if (!begun)
				walk_begin(w, &m);
			begun = true;
			walk_series(w, &m, stream, s);
		}
		if (begun)
			walk_end(w, &m);
	}
}

/* -- open exchanges -- */

static void walk_active(struct walk *w, const struct oa_prom_alive *alive, enum oa_kind kind, const char *name,
			const char *help)
{
	const struct oa_metric m = { name, "{request}", help, OA_METRIC_UPDOWN, false };
	uint64_t sums[OA_METHOD_COUNT][2];
	bool begun = false;

	oa_metric_active(sums, alive, kind);
	for (unsigned at = 0; at < OA_METHOD_COUNT * 2; at++) {
		struct oa_metric_point p = { .value = sums[at / 2][at % 2] };

		if (!p.value && !oa_prom_seen(kind, at / 2, at % 2))
			continue;
		oa_prom_note_seen(kind, at / 2, at % 2);
		if (!begun)
			walk_begin_observed(w, &m);
		begun = true;
		walk_attr(&p, "http.request.method", oa_bytes_str(oa_method_name(at / 2)), OA_ATTR_TEXT);
		walk_attr(&p, "url.scheme", at % 2 ? OA_LIT("https") : OA_LIT("http"), OA_ATTR_TEXT);
		walk_point(w, &m, &p);
	}
	if (begun)
		walk_end(w, &m);
}

/* -- connections -- */

static void walk_pools(struct walk *w, const struct oa_prom_alive *alive)
{
	static const struct oa_metric m = { "db.client.connection.count", "{connection}",
					    "Number of connections to a database, by state.", OA_METRIC_UPDOWN, false };
	struct oa_metric_pool pool;
	bool begun = false;

	for (unsigned i = 0; i < OA_DB_POOLS; i++) {
		if (!oa_metric_pool(&pool, i, alive))
			continue;
		if (!begun)
			walk_begin_observed(w, &m);
		begun = true;
		for (unsigned use = 0; use < OA_DB_USE_COUNT; use++) {
			struct oa_metric_point p = { .value = pool.count[use] };

			if (pool.name.len)
				walk_attr(&p, "db.client.connection.pool.name", pool.name, OA_ATTR_TEXT);
			else
				walk_attr(&p, "otel.metric.overflow", OA_LIT("true"), OA_ATTR_TRUE);
			walk_attr(&p, "db.client.connection.state", oa_bytes_str(oa_db_use_names[use]), OA_ATTR_TEXT);
			walk_point(w, &m, &p);
		}
	}
	if (begun)
		walk_end(w, &m);
}

/* -- processes -- */

struct walk_usage {
	struct oa_metric m; /* name NULL: the one before */
	const char *key, *value;
	enum oa_usage usage;
	unsigned scale;
};

static const struct walk_usage walk_usages[] = {
	{ { "process.cpu.time", "s", "CPU time used.", OA_METRIC_COUNTER, false }, "cpu.mode", "user", OA_USAGE_CPU_USER_US, 6 },
	{ { NULL, NULL, NULL, OA_METRIC_COUNTER, false }, "cpu.mode", "system", OA_USAGE_CPU_SYSTEM_US, 6 },
	{ { "process.memory.usage", "By", "Physical memory in use.", OA_METRIC_UPDOWN, false }, NULL, NULL, OA_USAGE_RSS_BYTES, 0 },
	{ { "process.memory.virtual", "By", "Virtual memory reserved.", OA_METRIC_UPDOWN, false }, NULL, NULL,
	  OA_USAGE_VIRTUAL_BYTES, 0 },
	{ { "process.thread.count", "{thread}", "Threads.", OA_METRIC_UPDOWN, false }, NULL, NULL, OA_USAGE_THREADS, 0 },
	{ { "process.unix.file_descriptor.count", "{file_descriptor}", "Open file descriptors.", OA_METRIC_UPDOWN, false },
	  NULL, NULL, OA_USAGE_FDS, 0 },
	{ { "process.context_switches", "{context_switch}", "Context switches.", OA_METRIC_COUNTER, false },
	  "process.context_switch.type", "voluntary", OA_USAGE_SWITCH_VOLUNTARY, 0 },
	{ { NULL, NULL, NULL, OA_METRIC_COUNTER, false }, "process.context_switch.type", "involuntary",
	  OA_USAGE_SWITCH_INVOLUNTARY, 0 },
	{ { "process.paging.faults", "{fault}", "Page faults.", OA_METRIC_COUNTER, false }, "system.paging.fault.type", "major",
	  OA_USAGE_FAULT_MAJOR, 0 },
	{ { NULL, NULL, NULL, OA_METRIC_COUNTER, false }, "system.paging.fault.type", "minor", OA_USAGE_FAULT_MINOR, 0 },
};

/* Totals, also when differences are asked for: what is read from the system may fall when a process goes. */
static void walk_usage_all(struct walk *w, const struct oa_prom_alive *alive)
{
	const struct oa_metric *open = NULL;

	for (size_t i = 0; i < sizeof(walk_usages) / sizeof(walk_usages[0]); i++) {
		const struct walk_usage *u = &walk_usages[i];
		struct oa_metric_point p = { .value = oa_metric_usage(u->usage, alive), .scale = u->scale };

		if (u->m.kind != OA_METRIC_COUNTER && !p.value)
			continue; /* could not be read */
		if (u->m.name) {
			if (open)
				walk_end(w, open);
			open = &u->m;
			walk_begin_observed(w, open);
		}
		if (u->key)
			walk_attr(&p, u->key, oa_bytes_str(u->value), OA_ATTR_TEXT);
		walk_point(w, open, &p);
	}
	if (open)
		walk_end(w, open);
}

/* -- our own counters -- */

static void walk_stats(struct walk *w)
{
	bool delta = w->mode.delta_counters;
	struct oa_metric m = { .name = "", .unit = "1", .kind = OA_METRIC_COUNTER, .delta = delta };

	for (unsigned i = 0; i < OA_STAT_COUNT; i++) {
		const struct oa_stat_info info = oa_stat_info(i);
		struct oa_metric_point p = { .value = walk_less(delta, delta ? &oa_pushed[0].stat[i] : NULL,
								delta ? &oa_pushed[1].stat[i] : NULL, oa_stat_sum(i)) };

		if (strcmp(m.name, info.metric) != 0) {
			if (*m.name)
				walk_end(w, &m);
			m.name = info.metric;
			m.help = info.help;
			walk_begin_observed(w, &m);
		}
		if (*info.label)
			walk_attr(&p, info.label, oa_bytes_str(info.value), OA_ATTR_TEXT);
		walk_point(w, &m, &p);
	}
	if (*m.name)
		walk_end(w, &m);
}

/* Totals in any case: they are sums of what walk_stats() sends. */
static void walk_sdk(struct walk *w, const struct oa_prom_alive *alive)
{
	struct oa_metric m = { 0 };
	unsigned last = UINT_MAX;

	for (unsigned i = 0; oa_sdk_point(i); i++) {
		const struct oa_sdk_point *from = oa_sdk_point(i);
		const struct oa_sdk_metric *info = oa_sdk_metric(from->metric);
		struct oa_metric_point p = { .value = oa_sdk_value(i, alive) };

		if (from->metric != last) {
			if (m.name)
				walk_end(w, &m);
			m.name = info->name;
			m.unit = info->unit;
			m.help = info->help;
			m.kind = info->updown ? OA_METRIC_UPDOWN : OA_METRIC_COUNTER;
			walk_begin_observed(w, &m);
		}
		last = from->metric;
		if (info->of_component)
			walk_attr(&p, "otel.component.name", OA_LIT("otelauto"), OA_ATTR_TEXT);
		if (from->key)
			walk_attr(&p, from->key, oa_bytes_str(from->text), OA_ATTR_TEXT);
		walk_point(w, &m, &p);
	}
	walk_end(w, &m);
}

/* A gauge whose unit is 1 is a ratio to some readers. */
static void walk_gauge(struct walk *w, const char *name, const char *unit, const char *help, uint64_t value)
{
	const struct oa_metric m = { name, unit, help, OA_METRIC_GAUGE, false };
	struct oa_metric_point p = { .value = value };

	walk_begin_observed(w, &m);
	walk_point(w, &m, &p);
	walk_end(w, &m);
}

/* -- */

struct oa_metric_mode oa_metric_mode(void)
{
	return (struct oa_metric_mode){ .delta_counters = oa_pushed && (!oa_exp || oa_exp_pushed), .exponential = oa_exp };
}

unsigned oa_metric_walk(const struct oa_metric_sink *sink, void *ctx, struct oa_metric_mode mode, uint64_t now_unix_ns)
{
	struct walk w = { .sink = sink, .ctx = ctx, .mode = mode, .now = now_unix_ns };
	struct oa_prom_alive alive;

	w.created = oa_tree ? oa_tree->created_unix_ns : now_unix_ns;
	w.start = oa_tree ? atomic_load(&oa_tree->pushed_unix_ns) : 0;
	if (!w.start)
		w.start = w.created;
	oa_metric_alive(&alive);
	walk_streams(&w);
	oa_prom_series_look();
	walk_active(&w, &alive, OA_KIND_SERVER, "http.server.active_requests", "Number of active HTTP server requests.");
	walk_active(&w, &alive, OA_KIND_CLIENT, "http.client.active_requests", "Number of active HTTP client requests.");
	walk_pools(&w, &alive);
	walk_usage_all(&w, &alive);
	walk_stats(&w);
	walk_sdk(&w, &alive);
	walk_gauge(&w, "otelauto_processes", "{process}", "processes of the tree that live", alive.count);
	if (oa_tree)
		walk_gauge(&w, "otelauto_series", "{series}", "metric series in use", atomic_load(&oa_tree->series.used));
	return w.points;
}

void oa_metric_accepted(uint64_t unix_ns)
{
	if (oa_pushed)
		memcpy(oa_pushed[0].stat, oa_pushed[1].stat, sizeof(oa_pushed->stat));
	for (size_t i = 0; oa_pushed && oa_tree && i < OA_SERIES_ENTRIES; i++) {
		if (!atomic_load(&oa_tree->series.entry[i].state) && i < OA_SERIES_ENTRIES - OA_METRIC_STREAMS_MAX)
			continue;
		memcpy(&oa_pushed[0].series[i], &oa_pushed[1].series[i], sizeof(oa_pushed->series[i]));
		if (oa_exp_pushed)
			memcpy(&oa_exp_pushed[i], &oa_exp_pushed[OA_SERIES_ENTRIES + i], sizeof(*oa_exp_pushed));
	}
	if (oa_tree)
		atomic_store(&oa_tree->pushed_unix_ns, unix_ns);
}
