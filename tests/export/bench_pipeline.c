/* Prints what the side thread does for one record, in the steps of processors.def and as a whole, each as the median of
 * rounds: time per record, by the processor's clock. No test: times are no verdict on a shared machine.
 *
 *   bench_pipeline [different routes]   default 8, which is what a small service has */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/config.h"
#include "core/tree.h"
#include "exporter/exporter.h"
#include "pipeline/batch.h"
#include "pipeline/drain.h"
#include "pipeline/processor.h"

#define ROUNDS 201
#define RECORDS 512

static struct oa_span_buf made;
static struct oa_span_buf records[RECORDS];

/* Takes everything at once. */
static void take(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	(void)deadline_ns;
	done(arg, batch->count, 0, 0);
}

static const struct oa_exporter sink = { .name = "otlp", .send = take };
const struct oa_exporter *const oa_exporters[] = { &sink, NULL };

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void process(const struct oa_processor *p, struct oa_span_buf *record)
{
	if (p->prepare)
		p->prepare(&record->s);
	(void)p->on_span(record, &oa_self->id);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *ns)
{
	qsort(ns, ROUNDS, sizeof(*ns), compare);
	return ns[ROUNDS / 2];
}

static void set(enum oa_str which, const char *text)
{
	(void)oa_span_set_str(&made.s, sizeof(made), which, oa_bytes_str(text));
}

static void make(unsigned number, unsigned routes)
{
	struct oa_span *s = &made.s;
	char target[64];

	memset(s, 0, sizeof(*s));
	s->bytes = sizeof(*s);
	s->kind = number % 4 ? OA_KIND_SERVER : OA_KIND_CLIENT;
	s->what = OA_WHAT_HTTP;
	s->method = OA_METHOD_GET;
	s->version = 11;
	s->flags = OA_SPAN_SAMPLED | OA_SPAN_HAS_STATUS | OA_SPAN_HAS_RESP_BODY;
	s->status = 200;
	s->duration_ns = 1000000 + number * 1000;
	s->resp_body = 5120;
	s->peer = (struct oa_addr){ .family = 4, .port = 40404, .ip = { 10, 1, 2, 3 } };
	memcpy(s->span_id, &(uint64_t){ number + 1 }, 8);
	memcpy(s->trace_id, &(uint64_t){ number + 1 }, 8);
	(void)snprintf(target, sizeof(target), "/shop%u/orders/%u?page=2&sort=date", number % routes, 10000 + number);
	set(OA_STR_TARGET, target);
	set(OA_STR_HOST, "shop.example.com:8080");
	set(OA_STR_USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0");
}

static void push_all(unsigned routes)
{
	for (unsigned i = 0; i < RECORDS; i++) {
		make(i, routes);
		if (!oa_ring_push(oa_proc_ring(oa_self, 0), &made.s))
			abort();
	}
}

static double whole(unsigned routes)
{
	static double ns[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		double start;

		push_all(routes);
		start = cpu_ns();
		if (oa_drain_own(1) != RECORDS)
			abort();
		for (const struct oa_processor *const *p = oa_processors; *p; p++)
			if ((*p)->on_tick)
				(*p)->on_tick(UINT64_MAX);
		ns[i] = (cpu_ns() - start) / RECORDS;
	}
	return median(ns);
}

/* One processor over records that the ones before it have prepared. */
static double step(unsigned which, unsigned routes)
{
	static double ns[ROUNDS];

	for (unsigned round = 0; round < ROUNDS; round++) {
		double start;

		for (unsigned i = 0; i < RECORDS; i++) {
			make(i, routes);
			memcpy(&records[i], &made, made.s.bytes);
			for (unsigned p = 0; p < which; p++)
				if (oa_processors[p]->on_span && strcmp(oa_processors[p]->name, "batch"))
					process(oa_processors[p], &records[i]);
		}
		start = cpu_ns();
		for (unsigned i = 0; i < RECORDS; i++)
			process(oa_processors[which], &records[i]);
		ns[round] = (cpu_ns() - start) / RECORDS;
		if (oa_processors[which]->on_tick)
			oa_processors[which]->on_tick(UINT64_MAX);
	}
	return median(ns);
}

int main(int argc, char **argv)
{
	unsigned routes = argc > 1 ? (unsigned)atoi(argv[1]) : 8;

	oa_config_read((char *[]){ NULL });
	if (!routes || oa_tree_map() || oa_tree_claim())
		return 1;
	for (const struct oa_processor *const *p = oa_processors; *p; p++)
		if ((*p)->open && (*p)->open())
			return 1;
	for (unsigned p = 0; oa_processors[p]; p++)
		printf("%-12s %6.0f ns/record\n", oa_processors[p]->name, step(p, routes));
	printf("%-12s %6.0f ns/record, taken from the ring and handed to an exporter\n", "all", whole(routes));
	return 0;
}
