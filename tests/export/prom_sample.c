/* Serves or prints the metrics of a made-up process tree, for test_prometheus.py and the benchmark.
 * It is linked as libotelauto.so is (--wrap), so it has no stdio.
 *
 *   prom_sample text | openmetrics       prints one scrape
 *   prom_sample serve                    prints the port, answers until stdin ends
 *   prom_sample push TIMES               posts as the environment says, with measurements in between
 *   prom_sample bench [series]           nanoseconds per rendering, and of the same by snprintf */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/clock.h"

#include "core/config.h"
#include "core/lead.h"
#include "core/sys.h"
#include "core/tree.h"
#include "exporter/exporter.h"
#include "exporter/metrics_push.h"
#include "exporter/prom_text.h"
#include "pipeline/usage.h"

#define MS 1000000ull

static uint64_t exemplar_ns = 1700000000123456789ull;

static const struct oa_attr attrs[] = {
	{ "service.name", "sample \"quoted\" \\ and\nmore", 0, false },
	{ "telemetry.sdk.language", "c", 0, false },
	{ "host.name", "h\xc3\xa4ne", 0, false },
	{ "process.count", NULL, 3, true },
};

const struct oa_attr *oa_resource_attrs(size_t *ret_count)
{
	*ret_count = sizeof(attrs) / sizeof(*attrs);
	return attrs;
}

static struct oa_label_set labels_of(const char *method, const char *route, const char *status)
{
	struct oa_label_set set = { 0 };

	oa_label_add(&set, OA_LABEL_method, oa_bytes_str(method));
	oa_label_add(&set, OA_LABEL_route, oa_bytes_str(route));
	oa_label_add(&set, OA_LABEL_status, oa_bytes_str(status));
	oa_label_add(&set, OA_LABEL_scheme, OA_LIT("http"));
	oa_label_add(&set, OA_LABEL_version, OA_LIT("1.1"));
	return set;
}

static void record(enum oa_instrument ins, const char *route, uint64_t value, bool exemplar)
{
	static const uint8_t trace[16] = { 0x4b, 0xf9, 0x2f, 0x35, 1 },
			     span[8] = { 0, 0xf0, 0x67, 0xaa, 1 };
	struct oa_label_set set = labels_of("GET", route, "200");

	oa_series_record(&oa_tree->series, OA_SERIES_MAX, ins, &set, value, exemplar ? trace : NULL,
			 span, exemplar_ns);
}

static void fill_pools(void)
{
	struct oa_db_pool_key key;

	memset(&key, 0, sizeof(key));
	key.addr = (struct oa_addr){ .family = 4, .port = 5432, .ip = { 192, 0, 2, 1 } };
	key.ns_len = 5;
	memcpy(key.ns, "a\"b\\c", 5);
	oa_self->db_pool[oa_db_pool_get(oa_tree->db_pools, &key)][OA_DB_USED] = 4;
	oa_self->db_pool[0][OA_DB_IDLE] = 2; /* of pools past the limit */
	oa_tree->procs[7].db_pool[1][OA_DB_USED] = 9; /* of a process that is gone */
}

static void fill(void)
{
	static const char *const routes[] = { "/", "/users/{id}", "/q\"uote\\back\nline",
					      "/\xff\xfe", "/\xe2\x82\xac" };
	struct oa_label_set overflow = { .overflow = true };

	for (unsigned ins = 0; ins < OA_INS_COUNT; ins++)
		for (unsigned r = 0; r < 5; r++)
			for (uint64_t v = 1; v < 20000 * MS; v = v * 3 + r)
				record(ins, routes[r], v, r == 1);
	oa_series_record(&oa_tree->series, OA_SERIES_MAX, OA_INS_http_server_duration, &overflow,
			 MS, NULL, NULL, 0);
	oa_self->active_server[OA_METHOD_GET][0] = 3;
	oa_self->active_client[OA_METHOD_POST][1] = 1;
	fill_pools();
	oa_tree->procs[7].stat[OA_STAT_drop_ring_full] = 5;
	oa_usage_tick(oa_now_ns());
}

static int put(const char *text, size_t len)
{
	while (len) {
		long n = oa_sys3(SYS_write, 1, text, len);

		if (n < 0)
			return 1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

static int print(bool openmetrics)
{
	struct oa_prom_out out = { .openmetrics = openmetrics };

	return oa_prom_render(&out) < 0 || put(out.mem, out.len);
}

/* Pushes `times` times, with more measurements in between, and says what became of it. */
static int push(unsigned times)
{
	char line[96];

	oa_loop_open();
	oa_lead_take();
	for (unsigned i = 0; i < times; i++) {
		uint64_t until = oa_now_ns() + 8000 * MS;

		oa_metrics_push_flush();
		while (oa_metrics_push_busy(UINT64_MAX) && oa_now_ns() < until)
			oa_loop_turn(5);
		record(OA_INS_http_server_duration, "/", (i + 1) * MS, true);
		oa_stat_add(OA_STAT_drop_ring_full, 2);
	}
	return put(line, (size_t)snprintf(line, sizeof(line), "{\"ok\":%lu,\"failed\":%lu,\"rejected\":%lu,\"arena\":%zu}\n",
					  oa_stat_sum(OA_STAT_metrics_ok), oa_stat_sum(OA_STAT_metrics_failed),
					  oa_stat_sum(OA_STAT_metrics_rejected), oa_arena_used_bytes()));
}

static int serve(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char line[16];
	char c;

	oa_config.metrics_exporter = 1;
	oa_config.prometheus_host = "127.0.0.1";
	oa_config.sd_dir = "";
	oa_loop_open();
	oa_scrape_tick();
	put(line, (size_t)snprintf(line, sizeof(line), "%u\n", oa_tree->port));
	while (poll(&in, 1, 0) == 0 || (in.revents & POLLIN && read(0, &c, 1) == 1))
		oa_loop_turn(20);
	return 0;
}

#define BOUNDS 14 /* of a duration */

/* What the same lines cost with the usual means. */
static size_t print_with_snprintf(char *to, size_t cap)
{
	const struct oa_series *s;
	size_t len = 0;
	unsigned pos = 0;

	while ((s = oa_series_next(&oa_tree->series, &pos))) {
		double sum = (double)s->sum / 1e9;
		uint64_t count = 0;

		for (unsigned i = 0; i < BOUNDS + 3; i++) {
			if (i <= BOUNDS)
				count += s->bucket[i];
			len += (size_t)snprintf(to + len, cap - len,
						"%s%s{otel_scope_name=\"%s\",otel_scope_version=\"%"
						"s\",http_request_method"
						"=\"%s\",http_route=\"%s\",http_response_status_"
						"code=\"%s\",url_scheme=\"%s\","
						"network_protocol_version=\"%s\",le=\"%g\"} %.9g\n",
						"http_server_request_duration_seconds", "_bucket",
						"otelauto", "0.1.0", "GET", "/some/route/123",
						"200", "http", "1.1",
						oa_streams[0].bounds[i % BOUNDS],
						i == BOUNDS + 1 ? sum : (double)count);
		}
	}
	return len;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int bench(unsigned series)
{
	enum { ROUNDS = 101 };
	static uint64_t ours[ROUNDS], theirs[ROUNDS];
	struct oa_prom_out out = { .openmetrics = true };
	size_t cap = (size_t)series * 20000 + 1000000, lines = 0;
	char *text = malloc(cap), route[32];

	for (unsigned i = 0; i < series; i++) {
		snprintf(route, sizeof(route), "/some/route/%u", i);
		for (unsigned v = 0; v < 10; v++)
			record(OA_INS_http_server_duration, route, (i + v) * 37 * MS, false);
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t t0 = oa_now_ns(), t1;

		oa_prom_render(&out);
		t1 = oa_now_ns();
		ours[i] = t1 - t0;
		print_with_snprintf(text, cap);
		theirs[i] = oa_now_ns() - t1;
	}
	for (size_t i = 0; i < out.len; i++)
		lines += out.mem[i] == '\n';
	qsort(ours, ROUNDS, sizeof(*ours), by_value);
	qsort(theirs, ROUNDS, sizeof(*theirs), by_value);
	put(text, (size_t)snprintf(text, cap,
				   "{\"series\": %u, \"lines\": %zu, \"bytes\": %zu, "
				   "\"render_ns\": %lu, \"snprintf_ns\": %lu}\n",
				   series, lines, out.len, (unsigned long)ours[ROUNDS / 2],
				   (unsigned long)theirs[ROUNDS / 2]));
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "push") == 0) {
		oa_config_read(environ);
		exemplar_ns = oa_unix_now_ns() + 60000 * MS;
	}
	if (oa_tree_map() || oa_tree_claim())
		return 1;
	if (strcmp(what, "bench") == 0)
		return bench(argc > 2 ? (unsigned)atoi(argv[2]) : 588);
	fill();
	if (strcmp(what, "push") == 0)
		return push(argc > 2 ? (unsigned)atoi(argv[2]) : 1);
	if (strcmp(what, "serve") == 0)
		return serve();
	return print(strcmp(what, "openmetrics") == 0);
}
