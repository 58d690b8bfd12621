/* What pipeline/red_metrics.c measures, with which labels. */
#include <stdio.h>
#include <stdlib.h>

#include "core/config.h"
#include "core/stats.h"
#include "core/tree.h"
#include "make_span.h"
#include "pipeline/processor.h"
#include "pipeline/red_metrics.h"

extern const struct oa_processor oa_processor_red_metrics;

static void fresh(void)
{
	oa_config.series_limit = 100;
	oa_config.exemplar_filter = 0;
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_tree_claim(), 0);
}

static void run(void)
{
	static const struct oa_proc_id who;

	oa_processor_red_metrics.prepare(&made.s);
	ck_assert_int_eq(oa_processor_red_metrics.on_span(&made, &who), 0);
}

/* "name=value name=value" of the made record. */
static void check_labels(const char *expected)
{
	struct oa_label_set set;
	char text[512] = "";
	struct oa_bytes value;
	enum oa_label label;
	unsigned pos = 0;

	oa_red_labels(&made.s, &set);
	while (oa_label_next(set.bytes, set.len, &pos, &label, &value))
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s=%.*s",
			 *text ? " " : "", oa_labels[label].prom, (int)value.len,
			 (const char *)value.ptr);
	ck_assert_str_eq(text, expected);
}

static uint64_t count_of(enum oa_instrument ins, uint64_t *ret_sum)
{
	uint64_t count = 0;
	unsigned pos = 0;
	const struct oa_series *s;

	*ret_sum = 0;
	while ((s = oa_series_next(&oa_tree->series, &pos)) != NULL) {
		if (oa_series_stream(&oa_tree->series, s) != ins)
			continue;
		for (unsigned i = 0; i <= OA_BOUNDS_MAX; i++)
			count += atomic_load(&s->bucket[i]);
		*ret_sum += atomic_load(&s->sum);
	}
	return count;
}

static void check_count(enum oa_instrument ins, uint64_t count, uint64_t sum)
{
	uint64_t found_sum, found = count_of(ins, &found_sum);

	ck_assert_uint_eq(found, count);
	ck_assert_uint_eq(found_sum, sum);
}

static unsigned exemplars(void)
{
	struct oa_exemplar e;
	const struct oa_series *s;
	unsigned pos = 0, found = 0;

	while ((s = oa_series_next(&oa_tree->series, &pos)) != NULL)
		for (unsigned i = 0; i <= OA_BOUNDS_MAX; i++)
			found += oa_series_exemplar(s, i, &e);
	return found;
}

START_TEST(a_served_request_has_method_route_status_scheme_version)
{
	make_span(OA_KIND_SERVER);
	make_str(OA_STR_ROUTE, "/a/{id}");
	make_str(OA_STR_HOST, "attacker-chosen");
	check_labels("http_request_method=GET http_route=/a/{id} "
		     "http_response_status_code=200 url_scheme=http "
		     "network_protocol_version=1.1");
}
END_TEST

START_TEST(a_servers_4xx_is_no_error_and_its_5xx_is_one)
{
	make_span(OA_KIND_SERVER)->status = 404;
	made.s.flags |= OA_SPAN_HTTPS;
	check_labels("http_request_method=GET http_response_status_code=404 "
		     "url_scheme=https network_protocol_version=1.1");
	made.s.status = 503;
	check_labels("http_request_method=GET http_response_status_code=503 "
		     "url_scheme=https network_protocol_version=1.1 "
		     "error_type=503");
}
END_TEST

START_TEST(an_unanswered_request_has_the_error_and_no_status)
{
	make_span(OA_KIND_SERVER)->flags &= ~OA_SPAN_HAS_STATUS;
	made.s.error = OA_ERR_ECONNRESET;
	made.s.version = 0;
	made.s.method = OA_METHOD_OTHER;
	check_labels("http_request_method=_OTHER url_scheme=http error_type=ECONNRESET");
}
END_TEST

START_TEST(only_methods_of_the_list_have_series_of_their_own)
{
	oa_config.known_methods = "GET, PURGE";
	make_span(OA_KIND_SERVER)->flags &= ~OA_SPAN_HAS_STATUS;
	made.s.version = 0;
	check_labels("http_request_method=GET url_scheme=http");
	made.s.method = OA_METHOD_POST;
	check_labels("http_request_method=_OTHER url_scheme=http");
	made.s.method = OA_METHOD_OTHER;
	make_str(OA_STR_METHOD, "PURGE");
	check_labels("http_request_method=PURGE url_scheme=http");
	make_str(OA_STR_METHOD, "purge");
	check_labels("http_request_method=_OTHER url_scheme=http");
}
END_TEST

START_TEST(a_clients_request_has_the_server_it_named)
{
	make_span(OA_KIND_CLIENT)->status = 404;
	make_str(OA_STR_HOST, "Example.ORG:8080");
	check_labels("http_request_method=GET http_response_status_code=404 "
		     "network_protocol_version=1.1 "
		     "server_address=example.org server_port=8080 error_type=404");
	make_str(OA_STR_HOST, "[::1]");
	made.s.status = 200;
	check_labels("http_request_method=GET http_response_status_code=200 "
		     "network_protocol_version=1.1 "
		     "server_address=::1 server_port=80");
}
END_TEST

START_TEST(what_can_be_no_host_name_makes_no_series_of_its_own)
{
	make_span(OA_KIND_CLIENT);
	made.s.flags |= OA_SPAN_HTTPS;
	make_str(OA_STR_HOST, "a b\"\n");
	check_labels("http_request_method=GET http_response_status_code=200 "
		     "network_protocol_version=1.1 "
		     "server_address=_OTHER server_port=443");
}
END_TEST

START_TEST(without_a_host_header_the_peer_is_the_server)
{
	make_span(OA_KIND_CLIENT)->peer =
		(struct oa_addr){ .family = 4, .port = 8081, .ip = { 127, 0, 0, 1 } };
	check_labels("http_request_method=GET http_response_status_code=200 "
		     "network_protocol_version=1.1 "
		     "server_address=127.0.0.1 server_port=8081");
	made.s.peer = (struct oa_addr){ .family = 1 };
	made.s.flags |= OA_SPAN_UNIX;
	make_str(OA_STR_PEER_PATH, "/run/app.sock");
	check_labels("http_request_method=GET http_response_status_code=200 "
		     "network_protocol_version=1.1 "
		     "server_address=/run/app.sock");
}
END_TEST

START_TEST(every_exchange_is_measured_and_known_bodies_too)
{
	fresh();
	make_span(OA_KIND_SERVER)->flags &= ~OA_SPAN_SAMPLED;
	run();
	made.s.flags |= OA_SPAN_HAS_REQ_BODY | OA_SPAN_HAS_RESP_BODY;
	made.s.resp_body = 700;
	run();
	check_count(OA_INS_http_server_duration, 2, 6000000);
	check_count(OA_INS_http_server_req_body, 1, 0);
	check_count(OA_INS_http_server_resp_body, 1, 700);
	make_span(OA_KIND_CLIENT);
	made.s.flags |= OA_SPAN_HAS_REQ_BODY;
	made.s.req_body = 5;
	run();
	check_count(OA_INS_http_client_duration, 1, 3000000);
	check_count(OA_INS_http_client_req_body, 1, 5);
	check_count(OA_INS_http_server_duration, 2, 6000000);
}
END_TEST

static unsigned series_count(void)
{
	unsigned pos = 0, count = 0;

	while (oa_series_next(&oa_tree->series, &pos))
		count++;
	return count;
}

static void vary_nothing(void) {}
static void vary_method(void) { made.s.method = OA_METHOD_POST; }
static void vary_other_method(void)
{
	made.s.method = OA_METHOD_OTHER;
	make_str(OA_STR_METHOD, "BREW");
}
static void vary_third_method(void)
{
	made.s.method = OA_METHOD_OTHER;
	make_str(OA_STR_METHOD, "MASH");
}
static void vary_status(void) { made.s.status = 201; }
static void vary_no_status(void) { made.s.flags &= ~OA_SPAN_HAS_STATUS; }
static void vary_version(void) { made.s.version = 10; }
static void vary_error(void) { made.s.error = OA_ERR_ECONNRESET; }
static void vary_https(void) { made.s.flags |= OA_SPAN_HTTPS; }
static void vary_route(void) { make_str(OA_STR_ROUTE, "/a/{x}"); }
static void vary_long_route(void)
{
	char route[301];

	memset(route, 'r', 300);
	route[0] = '/';
	route[300] = '\0';
	make_str(OA_STR_ROUTE, route);
}
static void vary_proto(void) { make_str(OA_STR_FWD_PROTO, "https"); }
static void vary_host(void) { make_str(OA_STR_HOST, "b.example"); }
static void vary_port(void) { make_str(OA_STR_HOST, "a.example:81"); }
static void vary_target(void) { make_str(OA_STR_TARGET, "https://a.example/"); }
static void vary_no_host(void)
{
	make_str(OA_STR_HOST, "");
	made.s.peer = (struct oa_addr){ .family = 4, .port = 8081, .ip = { 127, 0, 0, 1 } };
}
static void vary_peer(void)
{
	vary_no_host();
	made.s.peer.ip[3] = 2;
}
static void vary_peer_port(void)
{
	vary_no_host();
	made.s.peer.port = 8082;
}
static void vary_unix(void)
{
	make_str(OA_STR_HOST, "");
	made.s.flags |= OA_SPAN_UNIX;
	make_str(OA_STR_PEER_PATH, "/run/app.sock");
}
static void vary_other_unix(void)
{
	vary_unix();
	make_str(OA_STR_PEER_PATH, "/run/other.sock");
}

/* Whatever is remembered of labels met before: each record goes where its own labels say. */
static void check_series(enum oa_kind kind, void (*const *vary)(void), unsigned count)
{
	fresh();
	oa_config.known_methods = "GET,POST,BREW,MASH";
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < count; i++) {
			make_span(kind);
			if (kind == OA_KIND_CLIENT)
				make_str(OA_STR_HOST, "a.example");
			vary[i]();
			run();
			ck_assert_msg(series_count() == (round ? count : i + 1), "variant %u, round %u: %u", i, round,
				      series_count());
		}
	check_count(kind == OA_KIND_SERVER ? OA_INS_http_server_duration : OA_INS_http_client_duration, 3 * count,
		    3 * count * made.s.duration_ns);
}

START_TEST(records_of_different_labels_never_share_a_series)
{
	static void (*const server[])(void) = {
		vary_nothing, vary_method, vary_other_method, vary_third_method, vary_status, vary_no_status, vary_version,
		vary_error, vary_https, vary_route, vary_long_route,
	};
	static void (*const client[])(void) = {
		vary_nothing, vary_method, vary_other_method, vary_third_method, vary_status, vary_no_status, vary_version,
		vary_error, vary_https, vary_host, vary_port, vary_no_host, vary_peer, vary_peer_port, vary_unix, vary_other_unix,
	};

	check_series(OA_KIND_SERVER, server, sizeof(server) / sizeof(*server));
	check_series(OA_KIND_CLIENT, client, sizeof(client) / sizeof(*client));
	check_series(OA_KIND_SERVER, server, sizeof(server) / sizeof(*server)); /* another tree: nothing of the first */
}
END_TEST

START_TEST(more_series_than_are_remembered_keep_their_counts)
{
	unsigned pos = 0;
	const struct oa_series *s;

	fresh();
	oa_config.series_limit = 2000;
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < 900; i++) {
			char route[32];

			snprintf(route, sizeof(route), "/route/%u", i);
			make_span(OA_KIND_SERVER);
			make_str(OA_STR_ROUTE, route);
			run();
		}
	ck_assert_uint_eq(series_count(), 900);
	while ((s = oa_series_next(&oa_tree->series, &pos)) != NULL)
		ck_assert_uint_eq(atomic_load(&s->sum), 4 * made.s.duration_ns);
}
END_TEST

static void run_client(void (*vary)(void))
{
	make_span(OA_KIND_CLIENT);
	make_str(OA_STR_HOST, "a.example");
	vary();
	run();
}

static void run_server(void (*vary)(void))
{
	make_span(OA_KIND_SERVER);
	vary();
	run();
}

START_TEST(records_of_equal_labels_share_one)
{
	fresh();
	run_server(vary_https);
	run_server(vary_proto);
	ck_assert_uint_eq(series_count(), 1);
	run_server(vary_nothing);
	ck_assert_uint_eq(series_count(), 2);
	run_client(vary_https);
	run_client(vary_target);
	ck_assert_uint_eq(series_count(), 3);
	run_client(vary_nothing);
	ck_assert_uint_eq(series_count(), 4);
}
END_TEST

START_TEST(series_past_the_limit_stay_overflow_and_are_counted_each_time)
{
	fresh();
	oa_config.series_limit = 1;
	make_span(OA_KIND_SERVER);
	run();
	vary_route();
	for (unsigned i = 0; i < 5; i++)
		run();
	ck_assert_uint_eq(atomic_load(&oa_tree->series.overflowed), 5);
	ck_assert_uint_eq(series_count(), 2);
	oa_config.series_limit = 100;
	run();
	ck_assert_uint_eq(series_count(), 3);
}
END_TEST

START_TEST(tunnels_and_failed_connections_are_counted_but_not_measured)
{
	fresh();
	make_span(OA_KIND_CLIENT)->what = OA_WHAT_CONNECT;
	run();
	made.s.what = OA_WHAT_TUNNEL;
	run();
	check_count(OA_INS_http_client_duration, 0, 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_spans_sampled), 2);
}
END_TEST

START_TEST(exemplars_follow_the_filter)
{
	fresh();
	make_span(OA_KIND_SERVER)->flags &= ~OA_SPAN_SAMPLED;
	run();
	ck_assert_uint_eq(exemplars(), 0);
	made.s.flags |= OA_SPAN_SAMPLED;
	oa_config.exemplar_filter = 2; /* always_off */
	run();
	ck_assert_uint_eq(exemplars(), 0);
	oa_config.exemplar_filter = 0; /* trace_based */
	run();
	ck_assert_uint_eq(exemplars(), 1);
	oa_config.exemplar_filter = 1; /* always_on */
	make_span(OA_KIND_CLIENT)->flags &= ~OA_SPAN_SAMPLED;
	run();
	ck_assert_uint_eq(exemplars(), 2);
}
END_TEST

/* A call of a broker: operation, topic, messages. */
static void make_broker_call(enum oa_store_system system, const char *operation, const char *topic, uint32_t messages)
{
	struct {
		struct oa_db db;
		char texts[64];
	} r = { .db = { .system = (uint8_t)system, .operation = (uint8_t)strlen(operation), .target = (uint8_t)strlen(topic),
			.batch = messages, .rows = messages } };

	make_span(OA_KIND_CLIENT)->what = OA_WHAT_DB;
	made.s.status = 0;
	made.s.flags &= ~OA_SPAN_HAS_STATUS;
	snprintf(r.texts, sizeof(r.texts), "%s%s", operation, topic);
	ck_assert_int_eq(oa_span_set_str(&made.s, sizeof(made), OA_STR_DB,
					 oa_bytes(&r, sizeof(r.db) + r.db.operation + r.db.target)), 0);
}

START_TEST(messages_are_counted_beside_the_calls_that_carry_them)
{
	fresh();
	make_broker_call(OA_STORE_KAFKA, "Produce", "orders", 7);
	run();
	run();
	check_count(OA_INS_messaging_sent, 2, 14);
	make_broker_call(OA_STORE_KAFKA, "Fetch", "orders", 30);
	run();
	make_broker_call(OA_STORE_KAFKA, "Metadata", "", 0);
	run();
	check_count(OA_INS_messaging_consumed, 1, 30);
	make_broker_call(OA_STORE_AMQP, "basic.publish", "orders", 0);
	run();
	make_broker_call(OA_STORE_AMQP, "basic.get", "orders", 1);
	run();
	make_broker_call(OA_STORE_AMQP, "basic.get", "orders", 0);
	run();
	make_broker_call(OA_STORE_AMQP, "basic.deliver", "orders", 0);
	run();
	check_count(OA_INS_messaging_sent, 3, 15);
	check_count(OA_INS_messaging_consumed, 3, 32);
	check_count(OA_INS_messaging_client_duration, 7, 7 * made.s.duration_ns);
	check_count(OA_INS_db_client_duration, 0, 0);
}
END_TEST

START_TEST(decisions_are_counted)
{
	fresh();
	make_span(OA_KIND_CLIENT)->evidence = OA_EV_BOUND;
	made.s.inject = OA_INJECT_SHORT;
	run();
	made.s.inject = OA_INJECT_NONE;
	made.s.flags &= ~OA_SPAN_SAMPLED;
	run();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_parent_BOUND), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_parent_ROOT), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_inject_SHORT), 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_inject_DONE), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_spans_sampled), 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_spans_unsampled), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("red_metrics");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_served_request_has_method_route_status_scheme_version);
	tcase_add_test(tc, a_servers_4xx_is_no_error_and_its_5xx_is_one);
	tcase_add_test(tc, an_unanswered_request_has_the_error_and_no_status);
	tcase_add_test(tc, only_methods_of_the_list_have_series_of_their_own);
	tcase_add_test(tc, a_clients_request_has_the_server_it_named);
	tcase_add_test(tc, what_can_be_no_host_name_makes_no_series_of_its_own);
	tcase_add_test(tc, without_a_host_header_the_peer_is_the_server);
	tcase_add_test(tc, every_exchange_is_measured_and_known_bodies_too);
	tcase_add_test(tc, records_of_different_labels_never_share_a_series);
	tcase_add_test(tc, records_of_equal_labels_share_one);
	tcase_add_test(tc, more_series_than_are_remembered_keep_their_counts);
	tcase_add_test(tc, series_past_the_limit_stay_overflow_and_are_counted_each_time);
	tcase_add_test(tc, tunnels_and_failed_connections_are_counted_but_not_measured);
	tcase_add_test(tc, exemplars_follow_the_filter);
	tcase_add_test(tc, messages_are_counted_beside_the_calls_that_carry_them);
	tcase_add_test(tc, decisions_are_counted);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
