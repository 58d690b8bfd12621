/* Bytes of a connection, cut anywhere, to its parser; and what is done about bytes that are none of HTTP's. */
#include "tests/unit/conn_rig.h"

#include "conn/feed.h"

#define FD 510

static const char request[] = "POST /p?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
static const char response[] = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n";

static void receive(int fd, const char *bytes, size_t len)
{
	if (len)
		oa_conn_on_received(fd, bytes, len, (ssize_t)len, 0, 0);
}

static void send_part(int fd, const char *bytes, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, len };

	if (len)
		ck_assert_int_eq(rig_send_iov(fd, &iov, 1, 0, SIZE_MAX, NULL), (ssize_t)len);
}

static void assert_the_exchange(void)
{
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->status, 201);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert_uint_eq(s->req_body, 5);
	ck_assert_uint_eq(s->resp_body, 7);
	ck_assert_uint_eq(s->method, OA_METHOD_POST);
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/p?q=1"));
	ck_assert(rig_str_is(s, OA_STR_HOST, "h"));
	ck_assert_ptr_null(rig_next());
}

START_TEST(feed_finds_the_same_exchange_wherever_its_bytes_are_cut)
{
	size_t in = strlen(request), out = strlen(response);

	rig_start();
	for (size_t i = 0; i <= in; i++) {
		rig_accept(FD, false);
		receive(FD, request, i);
		receive(FD, request + i, in - i);
		send_part(FD, response, i % out);
		send_part(FD, response + i % out, out - i % out);
		assert_the_exchange();
	}
	for (size_t i = 0; i <= out; i++) {
		rig_accept(FD, false);
		receive(FD, request, in);
		send_part(FD, response, i);
		send_part(FD, response + i, out - i);
		assert_the_exchange();
	}
}
END_TEST

START_TEST(feed_finds_the_same_exchange_byte_by_byte)
{
	rig_start();
	rig_accept(FD, false);
	for (size_t i = 0; i < strlen(request); i++)
		receive(FD, request + i, 1);
	for (size_t i = 0; i < strlen(response); i++)
		send_part(FD, response + i, 1);
	assert_the_exchange();
}
END_TEST

START_TEST(feed_finds_the_same_exchange_over_many_buffers)
{
	struct iovec iov[sizeof(request)];
	int n = (int)strlen(request);

	rig_start();
	rig_accept(FD, false);
	for (int i = 0; i < n; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)(request + i), 1 };
	iov[n] = (struct iovec){ (void *)(uintptr_t)"beyond", 6 }; /* the call did not fill it */
	oa_conn_on_received_iov(FD, iov, n + 1, n, 0, 0);
	rig_send(FD, response, SIZE_MAX, NULL);
	assert_the_exchange();
}
END_TEST

START_TEST(feed_takes_requests_that_arrive_together)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, "GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nxyGET /3 HTTP/1.1\r\n\r");
	rig_respond(FD);
	rig_respond(FD);
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/1"));
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/2"));
	rig_receive(FD, "\n");
	rig_respond(FD);
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/3"));
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(feed_leaves_a_connection_alone_that_has_too_many_requests_open)
{
	rig_start();
	rig_accept(FD, false);
	for (int i = 0; i < OA_PIPELINE_MAX; i++)
		rig_receive(FD, "GET /1 HTTP/1.1\r\n\r\n");
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_pool), 0);
	rig_receive(FD, "GET /1 HTTP/1.1\r\n\r\n");
	rig_receive(FD, "GET /1 HTTP/1.1\r\n\r\n");
	rig_respond(FD);
	ck_assert_ptr_null(rig_next()); /* which answer belongs to which request is unknown now */
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_pool), 1);
	rig_accept(FD + 1, false); /* what it held was given back */
	for (int i = 0; i < OA_PIPELINE_MAX; i++)
		rig_receive(FD + 1, "GET /1 HTTP/1.1\r\n\r\n");
	rig_respond(FD + 1);
	ck_assert_ptr_nonnull(rig_next());
}
END_TEST

/* -- what is not HTTP -- */

static uint64_t opaque(enum oa_stat reason)
{
	uint64_t all = 0;

	for (unsigned s = OA_STAT_opaque_not_http; s <= OA_STAT_opaque_shared; s++)
		all += oa_stat_sum(s);
	ck_assert_uint_eq(all, oa_stat_sum(reason)); /* for this reason and no other */
	return all;
}

START_TEST(feed_knows_tls_from_both_ends)
{
	char hello[44];

	rig_start();
	rig_hello(hello, 1);
	rig_accept(FD, false);
	receive(FD, hello, 5); /* as OpenSSL reads it */
	receive(FD, hello + 5, sizeof(hello) - 5);
	ck_assert_uint_eq(opaque(OA_STAT_opaque_tls), 0); /* until it is clear that nobody shows what is inside */
	oa_conn_reap(true);
	ck_assert_uint_eq(opaque(OA_STAT_opaque_tls), 1);
	rig_hello(hello, 2);
	rig_connect(FD + 1);
	send_part(FD + 1, hello, sizeof(hello));
	oa_conn_reap(true);
	ck_assert_uint_eq(opaque(OA_STAT_opaque_tls), 2);
	rig_accept(FD + 2, false);
	receive(FD + 2, "\x16\x03\x01\x02\x00\x02", 6); /* a ServerHello: midway */
	receive(FD + 2, hello, sizeof(hello));
	ck_assert_uint_eq(opaque(OA_STAT_opaque_tls), 3);
	receive(FD, request, strlen(request));
	rig_respond(FD);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(feed_leaves_a_server_alone_that_speaks_first)
{
	rig_start();
	rig_accept(FD, false);
	rig_send(FD, "220 mail.example ESMTP\r\n", SIZE_MAX, NULL);
	rig_receive(FD, request);
	rig_respond(FD);
	ck_assert_uint_eq(opaque(OA_STAT_opaque_not_http), 1);
	rig_connect(FD + 1);
	rig_receive(FD + 1, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert_uint_eq(opaque(OA_STAT_opaque_not_http), 2);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(feed_leaves_other_protocols_alone_and_counts_each_connection_once)
{
	static const char *const other[] = { "*1\r\n$4\r\nPING\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x\r\n", "\n\n\n\x01",
					     "EHLO me\r\n", "GETTING started\r\n\r\n" };

	rig_start();
	for (unsigned i = 0; i < sizeof(other) / sizeof(*other); i++) {
		rig_accept(FD, false);
		for (size_t k = 0; k < strlen(other[i]); k++) /* cut anywhere, it stays another protocol */
			receive(FD, other[i] + k, 1);
		rig_receive(FD, request);
		rig_send(FD, response, SIZE_MAX, NULL);
		ck_assert_msg(!rig_next(), "%s", other[i]);
		ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_not_http) + oa_stat_sum(OA_STAT_opaque_parse), i + 1);
	}
}
END_TEST

START_TEST(feed_of_a_passed_descriptor_learns_its_role_from_who_asks)
{
	int s[2];

	rig_start();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	oa_conn_on_fd_received(s[0]);
	oa_conn_on_fd_received(s[1]);
	for (size_t i = 0; i < strlen(request); i++)
		receive(s[0], request + i, 1);
	rig_send(s[0], response, SIZE_MAX, NULL);
	ck_assert_uint_eq(rig_next()->kind, OA_KIND_SERVER);
	rig_send(s[1], request, SIZE_MAX, NULL);
	rig_receive(s[1], response);
	ck_assert_uint_eq(rig_next()->kind, OA_KIND_CLIENT);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(feed_of_a_passed_descriptor_in_the_middle_of_something_says_so)
{
	int s[2];

	rig_start();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	oa_conn_on_fd_received(s[0]);
	rig_receive(s[0], "ody of a request that began elsewhere");
	ck_assert_uint_eq(opaque(OA_STAT_opaque_midway), 1);
}
END_TEST

START_TEST(feed_gives_up_on_a_header_that_never_ends)
{
	static char part[4096];

	memset(part, 'a', sizeof(part));
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, "GET / HTTP/1.1\r\nX: ");
	for (int i = 0; i < 16; i++)
		receive(FD, part, sizeof(part));
	ck_assert_uint_eq(opaque(OA_STAT_opaque_too_big), 1);
}
END_TEST

START_TEST(feed_leaves_a_server_connection_alone_after_a_broken_request)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
	ck_assert_uint_eq(opaque(OA_STAT_opaque_parse), 1);
	rig_respond(FD);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(feed_ends_a_call_whose_answer_is_broken)
{
	const struct oa_span *s;

	rig_start();
	rig_connect(FD);
	rig_send(FD, request, SIZE_MAX, NULL);
	rig_receive(FD, "HTTP/1.1 2000 OK\r\n\r\n");
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->error, OA_ERR_MALFORMED);
	ck_assert(!(s->flags & OA_SPAN_HAS_STATUS));
	ck_assert_uint_eq(opaque(OA_STAT_opaque_parse), 1);
}
END_TEST

START_TEST(feed_takes_an_answer_to_nothing_for_nothing)
{
	rig_start();
	rig_connect(FD);
	rig_send(FD, request, SIZE_MAX, NULL);
	rig_receive(FD, response);
	ck_assert_ptr_nonnull(rig_next());
	rig_receive(FD, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	ck_assert_ptr_null(rig_next());
}
END_TEST

/* -- bytes that nobody can look at -- */

START_TEST(feed_counts_body_bytes_that_did_not_pass_through_memory)
{
	const struct oa_span *s;

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, "PUT /f HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
	oa_conn_on_received_blind(FD, 400, 0);
	oa_conn_on_received_blind(FD, 600, 0);
	rig_send(FD, "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", SIZE_MAX, NULL);
	oa_conn_after_send_blind(FD, 69999, 0);
	ck_assert_ptr_null(rig_next());
	oa_conn_after_send_blind(FD, 1, 0);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->req_body, 1000);
	ck_assert_uint_eq(s->resp_body, 70000);
	rig_receive(FD, request); /* and the connection goes on */
	rig_send(FD, response, SIZE_MAX, NULL);
	assert_the_exchange();
}
END_TEST

START_TEST(feed_gives_up_when_a_header_went_by_unseen)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, request);
	oa_conn_after_send_blind(FD, 100, 0); /* the response's header among them */
	ck_assert_uint_eq(opaque(OA_STAT_opaque_parse), 1);
	rig_accept(FD, false);
	oa_conn_on_received_blind(FD, 100, 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_not_http), 1);
	rig_accept(FD, false);
	rig_receive(FD, "GET / HT"); /* half a header is waiting */
	oa_conn_on_received_blind(FD, 100, 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_parse) + oa_stat_sum(OA_STAT_opaque_not_http), 3);
	ck_assert_ptr_null(rig_next());
}
END_TEST

/* -- the end -- */

START_TEST(feed_end_completes_an_answer_that_ends_with_the_connection)
{
	const struct oa_span *s;

	rig_start();
	rig_connect(FD);
	rig_send(FD, "GET / HTTP/1.0\r\n\r\n", SIZE_MAX, NULL);
	rig_receive(FD, "HTTP/1.0 200 OK\r\n\r\nsome");
	rig_receive(FD, " body");
	oa_conn_on_received(FD, "", 100, 0, 0, 0);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert_uint_eq(s->resp_body, 9);
	ck_assert(!(s->flags & OA_SPAN_INCOMPLETE));
}
END_TEST

START_TEST(feed_end_in_the_middle_of_an_answer_is_an_error)
{
	static const char *const cut[] = { "", "HTTP/1.1 200 OK\r\nCont", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!",
					   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n" };

	rig_start();
	for (unsigned i = 0; i < sizeof(cut) / sizeof(*cut); i++) {
		const struct oa_span *s;

		rig_connect(FD);
		rig_send(FD, request, SIZE_MAX, NULL);
		receive(FD, cut[i], strlen(cut[i]));
		oa_conn_on_received(FD, "", 100, 0, 0, 0);
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->error, OA_ERR_CONNECTION_CLOSED);
		ck_assert_int_eq(!!(s->flags & OA_SPAN_HAS_STATUS), i >= 2);
		ck_assert_int_eq(!!(s->flags & OA_SPAN_INCOMPLETE), i >= 2);
		ck_assert_ptr_null(rig_next());
	}
}
END_TEST

START_TEST(feed_gives_back_what_it_kept_of_cut_headers)
{
	char big[3000];

	memset(big, 'b', sizeof(big));
	rig_start();
	for (int i = 0; i < 20000; i++) { /* many times what there is */
		rig_accept(FD, false);
		rig_receive(FD, "GET / HTTP/1.1\r\nX: ");
		receive(FD, big, i % 2 ? sizeof(big) : 10);
	}
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_text_pool), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_pool), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("feed");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, feed_finds_the_same_exchange_wherever_its_bytes_are_cut);
	tcase_add_test(tc, feed_finds_the_same_exchange_byte_by_byte);
	tcase_add_test(tc, feed_finds_the_same_exchange_over_many_buffers);
	tcase_add_test(tc, feed_takes_requests_that_arrive_together);
	tcase_add_test(tc, feed_leaves_a_connection_alone_that_has_too_many_requests_open);
	tcase_add_test(tc, feed_knows_tls_from_both_ends);
	tcase_add_test(tc, feed_leaves_a_server_alone_that_speaks_first);
	tcase_add_test(tc, feed_leaves_other_protocols_alone_and_counts_each_connection_once);
	tcase_add_test(tc, feed_of_a_passed_descriptor_learns_its_role_from_who_asks);
	tcase_add_test(tc, feed_of_a_passed_descriptor_in_the_middle_of_something_says_so);
	tcase_add_test(tc, feed_gives_up_on_a_header_that_never_ends);
	tcase_add_test(tc, feed_leaves_a_server_connection_alone_after_a_broken_request);
	tcase_add_test(tc, feed_ends_a_call_whose_answer_is_broken);
	tcase_add_test(tc, feed_takes_an_answer_to_nothing_for_nothing);
	tcase_add_test(tc, feed_counts_body_bytes_that_did_not_pass_through_memory);
	tcase_add_test(tc, feed_gives_up_when_a_header_went_by_unseen);
	tcase_add_test(tc, feed_end_completes_an_answer_that_ends_with_the_connection);
	tcase_add_test(tc, feed_end_in_the_middle_of_an_answer_is_an_error);
	tcase_add_test(tc, feed_gives_back_what_it_kept_of_cut_headers);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
