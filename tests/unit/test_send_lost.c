/* Sending calls that never come back: their thread is cancelled in them, or a handler jumps out. */
#include "tests/unit/conn_rig.h"

#include <pthread.h>

#include "conn/exchange.h"
#include "core/thread.h"

#define FD      520
#define MANY    20000 /* more than there are blocks of the smallest kind */
#define REQUEST "GET /lost HTTP/1.1\r\nHost: up\r\n\r\n"
#define ANSWER  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct oa_send lost;
static const struct iovec sent = { (void *)(uintptr_t)REQUEST, sizeof(REQUEST) - 1 };
static const struct iovec answer = { (void *)(uintptr_t)ANSWER, sizeof(ANSWER) - 1 };

/* The frame of the call is always the same one here, as in a loop of a program's. */
static void begin(const struct iovec *iov)
{
	oa_conn_before_send(FD, iov, 1, 0, &lost);
	ck_assert(lost.watched);
}

static void *begins(void *iov)
{
	begin(iov);
	return NULL;
}

static void on_thread(void *(*body)(void *), const void *arg)
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, body, (void *)(uintptr_t)arg), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
}

static void close_for_good(void)
{
	oa_conn_before_close(FD);
	oa_conn_reap(true);
}

static void assert_injection_works(void)
{
	char wire[400] = { 0 };

	rig_connect(FD + 1);
	ck_assert_int_eq(rig_send(FD + 1, REQUEST, SIZE_MAX, wire), (ssize_t)sent.iov_len);
	ck_assert_ptr_nonnull(strstr(wire, "traceparent: "));
}

START_TEST(send_lost_with_its_thread_leaves_the_connection_alone)
	{
		rig_start();
		rig_connect(FD);
		on_thread(begins, &sent);
		ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_lost_send), 1);
		rig_receive(FD, ANSWER);
		close_for_good();
		ck_assert_ptr_null(
			rig_next()); /* neither the request nor what became of it is known */
	}
END_TEST

START_TEST(send_lost_by_a_server_does_not_give_its_request_the_next_answer)
	{
		rig_start();
		rig_accept(FD, false);
		rig_receive(FD, "GET /one HTTP/1.1\r\nHost: x\r\n\r\n");
		on_thread(begins, &answer);
		rig_respond(FD);
		close_for_good();
		ck_assert_ptr_null(rig_next());
		ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_lost_send), 1);
	}
END_TEST

START_TEST(send_lost_by_a_jump_is_noticed_by_the_next_send)
	{
		char wire[400] = { 0 };

		rig_start();
		rig_connect(FD);
		begin(&sent);
		oa_conn_before_send(FD, &sent, 1, 0, &lost);
		ck_assert(!lost.watched);
		ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_lost_send), 1);
		assert_injection_works();
		ck_assert_int_eq(rig_send(FD, REQUEST, SIZE_MAX, wire), (ssize_t)sent.iov_len);
		ck_assert_str_eq(wire, REQUEST);
	}
END_TEST

START_TEST(send_lost_gives_its_blocks_back_when_the_thread_ends)
	{
		rig_start();
		for (int i = 0; i < MANY; i++) {
			rig_connect(FD);
			on_thread(begins, &sent);
			close_for_good();
		}
		ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_text_pool), 0);
		assert_injection_works();
	}
END_TEST

START_TEST(send_lost_gives_its_blocks_back_when_its_connection_is_gone)
	{
		rig_start();
		for (int i = 0; i < MANY; i++) {
			rig_connect(FD);
			begin(&sent);
			close_for_good();
		}
		ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_text_pool), 0);
		assert_injection_works();
	}
END_TEST

START_TEST(send_lost_keeps_its_blocks_while_the_connection_is_open)
	{
		rig_start();
		rig_connect(FD);
		begin(&sent);
		assert_injection_works();
		for (int i = 0; i < 4; i++) /* the kernel may be reading it */
			ck_assert_int_ne(oa_block_take(lost.text_cls), (int64_t)lost.text - 1);
	}
END_TEST

/* Below the frame of the call that it interrupts, as a handler is. */
static __attribute__((noinline)) void handler(void)
{
	char wire[400] = { 0 };

	rig_connect(FD + 2);
	ck_assert_int_eq(rig_send(FD + 2, REQUEST, SIZE_MAX, wire), (ssize_t)sent.iov_len);
	rig_receive(FD + 2, ANSWER);
}

START_TEST(send_lost_is_not_what_a_signal_handler_interrupts)
	{
		struct oa_send s;
		size_t n = 0;

		rig_start();
		rig_connect(FD);
		oa_conn_before_send(FD, &sent, 1, 0, &s);
		handler();
		for (int i = 0; i < s.iovcnt; i++)
			n += s.iov[i].iov_len;
		ck_assert_int_eq(oa_conn_after_send(&s, (ssize_t)n, 0), (ssize_t)sent.iov_len);
		rig_receive(FD, ANSWER);
		ck_assert_ptr_nonnull(rig_next());
		ck_assert_ptr_nonnull(rig_next());
		ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_lost_send), 0);
		ck_assert_uint_eq(oa_tls.send_sp, 0);
	}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("send_lost");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, send_lost_with_its_thread_leaves_the_connection_alone);
	tcase_add_test(tc, send_lost_by_a_server_does_not_give_its_request_the_next_answer);
	tcase_add_test(tc, send_lost_by_a_jump_is_noticed_by_the_next_send);
	tcase_add_test(tc, send_lost_gives_its_blocks_back_when_the_thread_ends);
	tcase_add_test(tc, send_lost_gives_its_blocks_back_when_its_connection_is_gone);
	tcase_add_test(tc, send_lost_keeps_its_blocks_while_the_connection_is_open);
	tcase_add_test(tc, send_lost_is_not_what_a_signal_handler_interrupts);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
