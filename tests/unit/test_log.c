#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/config.h"
#define OA_LOG_DOMAIN "test"
#include "core/log.h"

static uint64_t now_ns = 1000000000000;
static char said[65536];
static char path[] = "/tmp/otelauto-test-log-XXXXXX";

/* In front of core/clock.c's: the log's only clock. */
uint64_t oa_now_ns(void)
{
	return now_ns;
}

uint64_t oa_unix_now_ns(void)
{
	return now_ns;
}

static int stderr_pipe(void)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[1], 2), 2);
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	return fds[0];
}

static const char *read_said(int fd)
{
	ssize_t n = read(fd, said, sizeof(said) - 1);

	said[n < 0 ? 0 : n] = '\0';
	return said;
}

static void start_anew(void)
{
	char *envp[] = { NULL };

	oa_config_read(envp);
}

START_TEST(a_message_is_one_line_with_its_level)
{
	int fd = stderr_pipe();

	oa_warn("port %d is taken\nreally", 80);
	ck_assert_str_eq(read_said(fd), "otelauto: warning: port 80 is taken really\n");
	oa_err("lost");
	ck_assert_str_eq(read_said(fd), "otelauto: error: lost\n");
	oa_info("not said by default");
	ck_assert_str_eq(read_said(fd), "");
	oa_log_level = OA_LOG_DEBUG;
	oa_dbg("stream %u", 7u);
	ck_assert_str_eq(read_said(fd), "otelauto: debug: test: stream 7\n");
}
END_TEST

START_TEST(a_long_message_is_cut_and_still_ends_its_line)
{
	int fd = stderr_pipe();
	char text[3000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	oa_warn("%s and more %s", text, text);
	ck_assert_uint_lt(strlen(read_said(fd)), 1025);
	ck_assert_int_eq(said[strlen(said) - 1], '\n');
}
END_TEST

static void say_trouble(int i)
{
	oa_warn("trouble %d", i);
}

START_TEST(the_same_trouble_is_said_once_a_minute_with_a_count)
{
	int fd = stderr_pipe();

	for (int i = 0; i < 10; i++)
		say_trouble(i);
	ck_assert_str_eq(read_said(fd), "otelauto: warning: trouble 0\n");
	now_ns += 59000000000;
	say_trouble(10);
	ck_assert_str_eq(read_said(fd), "");
	now_ns += 2000000000;
	say_trouble(11);
	ck_assert_str_eq(read_said(fd), "otelauto: warning: trouble 11 (and 10 times since last said)\n");
	now_ns += 61000000000;
	say_trouble(12);
	ck_assert_str_eq(read_said(fd), "otelauto: warning: trouble 12\n");
}
END_TEST

START_TEST(other_troubles_and_debug_messages_are_not_held_back)
{
	int fd = stderr_pipe();

	oa_log_level = OA_LOG_DEBUG;
	say_trouble(1);
	oa_warn("another");
	for (int i = 0; i < 3; i++)
		oa_dbg("step %d", i);
	ck_assert_str_eq(read_said(fd), "otelauto: warning: trouble 1\notelauto: warning: another\n"
			 "otelauto: debug: test: step 0\notelauto: debug: test: step 1\n"
			 "otelauto: debug: test: step 2\n");
}
END_TEST

START_TEST(errno_stays_what_it_was)
{
	close(2);
	errno = ENOTTY;
	oa_warn("to nobody");
	ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

START_TEST(a_reader_that_left_raises_no_signal)
{
	sigset_t pending;

	ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	close(stderr_pipe());
	oa_warn("to nobody");
	sigpending(&pending);
	ck_assert(!sigismember(&pending, SIGPIPE));
}
END_TEST

START_TEST(a_reader_that_sleeps_is_not_waited_for)
{
	int fd = stderr_pipe();
	char page[4096] = { 0 };

	fcntl(2, F_SETFL, O_NONBLOCK);
	while (write(2, page, sizeof(page)) > 0)
		;
	fcntl(2, F_SETFL, 0);
	ck_assert(!oa_log_write("x\n", 2));
	while (read(fd, said, sizeof(said)) > 0)
		;
	ck_assert(oa_log_write("x\n", 2));
	ck_assert_str_eq(read_said(fd), "x\n");
}
END_TEST

static int connected(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	ck_assert_int_eq(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return client;
}

START_TEST(fd_2_that_became_a_connection_or_a_database_is_left_alone)
{
	int client = connected(), file = mkstemp(path), pair[2];
	struct stat st;

	ck_assert_int_eq(dup2(client, 2), 2);
	ck_assert(!oa_log_write("x\n", 2));
	ck_assert_int_eq(dup2(file, 2), 2);
	ck_assert(!oa_log_write("x\n", 2));
	fstat(file, &st);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert_int_eq(dup2(pair[0], 2), 2);
	ck_assert(oa_log_write("x\n", 2));
	ck_assert_int_eq(dup2(open(path, O_WRONLY), 2), 2);
	ck_assert(oa_log_write("x\n", 2));
	fstat(file, &st);
	ck_assert_int_eq(st.st_size, 2);
	unlink(path);
}
END_TEST

static size_t size_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(name, &st), 0);
	return (size_t)st.st_size;
}

START_TEST(a_file_takes_the_messages_and_is_found_again_when_its_number_was_reused)
{
	int err = stderr_pipe(), fd = mkstemp(path), other;

	oa_config.log_file = path;
	ck_assert(oa_log_write("one\n", 4));
	ck_assert(oa_log_write("two\n", 4));
	ck_assert_uint_eq(size_of(path), 8);
	ck_assert_str_eq(read_said(err), "");
	/* Low numbers are the host's: the next one is where it would be without us. */
	other = dup(fd);
	ck_assert_int_eq(other, fd + 1);
	closefrom(other);
	for (int i = other; i < 1010; i++)
		ck_assert_int_eq(dup2(err, i), i);
	ck_assert(oa_log_write("three\n", 6));
	ck_assert_uint_eq(size_of(path), 14);
	unlink(path);
}
END_TEST

START_TEST(messages_for_a_file_that_cannot_be_opened_go_to_stderr_which_says_so_once)
{
	int fd = stderr_pipe();

	oa_config.log_file = "/nonexistent/log";
	oa_err("lost %d", 1);
	oa_err("also lost %d", 2);
	ck_assert(!oa_log_write("a span\n", 7));
	ck_assert_str_eq(read_said(fd), "otelauto: warning: OTELAUTO_LOG_FILE: /nonexistent/log cannot be opened (error 2): messages go to stderr\n"
					"otelauto: error: lost 1\n"
					"otelauto: error: also lost 2\n");
}
END_TEST

START_TEST(a_text_of_many_lines_goes_out_whole)
{
	static char text[20000];
	int fd = stderr_pipe();

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 100 == 99 ? '\n' : 'x';
	ck_assert(oa_log_write(text, sizeof(text)));
	ck_assert_uint_eq(strlen(read_said(fd)), sizeof(text));
	ck_assert(!memcmp(text, said, sizeof(text)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, start_anew, NULL);
	tcase_add_test(tc, a_message_is_one_line_with_its_level);
	tcase_add_test(tc, a_long_message_is_cut_and_still_ends_its_line);
	tcase_add_test(tc, the_same_trouble_is_said_once_a_minute_with_a_count);
	tcase_add_test(tc, other_troubles_and_debug_messages_are_not_held_back);
	tcase_add_test(tc, errno_stays_what_it_was);
	tcase_add_test(tc, a_reader_that_left_raises_no_signal);
	tcase_add_test(tc, a_reader_that_sleeps_is_not_waited_for);
	tcase_add_test(tc, fd_2_that_became_a_connection_or_a_database_is_left_alone);
	tcase_add_test(tc, a_file_takes_the_messages_and_is_found_again_when_its_number_was_reused);
	tcase_add_test(tc, messages_for_a_file_that_cannot_be_opened_go_to_stderr_which_says_so_once);
	tcase_add_test(tc, a_text_of_many_lines_goes_out_whole);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
