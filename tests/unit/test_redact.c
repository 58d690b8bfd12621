/* What pipeline/redact.c takes out of a record, and how it splits targets. */
#include <stdio.h>
#include <stdlib.h>

#include "core/config.h"
#include "make_span.h"
#include "pipeline/processor.h"

extern const struct oa_processor oa_processor_redact;

static void redact(const char *keys)
{
	static const struct oa_proc_id who;

	oa_config.redact_query = keys;
	ck_assert_int_eq(oa_processor_redact.open(), 0);
	ck_assert_int_eq(oa_processor_redact.on_span(&made, &who), 0);
}

#define LONG_NAME \
	"a_name_of_many_letters_a_name_of_many_letters_a_name_of_many_letters_a_name_of_many_letters_" \
	"a_name_of_many_letters_a_name_of_many_letters_a_name_of_many_letters_a_name_of_many_letters_"

static void check_query(const char *keys, const char *target, const char *query)
{
	make_span(OA_KIND_SERVER);
	make_str(OA_STR_TARGET, target);
	redact(keys);
	check_str(&made.s, OA_STR_QUERY, query);
	check_str(&made.s, OA_STR_TARGET, "");
}

START_TEST(a_target_is_split_into_path_and_query)
{
	make_span(OA_KIND_SERVER);
	make_str(OA_STR_TARGET, "/a/b?x=1&y=2");
	redact("sig");
	check_str(&made.s, OA_STR_PATH, "/a/b");
	check_str(&made.s, OA_STR_QUERY, "x=1&y=2");
	check_str(&made.s, OA_STR_TARGET, "");
	check_query("sig", "/a", "");
	check_query("sig", "/a?", "");
	check_query("sig", "/a?x=1#y", "x=1");
}
END_TEST

START_TEST(secret_values_are_replaced_and_keys_are_kept)
{
	check_query("sig,token", "/a?sig=abc", "sig=REDACTED");
	check_query("sig, token ", "/a?x=1&token=abc&y=2&sig=def&token=",
		    "x=1&token=REDACTED&y=2&sig=REDACTED&token=REDACTED");
	check_query("sig", "/a?sig", "sig");
	check_query("sig", "/a?sig=a=b", "sig=REDACTED");
}
END_TEST

START_TEST(names_are_compared_whole_and_with_their_case)
{
	check_query("sig", "/a?Sig=1&sigx=2&xsig=3&=4", "Sig=1&sigx=2&xsig=3&=4");
}
END_TEST

/* Settings are cut there: better too much is replaced than too little. */
START_TEST(a_name_longer_than_64_bytes_is_known_by_its_beginning)
{
	char key[80], target[100], query[100];

	memset(key, 'k', 70);
	key[70] = '\0';
	(void)snprintf(target, sizeof(target), "/a?%s=abc", key);
	(void)snprintf(query, sizeof(query), "%s=REDACTED", key);
	check_query(key, target, query);
	check_query("sig", target, target + 3);
}
END_TEST

START_TEST(a_percent_encoded_name_is_recognised)
{
	check_query("sig,token", "/a?s%69g=abc&%74oken=x&%zz=1&si%6",
		    "s%69g=REDACTED&%74oken=REDACTED&%zz=1&si%6");
}
END_TEST

START_TEST(a_secret_is_found_wherever_it_stands)
{
	char target[400], query[400];

	for (int before = 0; before < 150; before++) {
		(void)snprintf(target, sizeof(target), "/a?%.*s=1&sig=abc&y", before, LONG_NAME);
		(void)snprintf(query, sizeof(query), "%.*s=1&sig=REDACTED&y", before, LONG_NAME);
		check_query("sig", target, query);
		(void)snprintf(target, sizeof(target), "/a?x=%.*s&%%73%%69g=abc", before, LONG_NAME);
		(void)snprintf(query, sizeof(query), "x=%.*s&%%73%%69g=REDACTED", before, LONG_NAME);
		check_query("sig", target, query);
		(void)snprintf(target, sizeof(target), "/a?x=%%73%.*s&sih=abc", before, LONG_NAME);
		check_query("sig", target, target + 3);
	}
}
END_TEST

START_TEST(a_semicolon_starts_a_name_but_does_not_end_a_secret)
{
	check_query("sig", "/a?x=1;sig=abc;def&y=2;z=3", "x=1;sig=REDACTED&y=2;z=3");
}
END_TEST

START_TEST(a_star_redacts_all_and_none_redacts_nothing)
{
	check_query("*", "/a?x=1&y&z=3", "x=REDACTED&y&z=REDACTED");
	check_query("none", "/a?sig=1", "sig=1");
	check_query("", "/a?sig=1", "sig=1");
}
END_TEST

START_TEST(a_query_that_grows_is_cut_at_its_limit_and_shows_nothing)
{
	char target[OA_TARGET_TEXT_MAX + 1] = "/a?";

	for (size_t at = 3; at + 5 < sizeof(target); at += 4)
		memcpy(target + at, "s=q&", 5);
	make_span(OA_KIND_SERVER);
	make_str(OA_STR_TARGET, target);
	redact("s");
	ck_assert(!span_shows(&made.s, "=q"));
	ck_assert_uint_eq(oa_span_str(&made.s, OA_STR_QUERY).len,
			  (strlen(target) - 3) / 4 * 11);
}
END_TEST

START_TEST(a_servers_absolute_target_names_host_and_path)
{
	make_span(OA_KIND_SERVER);
	make_str(OA_STR_HOST, "other");
	make_str(OA_STR_TARGET, "http://bob:pw@example.org:81/p?sig=1");
	redact("sig");
	check_str(&made.s, OA_STR_HOST, "example.org:81");
	check_str(&made.s, OA_STR_PATH, "/p");
	check_str(&made.s, OA_STR_QUERY, "sig=REDACTED");
	check_str(&made.s, OA_STR_TARGET, "");
	ck_assert(!span_shows(&made.s, "bob"));
}
END_TEST

START_TEST(a_clients_absolute_target_is_kept_whole_without_secrets)
{
	make_span(OA_KIND_CLIENT);
	make_str(OA_STR_TARGET, "http://bob:p@w@example.org?sig=1#frag");
	redact("sig");
	check_str(&made.s, OA_STR_TARGET,
		  "http://REDACTED:REDACTED@example.org/?sig=REDACTED");
	check_str(&made.s, OA_STR_HOST, "example.org");
	check_str(&made.s, OA_STR_PATH, "/");
	ck_assert(!span_shows(&made.s, "bob"));

	make_span(OA_KIND_CLIENT);
	make_str(OA_STR_TARGET, "https://example.org/x");
	redact("sig");
	check_str(&made.s, OA_STR_TARGET, "https://example.org/x");
}
END_TEST

START_TEST(the_asterisk_is_a_path_and_a_tunnels_target_a_host)
{
	make_span(OA_KIND_SERVER)->method = OA_METHOD_OPTIONS;
	make_str(OA_STR_TARGET, "*");
	redact("sig");
	check_str(&made.s, OA_STR_PATH, "*");

	make_span(OA_KIND_CLIENT)->method = OA_METHOD_CONNECT;
	make_str(OA_STR_TARGET, "u:p@example.org:443");
	redact("sig");
	check_str(&made.s, OA_STR_HOST, "example.org:443");
	check_str(&made.s, OA_STR_PATH, "");
	check_str(&made.s, OA_STR_TARGET, "");
}
END_TEST

START_TEST(an_unsampled_record_keeps_only_what_metrics_need)
{
	make_span(OA_KIND_SERVER)->flags &= ~OA_SPAN_SAMPLED;
	make_str(OA_STR_TARGET, "/p?sig=1");
	redact("sig");
	check_str(&made.s, OA_STR_PATH, "/p");
	check_str(&made.s, OA_STR_QUERY, "");
	check_str(&made.s, OA_STR_TARGET, "");
}
END_TEST

static size_t add_header(uint8_t *at, uint8_t direction, const char *name, const char *value)
{
	uint16_t len = (uint16_t)strlen(value);

	at[0] = direction;
	at[1] = (uint8_t)strlen(name);
	memcpy(at + 2, &len, 2);
	memcpy(at + 4, name, at[1]);
	memcpy(at + 4 + at[1], value, len);
	return 4u + at[1] + len;
}

static void check_header(struct oa_bytes *list, uint8_t direction, const char *name,
			 const char *value)
{
	uint8_t expected[512];
	size_t len = add_header(expected, direction, name, value);

	ck_assert_uint_ge(list->len, len);
	ck_assert_mem_eq(list->ptr, expected, len);
	*list = oa_bytes(list->ptr + len, list->len - len);
}

START_TEST(credentials_in_captured_headers_are_replaced)
{
	uint8_t list[1024];
	struct oa_bytes left;
	size_t len = add_header(list, 0, "authorization", "Bearer secret-1");

	len += add_header(list + len, 0, "x-request-id", "7");
	len += add_header(list + len, 0, "cookie", "s2");
	len += add_header(list + len, 1, "set-cookie", "secret-3; HttpOnly");
	len += add_header(list + len, 0, "proxy-authorization", "");
	make_span(OA_KIND_SERVER);
	oa_span_set_str(&made.s, sizeof(made), OA_STR_HEADERS, oa_bytes(list, len));
	redact("none");
	left = oa_span_str(&made.s, OA_STR_HEADERS);
	check_header(&left, 0, "authorization", "REDACTED");
	check_header(&left, 0, "x-request-id", "7");
	check_header(&left, 0, "cookie", "REDACTED");
	check_header(&left, 1, "set-cookie", "REDACTED");
	check_header(&left, 0, "proxy-authorization", "REDACTED");
	ck_assert_uint_eq(left.len, 0);
}
END_TEST

START_TEST(a_broken_header_list_ends_where_it_breaks)
{
	uint8_t list[64];
	struct oa_bytes left;
	size_t len = add_header(list, 0, "a", "b");

	memcpy(list + len,
	       "\0\x20\xff\xff"
	       "cookie",
	       10);
	make_span(OA_KIND_SERVER);
	oa_span_set_str(&made.s, sizeof(made), OA_STR_HEADERS, oa_bytes(list, len + 10));
	redact("none");
	left = oa_span_str(&made.s, OA_STR_HEADERS);
	check_header(&left, 0, "a", "b");
	ck_assert_uint_eq(left.len, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("redact");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_target_is_split_into_path_and_query);
	tcase_add_test(tc, a_secret_is_found_wherever_it_stands);
	tcase_add_test(tc, secret_values_are_replaced_and_keys_are_kept);
	tcase_add_test(tc, names_are_compared_whole_and_with_their_case);
	tcase_add_test(tc, a_name_longer_than_64_bytes_is_known_by_its_beginning);
	tcase_add_test(tc, a_percent_encoded_name_is_recognised);
	tcase_add_test(tc, a_semicolon_starts_a_name_but_does_not_end_a_secret);
	tcase_add_test(tc, a_star_redacts_all_and_none_redacts_nothing);
	tcase_add_test(tc, a_query_that_grows_is_cut_at_its_limit_and_shows_nothing);
	tcase_add_test(tc, a_servers_absolute_target_names_host_and_path);
	tcase_add_test(tc, a_clients_absolute_target_is_kept_whole_without_secrets);
	tcase_add_test(tc, the_asterisk_is_a_path_and_a_tunnels_target_a_host);
	tcase_add_test(tc, an_unsampled_record_keeps_only_what_metrics_need);
	tcase_add_test(tc, credentials_in_captured_headers_are_replaced);
	tcase_add_test(tc, a_broken_header_list_ends_where_it_breaks);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
