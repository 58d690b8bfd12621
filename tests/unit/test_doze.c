/* Our thread's sleep, and what wakes it. A doze of a minute that comes back at all was woken. */
#include <check.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/doze.h"
#include "core/tree.h"

#define MINUTE_MS   60000
#define PATIENCE_NS 20000000000ull

static void fresh(void)
{
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_tree_claim(), 0);
	oa_doze_forget();
}

static void *dozes(void *arg)
{
	*(_Atomic int *)arg = oa_doze(MINUTE_MS) ? 1 : 2;
	return NULL;
}

static void wait_until_set(_Atomic uint32_t *what)
{
	uint64_t until = oa_now_ns() + PATIENCE_NS;

	while (!atomic_load(what)) {
		ck_assert_uint_lt(oa_now_ns(), until);
		usleep(100);
	}
}

static void push(unsigned shard, unsigned slots)
{
	struct oa_span rec = { .bytes = (uint16_t)sizeof(rec) };

	ck_assert_uint_le(sizeof(rec), OA_SLOT_BYTES);
	for (unsigned i = 0; i < slots; i++)
		ck_assert(oa_ring_push(oa_proc_ring(oa_self, shard), &rec));
}

START_TEST(it_ends_by_itself)
{
	fresh();
	ck_assert(!oa_doze(1));
	ck_assert_uint_eq(oa_dozing, 0);
}
END_TEST

static void *dozes_briefly(void *arg)
{
	*(_Atomic int *)arg = oa_doze_briefly(MINUTE_MS) ? 1 : 2;
	return NULL;
}

START_TEST(a_brief_one_asks_nothing_of_the_host_and_ends_when_it_must)
{
	_Atomic int woken = 0;
	pthread_t thread;

	fresh();
	ck_assert_int_eq(pthread_create(&thread, NULL, dozes_briefly, &woken), 0);
	push(0, oa_proc_ring(oa_self, 0)->slots / 2);
	ck_assert_uint_eq(oa_dozing, 0);
	ck_assert_int_eq(woken, 0);
	oa_doze_end();
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(woken, 1);
}
END_TEST

START_TEST(who_comes_first_is_not_missed)
{
	fresh();
	oa_doze_end();
	ck_assert(oa_doze(MINUTE_MS));
	ck_assert(!oa_doze(1));
}
END_TEST

START_TEST(it_is_ended)
{
	_Atomic int result = 0;
	pthread_t thread;

	fresh();
	pthread_create(&thread, NULL, dozes, (void *)&result);
	wait_until_set(&oa_dozing);
	oa_doze_end();
	pthread_join(thread, NULL);
	ck_assert_int_eq(result, 1);
}
END_TEST

START_TEST(a_ring_that_fills_ends_it)
{
	struct oa_ring *r;
	_Atomic int result = 0;
	pthread_t thread;

	fresh();
	r = oa_proc_ring(oa_self, 0);
	pthread_create(&thread, NULL, dozes, (void *)&result);
	wait_until_set(&oa_dozing);
	push(0, OA_RING_SLOTS / 4 - 1);
	oa_doze_look(r);
	ck_assert_uint_eq(oa_dozing, 1);
	push(0, 1);
	oa_doze_look(r);
	ck_assert_uint_eq(oa_dozing, 0); /* once */
	pthread_join(thread, NULL);
	ck_assert_int_eq(result, 1);
}
END_TEST

START_TEST(records_pushed_by_host_threads_end_it)
{
	struct oa_span rec = { .bytes = (uint16_t)sizeof(rec) };
	_Atomic int result = 0;
	pthread_t thread;

	fresh();
	pthread_create(&thread, NULL, dozes, (void *)&result);
	wait_until_set(&oa_dozing);
	for (unsigned i = 0; i < OA_RING_SLOTS / 4 * OA_SHARDS_MAX && atomic_load(&oa_dozing); i++)
		ck_assert(oa_tree_push(&rec));
	pthread_join(thread, NULL);
	ck_assert_int_eq(result, 1);
}
END_TEST

START_TEST(another_process_of_the_tree_ends_it)
{
	uint64_t until = oa_now_ns() + PATIENCE_NS;
	int ready[2], status;
	pid_t child;
	char c;

	fresh();
	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	if (!child) {
		oa_doze_forget();
		oa_tree_forget();
		if (oa_tree_claim() || write(ready[1], "x", 1) != 1)
			_exit(2);
		_exit(oa_doze(MINUTE_MS) ? 0 : 1);
	}
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	oa_doze_end_of((uint32_t)child);
	while (waitpid(child, &status, WNOHANG) == 0) {
		ck_assert_uint_lt(oa_now_ns(), until);
		usleep(1000);
	}
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	ck_assert(!oa_doze(1)); /* nobody else's */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("core");
	TCase *tc = tcase_create("doze");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, tc);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, it_ends_by_itself);
	tcase_add_test(tc, a_brief_one_asks_nothing_of_the_host_and_ends_when_it_must);
	tcase_add_test(tc, who_comes_first_is_not_missed);
	tcase_add_test(tc, it_is_ended);
	tcase_add_test(tc, a_ring_that_fills_ends_it);
	tcase_add_test(tc, records_pushed_by_host_threads_end_it);
	tcase_add_test(tc, another_process_of_the_tree_ends_it);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
