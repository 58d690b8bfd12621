/* Which header values end up on a span: the forwarding ones of the first hop, and those that are listed. */
#include "tests/unit/conn_rig.h"

#include "conn/capture.h"

static struct oa_conn conn;
static struct oa_exchange *ex;
static struct oa_http_head head;
static char text[8000], names[4][600];

static void request(const char *lines)
{
	size_t len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", lines);

	rig_start();
	ck_assert_int_eq(oa_http1_parse_head(oa_bytes(text, len), OA_DIR_REQUEST, &head), (long)len);
	if (ex)
		oa_exchange_discard(&conn, conn.first - 1);
	ex = oa_exchange_at((uint32_t)oa_exchange_open(&conn, OA_KIND_SERVER, OA_WHAT_HTTP, 1));
}

static void forwarded(const char *lines)
{
	request(lines);
	oa_capture_forwarded(&conn, ex, &head);
}

static void assert_forwarded(const char *from, const char *proto, const char *host)
{
	const struct oa_span *s = oa_exchange_span(ex);

	ck_assert(rig_str_is(s, OA_STR_FWD_FOR, from));
	ck_assert(rig_str_is(s, OA_STR_FWD_PROTO, proto));
	ck_assert(rig_str_is(s, OA_STR_FWD_HOST, host));
}

START_TEST(capture_takes_the_first_hop_of_forwarded)
{
	forwarded("Forwarded: for=192.0.2.60;proto=https;host=example.com;by=203.0.113.43, for=198.51.100.17;proto=http\r\n");
	assert_forwarded("192.0.2.60", "https", "example.com");
}
END_TEST

START_TEST(capture_reads_forwarded_with_quotes_blanks_and_any_case)
{
	forwarded("Forwarded: For=\"[2001:db8::17]:4711\" ; PROTO=http\r\n");
	assert_forwarded("[2001:db8::17]:4711", "http", "");
	forwarded("Forwarded: for=_hidden\r\n");
	assert_forwarded("_hidden", "", "");
}
END_TEST

START_TEST(capture_leaves_a_broken_forwarded_alone)
{
	forwarded("Forwarded: ;;=;for;=x;host=\r\n");
	assert_forwarded("", "", "");
	forwarded("Forwarded: ,for=1.2.3.4\r\n");
	assert_forwarded("", "", "");
	forwarded("Forwarded: for=\"\r\n");
	assert_forwarded("\"", "", "");
}
END_TEST

START_TEST(capture_takes_the_first_hop_of_the_older_headers)
{
	forwarded("X-Forwarded-For:  192.0.2.60 , 198.51.100.17\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example, b\r\n");
	assert_forwarded("192.0.2.60", "https", "a.example");
}
END_TEST

START_TEST(capture_prefers_the_standard_header)
{
	forwarded("X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Host: old\r\nForwarded: for=192.0.2.60\r\n");
	assert_forwarded("192.0.2.60", "", "old");
}
END_TEST

/* -- lists -- */

static void listed(const char *server_request, const char *server_response, const char *client_request,
		   const char *client_response)
{
	char *env[5] = { names[0], names[1], names[2], names[3], NULL };
	static const char *const what[] = { "SERVER_CAPTURE_REQUEST", "SERVER_CAPTURE_RESPONSE", "CLIENT_CAPTURE_REQUEST",
					    "CLIENT_CAPTURE_RESPONSE" };
	const char *const value[] = { server_request, server_response, client_request, client_response };

	rig_start();
	for (int i = 0; i < 4; i++)
		snprintf(names[i], sizeof(names[i]), "OTEL_INSTRUMENTATION_HTTP_%s_HEADERS=%s", what[i], value[i]);
	oa_config_read(env);
}

/* What was kept, as "<name:value >name:value" for requests and responses. */
static const char *kept(void)
{
	static char out[4000];
	struct oa_bytes h = oa_span_str(oa_exchange_span(ex), OA_STR_HEADERS);
	size_t len = 0;

	out[0] = 0;
	while (h.len) {
		uint16_t value;

		memcpy(&value, h.ptr + 2, 2);
		ck_assert_uint_ge(h.len, 4u + h.ptr[1] + value);
		len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%c%.*s:%.*s", len ? " " : "",
					h.ptr[0] ? '>' : '<', h.ptr[1], (const char *)h.ptr + 4, value,
					(const char *)h.ptr + 4 + h.ptr[1]);
		h = oa_bytes(h.ptr + 4 + h.ptr[1] + value, h.len - 4 - h.ptr[1] - value);
	}
	return out;
}

START_TEST(capture_keeps_no_header_that_is_not_listed)
{
	listed("", "", "", "");
	request("Authorization: secret\r\nX-A: 1\r\n");
	oa_capture_headers(ex, &head, OA_DIR_REQUEST, OA_KIND_SERVER);
	ck_assert_str_eq(kept(), "");
	listed("x-a", "", "", "");
	request("Authorization: secret\r\nX-A: 1\r\nX-AB: 2\r\nX: 3\r\n");
	oa_capture_headers(ex, &head, OA_DIR_REQUEST, OA_KIND_SERVER);
	ck_assert_str_eq(kept(), "<x-a:1");
}
END_TEST

START_TEST(capture_knows_names_in_any_case_and_repeats_them)
{
	listed("X-Tenant , x-b", "", "", "");
	request("x-tenant: one\r\nX-TENANT: two\r\nX-B:\r\n");
	oa_capture_headers(ex, &head, OA_DIR_REQUEST, OA_KIND_SERVER);
	ck_assert_str_eq(kept(), "<x-tenant:one <x-tenant:two <x-b:");
}
END_TEST

START_TEST(capture_has_a_list_for_each_side_and_direction)
{
	static const struct {
		enum oa_dir dir;
		enum oa_kind kind;
		const char *want;
	} cases[] = { { OA_DIR_REQUEST, OA_KIND_SERVER, "<x-a:1" }, { OA_DIR_RESPONSE, OA_KIND_SERVER, ">x-b:2" },
		      { OA_DIR_REQUEST, OA_KIND_CLIENT, "<x-c:3" }, { OA_DIR_RESPONSE, OA_KIND_CLIENT, ">x-d:4" } };

	listed("x-a", "x-b", "x-c", "x-d");
	for (unsigned i = 0; i < 4; i++) {
		request("X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nX-D: 4\r\n");
		oa_capture_headers(ex, &head, cases[i].dir, cases[i].kind);
		ck_assert_str_eq(kept(), cases[i].want);
	}
}
END_TEST

START_TEST(capture_of_a_response_stands_behind_that_of_its_request)
{
	listed("x-a", "x-b", "", "");
	request("X-A: 1\r\nX-B: 2\r\n");
	oa_capture_headers(ex, &head, OA_DIR_REQUEST, OA_KIND_SERVER);
	oa_capture_headers(ex, &head, OA_DIR_RESPONSE, OA_KIND_SERVER);
	ck_assert_str_eq(kept(), "<x-a:1 >x-b:2");
}
END_TEST

START_TEST(capture_cuts_a_long_value_and_keeps_those_behind_it)
{
	char lines[OA_HEADER_TEXT_MAX + 100], want[OA_HEADER_TEXT_MAX + 100];

	listed("x-a,x-b", "", "", "");
	snprintf(lines, sizeof(lines), "X-A: %0*d\r\nX-B: 2\r\n", OA_HEADER_TEXT_MAX + 10, 0);
	request(lines);
	oa_capture_headers(ex, &head, OA_DIR_REQUEST, OA_KIND_SERVER);
	snprintf(want, sizeof(want), "<x-a:%0*d <x-b:2", OA_HEADER_TEXT_MAX, 0);
	ck_assert_str_eq(kept(), want);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("capture");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, capture_takes_the_first_hop_of_forwarded);
	tcase_add_test(tc, capture_reads_forwarded_with_quotes_blanks_and_any_case);
	tcase_add_test(tc, capture_leaves_a_broken_forwarded_alone);
	tcase_add_test(tc, capture_takes_the_first_hop_of_the_older_headers);
	tcase_add_test(tc, capture_prefers_the_standard_header);
	tcase_add_test(tc, capture_keeps_no_header_that_is_not_listed);
	tcase_add_test(tc, capture_knows_names_in_any_case_and_repeats_them);
	tcase_add_test(tc, capture_has_a_list_for_each_side_and_direction);
	tcase_add_test(tc, capture_of_a_response_stands_behind_that_of_its_request);
	tcase_add_test(tc, capture_cuts_a_long_value_and_keeps_those_behind_it);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
