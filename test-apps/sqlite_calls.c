/* What programs do with SQLite's functions, and what those say afterwards: the same with and without anybody who watches. Two
 * connections to one file, so that locks refuse; texts run whole, with a callback that asks again; names in UTF-16;
 * statements that are left, run anew, ended by a rollback; many at a time; and a database for each of several threads. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <uchar.h>

#define MANY 100

static const char *path;

static void say(sqlite3 *db, const char *what, int result)
{
	printf("%s: %d, %d, %s\n", what, result, sqlite3_extended_errcode(db), sqlite3_errmsg(db));
}

static sqlite3 *open_db(void)
{
	sqlite3 *db;

	if (sqlite3_open(path, &db) != SQLITE_OK)
		say(db, "open", 1);
	return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int result = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (result != SQLITE_OK)
		say(db, "prepare", result);
	return stmt;
}

static int in_callback(void *db, int columns, char **values, char **names)
{
	sqlite3_stmt *stmt = prepare(db, "SELECT 'callback'");

	printf("callback: %d, %s, %d\n", columns, values[0], sqlite3_step(stmt));
	sqlite3_finalize(stmt);
	return 0;
}

static int stop(void *arg, int columns, char **values, char **names)
{
	return 1;
}

static void whole_texts(sqlite3 *db)
{
	char **table, *error = NULL;
	int rows, columns;

	say(db, "exec", sqlite3_exec(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t (a) VALUES ('hunter2'), ('b')",
				     NULL, NULL, NULL));
	say(db, "exec with rows", sqlite3_exec(db, "SELECT a FROM t WHERE a <> 'hunter2'", in_callback, db, NULL));
	say(db, "exec that fails", sqlite3_exec(db, "SELECT 'hunter2' FROM nowhere", NULL, NULL, &error));
	printf("%s\n", error);
	sqlite3_free(error);
	say(db, "exec that is stopped", sqlite3_exec(db, "SELECT a FROM t", stop, NULL, NULL));
	say(db, "table", sqlite3_get_table(db, "SELECT * FROM t", &table, &rows, &columns, NULL));
	printf("%d rows\n", rows);
	sqlite3_free_table(table);
}

static void statements(sqlite3 *db)
{
	static const char16_t wide[] = u"SELECT 1, 'hunter2'", wrong[] = u"SELECT hunter2 FROM t";
	sqlite3_stmt *select = prepare(db, "SELECT id, a FROM t WHERE a > ?1"), *other = NULL;

	sqlite3_bind_text(select, 1, "a", -1, SQLITE_STATIC);
	for (int i = 0; i < 2; i++) {
		while (sqlite3_step(select) == SQLITE_ROW)
			printf("row %d\n", sqlite3_column_int(select, 0));
		say(db, "done", sqlite3_reset(select));
	}
	say(db, "left after a row", sqlite3_step(select));
	sqlite3_reset(select);
	sqlite3_reset(select);
	say(db, "wide", sqlite3_prepare16_v2(db, wide, -1, (sqlite3_stmt **)&other, NULL));
	say(db, "wide step", sqlite3_step(other));
	sqlite3_finalize(other);
	say(db, "wide and wrong", sqlite3_prepare16_v2(db, wrong, -1, &other, NULL));
	other = prepare(db, "INSERT INTO t (id, a) VALUES (1, 'hunter2')");
	say(db, "constraint", sqlite3_step(other));
	say(db, "constraint again", sqlite3_step(other));
	say(db, "its end", sqlite3_finalize(other));
	say(db, "begin", sqlite3_exec(db, "BEGIN; INSERT INTO t (a) VALUES ('c')", NULL, NULL, NULL));
	say(db, "select", sqlite3_step(select));
	say(db, "rollback", sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL));
	say(db, "a row that was rolled back", sqlite3_step(select));
	sqlite3_finalize(select);
	prepare(db, "SELECT 'hunter2' FROM");
	printf("nothing: %d %d %d\n", sqlite3_step(NULL), sqlite3_reset(NULL), sqlite3_finalize(NULL));
}

static void locks(sqlite3 *db)
{
	sqlite3 *second = open_db();
	sqlite3_stmt *insert = prepare(second, "INSERT INTO t (a) VALUES ('d')");

	sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	say(second, "refused", sqlite3_step(insert));
	say(second, "refused again", sqlite3_step(insert));
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	say(second, "let in", sqlite3_step(insert));
	say(second, "busy", sqlite3_close(second));
	sqlite3_finalize(insert);
	say(db, "closed", sqlite3_close(second));
}

static void many(sqlite3 *db)
{
	static sqlite3_stmt *stmts[MANY];
	int rows = 0;

	for (int i = 0; i < MANY; i++) {
		stmts[i] = prepare(db, "SELECT id AS many FROM t");
		rows += sqlite3_step(stmts[i]) == SQLITE_ROW;
	}
	for (int i = 0; i < MANY; i++) {
		rows += sqlite3_step(stmts[i]) == SQLITE_ROW;
		sqlite3_finalize(stmts[i]);
	}
	printf("many: %d\n", rows);
}

static void *run_thread(void *arg)
{
	sqlite3 *db = open_db();
	sqlite3_stmt *stmt = prepare(db, "SELECT id FROM t AS thread");

	for (int i = 0; i < 50; i++) {
		while (sqlite3_step(stmt) == SQLITE_ROW)
			;
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	sqlite3_close_v2(db);
	return NULL;
}

static void threads(void)
{
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, run_thread, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
	sqlite3 *db;

	path = argv[1];
	db = open_db();
	whole_texts(db);
	statements(db);
	locks(db);
	many(db);
	threads();
	say(db, "before the end", sqlite3_errcode(db));
	printf("close: %d\n", sqlite3_close(db));
	return 0;
}
