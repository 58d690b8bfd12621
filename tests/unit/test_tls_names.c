/* core/tls_names.c: both ways, and what has no name. */
#include <check.h>
#include <stdlib.h>

#include "core/tls_names.h"

START_TEST(names_are_found_both_ways)
{
	char buf[8];

	ck_assert(oa_bytes_eq(oa_cipher_name(0x1301, buf), OA_LIT("TLS_AES_128_GCM_SHA256")));
	ck_assert_uint_eq(oa_cipher_number(OA_LIT("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")), 0xc030);
	ck_assert_uint_eq(oa_cipher_number(OA_LIT("TLS_ECDHE_RSA")), 0);
}
END_TEST

START_TEST(a_suite_without_a_name_is_its_number)
{
	char buf[8];

	ck_assert(oa_bytes_eq(oa_cipher_name(0xbeef, buf), OA_LIT("0xBEEF")));
	ck_assert_uint_eq(oa_cipher_name(0, buf).len, 0);
}
END_TEST

START_TEST(versions)
{
	ck_assert(oa_bytes_eq(oa_tls_version_name(0x0303), OA_LIT("1.2")));
	ck_assert(oa_bytes_eq(oa_tls_version_name(0x0304), OA_LIT("1.3")));
	ck_assert_uint_eq(oa_tls_version_name(0xfefd).len, 0); /* DTLS */
	ck_assert_uint_eq(oa_tls_version_name(0).len, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tls_names");
	TCase *c = tcase_create("tls_names");
	SRunner *runner;
	int failed;

	tcase_add_test(c, names_are_found_both_ways);
	tcase_add_test(c, a_suite_without_a_name_is_its_number);
	tcase_add_test(c, versions);
	suite_add_tcase(suite, c);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
