/* The hot path's clock, with comparisons made up: ticks of 0.4 ns. */
#include "core/tsc.h"

#include <check.h>

#define SECOND 1000000000ull
#define TICKS(ns) ((ns) * 5 / 2)
#define T0 123456789012345ull
#define NS0 987654321000000ull

static bool on(uint64_t ns, uint64_t *ret_ns)
{
	bool ok;

	*ret_ns = oa_tsc_ns_at(T0 + TICKS(ns), &ok);
	return ok;
}

static void note(uint64_t ns, int64_t error)
{
	oa_tsc_note(T0 + TICKS(ns), NS0 + ns + (uint64_t)error);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

START_TEST(tsc_is_not_used_before_its_rate_is_known)
{
	uint64_t ns;

	ck_assert(!on(0, &ns));
	note(0, 0);
	ck_assert(!on(1, &ns));
	note(SECOND / 100, 0); /* too close */
	ck_assert(!on(SECOND / 100, &ns));
	note(SECOND / 20, 0);
	ck_assert(on(SECOND / 20, &ns));
}
END_TEST

START_TEST(tsc_maps_to_the_same_instant_and_runs_out)
{
	uint64_t ns;

	note(0, 0);
	note(SECOND, 0);
	for (uint64_t at = SECOND; at < 4 * SECOND - 1000; at += SECOND / 7) {
		ck_assert(on(at, &ns));
		ck_assert_uint_le(distance(ns, NS0 + at), 2);
	}
	ck_assert(!on(4 * SECOND + 1000, &ns));
	ck_assert(!on(SECOND - 1, &ns)); /* before it was taken: another processor's, or a counter set back */
}
END_TEST

START_TEST(tsc_with_comparisons_that_are_off_stays_near_and_never_goes_back)
{
	static const int64_t errors[] = { 0, 400, -700, 900, -900, 0, 5000, -5000, 100, 20000, -20000, 0 };
	uint64_t last = 0, ns;

	note(0, 0);
	for (uint64_t s = 1; s < 200; s++) {
		note(s * SECOND, errors[s % 12]);
		for (uint64_t at = s * SECOND; at < (s + 1) * SECOND; at += SECOND / 50) {
			ck_assert(on(at, &ns));
			ck_assert_uint_ge(ns, last);
			ck_assert_uint_le(distance(ns, NS0 + at), 200000);
			last = ns;
		}
	}
}
END_TEST

START_TEST(tsc_that_drifts_is_followed)
{
	uint64_t ns, ticks = T0;
	bool ok;

	/* The kernel slews its clock by 500 ppm, the most it does. */
	oa_tsc_note(ticks, NS0);
	for (uint64_t s = 1; s < 60; s++) {
		ticks += TICKS(SECOND) + (s > 10 ? TICKS(SECOND) / 2000 : 0);
		oa_tsc_note(ticks, NS0 + s * SECOND);
		ns = oa_tsc_ns_at(ticks + TICKS(SECOND) / 2, &ok);
		ck_assert(ok);
		ck_assert_uint_le(distance(ns, NS0 + s * SECOND + SECOND / 2), OA_TSC_ERROR_NS);
	}
}
END_TEST

START_TEST(tsc_that_jumped_is_left_until_its_rate_is_known_again)
{
	uint64_t ns;

	note(0, 0);
	note(SECOND, 0);
	ck_assert(on(SECOND, &ns));
	note(2 * SECOND, -(int64_t)SECOND / 2); /* suspended: the clock stood still, the counter did not */
	ck_assert(!on(2 * SECOND, &ns));
	note(3 * SECOND, -(int64_t)SECOND / 2);
	ck_assert(on(3 * SECOND, &ns));
	ck_assert_uint_le(distance(ns, NS0 + 3 * SECOND - SECOND / 2), 2);
}
END_TEST

START_TEST(tsc_that_is_set_back_is_left_too)
{
	uint64_t ns;

	note(0, 0);
	note(SECOND, 0);
	oa_tsc_note(T0 / 2, NS0 + 2 * SECOND);
	ck_assert(!on(2 * SECOND, &ns));
}
END_TEST

START_TEST(tsc_that_jumps_again_and_again_is_given_up)
{
	int64_t error = 0;
	uint64_t ns, s = 0;

	note(0, 0);
	for (unsigned i = 0; i < 20; i++) {
		note(++s * SECOND, error);
		error += SECOND / 3;
		note(++s * SECOND, error);
	}
	note(++s * SECOND, error);
	note(++s * SECOND, error);
	ck_assert(!on(s * SECOND, &ns));
}
END_TEST

START_TEST(tsc_that_is_real_agrees_with_the_clock)
{
	for (unsigned i = 0; i < 20; i++) {
		uint64_t before = oa_now_ns(), mid = oa_host_now_ns(), after = oa_now_ns();

		oa_tsc_tick();
		ck_assert_uint_ge(mid + OA_TSC_ERROR_NS, before);
		ck_assert_uint_le(mid, after + OA_TSC_ERROR_NS);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("tsc");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, tsc_is_not_used_before_its_rate_is_known);
	tcase_add_test(tc, tsc_maps_to_the_same_instant_and_runs_out);
	tcase_add_test(tc, tsc_with_comparisons_that_are_off_stays_near_and_never_goes_back);
	tcase_add_test(tc, tsc_that_drifts_is_followed);
	tcase_add_test(tc, tsc_that_jumped_is_left_until_its_rate_is_known_again);
	tcase_add_test(tc, tsc_that_is_set_back_is_left_too);
	tcase_add_test(tc, tsc_that_jumps_again_and_again_is_given_up);
	tcase_add_test(tc, tsc_that_is_real_agrees_with_the_clock);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
