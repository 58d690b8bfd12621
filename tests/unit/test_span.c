#include "core/span.h"

#include <check.h>
#include <errno.h>

#include "core/inject_result.h"

static struct oa_span_buf buf;

static struct oa_span *span_new(void)
{
	memset(&buf, 0, sizeof(buf));
	buf.s.bytes = sizeof(struct oa_span);
	return &buf.s;
}

static bool text_is(const struct oa_span *s, enum oa_str which, const char *text)
{
	return oa_bytes_eq(oa_span_str(s, which), oa_bytes_str(text));
}

START_TEST(span_texts_are_packed_behind_the_head)
{
	struct oa_span *s = span_new();

	ck_assert_int_eq(oa_span_set_str(s, sizeof(buf), OA_STR_TARGET, OA_LIT("/a")), 0);
	ck_assert_int_eq(oa_span_set_str(s, sizeof(buf), OA_STR_HOST, OA_LIT("example")), 0);
	ck_assert(text_is(s, OA_STR_TARGET, "/a"));
	ck_assert(text_is(s, OA_STR_HOST, "example"));
	ck_assert(text_is(s, OA_STR_ROUTE, ""));
	ck_assert_uint_eq(s->bytes, sizeof(*s) + 9);
	ck_assert_uint_eq(s->str[OA_STR_TARGET].off, sizeof(*s));
}
END_TEST

START_TEST(span_text_replaced_is_the_new_one_and_others_stay)
{
	struct oa_span *s = span_new();

	oa_span_set_str(s, sizeof(buf), OA_STR_TARGET, OA_LIT("/a?token=1"));
	oa_span_set_str(s, sizeof(buf), OA_STR_HOST, OA_LIT("example"));
	ck_assert_int_eq(oa_span_set_str(s, sizeof(buf), OA_STR_TARGET, OA_LIT("/a")), 0);
	ck_assert(text_is(s, OA_STR_TARGET, "/a"));
	ck_assert(text_is(s, OA_STR_HOST, "example"));
	ck_assert_int_eq(s->flags, 0);
}
END_TEST

START_TEST(span_text_can_be_a_piece_of_another_text)
{
	struct oa_span *s = span_new();

	oa_span_set_str(s, sizeof(buf), OA_STR_TARGET, OA_LIT("/a?b"));
	oa_span_set_str(s, sizeof(buf), OA_STR_PATH, oa_bytes_cut(oa_span_str(s, OA_STR_TARGET), 2));
	ck_assert(text_is(s, OA_STR_PATH, "/a"));
	ck_assert(text_is(s, OA_STR_TARGET, "/a?b"));
}
END_TEST

START_TEST(span_text_too_long_is_cut_to_what_fits_and_marked)
{
	struct oa_span *s = span_new();
	size_t cap = sizeof(*s) + 4;

	buf.raw[cap] = 0x77;
	ck_assert_int_eq(oa_span_set_str(s, cap, OA_STR_TARGET, OA_LIT("/abcdef")), -ENOSPC);
	ck_assert(text_is(s, OA_STR_TARGET, "/abc"));
	ck_assert_uint_eq(s->bytes, cap);
	ck_assert_uint_eq(buf.raw[cap], 0x77);
	ck_assert_uint_eq(s->flags, OA_SPAN_TRUNCATED);
	ck_assert_int_eq(oa_span_set_str(s, cap, OA_STR_HOST, OA_LIT("x")), -ENOSPC);
	ck_assert(text_is(s, OA_STR_HOST, ""));
	ck_assert_int_eq(oa_span_set_str(s, cap, OA_STR_HOST, oa_bytes(NULL, 0)), 0);
	ck_assert_int_eq(oa_span_set_str(s, 10, OA_STR_ROUTE, OA_LIT("x")), -ENOSPC);
	ck_assert_uint_eq(s->bytes, cap);
}
END_TEST

START_TEST(methods_have_their_names_and_names_their_methods)
{
	for (int m = OA_METHOD_OTHER + 1; m < OA_METHOD_COUNT; m++)
		ck_assert_int_eq(oa_method_parse(oa_bytes_str(oa_method_name(m))), m);
	ck_assert_str_eq(oa_method_name(OA_METHOD_GET), "GET");
	ck_assert_str_eq(oa_method_name(OA_METHOD_OTHER), "_OTHER");
	ck_assert_str_eq(oa_method_name(OA_METHOD_COUNT), "_OTHER");
}
END_TEST

START_TEST(unknown_methods_are_other)
{
	static const struct oa_bytes names[] = {
		OA_LIT(""), OA_LIT("G"), OA_LIT("GE"), OA_LIT("get"), OA_LIT("Get"), OA_LIT("GETS"), OA_LIT("GET\0"),
		OA_LIT("_OTHER"), OA_LIT("PROPFIND"), OA_LIT("CONNECTS"), OA_LIT("OPTION"), OA_LIT("\0\0\0"),
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_int_eq(oa_method_parse(names[i]), OA_METHOD_OTHER);
}
END_TEST

START_TEST(errors_have_low_cardinality_names)
{
	ck_assert_str_eq(oa_error_name(OA_ERR_NONE), "");
	ck_assert_str_eq(oa_error_name(OA_ERR_OTHER), "_OTHER");
	ck_assert_str_eq(oa_error_name(oa_error_from_errno(ECONNRESET)), "ECONNRESET");
	ck_assert_str_eq(oa_error_name(oa_error_from_errno(ETIMEDOUT)), "timeout");
	ck_assert_str_eq(oa_error_name(oa_error_from_errno(EPIPE)), "EPIPE");
	ck_assert_str_eq(oa_error_name(oa_error_from_errno(EMFILE)), "_OTHER");
	ck_assert_str_eq(oa_error_name(oa_error_from_errno(0)), "");
	ck_assert_str_eq(oa_error_name(OA_ERR_COUNT), "_OTHER");
	for (int e = OA_ERR_NONE + 1; e < OA_ERR_COUNT; e++)
		ck_assert_str_ne(oa_error_name(e), "");
}
END_TEST

START_TEST(errno_names_are_those_of_the_same_errno)
{
	static const struct { int err; const char *name; } same[] = {
		{ ECONNREFUSED, "ECONNREFUSED" }, { ECONNABORTED, "ECONNABORTED" }, { EHOSTUNREACH, "EHOSTUNREACH" },
		{ ENETUNREACH, "ENETUNREACH" }, { ENOENT, "ENOENT" }, { EACCES, "EACCES" },
		{ EADDRNOTAVAIL, "EADDRNOTAVAIL" },
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		ck_assert_str_eq(oa_error_name(oa_error_from_errno(same[i].err)), same[i].name);
}
END_TEST

START_TEST(evidence_and_injection_results_have_names)
{
	ck_assert_str_eq(oa_evidence_name(OA_EV_TURN), "turn");
	ck_assert_str_eq(oa_evidence_name(OA_EV_ROOT), "root");
	for (int e = 0; e < OA_EV_COUNT; e++)
		ck_assert_ptr_nonnull(oa_evidence_name(e));
	ck_assert_str_eq(oa_inject_name(OA_INJECT_DONE), "injected");
	ck_assert_str_eq(oa_inject_name(OA_INJECT_COUNT), "none");
	for (int r = 0; r < OA_INJECT_COUNT; r++)
		ck_assert_ptr_nonnull(oa_inject_name(r));
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("span");
	Suite *suite = suite_create("core");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, span_texts_are_packed_behind_the_head);
	tcase_add_test(tc, span_text_replaced_is_the_new_one_and_others_stay);
	tcase_add_test(tc, span_text_can_be_a_piece_of_another_text);
	tcase_add_test(tc, span_text_too_long_is_cut_to_what_fits_and_marked);
	tcase_add_test(tc, methods_have_their_names_and_names_their_methods);
	tcase_add_test(tc, unknown_methods_are_other);
	tcase_add_test(tc, errors_have_low_cardinality_names);
	tcase_add_test(tc, errno_names_are_those_of_the_same_errno);
	tcase_add_test(tc, evidence_and_injection_results_have_names);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
