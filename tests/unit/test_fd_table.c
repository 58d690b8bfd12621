/* Which descriptor means what: any number may be asked about, few cost memory. */
#include "conn/fd_table.h"

#include <check.h>
#include <limits.h>
#include <pthread.h>

static void track(int fd)
{
	struct oa_fd *slot = oa_fd_get(fd);

	ck_assert_ptr_nonnull(slot);
	atomic_store(&slot->kind, OA_FD_WAKE);
}

START_TEST(fd_table_knows_nothing_and_maps_nothing_until_a_descriptor_is_tracked)
{
	for (int fd = -2; fd < 5000; fd++) {
		ck_assert_ptr_null(oa_fd_peek(fd));
		ck_assert(!oa_fd_tracked(fd));
	}
	ck_assert_int_eq(oa_fd_next(0, -1), -1);
	track(7);
	ck_assert(oa_fd_tracked(7));
	ck_assert(!oa_fd_tracked(6));
	ck_assert(!oa_fd_tracked(8));
	ck_assert_ptr_nonnull(oa_fd_peek(OA_FD_CHUNK - 1));
	ck_assert_ptr_null(oa_fd_peek(OA_FD_CHUNK)); /* the next chunk is not there yet */
}
END_TEST

START_TEST(fd_table_declines_numbers_that_no_descriptor_has_or_that_are_too_high)
{
	static const int bad[] = { -1, INT_MIN, OA_FDS_MAX, OA_FDS_MAX + 1, INT_MAX };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_ptr_null(oa_fd_get(bad[i]));
		ck_assert_ptr_null(oa_fd_peek(bad[i]));
		ck_assert(!oa_fd_tracked(bad[i]));
	}
	track(OA_FDS_MAX - 1);
	ck_assert(oa_fd_tracked(OA_FDS_MAX - 1));
}
END_TEST

START_TEST(fd_table_gives_the_same_slot_for_a_number_for_life)
{
	struct oa_fd *slot = oa_fd_get(3000);

	ck_assert_ptr_eq(oa_fd_get(3000), slot);
	ck_assert_ptr_eq(oa_fd_peek(3000), slot);
	ck_assert_ptr_eq(oa_fd_get(3001), slot + 1);
	ck_assert_ptr_ne(oa_fd_get(3000 + OA_FD_CHUNK), slot);
}
END_TEST

START_TEST(fd_table_walks_tracked_descriptors_in_order_within_bounds)
{
	track(3);
	track(OA_FD_CHUNK - 1);
	track(5 * OA_FD_CHUNK);
	ck_assert_int_eq(oa_fd_next(0, -1), 3);
	ck_assert_int_eq(oa_fd_next(3, -1), 3);
	ck_assert_int_eq(oa_fd_next(4, -1), OA_FD_CHUNK - 1);
	ck_assert_int_eq(oa_fd_next(OA_FD_CHUNK, -1), 5 * OA_FD_CHUNK);
	ck_assert_int_eq(oa_fd_next(5 * OA_FD_CHUNK + 1, -1), -1);
	ck_assert_int_eq(oa_fd_next(4, OA_FD_CHUNK - 2), -1);
	ck_assert_int_eq(oa_fd_next(4, OA_FD_CHUNK - 1), OA_FD_CHUNK - 1);
	ck_assert_int_eq(oa_fd_next(OA_FD_CHUNK, INT_MAX), 5 * OA_FD_CHUNK);
	ck_assert_int_eq(oa_fd_next(-5, -1), -1);
	ck_assert_int_eq(oa_fd_next(OA_FDS_MAX, INT_MAX), -1);
}
END_TEST

#define THREADS 4

static pthread_barrier_t start;

static void *map_same(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&start);
	return oa_fd_get(9 * OA_FD_CHUNK + 5);
}

START_TEST(fd_table_threads_that_meet_a_new_range_agree_on_its_slots)
{
	pthread_t t[THREADS];
	void *slot;

	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, map_same, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &slot);
		ck_assert_ptr_eq(slot, oa_fd_peek(9 * OA_FD_CHUNK + 5));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("fd_table");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, fd_table_knows_nothing_and_maps_nothing_until_a_descriptor_is_tracked);
	tcase_add_test(tc, fd_table_declines_numbers_that_no_descriptor_has_or_that_are_too_high);
	tcase_add_test(tc, fd_table_gives_the_same_slot_for_a_number_for_life);
	tcase_add_test(tc, fd_table_walks_tracked_descriptors_in_order_within_bounds);
	tcase_add_test(tc, fd_table_threads_that_meet_a_new_range_agree_on_its_slots);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
