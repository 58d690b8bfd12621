#include <check.h>
#include <dirent.h>
#include <stdlib.h>

#include "tests/fuzz/sql_check.h"

#define PG OA_SQL_POSTGRESQL
#define MY OA_SQL_MYSQL
#define LITE OA_SQL_SQLITE
#define UNKNOWN OA_SQL_ESCAPES_UNKNOWN
#define ON OA_SQL_ESCAPES_ON
#define OFF OA_SQL_ESCAPES_OFF

static const struct {
	enum oa_sql_dialect dialect;
	enum oa_sql_escapes escapes;
	const char *text, *sanitized, *summary;
} cases[] = {
	{ PG, UNKNOWN, "SELECT * FROM orders WHERE id = 42 AND name = 'it''s'", "SELECT * FROM orders WHERE id = ? AND name = ?", "SELECT orders" },
	{ PG, UNKNOWN, "SELECT -1, +1.5e-3, .01, 0xAB, 1_000, 1e10", "SELECT ?, ?, ?, ?, ?, ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 99+100, a-1, a -1, f(x) -1, a[1]-1", "SELECT ?+?, a-?, a -?, f(x) -?, a[?]-?", "SELECT" },
	{ PG, UNKNOWN, "SELECT c3po, covid19 FROM covid19", "SELECT c3po, covid19 FROM covid19", "SELECT covid19" },
	{ PG, UNKNOWN, "SELECT 1 FROM dbo.Table JOIN dbo.Other ON a.x=b.x", "SELECT ? FROM dbo.Table JOIN dbo.Other ON a.x=b.x", "SELECT dbo.Table dbo.Other" },
	{ PG, UNKNOWN, "SELECT a FROM t WHERE b IN (1,2,'a')", "SELECT a FROM t WHERE b IN (?)", "SELECT t" },
	{ PG, UNKNOWN, "SELECT a FROM t WHERE b IN (-1, +2) AND c IN (f(1), 2)", "SELECT a FROM t WHERE b IN (?) AND c IN (f(?), ?)", "SELECT t" },
	{ PG, UNKNOWN, "SELECT a FROM t WHERE b IN ($1, $2)", "SELECT a FROM t WHERE b IN ($1, $2)", "SELECT t" },
	{ PG, UNKNOWN, "INSERT INTO a (x) VALUES (1, 'b'), (2, 'c'), (3, 'd') RETURNING id", "INSERT INTO a (x) VALUES (?) RETURNING id", "INSERT a" },
	{ PG, UNKNOWN, "INSERT INTO a VALUES (now(), 'b'), (now(), 'c')", "INSERT INTO a VALUES (now(), ?), (now(), ?)", "INSERT a" },
	{ PG, UNKNOWN, "INSERT INTO a SELECT 1, x FROM b", "INSERT INTO a SELECT ?, x FROM b", "INSERT a SELECT b" },
	{ PG, UNKNOWN, "SELECT * FROM (SELECT * FROM orders) o, customers", "SELECT * FROM (SELECT * FROM orders) o, customers", "SELECT SELECT orders customers" },
	{ PG, UNKNOWN, "SELECT a.x FROM a x, b AS y CROSS JOIN c", "SELECT a.x FROM a x, b AS y CROSS JOIN c", "SELECT a b c" },
	{ PG, UNKNOWN, "CREATE  TABLE  T (n varchar(255) DEFAULT 'x')", "CREATE  TABLE  T (n varchar(?) DEFAULT ?)", "CREATE TABLE T" },
	{ PG, UNKNOWN, "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "CREATE INDEX i" },
	{ PG, UNKNOWN, "DROP TABLE IF EXISTS a.b", "DROP TABLE IF EXISTS a.b", "DROP TABLE a.b" },
	{ PG, UNKNOWN, "ALTER TABLE t ADD COLUMN c int DEFAULT 5", "ALTER TABLE t ADD COLUMN c int DEFAULT ?", "ALTER TABLE t" },
	{ PG, UNKNOWN, "TRUNCATE t", "TRUNCATE t", "TRUNCATE t" },
	{ PG, UNKNOWN, "UPDATE ONLY t SET a = TRUE WHERE b IS NULL", "UPDATE ONLY t SET a = ? WHERE b IS NULL", "UPDATE t" },
	{ PG, UNKNOWN, "DELETE FROM t USING u WHERE t.a = $1", "DELETE FROM t USING u WHERE t.a = $1", "DELETE t" },
	{ PG, UNKNOWN, "SELECT EXTRACT(YEAR FROM ts) FROM logs", "SELECT EXTRACT(YEAR FROM ts) FROM logs", "SELECT logs" },
	{ PG, UNKNOWN, "SELECT a IS DISTINCT FROM b FROM c", "SELECT a IS DISTINCT FROM b FROM c", "SELECT c" },
	{ PG, UNKNOWN, "WITH a AS (SELECT 1 FROM b) SELECT * FROM a", "WITH a AS (SELECT ? FROM b) SELECT * FROM a", "SELECT b SELECT a" },
	{ PG, UNKNOWN, "SELECT 1 UNION ALL SELECT x FROM u", "SELECT ? UNION ALL SELECT x FROM u", "SELECT SELECT u" },
	{ PG, UNKNOWN, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);INSERT INTO t VALUES (3)",
	  "INSERT INTO t VALUES (?); INSERT INTO t VALUES (?);INSERT INTO t VALUES (?)", "INSERT t" },
	{ PG, UNKNOWN, "SELECT 1; SELECT * FROM t; SELECT * FROM t; SELECT 2", "SELECT ?; SELECT * FROM t; SELECT * FROM t; SELECT ?",
	  "SELECT SELECT t SELECT" },
	{ PG, UNKNOWN, "BEGIN; UPDATE t SET x=1; COMMIT", "BEGIN; UPDATE t SET x=?; COMMIT", "BEGIN UPDATE t COMMIT" },
	{ PG, UNKNOWN, "SELECT 1 FROM t FOR UPDATE OF t", "SELECT ? FROM t FOR UPDATE OF t", "SELECT t" },
	{ PG, UNKNOWN, "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO UPDATE SET a=1", "INSERT INTO t (a) VALUES ($1) ON CONFLICT DO UPDATE SET a=?", "INSERT t" },
	{ PG, UNKNOWN, "GRANT SELECT, INSERT ON t TO bob", "GRANT SELECT, INSERT ON t TO bob", "GRANT" },
	{ PG, UNKNOWN, "CALL p(1)", "CALL p(?)", "CALL p" },
	{ PG, UNKNOWN, "COPY t (a) FROM STDIN", "COPY t (a) FROM STDIN", "COPY t" },
	{ PG, UNKNOWN, "EXPLAIN SELECT * FROM t", "EXPLAIN SELECT * FROM t", "EXPLAIN SELECT t" },
	{ PG, UNKNOWN, "SET password TO 'x'", "SET password TO ?", "SET" },
	{ PG, UNKNOWN, "hunter2", "hunter2", "" },
	{ PG, UNKNOWN, "", "", "" },
	{ PG, UNKNOWN, "SELECT \"a b\".\"c\"\"d\" FROM \"T t\".\"x\"", "SELECT \"a b\".\"c\"\"d\" FROM \"T t\".\"x\"", "SELECT \"T t\".\"x\"" },
	{ PG, UNKNOWN, "SELECT 1 -- one\n, 2 /* t /* w */ o */ , 3", "SELECT ? \n, ?  , ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT/**/1/**/FROM/*+ hint */t", "SELECT ? FROM t", "SELECT t" },
	{ PG, UNKNOWN, "SELECT $$a$$, $x$ $$ $y$ $x$, $1, a$b$c", "SELECT ?, ?, $1, a$b$c", "SELECT" },
	{ PG, UNKNOWN, "SELECT E'a\\'b', e'\\\\', 'c'", "SELECT ?, ?, ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT U&'d\\0061' UESCAPE '!', N'a', X'1F', B'01', DATE '2020-01-01'", "SELECT ? UESCAPE ?, ?, ?, ?, DATE ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT E'a'\n 'b\\'c', 'd'", "SELECT ?, ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 'a' -- x\n 'b'", "SELECT ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 'a\\' , secret FROM t WHERE b = 'c'", "SELECT ?", "SELECT" },
	{ PG, OFF, "SELECT 'a\\' , b FROM t WHERE b = 'c'", "SELECT ? , b FROM t WHERE b = ?", "SELECT t" },
	{ PG, ON, "SELECT 'a\\' , secret FROM t WHERE b = 'c'", "SELECT ?c?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 'a\\\\' , b", "SELECT ? , b", "SELECT" },
	{ PG, UNKNOWN, "SELECT 4$$ a $$, 5E'b\\' c'", "SELECT ??, ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 6u&'d', e FROM t", "SELECT ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 0._U&'\\'J", "SELECT ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 1e5, 0xfe, 6u & 3 FROM t", "SELECT ?, ?, ? & ? FROM t", "SELECT t" },
	{ PG, UNKNOWN, "SELECT 'unterminated", "SELECT ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT $a$ unterminated", "SELECT ?", "SELECT" },
	{ PG, UNKNOWN, "SELECT 1 /* unterminated", "SELECT ? ", "SELECT" },
	{ PG, UNKNOWN, "SELECT a::text, '1'::int, data->>'key', x ? 'y', :name FROM t", "SELECT a::text, ?::int, data->>?, x ? ?, :name FROM t", "SELECT t" },
	{ MY, ON, "SELECT \"a\\\"b\", 'it\\'s', x FROM `my``db`.`t` WHERE y = \"s\" # c", "SELECT ?, ?, x FROM `my``db`.`t` WHERE y = ? ", "SELECT `my``db`.`t`" },
	{ MY, UNKNOWN, "SELECT 'it\\'s', x FROM t", "SELECT ?", "SELECT" },
	{ MY, ON, "SELECT 'caf\xe9\\'s', x FROM t", "SELECT ?", "SELECT" },
	{ MY, UNKNOWN, "SELECT 5--1, 5 --\n1", "SELECT ?-?, ? \n?", "SELECT" },
	{ MY, UNKNOWN, "SELECT /*!40001 SQL_NO_CACHE */ * FROM t", "SELECT  * FROM t", "SELECT t" },
	{ MY, UNKNOWN, "SELECT /*! 'a*/b' */ secret", "SELECT ?", "SELECT" },
	{ MY, UNKNOWN, "SELECT /*M! 'a*/b' */ secret", "SELECT ?", "SELECT" },
	{ MY, UNKNOWN, "INSERT t SET a=1", "INSERT t SET a=?", "INSERT t" },
	{ MY, UNKNOWN, "REPLACE INTO t VALUES (1,\"x\"),(2,\"y\")", "REPLACE INTO t VALUES (?)", "REPLACE t" },
	{ MY, UNKNOWN, "SELECT _utf8mb4'x', x'4D', b'1', N'y', 0b1, @v, @@sql_mode", "SELECT _utf8mb4?, ?, ?, ?, ?, @v, @@sql_mode", "SELECT" },
	{ MY, UNKNOWN, "USE shop", "USE shop", "USE shop" },
	{ MY, UNKNOWN, "SELECT a FROM t WHERE b IN (?, ?, ?)", "SELECT a FROM t WHERE b IN (?)", "SELECT t" },
	{ MY, UNKNOWN, "CREATE USER 'bob'@'%' IDENTIFIED BY 'pw'", "CREATE USER ?@? IDENTIFIED BY ?", "CREATE USER" },
	{ LITE, UNKNOWN, "SELECT [a b], x'00', \"maybe\", ?1, :a, $b FROM [t u]", "SELECT [a b], ?, ?, ?, :a, $b FROM [t u]", "SELECT" },
	{ LITE, UNKNOWN, "SELECT 'a\\', b", "SELECT ?, b", "SELECT" },
	{ LITE, UNKNOWN, "PRAGMA key = 'x'", "PRAGMA key = ?", "PRAGMA" },
};

START_TEST(literals_go_and_the_rest_stays)
{
	uint8_t out[1024], summary[OA_SQL_SUMMARY_MAX];
	unsigned statements;
	size_t n = oa_sql_sanitize(oa_bytes_str(cases[_i].text), cases[_i].dialect, cases[_i].escapes, out, sizeof(out));
	size_t m = oa_sql_summarize(oa_bytes(out, n), summary, &statements);

	ck_assert_msg(oa_bytes_eq(oa_bytes(out, n), oa_bytes_str(cases[_i].sanitized)), "%s\n-> %.*s\nnot %s",
		      cases[_i].text, (int)n, out, cases[_i].sanitized);
	ck_assert_msg(oa_bytes_eq(oa_bytes(summary, m), oa_bytes_str(cases[_i].summary)), "%s\n-> %.*s\nnot %s",
		      cases[_i].text, (int)m, summary, cases[_i].summary);
}
END_TEST

START_TEST(what_is_shown_of_the_cases_does_not_depend_on_literals)
{
	const char *wrong = sql_check(oa_bytes_str(cases[_i].text), cases[_i].dialect);

	ck_assert_msg(!wrong, "%s: %s", cases[_i].text, wrong);
}
END_TEST

/* Each place a literal can stand, and each way to write one: S is a marked secret. */
static const char *const places[] = {
	"SELECT %s", "SELECT a, %s AS b FROM t", "SELECT * FROM t WHERE a=%s", "SELECT * FROM t WHERE a = %s AND b <> %s",
	"SELECT * FROM t WHERE a IN (%s)", "SELECT * FROM t WHERE a IN (%s,%s, %s)", "SELECT * FROM t WHERE a LIKE %s ESCAPE %s",
	"SELECT * FROM t WHERE a BETWEEN %s AND %s", "INSERT INTO t VALUES (%s)", "INSERT INTO t (a,b) VALUES (%s,%s),(%s,%s)",
	"INSERT INTO t VALUES (f(%s), DEFAULT), (f(%s), NULL)", "UPDATE t SET a=%s, b = b || %s WHERE c=%s",
	"DELETE FROM t WHERE a=%s", "CALL p(%s, %s)", "SELECT f(%s)(%s)", "SELECT CASE WHEN a=%s THEN %s ELSE %s END",
	"SELECT * FROM t LIMIT %s OFFSET %s", "SELECT * FROM t ORDER BY a=%s", "SELECT * FROM t GROUP BY a HAVING b>%s",
	"SELECT * FROM f(%s) WHERE a=(SELECT %s)", "SET x = %s", "SET x TO %s", "ALTER USER a PASSWORD %s",
	"CREATE TABLE t (a int DEFAULT %s)", "EXPLAIN SELECT %s", "PREPARE p AS SELECT %s", "EXECUTE p(%s, %s)",
	"SELECT a /* %s */ FROM t", "SELECT a -- %s\nFROM t", "-- %s\nSELECT 1", "/*+ %s */ SELECT 1", "SELECT %s::text, %s",
	"SELECT ARRAY[%s,%s]", "SELECT a->%s->>%s", "BEGIN; SELECT %s; COMMIT", "NOTIFY c, %s", "%s", "(%s", "SELECT %s /* a */",
	"SELECT 'a'%s", "SELECT %s'a'", "SELECT a.%s", "COPY t FROM %s", "LISTEN %s", "DECLARE c CURSOR FOR SELECT %s",
};
static const struct {
	const char *form;
	unsigned dialects; /* 1 << dialect */
} forms[] = {
#define ALL 7u
	{ "'S'", ALL }, { "'it''s S'", ALL }, { "''''S'", 0 }, { "'a\nS'", ALL }, { "' -- S'", ALL }, { "' /* S'", ALL }, { "'\"S'", ALL },
	{ "'$$S'", ALL }, { "'`S'", ALL }, { "';S'", ALL }, { "'S", ALL }, { "'a\\\\S'", ALL }, { "'a\\' S'", 3 }, { "'a\\\\\\' S'", 3 },
	{ "'a\\'' S'", ALL }, { "E'a\\' S'", 1 }, { "e'a\\\\\\' S'", 1 }, { "E'a''S\\\\'", 1 }, { "N'S'", 3 }, { "n'a''S'", 3 },
	{ "X'5S'", ALL }, { "x'S'", ALL }, { "B'S'", 3 }, { "U&'S\\0041'", 1 }, { "U&'a''S'", 1 }, { "$$S$$", 1 }, { "$$ 'S $$", 1 },
	{ "$t$ $$ S $$ $t$", 1 }, { "$t$S", 1 }, { "'a'\n'S'", 1 }, { "E'a'\n'\\' S'", 1 }, { "'a' --\n 'S'", 1 }, { "\"S\"", 6 },
	{ "\"a\"\"S\"", 6 }, { "\"a\\\"S\"", 2 }, { "\"a'S\"", 6 }, { "_utf8'S'", 2 }, { "_latin1\"S\"", 2 }, { "'\xbf\\' S'", 2 },
	{ "'\xc3\xa9S'", ALL }, { "DATE 'S'", ALL }, { "INTERVAL 'S'", ALL }, { "TIME'S'", ALL },
	{ "4711S", ALL }, { "0x4711S", ALL }, { "-4711S", ALL }, { "4711.5e+7S", ALL }, { ".4711S", ALL }, { "1_4711S", ALL },
};

static bool is_open(const char *form)
{
	return !strcmp(form, "'S") || !strcmp(form, "$t$S");
}

/* In *ret the place with each %s filled. */
static void fill(char *ret, const char *place, const char *form)
{
	char *out = ret;

	while (*place) {
		if (place[0] == '%' && place[1] == 's') {
			for (const char *f = form; *f; f++) {
				if (*f == 'S' && (f == form || f[-1] != '4'))
					out = stpcpy(out, "SECRET");
				else
					*out++ = *f;
			}
			place += 2;
		} else {
			*out++ = *place++;
		}
	}
	*out = 0;
}

START_TEST(no_marked_secret_is_shown_in_any_place)
{
	char text[2048];
	uint8_t out[4096];
	unsigned seen = 0;

	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++) {
		for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
			for (int d = 0; d < 3; d++) {
				if (!(forms[f].dialects & 1u << d) || (d == LITE && strchr(places[p], '[')))
					continue; /* there it is a name in brackets */
				if (is_open(forms[f].form) && strstr(strchr(places[p], '%') + 1, "%s"))
					continue; /* the second would end the first */
				if (strstr(places[p], "-- %s") && strchr(forms[f].form, '\n'))
					continue; /* it goes on behind the comment */
				fill(text, places[p], forms[f].form);
				for (int e = 0; e < 3; e++) {
					/* What a wrong setting makes of it is its own. */
					bool firm = !strstr(forms[f].form, "\\'") && !strstr(forms[f].form, "\\\"");
					size_t n, len = strlen(text);

					if (e && !firm)
						continue;
					n = oa_sql_sanitize(oa_bytes(text, len), d, e, out, sizeof(out));
					ck_assert_msg(!memmem(out, n, "SECRET", 6) && !memmem(out, n, "4711", 4),
						      "%d/%d: %s\n-> %.*s", d, e, text, (int)n, out);
					for (size_t cut = 0; cut < len; cut++) {
						n = oa_sql_sanitize(oa_bytes(text, cut), d, e, out, sizeof(out));
						ck_assert_msg(!memmem(out, n, "SEC", 3) && !memmem(out, n, "4711", 4),
							      "cut at %zu: %s\n-> %.*s", cut, text, (int)n, out);
					}
					seen++;
				}
			}
		}
	}
	ck_assert_uint_gt(seen, 5000);
}
END_TEST

START_TEST(a_small_buffer_ends_between_tokens)
{
	struct oa_bytes text = OA_LIT("SELECT column_one, 'x' FROM table_two WHERE a IN (1, 2)");
	uint8_t whole[128], out[128];
	size_t n = oa_sql_sanitize(text, PG, UNKNOWN, whole, sizeof(whole));

	for (size_t cap = 0; cap <= n; cap++) {
		size_t len = oa_sql_sanitize(text, PG, UNKNOWN, out, cap);

		ck_assert_uint_le(len, cap);
		ck_assert(!memcmp(out, whole, len) || len + 3 > n);
		ck_assert(cap < n || len == n);
	}
}
END_TEST

START_TEST(a_summary_is_cut_between_words)
{
	char text[4096] = "SELECT * FROM table_number_1";
	uint8_t summary[OA_SQL_SUMMARY_MAX];
	unsigned statements;
	size_t n;

	for (int i = 2; i < 100; i++)
		sprintf(text + strlen(text), ", table_number_%d", i);
	n = oa_sql_summarize(oa_bytes_str(text), summary, &statements);
	ck_assert_uint_le(n, OA_SQL_SUMMARY_MAX);
	ck_assert_uint_gt(n, OA_SQL_SUMMARY_MAX - 20);
	ck_assert(oa_bytes_eq(oa_bytes(summary + n - 15, 15), OA_LIT("table_number_16")) || summary[n - 16] == ' ');
}
END_TEST

START_TEST(the_time_for_endless_texts_is_linear)
{
	static const char *const units[] = { "(", "'a' ", "$a$ ", "/* ", "-- ", "\"", "`", "1,", "a.", "FROM a,", "E'a'\n", "$a", "\\", "'\\", "[", "?" };
	static uint8_t text[1 << 20], out[1 << 20];
	uint8_t summary[OA_SQL_SUMMARY_MAX];
	unsigned statements;
	size_t len = strlen(units[_i]);

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)units[_i][i % len];
	for (int d = 0; d < 3; d++)
		oa_sql_summarize(oa_bytes(out, oa_sql_sanitize(oa_bytes(text, sizeof(text)), d, ON, out, sizeof(out))), summary, &statements);
}
END_TEST

START_TEST(fuzz_corpus_holds)
{
	const char *here = __FILE__, *slash = strrchr(here, '/');
	static uint8_t data[SQL_CHECK_MAX];
	struct dirent *entry;
	unsigned count = 0;
	char *path;
	DIR *d;

	ck_assert_int_gt(asprintf(&path, "%.*s/../fuzz/corpus/sql", (int)(slash - here), here), 0);
	d = opendir(path);
	ck_assert(d != NULL);
	while ((entry = readdir(d))) {
		char *file;
		FILE *f;
		size_t n;

		if (entry->d_name[0] == '.')
			continue;
		ck_assert_int_gt(asprintf(&file, "%s/%s", path, entry->d_name), 0);
		f = fopen(file, "rb");
		n = fread(data, 1, sizeof(data), f);
		fclose(f);
		free(file);
		ck_assert_msg(!n || !sql_check(oa_bytes(data + 1, n - 1), data[0] % 3), "%s", entry->d_name);
		count++;
	}
	closedir(d);
	free(path);
	ck_assert_uint_gt(count, 0);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("sql");
	Suite *suite = suite_create("pipeline");
	int count = sizeof(cases) / sizeof(cases[0]), failed;
	SRunner *runner;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, literals_go_and_the_rest_stays, 0, count);
	tcase_add_loop_test(tc, what_is_shown_of_the_cases_does_not_depend_on_literals, 0, count);
	tcase_add_test(tc, no_marked_secret_is_shown_in_any_place);
	tcase_add_test(tc, a_small_buffer_ends_between_tokens);
	tcase_add_test(tc, a_summary_is_cut_between_words);
	tcase_add_loop_test(tc, the_time_for_endless_texts_is_linear, 0, 16);
	tcase_add_test(tc, fuzz_corpus_holds);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
