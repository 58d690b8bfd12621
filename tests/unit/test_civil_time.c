/* The dates of core/civil_time.c against libc's. */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/civil_time.h"

static bool is_same_as_libc(int64_t seconds)
{
	time_t t = seconds;
	struct tm ours = { 0 }, libc = { 0 };

	return oa_civil_from_unix(seconds, &ours) == 0 && gmtime_r(&t, &libc) &&
	       ours.tm_sec == libc.tm_sec && ours.tm_min == libc.tm_min &&
	       ours.tm_hour == libc.tm_hour && ours.tm_mday == libc.tm_mday &&
	       ours.tm_mon == libc.tm_mon && ours.tm_year == libc.tm_year &&
	       ours.tm_wday == libc.tm_wday && ours.tm_yday == libc.tm_yday &&
	       ours.tm_isdst == 0 && ours.tm_gmtoff == 0 && !strcmp(ours.tm_zone, "GMT");
}

static void same_as_libc(int64_t seconds)
{
	ck_assert_msg(is_same_as_libc(seconds), "differs at %lld", (long long)seconds);
}

/* Check writes to a pipe at each assertion: only one that fails is made. */
START_TEST(every_day_of_nine_centuries_is_the_same_as_libcs)
{
	for (int64_t day = -250000; day < 100000; day++)
		if (!is_same_as_libc(day * 86400 + (day & 0xffff)))
			same_as_libc(day * 86400 + (day & 0xffff));
}
END_TEST

START_TEST(the_last_second_of_a_day_and_the_first_of_the_next_are_told_apart)
{
	static const int64_t midnights[] = { 0, 951782400, 951868800, 978307200, 4107542400, -1, -86400 };

	for (size_t i = 0; i < sizeof(midnights) / sizeof(midnights[0]); i++) {
		same_as_libc(midnights[i] - 1);
		same_as_libc(midnights[i]);
	}
}
END_TEST

START_TEST(far_years_are_the_same_as_libcs_up_to_the_largest_int)
{
	static const int64_t last = 67768036191676799; /* end of year 2147485547 */
	struct tm date;

	same_as_libc(last);
	same_as_libc(-67768040609740800);
	ck_assert_int_eq(oa_civil_from_unix(last + 1, &date), -EOVERFLOW);
	ck_assert_int_eq(oa_civil_from_unix(-67768040609740801, &date), -EOVERFLOW);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("civil_time");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_day_of_nine_centuries_is_the_same_as_libcs);
	tcase_add_test(tc, the_last_second_of_a_day_and_the_first_of_the_next_are_told_apart);
	tcase_add_test(tc, far_years_are_the_same_as_libcs_up_to_the_largest_int);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
