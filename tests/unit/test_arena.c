/* The side thread's private heap. */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/limits.h"

static bool all_bytes_are(const unsigned char *at, int value, size_t count)
{
	while (count && at[count - 1] == value)
		count--;
	return count == 0;
}

static void start_anew(void) { oa_arena_forget(); }

START_TEST(blocks_of_every_size_are_aligned_and_apart)
{
	enum { COUNT = 600 };
	static unsigned char *blocks[COUNT];

	for (size_t i = 0; i < COUNT; i++) {
		size_t bytes = i * i / 2;

		blocks[i] = oa_arena_alloc(bytes);
		ck_assert_ptr_nonnull(blocks[i]);
		ck_assert_uint_eq((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)(i & 0xff), bytes);
	}
	for (size_t i = 0; i < COUNT; i++) {
		ck_assert(all_bytes_are(blocks[i], (int)(i & 0xff), i * i / 2));
		oa_arena_free(blocks[i]);
	}
	ck_assert_uint_eq(oa_arena_used_bytes(), 0);
}
END_TEST

START_TEST(freed_memory_is_used_again_without_asking_the_kernel)
{
	size_t mapped;

	oa_arena_free(oa_arena_alloc(1000));
	mapped = oa_arena_mapped_bytes();
	for (int i = 0; i < 100000; i++)
		oa_arena_free(oa_arena_alloc(1000));
	ck_assert_uint_eq(oa_arena_mapped_bytes(), mapped);
}
END_TEST

START_TEST(large_blocks_go_back_to_the_kernel)
{
	size_t before = oa_arena_mapped_bytes();
	char *large = oa_arena_alloc(5 << 20);

	ck_assert_ptr_nonnull(large);
	large[(5 << 20) - 1] = 1;
	ck_assert_uint_gt(oa_arena_mapped_bytes(), before + (5 << 20));
	oa_arena_free(large);
	ck_assert_uint_eq(oa_arena_mapped_bytes(), before);
}
END_TEST

START_TEST(a_large_block_that_is_asked_for_again_and_again_is_the_same_until_there_is_nothing_to_do)
{
	size_t before = oa_arena_mapped_bytes(), after;
	char *large = oa_arena_alloc(500000);

	large[499999] = 1;
	oa_arena_free(large);
	after = oa_arena_mapped_bytes();
	ck_assert_uint_gt(after, before);
	ck_assert_ptr_eq(oa_arena_alloc(500000), large);
	oa_arena_free(large);
	ck_assert_ptr_eq(oa_arena_alloc(300000), large);
	oa_arena_free(large);
	ck_assert_ptr_ne(oa_arena_alloc(200000), large); /* most of it would lie idle */
	oa_arena_trim();
	ck_assert_uint_lt(oa_arena_mapped_bytes(), after);
}
END_TEST

START_TEST(few_large_blocks_are_kept)
{
	void *blocks[40];

	for (unsigned i = 0; i < 40; i++)
		blocks[i] = oa_arena_alloc(600000);
	for (unsigned i = 0; i < 40; i++)
		oa_arena_free(blocks[i]);
	ck_assert_uint_eq(oa_arena_used_bytes(), 0);
	ck_assert_uint_lt(oa_arena_mapped_bytes(), 3 << 20);
	oa_arena_trim();
	ck_assert_uint_lt(oa_arena_mapped_bytes(), 600000);
}
END_TEST

START_TEST(beyond_the_limit_there_is_null_and_afterwards_it_goes_on)
{
	void *list = NULL, *at;
	size_t count = 0;

	while ((at = oa_arena_alloc(100000))) {
		*(void **)at = list;
		list = at;
		count++;
	}
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_le(oa_arena_mapped_bytes(), OA_ARENA_MAX);
	ck_assert_uint_gt(count, OA_ARENA_MAX / 110000);
	ck_assert_ptr_null(oa_arena_alloc(SIZE_MAX));
	ck_assert_ptr_null(oa_arena_alloc(SIZE_MAX - 8));
	while (list) {
		at = *(void **)list;
		oa_arena_free(list);
		list = at;
	}
	ck_assert_ptr_nonnull(oa_arena_alloc(100000));
}
END_TEST

START_TEST(a_resized_block_keeps_what_it_held)
{
	static const size_t sizes[] = { 1, 40, 5000, 40000, 1 << 20, 300, 17, 0, 3 };
	unsigned char *block = oa_arena_resize(NULL, 10);
	size_t held = 10;

	memset(block, 'a', held);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		block = oa_arena_resize(block, sizes[i]);
		ck_assert_ptr_nonnull(block);
		ck_assert(all_bytes_are(block, 'a' + (int)i, held < sizes[i] ? held : sizes[i]));
		held = sizes[i];
		memset(block, 'b' + (int)i, held);
	}
	ck_assert_ptr_null(oa_arena_resize(block, OA_ARENA_MAX + 1));
	ck_assert(all_bytes_are(block, 'a' + sizeof(sizes) / sizeof(sizes[0]), held));
}
END_TEST

START_TEST(memory_of_another_allocator_is_left_alone)
{
	char *theirs = malloc(200), *foreign = theirs + 64; /* in front of it is memory whatever the allocator */

	strcpy(foreign, "theirs");
	oa_arena_free(foreign);
	oa_arena_free(foreign);
	ck_assert_str_eq(foreign, "theirs");
	ck_assert_ptr_null(oa_arena_resize(foreign, 200));
	free(theirs);
	oa_arena_free(NULL);
}
END_TEST

START_TEST(a_block_freed_twice_is_not_handed_out_twice)
{
	void *a = oa_arena_alloc(64), *b, *c;

	oa_arena_free(a);
	oa_arena_free(a);
	b = oa_arena_alloc(64);
	c = oa_arena_alloc(64);
	ck_assert_ptr_ne(b, c);
}
END_TEST

/* What a child may do with the arena that fork() gave it. */
static int child_of_fork(char *old)
{
	char *fresh;

	oa_arena_forget();
	if (oa_arena_used_bytes() || strcmp(old, "parent"))
		return 1;
	oa_arena_free(old);
	if (strcmp(old, "parent"))
		return 2;
	fresh = oa_arena_alloc(50);
	if (!fresh || fresh == old)
		return 3;
	old = oa_arena_resize(old, 100000);
	return old && !strcmp(old, "parent") ? 0 : 4;
}

START_TEST(a_forked_child_starts_anew_and_still_reads_the_old_blocks)
{
	char *old = oa_arena_alloc(50);
	int status;
	pid_t pid;

	strcpy(old, "parent");
	pid = fork();
	if (pid == 0)
		_exit(child_of_fork(old));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("arena");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, start_anew, NULL);
	tcase_add_test(tc, blocks_of_every_size_are_aligned_and_apart);
	tcase_add_test(tc, freed_memory_is_used_again_without_asking_the_kernel);
	tcase_add_test(tc, large_blocks_go_back_to_the_kernel);
	tcase_add_test(tc, a_large_block_that_is_asked_for_again_and_again_is_the_same_until_there_is_nothing_to_do);
	tcase_add_test(tc, few_large_blocks_are_kept);
	tcase_add_test(tc, beyond_the_limit_there_is_null_and_afterwards_it_goes_on);
	tcase_add_test(tc, a_resized_block_keeps_what_it_held);
	tcase_add_test(tc, memory_of_another_allocator_is_left_alone);
	tcase_add_test(tc, a_block_freed_twice_is_not_handed_out_twice);
	tcase_add_test(tc, a_forked_child_starts_anew_and_still_reads_the_old_blocks);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
