/* The shared table of metric series and the counters. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/inject_result.h"
#include "core/sys.h"
#include "core/tree.h"

#define INS OA_INS_http_server_duration
#define MS  1000000ull

static struct oa_series_table *table;

static void setup(void)
{
	table = oa_sys_map(sizeof(*table), 1);
	ck_assert_ptr_nonnull(table);
}

static struct oa_label_set labels_of(const char *route)
{
	struct oa_label_set set = { 0 };

	oa_label_add(&set, OA_LABEL_method, OA_LIT("GET"));
	oa_label_add(&set, OA_LABEL_route, oa_bytes_str(route));
	return set;
}

static void record(const char *route, unsigned limit, uint64_t value)
{
	struct oa_label_set set = labels_of(route);

	oa_series_record(table, limit, INS, &set, value, NULL, NULL, 0);
}

static uint64_t count_of(const struct oa_series *s)
{
	uint64_t count = 0;

	for (unsigned i = 0; i <= OA_BOUNDS_MAX; i++)
		count += s->bucket[i];
	return count;
}

static unsigned series_count(void)
{
	unsigned pos = 0, n = 0;

	while (oa_series_next(table, &pos))
		n++;
	return n;
}

static const struct oa_series *find(const char *route)
{
	struct oa_label_set set = labels_of(route);
	const struct oa_series *s, *found = NULL;
	unsigned pos = 0;

	while ((s = oa_series_next(table, &pos))) {
		if (!oa_bytes_eq(oa_series_labels(table, s), oa_bytes(set.bytes, set.len)))
			continue;
		ck_assert_msg(!found, "two series for %s", route);
		found = s;
	}
	return found;
}

START_TEST(equal_labels_make_one_series)
{
	record("/a", 10, 1 * MS);
	record("/b", 10, 2 * MS);
	record("/a", 10, 3 * MS);
	ck_assert_uint_eq(series_count(), 2);
	ck_assert_uint_eq(table->used, 2);
	ck_assert_uint_eq(count_of(find("/a")), 2);
	ck_assert_uint_eq(find("/a")->sum, 4 * MS);
	ck_assert_uint_eq(count_of(find("/b")), 1);
	ck_assert_int_eq(oa_series_stream(table, find("/b")), INS);
}
END_TEST

START_TEST(the_same_labels_of_another_instrument_are_another_series)
{
	struct oa_label_set set = labels_of("/a");

	record("/a", 10, 1);
	oa_series_record(table, 10, OA_INS_http_client_duration, &set, 1, NULL, NULL, 0);
	ck_assert_uint_eq(series_count(), 2);
}
END_TEST

START_TEST(a_value_on_a_bound_lies_in_the_bucket_of_that_bound)
{
	const struct oa_series *s;

	record("/", 10, 5 * MS);
	record("/", 10, 5 * MS + 1);
	record("/", 10, 10000 * MS);
	record("/", 10, 10000 * MS + 1);
	s = find("/");
	ck_assert_uint_eq(s->bucket[0], 1);
	ck_assert_uint_eq(s->bucket[1], 1);
	ck_assert_uint_eq(s->bucket[13], 1);
	ck_assert_uint_eq(s->bucket[14], 1);
}
END_TEST

START_TEST(bounds_and_limits_say_the_same)
{
	for (unsigned i = 0; i < OA_INS_COUNT; i++) {
		const struct oa_stream *info = &oa_streams[i];
		double unit = strcmp(info->unit, "s") == 0 ? 1e9 : 1;

		for (unsigned b = 0; b < info->bounds_count; b++) {
			ck_assert_double_eq_tol(info->bounds[b] * unit, (double)info->limits[b], 0.5);
			ck_assert(!b || info->limits[b] > info->limits[b - 1]);
		}
	}
}
END_TEST

START_TEST(past_the_limit_measurements_go_to_the_overflow_series_of_their_instrument)
{
	const struct oa_series *s, *overflow = NULL;
	enum oa_label label;
	struct oa_bytes value, labels;
	unsigned pos = 0;
	char route[32];

	for (unsigned i = 0; i < 30; i++) {
		snprintf(route, sizeof(route), "/%u", i);
		record(route, 20, 1 * MS);
	}
	record("/3", 20, 1 * MS); /* a known one goes on */
	ck_assert_uint_eq(table->used, 20);
	ck_assert_uint_eq(table->overflowed, 10);
	ck_assert_uint_eq(series_count(), 21);
	ck_assert_uint_eq(count_of(find("/3")), 2);
	while ((s = oa_series_next(table, &pos)))
		overflow = s; /* the last ones */
	ck_assert_uint_eq(count_of(overflow), 10);
	ck_assert_int_eq(oa_series_stream(table, overflow), INS);
	labels = oa_series_labels(table, overflow);
	pos = 0;
	ck_assert(oa_label_next(labels.ptr, (unsigned)labels.len, &pos, &label, &value));
	ck_assert_int_eq(label, OA_LABEL_overflow);
	ck_assert(oa_bytes_eq(value, OA_LIT("true")));
	ck_assert(!oa_label_next(labels.ptr, (unsigned)labels.len, &pos, &label, &value));
}
END_TEST

START_TEST(labels_that_do_not_fit_go_to_the_overflow_series)
{
	static char route[OA_LABELS_BYTES + 1];

	memset(route, 'x', OA_LABELS_BYTES);
	ck_assert(labels_of(route).overflow);
	record(route, 20, 1);
	ck_assert_uint_eq(table->used, 0);
	ck_assert_uint_eq(table->overflowed, 1);
	ck_assert_uint_eq(series_count(), 1);
}
END_TEST

START_TEST(label_values_become_utf8_before_they_are_compared)
{
	struct oa_label_set set = labels_of("/\xc3\xa4\xff\xc0\xaf\xed\xa0\x80z");
	struct oa_bytes value;
	enum oa_label label;
	unsigned pos = 0;

	ck_assert(oa_label_next(set.bytes, set.len, &pos, &label, &value));
	ck_assert(oa_label_next(set.bytes, set.len, &pos, &label, &value));
#define BAD "\xef\xbf\xbd"
	ck_assert(oa_bytes_eq(value, OA_LIT("/\xc3\xa4" BAD BAD BAD BAD BAD BAD "z")));
	record("/\xff", 10, 1);
	record("/\xfe", 10, 1);
	ck_assert_uint_eq(series_count(), 1);
}
END_TEST

/* The slot that the labels would get, as a writer leaves it that was killed between claim and publication. */
static struct oa_series *leave_claimed(const char *route)
{
	struct oa_series *slot;

	record(route, 100, 1);
	slot = (struct oa_series *)find(route);
	memset(slot, 0, sizeof(*slot));
	slot->state = 1;
	return slot;
}

START_TEST(a_slot_whose_writer_was_killed_is_given_up_and_blocks_nobody)
{
	struct oa_series *slot = leave_claimed("/a");

	for (unsigned i = 0; i < 5; i++)
		record("/a", 100, 1 * MS);
	ck_assert_uint_eq(slot->state, 3);
	ck_assert_ptr_ne(find("/a"), slot);
	ck_assert_uint_eq(count_of(find("/a")), 5);
	ck_assert_uint_eq(table->used, 1);
}
END_TEST

START_TEST(a_killed_writer_does_not_use_up_the_limit)
{
	leave_claimed("/a");
	record("/a", 1, 1);
	ck_assert_uint_eq(table->overflowed, 0);
	ck_assert_uint_eq(count_of(find("/a")), 1);
}
END_TEST

static void *page_of(const void *p) { return (void *)((uintptr_t)p & ~(uintptr_t)4095); }

static struct oa_label_set slow_labels;
static struct oa_series *overtaken_by;

/* The writer has just claimed the slot: another one takes too long a wait for its death. */
static void overtake(int sig)
{
	(void)sig;
	mprotect(table, sizeof(*table), PROT_READ | PROT_WRITE);
	overtaken_by = oa_series_get(table, 100, INS, &slow_labels);
}

START_TEST(a_writer_that_is_overtaken_does_not_use_up_the_limit_of_its_stream)
{
	struct oa_label_set set = labels_of("/slow");
	struct oa_series *slot, *second;

	oa_streams[INS].series_max = 50;
	slot = oa_series_get(table, 100, INS, &set);
	ck_assert_uint_eq(table->used_by[INS], 1);
	memset(table, 0, sizeof(*table));
	/* Its claim passes, its labels do not: they are on another page. */
	ck_assert_ptr_ne(page_of(&slot->hash), page_of(slot->labels));
	slow_labels = set;
	signal(SIGSEGV, overtake);
	mprotect(page_of(slot->labels), 4096, PROT_READ);
	second = oa_series_get(table, 100, INS, &set);
	signal(SIGSEGV, SIG_DFL);
	oa_streams[INS].series_max = 0;
	ck_assert_ptr_nonnull(overtaken_by);
	ck_assert_uint_eq(slot->state, 3);
	ck_assert_ptr_ne(second, slot);
	ck_assert_uint_eq(table->used, 1);
	ck_assert_uint_eq(table->used_by[INS], 1);
}
END_TEST

static void *record_many(void *arg)
{
	char route[32];

	for (unsigned i = 0; i < 20000; i++) {
		snprintf(route, sizeof(route), "/%u", i % 500);
		record(route, 400, 1);
	}
	return arg;
}

START_TEST(several_writers_lose_nothing_and_make_no_series_twice)
{
	pthread_t threads[3];
	const struct oa_series *s;
	uint64_t sum = 0;
	unsigned pos = 0;
	char route[32];

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, record_many, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	while ((s = oa_series_next(table, &pos)))
		sum += count_of(s);
	ck_assert_uint_eq(sum, 60000);
	ck_assert_uint_eq(table->used, 400);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(route, sizeof(route), "/%u", i);
		find(route);
	}
}
END_TEST

START_TEST(a_killed_process_leaves_a_table_that_others_go_on_with)
{
	static const char *const routes[] = { "/a", "/b", "/c", "/d" };
	_Atomic uint32_t *started = oa_sys_map(4096, 1);
	uint64_t before;
	pid_t child = fork();

	if (child == 0)
		for (unsigned i = 0;; i++) {
			record(routes[i % 4], 100, 1);
			atomic_fetch_add(started, 1);
		}
	while (atomic_load(started) < 1000)
		;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	before = count_of(find("/a"));
	record("/a", 100, 1);
	ck_assert_uint_eq(count_of(find("/a")), before + 1);
	ck_assert_uint_eq(series_count(), 4);
}
END_TEST

START_TEST(an_exemplar_is_kept_with_the_bucket_of_its_value)
{
	static const uint8_t trace[16] = { 1, 2, 3 }, span[8] = { 9, 8 };
	struct oa_label_set set = labels_of("/");
	struct oa_exemplar e;

	record("/", 10, 7 * MS);
	ck_assert(!oa_series_exemplar(find("/"), 1, &e));
	oa_series_record(table, 10, INS, &set, 6 * MS, trace, span, 42);
	ck_assert(oa_series_exemplar(find("/"), 1, &e));
	ck_assert(!oa_series_exemplar(find("/"), 0, &e));
	ck_assert_mem_eq(e.trace_id, trace, 16);
	ck_assert_mem_eq(e.span_id, span, 8);
	ck_assert_uint_eq(e.value, 6 * MS);
	ck_assert_uint_eq(e.unix_ns, 42);
}
END_TEST

START_TEST(an_exemplar_is_replaced_when_it_is_a_millisecond_old)
{
	static const uint8_t first[16] = { 1 }, second[16] = { 2 }, span[8] = { 1 };
	struct oa_label_set set = labels_of("/");
	struct oa_exemplar e;

	oa_series_record(table, 10, INS, &set, 0, first, span, 5 * MS);
	oa_series_record(table, 10, INS, &set, 0, second, span, 6 * MS - 1);
	ck_assert(oa_series_exemplar(find("/"), 0, &e));
	ck_assert_mem_eq(e.trace_id, first, 16);
	oa_series_record(table, 10, INS, &set, 0, second, span, 6 * MS);
	ck_assert(oa_series_exemplar(find("/"), 0, &e));
	ck_assert_mem_eq(e.trace_id, second, 16);
	oa_series_record(table, 10, INS, &set, 0, first, span, 1); /* the clock was set back */
	ck_assert(oa_series_exemplar(find("/"), 0, &e));
	ck_assert_mem_eq(e.trace_id, first, 16);
}
END_TEST

START_TEST(an_exemplar_that_is_being_written_is_not_read_and_not_waited_for)
{
	static const uint8_t trace[16] = { 1 }, span[8] = { 1 };
	struct oa_label_set set = labels_of("/");
	struct oa_exemplar e;

	oa_series_record(table, 10, INS, &set, 0, trace, span, 1);
	((struct oa_series *)find("/"))->exemplar[0].seq++;
	oa_series_record(table, 10, INS, &set, 0, trace, span, 2);
	ck_assert(!oa_series_exemplar(find("/"), 0, &e));
	ck_assert_uint_eq(count_of(find("/")), 2);
}
END_TEST

static _Atomic int stop;

static void *write_exemplars(void *arg)
{
	uint8_t trace[16], span[8];
	struct oa_label_set set = labels_of("/");

	for (unsigned i = 0; !stop; i++) {
		uint64_t value = i % 5 * MS;

		memset(trace, (int)(i % 5), sizeof(trace));
		memset(span, (int)(i % 5), sizeof(span));
		oa_series_record(table, 10, INS, &set, value, trace, span, value);
	}
	return arg;
}

START_TEST(an_exemplar_is_never_a_mix_of_two)
{
	pthread_t threads[2];
	const struct oa_series *series;
	struct oa_exemplar e;
	unsigned seen = 0;

	record("/", 10, 0);
	series = find("/");
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, write_exemplars, NULL);
	while (seen < 1000000) {
		if (!oa_series_exemplar(series, 0, &e))
			continue;
		seen++;
		for (unsigned i = 0; i < 16; i++)
			if (e.trace_id[i] * MS != e.value || e.span_id[i / 2] * MS != e.value || e.unix_ns != e.value)
				ck_abort_msg("a mix after %u", seen);
	}
	stop = 1;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(what_is_counted_before_there_is_a_slot_moves_into_it_once)
{
	oa_stat_add(OA_STAT_scrapes, 3);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes), 3);
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_tree_claim(), 0);
	ck_assert_uint_eq(oa_self->stat[OA_STAT_scrapes], 3);
	oa_stat_inc(OA_STAT_scrapes);
	oa_stat_settle();
	ck_assert_uint_eq(oa_self->stat[OA_STAT_scrapes], 4);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes), 4);
}
END_TEST

START_TEST(a_forked_child_drops_the_parents_early_counts)
{
	oa_stat_add(OA_STAT_scrapes, 3);
	oa_stat_forget();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes), 0);
}
END_TEST

START_TEST(sums_go_over_all_slots_of_the_tree)
{
	ck_assert_int_eq(oa_tree_map(), 0);
	oa_tree->procs[5].stat[OA_STAT_orphans] = 2;
	oa_tree->procs[OA_PROCS_MAX - 1].stat[OA_STAT_orphans] = 3;
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_orphans), 5);
}
END_TEST

START_TEST(counters_of_injections_are_named_as_the_results_are)
{
	static const char *const names[] = {
#define OA_INJECT(id, name, help) name,
#include "core/inject_result.def"
#undef OA_INJECT
	};

	for (unsigned r = OA_INJECT_DONE; r < OA_INJECT_COUNT; r++) {
		struct oa_stat_info info = oa_stat_info(OA_STAT_inject_DONE + r - OA_INJECT_DONE);

		ck_assert_str_eq(info.metric, "otelauto_injections");
		ck_assert_str_eq(info.value, names[r]);
	}
}
END_TEST

START_TEST(lines_of_one_counter_stand_together_and_the_first_has_the_help)
{
	for (unsigned i = 0; i < OA_STAT_COUNT; i++) {
		bool first = i == 0 || strcmp(oa_stat_info(i).metric, oa_stat_info(i - 1).metric) != 0;

		ck_assert_int_eq(first, oa_stat_info(i).help[0] != '\0');
		for (unsigned k = 0; first && k < i; k++)
			ck_assert_str_ne(oa_stat_info(k).metric, oa_stat_info(i).metric);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("series");
	TCase *c = tcase_create("series"), *stats = tcase_create("stats");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, equal_labels_make_one_series);
	tcase_add_test(c, the_same_labels_of_another_instrument_are_another_series);
	tcase_add_test(c, a_value_on_a_bound_lies_in_the_bucket_of_that_bound);
	tcase_add_test(c, bounds_and_limits_say_the_same);
	tcase_add_test(c, past_the_limit_measurements_go_to_the_overflow_series_of_their_instrument);
	tcase_add_test(c, labels_that_do_not_fit_go_to_the_overflow_series);
	tcase_add_test(c, label_values_become_utf8_before_they_are_compared);
	tcase_add_test(c, a_slot_whose_writer_was_killed_is_given_up_and_blocks_nobody);
	tcase_add_test(c, a_killed_writer_does_not_use_up_the_limit);
	tcase_add_test(c, a_writer_that_is_overtaken_does_not_use_up_the_limit_of_its_stream);
	tcase_add_test(c, several_writers_lose_nothing_and_make_no_series_twice);
	tcase_add_test(c, a_killed_process_leaves_a_table_that_others_go_on_with);
	tcase_add_test(c, an_exemplar_is_kept_with_the_bucket_of_its_value);
	tcase_add_test(c, an_exemplar_is_replaced_when_it_is_a_millisecond_old);
	tcase_add_test(c, an_exemplar_that_is_being_written_is_not_read_and_not_waited_for);
	tcase_add_test(c, an_exemplar_is_never_a_mix_of_two);
	suite_add_tcase(s, c);
	tcase_add_test(stats, what_is_counted_before_there_is_a_slot_moves_into_it_once);
	tcase_add_test(stats, a_forked_child_drops_the_parents_early_counts);
	tcase_add_test(stats, sums_go_over_all_slots_of_the_tree);
	tcase_add_test(stats, counters_of_injections_are_named_as_the_results_are);
	tcase_add_test(stats, lines_of_one_counter_stand_together_and_the_first_has_the_help);
	suite_add_tcase(s, stats);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
