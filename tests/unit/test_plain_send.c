/* Answers sent by calls that nothing is added to: looked at once, afterwards. */
#include <errno.h>

#include "conn_rig.h"
#include "conn/respond.h"
#include "core/thread.h"

#define FD 7
#define REQUEST "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static void serve(void)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, REQUEST);
}

/* What the hook does around the real call, which gave n. returns false when it was not a plain send */
static bool send_plain(const char *text, ssize_t n, int err)
{
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct oa_plain p;

	if (oa_conn_before_plain_send(FD, &p) != OA_PLAIN_ANSWER)
		return false;
	oa_tls.send_sp = 0;
	oa_conn_after_plain_send(FD, &p, &iov, 1, n, err);
	return true;
}

START_TEST(plain_send_of_an_answer_ends_its_exchange)
{
	const struct oa_span *s;

	serve();
	ck_assert(send_plain(ANSWER, (ssize_t)strlen(ANSWER), 0));
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->status, 200);
	ck_assert_uint_eq(s->resp_body, 5);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert_uint_eq(s->evidence, OA_EV_ROOT);
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/a"));
	ck_assert_int_eq(oa_self->active_server[OA_METHOD_GET][0], 0);
}
END_TEST

START_TEST(plain_send_counts_what_the_kernel_took)
{
	serve();
	ck_assert(send_plain(ANSWER, (ssize_t)strlen(ANSWER) - 2, 0));
	ck_assert_ptr_null(rig_next());
	ck_assert(send_plain("lo", 2, 0));
	ck_assert_uint_eq(rig_next()->resp_body, 5);
}
END_TEST

START_TEST(plain_send_of_several_pieces_is_read_across_them)
{
	struct iovec iov[3] = { { NULL, 0 }, { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r", 37 }, { "\nok", 3 } };
	struct oa_plain p;

	serve();
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &p), OA_PLAIN_ANSWER);
	oa_tls.send_sp = 0;
	oa_conn_after_plain_send(FD, &p, iov, 3, 40, 0);
	ck_assert_uint_eq(rig_next()->resp_body, 2);
}
END_TEST

START_TEST(plain_send_that_would_block_leaves_all_as_it_was)
{
	serve();
	ck_assert(send_plain(ANSWER, -1, EAGAIN));
	ck_assert_ptr_null(rig_next());
	ck_assert(send_plain(ANSWER, (ssize_t)strlen(ANSWER), 0));
	ck_assert_uint_eq(rig_next()->error, OA_ERR_NONE);
}
END_TEST

START_TEST(plain_send_that_fails_ends_the_exchange_with_its_error)
{
	serve();
	ck_assert(send_plain(ANSWER, -1, EPIPE));
	ck_assert_uint_eq(rig_next()->error, OA_ERR_EPIPE);
}
END_TEST

START_TEST(plain_send_beside_another_leaves_the_connection_alone)
{
	struct iovec iov = { ANSWER, strlen(ANSWER) };
	struct oa_plain p;

	serve();
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &p), OA_PLAIN_ANSWER);
	oa_tls.send_sp = 0;
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &(struct oa_plain){ 0 }), OA_PLAIN_ANSWER); /* as of another thread */
	oa_tls.send_sp = 0;
	oa_conn_after_plain_send(FD, &p, &iov, 1, (ssize_t)iov.iov_len, 0);
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
}
END_TEST

START_TEST(plain_send_on_a_number_that_means_something_else_by_now_is_not_looked_at)
{
	struct iovec iov = { ANSWER, strlen(ANSWER) };
	struct oa_plain p;

	serve();
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &p), OA_PLAIN_ANSWER);
	oa_tls.send_sp = 0;
	rig_accept(FD, false); /* ends the first one's exchange */
	ck_assert_uint_eq(rig_next()->error, OA_ERR_ABANDONED);
	rig_receive(FD, REQUEST);
	oa_conn_after_plain_send(FD, &p, &iov, 1, (ssize_t)iov.iov_len, 0);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(plain_send_is_none_where_something_may_be_added)
{
	struct oa_plain p;

	serve();
	oa_config.response_headers = OA_RESPONSE_TRACERESPONSE;
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &p), OA_PLAIN_NONE);
	oa_config.response_headers = 0;
	rig_connect(FD + 1);
	ck_assert_int_eq(oa_conn_before_plain_send(FD + 1, &p), OA_PLAIN_NONE);
	rig_accept(FD + 2, false);
	ck_assert_int_eq(oa_conn_before_plain_send(FD + 2, &p), OA_PLAIN_NONE); /* nobody has asked yet */
	ck_assert_int_eq(oa_conn_before_plain_send(FD + 3, &p), OA_PLAIN_NONE);
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &p), OA_PLAIN_ANSWER);
}
END_TEST

START_TEST(plain_send_is_none_within_another)
{
	struct oa_plain p;

	serve();
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &p), OA_PLAIN_ANSWER);
	ck_assert_uint_ne(oa_tls.send_sp, 0);
	ck_assert_int_eq(oa_conn_before_plain_send(FD, &p), OA_PLAIN_NONE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("plain_send");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, plain_send_of_an_answer_ends_its_exchange);
	tcase_add_test(tc, plain_send_counts_what_the_kernel_took);
	tcase_add_test(tc, plain_send_of_several_pieces_is_read_across_them);
	tcase_add_test(tc, plain_send_that_would_block_leaves_all_as_it_was);
	tcase_add_test(tc, plain_send_that_fails_ends_the_exchange_with_its_error);
	tcase_add_test(tc, plain_send_beside_another_leaves_the_connection_alone);
	tcase_add_test(tc, plain_send_on_a_number_that_means_something_else_by_now_is_not_looked_at);
	tcase_add_test(tc, plain_send_is_none_where_something_may_be_added);
	tcase_add_test(tc, plain_send_is_none_within_another);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
