#include <check.h>
#include <stdlib.h>

#include "core/config.h"
#include "core/exclude.h"

#define READ(...) oa_config_read((char *const[]){ __VA_ARGS__ NULL })

START_TEST(shells_coreutils_and_package_tools_are_not_observed)
{
	static const char *const names[] = { "sh", "dash", "bash", "ls", "cat", "[", "env", "dpkg", "apt-get",
					     "dpkg-query", "gcc-12", "x86_64-linux-gnu-gcc-12", "cc1", "ld.bfd",
					     "make", "sshd", "systemd-logind", "vim.basic", "less", "login", "su",
					     "x86_64-linux-gnu-ld.bfd", "ninja", "ssh" };

	READ();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(oa_program_excluded(names[i]), "%s", names[i]);
}
END_TEST

START_TEST(clients_servers_and_interpreters_are_observed)
{
	static const char *const names[] = { "curl", "wget", "git", "git-remote-http", "nginx", "apache2",
					     "httpd", "python3.11", "node", "java", "ruby", "perl", "php-fpm8.2",
					     "redis-server", "postgres", "haproxy", "server", "test", "http",
					     "app", "update-server", "apt-cacher-ng", "shop", "" };

	READ();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(!oa_program_excluded(names[i]), "%s", names[i]);
}
END_TEST

START_TEST(exclude_adds_to_the_built_in_list)
{
	READ("OTELAUTO_EXCLUDE= nginx , py*",);
	ck_assert_int_eq(oa_program_verdict("nginx"), OA_PROGRAM_EXCLUDED);
	ck_assert_int_eq(oa_program_verdict("python3"), OA_PROGRAM_EXCLUDED);
	ck_assert_int_eq(oa_program_verdict("bash"), OA_PROGRAM_BUILT_IN);
	ck_assert_int_eq(oa_program_verdict("node"), OA_PROGRAM_OBSERVED);
}
END_TEST

START_TEST(an_exclamation_mark_takes_off_the_built_in_list_only)
{
	READ("OTELAUTO_EXCLUDE=!bash,node,!node,!apt*",);
	ck_assert(!oa_program_excluded("bash"));
	ck_assert(!oa_program_excluded("apt-get"));
	ck_assert(oa_program_excluded("dash"));
	ck_assert(oa_program_excluded("node"));
}
END_TEST

START_TEST(include_alone_is_observed_even_from_the_built_in_list)
{
	READ("OTELAUTO_INCLUDE=node,bash",);
	ck_assert(!oa_program_excluded("node"));
	ck_assert(!oa_program_excluded("bash"));
	ck_assert_int_eq(oa_program_verdict("nginx"), OA_PROGRAM_NOT_INCLUDED);
}
END_TEST

START_TEST(exclude_wins_over_include)
{
	READ("OTELAUTO_INCLUDE=py*", "OTELAUTO_EXCLUDE=python2",);
	ck_assert(oa_program_excluded("python2"));
	ck_assert(!oa_program_excluded("python3"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("exclude");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, shells_coreutils_and_package_tools_are_not_observed);
	tcase_add_test(tc, clients_servers_and_interpreters_are_observed);
	tcase_add_test(tc, exclude_adds_to_the_built_in_list);
	tcase_add_test(tc, an_exclamation_mark_takes_off_the_built_in_list_only);
	tcase_add_test(tc, include_alone_is_observed_even_from_the_built_in_list);
	tcase_add_test(tc, exclude_wins_over_include);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
