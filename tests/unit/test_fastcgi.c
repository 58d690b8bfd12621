/* Requests by FastCGI as conn/ sees them: parameters become a span like one of HTTP. */
#include "tests/unit/conn_rig.h"

#include "core/stats.h"

#define FD 530

struct bytes {
	uint8_t at[40000];
	size_t len;
};

static void record(struct bytes *b, uint8_t type, const void *content, size_t len)
{
	uint8_t head[8] = { 1, type, 0, 1, (uint8_t)(len >> 8), (uint8_t)len, 0, 0 };

	memcpy(b->at + b->len, head, 8);
	memcpy(b->at + b->len + 8, content, len);
	b->len += 8 + len;
}

static void param(struct bytes *p, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	p->at[p->len++] = (uint8_t)name_len;
	p->at[p->len++] = (uint8_t)(0x80 | value_len >> 24);
	p->at[p->len++] = (uint8_t)(value_len >> 16);
	p->at[p->len++] = (uint8_t)(value_len >> 8);
	p->at[p->len++] = (uint8_t)value_len;
	memcpy(p->at + p->len, name, name_len);
	memcpy(p->at + p->len + name_len, value, value_len);
	p->len += name_len + value_len;
}

static void request(struct bytes *b, const struct bytes *params)
{
	b->len = 0;
	record(b, 1, "\0\1\1\0\0\0\0\0", 8);
	record(b, 4, params->at, params->len);
	record(b, 4, "", 0);
	record(b, 5, "abc", 3);
	record(b, 5, "", 0);
}

static void receive(const struct bytes *b, size_t step)
{
	for (size_t at = 0; at < b->len; at += step) {
		size_t n = b->len - at < step ? b->len - at : step;

		oa_conn_on_received(FD, b->at + at, n, (ssize_t)n, 0, 0);
	}
}

static void answer(const char *text)
{
	struct bytes b = { .len = 0 };
	struct iovec iov = { b.at, 0 };

	record(&b, 6, text, strlen(text));
	record(&b, 6, "", 0);
	record(&b, 3, "\0\0\0\0\0\0\0\0", 8);
	iov.iov_len = b.len;
	ck_assert_int_eq(rig_send_iov(FD, &iov, 1, 0, SIZE_MAX, NULL), (ssize_t)b.len);
}

static void usual(struct bytes *p)
{
	p->len = 0;
	param(p, "REQUEST_METHOD", "POST");
	param(p, "SCRIPT_NAME", "/index.php");
	param(p, "REQUEST_URI", "/shop?x=1");
	param(p, "SERVER_PROTOCOL", "HTTP/2.0");
	param(p, "HTTPS", "on");
	param(p, "REMOTE_ADDR", "192.0.2.7");
	param(p, "HTTP_HOST", "shop.example");
	param(p, "HTTP_USER_AGENT", "tester");
	param(p, "HTTP_TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	param(p, "HTTP_X_EVIL", "a\r\nhost: evil");
}

START_TEST(fastcgi_parameters_are_a_request)
{
	static struct bytes p, b;
	const struct oa_span *s;

	rig_start();
	rig_accept(FD, false);
	usual(&p);
	request(&b, &p);
	for (int turn = 0; turn < 2; turn++) { /* the connection is kept */
		receive(&b, _i ? (size_t)_i : b.len);
		ck_assert_ptr_null(rig_next());
		answer("Status: 404 Not Found\r\nContent-Type: text/html\r\n\r\nno");
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_int_eq(s->kind, OA_KIND_SERVER);
		ck_assert_int_eq(s->what, OA_WHAT_HTTP);
		ck_assert_int_eq(s->method, OA_METHOD_POST);
		ck_assert_int_eq(s->status, 404);
		ck_assert_int_eq(s->version, 20);
		ck_assert_uint_eq(s->req_body, 3);
		ck_assert_int_eq(s->error, OA_ERR_NONE);
		ck_assert(rig_str_is(s, OA_STR_TARGET, "/shop?x=1"));
		ck_assert(rig_str_is(s, OA_STR_HOST, "shop.example"));
		ck_assert(rig_str_is(s, OA_STR_USER_AGENT, "tester"));
		ck_assert(rig_str_is(s, OA_STR_FWD_FOR, "192.0.2.7"));
		ck_assert(rig_str_is(s, OA_STR_FWD_PROTO, "https"));
		ck_assert(!memcmp(s->parent_id, "\xb7\xad\x6b\x71\x69\x20\x33\x31", 8));
		ck_assert_ptr_null(rig_next());
	}
}
END_TEST

START_TEST(fastcgi_what_is_too_long_is_cut_or_left_out)
{
	static char target[4000], field[2001];
	static struct bytes p, b;
	const struct oa_span *s;

	memset(target, 'a', sizeof(target) - 1);
	target[0] = '/';
	memset(field, 'b', sizeof(field) - 1);
	rig_start();
	rig_accept(FD, false);
	p.len = 0;
	param(&p, "REQUEST_URI", target);
	param(&p, "REQUEST_METHOD", "GET");
	for (int i = 0; i < 12; i++)
		param(&p, "HTTP_X_FORWARDED_HOST", field);
	request(&b, &p);
	receive(&b, b.len);
	answer("\r\n");
	s = rig_next();
	ck_assert(s && s->status == 200);
	ck_assert_uint_eq(oa_span_str(s, OA_STR_TARGET).len, OA_TARGET_TEXT_MAX);
}
END_TEST

START_TEST(fastcgi_a_request_without_a_method_is_not_guessed_at)
{
	static struct bytes p, b;

	rig_start();
	rig_accept(FD, false);
	param(&p, "SCRIPT_NAME", "/status");
	request(&b, &p);
	receive(&b, b.len);
	answer("\r\n");
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_parse), 1);
}
END_TEST

START_TEST(fastcgi_a_connection_that_closes_in_between_gives_back_what_it_took)
{
	static struct bytes p, b;

	rig_start();
	usual(&p);
	request(&b, &p);
	b.len = 60; /* among the parameters */
	for (int i = 0; i < 5000; i++) { /* more than there are blocks */
		rig_accept(FD, false);
		receive(&b, b.len);
		oa_conn_before_close(FD);
	}
	rig_accept(FD, false);
	request(&b, &p);
	receive(&b, b.len);
	answer("\r\n");
	ck_assert_ptr_nonnull(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_pool) + oa_stat_sum(OA_STAT_drop_text_pool), 0);
}
END_TEST

START_TEST(fastcgi_the_web_server_s_side_is_left_alone)
{
	static struct bytes p, b;
	struct iovec iov = { b.at, 0 };

	rig_start();
	rig_connect(FD);
	usual(&p);
	request(&b, &p);
	iov.iov_len = b.len;
	ck_assert_int_eq(rig_send_iov(FD, &iov, 1, 0, SIZE_MAX, NULL), (ssize_t)b.len);
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_not_http), 1);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("fastcgi");
	Suite *suite = suite_create("conn");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, fastcgi_parameters_are_a_request, 0, 20);
	tcase_add_test(tc, fastcgi_what_is_too_long_is_cut_or_left_out);
	tcase_add_test(tc, fastcgi_a_request_without_a_method_is_not_guessed_at);
	tcase_add_test(tc, fastcgi_a_connection_that_closes_in_between_gives_back_what_it_took);
	tcase_add_test(tc, fastcgi_the_web_server_s_side_is_left_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
