/* Objects by index: none handed out twice, none lost, none unmapped. */
#include "conn/pool.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define OBJECT_BYTES 40

static struct oa_pool pool = OA_POOL(OBJECT_BYTES, 3, 100);

static uint8_t *at(int64_t index)
{
	return oa_pool_at(&pool, (uint32_t)index);
}

START_TEST(pool_hands_out_each_object_once_and_no_more_than_its_maximum)
{
	bool seen[100] = { false };

	for (int i = 0; i < 100; i++) {
		int64_t index = oa_pool_take(&pool);

		ck_assert_int_ge(index, 0);
		ck_assert_int_lt(index, 100);
		ck_assert(!seen[index]);
		seen[index] = true;
	}
	ck_assert_int_eq(oa_pool_take(&pool), -1);
	ck_assert_int_eq(oa_pool_take(&pool), -1);
	oa_pool_give(&pool, 57);
	ck_assert_int_eq(oa_pool_take(&pool), 57);
	ck_assert_int_eq(oa_pool_take(&pool), -1);
}
END_TEST

START_TEST(pool_objects_do_not_overlap)
{
	for (int i = 0; i < 100; i++) {
		int64_t index = oa_pool_take(&pool);

		memset(at(index), (int)index + 1, OBJECT_BYTES);
	}
	for (int i = 0; i < 100; i++)
		for (int k = 0; k < OBJECT_BYTES; k++)
			ck_assert_uint_eq(at(i)[k], (uint8_t)(i + 1));
}
END_TEST

START_TEST(pool_leaves_a_returned_object_readable_and_all_but_its_first_four_bytes_alone)
{
	int64_t index = oa_pool_take(&pool);

	memset(at(index), 0x5a, OBJECT_BYTES);
	oa_pool_give(&pool, (uint32_t)index);
	for (int k = 4; k < OBJECT_BYTES; k++)
		ck_assert_uint_eq(at(index)[k], 0x5a);
	ck_assert_int_eq(oa_pool_take(&pool), index);
	for (int k = 4; k < OBJECT_BYTES; k++)
		ck_assert_uint_eq(at(index)[k], 0x5a);
}
END_TEST

/* -- many threads -- */

#define THREADS 4
#define ROUNDS 30000
#define HELD 8

static struct oa_pool small = OA_POOL(16, 2, THREADS * HELD - 3); /* not enough for all at once */
static _Atomic int owner[THREADS * HELD];
static _Atomic int clashes, refused;

static void *take_and_give(void *arg)
{
	int me = (int)(intptr_t)arg + 1;

	for (int round = 0; round < ROUNDS; round++) {
		int64_t held[HELD];

		for (int i = 0; i < HELD; i++) {
			int none = 0;

			held[i] = oa_pool_take(&small);
			if (held[i] < 0)
				refused++;
			else if (!atomic_compare_exchange_strong(&owner[held[i]], &none, me))
				clashes++;
		}
		for (int i = 0; i < HELD; i++) {
			if (held[i] < 0)
				continue;
			atomic_store(&owner[held[i]], 0);
			oa_pool_give(&small, (uint32_t)held[i]);
		}
	}
	return NULL;
}

START_TEST(pool_threads_never_hold_the_same_object_and_lose_none)
{
	pthread_t t[THREADS];

	for (intptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, take_and_give, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(clashes, 0);
	for (int i = 0; i < THREADS * HELD - 3; i++)
		ck_assert_int_ge(oa_pool_take(&small), 0);
	ck_assert_int_eq(oa_pool_take(&small), -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("pool");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, pool_hands_out_each_object_once_and_no_more_than_its_maximum);
	tcase_add_test(tc, pool_objects_do_not_overlap);
	tcase_add_test(tc, pool_leaves_a_returned_object_readable_and_all_but_its_first_four_bytes_alone);
	tcase_add_test(tc, pool_threads_never_hold_the_same_object_and_lose_none);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
