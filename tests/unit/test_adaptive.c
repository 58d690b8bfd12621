/* The adaptive controller under a scripted load, in simulated time. With OA_CURVE=FILE the last test leaves its curve there
 * as CSV, for scripts/plot-adaptive. */
#include "sampler/adaptive.h"
#include "sampler/rules.h"
#include "sampler/threshold.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ull
#define TICK   (SECOND / 100)

static struct oa_sampling s;
static uint64_t now_ns, due_ns;
static double owed[2], owed_kept[2], owed_failed[2]; /* fractions of requests, by class */

static void begin(void)
{
	memset(&s, 0, sizeof(s));
	now_ns = 5000 * SECOND;
	due_ns = 0;
	s.cls[0].used = 1;
	oa_adaptive_step(&s, 10, now_ns);
}

static double share(unsigned cls) { return oa_th_probability(s.cls[cls].threshold); }

/* What the side thread does every ten milliseconds. */
static void tick(double target)
{
	if (oa_adaptive_flooded(&s, target, now_ns))
		due_ns = 0;
	if (now_ns < due_ns)
		return;
	due_ns = now_ns + OA_ADAPTIVE_STEP_NS;
	oa_adaptive_step(&s, target, now_ns);
}

static void requests(unsigned cls, double count, double errors)
{
	uint64_t n, kept;

	owed[cls] += count;
	n = (uint64_t)owed[cls];
	owed[cls] -= (double)n;
	owed_kept[cls] += (double)n * share(cls);
	kept = (uint64_t)owed_kept[cls];
	owed_kept[cls] -= (double)kept;
	s.cls[cls].seen += n;
	s.cls[cls].kept += kept;
	owed_failed[cls] += (double)n * errors;
	n = (uint64_t)owed_failed[cls];
	owed_failed[cls] -= (double)n;
	s.cls[cls].failed += n;
}

static void run(double seconds, double target, double qps, double errors)
{
	for (uint64_t end = now_ns + (uint64_t)(seconds * SECOND); now_ns < end;) {
		requests(0, qps / 100, errors);
		now_ns += TICK;
		tick(target);
	}
}

static void near(double have, double want, double part) { ck_assert_double_eq_tol(have, want, want * part); }

START_TEST(traffic_below_the_target_is_kept_whole)
{
	begin();
	run(100, 10, 9, 0);
	ck_assert_double_eq(share(0), 1);
}
END_TEST

START_TEST(traffic_above_it_is_kept_at_the_target)
{
	static const double qps[] = { 15, 100, 1000, 5000 };

	begin();
	run(60, 10, qps[_i], 0);
	near(share(0), 10 / qps[_i], 0.15);
}
END_TEST

START_TEST(a_storm_is_cut_down_at_once)
{
	uint64_t kept;

	begin();
	run(60, 10, 10, 0);
	ck_assert_double_eq(share(0), 1);
	kept = s.cls[0].kept;
	run(0.1, 10, 10000, 0); /* the first twentieth of a second passes whole */
	near(share(0), 0.001, 0.3);
	kept = s.cls[0].kept - kept;
	ck_assert_uint_le(kept, 700);
	kept = s.cls[0].kept;
	run(10, 10, 10000, 0);
	ck_assert_uint_le(s.cls[0].kept - kept, 2 * 10 * 10);
}
END_TEST

START_TEST(quiet_brings_it_back_by_a_quarter_a_second)
{
	double before;

	begin();
	run(60, 10, 10000, 0);
	near(share(0), 0.001, 0.01);
	run(10, 10, 1, 0); /* the average has forgotten the storm in a few seconds */
	before = share(0);
	for (unsigned i = 0; i < 60 && share(0) < 1; i++) {
		run(1, 10, 1, 0);
		ck_assert_double_le(share(0), before * OA_ADAPTIVE_GROWTH * 1.001);
		if (share(0) < 1)
			ck_assert_double_ge(share(0), before * OA_ADAPTIVE_GROWTH * 0.999);
		before = share(0);
	}
	ck_assert_double_eq(share(0), 1);
}
END_TEST

START_TEST(errors_of_the_last_minute_raise_it)
{
	begin();
	run(120, 10, 1000, 0);
	near(share(0), 0.01, 0.15);
	run(120, 10, 1000, 0.05);
	near(share(0), 0.03, 0.15);
	run(120, 10, 1000, 0.10);
	near(share(0), 0.05, 0.15);
	run(120, 10, 1000, 0.60);
	near(share(0), 0.05, 0.15);
	near(oa_adaptive_error_rate(&s.cls[0].adaptive), 0.6, 0.02);
	run(59, 10, 1000, 0);
	ck_assert_double_gt(oa_adaptive_error_rate(&s.cls[0].adaptive), 0);
	run(3, 10, 1000, 0);
	ck_assert_double_eq(oa_adaptive_error_rate(&s.cls[0].adaptive), 0);
	near(share(0), 0.01, 0.15);
}
END_TEST

START_TEST(one_error_among_few_requests_is_no_error_rate)
{
	begin();
	run(30, 10, 1, 0);
	s.cls[0].failed++;
	run(2, 10, 1, 0);
	ck_assert_double_le(oa_adaptive_error_rate(&s.cls[0].adaptive), 0.05);
}
END_TEST

static void two(double weight, double qps0, double qps1, double target)
{
	begin();
	s.cls[1].used = 1;
	s.cls[1].adaptive.weight = weight;
	for (unsigned i = 0; i < 6000; i++) {
		requests(0, qps0 / 100, 0);
		requests(1, qps1 / 100, 0);
		now_ns += TICK;
		tick(target);
	}
}

START_TEST(classes_share_the_target_by_weight)
{
	two(3, 1000, 1000, 40);
	near(share(0), 0.01, 0.15);
	near(share(1), 0.03, 0.15);
}
END_TEST

START_TEST(what_a_class_does_not_need_goes_to_the_others)
{
	two(1, 1000, 5, 40);
	ck_assert_double_eq(share(1), 1);
	near(share(0), 0.035, 0.15);
}
END_TEST

START_TEST(a_share_that_is_fixed_is_left_alone)
{
	begin();
	s.cls[0].fixed = 1;
	s.cls[0].threshold = oa_th_of(0.5);
	run(20, 10, 1000, 0.5);
	ck_assert_double_eq(share(0), 0.5);
}
END_TEST

START_TEST(steps_of_any_length_come_to_the_same)
{
	begin();
	for (unsigned i = 0; i < 40; i++) { /* a side thread that is woken late */
		requests(0, 1000 * (1 + i % 7), 0);
		now_ns += (1 + i % 7) * SECOND;
		oa_adaptive_step(&s, 10, now_ns);
		ck_assert_double_le(share(0), 1);
	}
	near(share(0), 0.01, 0.15);
	oa_adaptive_step(&s, 10, now_ns);                 /* twice in the same moment */
	oa_adaptive_step(&s, 10, now_ns + 100000 * SECOND); /* asleep for a day */
	ck_assert_double_le(share(0), 1);
}
END_TEST

/* -- the whole curve -- */

static const struct {
	double seconds, qps, errors;
} script[] = {
	{ 60, 5, 0 },	 { 60, 50, 0 },	  { 60, 500, 0 },    { 60, 500, 0.04 }, { 90, 500, 0 },
	{ 60, 20000, 0 }, { 60, 20000, 0.3 }, { 120, 200, 0 }, { 60, 2, 0 },
};

/* What traffic and errors ask for once the averages have caught up: docs/sampling.md. */
static double design(double target, double qps, double errors)
{
	double p = qps <= target ? 1 : target / qps * (1 + 4 * (errors < 0.1 ? errors / 0.1 : 1));

	return p > 1 ? 1 : p < 0.001 ? 0.001 : p;
}

START_TEST(curve_follows_the_design_and_stays_within_its_bounds)
{
	const char *path = getenv("OA_CURVE");
	FILE *csv = path ? fopen(path, "w") : NULL;
	double before = 1, target = 20;
	uint64_t start;

	begin();
	start = now_ns;
	if (csv)
		fprintf(csv, "second,qps,errors,design,probability,kept_per_second\n");
	for (unsigned i = 0; i < sizeof(script) / sizeof(*script); i++) {
		for (double t = 0; t < script[i].seconds; t++) {
			uint64_t kept = s.cls[0].kept;

			run(1, target, script[i].qps, script[i].errors);
			ck_assert_double_ge(share(0), 0.001);
			ck_assert_double_le(share(0), 1);
			ck_assert_double_le(share(0), before * 1.26);
			before = share(0);
			if (csv)
				fprintf(csv, "%llu,%g,%g,%g,%g,%llu\n", (unsigned long long)((now_ns - start) / SECOND),
					script[i].qps, script[i].errors, design(target, script[i].qps, script[i].errors),
					share(0), (unsigned long long)(s.cls[0].kept - kept));
		}
		near(share(0), design(target, script[i].qps, script[i].errors), 0.15);
	}
	if (csv)
		fclose(csv);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sampler");
	TCase *tc = tcase_create("adaptive");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, traffic_below_the_target_is_kept_whole);
	tcase_add_loop_test(tc, traffic_above_it_is_kept_at_the_target, 0, 4);
	tcase_add_test(tc, a_storm_is_cut_down_at_once);
	tcase_add_test(tc, quiet_brings_it_back_by_a_quarter_a_second);
	tcase_add_test(tc, errors_of_the_last_minute_raise_it);
	tcase_add_test(tc, one_error_among_few_requests_is_no_error_rate);
	tcase_add_test(tc, classes_share_the_target_by_weight);
	tcase_add_test(tc, what_a_class_does_not_need_goes_to_the_others);
	tcase_add_test(tc, a_share_that_is_fixed_is_left_alone);
	tcase_add_test(tc, steps_of_any_length_come_to_the_same);
	tcase_add_test(tc, curve_follows_the_design_and_stays_within_its_bounds);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
