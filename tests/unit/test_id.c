/* Ids that never repeat, not even after a fork, and the text they travel as. */
#include "core/id.h"

#include <check.h>
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLES 100000

static int by_value(const void *a, const void *b)
{
	return memcmp(a, b, 8);
}

START_TEST(id_spans_do_not_repeat)
{
	uint64_t *ids = calloc(SAMPLES, sizeof(*ids));

	for (int i = 0; i < SAMPLES; i++) {
		oa_id_span((uint8_t *)&ids[i]);
		ck_assert_uint_ne(ids[i], 0);
	}
	qsort(ids, SAMPLES, sizeof(*ids), by_value);
	for (int i = 1; i < SAMPLES; i++)
		ck_assert_uint_ne(ids[i], ids[i - 1]);
	free(ids);
}
END_TEST

START_TEST(id_traces_are_random_in_every_bit)
{
	unsigned ones[128] = { 0 };

	for (int i = 0; i < SAMPLES; i++) {
		uint8_t id[16];

		oa_id_trace(id);
		for (int bit = 0; bit < 128; bit++)
			ones[bit] += id[bit / 8] >> (bit % 8) & 1;
	}
	/* Seven standard deviations of a fair coin: 7 * sqrt(n) / 2 */
	for (int bit = 0; bit < 128; bit++) {
		ck_assert_uint_gt(ones[bit], SAMPLES / 2 - 1107);
		ck_assert_uint_lt(ones[bit], SAMPLES / 2 + 1107);
	}
}
END_TEST

static void *first_of_thread(void *arg)
{
	*(uint64_t *)arg = oa_id_random();
	return NULL;
}

START_TEST(id_threads_have_sequences_of_their_own)
{
	uint64_t first[8];

	for (int i = 0; i < 8; i++) {
		pthread_t t;

		ck_assert_int_eq(pthread_create(&t, NULL, first_of_thread, &first[i]), 0);
		pthread_join(t, NULL);
		for (int k = 0; k < i; k++)
			ck_assert_uint_ne(first[i], first[k]);
	}
}
END_TEST

static uint64_t next_of_child(void)
{
	uint64_t id = 0;
	int p[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(p), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		oa_id_reseed();
		id = oa_id_random();
		_exit(write(p[1], &id, sizeof(id)) != sizeof(id));
	}
	ck_assert_int_eq(read(p[0], &id, sizeof(id)), sizeof(id));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(p[0]);
	close(p[1]);
	return id;
}

START_TEST(id_child_that_reseeds_goes_its_own_way)
{
	uint64_t child, other, mine;

	oa_id_random();
	child = next_of_child();
	other = next_of_child();
	mine = oa_id_random();
	ck_assert_uint_ne(child, mine);
	ck_assert_uint_ne(other, mine);
	ck_assert_uint_ne(child, other);
}
END_TEST

START_TEST(id_hex_goes_there_and_back)
{
	uint8_t id[16], back[16];
	char text[33] = { 0 };

	for (unsigned len = 1; len <= 16; len++) {
		oa_id_trace(id);
		oa_hex(text, id, len);
		for (unsigned i = 0; i < 2 * len; i++)
			ck_assert(isxdigit(text[i]) && !isupper(text[i]));
		memset(back, 0, sizeof(back));
		ck_assert_int_eq(oa_unhex(back, (uint8_t *)text, len), 0);
		ck_assert_mem_eq(back, id, len);
	}
}
END_TEST

static int digit(unsigned c)
{
	return c >= '0' && c <= '9' ? (int)(c - '0') : c >= 'a' && c <= 'f' ? (int)(c - 'a' + 10) : -1;
}

/* Every pair of bytes, in the first and the last place of a span id. */
START_TEST(id_unhex_takes_lower_case_digits_and_nothing_else)
{
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			uint8_t text[16], id[8] = { 0 };
			int want = digit(a) < 0 || digit(b) < 0 ? -1 : digit(a) * 16 + digit(b);

			for (unsigned place = 0; place <= 14; place += 14) {
				memset(text, '0', sizeof(text));
				text[place] = (uint8_t)a;
				text[place + 1] = (uint8_t)b;
				ck_assert_int_eq(oa_unhex(id, text, 8), want < 0 ? -EINVAL : 0);
				if (want >= 0)
					ck_assert_int_eq(id[place / 2], want);
			}
			ck_assert_int_eq(oa_unhex(id, (uint8_t[]){ (uint8_t)a, (uint8_t)b }, 1), want < 0 ? -EINVAL : 0);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("id");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, id_spans_do_not_repeat);
	tcase_add_test(tc, id_traces_are_random_in_every_bit);
	tcase_add_test(tc, id_threads_have_sequences_of_their_own);
	tcase_add_test(tc, id_child_that_reseeds_goes_its_own_way);
	tcase_add_test(tc, id_hex_goes_there_and_back);
	tcase_add_test(tc, id_unhex_takes_lower_case_digits_and_nothing_else);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
