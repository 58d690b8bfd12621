/* Queries to PostgreSQL and MySQL as conn/ sees them: groups, batches, texts of prepared statements, the database, TLS. */
#include "tests/unit/conn_rig.h"

#include "core/stats.h"
#include "core/thread.h"

#define READY "Z\0\0\0\5I"

struct text {
	char bytes[8192];
	size_t len;
};

static void put(struct text *t, char type, const void *body, size_t len)
{
	uint32_t n = htonl((uint32_t)len + 4);

	t->bytes[t->len++] = type;
	memcpy(t->bytes + t->len, &n, 4);
	memcpy(t->bytes + t->len + 4, body, len);
	t->len += len + 4;
}

#define PUT(t, type, body) put(t, type, body, sizeof(body) - 1)

static ssize_t say_up_to(struct text *t, size_t room)
{
	struct iovec iov = { t->bytes, t->len };

	return rig_send_iov(520, &iov, 1, 0, room, NULL);
}

static void say(struct text *t)
{
	ck_assert_int_eq(say_up_to(t, SIZE_MAX), (ssize_t)t->len);
	t->len = 0;
}

static void hear(struct text *t)
{
	oa_conn_on_received(520, t->bytes, t->len, (ssize_t)t->len, 0, 0);
	t->len = 0;
}

/* The server has done what the whole group asked for. */
static void ready(struct text *t)
{
	PUT(t, 'Z', "I");
	hear(t);
}

static void selected(struct text *t)
{
	PUT(t, 'C', "SELECT 0\0");
}

static void inserted(struct text *t)
{
	PUT(t, 'C', "INSERT 0 1\0");
}

static void query(struct text *t, const char *sql)
{
	put(t, 'Q', sql, strlen(sql) + 1);
}

/* Parse of a statement without a name when sql is given, Bind, Execute. */
static void execute(struct text *t, const char *name, const char *sql)
{
	char body[4200];
	size_t n = strlen(name) + 1;

	if (sql) {
		memcpy(body, name, n);
		strcpy(body + n, sql);
		memset(body + n + strlen(sql) + 1, 0, 2);
		put(t, 'P', body, n + strlen(sql) + 3);
	}
	body[0] = 0;
	memcpy(body + 1, name, n);
	memset(body + 1 + n, 0, 6);
	put(t, 'B', body, 1 + n + 6);
	PUT(t, 'E', "\0\0\0\0\0");
}

static void start(struct text *t)
{
	static const char startup[] = "\0\0\0\x20\0\3\0\0user\0joe\0database\0shop\0";

	rig_start();
	rig_connect(520);
	t->len = sizeof(startup);
	memcpy(t->bytes, startup, t->len);
	say(t);
	PUT(t, 'R', "\0\0\0\0");
	ready(t);
	ck_assert_ptr_null(rig_next());
}

static void expect_str(const struct oa_span *s, enum oa_str which, const char *text)
{
	ck_assert_msg(rig_str_is(s, which, text), "%.*s is not %s", (int)oa_span_str(s, which).len, oa_span_str(s, which).ptr, text);
}

/* The next record, of a query to this system in this database. */
static const struct oa_span *next_of(enum oa_store_system system, const char *text, const char *ns, struct oa_db *ret,
				     struct oa_db_texts *ret_texts)
{
	const struct oa_span *s = rig_next();

	ck_assert_msg(s != NULL, "no record of %s", text);
	ck_assert(oa_span_db(s, ret, ret_texts));
	ck_assert_int_eq(ret->system, system);
	expect_str(s, OA_STR_DB_TEXT, text);
	expect_str(s, OA_STR_DB_NAMESPACE, ns);
	return s;
}

static struct oa_db next(const char *text, const char *status, enum oa_error error)
{
	struct oa_db_texts texts;
	struct oa_db db;
	const struct oa_span *s = next_of(OA_STORE_POSTGRESQL, text, "shop", &db, &texts);

	ck_assert(oa_bytes_eq(texts.status, oa_bytes_str(status)));
	ck_assert_int_eq(s->error, error);
	return db;
}

static void expect_nothing(void)
{
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_parse) + oa_stat_sum(OA_STAT_opaque_contention), 0);
}

START_TEST(sql_a_simple_query_ends_when_the_server_is_ready)
{
	struct text t;
	struct oa_db db;

	start(&t);
	query(&t, "SELECT 1; SELECT 2");
	say(&t);
	for (int i = 0; i < 2; i++) {
		PUT(&t, 'T', "\0\0");
		PUT(&t, 'D', "\0\0");
		PUT(&t, 'C', "SELECT 1\0");
	}
	hear(&t);
	expect_nothing();
	ready(&t);
	db = next("SELECT 1; SELECT 2", "", OA_ERR_NONE);
	ck_assert_uint_eq(db.rows, 2);
	ck_assert_uint_eq(db.batch, 2);
	expect_nothing();
}
END_TEST

START_TEST(sql_what_runs_in_a_row_is_a_batch)
{
	struct text t;
	struct oa_db db;

	start(&t);
	execute(&t, "s", "INSERT a");
	execute(&t, "s", NULL);
	say(&t); /* and more of it in the next call */
	PUT(&t, '1', "");
	PUT(&t, '2', "");
	inserted(&t);
	PUT(&t, '2', "");
	inserted(&t);
	hear(&t);
	expect_nothing();
	execute(&t, "s", NULL);
	execute(&t, "", "SELECT b");
	execute(&t, "", "SELECT c"); /* the same name is another statement now */
	PUT(&t, 'S', "");
	say(&t);
	inserted(&t);
	selected(&t);
	hear(&t);
	db = next("INSERT a", "", OA_ERR_NONE);
	ck_assert_uint_eq(db.batch, 3);
	db = next("SELECT b", "", OA_ERR_NONE);
	ck_assert_uint_eq(db.batch, 0);
	selected(&t);
	ready(&t);
	next("SELECT c", "", OA_ERR_NONE);
	execute(&t, "s", NULL);
	PUT(&t, 'S', "");
	execute(&t, "s", NULL); /* another group: another operation */
	PUT(&t, 'S', "");
	say(&t);
	inserted(&t);
	ready(&t);
	next("INSERT a", "", OA_ERR_NONE);
	expect_nothing();
	inserted(&t);
	ready(&t);
	next("INSERT a", "", OA_ERR_NONE);
	expect_nothing();
}
END_TEST

START_TEST(sql_behind_an_error_the_group_is_passed_over)
{
	struct text t;

	start(&t);
	execute(&t, "", "SELECT a");
	execute(&t, "", "SELECT b");
	execute(&t, "", "SELECT c");
	PUT(&t, 'S', "");
	execute(&t, "", "SELECT d");
	PUT(&t, 'S', "");
	say(&t);
	selected(&t);
	PUT(&t, 'E', "SERROR\0C42P01\0Mno\0\0");
	PUT(&t, 'Z', "I");
	selected(&t);
	ready(&t);
	next("SELECT a", "", OA_ERR_NONE);
	ck_assert(next("SELECT b", "42P01", OA_ERR_NONE).flags & OA_DB_FAILED);
	next("SELECT c", "", OA_ERR_PIPELINE_ABORTED);
	next("SELECT d", "", OA_ERR_NONE);
	expect_nothing();
}
END_TEST

START_TEST(sql_statements_are_known_until_they_are_closed)
{
	struct text t;

	start(&t);
	for (int i = 0; i < 3000; i++) { /* more than are kept: the last ones are */
		char name[32], sql[64];

		snprintf(name, sizeof(name), "s%d", i);
		snprintf(sql, sizeof(sql), "SELECT %d", i);
		execute(&t, name, sql);
		PUT(&t, 'S', "");
		say(&t);
		selected(&t);
		ready(&t);
		next(sql, "", OA_ERR_NONE);
	}
	execute(&t, "s0", NULL);
	execute(&t, "s2999", NULL);
	PUT(&t, 'C', "Ss2999\0");
	execute(&t, "s2999", NULL);
	PUT(&t, 'S', "");
	say(&t);
	for (int i = 0; i < 3; i++)
		selected(&t);
	ready(&t);
	next("", "", OA_ERR_NONE);
	ck_assert_uint_eq(next("SELECT 2999", "", OA_ERR_NONE).batch, 2); /* closing does not end what runs */
	expect_nothing();
}
END_TEST

START_TEST(sql_a_long_text_is_cut_and_says_so)
{
	static char sql[10000] = "SELECT ";
	struct text t;
	const struct oa_span *s;

	memset(sql + 7, 'a', 7000);
	start(&t);
	query(&t, sql);
	say(&t);
	selected(&t);
	ready(&t);
	s = rig_next();
	ck_assert(s && s->flags & OA_SPAN_TRUNCATED);
	ck_assert_uint_eq(oa_span_str(s, OA_STR_DB_TEXT).len, 4096);
}
END_TEST

/* Cut at each byte: what was sent is counted once, batches too. */
START_TEST(sql_short_writes_do_not_count_twice)
{
	struct text t, rest;
	ssize_t n;

	start(&t);
	execute(&t, "s", "INSERT a");
	execute(&t, "s", NULL);
	PUT(&t, 'S', "");
	if (_i >= (int)t.len)
		return;
	n = say_up_to(&t, (size_t)_i);
	rest.len = t.len - (size_t)(n > 0 ? n : 0);
	memcpy(rest.bytes, t.bytes + t.len - rest.len, rest.len);
	say(&rest);
	t.len = 0;
	inserted(&t);
	inserted(&t);
	ready(&t);
	ck_assert_uint_eq(next("INSERT a", "", OA_ERR_NONE).batch, 2);
	expect_nothing();
}
END_TEST

START_TEST(sql_behind_a_yes_to_tls_the_connection_begins_anew)
{
	char hello[44];
	struct text t = { "\0\0\0\x8\x4\xd2\x16\x2f", 8 };
	struct iovec iov = { hello, sizeof(hello) };

	rig_start();
	rig_connect(520);
	say(&t);
	rig_receive(520, "S");
	rig_hello(hello, 1);
	rig_send_iov(520, &iov, 1, 0, SIZE_MAX, NULL);
	rig_receive(520, "\x16\3\3");
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tunnel) + oa_stat_sum(OA_STAT_opaque_not_http), 0);
	expect_nothing();
}
END_TEST

START_TEST(sql_who_serves_it_is_left_alone)
{
	static const char startup[] = "\0\0\0\x20\0\3\0\0user\0joe\0database\0shop\0";

	rig_start();
	rig_accept(521, false);
	oa_conn_on_received(521, startup, sizeof(startup), sizeof(startup), 0, 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_served_store), 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_not_http), 0);
}
END_TEST

/* -- MySQL -- */

static void packet(struct text *t, uint8_t seq, const void *body, size_t len)
{
	uint8_t head[4] = { (uint8_t)len, (uint8_t)(len >> 8), 0, seq };

	memcpy(t->bytes + t->len, head, 4);
	memcpy(t->bytes + t->len + 4, body, len);
	t->len += len + 4;
}

#define PACKET(t, seq, body) packet(t, seq, body, sizeof(body) - 1)
#define OK(more_status)      "\0\0\0" more_status "\0\0\0"
#define LOGIN_CAPS           "\x88\xa2\x00\x00" /* protocol 4.1, a password's hash, a database */

static void login(struct text *t, uint8_t seq)
{
	static const char body[] = LOGIN_CAPS "\0\0\0\1\x21" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" "joe\0" "\0" "shop";

	packet(t, seq, body, sizeof(body));
}

static void start_mysql(struct text *t)
{
	t->len = 0;
	rig_start();
	rig_connect(520);
	PACKET(t, 0, "\n10.11\0" "\1\0\0\0" "12345678\0" "\xfe\xf7\x21\2\0\xff\x81\x15" "\0\0\0\0\0\0\0\0\0\0" "123456789012\0");
	hear(t);
	login(t, 1);
	say(t);
	PACKET(t, 2, OK("\2"));
	hear(t);
	expect_nothing();
}

static void ask(struct text *t, char code, const char *body, size_t len)
{
	char all[256] = { code };

	memcpy(all + 1, body, len);
	packet(t, 0, all, len + 1);
	say(t);
}

static struct oa_db next_mysql(const char *operation, const char *text, const char *ns)
{
	struct oa_db_texts texts;
	struct oa_db db;

	(void)next_of(OA_STORE_MYSQL, text, ns, &db, &texts);
	ck_assert(oa_bytes_eq(texts.operation, oa_bytes_str(operation)));
	return db;
}

static void ok(struct text *t)
{
	PACKET(t, 1, OK("\2"));
	hear(t);
}

static void refused(struct text *t)
{
	PACKET(t, 1, "\xff\x7a\x04#42S02no");
	hear(t);
}

static void ask_query(struct text *t, const char *sql)
{
	ask(t, 3, sql, strlen(sql));
}

static void expect_select_in(struct text *t, const char *ns)
{
	ask_query(t, "SELECT 1");
	ok(t);
	next_mysql("", "SELECT 1", ns);
}

START_TEST(mysql_the_database_is_the_one_in_use)
{
	struct text t;
	struct oa_db db;

	start_mysql(&t);
	ask_query(&t, "USE `other`;");
	ok(&t);
	next_mysql("", "USE `other`;", "shop");
	ask(&t, 2, "nowhere", 7);
	refused(&t);
	db = next_mysql("USE", "", "other");
	ck_assert_uint_eq(db.status_num, 1146);
	expect_select_in(&t, "other");
	ask(&t, 2, "third", 5);
	ok(&t);
	next_mysql("USE", "", "other");
	expect_select_in(&t, "third");
	ask(&t, 0x11, "joe\0\0fourth\0", 12);
	ok(&t);
	next_mysql("CHANGE_USER", "", "third");
	expect_select_in(&t, "");
	expect_nothing();
}
END_TEST

START_TEST(mysql_a_statement_is_known_by_the_number_it_was_given)
{
	struct text t;

	start_mysql(&t);
	ask(&t, 0x16, "SELECT 7", 8);
	PACKET(&t, 1, "\0\5\0\0\0\0\0\0\0\0\0\0");
	hear(&t);
	next_mysql("PREPARE", "SELECT 7", "shop");
	ask(&t, 0x17, "\5\0\0\0\0\1\0\0\0", 9);
	ok(&t);
	ck_assert(next_mysql("EXECUTE", "SELECT 7", "shop").flags & OA_DB_EXECUTE);
	ask(&t, 0x17, "\xff\xff\xff\xff\0\1\0\0\0", 9); /* MariaDB: the newest */
	ok(&t);
	next_mysql("EXECUTE", "SELECT 7", "shop");
	ask(&t, 0x19, "\5\0\0\0", 4);
	ask(&t, 0x17, "\5\0\0\0\0\1\0\0\0", 9);
	refused(&t);
	next_mysql("EXECUTE", "", "shop");
	expect_nothing();
}
END_TEST

START_TEST(mysql_whether_a_backslash_escapes_is_what_the_server_last_said)
{
	struct text t;

	start_mysql(&t);
	ask_query(&t, "SELECT 1");
	PACKET(&t, 1, OK("\2\2")); /* SERVER_STATUS_NO_BACKSLASH_ESCAPES */
	hear(&t);
	ck_assert_int_eq(next_mysql("", "SELECT 1", "shop").escapes, OA_DB_ESCAPES);
	ask_query(&t, "SELECT 1");
	ok(&t);
	ck_assert_int_eq(next_mysql("", "SELECT 1", "shop").escapes, OA_DB_ESCAPES_MIXED);
	ask_query(&t, "SELECT 1");
	ask_query(&t, "SELECT 2"); /* behind one that may change it */
	ok(&t);
	ok(&t);
	next_mysql("", "SELECT 1", "shop");
	ck_assert_int_eq(next_mysql("", "SELECT 2", "shop").escapes, 0);
	expect_nothing();
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("store_sql");
	Suite *suite = suite_create("conn");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, sql_a_simple_query_ends_when_the_server_is_ready);
	tcase_add_test(tc, sql_what_runs_in_a_row_is_a_batch);
	tcase_add_test(tc, sql_behind_an_error_the_group_is_passed_over);
	tcase_add_test(tc, sql_statements_are_known_until_they_are_closed);
	tcase_add_test(tc, sql_a_long_text_is_cut_and_says_so);
	tcase_add_loop_test(tc, sql_short_writes_do_not_count_twice, 0, 90);
	tcase_add_test(tc, sql_behind_a_yes_to_tls_the_connection_begins_anew);
	tcase_add_test(tc, sql_who_serves_it_is_left_alone);
	tcase_add_test(tc, mysql_the_database_is_the_one_in_use);
	tcase_add_test(tc, mysql_a_statement_is_known_by_the_number_it_was_given);
	tcase_add_test(tc, mysql_whether_a_backslash_escapes_is_what_the_server_last_said);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
