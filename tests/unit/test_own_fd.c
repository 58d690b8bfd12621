#include "core/own_fd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/thread.h"

static int fds[2], own, seen, missing;
static bool has_own;

static void *side(void *arg)
{
	(void)arg;
	oa_tls.guard_sp = OA_GUARD_SIDE_THREAD;
	has_own = oa_own_fd_table();
	own = open("/dev/null", O_RDONLY | O_CLOEXEC);
	seen = oa_host_fd_borrow(fds[1]);
	if (seen >= 0 && write(seen, "x", 1) != 1)
		seen = -EIO;
	oa_host_fd_return(seen);
	missing = oa_host_fd_borrow(1234);
	return NULL;
}

/* The host's numbers from 3 on, one of which is what the borrowed one gets in our table too. */
static int low[8], low_left;

static void *side_with_low_numbers(void *arg)
{
	(void)arg;
	oa_tls.guard_sp = OA_GUARD_SIDE_THREAD;
	has_own = oa_own_fd_table();
	for (unsigned i = 0; i < 8; i++) {
		seen = oa_host_fd_borrow(low[i]);
		oa_host_fd_return(seen);
		if (seen >= 0 && fcntl(seen, F_GETFD) >= 0)
			low_left++;
	}
	return NULL;
}

static void run(void)
{
	pthread_t t;

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(pthread_create(&t, NULL, side, NULL), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
}

START_TEST(what_is_borrowed_is_given_back_whatever_its_number)
{
	pthread_t t;

	for (unsigned i = 0; i < 8; i++)
		low[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(pthread_create(&t, NULL, side_with_low_numbers, NULL), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	if (!has_own)
		return;
	ck_assert_int_eq(low_left, 0);
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_ge(fcntl(low[i], F_GETFD), 0);
}
END_TEST

START_TEST(own_table_takes_no_number_of_the_hosts_and_closes_none)
{
	int before, after;

	before = dup(0);
	ck_assert_int_ge(before, 0);
	close(before);
	run();
	if (!has_own)
		return; /* a kernel before 5.9 */
	ck_assert_int_ge(own, 0);
	ck_assert_int_ge(fcntl(fds[0], F_GETFD), 0);
	ck_assert_int_ge(fcntl(fds[1], F_GETFD), 0);
	close(fds[0]);
	close(fds[1]);
	after = dup(0);
	ck_assert_int_eq(after, before);
}
END_TEST

START_TEST(own_table_still_reaches_the_hosts_descriptors)
{
	char byte;

	run();
	ck_assert_int_eq(missing, -EBADF);
	if (seen == -EPERM)
		return; /* pidfd_getfd is not allowed here */
	ck_assert_int_ge(seen, 0);
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 'x');
	/* The copy is gone: closing ours ends the pipe. */
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &byte, 1), 0);
}
END_TEST

START_TEST(threads_of_the_host_see_their_own_numbers)
{
	run();
	ck_assert_int_eq(oa_host_fd_borrow(fds[0]), fds[0]);
	oa_host_fd_return(fds[0]);
	ck_assert_int_ge(fcntl(fds[0], F_GETFD), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("own_fd");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, what_is_borrowed_is_given_back_whatever_its_number);
	tcase_add_test(tc, own_table_takes_no_number_of_the_hosts_and_closes_none);
	tcase_add_test(tc, own_table_still_reaches_the_hosts_descriptors);
	tcase_add_test(tc, threads_of_the_host_see_their_own_numbers);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
