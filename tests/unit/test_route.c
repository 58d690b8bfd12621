/* Routes and names: pipeline/route*.c. */
#include <stdio.h>
#include <stdlib.h>

#include "core/config.h"
#include "make_span.h"
#include "pipeline/processor.h"
#include "pipeline/route.h"

extern const struct oa_processor oa_processor_route;

static void fresh(const char *patterns, int unmatched)
{
	oa_config.routes = patterns;
	oa_config.routes_unmatched = unmatched;
	oa_route_guess_reset();
	ck_assert_int_eq(oa_processor_route.open(), 0);
}

static const struct oa_span *request(const char *path, unsigned status)
{
	static const struct oa_proc_id who;

	make_span(OA_KIND_SERVER)->status = (uint16_t)status;
	make_str(OA_STR_PATH, path);
	ck_assert_int_eq(oa_processor_route.on_span(&made, &who), 0);
	return &made.s;
}

static void run(void)
{
	static const struct oa_proc_id who;

	ck_assert_int_eq(oa_processor_route.on_span(&made, &who), 0);
}

static void check_route(const char *path, const char *route)
{
	check_str(request(path, 200), OA_STR_ROUTE, route);
}

static bool matches(const char *pattern, const char *path)
{
	return oa_route_pattern_match(oa_bytes_str(pattern), oa_bytes_str(path));
}

START_TEST(patterns_match_segment_by_segment)
{
	ck_assert(matches("/users/{id}", "/users/1"));
	ck_assert(matches("/users/:id", "/users/1"));
	ck_assert(matches("/users/:id/x", "/users/1/x"));
	ck_assert(matches("/users/{id}.json", "/users/1.json"));
	ck_assert(matches("/a/*/b", "/a/x/b"));
	ck_assert(matches("/", "/"));
	ck_assert(!matches("/users/{id}", "/users/"));
	ck_assert(!matches("/users/{id}", "/users"));
	ck_assert(!matches("/users/{id}", "/users/1/x"));
	ck_assert(!matches("/users/{id}", "/user/1"));
	ck_assert(!matches("/users/{id}.json", "/users/.json"));
	ck_assert(!matches("/a/*/b", "/a//b"));
	ck_assert(!matches("/", "/x"));
}
END_TEST

START_TEST(a_star_at_the_end_matches_the_rest)
{
	ck_assert(matches("/static/*", "/static/a/b.js"));
	ck_assert(matches("/static/*", "/static/"));
	ck_assert(!matches("/static/*", "/static"));
	ck_assert(matches("/static/**", "/static/a/b"));
	ck_assert(matches("/v{n}/*", "/v2/a/b"));
	ck_assert(matches("/api*", "/api2/x"));
	ck_assert(matches("/*", "/"));
	ck_assert(!matches("/static/*", "/other/static/x"));
}
END_TEST

START_TEST(the_first_pattern_that_matches_wins_also_for_refused_requests)
{
	fresh(" /users/me , /users/{id},nonsense,/static/*", 0);
	check_route("/users/me", "/users/me");
	check_route("/users/7", "/users/{id}");
	check_str(request("/users/7", 404), OA_STR_ROUTE, "/users/{id}");
	check_route("/static/a/b", "/static/*");
}
END_TEST

START_TEST(what_is_no_pattern_is_skipped)
{
	char list[2 * OA_ROUTE_MAX] = "*,/\"x,/b";

	fresh(list, 3);
	check_route("/a/1", "");
	check_route("/b", "/b");
	memset(list, 'x', OA_ROUTE_MAX);
	list[0] = '/';
	list[OA_ROUTE_MAX] = '*';
	list[OA_ROUTE_MAX + 1] = '\0';
	fresh(list, 3);
	list[OA_ROUTE_MAX] = '\0';
	check_route(list, "");
}
END_TEST

START_TEST(unmatched_requests_get_what_the_setting_says)
{
	fresh("/a", 1);
	check_route("/x/1", "/**");
	check_str(request("/x", 404), OA_STR_ROUTE, "");
	fresh("/a", 2);
	check_route("/x/1", "/x/1");
	check_route("/x\xff", "");
	fresh("/a", 3);
	check_route("/x/1", "");
	check_route("/a", "/a");
}
END_TEST

START_TEST(values_become_placeholders)
{
	static const char *const ids[] = {
		"1",
		"12",
		"123456",
		"-5",
		"12.5",
		"2024-01-31",
		"2024-01-31T10:00:00Z",
		"48.85,2.35",
		"3f2504e0-4f89-11d3-9a0c-0305e82c3301",
		"3F2504E0-4F89-11D3-9A0C-0305E82C3301",
		"deadbeef",
		"5eb63bbbe01eeed0",
		"507f1f77bcf86cd799439011",
		"bob@example.org",
		"bob%40example.org",
		"cus_9s6XKzkNRiz8i3",
		"dQw4w9WgXcQ",
		"user12345",
		"order-10001",
		"a1z2c3",
		"KzNrRiQxWbTd",
		"bcdfghjklmnp",
		"aGVsbG8gd29ybGQgMQ",
		"a=b",
		"my%20file",
		"a-very-long-title-of-an-article-that-goes-on-and-on",
		"ORD-2024-000123",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV",
	};

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		char path[128];

		fresh("", 0);
		snprintf(path, sizeof(path), "/things/%s/x", ids[i]);
		check_route(path, "/things/{id}/x");
	}
}
END_TEST

START_TEST(names_stay)
{
	static const char *const names[] = {
		"users",
		"v1",
		"V2",
		"v1.2",
		"api",
		"sha256",
		"base64",
		"oauth2",
		"k8s",
		"log4j",
		"getUserInfo",
		"getHTTPStatus",
		"my-page",
		"snake_case_name",
		"healthz",
		"index.html",
		"app.min.js",
		"robots.txt",
		".well-known",
		"covid-19",
		"i18n",
		"wp-login.php",
		"rhythms",
		"strengths",
		"XMLHttpRequest",
		"books:list",
		"~bob",
		"favicon.ico",
		"transactions",
		"utf8",
		"http2",
		"s3",
		"graphql",
		"facade",
		"decade",
		"accede",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char path[128];

		fresh("", 0);
		snprintf(path, sizeof(path), "/%s", names[i]);
		check_route(path, path);
	}
}
END_TEST

START_TEST(files_with_made_up_names_keep_their_extension)
{
	fresh("", 0);
	check_route("/assets/app.3f4a9c81.js", "/assets/{id}.js");
	check_route("/img/1234.png", "/img/{id}.png");
	check_route("/img/logo.png", "/img/logo.png");
}
END_TEST

START_TEST(slashes_parameters_and_odd_bytes_make_no_templates_of_their_own)
{
	fresh("", 0);
	check_route("/", "/");
	check_route("//a///b/", "/a/b");
	check_route("/a;jsessionid=1234/b;x", "/a/b");
	check_route("/a/\xc3\xa9/b", "/a/*/b");
	check_route("/a/<script>/b", "/a/*/b");
	check_route("/../x", "/*/x");
	check_route("/{id}", "/*");
}
END_TEST

START_TEST(the_eleventh_name_under_a_prefix_is_a_star)
{
	char path[64];

	fresh("", 0);
	for (char c = 'a'; c < 'a' + 10; c++) {
		snprintf(path, sizeof(path), "/blog/post-%c", c);
		check_route(path, path);
	}
	check_route("/blog/post-z", "/blog/*");
	check_route("/blog/post-y/comments", "/blog/*/comments");
	check_route("/blog/post-a", "/blog/post-a");
	check_route("/blog/17", "/blog/{id}");
	check_route("/other/post-z", "/other/post-z");
}
END_TEST

START_TEST(a_refused_request_gets_a_route_only_when_others_showed_it)
{
	fresh("", 0);
	check_str(request("/wp-admin/setup.php", 404), OA_STR_ROUTE, "");
	check_str(request("/users/7", 404), OA_STR_ROUTE, "");
	check_str(request("/users/7", 403), OA_STR_ROUTE, "");
	check_str(request("/users/7", 500), OA_STR_ROUTE, "/users/{id}");
	check_str(request("/users/8", 404), OA_STR_ROUTE, "/users/{id}");
	check_str(request("/users", 404), OA_STR_ROUTE, "");
	check_str(request("/wp-admin/setup.php", 404), OA_STR_ROUTE, "");
}
END_TEST

START_TEST(refused_requests_use_up_no_places)
{
	char path[64];

	fresh("", 0);
	for (char c = 'a'; c <= 'z'; c++) {
		snprintf(path, sizeof(path), "/scan-%c", c);
		check_str(request(path, 404), OA_STR_ROUTE, "");
	}
	check_route("/users", "/users");
}
END_TEST

START_TEST(templates_stay_few_and_short_whatever_is_asked_for)
{
	static char seen[4096][OA_ROUTE_MAX + 1];
	unsigned count = 0;
	uint64_t random = 1;

	fresh("", 0);
	for (unsigned i = 0; i < 50000; i++) {
		char path[700] = "", route[OA_ROUTE_MAX];
		unsigned segments, at = 0, k = 0;
		size_t len;

		random = random * 6364136223846793005u + 1442695040888963407u;
		segments = 1 + (unsigned)(random >> 60);
		for (unsigned s = 0; s < segments; s++) {
			unsigned letters = 1 + (unsigned)(random >> (s + 20) & 31);

			path[at++] = '/';
			for (unsigned l = 0; l < letters; l++)
				path[at++] = "aeioubcd"[(random >> (l + s) & 7)];
			random = random * 6364136223846793005u + 1442695040888963407u;
		}
		len = oa_route_guess(oa_bytes(path, at), true, route);
		ck_assert_uint_le(len, OA_ROUTE_MAX);
		while (k < count &&
		       (strlen(seen[k]) != len || memcmp(seen[k], route, len) != 0))
			k++;
		if (k < count)
			continue;
		ck_assert_uint_lt(count, 4096);
		memcpy(seen[count++], route, len);
	}
	ck_assert_uint_lt(count, 2100);
}
END_TEST

START_TEST(only_answered_requests_to_a_server_have_a_route)
{
	fresh("/a", 0);
	make_span(OA_KIND_SERVER)->flags &= ~OA_SPAN_HAS_STATUS;
	make_str(OA_STR_PATH, "/a");
	run();
	check_str(&made.s, OA_STR_ROUTE, "");
	check_str(&made.s, OA_STR_NAME, "GET");

	make_span(OA_KIND_CLIENT);
	make_str(OA_STR_PATH, "/a");
	run();
	check_str(&made.s, OA_STR_ROUTE, "");
	check_str(&made.s, OA_STR_NAME, "GET");

	make_span(OA_KIND_SERVER)->method = OA_METHOD_OPTIONS;
	make_str(OA_STR_PATH, "*");
	run();
	check_str(&made.s, OA_STR_ROUTE, "");
}
END_TEST

START_TEST(spans_are_named_by_method_and_route)
{
	fresh("/a/{x}", 0);
	check_str(request("/a/b", 200), OA_STR_NAME, "GET /a/{x}");

	make_span(OA_KIND_SERVER)->method = OA_METHOD_OTHER;
	make_str(OA_STR_METHOD, "BREW");
	make_str(OA_STR_PATH, "/a/b");
	run();
	check_str(&made.s, OA_STR_NAME, "HTTP /a/{x}");
}
END_TEST

START_TEST(the_list_of_known_methods_decides_which_are_in_names)
{
	fresh("/a/{x}", 0);
	oa_config.known_methods = "BREW";
	check_str(request("/a/b", 200), OA_STR_NAME, "HTTP /a/{x}");

	make_span(OA_KIND_SERVER)->method = OA_METHOD_OTHER;
	make_str(OA_STR_METHOD, "BREW");
	make_str(OA_STR_PATH, "/a/b");
	run();
	check_str(&made.s, OA_STR_NAME, "BREW /a/{x}");
}
END_TEST

START_TEST(tunnels_and_failed_connections_have_names_of_their_own)
{
	make_span(OA_KIND_CLIENT)->what = OA_WHAT_CONNECT;
	run();
	check_str(&made.s, OA_STR_NAME, "connect");

	make_span(OA_KIND_SERVER)->what = OA_WHAT_TUNNEL;
	make_str(OA_STR_UPGRADE, "websocket");
	run();
	check_str(&made.s, OA_STR_NAME, "websocket");
	check_str(&made.s, OA_STR_ROUTE, "");

	make_span(OA_KIND_SERVER)->what = OA_WHAT_TUNNEL;
	make_str(OA_STR_UPGRADE, "web socket");
	run();
	check_str(&made.s, OA_STR_NAME, "tunnel");

	make_span(OA_KIND_CLIENT)->what = OA_WHAT_TUNNEL;
	make_str(OA_STR_UPGRADE, "connect");
	run();
	check_str(&made.s, OA_STR_NAME, "CONNECT tunnel");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("route");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, patterns_match_segment_by_segment);
	tcase_add_test(tc, a_star_at_the_end_matches_the_rest);
	tcase_add_test(tc, the_first_pattern_that_matches_wins_also_for_refused_requests);
	tcase_add_test(tc, what_is_no_pattern_is_skipped);
	tcase_add_test(tc, unmatched_requests_get_what_the_setting_says);
	tcase_add_test(tc, values_become_placeholders);
	tcase_add_test(tc, names_stay);
	tcase_add_test(tc, files_with_made_up_names_keep_their_extension);
	tcase_add_test(tc, slashes_parameters_and_odd_bytes_make_no_templates_of_their_own);
	tcase_add_test(tc, the_eleventh_name_under_a_prefix_is_a_star);
	tcase_add_test(tc, a_refused_request_gets_a_route_only_when_others_showed_it);
	tcase_add_test(tc, refused_requests_use_up_no_places);
	tcase_add_test(tc, templates_stay_few_and_short_whatever_is_asked_for);
	tcase_add_test(tc, only_answered_requests_to_a_server_have_a_route);
	tcase_add_test(tc, spans_are_named_by_method_and_route);
	tcase_add_test(tc, the_list_of_known_methods_decides_which_are_in_names);
	tcase_add_test(tc, tunnels_and_failed_connections_have_names_of_their_own);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
