/* Rules: from JSON into the table, and from a request to its class. */
#include "pipeline/rules_json.h"

#include "core/config.h"
#include "sampler/keep.h"
#include "sampler/rules.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char why[200];

static enum oa_rules_end read_rules(const char *text, double ratio)
{
	why[0] = 0;
	return oa_rules_read(text, strlen(text), ratio, 7, why, sizeof(why));
}

static void put(const char *text)
{
	ck_assert_msg(read_rules(text, 1) == OA_RULES_DONE, "%s", why);
}

/* "GET /path?query host|header: value" */
static const char *asked_header;

static struct oa_bytes header(const void *message, struct oa_bytes name)
{
	const char *text = message, *at = strstr(text, ": ");

	if (!at || !oa_bytes_eq(oa_bytes(text, (size_t)(at - text)), name))
		return (struct oa_bytes){ 0 };
	return oa_bytes_str(at + 2);
}

static struct oa_sample_request request_of(const char *line)
{
	static struct oa_addr peer = { .family = 4, .port = 5000, .ip = { 10, 0, 200, 7 } };
	struct oa_bytes rest = oa_bytes_str(line);
	size_t method = strcspn(line, " "), target = strcspn(line + method + 1, " ");
	struct oa_sample_request r = { .kind = OA_KIND_SERVER, .port = 8080, .peer = &peer, .header = header };

	r.method_text = oa_bytes(rest.ptr, method);
	r.method = oa_method_parse(r.method_text);
	r.target = oa_bytes(rest.ptr + method + 1, target);
	r.host = OA_LIT("shop.example:80");
	r.user_agent = OA_LIT("curl/8.1");
	r.message = asked_header ? asked_header : "";
	return r;
}

static const char *class_of(const char *line)
{
	struct oa_sampling *s = oa_sampling();
	struct oa_sample_request r = request_of(line);

	return s->cls[oa_rule_find(&s->table[s->table_version & 1], &r)->cls].name;
}

START_TEST(request_belongs_to_the_first_rule_that_matches)
{
	put("{\"rules\": ["
	    "{\"name\": \"health\", \"route\": \"/healthz\", \"ratio\": 0},"
	    "{\"name\": \"pay\", \"method\": \"POST\", \"route\": \"/shops/{shop}/pay\", \"ratio\": 1},"
	    "{\"name\": \"me\", \"route\": \"/users/me\", \"ratio\": 0.2},"
	    "{\"name\": \"user\", \"route\": \"/users/:id\", \"ratio\": 0.1},"
	    "{\"name\": \"static\", \"route\": \"/static/*\", \"ratio\": 0.01},"
	    "{\"name\": \"writes\", \"method\": [\"POST\", \"PUT\"], \"ratio\": 0.5}]}");
	ck_assert_str_eq(class_of("GET /healthz"), "health");
	ck_assert_str_eq(class_of("GET /healthz?x=/y"), "health");
	ck_assert_str_eq(class_of("GET /healthz/"), "default");
	ck_assert_str_eq(class_of("POST /shops/7/pay"), "pay");
	ck_assert_str_eq(class_of("GET /shops/7/pay"), "default");
	ck_assert_str_eq(class_of("PUT /shops/7/pay"), "writes");
	ck_assert_str_eq(class_of("GET /users/me"), "me");
	ck_assert_str_eq(class_of("GET /users/77"), "user");
	ck_assert_str_eq(class_of("GET /users/77/x"), "default");
	ck_assert_str_eq(class_of("GET /static/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o.png"), "static");
	ck_assert_str_eq(class_of("GET http://other/users/me"), "me");
	ck_assert_str_eq(class_of("PATCH /"), "default");
}
END_TEST

START_TEST(request_is_known_by_its_headers_and_attributes)
{
	put("{\"rules\": ["
	    "{\"name\": \"debug\", \"header\": {\"X-Debug\": \"1\"}, \"ratio\": 1},"
	    "{\"name\": \"any\", \"header\": {\"x-any\": \"*\"}, \"ratio\": 1},"
	    "{\"name\": \"bots\", \"attribute\": {\"user_agent.original\": \"*bot*\"}, \"ratio\": 0},"
	    "{\"name\": \"net\", \"attribute\": {\"network.peer.address\": \"10.0.*\", \"server.port\": \"8080\","
	    " \"url.query\": \"*full=1*\", \"span.kind\": \"server\", \"url.scheme\": \"http\","
	    " \"server.address\": \"shop.*\"}, \"ratio\": 1}]}");
	asked_header = "x-debug: 1";
	ck_assert_str_eq(class_of("GET /"), "debug");
	asked_header = "x-debug: 0";
	ck_assert_str_eq(class_of("GET /"), "default");
	asked_header = "x-any: thing";
	ck_assert_str_eq(class_of("GET /"), "any");
	asked_header = NULL;
	ck_assert_str_eq(class_of("GET /?full=1"), "net");
	ck_assert_str_eq(class_of("GET /?full=0"), "default");
}
END_TEST

static const struct {
	const char *json, *why;
} wrong[] = {
	{ "", "it is no JSON object" },
	{ "[]", "it is no JSON object" },
	{ "{\"rule\": []}", "a key is none of default, rules" },
	{ "{\"rules\": {}}", "rules is no list" },
	{ "{\"default\": 2}", "default is not a number from 0 to 1" },
	{ "{\"default\": {\"route\": \"/\"}}", "default has a key that is none of ratio, rate, weight" },
	{ "{\"rules\": [{\"route\": \"x\"}]}", "rule 1: route does not begin with / or is longer than 160 bytes" },
	{ "{\"rules\": [{}, {\"ratio\": -1}]}", "rule 2: ratio is not a number from 0 to 1" },
	{ "{\"rules\": [{\"method\": \"get\"}]}", "rule 1: a method is none of" },
	{ "{\"rules\": [{\"weight\": 0}]}", "rule 1: weight is not a number above 0" },
	{ "{\"rules\": [{\"atribute\": {}}]}", "rule 1: a key is none of name" },
	{ "{\"rules\": [{\"attribute\": {\"http.route\": \"/\"}}]}", "rule 1: an attribute is not known" },
	{ "{\"rules\": [{\"header\": {\"x\": 1}}]}", "rule 1: the value of a header or attribute is no text" },
	{ "{\"rules\": [7]}", "rule 1: a rule is no object" },
};

START_TEST(rules_that_are_wrong_say_why_and_change_nothing)
{
	put("{\"rules\": [{\"name\": \"mine\", \"route\": \"/a\", \"ratio\": 0.5}]}");
	ck_assert_int_eq(read_rules(wrong[_i].json, 1), OA_RULES_WRONG);
	ck_assert_msg(!strncmp(why, wrong[_i].why, strlen(wrong[_i].why)), "%s", why);
	ck_assert_str_eq(class_of("GET /a"), "mine");
	put("{}"); /* nobody holds the pen */
	ck_assert_str_eq(class_of("GET /a"), "default");
}
END_TEST

static struct oa_decision decide(const char *line, uint64_t random, uint64_t now_ns)
{
	struct oa_sample_request r = request_of(line);
	struct oa_sample_ask ask = { .random = random, .now_ns = now_ns, .request = &r };
	struct oa_decision d = { .threshold = OA_TH_NONE };

	oa_keep_rules(&ask, &d);
	return d;
}

START_TEST(every_class_decides_in_its_own_way)
{
	unsigned kept = 0;

	put("{\"default\": 0.25, \"rules\": ["
	    "{\"route\": \"/none\", \"ratio\": 0}, {\"route\": \"/all\", \"ratio\": 1},"
	    "{\"route\": \"/some\", \"rate\": 3}]}");
	ck_assert(!decide("GET /none", OA_TH_RANGE - 1, 1).sampled);
	ck_assert(decide("GET /all", 0, 1).sampled);
	ck_assert(decide("GET /x", 0xc0000000000000, 1).sampled);
	ck_assert(!decide("GET /x", 0xbfffffffffffff, 1).sampled);
	ck_assert_uint_eq(decide("GET /x", 0xc0000000000000, 1).threshold, 0xc0000000000000);
	for (unsigned i = 0; i < 100; i++)
		kept += decide("GET /some", 0, 5000000000).sampled;
	ck_assert_uint_eq(kept, 3);
}
END_TEST

START_TEST(reading_again_keeps_the_state_of_classes_by_name)
{
	struct oa_sampling *s = oa_sampling();
	uint8_t a, b;

	put("{\"rules\": [{\"name\": \"a\", \"route\": \"/a\", \"rate\": 1}, {\"name\": \"b\", \"route\": \"/b\", \"ratio\": 0.5}]}");
	a = decide("GET /a", 0, 1000000000).rule;
	b = decide("GET /b", 0, 1000000000).rule;
	ck_assert(a && b && a != b);
	s->cls[b].seen = 42;
	put("{\"rules\": [{\"name\": \"b\", \"route\": \"/b\", \"ratio\": 0.25}, {\"name\": \"a\", \"route\": \"/aa\", \"rate\": 1}]}");
	ck_assert_uint_eq(decide("GET /b", 0, 1000000000).rule, b);
	ck_assert_uint_eq(s->cls[b].seen, 42);
	ck_assert_uint_eq(s->cls[b].threshold, oa_th_of(0.25));
	ck_assert(!decide("GET /aa", 0, 1000000001).sampled); /* its bucket is as empty as before */
	put("{}");
	ck_assert(!s->cls[a].used && !s->cls[b].used);
	ck_assert_str_eq(class_of("GET /b"), "default");
}
END_TEST

START_TEST(two_rules_of_one_name_are_two_classes)
{
	put("{\"rules\": [{\"name\": \"x\", \"route\": \"/a\"}, {\"name\": \"x\", \"route\": \"/b\"}]}");
	ck_assert_str_eq(class_of("GET /a"), "x");
	ck_assert_str_eq(class_of("GET /b"), "x#002");
}
END_TEST

START_TEST(table_holds_255_rules_and_refuses_more)
{
	static char text[40000];
	size_t len = 0;

	for (unsigned count = 255; count <= 256; count++) {
		len = (size_t)sprintf(text, "{\"rules\": [");
		for (unsigned i = 0; i < count; i++)
			len += (size_t)sprintf(text + len, "%s{\"route\": \"/r/%u\", \"ratio\": 0.5}", i ? "," : "", i);
		sprintf(text + len, "]}");
		ck_assert_int_eq(read_rules(text, 1), count == 255 ? OA_RULES_DONE : OA_RULES_WRONG);
		ck_assert_str_eq(class_of("GET /r/254"), "/r/254");
		ck_assert_str_eq(class_of("GET /r/0"), "/r/0");
	}
	put("{\"rules\": [{\"route\": \"/new\"}]}");
	ck_assert_str_eq(class_of("GET /new"), "/new");
	put(strcat(strncpy(text, "{\"rules\": [{\"route\": \"/r/9\"}", 100), "]}"));
	ck_assert_str_eq(class_of("GET /r/9"), "/r/9");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sampler");
	TCase *tc = tcase_create("rules");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, request_belongs_to_the_first_rule_that_matches);
	tcase_add_test(tc, request_is_known_by_its_headers_and_attributes);
	tcase_add_loop_test(tc, rules_that_are_wrong_say_why_and_change_nothing, 0, sizeof(wrong) / sizeof(*wrong));
	tcase_add_test(tc, every_class_decides_in_its_own_way);
	tcase_add_test(tc, reading_again_keeps_the_state_of_classes_by_name);
	tcase_add_test(tc, two_rules_of_one_name_are_two_classes);
	tcase_add_test(tc, table_holds_255_rules_and_refuses_more);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
