/* The head decision: how many are kept, which, and who decides. */
#include "core/config.h"
#include "core/id.h"
#include "core/thread.h"
#include "sampler/arg.h"
#include "sampler/keep.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACES 1000000

enum { NO_PARENT, PARENT_DROPPED, PARENT_SAMPLED };

static const double ratios[] = { 0.0, 0.0001, 0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 0.99, 1.0 };
#define RATIOS (sizeof(ratios) / sizeof(*ratios))

static void use(const char *sampler, const char *arg)
{
	static char a[64], b[64];
	char *const env[] = { a, b, NULL };

	snprintf(a, sizeof(a), "OTEL_TRACES_SAMPLER=%s", sampler);
	snprintf(b, sizeof(b), "OTEL_TRACES_SAMPLER_ARG=%s", arg);
	oa_config_read(env);
	ck_assert_int_eq(oa_sampler_init(), 0);
}

/* The same numbers in every run: an interval that one run in a thousand leaves would fail for nobody's fault. */
static void same_numbers(void)
{
	(void)oa_id_random(); /* seeded once, by the kernel */
	for (unsigned i = 0; i < 2; i++)
		oa_tls.rng[i] = 0x9e3779b97f4a7c15u * (i + 1);
}

static struct oa_decision decide(uint64_t random, int parent)
{
	struct oa_sample_ask ask = { .random = random, .now_ns = 1, .has_parent = parent != NO_PARENT,
				     .parent_sampled = parent == PARENT_SAMPLED };
	struct oa_decision d;

	oa_sample(&ask, &d);
	return d;
}

static uint64_t new_random(void)
{
	uint8_t id[16];

	oa_id_trace(id);
	return oa_th_random(id);
}

START_TEST(sampler_keeps_the_share_it_was_told_to)
{
	double p = ratios[_i], z = 3.2905; /* 99.9 % of a normal distribution, both sides */
	double sigma = sqrt(TRACES * p * (1 - p));
	unsigned kept = 0;
	char arg[32];

	same_numbers();
	snprintf(arg, sizeof(arg), "%g", p);
	use("traceidratio", arg);
	for (int i = 0; i < TRACES; i++)
		kept += decide(new_random(), NO_PARENT).sampled;
	ck_assert_double_ge(kept, TRACES * p - z * sigma);
	ck_assert_double_le(kept, TRACES * p + z * sigma);
}
END_TEST

START_TEST(sampler_with_a_higher_ratio_keeps_all_that_a_lower_one_keeps)
{
	uint64_t threshold[RATIOS];
	unsigned wrong = 0; /* an assertion for each would take a thousand times as long */

	for (unsigned r = 0; r < RATIOS; r++)
		threshold[r] = oa_th_of(ratios[r]);
	for (int i = 0; i < 200000; i++) {
		uint64_t random = new_random();
		bool kept = false;

		for (unsigned r = 0; r < RATIOS; r++) {
			bool now = random >= threshold[r];

			wrong += kept && !now;
			kept = now;
		}
		wrong += !kept;
	}
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* A trace through three services, each with a ratio of its own: what the rarest keeps is whole. */
START_TEST(services_with_different_ratios_keep_consistent_subsets)
{
	static const char *const arg[] = { "0.5", "0.1", "0.02" };
	static uint8_t services[100000]; /* bits: who kept it */
	unsigned whole = 0, wrong = 0;

	for (unsigned s = 0; s < 3; s++) {
		same_numbers();
		use("traceidratio", arg[s]);
		for (int i = 0; i < 100000; i++)
			services[i] |= (uint8_t)(decide(new_random(), PARENT_SAMPLED).sampled << s);
	}
	for (int i = 0; i < 100000; i++) {
		wrong += services[i] != 0 && services[i] != 1 && services[i] != 3 && services[i] != 7;
		whole += services[i] == 7;
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_gt(whole, 2000 - 3.2905 * 45);
	ck_assert_uint_lt(whole, 2000 + 3.2905 * 45);
}
END_TEST

/* What the kept ones stand for adds up to what there was. */
START_TEST(kept_traces_stand_for_all_of_them)
{
	double sum = 0, p = ratios[_i];
	unsigned wrong = 0;
	char arg[32];

	if (p == 0)
		return;
	same_numbers();
	snprintf(arg, sizeof(arg), "%g", p);
	use("traceidratio", arg);
	for (int i = 0; i < TRACES; i++) {
		struct oa_decision d = decide(new_random(), NO_PARENT);

		if (d.sampled)
			sum += 1 / oa_th_probability(d.threshold);
		wrong += !d.sampled && d.threshold != OA_TH_NONE;
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_double_ge(sum, TRACES - 3.2905 * sqrt(TRACES * (1 - p) / p));
	ck_assert_double_le(sum, TRACES + 3.2905 * sqrt(TRACES * (1 - p) / p));
}
END_TEST

/* -- thresholds as text -- */

static const struct {
	double p;
	const char *text;
} texts[] = {
	{ 1, "0" },		{ 0.99, "028f" },	{ 0.95, "0ccd" },	{ 0.9, "199a" },
	{ 0.75, "4" },		{ 0.5, "8" },		{ 1.0 / 3, "aaab" },	{ 0.25, "c" },
	{ 0.2, "cccd" },	{ 0.125, "e" },		{ 0.1, "e666" },	{ 0.0625, "f" },
	{ 0.05, "f3333" },	{ 0.02, "fae14" },	{ 0.01, "fd70a" },	{ 0.001, "ffbe77" },
	{ 0.0001, "fff9724" },	{ 1e-5, "ffff583a" },
};

START_TEST(threshold_is_written_as_the_specification_has_it)
{
	char text[OA_TH_DIGITS + 1] = "";
	uint64_t again, t = oa_th_of(texts[_i].p);

	text[oa_th_text(t, text)] = 0;
	ck_assert_str_eq(text, texts[_i].text);
	ck_assert(oa_th_parse(oa_bytes_str(text), &again));
	ck_assert_uint_eq(again, t);
	ck_assert_double_eq_tol(oa_th_probability(t), texts[_i].p, texts[_i].p * 1e-4);
}
END_TEST

START_TEST(threshold_of_every_probability_survives_its_text)
{
	char text[OA_TH_DIGITS];

	for (double p = 1; p > 1e-17; p *= 0.997) {
		uint64_t t = oa_th_of(p), again = 1;

		ck_assert_uint_lt(t, OA_TH_RANGE);
		ck_assert(oa_th_parse(oa_bytes(text, oa_th_text(t, text)), &again));
		ck_assert_uint_eq(t, again);
	}
	ck_assert_uint_eq(oa_th_of(0), OA_TH_NEVER);
	ck_assert_uint_eq(oa_th_text(OA_TH_NEVER, text), 0);
	ck_assert_uint_eq(oa_th_text(OA_TH_NONE, text), 0);
}
END_TEST

START_TEST(threshold_text_that_is_none_is_refused)
{
	static const char *const bad[] = { "", "g", "FD70A", "0123456789abcde", "f f", "0x8" };
	uint64_t t = 7;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!oa_th_parse(oa_bytes_str(bad[i]), &t), "%s", bad[i]);
	ck_assert(!oa_th_parse_random(oa_bytes_str("0123456789abc"), &t));
	ck_assert_uint_eq(t, 7);
	ck_assert(oa_th_parse_random(oa_bytes_str("0123456789abcd"), &t));
	ck_assert_uint_eq(t, 0x0123456789abcd);
}
END_TEST

START_TEST(trace_is_kept_from_the_threshold_on)
{
	static const uint8_t zeros[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t ones[16];

	memset(ones, 0xff, 16);
	use("traceidratio", "0.25");
	ck_assert(decide(0xc0000000000000, NO_PARENT).sampled);
	ck_assert(!decide(0xc0000000000000 - 1, NO_PARENT).sampled);
	ck_assert(decide(oa_th_random(ones), NO_PARENT).sampled);
	ck_assert(!decide(oa_th_random(zeros), NO_PARENT).sampled); /* only the last seven bytes count */
	use("traceidratio", "1");
	ck_assert(decide(oa_th_random(zeros), NO_PARENT).sampled);
	use("traceidratio", "0");
	ck_assert(!decide(oa_th_random(ones), NO_PARENT).sampled);
}
END_TEST

/* -- who decides -- */

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
	{ "rate_limiting", "1000000", "111" },
	{ "rate_limiting", "0", "000" },
	{ "parentbased_rate_limiting", "1000000", "101" },
	{ "parentbased_rate_limiting", "0", "001" },
};

START_TEST(sampler_by_name_and_parent_decides_as_the_standard_says)
{
	use(table[_i].name, table[_i].arg);
	ck_assert_str_eq(oa_samplers[oa_config.sampler]->name, table[_i].name);
	for (int parent = NO_PARENT; parent <= PARENT_SAMPLED; parent++) {
		char want = table[_i].want[parent];
		struct oa_decision low = decide(1, parent), high = decide(OA_TH_RANGE - 1, parent);

		ck_assert_int_eq(low.sampled, want == '1');
		ck_assert_int_eq(high.sampled, want != '0');
		ck_assert_int_eq(low.ours, parent == NO_PARENT || !strstr(table[_i].name, "parentbased"));
	}
}
END_TEST

START_TEST(sampler_without_settings_keeps_everything_and_follows_its_parent)
{
	char *const none[] = { NULL };
	uint64_t random = new_random();

	oa_config_read(none);
	ck_assert_int_eq(oa_sampler_init(), 0);
	ck_assert(decide(random, NO_PARENT).sampled);
	ck_assert(decide(random, PARENT_SAMPLED).sampled);
	ck_assert(!decide(random, PARENT_DROPPED).sampled);
	ck_assert_uint_eq(decide(random, NO_PARENT).threshold, OA_TH_NONE); /* nothing goes on the wire */
}
END_TEST

START_TEST(sampler_with_an_argument_that_is_none_uses_the_default_and_says_so)
{
	static const char *const bad[] = { "2", "-1", "half", "nan" };
	struct oa_sampler_settings s;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		use("traceidratio", bad[i]);
		ck_assert_msg(decide(0, NO_PARENT).sampled, "OTEL_TRACES_SAMPLER_ARG=%s", bad[i]);
		oa_sampler_settings(&s);
		ck_assert(oa_bytes_eq(s.wrong, oa_bytes_str(bad[i])));
		ck_assert_str_eq(s.wanted, "a number from 0 to 1");
	}
	use("always_on", "endpoint=http://x"); /* takes none */
	oa_sampler_settings(&s);
	ck_assert_uint_eq(s.wrong.len, 0);
}
END_TEST

/* -- rates -- */

/* Ten times as many as may be kept, over 30 seconds. */
START_TEST(rate_limiter_holds_its_rate_under_ten_times_as_much)
{
	static const double rates[] = { 0.2, 1, 7.5, 100, 5000 };
	double rate = rates[_i], seconds = 30;
	uint64_t step = (uint64_t)(1e8 / rate);
	unsigned kept = 0, wrong = 0;
	char arg[32];

	snprintf(arg, sizeof(arg), "%g", rate);
	use("rate_limiting", arg);
	for (uint64_t now = 1000000000; now < 1000000000 + seconds * 1e9; now += step) {
		struct oa_sample_ask ask = { .now_ns = now };
		struct oa_decision d;

		oa_sample(&ask, &d);
		kept += d.sampled;
		wrong += d.threshold != OA_TH_NONE;
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_double_ge(kept, rate * seconds * 0.99 - 1);
	ck_assert_double_le(kept, rate * seconds * 1.001 + (rate > 1 ? rate : 1) + 1); /* the bucket was full at first */
}
END_TEST

START_TEST(rate_limiter_saves_up_no_more_than_a_second)
{
	struct oa_sample_ask ask = { .now_ns = 3600000000000 };
	struct oa_decision d;
	unsigned kept = 0;

	use("rate_limiting", "20");
	for (unsigned i = 0; i < 1000; i++) {
		oa_sample(&ask, &d);
		kept += d.sampled;
	}
	ck_assert_uint_eq(kept, 20);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sampler");
	TCase *tc = tcase_create("sampler");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, sampler_keeps_the_share_it_was_told_to, 0, RATIOS);
	tcase_add_test(tc, sampler_with_a_higher_ratio_keeps_all_that_a_lower_one_keeps);
	tcase_add_test(tc, services_with_different_ratios_keep_consistent_subsets);
	tcase_add_loop_test(tc, kept_traces_stand_for_all_of_them, 0, RATIOS);
	tcase_add_loop_test(tc, threshold_is_written_as_the_specification_has_it, 0, sizeof(texts) / sizeof(*texts));
	tcase_add_test(tc, threshold_of_every_probability_survives_its_text);
	tcase_add_test(tc, threshold_text_that_is_none_is_refused);
	tcase_add_test(tc, trace_is_kept_from_the_threshold_on);
	tcase_add_loop_test(tc, sampler_by_name_and_parent_decides_as_the_standard_says, 0,
			    sizeof(table) / sizeof(*table));
	tcase_add_test(tc, sampler_without_settings_keeps_everything_and_follows_its_parent);
	tcase_add_test(tc, sampler_with_an_argument_that_is_none_uses_the_default_and_says_so);
	tcase_add_loop_test(tc, rate_limiter_holds_its_rate_under_ten_times_as_much, 0, 5);
	tcase_add_test(tc, rate_limiter_saves_up_no_more_than_a_second);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
