/* Commands to Redis as conn/ sees them: read before they are sent, undone when they were not, answered in order. */
#include "tests/unit/conn_rig.h"

#include "conn/context.h"
#include "core/stats.h"
#include "core/thread.h"

#define PING "*1\r\n$4\r\nPING\r\n"
#define GET  "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"

static char wire[1 << 16];

static void start(void)
{
	rig_start();
	oa_ctx_watch_thread(); /* as the first watched call does */
	rig_connect(520);
	wire[0] = 0;
}

struct sending {
	struct rig_call call;
	struct iovec iov;
};

static void before(struct sending *k, const char *text)
{
	k->iov = (struct iovec){ (void *)(uintptr_t)text, strlen(text) };
	oa_tls.send_sp = 0; /* each call is another thread's */
	rig_send_begins(&k->call, 520, &k->iov, 1, 0);
	ck_assert(k->call.plain || (k->call.s.watched && !k->call.s.rewrite));
}

static void after(struct sending *k)
{
	ck_assert_int_eq(rig_send_ends(&k->call, (ssize_t)k->iov.iov_len, 0), (ssize_t)k->iov.iov_len);
}

static void expect(const char *operation, const char *status)
{
	const struct oa_span *s = rig_next();
	struct oa_db_texts texts;
	struct oa_db db;

	ck_assert_msg(s != NULL, "no record of %s", operation);
	ck_assert(oa_span_db(s, &db, &texts));
	ck_assert(oa_bytes_eq(texts.operation, oa_bytes_str(operation)));
	ck_assert(oa_bytes_eq(texts.status, oa_bytes_str(status)));
	ck_assert_int_eq((db.flags & OA_DB_FAILED) != 0, status[0] != 0);
	ck_assert_int_eq(db.system, OA_STORE_REDIS);
	ck_assert_int_eq(s->error, OA_ERR_NONE);
}

static struct oa_db next_db(void)
{
	const struct oa_span *s = rig_next();
	struct oa_db_texts texts;
	struct oa_db db;

	ck_assert(s && oa_span_db(s, &db, &texts));
	return db;
}

static void expect_nothing(void)
{
	ck_assert_ptr_null(rig_next());
}

START_TEST(store_a_client_s_command_is_an_exchange)
{
	start();
	ck_assert_int_eq(rig_send(520, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$6\r\nsecret\r\n", SIZE_MAX, wire), 32);
	expect_nothing();
	rig_receive(520, "+O");
	rig_receive(520, "K\r\n");
	expect("SET", "");
	ck_assert_int_eq(rig_send(520, GET, SIZE_MAX, wire), sizeof(GET) - 1);
	rig_receive(520, "-WRONGTYPE Operation against a key\r\n");
	expect("GET", "WRONGTYPE");
	expect_nothing();
}
END_TEST

START_TEST(store_a_server_s_command_is_an_exchange)
{
	const struct oa_span *s;

	rig_start();
	rig_accept(530, true);
	rig_receive(530, PING GET);
	rig_send(530, "+PONG\r\n$", SIZE_MAX, NULL);
	expect("PING", "");
	expect_nothing();
	rig_send(530, "-1\r\n", SIZE_MAX, NULL);
	s = rig_next();
	ck_assert(s && s->kind == OA_KIND_SERVER && s->what == OA_WHAT_DB && !oa_span_has_parent(s));
	expect_nothing();
}
END_TEST

START_TEST(store_an_answer_may_come_before_the_sending_call_is_back)
{
	struct sending a, b;

	start();
	for (int i = 0; i < 3; i++) {
		before(&a, PING);
		rig_receive(520, "+PONG\r\n");
		expect("PING", "");
		before(&b, GET); /* by the thread that read it */
		after(&a);
		after(&b);
		rig_receive(520, "$1\r\nx\r\n");
		expect("GET", "");
	}
	expect_nothing();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 0);
}
END_TEST

/* But only where nothing can be added, and nobody else's bytes are waited for. */
START_TEST(store_a_command_in_one_buffer_is_a_plain_call)
{
	struct iovec iov = { PING, sizeof(PING) - 1 };
	struct oa_plain p;
	struct sending a;

	start();
	before(&a, PING);
	ck_assert_int_eq(a.call.plain, OA_PLAIN_NONE); /* what it speaks is not known yet */
	after(&a);
	before(&a, PING);
	ck_assert_int_eq(a.call.plain, OA_PLAIN_COMMAND);
	ck_assert_int_eq(oa_conn_before_plain_send(520, &p), OA_PLAIN_NONE); /* in a signal handler */
	after(&a);
	ck_assert_int_eq(rig_send(520, PING, 5, wire), 5);
	ck_assert_int_eq(oa_conn_before_plain_send(520, &p), OA_PLAIN_COMMAND);
	ck_assert(!oa_conn_before_command(520, &iov, &p)); /* the rest of a command comes first */
	ck_assert_int_eq(rig_send(520, &PING[5], SIZE_MAX, wire), sizeof(PING) - 6);
	rig_receive(520, "+PONG\r\n+PONG\r\n+PONG\r\n");
	for (int i = 0; i < 3; i++)
		expect("PING", "");
	expect_nothing();
}
END_TEST

START_TEST(store_two_threads_that_send_at_once_are_not_guessed_about)
{
	struct sending a, b;

	start();
	before(&a, PING);
	before(&b, GET);
	after(&a);
	after(&b);
	rig_receive(520, "+PONG\r\n$1\r\nx\r\n");
	expect_nothing();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
}
END_TEST

START_TEST(store_what_the_kernel_did_not_take_was_not_asked)
{
	start();
	ck_assert_int_eq(rig_send(520, PING GET, 0, wire), -1);
	expect_nothing();
	ck_assert_int_eq(rig_send(520, PING GET, SIZE_MAX, wire), sizeof(PING GET) - 1);
	rig_receive(520, "+PONG\r\n$1\r\nx\r\n");
	expect("PING", "");
	expect("GET", "");
	expect_nothing();
}
END_TEST

/* There is no command to take back then. MySQL's QUIT to a server that has gone is another such call. */
START_TEST(store_what_was_no_command_may_not_be_taken_either)
{
	start();
	ck_assert_int_eq(rig_send(520, "*1\r\n$4\r\nPI", 0, wire), -1);
	expect_nothing();
	ck_assert_int_eq(rig_send(520, PING, SIZE_MAX, wire), sizeof(PING) - 1);
	rig_receive(520, "+PONG\r\n");
	expect("PING", "");
	expect_nothing();
}
END_TEST

/* Another thread makes the number that of another connection, in the middle of a value that is being sent. */
START_TEST(store_a_number_that_means_another_connection_meanwhile_says_nothing_of_that)
{
	struct sending a;

	start();
	rig_connect(521);
	for (int fd = 520; fd < 522; fd++) { /* both have sent as often */
		ck_assert_int_eq(rig_send(fd, PING, SIZE_MAX, wire), sizeof(PING) - 1);
		rig_receive(fd, "+PONG\r\n");
		expect("PING", "");
	}
	rig_send(520, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$99999\r\nxx", SIZE_MAX, wire);
	rig_send(521, PING, SIZE_MAX, wire);
	before(&a, "yyyyyyyyyyyyyyyyyyyy");
	oa_tls.send_sp = 0;
	rig_send(521, GET, SIZE_MAX, wire);
	oa_conn_before_close(520);
	oa_conn_on_dup(521, 520);
	ck_assert_int_eq(rig_send_ends(&a.call, -1, EPIPE), -1);
	ck_assert_int_ne(rig_next()->error, OA_ERR_NONE); /* SET's */
	rig_receive(521, "+PONG\r\n");
	expect("PING", "");
	rig_receive(521, "$1\r\nx\r\n");
	expect("GET", "");
	rig_send(521, PING, SIZE_MAX, wire);
	rig_receive(521, "+PONG\r\n");
	expect("PING", "");
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 0);
}
END_TEST

START_TEST(store_commands_may_be_cut_by_short_writes_anywhere)
{
	const char all[] = PING GET PING "*2\r\n$3\r\nGET\r\n$30\r\nabcdefghijklmnopqrstuvwxyz0123\r\n";
	size_t cut = (size_t)_i + 1;

	start();
	if (cut + 3 > sizeof(all) - 1)
		return;
	ck_assert_int_eq(rig_send(520, all, cut, wire), (ssize_t)cut);
	ck_assert_int_eq(rig_send(520, all + cut, 3, wire), 3);
	ck_assert_int_eq(rig_send(520, all + cut + 3, SIZE_MAX, wire), (ssize_t)(sizeof(all) - 1 - cut - 3));
	ck_assert_str_eq(wire, all);
	rig_receive(520, "+PONG\r\n$1\r\nx\r\n+PONG\r\n$-1\r\n");
	expect("PING", "");
	expect("GET", "");
	expect("PING", "");
	expect("GET", "");
	expect_nothing();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 0);
}
END_TEST

START_TEST(store_a_short_write_whose_commands_are_answered_already_is_not_guessed_about)
{
	struct sending a;

	start();
	rig_send(520, PING, SIZE_MAX, wire);
	rig_receive(520, "+PONG\r\n");
	expect("PING", "");
	before(&a, PING GET);
	rig_receive(520, "+PONG\r\n"); /* of the part that was sent */
	expect("PING", "");
	ck_assert_int_eq(rig_send_ends(&a.call, sizeof(PING) + 3, 0), sizeof(PING) + 3);
	expect_nothing();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
}
END_TEST

START_TEST(store_an_answer_nobody_asked_for_ends_the_observing)
{
	start();
	rig_send(520, PING, SIZE_MAX, wire);
	rig_receive(520, "+PONG\r\n+AGAIN\r\n");
	expect("PING", "");
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_parse), 1);
	rig_send(520, PING, SIZE_MAX, wire);
	rig_receive(520, "+PONG\r\n");
	expect_nothing();
}
END_TEST

START_TEST(store_the_database_is_the_one_selected_as_long_as_that_is_known)
{
	struct oa_db db;

	start();
	rig_send(520, PING "*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n" PING "*2\r\n$6\r\nSELECT\r\n$3\r\n999\r\n", SIZE_MAX, wire);
	rig_receive(520, "+PONG\r\n+OK\r\n+PONG\r\n-ERR DB index is out of range\r\n");
	db = next_db();
	ck_assert(db.flags & OA_DB_HAS_NS && db.ns == 0);
	db = next_db();
	ck_assert(db.flags & OA_DB_HAS_NS && db.ns == 7);
	db = next_db();
	ck_assert(db.flags & OA_DB_HAS_NS && db.ns == 7);
	expect("SELECT", "ERR");
	rig_send(520, PING, SIZE_MAX, wire);
	rig_receive(520, "+PONG\r\n");
	db = next_db();
	ck_assert(!(db.flags & OA_DB_HAS_NS));
}
END_TEST

START_TEST(store_behind_subscribe_nothing_is_a_command)
{
	start();
	rig_send(520, PING "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", SIZE_MAX, wire);
	rig_receive(520, "+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n");
	expect("PING", "");
	expect("SUBSCRIBE", "");
	rig_send(520, PING, SIZE_MAX, wire);
	rig_receive(520, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
	expect_nothing();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tunnel), 1);
}
END_TEST

START_TEST(store_more_open_commands_than_are_followed_end_the_observing)
{
	start();
	for (int i = 0; i < 5000; i++)
		rig_send(520, PING, SIZE_MAX, NULL);
	rig_receive(520, "+PONG\r\n");
	expect_nothing();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_pool), 1);
}
END_TEST

START_TEST(store_a_connection_that_ends_ends_its_commands)
{
	const struct oa_span *s;

	start();
	rig_send(520, PING GET, SIZE_MAX, wire);
	rig_receive(520, "+PONG\r\n");
	expect("PING", "");
	oa_conn_on_received(520, wire, sizeof(wire), 0, 0, 0);
	s = rig_next();
	ck_assert(s && s->error == OA_ERR_CONNECTION_CLOSED);
	expect_nothing();
}
END_TEST

static void watched(void)
{
	rig_watched_only = true;
}

static TCase *calls(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, store_a_client_s_command_is_an_exchange);
	tcase_add_test(tc, store_a_server_s_command_is_an_exchange);
	tcase_add_test(tc, store_an_answer_may_come_before_the_sending_call_is_back);
	tcase_add_test(tc, store_two_threads_that_send_at_once_are_not_guessed_about);
	tcase_add_test(tc, store_what_the_kernel_did_not_take_was_not_asked);
	tcase_add_test(tc, store_what_was_no_command_may_not_be_taken_either);
	tcase_add_test(tc, store_a_number_that_means_another_connection_meanwhile_says_nothing_of_that);
	tcase_add_loop_test(tc, store_commands_may_be_cut_by_short_writes_anywhere, 0, 96);
	tcase_add_test(tc, store_a_short_write_whose_commands_are_answered_already_is_not_guessed_about);
	tcase_add_test(tc, store_an_answer_nobody_asked_for_ends_the_observing);
	tcase_add_test(tc, store_the_database_is_the_one_selected_as_long_as_that_is_known);
	tcase_add_test(tc, store_behind_subscribe_nothing_is_a_command);
	tcase_add_test(tc, store_more_open_commands_than_are_followed_end_the_observing);
	tcase_add_test(tc, store_a_connection_that_ends_ends_its_commands);
	return tc;
}

int main(void)
{
	TCase *plain = calls("plain calls"), *others = calls("watched calls");
	Suite *suite = suite_create("store");
	SRunner *runner;
	int failed;

	tcase_add_test(plain, store_a_command_in_one_buffer_is_a_plain_call);
	tcase_add_checked_fixture(others, watched, NULL);
	suite_add_tcase(suite, plain);
	suite_add_tcase(suite, others);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
