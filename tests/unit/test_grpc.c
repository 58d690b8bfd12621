/* gRPC's framing and codes, and the lines of an answer. What goes over the wire is tested by tests/export/. */
#include <check.h>
#include <stdlib.h>

#include "exporter/grpc.h"
#include "exporter/post_answer.h"

START_TEST(a_prefix_is_a_flag_and_a_big_endian_length)
{
	uint8_t prefix[OA_GRPC_PREFIX];

	oa_grpc_prefix(prefix, true, 0x01020304);
	ck_assert_mem_eq(prefix, "\x01\x01\x02\x03\x04", 5);
	oa_grpc_prefix(prefix, false, 7);
	ck_assert_mem_eq(prefix, "\0\0\0\0\x07", 5);
}
END_TEST

START_TEST(a_message_is_taken_only_when_it_is_whole_and_plain)
{
	struct oa_bytes m = { 0 };

	ck_assert(oa_grpc_message(OA_LIT("\0\0\0\0\0"), &m));
	ck_assert_uint_eq(m.len, 0);
	ck_assert(oa_grpc_message(OA_LIT("\0\0\0\0\2abc"), &m));
	ck_assert_uint_eq(m.len, 2);
	ck_assert_mem_eq(m.ptr, "ab", 2);
	ck_assert(!oa_grpc_message(OA_LIT(""), &m));
	ck_assert(!oa_grpc_message(OA_LIT("\0\0\0\0"), &m));
	ck_assert(!oa_grpc_message(OA_LIT("\0\0\0\0\4abc"), &m));
	ck_assert(!oa_grpc_message(OA_LIT("\1\0\0\0\1a"), &m));
	ck_assert(!oa_grpc_message(OA_LIT("\0\xff\xff\xff\xff" "a"), &m));
}
END_TEST

START_TEST(codes_that_pass_are_those_of_otlp)
{
	static const int passes[] = { 1, 4, 10, 11, 14, 15 };
	unsigned next = 0;

	for (int code = -1; code < 30; code++) {
		bool wanted = next < sizeof(passes) / sizeof(passes[0]) && passes[next] == code;

		next += wanted;
		ck_assert_int_eq(oa_grpc_passes(code, false), wanted);
		ck_assert_int_eq(oa_grpc_passes(code, true), wanted || code == 8);
	}
	ck_assert_str_eq(oa_grpc_name(14), "UNAVAILABLE");
	ck_assert_str_eq(oa_grpc_name(16), "UNAUTHENTICATED");
	ck_assert_str_eq(oa_grpc_name(17), "UNKNOWN");
	ck_assert_int_eq(oa_grpc_of_http(404), OA_GRPC_UNIMPLEMENTED);
	ck_assert_int_eq(oa_grpc_of_http(503), OA_GRPC_UNAVAILABLE);
	ck_assert_int_eq(oa_grpc_of_http(200), OA_GRPC_UNKNOWN);
}
END_TEST

/* google.rpc.Status { code: 8, details: [ Any { type_url, RetryInfo { retry_delay { 3 s, 500000001 ns } } } ] } */
START_TEST(retry_info_is_found_in_the_details)
{
	static const char details[] = "CAgaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBj"
				      "LlJldHJ5SW5mbxIKCggIAxCByrXuAQ";

	ck_assert_int_eq(oa_grpc_retry_ms(oa_bytes_str(details)), 3501); /* never before that: rounded up */
	ck_assert_int_eq(oa_grpc_retry_ms(OA_LIT("")), -1);
	ck_assert_int_eq(oa_grpc_retry_ms(OA_LIT("!!")), -1);
	ck_assert_int_eq(oa_grpc_retry_ms(OA_LIT("CAg=")), -1);
	ck_assert_int_eq(oa_grpc_retry_ms(OA_LIT("////")), -1);
}
END_TEST

static void line(struct oa_answer *a, const char *text) { oa_answer_line(a, text, strlen(text)); }

START_TEST(the_lines_that_decide_are_kept)
{
	struct oa_answer a = { 0 };

	oa_answer_reset(&a);
	line(&a, "HTTP/1.1 100 Continue\r\n");
	line(&a, "Retry-After: 9\r\n");
	line(&a, "\r\n");
	ck_assert(a.head);
	line(&a, "HTTP/2 200 \r\n");
	ck_assert(!a.head);
	ck_assert_str_eq(a.retry_after, "");
	line(&a, "RETRY-AFTER:  Sun, 06 Nov 1994 08:49:37 GMT \r\n");
	line(&a, "retry-after-not: 5\r\n");
	line(&a, "\r\n");
	line(&a, "grpc-status: 14\r\n");
	line(&a, "grpc-message: no%20way %ff%0a%zz%4\r\n");
	line(&a, "grpc-status-details-bin: CAg\r\n");
	ck_assert(a.head);
	ck_assert_str_eq(a.retry_after, "Sun, 06 Nov 1994 08:49:37 GMT");
	ck_assert_int_eq(a.grpc_status, 14);
	ck_assert_str_eq(a.grpc_message, "no way ??%zz%4");
	ck_assert_str_eq(a.grpc_details, "CAg");
	oa_answer_reset(&a);
	ck_assert_int_eq(a.grpc_status, -1);
	line(&a, "grpc-status: x\r\n");
	line(&a, "grpc-status:\r\n");
	ck_assert_int_eq(a.grpc_status, -1);
}
END_TEST

START_TEST(an_answer_of_more_than_four_mebibytes_is_refused)
{
	static uint8_t piece[1 << 20];
	struct oa_answer a = { 0 };

	oa_answer_reset(&a);
	for (unsigned i = 0; i < 4; i++)
		ck_assert(oa_answer_add(&a, piece, sizeof(piece)));
	ck_assert(!oa_answer_add(&a, piece, 1));
	ck_assert(a.too_long);
	oa_answer_trim(&a);
	ck_assert_ptr_null(a.body);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("grpc");
	TCase *t = tcase_create("exporter");
	SRunner *runner;
	int failed;

	tcase_add_test(t, a_prefix_is_a_flag_and_a_big_endian_length);
	tcase_add_test(t, a_message_is_taken_only_when_it_is_whole_and_plain);
	tcase_add_test(t, codes_that_pass_are_those_of_otlp);
	tcase_add_test(t, retry_info_is_found_in_the_details);
	tcase_add_test(t, the_lines_that_decide_are_kept);
	tcase_add_test(t, an_answer_of_more_than_four_mebibytes_is_refused);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
