/* What a span costs from record to collector: feeds batches of typical server spans to an exporter
 * in the loop of the side thread and takes the thread's processor time around each batch.
 * Linked as libotelauto.so is (--wrap), so it has no stdio. The exporter (the first one of
 * OTEL_TRACES_EXPORTER), the collector and its settings come from the environment.
 *
 * encode_send [BATCHES [SPANS]]: prints one JSON object, times in ns per span */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/id.h"
#include "core/sys.h"
#include "exporter/exporter.h"
#include "pipeline/resource.h"

#define BATCHES_MAX 4096
#define SPANS_MAX   2048
#define WARM_UP     20
#define DEADLINE_NS 5000000000ull

static struct oa_span_buf bufs[SPANS_MAX];
static const struct oa_span *spans[SPANS_MAX];
static double cpu[BATCHES_MAX], wall[BATCHES_MAX];
static size_t failed;
static bool settled;

static void on_done(void *arg, size_t ok, size_t rejected, size_t lost)
{
	failed += rejected + lost;
	settled = true;
}

static void set(struct oa_span_buf *b, enum oa_str which, const char *text)
{
	(void)oa_span_set_str(&b->s, sizeof(*b), which, oa_bytes_str(text));
}

/* An ordinary server span with a remote parent. */
static void make_span(struct oa_span_buf *b, unsigned index)
{
	struct oa_span *s = &b->s;

	memset(s, 0, sizeof(*s));
	s->bytes = sizeof(*s);
	s->kind = OA_KIND_SERVER;
	s->what = OA_WHAT_HTTP;
	s->start_unix_ns = oa_unix_now_ns();
	s->duration_ns = 1000000 + index;
	s->flags = OA_SPAN_SAMPLED | OA_SPAN_HAS_STATUS | OA_SPAN_PARENT_REMOTE;
	s->status = 200;
	s->method = OA_METHOD_GET;
	s->version = 11;
	s->peer = (struct oa_addr){ .family = 4, .port = 40404, .ip = { 10, 1, 2, 3 } };
	oa_id_trace(s->trace_id);
	oa_id_span(s->span_id);
	oa_id_span(s->parent_id);
	set(b, OA_STR_NAME, "GET /users/{id}/orders");
	set(b, OA_STR_ROUTE, "/users/{id}/orders");
	set(b, OA_STR_PATH, "/users/12345/orders");
	set(b, OA_STR_HOST, "shop.example.com:8080");
	set(b, OA_STR_USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36");
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void send_batch(const struct oa_exporter *exporter, const struct oa_batch *batch)
{
	settled = false;
	exporter->send(batch, oa_now_ns() + DEADLINE_NS, on_done, NULL);
	while (!settled)
		oa_loop_turn(100);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double at_percent(double *v, unsigned n, unsigned percent)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[(size_t)n * percent / 100];
}

static const struct oa_exporter *open_exporter(void)
{
	oa_config_read(environ);
	oa_resource_open();
	if (oa_loop_open())
		return NULL;
	for (unsigned i = 0; oa_exporters[i]; i++)
		if (oa_config.traces_exporter >> i & 1)
			return oa_exporters[i]->open() == 0 ? oa_exporters[i] : NULL;
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned batches = argc > 1 ? (unsigned)atoi(argv[1]) : 300;
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 512;
	struct oa_batch batch = { .spans = spans, .count = count, .who = { .pid = 1 } };
	const struct oa_exporter *exporter = open_exporter();
	char line[256];

	if (!exporter || batches > BATCHES_MAX || count > SPANS_MAX || !batches || !count)
		return 2;
	for (unsigned i = 0; i < count; i++) {
		make_span(&bufs[i], i);
		spans[i] = &bufs[i].s;
	}
	for (unsigned i = 0; i < WARM_UP; i++)
		send_batch(exporter, &batch);
	for (unsigned i = 0; i < batches; i++) {
		uint64_t t = oa_now_ns(), c = cpu_ns();

		send_batch(exporter, &batch);
		cpu[i] = (double)(cpu_ns() - c) / count;
		wall[i] = (double)(oa_now_ns() - t) / count;
	}
	(void)oa_sys3(SYS_write, 1, line,
		      snprintf(line, sizeof(line),
			       "{\"batches\": %u, \"spans\": %u, \"failed\": %zu, \"cpu_ns\": "
			       "%.1f, \"cpu_p10_ns\": %.1f, \"wall_ns\": %.1f}\n",
			       batches, count, failed, at_percent(cpu, batches, 50),
			       at_percent(cpu, batches, 10), at_percent(wall, batches, 50)));
	return 0;
}
