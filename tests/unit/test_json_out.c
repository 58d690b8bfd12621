/* The JSON writer: commas, escapes, numbers, and text that is not UTF-8. */
#include <check.h>
#include <stdlib.h>

#include "exporter/json_out.h"

static struct oa_json j;

static const char *text(void)
{
	static char buf[1 << 20];

	ck_assert(!j.failed);
	memcpy(buf, j.mem, j.len);
	buf[j.len] = '\0';
	return buf;
}

START_TEST(commas_stand_between_values_and_nowhere_else)
{
	oa_json_reset(&j);
	oa_json_open(&j, '{');
	oa_json_key(&j, "a");
	oa_json_open(&j, '[');
	oa_json_uint(&j, 1);
	oa_json_open(&j, '{');
	oa_json_close(&j, '}');
	oa_json_int(&j, -2);
	oa_json_close(&j, ']');
	oa_json_key(&j, "b");
	oa_json_bool(&j, true);
	oa_json_key(&j, "c");
	oa_json_raw(&j, OA_LIT("null"));
	oa_json_close(&j, '}');
	ck_assert_str_eq(text(), "{\"a\":[1,{},-2],\"b\":true,\"c\":null}");
}
END_TEST

START_TEST(numbers_are_exact)
{
	oa_json_reset(&j);
	oa_json_uint_text(&j, UINT64_MAX);
	oa_json_int_text(&j, INT64_MIN);
	oa_json_int(&j, INT64_MAX);
	oa_json_fixed(&j, 1500000, 9);
	oa_json_fixed(&j, UINT64_MAX, 9);
	oa_json_fixed(&j, 0, 9);
	oa_json_hex(&j, (const uint8_t *)"\x01\xab", 2);
	ck_assert_str_eq(text(), "\"18446744073709551615\",\"-9223372036854775808\",9223372036854775807,0.0015,"
				 "18446744073.709551615,0,\"01ab\"");
}
END_TEST

START_TEST(text_is_escaped_and_valid)
{
	oa_json_reset(&j);
	oa_json_text(&j, OA_LIT("a\"b\\c/\b\f\n\r\t\x01\x1f\x7f\0gr\xc3\xbcn"));
	ck_assert_str_eq(text(), "\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\\u0000gr\xc3\xbcn\"");
	oa_json_reset(&j);
	oa_json_text2(&j, OA_LIT("\xff\n"), OA_LIT("\xe2\x82"));
	ck_assert_str_eq(text(), "\"\xef\xbf\xbd\\n\xef\xbf\xbd\xef\xbf\xbd\"");
	oa_json_reset(&j);
	oa_json_text(&j, OA_LIT(""));
	ck_assert_str_eq(text(), "\"\"");
}
END_TEST

START_TEST(it_grows_with_the_worst_text)
{
	static uint8_t worst[60000];

	for (size_t i = 0; i < sizeof(worst); i++)
		worst[i] = i & 1 ? 0xff : 0x01;
	oa_json_trim(&j, 0);
	for (unsigned i = 0; i < 20; i++)
		oa_json_text(&j, oa_bytes(worst, sizeof(worst)));
	ck_assert(!j.failed);
	ck_assert_uint_eq(j.len, 20 * (2 + sizeof(worst) / 2 * (6 + 3)) + 19);
	oa_json_trim(&j, 1 << 16);
	ck_assert_uint_eq(j.cap, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("json_out");
	TCase *t = tcase_create("exporter");
	SRunner *runner;
	int failed;

	tcase_add_test(t, commas_stand_between_values_and_nowhere_else);
	tcase_add_test(t, numbers_are_exact);
	tcase_add_test(t, text_is_escaped_and_valid);
	tcase_add_test(t, it_grows_with_the_worst_text);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
