/* The text of a scrape: numbers, escapes, families, histograms, sums over the tree. tests/export/ has real parsers
 * read the same. */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/config.h"
#include "exporter/blind_layers.h"
#include "exporter/exporter.h"
#include "exporter/prom_text.h"
#include "pipeline/usage.h"
#include "tests/unit/lsan.h"

#define MS 1000000ull
#define SCOPE "{" OA_PROM_SCOPE

static struct oa_attr attrs[] = {
	{ "service.name", "shop \"1\"\\\n", 0, false }, { "process.pid", NULL, -12, true },
	{ "a.b", "second", 0, false }, { "a-b", "first", 0, false }, { "1st", "x", 0, false },
};

/* Instead of pipeline/resource.c's: this file is linked first. */
const struct oa_attr *oa_resource_attrs(size_t *ret_count)
{
	*ret_count = sizeof(attrs) / sizeof(*attrs);
	return attrs;
}

/* Stronger than exporter/blind_layers.c's. */
static uint32_t blind;
uint32_t oa_blind_layers(void) { return blind; }

static void setup(void)
{
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_tree_claim(), 0);
}

static const char *render(bool openmetrics)
{
	static struct oa_prom_out out;

	out.openmetrics = openmetrics;
	ck_assert_int_eq(oa_prom_render(&out), 0);
	oa_prom_lit(&out, "");
	*oa_prom_room(&out, 1) = '\0';
	return out.mem;
}

static unsigned times(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

#define ck_assert_has(text, part) ck_assert_msg(strstr((text), (part)), "no <%s> in:\n%s", (part), (text))
#define ck_assert_hasnt(text, part) ck_assert_msg(!strstr((text), (part)), "<%s> in:\n%s", (part), (text))

static void record(enum oa_instrument ins, const char *route, uint64_t value)
{
	static const uint8_t trace[16] = { 0xab, 1 }, span[8] = { 0xcd, 2 };
	struct oa_label_set set = { 0 };

	oa_label_add(&set, OA_LABEL_method, OA_LIT("GET"));
	oa_label_add(&set, OA_LABEL_route, oa_bytes_str(route));
	oa_label_add(&set, OA_LABEL_scheme, OA_LIT("http"));
	oa_series_record(&oa_tree->series, 100, ins, &set, value, trace, span, 1700000000123456789ull);
}

static const char *fixed(uint64_t value, unsigned scale)
{
	static char buf[OA_PROM_NUM_MAX + 1];

	*oa_prom_fixed(buf, value, scale) = '\0';
	return buf;
}

static const char *bound(uint64_t value, unsigned scale, bool openmetrics)
{
	static char buf[OA_PROM_NUM_MAX + 1];

	*oa_prom_bound(buf, value, scale, openmetrics) = '\0';
	return buf;
}

START_TEST(fractions_have_no_superfluous_digits)
{
	ck_assert_str_eq(fixed(0, 9), "0");
	ck_assert_str_eq(fixed(1, 9), "0.000000001");
	ck_assert_str_eq(fixed(1500000, 9), "0.0015");
	ck_assert_str_eq(fixed(1000000000, 9), "1");
	ck_assert_str_eq(fixed(12345678901ull, 9), "12.345678901");
	ck_assert_str_eq(fixed(123, 0), "123");
	ck_assert_str_eq(fixed(UINT64_MAX, 0), "18446744073709551615");
	ck_assert_str_eq(fixed(UINT64_MAX, 9), "18446744073.709551615");
	ck_assert_str_eq(fixed(10099, 2), "100.99");
}
END_TEST

START_TEST(bounds_look_as_go_prints_them)
{
	ck_assert_str_eq(bound(5 * MS, 9, false), "0.005");
	ck_assert_str_eq(bound(10000 * MS, 9, false), "10");
	ck_assert_str_eq(bound(10000 * MS, 9, true), "10.0");
	ck_assert_str_eq(bound(7500 * MS, 9, true), "7.5");
	ck_assert_str_eq(bound(0, 0, false), "0");
	ck_assert_str_eq(bound(0, 0, true), "0.0");
	ck_assert_str_eq(bound(0, 9, false), "0");
	ck_assert_str_eq(bound(524288, 0, true), "524288.0");
	ck_assert_str_eq(bound(2097152, 0, true), "2.097152e+06");
	ck_assert_str_eq(bound(1000000, 0, false), "1e+06");
	ck_assert_str_eq(bound(10000, 9, false), "1e-05");
	ck_assert_str_eq(bound(100000, 9, false), "0.0001");
	ck_assert_str_eq(bound(2147483648, 0, false), "2.147483648e+09");
}
END_TEST

START_TEST(descriptions_of_views_are_escaped)
{
	static const char *const expected[] = { "# HELP x a\\nb\\\\c \"d\"\n# TYPE x gauge\n",
						"# HELP x a\\nb\\\\c \\\"d\\\"\n# TYPE x gauge\n" };
	struct oa_prom_out o = { .openmetrics = _i };

	oa_prom_family(&o, "x", OA_PROM_GAUGE, NULL, "a\nb\\c \"d\"");
	ck_assert(oa_bytes_eq(oa_bytes(o.mem, o.len), oa_bytes_str(expected[_i])));
	free(o.mem);
}
END_TEST

START_TEST(histograms_are_cumulative_and_end_with_inf_equal_to_the_count)
{
	const char *text;

	record(OA_INS_http_server_duration, "/a", 3 * MS);
	record(OA_INS_http_server_duration, "/a", 7 * MS);
	record(OA_INS_http_server_duration, "/a", 20000 * MS);
	text = render(false);
#define SERIES SCOPE ",http_request_method=\"GET\",http_route=\"/a\",url_scheme=\"http\""
#define NAME "http_server_request_duration_seconds"
	ck_assert_has(text, "# TYPE " NAME " histogram\n" NAME "_bucket" SERIES ",le=\"0.005\"} 1\n"
			    NAME "_bucket" SERIES ",le=\"0.01\"} 2\n");
	ck_assert_has(text, NAME "_bucket" SERIES ",le=\"10\"} 2\n" NAME "_bucket" SERIES ",le=\"+Inf\"} 3\n"
			    NAME "_sum" SERIES "} 20.01\n" NAME "_count" SERIES "} 3\n");
	ck_assert_hasnt(text, "trace_id");
	ck_assert_hasnt(text, "# UNIT");
	ck_assert_hasnt(text, "# EOF");
}
END_TEST

START_TEST(openmetrics_has_units_exemplars_and_an_end)
{
	const char *text;

	record(OA_INS_http_server_duration, "/a", 7 * MS);
	text = render(true);
	ck_assert_has(text, "# UNIT " NAME " seconds\n");
	ck_assert_has(text, NAME "_bucket" SERIES ",le=\"0.01\"} 1 # {trace_id=\"ab010000000000000000000000000000\","
			    "span_id=\"cd02000000000000\"} 0.007 1700000000.123\n");
	ck_assert_uint_eq(times(text, "trace_id"), 1);
	ck_assert_has(text, ",le=\"10.0\"} 1\n");
	ck_assert_has(text, "# TYPE otelauto_drops counter\n");
	ck_assert_hasnt(text, "# TYPE otelauto_drops_total");
	ck_assert_hasnt(text, "\n\n");
	ck_assert_str_eq(text + strlen(text) - 7, "\n# EOF\n");
}
END_TEST

START_TEST(the_older_format_names_counters_with_their_suffix)
{
	const char *text = render(false);

	ck_assert_has(text, "# TYPE otelauto_drops_total counter\notelauto_drops_total{reason=\"ring_full\"} 0\n");
	ck_assert_has(text, "# TYPE target_info gauge\n");
	ck_assert_has(render(true), "# TYPE target info\n");
}
END_TEST

START_TEST(a_family_stands_together_however_its_series_came)
{
	const char *text;

	record(OA_INS_http_server_duration, "/a", MS);
	record(OA_INS_http_client_duration, "/a", MS);
	record(OA_INS_http_server_req_body, "/a", 100);
	record(OA_INS_http_server_duration, "/b", MS);
	text = render(true);
	ck_assert_uint_eq(times(text, "# TYPE " NAME " "), 1);
	ck_assert_uint_eq(times(text, NAME "_count"), 2);
	ck_assert(strstr(text, "# TYPE http_client_request_duration_seconds ") > strstr(text, "http_route=\"/b\""));
	ck_assert_has(text, "http_server_request_body_size_bytes_sum" SERIES "} 100\n");
	ck_assert_hasnt(text, "http_client_request_body_size");
}
END_TEST

START_TEST(label_values_are_escaped)
{
	record(OA_INS_http_server_duration, "/\"q\\\n", MS);
	ck_assert_has(render(false), "http_route=\"/\\\"q\\\\\\n\",");
}
END_TEST

START_TEST(the_overflow_series_has_its_one_label)
{
	struct oa_label_set set = { .overflow = true };

	oa_series_record(&oa_tree->series, 100, OA_INS_http_server_duration, &set, MS, NULL, NULL, 0);
	ck_assert_has(render(false), NAME "_count" SCOPE ",otel_metric_overflow=\"true\"} 1\n");
	ck_assert_has(render(false), "otelauto_series_overflowed_total 1\n");
}
END_TEST

START_TEST(the_resource_is_one_line_and_equal_label_names_are_joined)
{
	ck_assert_has(render(false), "\ntarget_info{_1st=\"x\",a_b=\"first;second\",process_pid=\"-12\","
				     "service_name=\"shop \\\"1\\\"\\\\\\n\"} 1\n");
}
END_TEST

START_TEST(open_requests_are_shown_from_the_first_and_stay_at_zero)
{
	const char *line = "http_server_active_requests" SCOPE ",http_request_method=\"GET\",url_scheme=\"http\"} 2\n";

	ck_assert_hasnt(render(false), "active_requests");
	oa_self->active_server[OA_METHOD_GET][0] = 2;
	oa_self->active_client[OA_METHOD_OTHER][1] = 1;
	ck_assert_has(render(false), line);
	ck_assert_has(render(false), "http_client_active_requests" SCOPE
				     ",http_request_method=\"_OTHER\",url_scheme=\"https\"} 1\n");
	oa_self->active_server[OA_METHOD_GET][0] = -1; /* counted down on another CPU before up was seen */
	record(OA_INS_http_server_duration, "/", MS);
	ck_assert_has(render(false),
		      "http_server_active_requests" SCOPE ",http_request_method=\"GET\",url_scheme=\"http\"} 0\n");
}
END_TEST

START_TEST(open_requests_of_methods_that_are_not_known_are_one_line)
{
	oa_config.known_methods = "GET,BREW";
	oa_self->active_server[OA_METHOD_GET][0] = 2;
	oa_self->active_server[OA_METHOD_PUT][0] = 3;
	oa_self->active_server[OA_METHOD_OTHER][0] = 4;
	ck_assert_has(render(false), "http_server_active_requests" SCOPE ",http_request_method=\"GET\",url_scheme=\"http\"} 2\n");
	ck_assert_has(render(false), "http_server_active_requests" SCOPE ",http_request_method=\"_OTHER\",url_scheme=\"http\"} 7\n");
	ck_assert_hasnt(render(false), "PUT");
}
END_TEST

/* A slot of a process that has gone. */
static struct oa_proc *dead_slot(void)
{
	struct oa_proc *p = &oa_tree->procs[3];
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	p->pid = (uint32_t)child;
	p->state = OA_PROC_LIVE;
	return p;
}

START_TEST(a_process_that_died_leaves_its_counts_and_takes_its_gauges_with_it)
{
	struct oa_proc *p = dead_slot();
	const char *text;

	p->active_server[OA_METHOD_GET][0] = 5;
	p->usage[OA_USAGE_CPU_USER_US] = 1500000;
	p->usage[OA_USAGE_THREADS] = 7;
	p->stat[OA_STAT_orphans] = 2;
	oa_self->usage[OA_USAGE_CPU_USER_US] = 500000;
	oa_self->usage[OA_USAGE_THREADS] = 3;
	text = render(false);
	ck_assert_hasnt(text, "active_requests");
	ck_assert_has(text, "process_cpu_time_seconds_total" SCOPE ",cpu_mode=\"user\"} 2\n");
	ck_assert_has(text, "process_thread_count" SCOPE "} 3\n");
	ck_assert_has(text, "otelauto_orphans_adopted_total 2\n");
	ck_assert_has(text, "\notelauto_processes 1\n");
}
END_TEST

/* One, and what a sanitizer's runtime brings. */
static unsigned threads_now(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	for (struct dirent *d; (d = readdir(dir));)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

START_TEST(usage_of_this_process_is_measured)
{
	oa_usage_tick(oa_now_ns());
	ck_assert_uint_gt(oa_self->usage[OA_USAGE_RSS_BYTES], 100000);
	ck_assert_uint_gt(oa_self->usage[OA_USAGE_VIRTUAL_BYTES], oa_self->usage[OA_USAGE_RSS_BYTES]);
	ck_assert_uint_eq(oa_self->usage[OA_USAGE_THREADS], threads_now());
	ck_assert_uint_ge(oa_self->usage[OA_USAGE_FDS], 3);
	ck_assert_uint_gt(oa_self->usage[OA_USAGE_FAULT_MINOR], 0);
}
END_TEST

START_TEST(descriptors_are_counted)
{
	uint64_t before;
	int fds[10];

	oa_usage_tick(1);
	before = oa_self->usage[OA_USAGE_FDS];
	for (unsigned i = 0; i < 10; i++)
		fds[i] = dup(0);
	oa_usage_tick(1000000000);
	ck_assert_uint_eq(oa_self->usage[OA_USAGE_FDS], before);
	oa_usage_tick(1000000001);
	ck_assert_uint_eq(oa_self->usage[OA_USAGE_FDS], before + 10);
	for (unsigned i = 0; i < 10; i++)
		close(fds[i]);
}
END_TEST

START_TEST(the_next_owner_of_a_slot_counts_on)
{
	uint64_t first;

	oa_self->usage[OA_USAGE_FAULT_MINOR] = 1000000;
	oa_usage_tick(1);
	first = oa_self->usage[OA_USAGE_FAULT_MINOR];
	ck_assert_uint_gt(first, 1000000);
	oa_usage_tick(2000000000);
	ck_assert_uint_ge(oa_self->usage[OA_USAGE_FAULT_MINOR], first);
	ck_assert_uint_lt(oa_self->usage[OA_USAGE_FAULT_MINOR], 2000000);
}
END_TEST

START_TEST(a_layer_that_is_not_seen_is_named)
{
	ck_assert_has(render(false), "otelauto_blind_layers{layer=\"tls\"} 0\n");
	for (unsigned i = 0; oa_blind_layer_table[i].layer; i++)
		if (strcmp(oa_blind_layer_table[i].layer, "tls") == 0)
			blind |= 1u << i;
	ck_assert_has(render(false), "otelauto_blind_layers{layer=\"tls\"} 1\n");
	ck_assert_has(render(false), "otelauto_blind_layers{layer=\"http3\"} 0\n");
	ck_assert_uint_eq(times(render(false), "otelauto_blind_layers{layer=\"tls\"}"), 1);
}
END_TEST

START_TEST(what_is_rendered_twice_is_the_same)
{
	char *first;

	lsan_forgets_on_purpose();
	for (unsigned i = 0; i < 50; i++) {
		char route[16];

		snprintf(route, sizeof(route), "/%u", i);
		record(OA_INS_http_server_duration, route, i * MS);
	}
	first = strdup(render(true));
	ck_assert_str_eq(render(true), first);
	oa_prom_forget();
	ck_assert_str_eq(render(true), first);
	free(first);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prom_text");
	TCase *c = tcase_create("prom_text");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, fractions_have_no_superfluous_digits);
	tcase_add_test(c, bounds_look_as_go_prints_them);
	tcase_add_loop_test(c, descriptions_of_views_are_escaped, 0, 2);
	tcase_add_test(c, histograms_are_cumulative_and_end_with_inf_equal_to_the_count);
	tcase_add_test(c, openmetrics_has_units_exemplars_and_an_end);
	tcase_add_test(c, the_older_format_names_counters_with_their_suffix);
	tcase_add_test(c, a_family_stands_together_however_its_series_came);
	tcase_add_test(c, label_values_are_escaped);
	tcase_add_test(c, the_overflow_series_has_its_one_label);
	tcase_add_test(c, the_resource_is_one_line_and_equal_label_names_are_joined);
	tcase_add_test(c, open_requests_are_shown_from_the_first_and_stay_at_zero);
	tcase_add_test(c, open_requests_of_methods_that_are_not_known_are_one_line);
	tcase_add_test(c, a_process_that_died_leaves_its_counts_and_takes_its_gauges_with_it);
	tcase_add_test(c, usage_of_this_process_is_measured);
	tcase_add_test(c, descriptors_are_counted);
	tcase_add_test(c, the_next_owner_of_a_slot_counts_on);
	tcase_add_test(c, a_layer_that_is_not_seen_is_named);
	tcase_add_test(c, what_is_rendered_twice_is_the_same);
	suite_add_tcase(s, c);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
