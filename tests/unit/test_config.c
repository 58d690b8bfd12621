#include <check.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/config.h"
#include "core/config_value.h"
#define OA_LOG_DOMAIN "test"
#include "core/log.h"
#include "core/tree.h"

#define NONE (1u << 31)

static char said[8192];

/* Keeps in `said` what oa_config_warn() says. */
static void say_again(void)
{
	int pipe_fds[2], stderr_fd = dup(2);
	ssize_t n;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	ck_assert_int_eq(dup2(pipe_fds[1], 2), 2);
	oa_config_warn();
	ck_assert_int_eq(dup2(stderr_fd, 2), 2);
	close(stderr_fd);
	close(pipe_fds[1]);
	n = read(pipe_fds[0], said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
	close(pipe_fds[0]);
}

static void read_settings(char *const envp[])
{
	oa_config_read(envp);
	say_again();
}

#define READ(...) read_settings((char *const[]){ __VA_ARGS__ NULL })
#define ck_assert_said(text) ck_assert_msg(strstr(said, text), "not said: %s\nbut: %s", text, said)
#define ck_assert_not_said(text) ck_assert_msg(!strstr(said, text), "said: %s", said)

START_TEST(an_empty_environment_gives_the_defaults_and_no_word)
{
	READ();
	ck_assert_str_eq(said, "");
	ck_assert(!oa_config.disabled);
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 5000);
	ck_assert_int_eq(oa_config.attribute_value_length_limit, -1);
	ck_assert_int_eq(oa_config.attribute_count_limit, 128);
	ck_assert_str_eq(oa_config.otlp_endpoint, "");
	ck_assert_str_eq(oa_config.service_name, "");
	ck_assert_uint_eq(oa_config.traces_exporter, 1);
	ck_assert_uint_eq(oa_config.propagators, 3);
	ck_assert_int_eq(oa_config.sampler, 3);
	ck_assert_int_eq(oa_config.otlp_traces_compression, -1);
	ck_assert_str_eq(oa_config.sampler_arg, "");
	ck_assert_int_eq(oa_log_level, OA_LOG_WARN);
}
END_TEST

START_TEST(an_empty_value_is_an_unset_one)
{
	READ("OTEL_BSP_SCHEDULE_DELAY=", "OTEL_TRACES_EXPORTER= \t", "OTEL_EXPORTER_OTLP_ENDPOINT=",
	     "OTEL_SDK_DISABLED=", "OTELAUTO_NO_SUCH_THING=", "OTEL_CONFIG_FILE=",);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 5000);
	ck_assert_str_eq(oa_config.otlp_endpoint, "");
}
END_TEST

START_TEST(values_are_trimmed_and_words_have_no_case)
{
	READ("OTEL_SERVICE_NAME=  shop \n", "OTEL_TRACES_SAMPLER= Always_OFF ", "OTEL_BSP_SCHEDULE_DELAY= 7 ",
	     "OTEL_TRACES_EXPORTER= Console , OTLP", "OTEL_LOG_LEVEL=WARNING",);
	ck_assert_str_eq(said, "");
	ck_assert_str_eq(oa_config.service_name, "shop");
	ck_assert_int_eq(oa_config.sampler, 1);
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 7);
	ck_assert_uint_eq(oa_config.traces_exporter, 3);
	ck_assert_int_eq(oa_log_level, OA_LOG_WARN);
}
END_TEST

START_TEST(only_the_word_true_is_true)
{
	static const char *const no[] = { "1", "yes", "on", "tru", "truee", "2" };
	char entry[64];

	READ("OTEL_SDK_DISABLED=TRUE",);
	ck_assert(oa_config.sdk_disabled);
	ck_assert_str_eq(said, "");
	READ("OTEL_SDK_DISABLED=False",);
	ck_assert(!oa_config.sdk_disabled);
	ck_assert_str_eq(said, "");
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		snprintf(entry, sizeof(entry), "OTEL_SDK_DISABLED=%s", no[i]);
		READ(entry,);
		ck_assert(!oa_config.sdk_disabled);
		ck_assert_said("is not true or false; using false");
	}
}
END_TEST

START_TEST(the_kill_switches_are_found_alone)
{
	static const struct { const char *entry; bool off; } cases[] = {
		{ "OTELAUTO_DISABLED=true", true },   { "OTELAUTO_DISABLED=1", true },
		{ "OTELAUTO_DISABLED=Yes", true },    { "OTELAUTO_DISABLED= on ", true },
		{ "OTELAUTO_DISABLED=0", false },     { "OTELAUTO_DISABLED=", false },
		{ "OTELAUTO_DISABLED=maybe", false }, { "OTELAUTO_DISABLED", false },
		{ "OTEL_SDK_DISABLED=true", true },   { "OTEL_SDK_DISABLED=1", false },
		{ "XOTEL_SDK_DISABLED=true", false }, { "OTEL_SDK_DISABLED_=true", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *envp[] = { "", "O", "PATH=/bin", (char *)cases[i].entry, NULL };

		ck_assert_msg(oa_config_disabled(envp) == cases[i].off, "%s", cases[i].entry);
	}
}
END_TEST

START_TEST(of_two_entries_of_one_name_the_first_counts)
{
	char *theirs[] = { "OTEL_SDK_DISABLED=false", "OTEL_SDK_DISABLED=true", NULL };
	char *ours[] = { "OTELAUTO_DISABLED=0", "OTELAUTO_DISABLED=1", NULL };

	ck_assert(!oa_config_disabled(theirs));
	ck_assert(!oa_config_disabled(ours));
	READ("OTEL_SERVICE_NAME=a", "OTEL_SERVICE_NAME=b",);
	ck_assert_str_eq(oa_config.service_name, "a");
}
END_TEST

START_TEST(a_number_is_digits_within_its_range_or_the_default)
{
	static const char *const bad[] = { "5s", "-1", "+5", "1.5", "0x10", "1 2", "2147483648",
					   "99999999999999999999999", "\xc2\xb2" };
	char entry[64];

	READ("OTEL_BSP_SCHEDULE_DELAY=2147483647",);
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 2147483647);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(entry, sizeof(entry), "OTEL_BSP_SCHEDULE_DELAY=%s", bad[i]);
		READ(entry,);
		ck_assert_int_eq(oa_config.bsp_schedule_delay, 5000);
		ck_assert_said("is not a whole number from 0 to 2147483647 (ms); using 5000");
	}
	READ("OTEL_BSP_MAX_QUEUE_SIZE=0",);
	ck_assert_int_eq(oa_config.bsp_max_queue_size, 2048);
	READ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=-1",);
	ck_assert_said("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: \"-1\" is not");
}
END_TEST

START_TEST(a_ratio_is_read_without_the_locale)
{
	static const struct { const char *text; double value; } good[] = {
		{ "0", 0 }, { "1", 1 }, { "0.25", 0.25 }, { ".1", 0.1 }, { "1.", 1 }, { "1e-3", 0.001 },
		{ "2.5E-1", 0.25 }, { "0.1", 0.1 }, { "0.3333333333333333333333", 1.0 / 3 },
		{ "0.0000000000000000000001", 1e-22 }, { "1.000000", 1 }, { "0e400", 0 },
	};
	static const char *const bad[] = { "1.1", "-0.5", "0,5", "abc", ".", "1e", "e5", "1e99999", "0.5x",
					   "nan", "inf", "1e3", "100000000000000000000" };

	(void)setlocale(LC_ALL, "de_DE.UTF-8"); /* where there is one */
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		double value = -1;

		ck_assert_msg(oa_value_ratio(oa_value_trim(good[i].text), &value), "%s", good[i].text);
		ck_assert_double_eq_tol(value, good[i].value, 1e-16);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		double value = -1;

		ck_assert_msg(!oa_value_ratio(oa_value_trim(bad[i]), &value), "%s", bad[i]);
		ck_assert_double_eq(value, -1);
	}
}
END_TEST

START_TEST(an_unknown_word_is_shown_as_written_and_ignored)
{
	READ("OTEL_TRACES_SAMPLER=Sometimes",);
	ck_assert_int_eq(oa_config.sampler, 3);
	ck_assert_said("OTEL_TRACES_SAMPLER: \"Sometimes\" is not one of always_on|");
	ck_assert_said("; using parentbased_always_on\n");
}
END_TEST

START_TEST(a_word_of_other_versions_is_told_from_a_mistake)
{
	READ("OTEL_TRACES_EXPORTER=logging", "OTEL_METRICS_EXPORTER=zipkin",);
	ck_assert_uint_eq(oa_config.traces_exporter, 1);
	ck_assert_uint_eq(oa_config.metrics_exporter, 1);
	ck_assert_said("OTEL_TRACES_EXPORTER: \"logging\" is not supported by this version; using otlp\n");
	ck_assert_said("OTEL_METRICS_EXPORTER: \"zipkin\" is not supported by this version; using prometheus\n");
}
END_TEST

START_TEST(a_list_skips_what_it_does_not_know_and_collapses_doubles)
{
	READ("OTEL_PROPAGATORS=b3,, foo ,b3,tracecontext",);
	ck_assert_uint_eq(oa_config.propagators, 1u | 1u << 2);
	ck_assert_said("OTEL_PROPAGATORS: \"foo\" is not one of");
	ck_assert_said("; using tracecontext,b3\n");
}
END_TEST

START_TEST(none_alone_empties_a_list_and_beside_others_wins)
{
	READ("OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=None",);
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(oa_config.traces_exporter, NONE);
	ck_assert_uint_eq(oa_config.metrics_exporter, NONE);
	READ("OTEL_PROPAGATORS=b3,none",);
	ck_assert_uint_eq(oa_config.propagators, NONE);
	ck_assert_said("OTEL_PROPAGATORS: none stands beside others; using none");
}
END_TEST

START_TEST(a_batch_is_not_larger_than_the_queue)
{
	READ("OTEL_BSP_MAX_QUEUE_SIZE=100",);
	ck_assert_int_eq(oa_config.bsp_max_export_batch_size, 100);
	ck_assert_said("OTEL_BSP_MAX_EXPORT_BATCH_SIZE is larger than OTEL_BSP_MAX_QUEUE_SIZE; using 100");
}
END_TEST

START_TEST(a_name_that_does_not_exist_is_said_with_the_nearest_one)
{
	READ("OTELAUTO_EXCLUD=secret-value", "OTELAUTO_QQQQQQQQQQQQQQQQ=1", "OTEL_LOGS_EXPORTER=otlp",
	     "OTEL_METRIC_EXPORT_INTERVAL=5", "OTELAUTO=1", "OTELX=1",);
	ck_assert_said("OTELAUTO_EXCLUD is not a setting; did you mean OTELAUTO_EXCLUDE?\n");
	ck_assert_said("OTELAUTO_QQQQQQQQQQQQQQQQ is not a setting\n");
	ck_assert_not_said("secret-value");
	ck_assert_not_said("OTEL_LOGS_EXPORTER");
	ck_assert_not_said("OTEL_METRIC_EXPORT_INTERVAL");
	ck_assert_not_said("OTELX");
}
END_TEST

START_TEST(a_configuration_file_leaves_only_our_own_settings_to_the_environment)
{
	READ("OTEL_CONFIG_FILE=/etc/otel.yaml", "OTEL_SERVICE_NAME=a", "OTEL_BSP_SCHEDULE_DELAY=7", "OTELAUTO_EXIT_FLUSH=5",
	     "POD_NAME=p",);
	ck_assert_str_eq(said, "");
	ck_assert_str_eq(oa_config.config_file, "/etc/otel.yaml");
	ck_assert_str_eq(oa_config.service_name, "");
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 5000);
	ck_assert_int_eq(oa_config.exit_flush, 5);
	ck_assert_str_eq(oa_config.pod_name, "p");
}
END_TEST

START_TEST(texts_outlive_the_environment_they_came_from)
{
	char entry[] = "OTEL_SERVICE_NAME=shop";

	READ(entry,);
	memset(entry, 'x', sizeof(entry) - 1);
	ck_assert_str_eq(oa_config.service_name, "shop");
}
END_TEST

START_TEST(names_that_are_not_opentelemetrys_are_read_too)
{
	READ("POD_NAME=shop-7d9", "NODE_NAME=node-3", "POD_OTHER=x", "NODE_NAMES=x",);
	ck_assert_str_eq(said, "");
	ck_assert_str_eq(oa_config.pod_name, "shop-7d9");
	ck_assert_str_eq(oa_config.node_name, "node-3");
}
END_TEST

START_TEST(a_text_that_does_not_fit_gives_the_default_and_stays_unsaid)
{
	static char entry[40000] = "OTEL_EXPORTER_OTLP_HEADERS=authorization=hunter2";

	memset(entry + strlen(entry), 'x', sizeof(entry) - strlen(entry) - 1);
	READ(entry, "OTEL_SERVICE_NAME=shop",);
	ck_assert_str_eq(oa_config.otlp_headers, "");
	ck_assert_str_eq(oa_config.service_name, "shop");
	ck_assert_said("OTEL_EXPORTER_OTLP_HEADERS: too long; using the default\n");
	ck_assert_not_said("hunter2");
}
END_TEST

START_TEST(a_quoted_value_is_one_short_line)
{
	static char entry[4096] = "OTEL_TRACES_SAMPLER=a\nb\033c";

	memset(entry + strlen(entry), 'x', sizeof(entry) - strlen(entry) - 1);
	READ(entry,);
	ck_assert_said("\"a?b?cxxx");
	ck_assert_said("xxx...\"");
	entry[strlen("OTEL_TRACES_SAMPLER=") + 63] = '\0';
	READ(entry,);
	ck_assert_said("xxx\"");
	ck_assert_uint_lt(strlen(said), 400);
	ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
}
END_TEST

START_TEST(more_wrong_settings_than_are_kept_are_counted)
{
	static char names[40][32];
	char *envp[41] = { NULL };

	for (size_t i = 0; i < 40; i++) {
		snprintf(names[i], sizeof(names[i]), "OTELAUTO_ZZZZZZZZZZ%zu=1", i);
		envp[i] = names[i];
	}
	read_settings(envp);
	ck_assert_said("and 24 more settings are wrong");
}
END_TEST

START_TEST(warnings_are_said_once_and_only_at_their_level)
{
	READ("OTEL_TRACES_SAMPLER=x", "OTEL_LOG_LEVEL=error",);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(oa_log_level, OA_LOG_ERROR);
	READ("OTEL_TRACES_SAMPLER=x",);
	ck_assert_said("OTEL_TRACES_SAMPLER");
	say_again();
	ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(globs_match_as_shells_do)
{
	ck_assert(oa_glob_match("*", ""));
	ck_assert(oa_glob_match("a*c", "abbc"));
	ck_assert(oa_glob_match("a*b*c", "axxbybzc"));
	ck_assert(oa_glob_match("a?c", "abc"));
	ck_assert(oa_glob_match("**x", "x"));
	ck_assert(!oa_glob_match("a?c", "ac"));
	ck_assert(!oa_glob_match("a*c", "abcd"));
	ck_assert(!oa_glob_match("", "a"));
	ck_assert(!oa_glob_match("[a]", "a"));
	ck_assert(oa_glob_list_match("x, py* ,z", "python3"));
	ck_assert(!oa_glob_list_match("x,,z", "python3"));
	ck_assert(!oa_glob_list_match("", ""));
}
END_TEST

/* Standard error of what follows, to be read by said_so_far(). */
static int stderr_pipe(void)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[1], 2), 2);
	close(fds[1]);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	return fds[0];
}

static void said_so_far(int fd)
{
	ssize_t n = read(fd, said, sizeof(said) - 1);

	said[n < 0 ? 0 : n] = '\0';
}

static void in_worker(void)
{
	pid_t pid = fork();

	if (!pid) {
		oa_config_warn();
		oa_warn("setting %s is wrong", "A");
		oa_warn("setting %s is wrong", "B");
		oa_err("lost");
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

START_TEST(the_processes_of_a_tree_give_a_warning_once)
{
	int fd = stderr_pipe();

	oa_config_read((char *const[]){ "OTEL_METRICS_EXPORTER=zipkin", "OTEL_BSP_SCHEDULE_DELAY=soon", NULL });
	ck_assert_int_eq(oa_tree_map(), 0);
	for (int i = 0; i < 3; i++)
		in_worker();
	said_so_far(fd);
	ck_assert_str_eq(said, "otelauto: warning: OTEL_BSP_SCHEDULE_DELAY: \"soon\" is not a whole number from 0 to "
			       "2147483647 (ms); using 5000\n"
			       "otelauto: warning: OTEL_METRICS_EXPORTER: \"zipkin\" is not supported by this version; "
			       "using prometheus\n"
			       "otelauto: warning: setting A is wrong\n"
			       "otelauto: warning: setting B is wrong\n"
			       "otelauto: error: lost\notelauto: error: lost\notelauto: error: lost\n");
}
END_TEST

START_TEST(so_many_different_warnings_and_no_more)
{
	int fd = stderr_pipe();

	oa_config_read((char *const[]){ NULL });
	ck_assert_int_eq(oa_tree_map(), 0);
	for (int i = 0; i < 1000; i++)
		oa_warn("wrong: %d", i);
	said_so_far(fd);
	ck_assert_said("wrong: 0\n");
	ck_assert_said("wrong: 30\n");
	ck_assert_not_said("wrong: 100\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, an_empty_environment_gives_the_defaults_and_no_word);
	tcase_add_test(tc, an_empty_value_is_an_unset_one);
	tcase_add_test(tc, values_are_trimmed_and_words_have_no_case);
	tcase_add_test(tc, only_the_word_true_is_true);
	tcase_add_test(tc, the_kill_switches_are_found_alone);
	tcase_add_test(tc, of_two_entries_of_one_name_the_first_counts);
	tcase_add_test(tc, a_number_is_digits_within_its_range_or_the_default);
	tcase_add_test(tc, a_ratio_is_read_without_the_locale);
	tcase_add_test(tc, an_unknown_word_is_shown_as_written_and_ignored);
	tcase_add_test(tc, a_word_of_other_versions_is_told_from_a_mistake);
	tcase_add_test(tc, a_list_skips_what_it_does_not_know_and_collapses_doubles);
	tcase_add_test(tc, none_alone_empties_a_list_and_beside_others_wins);
	tcase_add_test(tc, a_batch_is_not_larger_than_the_queue);
	tcase_add_test(tc, a_name_that_does_not_exist_is_said_with_the_nearest_one);
	tcase_add_test(tc, a_configuration_file_leaves_only_our_own_settings_to_the_environment);
	tcase_add_test(tc, texts_outlive_the_environment_they_came_from);
	tcase_add_test(tc, names_that_are_not_opentelemetrys_are_read_too);
	tcase_add_test(tc, a_text_that_does_not_fit_gives_the_default_and_stays_unsaid);
	tcase_add_test(tc, a_quoted_value_is_one_short_line);
	tcase_add_test(tc, more_wrong_settings_than_are_kept_are_counted);
	tcase_add_test(tc, warnings_are_said_once_and_only_at_their_level);
	tcase_add_test(tc, globs_match_as_shells_do);
	tcase_add_test(tc, the_processes_of_a_tree_give_a_warning_once);
	tcase_add_test(tc, so_many_different_warnings_and_no_more);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
