/* Statements that SQLite runs, as conn/ is told of them: whose they are, what becomes of runs that are left, and when there is no
 * room for more. */
#include "tests/unit/conn_rig.h"

#include "conn/exchange.h"
#include "conn/sqlite.h"
#include "core/stats.h"
#include "core/tsc.h"

static struct oa_sqlite_asked asked(const char *text)
{
	return (struct oa_sqlite_asked){ .text = oa_bytes_str(text), .ns = OA_LIT("shop.db"), .start_ns = oa_host_now_ns(),
					 .has_rows = true };
}

static const void *stmt(unsigned i)
{
	return (const void *)(uintptr_t)(0x10000 + 0x40 * i);
}

static void begin(unsigned i, const char *text)
{
	struct oa_sqlite_asked a = asked(text);

	oa_sqlite_begin(stmt(i), &a);
}

static const struct oa_span *next(const char *text, uint64_t rows, unsigned status)
{
	const struct oa_span *s = rig_next();
	struct oa_db_texts texts;
	struct oa_db db;

	ck_assert_msg(s != NULL, "no record of %s", text);
	ck_assert(oa_span_db(s, &db, &texts));
	ck_assert(rig_str_is(s, OA_STR_DB_TEXT, text));
	ck_assert(rig_str_is(s, OA_STR_DB_NAMESPACE, "shop.db"));
	ck_assert_int_eq(db.system, OA_STORE_SQLITE);
	ck_assert_uint_eq(db.rows, rows);
	ck_assert_uint_eq(db.status_num, status);
	ck_assert_int_eq(!!(db.flags & OA_DB_FAILED), status != 0);
	return s;
}

START_TEST(sqlite_a_run_ends_once_with_all_its_rows)
{
	rig_start();
	begin(1, "SELECT 1");
	ck_assert_int_eq(oa_sqlite_state(stmt(1)), OA_SQLITE_RUNS);
	oa_sqlite_row(stmt(1));
	oa_sqlite_row(stmt(2)); /* nobody's */
	ck_assert_ptr_null(rig_next());
	oa_sqlite_end(stmt(1), 0);
	oa_sqlite_end(stmt(1), 4);
	next("SELECT 1", 2, 0);
	ck_assert_ptr_null(rig_next());
	ck_assert_int_eq(oa_sqlite_state(stmt(1)), OA_SQLITE_UNKNOWN);
}
END_TEST

START_TEST(sqlite_a_run_is_the_requests_that_its_thread_works_for)
{
	struct oa_sqlite_asked insert;
	const struct oa_span *s;
	uint8_t trace[16];

	rig_start();
	rig_accept(510, false);
	rig_receive(510, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
	begin(1, "SELECT 1");
	insert = asked("INSERT"); /* while it runs */
	insert.has_rows = false;
	oa_sqlite_tell(&insert, 2067);
	oa_sqlite_end(stmt(1), 0);
	s = next("INSERT", 0, 2067);
	ck_assert(oa_span_has_parent(s));
	memcpy(trace, s->trace_id, 16);
	s = next("SELECT 1", 1, 0);
	ck_assert(oa_span_has_parent(s));
	ck_assert_mem_eq(s->trace_id, trace, 16);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exchange_pool), 0);
}
END_TEST

START_TEST(sqlite_what_waits_for_a_lock_is_no_run)
{
	rig_start();
	oa_sqlite_wait(stmt(1));
	ck_assert_int_eq(oa_sqlite_state(stmt(1)), OA_SQLITE_WAITS);
	oa_sqlite_end(stmt(1), 0);
	ck_assert_int_eq(oa_sqlite_state(stmt(1)), OA_SQLITE_UNKNOWN);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(sqlite_runs_without_room_are_counted)
{
	unsigned kept = 0;

	rig_start();
	for (unsigned i = 0; i < 2000; i++)
		begin(i, "SELECT 1");
	for (unsigned i = 0; i < 2000; i++) {
		kept += oa_sqlite_state(stmt(i)) == OA_SQLITE_RUNS;
		oa_sqlite_end(stmt(i), 0);
		if (i % 64 == 63)
			while (rig_next())
				;
	}
	ck_assert_uint_ge(kept, 800);
	ck_assert_uint_le(kept, 1024);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exchange_pool), 2000 - kept);
	begin(1, "SELECT 1"); /* and there is room again */
	ck_assert_int_eq(oa_sqlite_state(stmt(1)), OA_SQLITE_RUNS);
}
END_TEST

START_TEST(sqlite_a_child_does_not_tell_of_its_parents_runs)
{
	rig_start();
	begin(1, "SELECT 1");
	oa_exchange_home++;
	oa_sqlite_end(stmt(1), 0);
	ck_assert_ptr_null(rig_next());
	begin(1, "SELECT 2");
	oa_sqlite_end(stmt(1), 0);
	next("SELECT 2", 1, 0);
}
END_TEST

START_TEST(sqlite_a_text_that_is_too_long_is_cut)
{
	static char text[6001];
	struct oa_sqlite_asked a;
	const struct oa_span *s;

	memset(text, 'x', sizeof(text) - 1);
	rig_start();
	a = asked(text);
	oa_sqlite_tell(&a, 0);
	s = rig_next();
	ck_assert_uint_eq(oa_span_str(s, OA_STR_DB_TEXT).len, 4096);
	ck_assert(s->flags & OA_SPAN_TRUNCATED);
}
END_TEST

START_TEST(sqlite_names_of_databases_are_kept_until_they_are_closed)
{
	struct oa_bytes ns;

	ck_assert(!oa_sqlite_name(stmt(1), &ns));
	oa_sqlite_set_name(stmt(1), OA_LIT("a.db"));
	oa_sqlite_set_name(stmt(2), (struct oa_bytes){ 0 });
	ck_assert(oa_sqlite_name(stmt(1), &ns) && oa_bytes_eq(ns, OA_LIT("a.db")));
	ck_assert(oa_sqlite_name(stmt(2), &ns) && !ns.len);
	oa_sqlite_forget_name(stmt(1));
	ck_assert(!oa_sqlite_name(stmt(1), &ns));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sqlite");
	TCase *tc = tcase_create("sqlite");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, sqlite_a_run_ends_once_with_all_its_rows);
	tcase_add_test(tc, sqlite_a_run_is_the_requests_that_its_thread_works_for);
	tcase_add_test(tc, sqlite_what_waits_for_a_lock_is_no_run);
	tcase_add_test(tc, sqlite_runs_without_room_are_counted);
	tcase_add_test(tc, sqlite_a_child_does_not_tell_of_its_parents_runs);
	tcase_add_test(tc, sqlite_a_text_that_is_too_long_is_cut);
	tcase_add_test(tc, sqlite_names_of_databases_are_kept_until_they_are_closed);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
