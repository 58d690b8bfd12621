/* The rules of docs/context.md, on event loops and on threads, by what the outgoing request's traceparent says. */
#include "tests/unit/conn_rig.h"

#include <pthread.h>

#define EPOLL 600

static char wire[4096];

/* A server request with a trace id of its own, so that the outgoing request tells whose child it is. */
static void serve(int fd, int number)
{
	char text[256];

	snprintf(text, sizeof(text), "GET /in/%d HTTP/1.1\r\nHost: x\r\n"
		 "traceparent: 00-000000000000000000000000000000%02x-00000000000000%02x-01\r\n\r\n", number, number + 1,
		 number + 1);
	rig_receive(fd, text);
}

/* Makes a call; returns the number of the request it was attributed to, 0 none. */
static int call_with(int fd, const char *extra)
{
	char text[512], *tp;
	unsigned last = 0;

	wire[0] = 0;
	snprintf(text, sizeof(text), "GET /out HTTP/1.1\r\nHost: up\r\n%s\r\n", extra);
	ck_assert_int_eq(rig_send(fd, text, SIZE_MAX, wire), (int)strlen(text));
	tp = strstr(wire, "traceparent: 00-000000000000000000000000000000");
	if (!tp)
		return 0;
	ck_assert_int_eq(sscanf(tp + strlen("traceparent: 00-000000000000000000000000000000"), "%2x", &last), 1);
	return (int)last - 1;
}

static int call_out(int fd)
{
	return call_with(fd, "");
}

/* The request is read, and its call is known to be its own: each on connections of its number. */
static void serve_and_call(int number)
{
	serve(509 + number, number);
	ck_assert_int_eq(call_out(519 + number), number);
}

static void answer(int fd)
{
	rig_receive(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

/* One turn of an epoll loop that delivers something and whose timers are far away. */
static void turn_of(int epoll)
{
	oa_conn_before_wait(OA_WAIT_LOOP, epoll, 60000, false);
	oa_conn_after_wait(OA_WAIT_LOOP, epoll, 60000, 1);
}

static void turn(void)
{
	turn_of(EPOLL);
}

static void loop_start(void)
{
	rig_start();
	oa_conn_on_epoll_fd(EPOLL);
	for (int i = 0; i < 4; i++) {
		rig_accept(510 + i, true);
		rig_connect(520 + i);
	}
	turn();
}

/* Then it is known that this loop acts upon what it has just read. */
static void loop_shows_itself(void)
{
	for (int number = 20; number < 24; number++) {
		turn();
		serve(510, number);
		ck_assert_int_eq(call_out(520), number);
		answer(520);
		rig_respond(510);
	}
	turn();
}

START_TEST(context_blocking_thread_calls_for_what_it_read)
{
	rig_start();
	rig_accept(510, false);
	rig_connect(520);
	serve_and_call(1);
	answer(520);
	ck_assert_int_eq(call_out(520), 1);
	rig_respond(510);
	ck_assert_int_eq(call_out(520), 0);
}
END_TEST

START_TEST(context_loop_that_acts_at_once_is_followed_with_many_requests_open)
{
	loop_start();
	for (int i = 0; i < 4; i++) {
		serve(510 + i, i + 1);
		ck_assert_int_eq(call_out(520 + i), i + 1);
	}
	turn();
	answer(522); /* the third one's upstream answers, and it calls again */
	ck_assert_int_eq(call_out(522), 3);
}
END_TEST

START_TEST(context_loop_that_reads_two_before_acting_has_no_certain_parent)
{
	loop_start();
	serve(510, 1);
	serve(511, 2);
	ck_assert_int_eq(call_out(520), 0);
	ck_assert_int_eq(call_out(521), 0);
}
END_TEST

START_TEST(context_request_parked_behind_a_timer_makes_later_ones_uncertain)
{
	loop_start();
	serve(510, 1); /* waits for something invisible */
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 0);
}
END_TEST

START_TEST(context_timer_that_may_have_fired_makes_the_turn_uncertain)
{
	loop_start();
	serve_and_call(1);
	oa_conn_before_wait(OA_WAIT_LOOP, EPOLL, 1, false); /* a timer is due in a millisecond */
	oa_conn_after_wait(OA_WAIT_LOOP, EPOLL, 1, 1);
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 0);
}
END_TEST

START_TEST(context_wake_up_makes_the_turn_uncertain_only_with_others_open)
{
	loop_start();
	oa_conn_on_wake_fd(601);
	serve_and_call(1);
	turn();
	serve(511, 2);
	oa_conn_on_received(601, "12345678", 8, 8, 0, 0);
	ck_assert_int_eq(call_out(521), 0);
	rig_respond(511);
	answer(520);
	rig_respond(510);
	turn();
	serve(512, 3);
	oa_conn_on_received(601, "12345678", 8, 8, 0, 0);
	ck_assert_int_eq(call_out(522), 3);
}
END_TEST

START_TEST(context_only_open_request_survives_turns)
{
	loop_start();
	serve(510, 1);
	turn();
	turn();
	ck_assert_int_eq(call_out(520), 1);
}
END_TEST

START_TEST(context_polling_without_result_does_not_end_a_turn)
{
	loop_start();
	serve_and_call(1);
	turn();
	serve(511, 2);
	oa_conn_before_wait(OA_WAIT_LOOP, EPOLL, 0, false);
	oa_conn_after_wait(OA_WAIT_LOOP, EPOLL, 0, 0);
	ck_assert_int_eq(call_out(521), 2);
}
END_TEST

START_TEST(context_connection_opened_for_a_request_is_its_own_at_first_use)
{
	loop_start();
	serve(510, 1);
	rig_connect(530);
	turn();
	serve(511, 2);
	rig_connect(531);
	turn();
	ck_assert_int_eq(call_out(530), 1);
	ck_assert_int_eq(call_out(531), 2);
}
END_TEST

START_TEST(context_same_request_id_tells_among_several)
{
	loop_start();
	rig_receive(510, "GET /a HTTP/1.1\r\nHost: x\r\nX-Request-Id: one\r\n"
			 "traceparent: 00-00000000000000000000000000000002-0000000000000002-01\r\n\r\n");
	rig_receive(511, "GET /a HTTP/1.1\r\nHost: x\r\nX-Request-Id: two\r\n"
			 "traceparent: 00-00000000000000000000000000000003-0000000000000003-01\r\n\r\n");
	ck_assert_int_eq(call_with(520, "x-request-id: two\r\n"), 2);
	ck_assert_int_eq(call_with(521, "x-request-id: one\r\n"), 1);
	ck_assert_int_eq(call_with(522, "x-request-id: three\r\n"), 0);
}
END_TEST

/* Requests for two targets are read in one turn, and then handed on. returns whether the second call found the second */
static int hand_on(const char *first, const char *second, const char *up_first, const char *up_second)
{
	static const char format[] = "GET %s HTTP/1.1\r\nHost: x\r\n"
				     "traceparent: 00-000000000000000000000000000000%02x-00000000000000%02x-01\r\n\r\n";
	char text[512];
	const char *in[] = { first, second }, *up[] = { up_first, up_second };
	unsigned last = 0;

	turn();
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), format, in[i], i + 1, i + 1);
		rig_receive(510 + i, text);
	}
	for (int i = 0; i < 2; i++) {
		char *tp;

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: up\r\n\r\n", up[i]);
		wire[0] = 0;
		ck_assert_int_eq(rig_send(520 + i, text, SIZE_MAX, wire), (int)strlen(text));
		tp = strstr(wire, "traceparent: 00-000000000000000000000000000000");
		last = 0;
		if (tp)
			ck_assert_int_eq(sscanf(tp + strlen("traceparent: 00-000000000000000000000000000000"), "%2x", &last), 1);
	}
	for (int i = 0; i < 2; i++) {
		answer(520 + i);
		rig_respond(510 + i);
	}
	return last == 2;
}

/* The same, for numbered targets. */
static int hand_on_all(unsigned pairs, const char *in_prefix, const char *up_prefix)
{
	int found = 0;

	for (unsigned i = 0; i < pairs; i++) {
		char in[2][64], up[2][64];

		for (unsigned j = 0; j < 2; j++) {
			snprintf(in[j], sizeof(in[j]), "%s/t/%u", in_prefix, 2 * i + j);
			snprintf(up[j], sizeof(up[j]), "%s/t/%u", up_prefix, 2 * i + j);
		}
		found += hand_on(in[0], in[1], up[0], up[1]);
	}
	return found;
}

START_TEST(context_loop_that_always_hands_targets_on_is_followed_though_no_pair_is_certain)
{
	loop_start();
	ck_assert_int_eq(hand_on_all(16, "", ""), 0);
	hand_on_all(64, "", "");
	ck_assert_int_eq(hand_on_all(10, "", ""), 10);
	ck_assert_int_eq(hand_on("/same", "/same", "/same", "/same"), 0);
	ck_assert_int_eq(hand_on_all(10, "", ""), 10);
}
END_TEST

START_TEST(context_forward_proxy_is_followed_by_path_and_query)
{
	loop_start();
	hand_on_all(80, "http://up:8080", "");
	ck_assert_int_eq(hand_on_all(10, "http://up:8080", ""), 10);
	ck_assert_int_eq(hand_on("http://up", "http://up?x=1", "/", "?x=1"), 1);
}
END_TEST

START_TEST(context_targets_that_repeat_are_no_evidence)
{
	loop_start();
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(hand_on("/one", "/two", "/one", "/two"), 0);
}
END_TEST

START_TEST(context_calls_that_no_request_explains_are_evidence_against)
{
	loop_start();
	for (int i = 0; i < 20; i++) {
		hand_on_all(10, "", "");
		ck_assert_int_eq(hand_on("/a", "/b", "/c", "/b"), 0);
	}
}
END_TEST

START_TEST(context_ambiguous_call_links_to_its_candidates)
{
	const struct oa_span *s;

	loop_start();
	serve(510, 1);
	serve(511, 2);
	call_out(520);
	answer(520);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(s->evidence, OA_EV_AMBIGUOUS);
	ck_assert_uint_eq(oa_span_str(s, OA_STR_LINKS).len, 2 * sizeof(struct oa_link));
	ck_assert(!oa_span_has_parent(s));
}
END_TEST

/* Requests one after another, each acted on in the turn that reads it. */
static void warm_up(int count)
{
	for (int i = 0; i < count; i++) {
		turn();
		serve(513, 20 + i);
		ck_assert_int_eq(call_out(523), 20 + i);
		turn();
		answer(523);
		rig_respond(513);
	}
	turn();
}

/* A request that another thread's wake-up makes uncertain opens a connection. */
static void open_uncertain(int client, int number, int fd)
{
	oa_conn_on_wake_fd(601);
	oa_conn_on_received(601, "12345678", 8, 8, 0, 0);
	serve(client, number);
	rig_connect(fd);
}

START_TEST(context_connection_opened_for_one_of_several_is_not_used_first_by_what_was_read_last)
{
	loop_start();
	warm_up(8);
	serve_and_call(1);
	turn();
	open_uncertain(511, 2, 530);
	turn();
	answer(520);
	ck_assert_int_eq(call_out(530), 0); /* the second's connection is ready; the first goes on later in this turn */
	ck_assert_int_eq(call_out(520), 1);
}
END_TEST

START_TEST(context_connection_opened_for_one_of_several_is_not_used_first_by_a_later_request)
{
	loop_start();
	warm_up(8);
	serve_and_call(1);
	turn();
	open_uncertain(511, 2, 530);
	turn();
	serve(512, 3);
	ck_assert_int_eq(call_out(530), 0);
	ck_assert_int_eq(call_out(521), 3);
	turn();
	answer(530);
	rig_respond(511);
	turn();
	serve(511, 4);
	ck_assert_int_eq(call_out(530), 4); /* from now on it is like any other */
}
END_TEST

START_TEST(context_connection_opened_while_nothing_was_served_is_not_used_first_by_a_loops_request)
{
	loop_start();
	serve(510, 1);
	rig_respond(510);
	turn();
	rig_connect(530); /* to ask for its upstream's health, say */
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(530), 0);
	ck_assert_int_eq(call_out(521), 2);
}
END_TEST

START_TEST(context_calls_over_connections_made_before_do_not_hide_that_a_request_was_put_off)
{
	loop_start();
	warm_up(8);
	serve(510, 1);
	rig_connect(530);
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(530), 0); /* the first one's, or the second's */
	turn();
	serve(512, 3);
	ck_assert_int_eq(call_out(521), 0); /* the second's */
}
END_TEST

START_TEST(context_answer_to_a_call_of_nobody_known_is_not_what_was_read_before_it)
{
	loop_start();
	serve_and_call(1);
	turn();
	open_uncertain(511, 2, 530);
	ck_assert_int_eq(call_out(521), 0);
	rig_respond(511); /* and goes on with what it was asked for */
	answer(520);
	rig_respond(510);
	turn();
	serve(512, 3);
	answer(521);
	ck_assert_int_eq(call_out(522), 0);
	turn();
	ck_assert_int_eq(call_out(522), 3);
}
END_TEST

START_TEST(context_answer_to_a_call_of_nobody_known_may_be_acted_on_behind_what_is_read_next)
{
	loop_start();
	warm_up(8);
	serve_and_call(1);
	turn();
	oa_conn_on_wake_fd(601);
	oa_conn_on_received(601, "12345678", 8, 8, 0, 0);
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 0);
	turn();
	answer(521);
	serve(512, 3);
	ck_assert_int_eq(call_out(521), 0);
}
END_TEST

START_TEST(context_request_whose_call_failed_goes_on)
{
	loop_start();
	serve_and_call(1);
	turn();
	serve(511, 2);
	oa_conn_on_received(520, "", 1, 0, 0, 0); /* the end of the stream instead of an answer */
	ck_assert_int_eq(call_out(521), 0); /* the first's second attempt, or the second's first */
	turn();
	oa_conn_on_received(521, "", 1, -1, ECONNRESET, 0);
	ck_assert_int_eq(call_out(522), 0);
}
END_TEST

START_TEST(context_request_whose_call_failed_is_what_its_thread_works_for)
{
	loop_start();
	loop_shows_itself();
	serve_and_call(1);
	turn();
	serve_and_call(2);
	turn();
	oa_conn_on_received(520, "", 1, -1, ECONNRESET, 0);
	ck_assert_int_eq(call_out(522), 1);
	turn();
	oa_conn_on_received(521, "", 1, 0, 0, 0);
	ck_assert_int_eq(call_out(523), 2);
}
END_TEST

START_TEST(context_request_whose_call_was_given_up_may_go_on_at_any_time)
{
	loop_start();
	serve_and_call(1);
	turn();
	oa_conn_before_close(520); /* it took too long */
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 0);
}
END_TEST

START_TEST(context_request_whose_call_is_open_under_another_number_still_waits)
{
	loop_start();
	serve_and_call(1);
	oa_conn_on_dup(520, 529);
	turn();
	oa_conn_before_close(529);
	turn();
	serve_and_call(2);
}
END_TEST

START_TEST(context_body_read_piece_by_piece_is_not_put_off)
{
	loop_start();
	rig_receive(510, "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab");
	for (int i = 0; i < 2; i++) {
		turn();
		rig_receive(510, "cd");
	}
	call_out(520);
	turn();
	for (int i = 1; i < 3; i++) { /* several in one turn: a loop that puts off is not believed */
		serve(510 + i, i);
		ck_assert_int_eq(call_out(520 + i), i);
	}
}
END_TEST

START_TEST(context_answer_that_waits_for_its_end_is_no_request_put_off)
{
	loop_start();
	serve_and_call(1);
	turn();
	answer(520); /* to a HEAD, say: a proxy may wait for the connection's end all the same (lighttpd) */
	turn();
	rig_respond(510);
	turn();
	for (int i = 1; i < 3; i++) {
		serve(510 + i, 1 + i);
		ck_assert_int_eq(call_out(520 + i), 1 + i);
	}
}
END_TEST

START_TEST(context_answer_for_a_request_that_is_over_does_not_stand_for_the_one_read)
{
	loop_start();
	serve_and_call(1);
	turn();
	rig_respond(510);
	serve(511, 2);
	answer(520); /* nobody waits for it any more */
	turn();      /* the one that was read is put off */
	ck_assert_int_eq(call_out(521), 2);
	rig_respond(511);
	turn();
	serve_and_call(3);
	serve(513, 4);
	ck_assert_int_eq(call_out(523), 0);
}
END_TEST

START_TEST(context_body_put_off_is_a_request_put_off)
{
	loop_start();
	rig_receive(510, "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n");
	turn();
	rig_receive(510, "ab");
	turn();
	call_out(520);
	turn();
	serve_and_call(2);
	serve(512, 3);
	ck_assert_int_eq(call_out(522), 0);
}
END_TEST

START_TEST(context_requests_whose_calls_failed_together_are_not_told_apart)
{
	static const char get[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
	static char sent[256];

	loop_start();
	warm_up(8);
	rig_connect(540);
	for (int i = 0; i < 2; i++) {
		serve(510 + i, 1 + i);
		rig_send(540, get, SIZE_MAX, sent);
		turn();
	}
	oa_conn_on_received(540, "", 1, -1, ECONNRESET, 0);
	while (rig_next())
		;
	ck_assert_int_eq(call_out(520), 0); /* either's */
	ck_assert_int_eq(call_out(521), 0);
}
END_TEST

START_TEST(context_call_that_the_kernel_did_not_take_yet_leaves_its_request_unquiet)
{
	static const char text[] = "GET /out HTTP/1.1\r\nHost: up\r\n\r\n";

	loop_start();
	warm_up(1);
	serve(510, 1);
	ck_assert_int_eq(rig_send(523, text, 0, NULL), -1); /* used before, and full */
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(523), 0);
}
END_TEST

START_TEST(context_call_that_the_kernel_did_not_take_yet_keeps_the_connection_opened_for_it)
{
	static const char text[] = "GET /out HTTP/1.1\r\nHost: up\r\n\r\n";

	loop_start();
	serve(510, 1);
	rig_connect(530);
	ck_assert_int_eq(rig_send(530, text, 0, NULL), -1);
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 2); /* the first waits for its connection still */
	turn();
	ck_assert_int_eq(call_out(530), 1);
}
END_TEST

/* Sends a request for `target`. returns the evidence of its parent */
static int hand_over(int fd, const char *target)
{
	const struct oa_span *s;
	char text[512];

	snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: up\r\n\r\n", target);
	rig_send(fd, text, SIZE_MAX, wire);
	answer(fd);
	while ((s = rig_next()) && s->kind != OA_KIND_CLIENT)
		;
	ck_assert_ptr_nonnull(s);
	return s->evidence;
}

START_TEST(context_call_for_the_target_of_another_request_has_no_parent)
{
	loop_start();
	rig_receive(510, "GET /one HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(hand_over(520, "/one"), OA_EV_TURN);
	rig_connect(531); /* it waits for that */
	turn();
	rig_receive(511, "GET /two HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(hand_over(521, "/one"), OA_EV_AMBIGUOUS);
	ck_assert_int_eq(hand_over(522, "/three"), OA_EV_AMBIGUOUS); /* the last answer was nobody's */
	turn();
	rig_receive(512, "GET /two HTTP/1.1\r\nHost: x\r\n\r\n");
	rig_respond(511);
	ck_assert_int_eq(hand_over(522, "/three"), OA_EV_TURN); /* it is no proxy */
	rig_respond(512);
	turn();
	rig_receive(513, "GET /four HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(hand_over(521, "/one"), OA_EV_TURN);
}
END_TEST

static int other_result;

static void *other_thread(void *arg)
{
	other_result = call_out(*(int *)arg);
	return NULL;
}

static int call_from_other_thread(int fd)
{
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, other_thread, &fd), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	return other_result;
}

START_TEST(context_worker_gets_the_only_request_a_loop_left_parked)
{
	loop_start();
	serve(510, 1);
	ck_assert_int_eq(call_from_other_thread(520), 0); /* the loop has not gone on to wait: it may still act itself */
	turn();
	ck_assert_int_eq(call_from_other_thread(521), 1);
	serve(511, 2);
	turn();
	ck_assert_int_eq(call_from_other_thread(522), 0);
}
END_TEST

static pthread_barrier_t step, over;

#define THREADS 80

static void *serving_thread(void *arg)
{
	int number = (int)(intptr_t)arg;

	rig_accept(700 + number, false);
	serve(700 + number, 1);
	if (number < THREADS - 2)
		rig_respond(700 + number);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&over);
	return NULL;
}

START_TEST(context_candidates_are_found_however_many_threads_there_are)
{
	const struct oa_span *s = NULL;
	pthread_t t[THREADS];

	loop_start();
	pthread_barrier_init(&step, NULL, 2);
	pthread_barrier_init(&over, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++) {
		pthread_create(&t[i], NULL, serving_thread, (void *)(intptr_t)i);
		pthread_barrier_wait(&step); /* one after another, none ends */
		if (i < THREADS - 2)
			ck_assert_ptr_nonnull(rig_next());
	}
	call_out(520);
	answer(520);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(s->evidence, OA_EV_AMBIGUOUS);
	ck_assert_uint_eq(oa_span_str(s, OA_STR_LINKS).len, 2 * sizeof(struct oa_link));
	pthread_barrier_wait(&over);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}
END_TEST

static void *background_thread(void *arg)
{
	(void)arg;
	call_out(520); /* while nothing is served */
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	other_result = call_out(521);
	return NULL;
}

START_TEST(context_background_thread_is_never_taken_for_a_worker)
{
	pthread_t t;

	loop_start();
	serve(510, 1);
	rig_respond(510);
	pthread_barrier_init(&step, NULL, 2);
	pthread_create(&t, NULL, background_thread, NULL);
	pthread_barrier_wait(&step);
	serve(511, 2);
	turn();
	pthread_barrier_wait(&step);
	pthread_join(t, NULL);
	ck_assert_int_eq(other_result, 0);
}
END_TEST

START_TEST(context_epoll_shared_by_threads_counts_the_whole_process)
{
	loop_start();
	serve(510, 1); /* parked */
	turn();
	oa_fd_peek(EPOLL)->conn = UINT32_MAX; /* another thread waited on it */
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 0);
}
END_TEST

/* A loop on whose descriptor another thread has waited, too. */
static void shared_loop_start(void)
{
	loop_start();
	turn();
	oa_fd_peek(EPOLL)->conn = 77;
	turn();
}

START_TEST(context_waiting_request_may_have_more_to_do_where_threads_share_a_loop)
{
	shared_loop_start();
	serve_and_call(1);
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 0); /* the first one's second call, taken from that thread? */
}
END_TEST

START_TEST(context_epoll_descriptor_made_before_anything_was_seen_is_known_when_waited_on)
{
	rig_start();
	turn();
	ck_assert_int_eq(oa_fd_peek(EPOLL)->kind, OA_FD_EPOLL);
}
END_TEST

START_TEST(context_second_call_in_a_turn_of_several_may_be_any_ones)
{
	loop_start();
	serve_and_call(1);
	ck_assert_int_eq(call_out(521), 1); /* alone so far */
	serve(511, 2);
	ck_assert_int_eq(call_out(522), 2);
	ck_assert_int_eq(call_out(523), 0); /* from a queue of either's */
}
END_TEST

START_TEST(context_turn_without_waiting_began_with_something_left_to_do)
{
	loop_start();
	serve_and_call(1);
	oa_conn_before_wait(OA_WAIT_LOOP, EPOLL, 0, false);
	oa_conn_after_wait(OA_WAIT_LOOP, EPOLL, 0, 1);
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 2); /* as it has always done */
	ck_assert_int_eq(call_out(522), 0);
}
END_TEST

static void *parking_thread(void *arg)
{
	(void)arg;
	rig_accept(540, true);
	serve(540, 9);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&over);
	return NULL;
}

START_TEST(context_epoll_that_others_began_to_wait_on_meanwhile_is_shared)
{
	pthread_t t;

	loop_start();
	pthread_barrier_init(&step, NULL, 2);
	pthread_barrier_init(&over, NULL, 2);
	oa_conn_before_wait(OA_WAIT_LOOP, EPOLL, 60000, false);
	oa_fd_peek(EPOLL)->conn = UINT32_MAX; /* another thread waits on it, too, and reads a request */
	pthread_create(&t, NULL, parking_thread, NULL);
	pthread_barrier_wait(&step);
	oa_conn_after_wait(OA_WAIT_LOOP, EPOLL, 60000, 1);
	serve(510, 1);
	ck_assert_int_eq(call_out(520), 0); /* either's */
	pthread_barrier_wait(&over);
	pthread_join(t, NULL);
}
END_TEST

static void *waiting_thread(void *arg)
{
	oa_conn_before_wait(OA_WAIT_LOOP, EPOLL, 60000, false);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	oa_conn_after_wait(OA_WAIT_LOOP, EPOLL, 60000, 1);
	return parking_thread(arg);
}

/* It has read nothing yet, and its first task may be run by the one that has. */
START_TEST(context_thread_that_only_waits_shares_the_epoll_descriptor_too)
{
	pthread_t t;

	loop_start();
	pthread_barrier_init(&step, NULL, 2);
	pthread_barrier_init(&over, NULL, 2);
	pthread_create(&t, NULL, waiting_thread, NULL);
	pthread_barrier_wait(&step);
	turn();
	pthread_barrier_wait(&step);
	serve(510, 1);
	pthread_barrier_wait(&step);
	ck_assert_int_eq(call_out(520), 0); /* either's */
	pthread_barrier_wait(&over);
	pthread_join(t, NULL);
}
END_TEST

/* It was handed to it in memory: so may others' tasks be to the loop that waited for it. */
START_TEST(context_request_read_by_who_never_waited_says_that_tasks_move)
{
	pthread_t t;

	loop_start();
	pthread_barrier_init(&step, NULL, 2);
	pthread_barrier_init(&over, NULL, 2);
	turn();
	serve_and_call(1);
	pthread_create(&t, NULL, parking_thread, NULL);
	pthread_barrier_wait(&step);
	turn();
	serve(511, 2);
	ck_assert_int_eq(call_out(521), 0); /* any of the three's */
	pthread_barrier_wait(&over);
	pthread_join(t, NULL);
}
END_TEST

/* A pool gives a connection to whoever waits, when the request that it was opened for has found another one meanwhile. */
START_TEST(context_connection_of_a_pool_that_threads_share_is_nobodys_in_particular)
{
	shared_loop_start();
	serve(510, 1);
	rig_connect(530);
	rig_connect(531);
	turn();
	ck_assert_int_eq(call_out(530), 1); /* it is the only one */
	serve(511, 2);
	turn();
	ck_assert_int_eq(call_out(531), 0);
}
END_TEST

/* A loop of its own that has read a request; with `arg` it has made a call for it as well. */
static void *neighbour_loop(void *arg)
{
	oa_conn_on_epoll_fd(EPOLL + 1);
	rig_accept(540, true);
	rig_connect(541);
	turn_of(EPOLL + 1);
	serve(540, 9);
	if (arg)
		other_result = call_out(541);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&over);
	return NULL;
}

static pthread_t neighbour_begin(bool acts)
{
	pthread_t t;

	pthread_barrier_init(&step, NULL, 2);
	pthread_barrier_init(&over, NULL, 2);
	ck_assert_int_eq(pthread_create(&t, NULL, neighbour_loop, acts ? "acts" : NULL), 0);
	pthread_barrier_wait(&step);
	return t;
}

static void neighbour_end(pthread_t t)
{
	pthread_barrier_wait(&over);
	pthread_join(t, NULL);
}

/* Netty's loops hand each other work, and wake nobody who is awake. */
static void beside_neighbour(bool acts, int expected)
{
	pthread_t t;

	loop_start();
	t = neighbour_begin(acts);
	turn();
	serve(510, 1);
	ck_assert_int_eq(call_out(520), expected);
	neighbour_end(t);
}

START_TEST(context_request_that_another_loop_has_not_acted_on_may_have_been_handed_over)
{
	beside_neighbour(false, 0);
}
END_TEST

START_TEST(context_request_that_another_loop_acts_on_stays_there)
{
	beside_neighbour(true, 1);
	ck_assert_int_eq(other_result, 9);
}
END_TEST

START_TEST(context_task_after_waiting_may_be_for_the_request_of_another_loop)
{
	pthread_t t;

	loop_start();
	serve_and_call(1);
	t = neighbour_begin(false);
	turn();
	ck_assert_int_eq(call_out(521), 0);
	neighbour_end(t);
}
END_TEST

/* A pool that is used up gives a connection that comes back to whoever waits for it (node's maxSockets). */
START_TEST(context_answer_may_free_a_connection_for_a_request_that_makes_several_calls)
{
	loop_start();
	loop_shows_itself();
	serve_and_call(1);
	turn();
	serve_and_call(2);
	turn();
	answer(521);
	ck_assert_int_eq(call_out(521), 2); /* one after the other: so far all do */
	answer(520);
	rig_respond(510);
	ck_assert_int_eq(call_out(520), 2); /* a second one at the same time, alone */
	turn();
	serve_and_call(3);
	turn();
	answer(522);
	ck_assert_int_eq(call_out(522), 0);
}
END_TEST

START_TEST(context_answer_may_free_a_connection_as_long_as_a_loop_has_shown_nothing)
{
	loop_start();
	serve_and_call(1);
	turn();
	serve_and_call(2);
	turn();
	answer(521);
	ck_assert_int_eq(call_out(521), 0); /* the pool may have been used up from the start */
}
END_TEST

/* hyper: the request that it was opened for took a connection that came back meanwhile. */
START_TEST(context_connection_whose_request_was_served_by_another_is_nobodys)
{
	loop_start();
	serve_and_call(1);
	turn();
	answer(520);
	rig_respond(510);
	turn();
	serve(510, 2);
	rig_connect(530);
	rig_connect(531);
	turn();
	ck_assert_int_eq(call_out(530), 2); /* nothing has gone another way */
	ck_assert_int_eq(call_out(520), 2);
	turn();
	serve(511, 3);
	turn();
	ck_assert_int_eq(call_out(531), 0);
}
END_TEST

START_TEST(context_header_handed_on_is_rewritten_to_name_our_span)
{
	const struct oa_span *client, *server;
	char id[17] = { 0 };
	uint8_t client_id[8];

	loop_start();
	serve(510, 1);
	serve(511, 2); /* uncertain by flow, certain by message */
	ck_assert_int_eq(call_with(520, "traceparent: 00-00000000000000000000000000000002-0000000000000002-01\r\n"), 1);
	answer(520);
	client = rig_next();
	ck_assert_ptr_nonnull(client);
	ck_assert_int_eq(client->evidence, OA_EV_MESSAGE);
	ck_assert(client->flags & OA_SPAN_REWRITTEN);
	memcpy(client_id, client->span_id, 8);
	oa_hex(id, client_id, 8);
	ck_assert_ptr_nonnull(strstr(wire, id));
	ck_assert_ptr_null(strstr(wire, "-0000000000000002-01"));
	(void)server;
}
END_TEST

START_TEST(context_header_of_the_program_itself_is_left_alone_and_joined)
{
	static const char own[] = "traceparent: 00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01\r\n";
	const struct oa_span *s;

	loop_start();
	serve(510, 1);
	call_with(520, own);
	ck_assert_ptr_nonnull(strstr(wire, own));
	answer(520);
	s = rig_next();
	ck_assert_int_eq(s->trace_id[0], 0xaa);
	ck_assert_int_eq(s->parent_id[0], 0xbb);
	ck_assert(s->flags & OA_SPAN_FOREIGN);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("context");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, context_blocking_thread_calls_for_what_it_read);
	tcase_add_test(tc, context_epoll_that_others_began_to_wait_on_meanwhile_is_shared);
	tcase_add_test(tc, context_thread_that_only_waits_shares_the_epoll_descriptor_too);
	tcase_add_test(tc, context_request_whose_call_is_open_under_another_number_still_waits);
	tcase_add_test(tc, context_requests_whose_calls_failed_together_are_not_told_apart);
	tcase_add_test(tc, context_connection_opened_for_one_of_several_is_not_used_first_by_what_was_read_last);
	tcase_add_test(tc, context_connection_opened_for_one_of_several_is_not_used_first_by_a_later_request);
	tcase_add_test(tc, context_connection_opened_while_nothing_was_served_is_not_used_first_by_a_loops_request);
	tcase_add_test(tc, context_calls_over_connections_made_before_do_not_hide_that_a_request_was_put_off);
	tcase_add_test(tc, context_answer_to_a_call_of_nobody_known_is_not_what_was_read_before_it);
	tcase_add_test(tc, context_answer_to_a_call_of_nobody_known_may_be_acted_on_behind_what_is_read_next);
	tcase_add_test(tc, context_request_whose_call_failed_goes_on);
	tcase_add_test(tc, context_request_whose_call_failed_is_what_its_thread_works_for);
	tcase_add_test(tc, context_request_whose_call_was_given_up_may_go_on_at_any_time);
	tcase_add_test(tc, context_answer_that_waits_for_its_end_is_no_request_put_off);
	tcase_add_test(tc, context_answer_for_a_request_that_is_over_does_not_stand_for_the_one_read);
	tcase_add_test(tc, context_body_put_off_is_a_request_put_off);
	tcase_add_test(tc, context_body_read_piece_by_piece_is_not_put_off);
	tcase_add_test(tc, context_call_that_the_kernel_did_not_take_yet_leaves_its_request_unquiet);
	tcase_add_test(tc, context_call_that_the_kernel_did_not_take_yet_keeps_the_connection_opened_for_it);
	tcase_add_test(tc, context_call_for_the_target_of_another_request_has_no_parent);
	tcase_add_test(tc, context_loop_that_acts_at_once_is_followed_with_many_requests_open);
	tcase_add_test(tc, context_loop_that_reads_two_before_acting_has_no_certain_parent);
	tcase_add_test(tc, context_request_parked_behind_a_timer_makes_later_ones_uncertain);
	tcase_add_test(tc, context_timer_that_may_have_fired_makes_the_turn_uncertain);
	tcase_add_test(tc, context_wake_up_makes_the_turn_uncertain_only_with_others_open);
	tcase_add_test(tc, context_only_open_request_survives_turns);
	tcase_add_test(tc, context_polling_without_result_does_not_end_a_turn);
	tcase_add_test(tc, context_connection_opened_for_a_request_is_its_own_at_first_use);
	tcase_add_test(tc, context_same_request_id_tells_among_several);
	tcase_add_test(tc, context_loop_that_always_hands_targets_on_is_followed_though_no_pair_is_certain);
	tcase_add_test(tc, context_forward_proxy_is_followed_by_path_and_query);
	tcase_add_test(tc, context_targets_that_repeat_are_no_evidence);
	tcase_add_test(tc, context_calls_that_no_request_explains_are_evidence_against);
	tcase_add_test(tc, context_ambiguous_call_links_to_its_candidates);
	tcase_add_test(tc, context_worker_gets_the_only_request_a_loop_left_parked);
	tcase_add_test(tc, context_candidates_are_found_however_many_threads_there_are);
	tcase_add_test(tc, context_background_thread_is_never_taken_for_a_worker);
	tcase_add_test(tc, context_epoll_shared_by_threads_counts_the_whole_process);
	tcase_add_test(tc, context_waiting_request_may_have_more_to_do_where_threads_share_a_loop);
	tcase_add_test(tc, context_epoll_descriptor_made_before_anything_was_seen_is_known_when_waited_on);
	tcase_add_test(tc, context_second_call_in_a_turn_of_several_may_be_any_ones);
	tcase_add_test(tc, context_turn_without_waiting_began_with_something_left_to_do);
	tcase_add_test(tc, context_request_read_by_who_never_waited_says_that_tasks_move);
	tcase_add_test(tc, context_request_that_another_loop_has_not_acted_on_may_have_been_handed_over);
	tcase_add_test(tc, context_request_that_another_loop_acts_on_stays_there);
	tcase_add_test(tc, context_task_after_waiting_may_be_for_the_request_of_another_loop);
	tcase_add_test(tc, context_answer_may_free_a_connection_for_a_request_that_makes_several_calls);
	tcase_add_test(tc, context_answer_may_free_a_connection_as_long_as_a_loop_has_shown_nothing);
	tcase_add_test(tc, context_connection_whose_request_was_served_by_another_is_nobodys);
	tcase_add_test(tc, context_connection_of_a_pool_that_threads_share_is_nobodys_in_particular);
	tcase_add_test(tc, context_header_handed_on_is_rewritten_to_name_our_span);
	tcase_add_test(tc, context_header_of_the_program_itself_is_left_alone_and_joined);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
