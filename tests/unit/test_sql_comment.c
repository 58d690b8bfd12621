/* Queries that get a comment: what the server is sent, wherever the kernel cuts; and those that are left alone. */
#include "tests/unit/conn_rig.h"

#include "core/stats.h"

#define FD 520
#define COMMENT_LEN (sizeof(" /*traceparent=''*/") - 1 + 55)

struct bytes {
	char at[16384];
	size_t len;
};

static void add(struct bytes *b, const void *from, size_t len)
{
	memcpy(b->at + b->len, from, len);
	b->len += len;
}

/* Sends it as a host does that goes on with what was not taken; the kernel takes `room` bytes the first time. */
static void send_all(const struct bytes *host, size_t room, struct bytes *wire)
{
	size_t done = 0;

	while (done < host->len) {
		struct iovec iov = { (void *)(uintptr_t)(host->at + done), host->len - done };
		const struct iovec *use;
		struct oa_send s;
		size_t took = 0;
		ssize_t n;

		oa_conn_before_send(FD, &iov, 1, 0, &s);
		use = s.rewrite ? s.iov : &iov;
		for (int i = 0; i < (s.rewrite ? s.iovcnt : 1) && took < room; i++) {
			size_t step = use[i].iov_len < room - took ? use[i].iov_len : room - took;

			add(wire, use[i].iov_base, step);
			took += step;
		}
		n = s.watched ? oa_conn_after_send(&s, room ? (ssize_t)took : -1, room ? 0 : EAGAIN) : (ssize_t)took;
		ck_assert_int_le(n, (ssize_t)(host->len - done));
		ck_assert(room ? n > 0 : n == -1);
		done += n > 0 ? (size_t)n : 0;
		room = SIZE_MAX;
	}
}

static void hear(const void *text, size_t len)
{
	oa_conn_on_received(FD, text, len, (ssize_t)len, 0, 0);
}

/* -- PostgreSQL -- */

static void message(struct bytes *b, char type, const void *body, size_t len)
{
	uint32_t n = htonl((uint32_t)len + 4);

	add(b, &type, 1);
	add(b, &n, 4);
	add(b, body, len);
}

#define MESSAGE(b, type, body) message(b, type, body, sizeof(body) - 1)

static void start(void)
{
	static const char startup[] = "\0\0\0\x20\0\3\0\0user\0joe\0database\0shop\0";
	struct bytes b = { .len = 0 }, wire = { .len = 0 };

	rig_start();
	oa_config.sql_comment = 1;
	rig_connect(FD);
	add(&b, startup, sizeof(startup));
	send_all(&b, SIZE_MAX, &wire);
	hear("R\0\0\0\10\0\0\0\0Z\0\0\0\5I", 15);
}

static void query(struct bytes *b, const char *sql)
{
	message(b, 'Q', sql, strlen(sql) + 1);
}

/* Parse without a name, or with one; Bind, Execute, Sync. */
static void extended(struct bytes *b, const char *name, const char *sql)
{
	char body[4200];
	size_t n = strlen(name) + 1, len = strlen(sql) + 1;

	memcpy(body, name, n);
	memcpy(body + n, sql, len);
	memset(body + n + len, 0, 2);
	message(b, 'P', body, n + len + 2);
	body[0] = 0;
	memcpy(body + 1, name, n);
	memset(body + 1 + n, 0, 6);
	message(b, 'B', body, 1 + n + 6);
	MESSAGE(b, 'E', "\0\0\0\0\0");
	MESSAGE(b, 'S', "");
}

/* -- what must come of it -- */

/* The wire's bytes without the comment, which stands behind `front` bytes of the host's; the message's length set back.
 * returns the id of the span that it names */
static const char *without_comment(struct bytes *wire, size_t front, bool mysql)
{
	static char id[17];
	const char *comment = wire->at + front;
	uint32_t len;

	ck_assert_int_eq(memcmp(comment, " /*traceparent='00-", 19), 0);
	ck_assert_int_eq(memcmp(comment + COMMENT_LEN - 3, "'*/", 3), 0);
	memcpy(id, comment + 19 + 33, 16);
	memmove(wire->at + front, wire->at + front + COMMENT_LEN, wire->len - front - COMMENT_LEN);
	wire->len -= COMMENT_LEN;
	if (mysql) {
		wire->at[0] = (char)((uint8_t)wire->at[0] - COMMENT_LEN);
	} else {
		memcpy(&len, wire->at + 1, 4);
		len = htonl(ntohl(len) - (uint32_t)COMMENT_LEN);
		memcpy(wire->at + 1, &len, 4);
	}
	return id;
}

static void expect_same(const struct bytes *wire, const struct bytes *host)
{
	ck_assert_uint_eq(wire->len, host->len);
	ck_assert_int_eq(memcmp(wire->at, host->at, host->len), 0);
}

static void expect_span(const char *id)
{
	const struct oa_span *s = rig_next();
	char have[17] = "";

	ck_assert_ptr_nonnull(s);
	oa_hex(have, s->span_id, 8);
	ck_assert_str_eq(have, id);
}

static void each_cut(const struct bytes *host, size_t front, size_t limit)
{
	for (size_t room = 0; room <= limit; room++) {
		struct bytes wire = { .len = 0 };
		const char *id;

		start();
		send_all(host, room, &wire);
		id = without_comment(&wire, front, false);
		expect_same(&wire, host);
		hear("C\0\0\0\15SELECT 1\0Z\0\0\0\5I", 20);
		if (!room || room == limit)
			expect_span(id);
		oa_conn_before_close(FD);
		while (rig_next())
			;
	}
}

START_TEST(a_simple_query_arrives_whole_wherever_it_is_cut)
{
	struct bytes host = { .len = 0 };

	query(&host, "SELECT name FROM t WHERE id = 'x' ");
	each_cut(&host, 5 + 33, host.len + COMMENT_LEN);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_sql_comment_added), host.len + COMMENT_LEN + 2); /* one of them twice */
	ck_assert_uint_ge(oa_stat_sum(OA_STAT_opaque_comment_cut), host.len);
}
END_TEST

START_TEST(an_extended_query_arrives_whole_wherever_it_is_cut)
{
	struct bytes host = { .len = 0 };

	extended(&host, "", "insert into t values ($1);");
	each_cut(&host, 6 + 25, host.len + COMMENT_LEN);
}
END_TEST

/* -- what is left alone -- */

static void left_alone(const struct bytes *host, enum oa_stat reason)
{
	struct bytes wire = { .len = 0 };
	uint64_t before;

	start();
	before = oa_stat_sum(reason);
	send_all(host, SIZE_MAX, &wire);
	expect_same(&wire, host);
	ck_assert_uint_eq(oa_stat_sum(reason), before + 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_sql_comment_added), 0);
	oa_conn_before_close(FD);
}

static const struct {
	const char *sql;
	enum oa_stat reason;
} alone[] = {
	{ "SELECT 1 -- so", OA_STAT_sql_comment_there }, { "SELECT /* so */ 1", OA_STAT_sql_comment_there },
	{ "SELECT '--'", OA_STAT_sql_comment_there }, { "SELECT 1; SELECT 2", OA_STAT_sql_comment_several },
	{ "SELECT ';'", OA_STAT_sql_comment_several }, { "BEGIN", OA_STAT_sql_comment_other },
	{ "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", OA_STAT_sql_comment_other },
	{ "COPY t FROM STDIN", OA_STAT_sql_comment_other }, { "PREPARE p AS SELECT 1", OA_STAT_sql_comment_other },
	{ "selection", OA_STAT_sql_comment_other }, { "EXPLAIN SELECT 1", OA_STAT_sql_comment_other },
};

START_TEST(a_query_that_may_have_a_comment_or_keep_its_text_is_left_alone)
{
	struct bytes host = { .len = 0 };

	query(&host, alone[_i].sql);
	left_alone(&host, alone[_i].reason);
}
END_TEST

START_TEST(a_statement_with_a_name_is_left_alone)
{
	struct bytes host = { .len = 0 };

	extended(&host, "s1", "SELECT 1");
	left_alone(&host, OA_STAT_sql_comment_prepared);
}
END_TEST

START_TEST(several_queries_in_one_call_are_left_alone)
{
	struct bytes host = { .len = 0 };

	extended(&host, "", "SELECT 1");
	extended(&host, "", "SELECT 2");
	left_alone(&host, OA_STAT_sql_comment_many);
}
END_TEST

START_TEST(a_query_longer_than_what_is_kept_of_it_is_left_alone)
{
	struct bytes host = { .len = 0 };
	char sql[6000] = "SELECT ";

	memset(sql + 7, 'x', sizeof(sql) - 8);
	query(&host, sql);
	left_alone(&host, OA_STAT_sql_comment_not_whole);
}
END_TEST

/* The end of a query in a call of its own, or data of a COPY that look like one. */
START_TEST(what_is_not_the_beginning_of_a_message_is_left_alone)
{
	struct bytes host = { .len = 0 }, first, rest, wire = { .len = 0 };

	query(&host, "SELECT 1");
	start();
	first = host;
	first.len = 3;
	rest.len = host.len - 3;
	memcpy(rest.at, host.at + 3, rest.len);
	send_all(&first, SIZE_MAX, &wire);
	send_all(&rest, SIZE_MAX, &wire);
	expect_same(&wire, &host);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_sql_comment_added), 0);
}
END_TEST

START_TEST(nothing_is_added_unless_it_is_asked_for)
{
	struct bytes host = { .len = 0 }, wire = { .len = 0 };

	query(&host, "SELECT 1");
	start();
	oa_config.sql_comment = 0;
	send_all(&host, SIZE_MAX, &wire);
	expect_same(&wire, &host);
	for (enum oa_stat s = OA_STAT_sql_comment_added; s <= OA_STAT_sql_comment_pool; s++)
		ck_assert_uint_eq(oa_stat_sum(s), 0);
}
END_TEST

/* -- MySQL -- */

static void packet(struct bytes *b, uint8_t seq, const void *body, size_t len)
{
	uint8_t head[4] = { (uint8_t)len, (uint8_t)(len >> 8), 0, seq };

	add(b, head, 4);
	add(b, body, len);
}

#define PACKET(b, seq, body) packet(b, seq, body, sizeof(body) - 1)

static void start_mysql(void)
{
	static const char login[] = "\x88\xa2\x00\x00" "\0\0\0\1\x21" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" "joe\0" "\0" "shop";
	struct bytes b = { .len = 0 }, wire = { .len = 0 };

	rig_start();
	oa_config.sql_comment = 1;
	rig_connect(FD);
	PACKET(&b, 0, "\n10.11\0" "\1\0\0\0" "12345678\0" "\xfe\xf7\x21\2\0\xff\x81\x15" "\0\0\0\0\0\0\0\0\0\0" "123456789012\0");
	hear(b.at, b.len);
	b.len = 0;
	packet(&b, 1, login, sizeof(login));
	send_all(&b, SIZE_MAX, &wire);
	b.len = 0;
	PACKET(&b, 2, "\0\0\0\2\0\0\0");
	hear(b.at, b.len);
}

START_TEST(mysqls_query_arrives_whole_wherever_it_is_cut)
{
	struct bytes host = { .len = 0 };

	PACKET(&host, 0, "\3SELECT 1");
	for (size_t room = 0; room <= host.len + COMMENT_LEN; room++) {
		struct bytes wire = { .len = 0 };
		const char *id;

		start_mysql();
		send_all(&host, room, &wire);
		id = without_comment(&wire, host.len, true);
		expect_same(&wire, &host);
		hear("\7\0\0\1\0\0\0\2\0\0\0", 11);
		if (!room || room == host.len + COMMENT_LEN)
			expect_span(id);
		oa_conn_before_close(FD);
		while (rig_next())
			;
	}
}
END_TEST

START_TEST(mysqls_comments_begin_with_a_hash_too)
{
	struct bytes host = { .len = 0 }, wire = { .len = 0 };

	start_mysql();
	PACKET(&host, 0, "\3SELECT 1 # so");
	send_all(&host, SIZE_MAX, &wire);
	expect_same(&wire, &host);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_sql_comment_there), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("sql_comment");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, a_simple_query_arrives_whole_wherever_it_is_cut);
	tcase_add_test(tc, an_extended_query_arrives_whole_wherever_it_is_cut);
	tcase_add_loop_test(tc, a_query_that_may_have_a_comment_or_keep_its_text_is_left_alone, 0, sizeof(alone) / sizeof(alone[0]));
	tcase_add_test(tc, a_statement_with_a_name_is_left_alone);
	tcase_add_test(tc, several_queries_in_one_call_are_left_alone);
	tcase_add_test(tc, a_query_longer_than_what_is_kept_of_it_is_left_alone);
	tcase_add_test(tc, what_is_not_the_beginning_of_a_message_is_left_alone);
	tcase_add_test(tc, nothing_is_added_unless_it_is_asked_for);
	tcase_add_test(tc, mysqls_query_arrives_whole_wherever_it_is_cut);
	tcase_add_test(tc, mysqls_comments_begin_with_a_hash_too);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
