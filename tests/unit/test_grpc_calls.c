#include <check.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz_grpc.c"
#include "tests/unit/samples.h"

/* Messages of some lengths, one behind the other. returns bytes */
static size_t put_messages(uint8_t *to, const uint32_t *lens, unsigned count)
{
	size_t at = 0;

	for (unsigned i = 0; i < count; i++) {
		to[at] = i & 1;
		for (unsigned k = 0; k < 4; k++)
			to[at + 1 + k] = (uint8_t)(lens[i] >> (24 - 8 * k));
		memset(to + at + 5, 0xff, lens[i]);
		at += 5 + lens[i];
	}
	return at;
}

START_TEST(messages_are_counted_however_they_are_cut)
{
	static const uint32_t lens[] = { 0, 1, 5, 300, 0, 0, 70000, 4 };
	static uint8_t buf[80000];
	size_t len = put_messages(buf, lens, 8);

	for (size_t step = 1; step < 400; step++) {
		struct oa_grpc g = { 0 };
		uint32_t n = 0;

		for (size_t at = 0; at < len; at += step)
			n += oa_grpc_feed(&g, oa_bytes(buf + at, step < len - at ? step : len - at));
		ck_assert_uint_eq(n, 8);
	}
	for (size_t cut = 0; cut <= 400; cut++) {
		struct oa_grpc g = { 0 };

		ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(buf, cut)) + oa_grpc_feed(&g, oa_bytes(buf + cut, len - cut)), 8);
	}
}
END_TEST

START_TEST(a_message_counts_when_its_last_byte_came)
{
	static const uint8_t in[] = { 0, 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0 };
	struct oa_grpc g = { 0 };

	ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(in, 6)), 0);
	ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(in + 6, 1)), 1);
	ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(in + 7, 4)), 0);
	ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(in + 11, 1)), 1);
}
END_TEST

START_TEST(what_is_no_message_ends_the_counting)
{
	static const uint8_t in[] = { 0, 0, 0, 0, 0, '{', '"', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	struct oa_grpc g = { 0 };

	ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(in, sizeof(in))), 1);
	ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(in + 8, 5)), 0);
}
END_TEST

START_TEST(lengths_up_to_four_gigabytes)
{
	static const uint8_t in[] = { 0, 0xff, 0xff, 0xff, 0xff };
	static uint8_t piece[1 << 20];
	struct oa_grpc g = { 0 };
	uint32_t n = oa_grpc_feed(&g, oa_bytes(in, sizeof(in)));

	for (unsigned i = 0; i < 4095; i++)
		n += oa_grpc_feed(&g, oa_bytes(piece, sizeof(piece)));
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(oa_grpc_feed(&g, oa_bytes(piece, sizeof(piece) - 1)), 1);
}
END_TEST

/* What fuzzing came upon: the first byte says how it is cut. */
START_TEST(fuzz_corpus_counts_as_a_reading_of_the_whole)
{
	static struct samples samples;

	samples_load(&samples, "fuzz/corpus/grpc", "");
	ck_assert_int_gt(samples.count, 0);
	for (int i = 0; i < samples.count; i++)
		LLVMFuzzerTestOneInput(samples.at[i].bytes.ptr, samples.at[i].bytes.len); /* aborts */
	samples_free(&samples);
}
END_TEST

START_TEST(content_types)
{
	ck_assert(oa_grpc_content_type(OA_LIT("application/grpc")));
	ck_assert(oa_grpc_content_type(OA_LIT("application/grpc+proto")));
	ck_assert(oa_grpc_content_type(OA_LIT("application/grpc;x=y")));
	ck_assert(oa_grpc_content_type(OA_LIT("Application/gRPC")));
	ck_assert(!oa_grpc_content_type(OA_LIT("application/grpc-web")));
	ck_assert(!oa_grpc_content_type(OA_LIT("application/grpc-web+proto")));
	ck_assert(!oa_grpc_content_type(OA_LIT("application/grp")));
	ck_assert(!oa_grpc_content_type(OA_LIT("")));
}
END_TEST

START_TEST(timeouts)
{
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("1H")), 3600000000000u);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("2M")), 120000000000u);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("3S")), 3000000000u);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("199m")), 199000000u);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("7u")), 7000u);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("99999999n")), 99999999u);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("99999999H")), 99999999u * 3600000000000u);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("100000000n")), 0);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("H")), 0);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("1h")), 0);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("-1S")), 0);
	ck_assert_uint_eq(oa_grpc_timeout_ns(OA_LIT("")), 0);
}
END_TEST

START_TEST(statuses)
{
	ck_assert_int_eq(oa_grpc_status(OA_LIT("0")), 0);
	ck_assert_int_eq(oa_grpc_status(OA_LIT("16")), 16);
	ck_assert_int_eq(oa_grpc_status(OA_LIT("17")), 2);
	ck_assert_int_eq(oa_grpc_status(OA_LIT("")), -1);
	ck_assert_int_eq(oa_grpc_status(OA_LIT("-1")), -1);
	ck_assert_int_eq(oa_grpc_status(OA_LIT("OK")), -1);
	ck_assert_int_eq(oa_grpc_status(OA_LIT("00000000000000000")), -1);
	ck_assert_uint_eq(oa_grpc_status_of_http(503), 14);
	ck_assert_uint_eq(oa_grpc_status_of_http(200), 2);
	ck_assert_uint_eq(oa_grpc_status_of_reset(8), 1);
	ck_assert_uint_eq(oa_grpc_status_of_reset(0), 13);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("grpc");
	TCase *c = tcase_create("grpc");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(c, messages_are_counted_however_they_are_cut);
	tcase_add_test(c, a_message_counts_when_its_last_byte_came);
	tcase_add_test(c, what_is_no_message_ends_the_counting);
	tcase_add_test(c, lengths_up_to_four_gigabytes);
	tcase_add_test(c, fuzz_corpus_counts_as_a_reading_of_the_whole);
	tcase_add_test(c, content_types);
	tcase_add_test(c, timeouts);
	tcase_add_test(c, statuses);
	suite_add_tcase(s, c);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
