#include <check.h>

#include "core/config.h"
#include "exporter/otlp_pb.h"
#include "exporter/otlp_resource.h"
#include "exporter/otlp_response.h"
#include "tests/unit/make_span.h"
#include "tests/unit/otlp_oracle.h"

#define RANDOM_SPANS 3000

static struct oa_span_buf span_buf;
static uint8_t encoded[OA_OTLP_SPAN_MAX];

static void setup(void)
{
	char *none[] = { NULL };

	oa_config_read(none);
	oa_config.evidence_attribute = true;
}

/* What is inside the one field `spans` that the encoder wrote. */
static Oa__Otlp__Span *decode_span(const struct oa_span *s, size_t *ret_len)
{
	uint8_t *end = oa_otlp_pb_span(encoded, s), *p = encoded;
	size_t len = 0;
	Oa__Otlp__Span *span;

	ck_assert_int_eq(*p++, 2 << 3 | 2);
	for (unsigned shift = 0;; shift += 7) {
		len |= (size_t)(*p & 0x7f) << shift;
		if (!(*p++ & 0x80))
			break;
	}
	ck_assert_uint_eq(len, (size_t)(end - p));
	span = oa__otlp__span__unpack(NULL, len, p);
	ck_assert_ptr_nonnull(span);
	ck_assert_uint_eq(span->base.n_unknown_fields, 0);
	*ret_len = len;
	return span;
}

static uint8_t *pack_span(const Oa__Otlp__Span *span, size_t *ret_len)
{
	uint8_t *out = malloc(oa__otlp__span__get_packed_size(span) + 1);

	*ret_len = oa__otlp__span__pack(span, out);
	return out;
}

static void check_same(const struct oa_span *s)
{
	Oa__Otlp__Span *wanted = oracle_span(s), *got;
	size_t len, wanted_len, got_len;
	uint8_t *wanted_bytes, *got_bytes;

	got = decode_span(s, &len);
	wanted_bytes = pack_span(wanted, &wanted_len);
	got_bytes = pack_span(got, &got_len);
	ck_assert_uint_eq(got_len, wanted_len);
	ck_assert_mem_eq(got_bytes, wanted_bytes, wanted_len);
	ck_assert_uint_eq(len, wanted_len); /* nothing is written twice or at greater length */
	free(wanted_bytes);
	free(got_bytes);
	oa__otlp__span__free_unpacked(wanted, NULL);
	oa__otlp__span__free_unpacked(got, NULL);
}

START_TEST(random_spans_decode_to_what_protobuf_c_makes_of_them)
{
	for (unsigned i = 0; i < RANDOM_SPANS; i++) {
		oracle_seed = i + 1;
		random_span(&span_buf);
		oa_config.attribute_value_length_limit = i % 3 ? -1 : (int64_t)oracle_random(50);
		check_same(&span_buf.s);
	}
}
END_TEST

/* Requests of a few clients to a few hosts, in all combinations: of most of it some span before had the same. */
START_TEST(what_is_remembered_of_other_spans_is_what_it_would_be)
{
	static const char *const hosts[] = { "a", "shop.example.com", "shop.example.com:8080", "[::1]:80", ":80", "u@" };
	static const uint16_t statuses[] = { 200, 404, 503, 0 };

	for (unsigned i = 0; i < 2 * 6 * 4 * 3 * 4; i++) {
		struct oa_span *s = make_span(i & 1 ? OA_KIND_SERVER : OA_KIND_CLIENT);

		s->start_unix_ns = 1700000000000000000ull + i;
		s->status = statuses[i / 12 % 4];
		s->method = i & 2 ? OA_METHOD_GET : OA_METHOD_POST;
		s->version = i & 4 ? 11 : 20;
		if (i & 8)
			s->flags |= OA_SPAN_HTTPS;
		s->peer = (struct oa_addr){ .family = i % 5 ? 4 : 6, .port = (uint16_t)(i % 7), .ip = { 10, 0, 0, (uint8_t)(i / 48 % 3) } };
		make_str(OA_STR_HOST, hosts[i / 2 % 6]);
		if (i / 144)
			make_str(OA_STR_FWD_PROTO, i % 3 ? "https" : "http");
		oa_config.span_attribute_count_limit = i % 11 ? -1 : 3 + (int)(i % 7);
		check_same(s);
	}
}
END_TEST

START_TEST(the_smallest_and_the_largest_span_fit)
{
	static uint8_t text[OA_SPAN_TEXT_MAX];
	struct oa_span *s = &span_buf.s;

	memset(&span_buf, 0, sizeof(span_buf));
	s->start_unix_ns = 1;
	s->kind = OA_KIND_INTERNAL;
	s->what = OA_WHAT_CONNECT;
	check_same(s);

	memset(text, 0xff, sizeof(text)); /* no byte of it is UTF-8 */
	s->kind = OA_KIND_CLIENT;
	s->what = OA_WHAT_HTTP;
	s->bytes = sizeof(*s);
	(void)oa_span_set_str(s, sizeof(span_buf), OA_STR_HOST, oa_bytes(text, 512));
	(void)oa_span_set_str(s, sizeof(span_buf), OA_STR_TARGET, oa_bytes(text, sizeof(text)));
	check_same(s);
	ck_assert_uint_gt((size_t)(oa_otlp_pb_span(encoded, s) - encoded), 3 * 14000u);
}
END_TEST

/* A header with an empty name and value every five bytes: as many as a record can hold. */
START_TEST(headers_past_the_limit_of_attributes_are_counted_as_dropped)
{
	static uint8_t text[200 * 6];
	struct oa_span *s = &span_buf.s;
	Oa__Otlp__Span *got;
	size_t len;

	for (unsigned i = 0; i < 200; i++)
		memcpy(text + 6 * i, (uint8_t[]){ 0, 2, 0, 0, (uint8_t)('a' + i / 16), (uint8_t)('a' + i % 16) }, 6);
	memset(&span_buf, 0, sizeof(span_buf));
	s->start_unix_ns = 1;
	s->kind = OA_KIND_SERVER;
	s->what = OA_WHAT_HTTP;
	s->method = OA_METHOD_GET;
	s->bytes = sizeof(*s);
	(void)oa_span_set_str(s, sizeof(span_buf), OA_STR_HEADERS, oa_bytes(text, sizeof(text)));
	check_same(s);
	got = decode_span(s, &len);
	ck_assert_uint_eq(got->n_attributes, 128);
	ck_assert_uint_eq(got->dropped_attributes_count, 200 - (128 - 3)); /* method, scheme, evidence */
	oa__otlp__span__free_unpacked(got, NULL);
	oa_config.attribute_count_limit = 1000;
	got = decode_span(s, &len);
	ck_assert_uint_eq(got->n_attributes, 203);
	ck_assert_uint_eq(got->dropped_attributes_count, 0);
	oa__otlp__span__free_unpacked(got, NULL);
}
END_TEST

static Oa__Otlp__Span *decode_busy_span(void)
{
	static const struct oa_link links[3] = { { { 1 }, { 2 } }, { { 3 }, { 4 } }, { { 5 }, { 6 } } };
	size_t len;

	make_span(OA_KIND_CLIENT)->dns_us = 10;
	made.s.connect_us = 20;
	make_str(OA_STR_HOST, "a.example");
	(void)oa_span_set_str(&made.s, sizeof(made), OA_STR_LINKS, oa_bytes(links, sizeof(links)));
	return decode_span(&made.s, &len);
}

START_TEST(counts_have_the_limits_of_the_settings_and_the_rest_is_counted)
{
	Oa__Otlp__Span *whole = decode_busy_span(), *got;
	unsigned all = (unsigned)whole->n_attributes;

	ck_assert_uint_eq(whole->n_events, 2);
	ck_assert_uint_eq(whole->n_links, 3);
	ck_assert_uint_eq(whole->dropped_attributes_count + whole->dropped_events_count + whole->dropped_links_count, 0);
	oa_config.attribute_count_limit = 3;
	oa_config.span_event_count_limit = 1;
	oa_config.span_link_count_limit = 2;
	got = decode_busy_span();
	ck_assert_uint_eq(got->n_attributes, 3);
	ck_assert_uint_eq(got->dropped_attributes_count, all - 3);
	ck_assert_uint_eq(got->n_events, 1);
	ck_assert_uint_eq(got->dropped_events_count, 1);
	ck_assert_uint_eq(got->n_links, 2);
	ck_assert_uint_eq(got->dropped_links_count, 1);
	ck_assert_str_eq(got->attributes[0]->key, whole->attributes[0]->key);
	oa__otlp__span__free_unpacked(whole, NULL);
	oa__otlp__span__free_unpacked(got, NULL);
}
END_TEST

START_TEST(the_limit_for_spans_wins_and_zero_leaves_nothing)
{
	Oa__Otlp__Span *got;

	oa_config.attribute_count_limit = 3;
	oa_config.span_attribute_count_limit = 0;
	oa_config.span_event_count_limit = oa_config.span_link_count_limit = 0;
	got = decode_busy_span();
	ck_assert_uint_eq(got->n_attributes + got->n_events + got->n_links, 0);
	ck_assert_uint_gt(got->dropped_attributes_count, 3);
	ck_assert_uint_eq(got->dropped_events_count, 2);
	ck_assert_uint_eq(got->dropped_links_count, 3);
	oa__otlp__span__free_unpacked(got, NULL);
}
END_TEST

/* As many attributes as a record can hold, each of the greatest size beside its text. */
START_TEST(the_most_attributes_that_a_record_can_hold_fit)
{
	static uint8_t text[OA_SPAN_TEXT_MAX];
	struct oa_span *s = &span_buf.s;
	unsigned n = 0;

	for (; (n + 1) * 6 <= sizeof(text); n++)
		memcpy(text + 6 * n, (uint8_t[]){ 1, 2, 0, 0, (uint8_t)(128 + n / 128), (uint8_t)(128 + n % 128) }, 6);
	memset(&span_buf, 0, sizeof(span_buf));
	s->start_unix_ns = 1;
	s->kind = OA_KIND_SERVER;
	s->what = OA_WHAT_HTTP;
	s->bytes = sizeof(*s);
	(void)oa_span_set_str(s, sizeof(span_buf), OA_STR_HEADERS, oa_bytes(text, 6 * n));
	oa_config.attribute_count_limit = INT32_MAX;
	check_same(s);
}
END_TEST

static void check_method(const char *known, enum oa_method method, const char *exported, const char *original)
{
	Oa__Otlp__Span *got;
	size_t len;

	oa_config.known_methods = known;
	make_span(OA_KIND_SERVER)->method = (uint8_t)method;
	make_str(OA_STR_METHOD, method == OA_METHOD_OTHER ? "BREW" : "");
	got = decode_span(&made.s, &len);
	ck_assert_str_eq(got->attributes[0]->key, "http.request.method");
	ck_assert_str_eq(got->attributes[0]->value->string_value, exported);
	ck_assert_int_eq(!strcmp(got->attributes[1]->key, "http.request.method_original"), original != NULL);
	if (original)
		ck_assert_str_eq(got->attributes[1]->value->string_value, original);
	ck_assert_str_eq(got->name, strcmp(exported, "_OTHER") ? exported : "HTTP");
	oa__otlp__span__free_unpacked(got, NULL);
}

START_TEST(a_method_is_itself_when_the_list_has_it)
{
	check_method("", OA_METHOD_GET, "GET", NULL);
	check_method("", OA_METHOD_OTHER, "_OTHER", "BREW");
	check_method(" PUT ,,GET", OA_METHOD_GET, "GET", NULL);
	check_method("PUT", OA_METHOD_GET, "_OTHER", "GET");
	check_method("get,GETS,GE", OA_METHOD_GET, "_OTHER", "GET");
	check_method("PUT,BREW", OA_METHOD_OTHER, "BREW", NULL);
	check_method("PUT,brew", OA_METHOD_OTHER, "_OTHER", "BREW");
	check_method(",", OA_METHOD_GET, "_OTHER", "GET");
}
END_TEST

START_TEST(text_that_is_not_utf8_is_repaired_byte_by_byte)
{
	static const char *const cases[][2] = {
		{ "plain", "plain" },
		{ "\xff", "\xef\xbf\xbd" },
		{ "a\xc0\xaf", "a\xef\xbf\xbd\xef\xbf\xbd" },             /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* past U+10FFFF */
		{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },               /* cut off */
		{ "\xe2\x82\xac ok", "\xe2\x82\xac ok" },
		{ "12345678\x80", "12345678\xef\xbf\xbd" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		Oa__Otlp__Span *got;
		size_t len;

		make_span(OA_KIND_SERVER);
		make_str(OA_STR_NAME, cases[i][0]);
		got = decode_span(&made.s, &len);
		ck_assert_str_eq(got->name, cases[i][1]);
		oa__otlp__span__free_unpacked(got, NULL);
	}
}
END_TEST

START_TEST(a_request_holds_resource_scope_and_spans)
{
	const struct oa_span *spans[3] = { make_span(OA_KIND_SERVER), &made.s, &made.s };
	struct oa_batch batch = { .spans = spans, .count = 3, .who = { .pid = 42, .instance_id = { 1, 2, 3 } } };
	struct oa_bytes resource = oa_otlp_resource(&batch.who), request;
	struct oa_otlp_buf buf = { 0 };
	Oa__Otlp__ExportTraceServiceRequest *got;
	Oa__Otlp__ResourceSpans *rs;

	made.s.start_unix_ns = 1700000000000000000ull;
	ck_assert_int_eq(oa_otlp_pb_request(&buf, &batch, resource, 1 << 20, &request), 3);
	got = oa__otlp__export_trace_service_request__unpack(NULL, request.len, request.ptr);
	ck_assert_ptr_nonnull(got);
	ck_assert_uint_eq(oa__otlp__export_trace_service_request__get_packed_size(got), request.len);
	ck_assert_uint_eq(got->n_resource_spans, 1);
	rs = got->resource_spans[0];
	ck_assert_str_eq(rs->schema_url, "https://opentelemetry.io/schemas/1.44.0");
	ck_assert_str_eq(rs->resource->attributes[0]->key, "service.instance.id");
	ck_assert_str_eq(rs->resource->attributes[0]->value->string_value, "01020300-0000-0000-0000-000000000000");
	ck_assert_uint_eq(rs->n_scope_spans, 1);
	ck_assert_str_eq(rs->scope_spans[0]->schema_url, "https://opentelemetry.io/schemas/1.44.0");
	ck_assert_str_eq(rs->scope_spans[0]->scope->name, "otelauto");
	ck_assert_str_eq(rs->scope_spans[0]->scope->version, OA_VERSION);
	ck_assert_uint_eq(rs->scope_spans[0]->n_spans, 3);
	oa__otlp__export_trace_service_request__free_unpacked(got, NULL);
	free(buf.mem);
}
END_TEST

START_TEST(spans_past_the_size_limit_are_left_out)
{
	const struct oa_span *spans[50];
	struct oa_batch batch = { .spans = spans, .count = 50 };
	struct oa_bytes resource = oa_otlp_resource(&batch.who), request;
	struct oa_otlp_buf buf = { 0 };
	Oa__Otlp__ExportTraceServiceRequest *got;
	long count;

	make_span(OA_KIND_SERVER);
	for (unsigned i = 0; i < 50; i++)
		spans[i] = &made.s;
	count = oa_otlp_pb_request(&buf, &batch, resource, 4096 + resource.len, &request);
	ck_assert_int_gt(count, 5);
	ck_assert_int_lt(count, 50);
	ck_assert_uint_le(request.len, 4096 + resource.len);
	got = oa__otlp__export_trace_service_request__unpack(NULL, request.len, request.ptr);
	ck_assert_ptr_nonnull(got);
	ck_assert_uint_eq(got->resource_spans[0]->scope_spans[0]->n_spans, (size_t)count);
	oa__otlp__export_trace_service_request__free_unpacked(got, NULL);
	free(buf.mem);
}
END_TEST

START_TEST(the_resource_follows_the_process)
{
	struct oa_proc_id a = { .pid = 1, .ppid = 7, .start_unix_ns = 1700000000123456789ull }, b = { .pid = 2 };
	struct oa_bytes first = oa_otlp_resource(&a);
	Oa__Otlp__Resource *r = oa__otlp__resource__unpack(NULL, first.len, first.ptr);

	ck_assert_int_eq(r->attributes[1]->value->int_value, 1);
	ck_assert_str_eq(r->attributes[2]->key, "process.parent_pid");
	ck_assert_str_eq(r->attributes[3]->key, "process.creation.time");
	ck_assert_str_eq(r->attributes[3]->value->string_value, "2023-11-14T22:13:20.123Z");
	ck_assert_ptr_eq(oa_otlp_resource(&a).ptr, first.ptr);
	oa__otlp__resource__free_unpacked(r, NULL);
	first = oa_otlp_resource(&b);
	r = oa__otlp__resource__unpack(NULL, first.len, first.ptr);
	ck_assert_int_eq(r->attributes[1]->value->int_value, 2);
	oa__otlp__resource__free_unpacked(r, NULL);
}
END_TEST

START_TEST(answers_of_collectors_are_read)
{
	char text[OA_OTLP_TEXT_MAX];

	ck_assert_uint_eq(oa_otlp_read_success(OA_LIT(""), false, text), 0);
	ck_assert_uint_eq(oa_otlp_read_success(OA_LIT("\x0a\x07\x08\x05\x12\x03" "bad"), false, text), 5);
	ck_assert_str_eq(text, "bad");
	ck_assert_uint_eq(oa_otlp_read_success(OA_LIT("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), false, text),
			  0); /* -1 */
	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(oa_otlp_read_success(OA_LIT("{\"partialSuccess\":{}}"), false, text), 0);
	oa_otlp_read_error(OA_LIT("\x08\x03\x12\x06" "a\nb\xff" "cd"), false, text);
	ck_assert_str_eq(text, "a?b?cd");
	oa_otlp_read_error(OA_LIT("<html>"), false, text);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(answers_in_json_are_read)
{
	static const struct { const char *body; uint64_t rejected; const char *text; } cases[] = {
		{ "", 0, "" }, { "{}", 0, "" }, { "nonsense", 0, "" }, { "[1]", 0, "" }, { "{\"partialSuccess\":3}", 0, "" },
		{ "{\"partialSuccess\":{\"rejectedSpans\":\"5\",\"errorMessage\":\"b\\nad\"}}", 5, "b?ad" },
		{ "{\"partialSuccess\":{\"rejectedSpans\":5}}", 5, "" },
		{ "{\"partialSuccess\":{\"rejectedDataPoints\":\"7\"}}", 7, "" },
		{ "{\"partialSuccess\":{\"rejectedSpans\":\"-5\"}}", 0, "" },
		{ "{\"partialSuccess\":{\"errorMessage\":\"mind\"}}", 0, "mind" },
	};
	char text[OA_OTLP_TEXT_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_uint_eq(oa_otlp_read_success(oa_bytes_str(cases[i].body), true, text), cases[i].rejected);
		ck_assert_str_eq(text, cases[i].text);
	}
	oa_otlp_read_error(OA_LIT("{\"code\":3,\"message\":\"no\"}"), true, text);
	ck_assert_str_eq(text, "no");
	oa_otlp_read_error(OA_LIT("<html>"), true, text);
	ck_assert_str_eq(text, "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("otlp_pb");
	TCase *t = tcase_create("exporter");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, random_spans_decode_to_what_protobuf_c_makes_of_them);
	tcase_add_test(t, what_is_remembered_of_other_spans_is_what_it_would_be);
	tcase_add_test(t, the_smallest_and_the_largest_span_fit);
	tcase_add_test(t, headers_past_the_limit_of_attributes_are_counted_as_dropped);
	tcase_add_test(t, counts_have_the_limits_of_the_settings_and_the_rest_is_counted);
	tcase_add_test(t, the_limit_for_spans_wins_and_zero_leaves_nothing);
	tcase_add_test(t, the_most_attributes_that_a_record_can_hold_fit);
	tcase_add_test(t, a_method_is_itself_when_the_list_has_it);
	tcase_add_test(t, text_that_is_not_utf8_is_repaired_byte_by_byte);
	tcase_add_test(t, a_request_holds_resource_scope_and_spans);
	tcase_add_test(t, spans_past_the_size_limit_are_left_out);
	tcase_add_test(t, the_resource_follows_the_process);
	tcase_add_test(t, answers_of_collectors_are_read);
	tcase_add_test(t, answers_in_json_are_read);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
