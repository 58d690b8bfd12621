/* Another thread reads the answer before the one that sent the request has told conn/ about it. */
#include "tests/unit/conn_rig.h"

#include "core/inject_result.h"
#include "core/thread.h"

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct sending {
	struct oa_send s;
	struct iovec iov;
};

static void before(struct sending *k, const char *text)
{
	k->iov = (struct iovec){ (void *)(uintptr_t)text, strlen(text) };
	oa_tls.send_sp = 0; /* each call is another thread's */
	oa_conn_before_send(520, &k->iov, 1, 0, &k->s);
	ck_assert(k->s.watched);
}

static void after(struct sending *k)
{
	size_t n = 0;

	for (int i = 0; k->s.rewrite && i < k->s.iovcnt; i++)
		n += k->s.iov[i].iov_len;
	if (!k->s.rewrite)
		n = k->iov.iov_len;
	ck_assert_int_eq(oa_conn_after_send(&k->s, (ssize_t)n, 0), (ssize_t)k->iov.iov_len);
}

static void expect(const char *target, enum oa_inject_result inject)
{
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	ck_assert(rig_str_is(s, OA_STR_TARGET, target));
	ck_assert_int_eq(s->inject, inject);
	ck_assert_int_eq(s->status, 200);
	ck_assert_int_eq(s->error, OA_ERR_NONE);
}

static void start(void)
{
	rig_start();
	rig_connect(520);
}

START_TEST(early_answer_ends_its_own_request_once)
{
	struct sending a, b;

	start();
	for (int i = 0; i < 3; i++) {
		before(&a, "GET /a HTTP/1.1\r\nHost: up\r\n\r\n");
		rig_receive(520, ANSWER);
		after(&a);
		before(&b, "GET /b HTTP/1.1\r\nHost: up\r\n\r\n");
		after(&b);
		rig_receive(520, ANSWER);
		expect("/a", OA_INJECT_DONE);
		expect("/b", OA_INJECT_DONE);
		ck_assert_ptr_null(rig_next());
	}
}
END_TEST

START_TEST(early_answer_lets_the_next_request_overtake)
{
	struct sending a, b;

	start();
	for (int i = 0; i < 3; i++) {
		before(&a, "GET /a HTTP/1.1\r\nHost: up\r\n\r\n");
		rig_receive(520, ANSWER);
		before(&b, "GET /b HTTP/1.1\r\nHost: up\r\n\r\n");
		after(&a);
		after(&b);
		rig_receive(520, ANSWER);
		expect("/a", OA_INJECT_DONE);
		expect("/b", OA_INJECT_DONE);
		ck_assert_ptr_null(rig_next());
	}
}
END_TEST

START_TEST(early_answer_to_a_body_that_still_goes_out)
{
	struct sending head, next;

	start();
	before(&head, "POST /a HTTP/1.1\r\nHost: up\r\nContent-Length: 30\r\n\r\nfirst");
	rig_receive(520, ANSWER);
	after(&head);
	expect("/a", OA_INJECT_DONE);
	rig_send(520, "GET /no HTTP/1.1\r\n\r\n12345", SIZE_MAX, NULL); /* the rest of the body */
	before(&next, "GET /b HTTP/1.1\r\nHost: up\r\n\r\n");
	after(&next);
	rig_receive(520, ANSWER);
	expect("/b", OA_INJECT_DONE);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(early_answer_of_pipelined_requests)
{
	struct sending both;

	start();
	before(&both, "GET /a HTTP/1.1\r\nHost: up\r\n\r\nGET /b HTTP/1.1\r\nHost: up\r\n\r\n");
	rig_receive(520, ANSWER);
	after(&both);
	rig_receive(520, ANSWER);
	expect("/a", OA_INJECT_DONE);
	expect("/b", OA_INJECT_DONE);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(early_100_continue_keeps_the_body_a_body)
{
	struct sending head;
	char wire[400] = { 0 };

	start();
	before(&head, "POST /a HTTP/1.1\r\nHost: up\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n");
	rig_receive(520, "HTTP/1.1 100 Continue\r\n\r\n");
	rig_send(520, "GET /no HTTP/1.1\r\n\r\n", SIZE_MAX, wire);
	ck_assert_str_eq(wire, "GET /no HTTP/1.1\r\n\r\n");
	after(&head);
	ck_assert_ptr_null(rig_next()); /* the order of the two is unknown: no span rather than a guess */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *t = tcase_create("early_answer");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, early_answer_ends_its_own_request_once);
	tcase_add_test(t, early_answer_lets_the_next_request_overtake);
	tcase_add_test(t, early_answer_to_a_body_that_still_goes_out);
	tcase_add_test(t, early_answer_of_pipelined_requests);
	tcase_add_test(t, early_100_continue_keeps_the_body_a_body);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
