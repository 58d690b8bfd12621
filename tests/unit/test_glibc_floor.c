/* Functions of libc found without dlsym(), against what dlsym() says. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/glibc_floor.h"
#include "core/wrap.h"

START_TEST(every_function_of_libc_is_found_where_dlsym_finds_it)
{
	static const char *const names[] = {
		"dlsym", "dlopen", "pthread_create", "pthread_cond_wait", "memfd_create", "read", "__poll_chk",
	};
	/* By handle, because a sanitizer's functions come first in the loader's order. */
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	ck_assert_ptr_nonnull(libc);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_ptr_nonnull(oa_floor_find(names[i]));
		ck_assert_ptr_eq(oa_floor_find(names[i]), dlsym(libc, names[i]));
	}
}
END_TEST

START_TEST(names_that_libc_lacks_are_not_found)
{
	ck_assert_ptr_null(oa_floor_find("no_such_function"));
	ck_assert_ptr_null(oa_floor_find(""));
	/* In libcheck or this program, not in libc. */
	ck_assert_ptr_null(oa_floor_find("main"));
}
END_TEST

START_TEST(the_next_functions_are_those_that_dlsym_finds_next)
{
	static const char names[] = "read\0no_such_function\0dlsym\0";
	void *_Atomic table[] = { NULL, table, NULL };
	uint64_t found = 0;

	ck_assert(oa_floor_find_next(names, 3, table, &found));
	ck_assert_uint_eq(found & 3, 1);
	ck_assert_ptr_eq(table[0], dlsym(RTLD_NEXT, "read"));
	ck_assert_ptr_eq(table[1], table);
}
END_TEST

/* libsubunit comes behind the program in the loader's order. */
START_TEST(what_another_library_defines_is_found_there)
{
	void *_Atomic table[] = { NULL };
	uint64_t found = 0;

	ck_assert(oa_floor_find_next("subunit_test_start\0", 1, table, &found));
	ck_assert_uint_eq(found, dlsym(RTLD_NEXT, "subunit_test_start") != NULL);
	ck_assert_ptr_eq(table[0], dlsym(RTLD_NEXT, "subunit_test_start"));
	ck_assert(!oa_floor_is_before_us("main"));
	ck_assert(!oa_floor_is_before_us("read"));
}
END_TEST

#define STACK_BYTES (1u << 20) /* sanitizers need much of it */

static void *note_thread(void *arg)
{
	*(pthread_t *)arg = pthread_self();
	return arg;
}

#ifndef __SANITIZE_THREAD__ /* it would not have heard of that thread */
START_TEST(a_thread_starts_and_has_its_name_stack_and_key)
{
	pthread_attr_t attr;
	pthread_t thread, inside = 0;
	pthread_key_t key;
	void *at;
	size_t bytes;

	ck_assert_int_eq(pthread_attr_init(&attr), 0);
	ck_assert_int_eq(__wrap_pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
	ck_assert_int_eq(__wrap_pthread_attr_getstack(&attr, &at, &bytes), 0);
	ck_assert_uint_eq(bytes, STACK_BYTES);
	ck_assert_int_eq(__wrap_pthread_create(&thread, &attr, note_thread, &inside), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(pthread_equal(thread, inside));

	ck_assert_int_eq(__wrap_pthread_key_create(&key, NULL), 0);
	ck_assert_int_eq(__wrap_pthread_setspecific(key, &key), 0);
	ck_assert_ptr_eq(__wrap_pthread_getspecific(key), &key);
}
END_TEST
#endif

START_TEST(blocking_all_signals_blocks_what_libc_would_block)
{
	sigset_t all, before, ours, libcs;

	sigfillset(&all);
	sigemptyset(&before);
	sigemptyset(&ours);
	sigemptyset(&libcs);
	ck_assert_int_eq(__wrap_pthread_sigmask(SIG_SETMASK, &all, &before), 0);
	ck_assert_int_eq(__wrap_pthread_sigmask(SIG_SETMASK, &before, &ours), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &before, &libcs), 0);
	for (int number = 1; number < 65; number++)
		ck_assert_int_eq(sigismember(&ours, number), sigismember(&libcs, number));
	ck_assert_int_eq(__wrap_pthread_sigmask(77, &all, NULL), EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("glibc_floor");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_function_of_libc_is_found_where_dlsym_finds_it);
	tcase_add_test(tc, names_that_libc_lacks_are_not_found);
	tcase_add_test(tc, the_next_functions_are_those_that_dlsym_finds_next);
	tcase_add_test(tc, what_another_library_defines_is_found_there);
#ifndef __SANITIZE_THREAD__
	tcase_add_test(tc, a_thread_starts_and_has_its_name_stack_and_key);
#endif
	tcase_add_test(tc, blocking_all_signals_blocks_what_libc_would_block);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
