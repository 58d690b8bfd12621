/* What the third parties get in the place of libc's files, names, dates and memory. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/wrap.h"

static char path[64];

static void write_file(const char *text, size_t len)
{
	int fd;

	strcpy(path, "/tmp/test_wrap.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
}

START_TEST(a_file_is_read_line_by_line_to_its_end)
{
	static const char text[] = "nameserver 127.0.0.1\n\nno newline at the end";
	char line[64];
	FILE *file;

	write_file(text, sizeof(text) - 1);
	file = __wrap_fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_ptr_nonnull(__wrap_fgets(line, sizeof(line), file));
	ck_assert_str_eq(line, "nameserver 127.0.0.1\n");
	ck_assert_ptr_nonnull(__wrap_fgets(line, sizeof(line), file));
	ck_assert_str_eq(line, "\n");
	ck_assert_ptr_nonnull(__wrap_fgets(line, 6, file));
	ck_assert_str_eq(line, "no ne");
	ck_assert_ptr_nonnull(__wrap_fgets(line, sizeof(line), file));
	ck_assert_str_eq(line, "wline at the end");
	ck_assert_ptr_null(__wrap_fgets(line, sizeof(line), file));
	ck_assert_int_eq(__wrap_ferror(file), 0);
	__wrap_fclose(file);
	unlink(path);
	ck_assert_uint_eq(oa_arena_used_bytes(), 0);
}
END_TEST

START_TEST(a_file_larger_than_a_page_is_read_whole_after_a_seek_for_its_size)
{
	static char text[70000], back[70000];
	FILE *file;

	memset(text, 'x', sizeof(text));
	text[69999] = 'y';
	write_file(text, sizeof(text));
	file = __wrap_fopen(path, "rb");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(__wrap_fseek(file, 0, SEEK_END), 0);
	ck_assert_int_eq(__wrap_ftell(file), 70000);
	ck_assert_int_eq(__wrap_fseek(file, 0, SEEK_SET), 0);
	ck_assert_uint_eq(__wrap_fread(back, 1, sizeof(back), file), 70000);
	ck_assert_int_eq(memcmp(text, back, sizeof(text)), 0);
	ck_assert_uint_eq(__wrap_fread(back, 1, sizeof(back), file), 0);
	ck_assert_int_eq(__wrap_fseek(file, 1, SEEK_END), -1);
	ck_assert_int_eq(__wrap_fseek(file, -70001, SEEK_END), -1);
	__wrap_fclose(file);
	unlink(path);
}
END_TEST

START_TEST(missing_files_directories_and_files_to_write_are_refused)
{
	write_file("kept", 4);
	ck_assert_ptr_null(__wrap_fopen("/nonexistent", "r"));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(__wrap_fopen("/tmp", "r"));
	ck_assert_ptr_null(__wrap_fopen(path, "w"));
	ck_assert_int_eq(errno, EACCES);
	ck_assert_ptr_null(__wrap_fopen(path, "r+"));
	ck_assert_uint_eq(oa_arena_used_bytes(), 0);
	unlink(path);
}
END_TEST

START_TEST(of_a_device_without_end_one_buffer_is_read)
{
	uint8_t bytes[8192], other[32];
	FILE *file = __wrap_fopen("/dev/urandom", "rb");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(__wrap_fread(other, 1, sizeof(other), file), sizeof(other));
	ck_assert_uint_eq(__wrap_fread(bytes, 1, sizeof(bytes), file), 4096 - sizeof(other));
	ck_assert_int_ne(memcmp(bytes, other, sizeof(other)), 0);
	__wrap_fclose(file);
	ck_assert_uint_eq(oa_arena_used_bytes(), 0);
}
END_TEST

START_TEST(files_without_a_size_are_read_whole)
{
	char text[8192];
	size_t len;
	FILE *file = __wrap_fopen("/proc/self/smaps", "r");

	ck_assert_ptr_nonnull(file);
	len = __wrap_fread(text, 1, sizeof(text), file);
	ck_assert_uint_gt(len, 4096);
	__wrap_fclose(file);
}
END_TEST

START_TEST(numbers_at_random_are_ours_and_leave_the_hosts_sequence_alone)
{
	int hosts[3], first = __wrap_rand(), seen = 0;

	srand(7);
	for (int i = 0; i < 3; i++)
		hosts[i] = rand();
	srand(7);
	__wrap_srand(1);
	for (int i = 0; i < 3; i++) {
		int ours = __wrap_rand();

		ck_assert_int_ge(ours, 0);
		ck_assert_int_le(ours, RAND_MAX);
		seen += ours != first;
		ck_assert_int_eq(rand(), hosts[i]);
	}
	ck_assert_int_ge(seen, 2);
}
END_TEST

static int compare_numbers(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

START_TEST(sorting_sorts_whatever_the_number_and_size)
{
	struct { uint32_t key, copy, third; } odd[200];
	uint32_t n[500], state = 1;

	for (unsigned count = 0; count < 500; count = count * 2 + 1) {
		for (unsigned i = 0; i < count; i++)
			n[i] = (state = state * 1664525 + 1013904223) >> 24;
		__wrap_qsort(n, count, sizeof(n[0]), compare_numbers);
		for (unsigned i = 1; i < count; i++)
			ck_assert_uint_le(n[i - 1], n[i]);
	}
	for (unsigned i = 0; i < 200; i++) {
		odd[i].key = odd[i].copy = (state = state * 1664525 + 1013904223) >> 20;
		odd[i].third = ~odd[i].key;
	}
	__wrap_qsort(odd, 200, sizeof(odd[0]), compare_numbers);
	for (unsigned i = 0; i < 200; i++) {
		ck_assert_uint_eq(odd[i].key, odd[i].copy);
		ck_assert_uint_eq(odd[i].key, ~odd[i].third);
		ck_assert(!i || odd[i - 1].key <= odd[i].key);
	}
}
END_TEST

START_TEST(addresses_become_digits_and_never_an_error)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(65535) };
	struct sockaddr local = { .sa_family = AF_UNIX };
	char host[64], port[8];

	v4.sin_addr.s_addr = htonl(0x7f000001);
	v6.sin6_addr.s6_addr[15] = 1;
	ck_assert_int_eq(__wrap_getnameinfo((void *)&v4, sizeof(v4), host, 64, port, 8, 0), 0);
	ck_assert_str_eq(host, "127.0.0.1");
	ck_assert_str_eq(port, "80");
	ck_assert_int_eq(__wrap_getnameinfo((void *)&v6, sizeof(v6), host, 64, port, 8, 0), 0);
	ck_assert_str_eq(host, "::1");
	ck_assert_str_eq(port, "65535");
	ck_assert_int_eq(__wrap_getnameinfo(&local, sizeof(local), host, 64, port, 8, 0), 0);
	ck_assert_str_eq(host, "");
	ck_assert_str_eq(port, "0");
}
END_TEST

START_TEST(the_host_can_not_be_read_through_the_third_parties)
{
	ck_assert_int_eq(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	ck_assert_ptr_null(__wrap_getenv("http_proxy"));
	ck_assert_ptr_null(__wrap_secure_getenv("http_proxy"));
	ck_assert_ptr_null(__wrap_getpwuid(0));
}
END_TEST

START_TEST(local_time_is_utc_whatever_the_time_zone)
{
	time_t epoch = 0;
	struct tm date;

	ck_assert_int_eq(setenv("TZ", "Asia/Tokyo", 1), 0);
	tzset();
	ck_assert_ptr_eq(__wrap_localtime_r(&epoch, &date), &date);
	ck_assert_int_eq(date.tm_hour, 0);
}
END_TEST

START_TEST(an_error_text_is_its_number)
{
	char text[16];

	ck_assert_str_eq(__wrap_strerror(ECONNREFUSED), "errno 111");
	ck_assert_int_eq(__wrap___xpg_strerror_r(0, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "errno 0");
	ck_assert_int_eq(__wrap___xpg_strerror_r(111, text, 9), ERANGE);
	ck_assert_int_eq(__wrap___xpg_strerror_r(111, text, 10), 0);
}
END_TEST

START_TEST(memory_is_zeroed_and_products_do_not_overflow)
{
	char *dirty = __wrap_malloc(100), *clean;
	volatile size_t huge = (size_t)1 << 33;

	memset(dirty, 1, 100);
	__wrap_free(dirty);
	clean = __wrap_calloc(10, 10);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(clean[i], 0);
	ck_assert_ptr_null(__wrap_calloc(huge, huge));
	ck_assert_str_eq(__wrap_strndup("abcdef", 3), "abc");
	ck_assert_str_eq(__wrap_strdup(""), "");
}
END_TEST

START_TEST(writing_to_a_descriptor_that_is_no_socket_fails)
{
	int fd;

	write_file("", 0);
	fd = open(path, O_RDWR);
	ck_assert_int_eq(__wrap_write(fd, "x", 1), -1);
	ck_assert_int_eq(errno, ENOTSOCK);
	ck_assert_int_eq(lseek(fd, 0, SEEK_END), 0);
	close(fd);
	unlink(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wrap");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_file_is_read_line_by_line_to_its_end);
	tcase_add_test(tc, a_file_larger_than_a_page_is_read_whole_after_a_seek_for_its_size);
	tcase_add_test(tc, missing_files_directories_and_files_to_write_are_refused);
	tcase_add_test(tc, of_a_device_without_end_one_buffer_is_read);
	tcase_add_test(tc, files_without_a_size_are_read_whole);
	tcase_add_test(tc, numbers_at_random_are_ours_and_leave_the_hosts_sequence_alone);
	tcase_add_test(tc, sorting_sorts_whatever_the_number_and_size);
	tcase_add_test(tc, addresses_become_digits_and_never_an_error);
	tcase_add_test(tc, the_host_can_not_be_read_through_the_third_parties);
	tcase_add_test(tc, local_time_is_utc_whatever_the_time_zone);
	tcase_add_test(tc, an_error_text_is_its_number);
	tcase_add_test(tc, memory_is_zeroed_and_products_do_not_overflow);
	tcase_add_test(tc, writing_to_a_descriptor_that_is_no_socket_fails);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
