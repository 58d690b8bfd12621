/* Durations on one clock, wall time by an anchor. */
#include "core/clock.h"

#include <check.h>
#include <time.h>

#define HOUR_NS 3600000000000u

START_TEST(clock_never_goes_back)
{
	uint64_t last = oa_now_ns();

	for (int i = 0; i < 100000; i++) {
		uint64_t now = oa_now_ns();

		ck_assert_uint_ge(now, last);
		last = now;
	}
}
END_TEST

START_TEST(clock_is_the_systems_monotonic_one)
{
	struct timespec ts;
	uint64_t before = oa_now_ns(), mid;

	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	mid = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	ck_assert_uint_le(before, mid);
	ck_assert_uint_le(mid, oa_now_ns());
}
END_TEST

START_TEST(clock_wall_time_of_an_instant_works_without_an_anchor_taken_before)
{
	uint64_t now = oa_unix_now_ns(), then = oa_unix_from_mono(oa_now_ns());

	/* An hour is much more than this test may take and much less than a wrong clock is off. */
	ck_assert_uint_lt(then > now ? then - now : now - then, HOUR_NS);
}
END_TEST

START_TEST(clock_wall_times_are_as_far_apart_as_the_instants)
{
	uint64_t mono = oa_now_ns(), first;

	oa_clock_anchor();
	first = oa_unix_from_mono(mono);
	ck_assert_uint_eq(oa_unix_from_mono(mono + 123456789) - first, 123456789);
	ck_assert_uint_eq(first - oa_unix_from_mono(mono - 1000), 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("clock");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, clock_never_goes_back);
	tcase_add_test(tc, clock_is_the_systems_monotonic_one);
	tcase_add_test(tc, clock_wall_time_of_an_instant_works_without_an_anchor_taken_before);
	tcase_add_test(tc, clock_wall_times_are_as_far_apart_as_the_instants);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
