/* The head decision: how many are kept, which, and who decides. */
#include "sampler/keep.h"
#include "sampler/sampler.h"
#include "core/config.h"
#include "core/id.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TRACES 1000000

enum { NO_PARENT, PARENT_DROPPED, PARENT_SAMPLED };

static const double ratios[] = { 0.0, 0.001, 0.1, 0.25, 0.5, 0.9, 1.0 };

static void use(const char *sampler, const char *arg)
{
	char a[64], b[64];
	char *const env[] = { a, b, NULL };

	snprintf(a, sizeof(a), "OTEL_TRACES_SAMPLER=%s", sampler);
	snprintf(b, sizeof(b), "OTEL_TRACES_SAMPLER_ARG=%s", arg);
	oa_config_read(env);
}

/* A trace id whose 56 random bits are `r`. */
static void trace_of(uint8_t id[16], uint64_t r)
{
	memset(id, 0xee, 9);
	for (int i = 15; i >= 9; i--, r >>= 8)
		id[i] = (uint8_t)r;
}

START_TEST(sampler_keeps_the_share_it_was_told_to)
{
	double p = ratios[_i], sigma = sqrt(TRACES * p * (1 - p));
	unsigned kept = 0;

	oa_config.sampler_arg = p;
	for (int i = 0; i < TRACES; i++) {
		uint8_t id[16];

		oa_id_trace(id);
		kept += oa_keep_ratio(id);
	}
	/* Within six standard deviations: wrong once in 500 million runs. */
	ck_assert_double_ge(kept, TRACES * p - 6 * sigma);
	ck_assert_double_le(kept, TRACES * p + 6 * sigma);
}
END_TEST

START_TEST(sampler_with_a_higher_ratio_keeps_all_that_a_lower_one_keeps)
{
	for (int i = 0; i < 100000; i++) {
		bool kept = false;
		uint8_t id[16];

		oa_id_trace(id);
		for (unsigned r = 0; r < sizeof(ratios) / sizeof(*ratios); r++) {
			bool now;

			oa_config.sampler_arg = ratios[r];
			now = oa_keep_ratio(id);
			ck_assert(now || !kept);
			ck_assert_int_eq(oa_keep_ratio(id), now);
			kept = now;
		}
		ck_assert(kept);
	}
}
END_TEST

/* Other implementations must come to the same answer: rejection threshold (1 - p) * 2^56, compared with the last seven
 * bytes of the trace id. */
START_TEST(sampler_decides_by_the_threshold_of_consistent_probability_sampling)
{
	static const struct {
		double p;
		uint64_t threshold;
	} known[] = { { 1.0, 0 }, { 0.5, 0x80000000000000 }, { 0.25, 0xc0000000000000 }, { 0.75, 0x40000000000000 } };
	uint8_t id[16];

	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++) {
		oa_config.sampler_arg = known[i].p;
		trace_of(id, known[i].threshold);
		ck_assert(oa_keep_ratio(id));
		if (!known[i].threshold)
			continue;
		trace_of(id, known[i].threshold - 1);
		ck_assert(!oa_keep_ratio(id));
	}
}
END_TEST

START_TEST(sampler_looks_at_the_random_part_of_the_trace_id_alone)
{
	uint8_t id[16], other[16];

	oa_config.sampler_arg = 0.5;
	for (int i = 0; i < 1000; i++) {
		oa_id_trace(id);
		memcpy(other, id, 16);
		memset(other, i, 9);
		ck_assert_int_eq(oa_keep_ratio(id), oa_keep_ratio(other));
	}
}
END_TEST

static const struct {
	const char *name, *arg;
	/* no parent, parent not sampled, parent sampled; '?' the trace id decides */
	const char *want;
} table[] = {
	{ "always_on", "", "111" },
	{ "always_off", "", "000" },
	{ "traceidratio", "0.5", "???" },
	{ "parentbased_always_on", "", "101" },
	{ "parentbased_always_off", "", "001" },
	{ "parentbased_traceidratio", "0.5", "?01" },
};

START_TEST(sampler_by_name_and_parent_decides_as_the_standard_says)
{
	uint8_t low[16], high[16];

	trace_of(low, 1);
	trace_of(high, 0xffffffffffffff);
	use(table[_i].name, table[_i].arg);
	ck_assert_str_eq(oa_samplers[oa_config.sampler]->name, table[_i].name);
	for (int parent = NO_PARENT; parent <= PARENT_SAMPLED; parent++) {
		bool has = parent != NO_PARENT, sampled = parent == PARENT_SAMPLED;
		char want = table[_i].want[parent];

		ck_assert_int_eq(oa_sample(low, has, sampled), want == '1');
		ck_assert_int_eq(oa_sample(high, has, sampled), want != '0');
	}
}
END_TEST

START_TEST(sampler_without_settings_keeps_everything_and_follows_its_parent)
{
	char *const none[] = { NULL };
	uint8_t id[16];

	oa_config_read(none);
	oa_id_trace(id);
	ck_assert(oa_sample(id, false, false));
	ck_assert(oa_sample(id, true, true));
	ck_assert(!oa_sample(id, true, false));
}
END_TEST

START_TEST(sampler_with_a_ratio_that_is_none_keeps_everything)
{
	static const char *const bad[] = { "2", "-1", "half", "nan", "" };
	uint8_t id[16];

	trace_of(id, 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		use("traceidratio", bad[i]);
		ck_assert_msg(oa_sample(id, false, false), "OTEL_TRACES_SAMPLER_ARG=%s", bad[i]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sampler");
	TCase *tc = tcase_create("sampler");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, sampler_keeps_the_share_it_was_told_to, 0, sizeof(ratios) / sizeof(*ratios));
	tcase_add_test(tc, sampler_with_a_higher_ratio_keeps_all_that_a_lower_one_keeps);
	tcase_add_test(tc, sampler_decides_by_the_threshold_of_consistent_probability_sampling);
	tcase_add_test(tc, sampler_looks_at_the_random_part_of_the_trace_id_alone);
	tcase_add_loop_test(tc, sampler_by_name_and_parent_decides_as_the_standard_says, 0,
			    sizeof(table) / sizeof(*table));
	tcase_add_test(tc, sampler_without_settings_keeps_everything_and_follows_its_parent);
	tcase_add_test(tc, sampler_with_a_ratio_that_is_none_keeps_everything);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
