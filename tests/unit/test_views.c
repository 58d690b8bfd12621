/* Views: which streams come of which instruments, and with which series. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/sys.h"
#include "core/views.h"

#define INS OA_INS_http_server_duration
#define MS  1000000ull

static struct oa_series_table *table;

static void setup(void)
{
	table = oa_sys_map(sizeof(*table), 1);
	ck_assert_ptr_nonnull(table);
}

static void record(enum oa_instrument ins, const char *method, const char *route, uint64_t value)
{
	static const uint8_t trace[16] = { 1 }, span[8] = { 2 };
	struct oa_label_set set = { 0 };

	oa_label_add(&set, OA_LABEL_method, oa_bytes_str(method));
	oa_label_add(&set, OA_LABEL_route, oa_bytes_str(route));
	oa_series_record(table, OA_SERIES_MAX, ins, &set, value, trace, span, 42);
}

/* The series of a stream, and how many there are. */
static const struct oa_series *series_of(unsigned stream, unsigned *ret_count)
{
	const struct oa_series *s, *found = NULL;
	unsigned pos = 0, count = 0;

	while ((s = oa_series_next(table, &pos)))
		if (oa_series_stream(table, s) == stream) {
			found = s;
			count++;
		}
	if (ret_count)
		*ret_count = count;
	return found;
}

static unsigned count_of(unsigned stream)
{
	unsigned count;

	(void)series_of(stream, &count);
	return count;
}

static unsigned stream_called(const char *name)
{
	for (unsigned i = 0; i < oa_streams_count; i++)
		if (!strcmp(oa_streams[i].name, name) && oa_streams[i].kind != OA_STREAM_DROPPED)
			return i;
	return UINT32_MAX;
}

static unsigned add(struct oa_view v) { return oa_view_add(&v); }

START_TEST(what_is_dropped_has_no_series)
{
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.*", .aggregation = OA_VIEW_DROP }), 0);
	record(INS, "GET", "/", MS);
	record(OA_INS_http_client_duration, "GET", "/", MS);
	ck_assert_uint_eq(count_of(INS), 0);
	ck_assert_uint_eq(count_of(OA_INS_http_client_duration), 1);
	ck_assert_uint_eq(table->used, 1);
}
END_TEST

START_TEST(all_but_what_another_view_wants_can_be_dropped)
{
	bool first = _i;

	if (first)
		ck_assert_uint_eq(add((struct oa_view){ .instrument = "*", .aggregation = OA_VIEW_DROP }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "HTTP.server.request.durat?on" }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "process.*" }), 0);
	if (!first)
		ck_assert_uint_eq(add((struct oa_view){ .instrument = "*", .aggregation = OA_VIEW_DROP }), 0);
	record(INS, "GET", "/", MS);
	record(OA_INS_http_client_duration, "GET", "/", MS);
	ck_assert_uint_eq(count_of(INS), 1);
	ck_assert_uint_eq(table->used, 1);
	ck_assert(!oa_view_of_observed("process_cpu_time_seconds", true).dropped);
	ck_assert(oa_view_of_observed("http.server.active_requests", false).dropped);
	ck_assert(oa_view_of_observed("otelauto_drops", true).dropped);
}
END_TEST

START_TEST(attributes_that_are_left_out_make_fewer_series)
{
	struct oa_bytes labels, value;
	const struct oa_series *s;
	enum oa_label label;
	unsigned pos = 0, count;

	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .included = "http.*,url.scheme", .excluded = "http.rout?" }), 0);
	for (unsigned i = 0; i < 20; i++) {
		char route[8];

		snprintf(route, sizeof(route), "/%u", i);
		record(INS, "GET", route, MS);
	}
	s = series_of(INS, &count);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(s->bucket[0], 20);
	labels = oa_series_labels(table, s);
	ck_assert(oa_label_next(labels.ptr, (unsigned)labels.len, &pos, &label, &value));
	ck_assert_int_eq(label, OA_LABEL_method);
	ck_assert(oa_bytes_eq(value, OA_LIT("GET")));
	ck_assert_uint_eq(pos, labels.len);
}
END_TEST

START_TEST(boundaries_are_those_of_the_view)
{
	static const double bounds[] = { 0.001, 0.25, 3 };
	const struct oa_series *s;

	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.*", .unit = "s", .aggregation = OA_VIEW_EXPLICIT, .bounds = bounds, .bounds_count = 3 }), 0);
	ck_assert_uint_eq(oa_streams[INS].bounds_count, 3);
	ck_assert_uint_eq(oa_streams[OA_INS_http_server_req_body].bounds_count, 14);
	record(INS, "GET", "/", MS);
	record(INS, "GET", "/", MS + 1);
	record(INS, "GET", "/", 3000 * MS);
	record(INS, "GET", "/", 3000 * MS + 1);
	s = series_of(INS, NULL);
	ck_assert_uint_eq(s->bucket[0], 1);
	ck_assert_uint_eq(s->bucket[1], 1);
	ck_assert_uint_eq(s->bucket[2], 1);
	ck_assert_uint_eq(s->bucket[3], 1);
}
END_TEST

START_TEST(boundaries_that_are_not_given_are_those_of_opentelemetry)
{
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "*.body.size", .aggregation = OA_VIEW_EXPLICIT }), 0);
	ck_assert_uint_eq(oa_streams[OA_INS_http_server_req_body].bounds_count, 15);
	ck_assert_uint_eq(oa_streams[OA_INS_http_server_req_body].limits[14], 10000);
}
END_TEST

START_TEST(boundaries_that_do_not_rise_keep_those_of_the_instrument)
{
	static const double same[] = { 1, 1 }, near[] = { 1e-10, 2e-10 };
	static double many[OA_BOUNDS_MAX + 1];

	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .aggregation = OA_VIEW_EXPLICIT, .bounds = same, .bounds_count = 2 }), OA_VIEW_NO_BOUNDS);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.client.request.duration", .aggregation = OA_VIEW_EXPLICIT, .bounds = near, .bounds_count = 2 }), OA_VIEW_NO_BOUNDS);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "rpc.client.call.duration", .aggregation = OA_VIEW_EXPLICIT, .bounds = many, .bounds_count = OA_BOUNDS_MAX + 1 }), OA_VIEW_NO_BOUNDS);
	for (unsigned i = OA_INS_http_server_duration; i <= OA_INS_rpc_client_duration; i++)
		ck_assert_uint_eq(oa_streams[i].bounds_count, 14);
}
END_TEST

START_TEST(buckets_that_share_an_exemplar_show_it_where_its_value_lies)
{
	static double bounds[OA_BOUNDS_MAX];
	const struct oa_series *s;
	struct oa_exemplar e;

	for (unsigned i = 0; i < OA_BOUNDS_MAX; i++)
		bounds[i] = i + 1;
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .aggregation = OA_VIEW_EXPLICIT, .bounds = bounds, .bounds_count = OA_BOUNDS_MAX }), 0);
	record(INS, "GET", "/", 20500 * MS);
	s = series_of(INS, NULL);
	for (unsigned i = 0; i <= OA_BOUNDS_MAX; i++)
		ck_assert_int_eq(oa_series_exemplar(s, i, &e), i == 20);
}
END_TEST

START_TEST(a_sum_is_a_counter)
{
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.response.body.size", .aggregation = OA_VIEW_SUM, .name = "http.bytes" }), 0);
	ck_assert_int_eq(oa_streams[stream_called("http.bytes")].kind, OA_STREAM_SUM);
	record(OA_INS_http_server_resp_body, "GET", "/", 30);
	record(OA_INS_http_server_resp_body, "GET", "/", 12);
	ck_assert_uint_eq(series_of(stream_called("http.bytes"), NULL)->sum, 42);
}
END_TEST

START_TEST(several_views_of_one_instrument_make_several_streams)
{
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .included = "http.route" }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .included = "http.request.method", .name = "by.method", .help = "by method" }), 0);
	ck_assert_uint_eq(oa_streams_count, OA_INS_COUNT + 1);
	record(INS, "GET", "/a", MS);
	record(INS, "GET", "/b", MS);
	record(INS, "PUT", "/b", MS);
	record(INS, "PUT", "/c", MS);
	ck_assert_uint_eq(count_of(INS), 3);
	ck_assert_uint_eq(count_of(stream_called("by.method")), 2);
	ck_assert_str_eq(oa_streams[stream_called("by.method")].help, "by method");
	ck_assert_str_eq(oa_streams[stream_called("by.method")].unit, "s");
}
END_TEST

START_TEST(no_two_streams_have_one_name)
{
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .included = "http.route" }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration" }), OA_VIEW_NO_STREAM);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.client.request.duration", .name = "http_server.Request.duration" }), OA_VIEW_NO_NAME);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "rpc.client.call.duration", .name = "process.cpu.time" }), OA_VIEW_NO_NAME);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "rpc.server.*", .name = "otelauto_drops" }), OA_VIEW_NO_NAME);
	ck_assert_uint_eq(oa_streams_count, OA_INS_COUNT);
	ck_assert_uint_ne(stream_called("http.client.request.duration"), UINT32_MAX);
}
END_TEST

/* The endpoint puts units and what a sample is behind names, and has no dots. */
START_TEST(no_two_families_of_prometheus_have_one_name)
{
	static const char *const taken[] = {
		"http.server.request.duration_seconds", "HTTP_server.request.duration/seconds", "http.server.request.duration.seconds.count",
		"http.server.request.body.size.bytes", "messaging.client.consumed.messages.total", "process.cpu.time.seconds", "process.thread",
		"db.client.connection", "target.info", "target", "otelauto.series", "otelauto-drops", "Otelauto_Mine",
	};

	for (unsigned i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		oa_views_forget();
		ck_assert_uint_eq(add((struct oa_view){ .instrument = "messaging.client.sent.messages", .name = taken[i] }), OA_VIEW_NO_NAME);
		ck_assert_str_eq(oa_streams[OA_INS_messaging_sent].name, "messaging.client.sent.messages");
	}
}
END_TEST

START_TEST(a_name_that_another_unit_tells_apart_is_free)
{
	static const char *const ours[] = { "http.server.request.duration.seconds.mine", "otelautomatic.series", "targets", "process.threads" };

	for (unsigned i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		oa_views_forget();
		ck_assert_uint_eq(add((struct oa_view){ .instrument = "messaging.client.sent.messages", .name = ours[i] }), 0);
	}
	oa_views_forget();
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "dns.lookup.duration", .name = "http.server.request.duration_seconds" }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "otelauto.db.*", .name = "otelauto.db.server.operation.duration" }), 0);
	for (unsigned i = 0; i < OA_INS_COUNT; i++)
		if (i != OA_INS_dns_lookup && i != OA_INS_db_server_duration)
			ck_assert_uint_eq(add((struct oa_view){ .instrument = oa_streams[i].name }), 0);
}
END_TEST

START_TEST(a_name_that_was_dropped_and_taken_is_not_made_again)
{
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .aggregation = OA_VIEW_DROP }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "dns.lookup.duration", .name = "http.server.request.duration" }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration" }), OA_VIEW_NO_STREAM);
	ck_assert_uint_eq(stream_called("http.server.request.duration"), OA_INS_dns_lookup);
}
END_TEST

START_TEST(a_name_is_for_one_instrument_and_well_formed)
{
	static const char *const bad[] = { "", "1x", "a b", "\xc3\xa4", "a{b}" };

	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.*", .name = "mine" }), OA_VIEW_NO_NAME);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_uint_eq(add((struct oa_view){ .instrument = "dns.lookup.duration", .name = bad[i] }) & OA_VIEW_NO_NAME, OA_VIEW_NO_NAME);
	ck_assert_str_eq(oa_streams[INS].name, "http.server.request.duration");
	ck_assert_str_eq(oa_streams[OA_INS_dns_lookup].name, "dns.lookup.duration");
}
END_TEST

START_TEST(a_stream_may_have_a_limit_of_its_own)
{
	unsigned count;

	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .series_max = 5 }), 0);
	oa_view_limit(OA_VIEW_HISTOGRAM, 3);
	for (unsigned i = 0; i < 20; i++) {
		char route[8];

		snprintf(route, sizeof(route), "/%u", i);
		record(INS, "GET", route, MS);
		record(OA_INS_http_client_duration, "GET", route, MS);
		record(OA_INS_messaging_sent, "GET", route, 1);
	}
	(void)series_of(INS, &count);
	ck_assert_uint_eq(count, 5); /* the overflow series is one of them */
	ck_assert_uint_eq(count_of(OA_INS_http_client_duration), 3);
	ck_assert_uint_eq(count_of(OA_INS_messaging_sent), 20);
	ck_assert_uint_eq(table->overflowed, 20 - 4 + 20 - 2);
	ck_assert_uint_eq(table->used, 4 + 2 + 20);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "dns.*", .series_max = OA_SERIES_MAX + 1 }), OA_VIEW_NO_LIMIT);
}
END_TEST

START_TEST(instruments_are_selected_by_sort_and_unit)
{
	ck_assert_uint_eq(add((struct oa_view){ .sort = OA_VIEW_COUNTER, .aggregation = OA_VIEW_DROP }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .unit = "By", .sort = OA_VIEW_HISTOGRAM, .aggregation = OA_VIEW_DROP }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.client.*", .observed = true, .aggregation = OA_VIEW_DROP }), 0);
	for (unsigned i = 0; i < OA_INS_COUNT; i++)
		ck_assert_int_eq(oa_streams[i].kind == OA_STREAM_DROPPED,
				 !oa_streams[i].bounds_count || !strcmp(oa_streams[i].unit, "By"));
	ck_assert(oa_view_of_observed("http.client.active_requests", false).dropped);
	ck_assert(oa_view_of_observed("process.cpu.time", true).dropped);
	ck_assert(oa_view_of_observed("otelauto_drops", true).dropped);
	ck_assert(!oa_view_of_observed("process.thread.count", false).dropped);
}
END_TEST

START_TEST(what_is_observed_is_dropped_and_described_and_no_more)
{
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "process.thread.count", .help = "mine" }), 0);
	ck_assert_str_eq(oa_view_of_observed("process_thread_count", false).help, "mine");
	ck_assert_ptr_null(oa_view_of_observed("process_memory_usage_bytes", false).help);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "process.thread.count", .name = "threads" }), OA_VIEW_NO_NAME);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "process.*", .excluded = "cpu.*" }), OA_VIEW_NO_KEYS);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "otelauto_drops", .included = "x" }), OA_VIEW_NO_KEYS);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.active_requests", .excluded = "cpu.*" }), 0);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "otel.sdk.*", .aggregation = OA_VIEW_EXPLICIT }), OA_VIEW_NO_AGGREGATION);
	ck_assert_uint_eq(add((struct oa_view){ .instrument = "http.server.request.duration", .aggregation = OA_VIEW_LAST_VALUE }), OA_VIEW_NO_AGGREGATION);
}
END_TEST

START_TEST(there_is_room_for_so_many)
{
	unsigned made = 0;
	char name[16];

	for (unsigned i = 0; i < OA_VIEWS_MAX + 3; i++) {
		snprintf(name, sizeof(name), "stream.%u", i);
		made += !add((struct oa_view){ .instrument = "http.server.request.duration", .name = name });
	}
	ck_assert_uint_eq(oa_streams_count, OA_METRIC_STREAMS_MAX);
	ck_assert_uint_eq(made, OA_METRIC_STREAMS_MAX - OA_INS_COUNT + 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("views");
	TCase *c = tcase_create("views");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(c, setup, oa_views_forget);
	tcase_add_test(c, what_is_dropped_has_no_series);
	tcase_add_loop_test(c, all_but_what_another_view_wants_can_be_dropped, 0, 2);
	tcase_add_test(c, attributes_that_are_left_out_make_fewer_series);
	tcase_add_test(c, boundaries_are_those_of_the_view);
	tcase_add_test(c, boundaries_that_are_not_given_are_those_of_opentelemetry);
	tcase_add_test(c, boundaries_that_do_not_rise_keep_those_of_the_instrument);
	tcase_add_test(c, buckets_that_share_an_exemplar_show_it_where_its_value_lies);
	tcase_add_test(c, a_sum_is_a_counter);
	tcase_add_test(c, several_views_of_one_instrument_make_several_streams);
	tcase_add_test(c, no_two_streams_have_one_name);
	tcase_add_test(c, no_two_families_of_prometheus_have_one_name);
	tcase_add_test(c, a_name_that_another_unit_tells_apart_is_free);
	tcase_add_test(c, a_name_that_was_dropped_and_taken_is_not_made_again);
	tcase_add_test(c, a_name_is_for_one_instrument_and_well_formed);
	tcase_add_test(c, a_stream_may_have_a_limit_of_its_own);
	tcase_add_test(c, instruments_are_selected_by_sort_and_unit);
	tcase_add_test(c, what_is_observed_is_dropped_and_described_and_no_more);
	tcase_add_test(c, there_is_room_for_so_many);
	suite_add_tcase(s, c);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
