/* The pure parts of HTTP delivery: when to try again, where to, with which headers; and the loop's descriptors. What goes
 * over the wire is tested by tests/export/. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "exporter/addr_text.h"
#include "exporter/endpoint.h"
#include "exporter/exporter.h"
#include "exporter/header_list.h"
#include "exporter/loop.h"
#include "exporter/retry.h"

#define NOW 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

/* -- retry -- */

START_TEST(pauses_double_up_to_a_limit_with_jitter_in_the_lower_half)
{
	static const uint64_t full[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };

	for (unsigned i = 0; i < sizeof(full) / sizeof(full[0]); i++) {
		ck_assert_uint_eq(oa_retry_pause_ms(i + 1, 0), full[i] / 2);
		ck_assert_uint_eq(oa_retry_pause_ms(i + 1, full[i] / 2), full[i]);
		for (uint64_t random = 0; random < 100000; random += 997) {
			ck_assert_uint_ge(oa_retry_pause_ms(i + 1, random), full[i] / 2);
			ck_assert_uint_le(oa_retry_pause_ms(i + 1, random), full[i]);
		}
	}
	ck_assert_uint_le(oa_retry_pause_ms(4000000000u, UINT64_MAX), 30000);
}
END_TEST

START_TEST(retry_after_is_seconds_or_a_date_in_any_of_three_formats)
{
	static const struct { const char *text; int64_t ms; } cases[] = {
		{ "0", 0 }, { "120", 120000 }, { " 7\t", 7000 },
		{ "Sun, 06 Nov 1994 08:49:40 GMT", 3000 },
		{ "Sunday, 06-Nov-94 08:49:40 GMT", 3000 },
		{ "Sun Nov  6 08:49:40 1994", 3000 },
		{ "Sun Nov 16 08:49:37 1994", 864000000 },
		{ "Thu, 29 Feb 1996 00:00:00 GMT", (825552000ll - NOW) * 1000 },
		{ "Fri, 01 Mar 1996 00:00:00 GMT", (825638400ll - NOW) * 1000 },
		{ "Sun, 06 Nov 1994 08:49:36 GMT", 0 },    /* over */
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Saturday, 06-Nov-93 08:49:37 GMT", 0 }, /* last year, not in 99 years */
		{ "", -1 }, { "soon", -1 }, { "-5", -1 }, { "1.5", -1 }, { "5s", -1 },
		{ "Sun, 06 Nov 1994 08:49:40 CET", -1 }, { "Sun, 06 Nov 1994 08:49:40", -1 },
		{ "Sun, 32 Nov 1994 08:49:40 GMT", -1 }, { "Sun, 06 Now 1994 08:49:40 GMT", -1 },
		{ "Sun, 06 Nov 1994 24:49:40 GMT", -1 }, { "Sun, 06 Nov 1994 08:49:40 GMT+1", -1 }, { ",", -1 },
		{ "Sun,", -1 }, { "Sun Nov", -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(oa_retry_after_ms(oa_bytes_str(cases[i].text), NOW) == cases[i].ms, "%s gives %ld",
			      cases[i].text, (long)oa_retry_after_ms(oa_bytes_str(cases[i].text), NOW));
	ck_assert_int_gt(oa_retry_after_ms(OA_LIT("99999999999999999999999999"), NOW), 1000000000);
}
END_TEST

/* -- endpoint -- */

START_TEST(endpoints_become_urls)
{
	static const struct { const char *setting; enum oa_endpoint_path how; const char *url, *shown, *unix_path, *host; } cases[] = {
		{ "http://c:4318", OA_PATH_BASE, "http://c:4318/v1/traces", "http://c:4318/v1/traces", "", "c" },
		{ "http://c:4318/", OA_PATH_BASE, "http://c:4318/v1/traces", "http://c:4318/v1/traces", "", "c" },
		{ "HTTPS://c/p/", OA_PATH_BASE, "https://c/p/v1/traces", "https://c/p/v1/traces", "", "c" },
		{ "http://c:4318", OA_PATH_AS_IS, "http://c:4318/", "http://c:4318/", "", "c" },
		{ "http://c/x?y=1#z", OA_PATH_AS_IS, "http://c/x?y=1", "http://c/x", "", "c" },
		{ "http://c?y=1", OA_PATH_AS_IS, "http://c/?y=1", "http://c/", "", "c" },
		{ "http://u:p@c/x", OA_PATH_AS_IS, "http://u:p@c/x", "http://c/x", "", "c" },
		{ "http://[2001:db8::1]:80/", OA_PATH_BASE, "http://[2001:db8::1]:80/v1/traces", "http://[2001:db8::1]:80/v1/traces",
		  "", "2001:db8::1" },
		{ " unix:///run/c.sock ", OA_PATH_BASE, "http://localhost/v1/traces", "unix:/run/c.sock", "/run/c.sock", "" },
		{ "unix:/run/c.sock", OA_PATH_AS_IS, "http://localhost/v1/traces", "unix:/run/c.sock", "/run/c.sock", "" },
		{ "unix:@name", OA_PATH_BASE, "http://localhost/v1/traces", "unix:@name", "@name", "" },
		{ "http+unix://%2Frun%2Fc.sock/x", OA_PATH_AS_IS, "http://localhost/x", "http+unix://%2Frun%2Fc.sock/x", "/run/c.sock",
		  "" },
		{ "http://c:4317/pfx?y=1", OA_PATH_FIXED, "http://c:4317/v1/traces", "http://c:4317/v1/traces", "", "c" },
		{ "https://c", OA_PATH_FIXED, "https://c/v1/traces", "https://c/v1/traces", "", "c" },
		{ "unix:/run/c.sock", OA_PATH_FIXED, "http://localhost/v1/traces", "unix:/run/c.sock", "/run/c.sock", "" },
	};
	struct oa_endpoint e;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *wrong = oa_endpoint_parse(&e, cases[i].setting, cases[i].how, "v1/traces");

		ck_assert_msg(!wrong, "%s: %s", cases[i].setting, wrong);
		ck_assert_str_eq(e.url, cases[i].url);
		ck_assert_str_eq(e.shown, cases[i].shown);
		ck_assert_str_eq(e.unix_path, cases[i].unix_path);
		ck_assert_str_eq(e.host, cases[i].host);
		ck_assert_int_eq(e.https, cases[i].url[4] == 's');
	}
}
END_TEST

START_TEST(wrong_endpoints_are_refused)
{
	static const char *const cases[] = {
		"", "collector:4318", "//c", "http:/c", "http://", "http://@", "http:///v1", "http://:4318", "grpc://c",
		"http://a b", "http://a\r\nX: y", "http://\xc3\xa9", "unix:", "unix://", "unix:rel", "unix:@",
		"http+unix://%2", "http+unix://%00/", "http+unix://rel/", "http+unix:///",
	};
	char longest[OA_URL_MAX + 32] = "http://";
	struct oa_endpoint e;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(oa_endpoint_parse(&e, cases[i], OA_PATH_BASE, "v1/traces") != NULL, "%s was taken", cases[i]);
	memset(longest + 7, 'x', sizeof(longest) - 8);
	ck_assert_ptr_nonnull(oa_endpoint_parse(&e, longest, OA_PATH_BASE, "v1/traces"));
}
END_TEST

/* -- headers -- */

START_TEST(header_lists_become_lines)
{
	const char *pos = " a = 1 ,b=x%20y%2C,, c= ,d=a=b,e=\xc3\xa9,Key-1=v";
	static const char *const lines[] = { "a: 1", "b: x y,", "c;", "d: a=b", "e: \xc3\xa9", "Key-1: v" };
	char line[OA_HEADER_LINE_MAX];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ck_assert_int_eq(oa_header_list_next(&pos, line), 1);
		ck_assert_str_eq(line, lines[i]);
	}
	ck_assert_int_eq(oa_header_list_next(&pos, line), 0);
}
END_TEST

START_TEST(malformed_members_are_refused_one_by_one)
{
	const char *pos = "novalue,=v,a b=v,a:b=v,x=%0d%0aEvil:1,x=%00,x=%,x=%1,x=%gg,x=\x01,Content-Type=x,HOST2\xc3=x";
	char line[OA_HEADER_LINE_MAX];

	for (unsigned i = 0; i < 12; i++)
		ck_assert_int_eq(oa_header_list_next(&pos, line), -EINVAL);
	ck_assert_int_eq(oa_header_list_next(&pos, line), 0);
}
END_TEST

/* -- addresses -- */

static void check_address(struct oa_addr addr, const char *expected)
{
	char text[OA_ADDR_TEXT_MAX];
	size_t len = oa_addr_text(text, &addr);

	ck_assert_uint_eq(len, strlen(expected));
	ck_assert_mem_eq(text, expected, len);
}

START_TEST(addresses_are_written_as_rfc_5952_says)
{
	check_address((struct oa_addr){ .family = 4, .ip = { 0, 9, 10, 255 } }, "0.9.10.255");
	check_address((struct oa_addr){ .family = 4, .ip = { 99, 100, 101, 200 } }, "99.100.101.200");
	check_address((struct oa_addr){ .family = 6 }, "::");
	check_address((struct oa_addr){ .family = 6, .ip = { [15] = 1 } }, "::1");
	check_address((struct oa_addr){ .family = 6, .ip = { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, "2001:db8::1");
	check_address((struct oa_addr){ .family = 6, .ip = { 0xfe, 0x80 } }, "fe80::");
	/* one zero group alone is not shortened; of two runs of the same length it is the first */
	check_address((struct oa_addr){ .family = 6, .ip = { 0, 1, 0, 2, 0, 0, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8 } },
		      "1:2:0:4:5:6:7:8");
	check_address((struct oa_addr){ .family = 6, .ip = { 0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 7, 0xab, 0xcd } },
		      "1::4:0:0:7:abcd");
	check_address((struct oa_addr){ .family = 1 }, "");
	check_address((struct oa_addr){ 0 }, "");
}
END_TEST

START_TEST(authorities_are_split)
{
	static const struct { const char *text, *host; unsigned port; } cases[] = {
		{ "example.com", "example.com", 0 },      { "example.com:8080", "example.com", 8080 },
		{ " h:1 ", "h", 1 },                      { "[::1]:443", "::1", 443 },
		{ "[::1]", "::1", 0 },                    { "2001:db8::1", "2001:db8::1", 0 },
		{ "\"[2001:db8::9]:4711\"", "2001:db8::9", 4711 }, { "u:p@h:9", "h", 9 },
		{ "h:", "h", 0 },                         { "h:99999", "h", 0 },
		{ "h:8x", "h", 0 },                       { "", "", 0 },
		{ "[::1", "", 0 },                        { "\"\"", "", 0 },
		{ ":80", "", 80 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct oa_bytes host;
		unsigned port;

		oa_authority_split(oa_bytes_str(cases[i].text), &host, &port);
		ck_assert_msg(oa_bytes_eq(host, oa_bytes_str(cases[i].host)) && port == cases[i].port, "%s: %.*s port %u",
			      cases[i].text, (int)host.len, (const char *)host.ptr, port);
	}
}
END_TEST

/* -- the loop and its descriptors -- */

static unsigned lost_count;
static int lost_fd;

static void on_lost(void *arg, int fd)
{
	ck_assert_ptr_eq(arg, &lost_count);
	lost_count++;
	lost_fd = fd;
}

static int open_one(void)
{
	return oa_loop_fd_open(AF_INET, SOCK_STREAM, 0, on_lost, &lost_count);
}

START_TEST(the_loop_holds_no_descriptor)
{
	int before = dup(0), after;

	close(before);
	ck_assert_int_eq(oa_loop_open(), 0);
	oa_loop_turn(0);
	after = dup(0);
	close(after);
	ck_assert_int_eq(before, after);
}
END_TEST

START_TEST(a_turn_without_anything_to_do_waits_and_comes_back)
{
	uint64_t start;

	ck_assert_int_eq(oa_loop_open(), 0);
	start = oa_now_ns();
	oa_loop_turn(50);
	ck_assert_uint_ge(oa_now_ns() - start, 49000000);
}
END_TEST

START_TEST(sockets_are_high_nonblocking_and_close_on_exec)
{
	int fd = open_one();

	ck_assert_int_ge(fd, 900);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(oa_loop_fd_check(fd));
	oa_loop_fd_close(fd);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert(!oa_loop_fd_check(fd));
}
END_TEST

START_TEST(no_more_than_the_maximum_are_open)
{
	int fds[OA_LOOP_FDS_MAX];

	for (unsigned i = 0; i < OA_LOOP_FDS_MAX; i++)
		ck_assert_int_ge(fds[i] = open_one(), 900);
	ck_assert_int_eq(open_one(), -EMFILE);
	oa_loop_fd_close(fds[3]);
	ck_assert_int_ge(open_one(), 900);
}
END_TEST

START_TEST(a_descriptor_whose_number_is_somebody_elses_is_forgotten_not_closed)
{
	int fd = open_one(), other = socket(AF_INET, SOCK_STREAM, 0);
	struct stat before, after;

	ck_assert_int_eq(dup2(other, fd), fd);
	fstat(fd, &before);
	ck_assert(!oa_loop_fd_check(fd));
	oa_loop_fd_verify();
	ck_assert_uint_eq(lost_count, 1);
	ck_assert_int_eq(lost_fd, fd);
	oa_loop_fd_close(fd);
	ck_assert_int_eq(fstat(fd, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	oa_loop_fd_verify();
	ck_assert_uint_eq(lost_count, 1);
}
END_TEST

START_TEST(closing_does_not_touch_a_number_that_changed_hands)
{
	int fd = open_one();

	ck_assert_int_eq(dup2(0, fd), fd);
	oa_loop_fd_close(fd);
	ck_assert_int_ne(fcntl(fd, F_GETFD), -1);
	ck_assert_uint_eq(lost_count, 0);
}
END_TEST

START_TEST(forgetting_closes_what_is_ours_and_nothing_else)
{
	int ours = open_one(), theirs = open_one();

	ck_assert_int_eq(dup2(0, theirs), theirs);
	oa_loop_forget();
	ck_assert_int_eq(fcntl(ours, F_GETFD), -1);
	ck_assert_int_ne(fcntl(theirs, F_GETFD), -1);
	ck_assert_uint_eq(lost_count, 0);
}
END_TEST

static TCase *pure_tests(void)
{
	TCase *t = tcase_create("pure");

	tcase_add_test(t, pauses_double_up_to_a_limit_with_jitter_in_the_lower_half);
	tcase_add_test(t, retry_after_is_seconds_or_a_date_in_any_of_three_formats);
	tcase_add_test(t, endpoints_become_urls);
	tcase_add_test(t, wrong_endpoints_are_refused);
	tcase_add_test(t, header_lists_become_lines);
	tcase_add_test(t, malformed_members_are_refused_one_by_one);
	tcase_add_test(t, addresses_are_written_as_rfc_5952_says);
	tcase_add_test(t, authorities_are_split);
	return t;
}

static TCase *loop_tests(void)
{
	TCase *t = tcase_create("loop");

	tcase_add_test(t, the_loop_holds_no_descriptor);
	tcase_add_test(t, a_turn_without_anything_to_do_waits_and_comes_back);
	tcase_add_test(t, sockets_are_high_nonblocking_and_close_on_exec);
	tcase_add_test(t, no_more_than_the_maximum_are_open);
	tcase_add_test(t, a_descriptor_whose_number_is_somebody_elses_is_forgotten_not_closed);
	tcase_add_test(t, closing_does_not_touch_a_number_that_changed_hands);
	tcase_add_test(t, forgetting_closes_what_is_ours_and_nothing_else);
	return t;
}

int main(void)
{
	Suite *suite = suite_create("http_post");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, pure_tests());
	suite_add_tcase(suite, loop_tests());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
