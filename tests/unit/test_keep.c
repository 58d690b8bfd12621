/* The local tail rule: pipeline/keep*.c, with a queue made for the test. */
#include "pipeline/keep.h"

#include "core/config.h"
#include "core/id.h"
#include "core/stats.h"
#include "core/tree.h"
#include "make_span.h"
#include "pipeline/batch.h"
#include "pipeline/processor.h"
#include "sampler/keep.h"

#include <math.h>
#include <stdio.h>

#define SECOND 1000000000ull

extern const struct oa_processor oa_processor_keep;

static struct oa_span_buf queued[4096];
static unsigned queued_count;
static const struct oa_proc_id *queued_who;
static const struct oa_proc_id me = { .pid = 1 }, other = { .pid = 2 };

void oa_batch_put(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	queued_who = who;
	memcpy(queued[queued_count++ % 4096].raw, span->raw, span->s.bytes);
}

static void begin(const char *keep)
{
	static char a[64];
	char *const env[] = { a, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01", NULL };

	snprintf(a, sizeof(a), "OTELAUTO_KEEP=%s", keep);
	oa_config_read(env);
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_tree_claim(), 0);
	ck_assert_int_eq(oa_sampler_init(), 0);
	ck_assert_int_eq(oa_processor_keep.open(), 0);
	queued_count = 0;
}

static void set_trace(uint64_t number)
{
	memset(made.s.trace_id, 0x11, 16);
	number = __builtin_bswap64(number);
	memcpy(made.s.trace_id + 8, &number, 8);
}

static void root(uint64_t trace, unsigned status)
{
	make_span(OA_KIND_SERVER);
	set_trace(trace);
	made.s.flags = OA_SPAN_TAIL | OA_SPAN_OWN_DECISION | OA_SPAN_HAS_STATUS;
	made.s.status = (uint16_t)status;
	make_str(OA_STR_ROUTE, "/r");
}

static void child(uint64_t trace, unsigned status)
{
	make_span(OA_KIND_CLIENT);
	set_trace(trace);
	memset(made.s.parent_id, 0x22, 8);
	made.s.flags = OA_SPAN_TAIL | OA_SPAN_HAS_STATUS;
	made.s.status = (uint16_t)status;
	make_str(OA_STR_HOST, "up");
}

static void head_kept(const char *tracestate)
{
	made.s.flags |= OA_SPAN_SAMPLED;
	if (*tracestate)
		make_str(OA_STR_TRACESTATE, tracestate);
}

/* returns the record as the processors behind see it */
static const struct oa_span *pass(void)
{
	ck_assert_int_eq(oa_processor_keep.on_span(&made, &me), 0);
	return &made.s;
}

static bool held(void) { return made.s.flags & OA_SPAN_HELD; }
static bool sampled(const struct oa_span *s) { return s->flags & OA_SPAN_SAMPLED; }

static void is_kept(const struct oa_span *s, enum oa_keep reason, const char *tracestate)
{
	ck_assert(sampled(s));
	ck_assert_uint_eq(s->keep, reason + 1);
	check_str(s, OA_STR_TRACESTATE, tracestate);
}

START_TEST(trace_without_a_reason_is_dropped_with_all_of_its_calls)
{
	begin("error");
	child(1, 200);
	ck_assert(!sampled(pass()) && held());
	ck_assert_uint_gt(oa_keep_bytes(), 0);
	root(1, 200);
	ck_assert(!sampled(pass()) && !held());
	ck_assert_uint_eq(queued_count, 0);
	ck_assert_uint_eq(oa_keep_bytes(), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_spans_unsampled), 1); /* the call; red_metrics.c counts the root */
}
END_TEST

START_TEST(trace_that_ends_in_error_is_kept_with_all_of_its_calls)
{
	begin("error");
	for (unsigned i = 0; i < 3; i++) {
		child(1, 200);
		pass();
	}
	child(2, 200); /* somebody else's */
	pass();
	root(1, 503);
	is_kept(pass(), OA_KEEP_ERROR, "ot=th:0");
	ck_assert_uint_eq(queued_count, 3);
	ck_assert_ptr_eq(queued_who, &me);
	for (unsigned i = 0; i < 3; i++) {
		is_kept(&queued[i].s, OA_KEEP_ERROR, "ot=th:0");
		ck_assert(!(queued[i].s.flags & OA_SPAN_HELD));
		check_str(&queued[i].s, OA_STR_HOST, "up");
	}
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_spans_kept), 3);
	ck_assert_uint_eq(oa_tree->sampling.stratum[OA_KEEP_ERROR].kept, 1);
}
END_TEST

START_TEST(call_that_fails_makes_the_trace_one_that_ends_in_error_but_404_is_an_answer)
{
	begin("error");
	child(1, 404);
	pass();
	root(1, 200);
	ck_assert(!sampled(pass()));
	child(2, 500);
	pass();
	root(2, 200);
	is_kept(pass(), OA_KEEP_ERROR, "ot=th:0");
	child(3, 0);
	made.s.flags &= ~OA_SPAN_HAS_STATUS;
	made.s.error = OA_ERR_ECONNREFUSED;
	pass();
	root(3, 200);
	is_kept(pass(), OA_KEEP_ERROR, "ot=th:0");
}
END_TEST

/* Else a failed trace that the head kept would count a hundred times beside all the others. */
START_TEST(failed_trace_that_the_head_kept_stands_for_itself_alone)
{
	begin("error");
	child(0xffffffffffffff, 200);
	head_kept("ot=th:fd70a,a=1");
	ck_assert(!sampled(pass()) && held()); /* waits, too */
	root(0xffffffffffffff, 500);
	head_kept("ot=th:fd70a,a=1");
	pass();
	ck_assert(sampled(&made.s));
	ck_assert_uint_eq(made.s.keep, 0); /* not for that reason */
	check_str(&made.s, OA_STR_TRACESTATE, "ot=th:0,a=1");
	ck_assert_uint_eq(queued_count, 1);
	check_str(&queued[0].s, OA_STR_TRACESTATE, "ot=th:0,a=1");
	ck_assert_uint_eq(queued[0].s.keep, 0);
	ck_assert_uint_eq(oa_self->held, 0);
	child(0xfffffffffffffe, 200);
	head_kept("ot=th:fd70a");
	pass();
	ck_assert_uint_eq(oa_self->held, 1);
	root(0xfffffffffffffe, 200);
	head_kept("ot=th:fd70a");
	pass();
	check_str(&made.s, OA_STR_TRACESTATE, "ot=th:fd70a");
	check_str(&queued[1].s, OA_STR_TRACESTATE, "ot=th:fd70a");
}
END_TEST

START_TEST(call_that_ends_after_its_request_follows_it)
{
	begin("error");
	root(1, 500);
	pass();
	child(1, 200);
	is_kept(pass(), OA_KEEP_ERROR, "ot=th:0");
	ck_assert(!held());
	root(2, 200);
	pass();
	child(2, 500);
	ck_assert(!sampled(pass()) && !held());
}
END_TEST

START_TEST(session_behind_an_upgrade_follows_its_request)
{
	begin("error");
	root(1, 500);
	pass();
	root(1, 0);
	made.s.what = OA_WHAT_TUNNEL;
	made.s.flags = OA_SPAN_TAIL;
	memset(made.s.parent_id, 0x22, 8);
	is_kept(pass(), OA_KEEP_ERROR, "ot=th:0");
}
END_TEST

START_TEST(record_that_is_none_of_its_business_passes)
{
	begin("error,slow,rare");
	root(1, 500);
	made.s.flags &= ~OA_SPAN_TAIL;
	ck_assert(!sampled(pass()) && !held());
	root(2, 200);
	made.s.flags = OA_SPAN_SAMPLED | OA_SPAN_HAS_STATUS;
	ck_assert(sampled(pass()));
	ck_assert_uint_eq(made.s.keep, 0);
}
END_TEST

START_TEST(slow_is_what_takes_longer_than_the_setting)
{
	begin("slow");
	oa_config.keep_slow = 50;
	root(1, 200);
	made.s.duration_ns = 50000000;
	ck_assert(!sampled(pass()));
	root(2, 200);
	made.s.duration_ns = 50000001;
	is_kept(pass(), OA_KEEP_SLOW, "ot=th:0");
}
END_TEST

START_TEST(slow_is_what_is_slow_for_its_route)
{
	unsigned kept = 0;

	begin("slow");
	for (unsigned i = 0; i < 20000; i++) {
		root(i, 200);
		made.s.duration_ns = 1000000 + oa_id_random() % 1000000;
		if (i % 2) {
			made.s.str[OA_STR_ROUTE] = (struct oa_strref){ 0 };
			make_str(OA_STR_ROUTE, "/heavy");
			made.s.duration_ns *= 100;
		}
		kept += sampled(pass());
	}
	ck_assert_uint_le(kept, 300); /* at most one in a hundred of what is usual */
	root(99999, 200);
	made.s.duration_ns = 5000000;
	is_kept(pass(), OA_KEEP_SLOW, "ot=th:0");
	root(99998, 200);
	made.s.str[OA_STR_ROUTE] = (struct oa_strref){ 0 };
	make_str(OA_STR_ROUTE, "/heavy");
	made.s.duration_ns = 150000000;
	ck_assert(!sampled(pass()));
}
END_TEST

START_TEST(nothing_is_slow_before_a_hundred_were_seen)
{
	begin("slow");
	for (unsigned i = 0; i < 99; i++) {
		root(i, 200);
		made.s.duration_ns = (uint64_t)1000000 << i % 16;
		ck_assert(!sampled(pass()));
	}
}
END_TEST

START_TEST(rare_is_a_route_with_few_requests_of_late)
{
	begin("rare");
	for (unsigned i = 0; i < 10; i++) {
		root(i, 200);
		made.s.start_ns = 1000 * 60 * SECOND + i;
		ck_assert_int_eq(sampled(pass()), i < 3);
	}
	root(20, 200);
	made.s.start_ns = 1001 * 60 * SECOND; /* the last minute counts, too */
	ck_assert(!sampled(pass()));
	root(21, 200);
	made.s.start_ns = 1003 * 60 * SECOND;
	is_kept(pass(), OA_KEEP_RARE, "ot=th:0");
}
END_TEST

START_TEST(made_up_routes_are_rare_only_as_long_as_there_is_room)
{
	unsigned kept = 0;

	begin("rare");
	for (unsigned i = 0; i < 100000; i++) {
		char route[32];

		root(i, 404);
		made.s.str[OA_STR_ROUTE] = (struct oa_strref){ 0 };
		snprintf(route, sizeof(route), "/x%u", i);
		make_str(OA_STR_ROUTE, route);
		kept += sampled(pass());
	}
	ck_assert_uint_le(kept, 512);
}
END_TEST

/* A storm of errors: what is kept stays near the budget, and stands for all of them. */
START_TEST(budget_holds_in_a_storm_and_weights_stay_true)
{
	unsigned kept = 0, first = 0, total = 0;
	double stands_for = 0;
	uint64_t start = oa_now_ns() / SECOND * SECOND;

	begin("error");
	oa_config.keep_rate = 100;
	for (uint64_t ms = 0; ms < 10000; ms += 10) {
		for (unsigned i = 0; i < 50; i++, total++) { /* 5000 a second */
			uint64_t th = OA_TH_NONE;
			struct oa_ot ot;

			root(oa_id_random(), 500);
			if (!sampled(pass()))
				continue;
			kept++;
			oa_ot_parse(oa_span_str(&made.s, OA_STR_TRACESTATE), &ot);
			th = ot.threshold;
			ck_assert(oa_th_random(made.s.trace_id) >= th);
			stands_for += 1 / oa_th_probability(th);
		}
		oa_processor_keep.on_tick(start + ms * 1000000);
		if (ms == 990)
			first = kept;
	}
	ck_assert_uint_le(first, 600); /* until the first look everything passes: 50 ms of it */
	ck_assert_uint_le(kept - first, 9 * 100 * 1.3);
	ck_assert_uint_ge(kept - first, 9 * 100 * 0.7);
	/* Variance of the sum: 5000 a second, each at 2 %. */
	ck_assert_double_eq_tol(stands_for, total, 4 * sqrt(total * (1 - 0.02) / 0.02));
}
END_TEST

START_TEST(budget_leaves_what_is_below_it_alone)
{
	uint64_t start = oa_now_ns() / SECOND * SECOND;

	begin("error");
	oa_config.keep_rate = 100;
	for (uint64_t ms = 0; ms < 20000; ms += 10) {
		if (ms % 20 == 0) { /* 50 a second, two at a time now and then */
			root(oa_id_random(), 500);
			ck_assert(sampled(pass()));
		}
		oa_processor_keep.on_tick(start + ms * 1000000);
	}
}
END_TEST

START_TEST(memory_stays_under_its_cap_whatever_waits)
{
	unsigned failing = 0;

	begin("error");
	oa_config.keep_memory = 1;
	oa_processor_keep.forget();
	ck_assert_int_eq(oa_processor_keep.open(), 0);
	for (unsigned i = 0; i < 50000; i++) {
		child(i, i % 100 ? 200 : 500);
		failing += i % 100 == 0;
		pass();
		ck_assert_uint_le(oa_keep_bytes(), 1 << 20);
	}
	ck_assert_uint_gt(oa_keep_bytes(), 900 << 10);
	ck_assert_uint_gt(oa_stat_sum(OA_STAT_keep_memory), 40000);
	oa_processor_keep.flush();
	ck_assert_uint_eq(oa_keep_bytes(), 0);
	ck_assert_uint_eq(queued_count, failing); /* those that failed are kept even so */
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_spans_kept) + oa_stat_sum(OA_STAT_spans_unsampled), 50000);
}
END_TEST

START_TEST(one_request_with_endless_calls_holds_a_bounded_number)
{
	begin("error");
	for (unsigned i = 0; i < 100000; i++) {
		child(1, 200);
		pass();
	}
	ck_assert_uint_lt(oa_keep_bytes(), 1 << 20);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_keep_spans), 100000 - 256);
	root(1, 500);
	ck_assert(sampled(pass()));
	ck_assert_uint_eq(queued_count, 256);
}
END_TEST

START_TEST(trace_that_waits_for_half_a_minute_is_decided)
{
	uint64_t now = oa_now_ns();

	begin("error");
	child(1, 200);
	pass();
	child(2, 500);
	pass();
	child(3, 200);
	head_kept("ot=th:fd70a");
	pass();
	oa_processor_keep.on_tick(now + 29 * SECOND);
	ck_assert_uint_eq(queued_count, 0);
	oa_processor_keep.on_tick(now + 31 * SECOND);
	ck_assert_uint_eq(queued_count, 2);
	is_kept(&queued[0].s, OA_KEEP_ERROR, "ot=th:0");
	check_str(&queued[1].s, OA_STR_TRACESTATE, "ot=th:fd70a");
	ck_assert_uint_eq(oa_keep_bytes(), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_keep_age), 3);
	root(1, 500); /* it may still end in error */
	ck_assert(sampled(pass()));
}
END_TEST

START_TEST(what_a_dead_process_left_is_decided_with_it)
{
	begin("error");
	child(1, 500);
	ck_assert_int_eq(oa_processor_keep.on_span(&made, &other), 0);
	child(2, 500);
	pass();
	oa_processor_keep.adopted(&other);
	ck_assert_uint_eq(queued_count, 1);
	ck_assert_ptr_eq(queued_who, &other);
	ck_assert_ptr_nonnull(oa_keep_find(made.s.trace_id));
}
END_TEST

START_TEST(record_of_any_size_comes_back_as_it_was)
{
	static char text[9000];

	begin("error");
	memset(text, 'x', sizeof(text) - 1);
	for (size_t len = 0; len < sizeof(text) - 1; len += 97) {
		text[len] = 0;
		queued_count = 0;
		child(len + 1, 200);
		make_str(OA_STR_TARGET, text);
		pass();
		root(len + 1, 500);
		pass();
		ck_assert_uint_eq(queued_count, 1);
		check_str(&queued[0].s, OA_STR_TARGET, text);
		check_str(&queued[0].s, OA_STR_HOST, "up");
		text[len] = 'x';
	}
	ck_assert_uint_eq(oa_keep_bytes(), 0);
}
END_TEST

/* Thousands of traces at a time, in any order: nothing gets lost, doubled or mixed up. */
START_TEST(many_traces_at_a_time)
{
	static uint8_t calls[3000], seen[3000];
	unsigned expected = 0;

	begin("error");
	for (unsigned i = 0; i < 20000; i++) {
		unsigned trace = (unsigned)(oa_id_random() % 3000);

		if (oa_id_random() % 8) {
			child(trace + 1, 200);
			made.s.req_body = trace;
			calls[trace] += !(pass()->flags & OA_SPAN_SAMPLED) && held();
			continue;
		}
		if (seen[trace]++)
			continue;
		queued_count = 0;
		root(trace + 1, trace % 3 ? 200 : 500);
		pass();
		expected += trace % 3 ? 0 : calls[trace];
		ck_assert_uint_eq(queued_count, trace % 3 ? 0 : calls[trace]);
		for (unsigned q = 0; q < queued_count; q++)
			ck_assert_uint_eq(queued[q].s.req_body, trace);
	}
	ck_assert_uint_gt(expected, 500);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pipeline");
	TCase *tc = tcase_create("keep");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, trace_without_a_reason_is_dropped_with_all_of_its_calls);
	tcase_add_test(tc, trace_that_ends_in_error_is_kept_with_all_of_its_calls);
	tcase_add_test(tc, call_that_fails_makes_the_trace_one_that_ends_in_error_but_404_is_an_answer);
	tcase_add_test(tc, failed_trace_that_the_head_kept_stands_for_itself_alone);
	tcase_add_test(tc, call_that_ends_after_its_request_follows_it);
	tcase_add_test(tc, session_behind_an_upgrade_follows_its_request);
	tcase_add_test(tc, record_that_is_none_of_its_business_passes);
	tcase_add_test(tc, slow_is_what_takes_longer_than_the_setting);
	tcase_add_test(tc, slow_is_what_is_slow_for_its_route);
	tcase_add_test(tc, nothing_is_slow_before_a_hundred_were_seen);
	tcase_add_test(tc, rare_is_a_route_with_few_requests_of_late);
	tcase_add_test(tc, made_up_routes_are_rare_only_as_long_as_there_is_room);
	tcase_add_test(tc, budget_holds_in_a_storm_and_weights_stay_true);
	tcase_add_test(tc, budget_leaves_what_is_below_it_alone);
	tcase_add_test(tc, memory_stays_under_its_cap_whatever_waits);
	tcase_add_test(tc, one_request_with_endless_calls_holds_a_bounded_number);
	tcase_add_test(tc, trace_that_waits_for_half_a_minute_is_decided);
	tcase_add_test(tc, what_a_dead_process_left_is_decided_with_it);
	tcase_add_test(tc, record_of_any_size_comes_back_as_it_was);
	tcase_add_test(tc, many_traces_at_a_time);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
