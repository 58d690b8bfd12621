/* SQLite, where it is a library of its own: what programs have it run. Its functions call each other through the same names;
 * those calls are not told. What we ask of it are functions that read a field: none of them touches what
 * sqlite3_errmsg() and sqlite3_errcode() say. The name of a database needs its mutex, which is tried and not waited
 * for.
 *
 * sqlite3_open() and its like are not ours: a program that looks for SQLite by asking for them must get the truth. */
#include "hooks/lib_find.h"

#include "conn/sqlite.h"
#include "core/config.h"
#include "core/tsc.h"

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct sqlite3_mutex sqlite3_mutex;

/* As in the library's own header. */
int sqlite3_step(sqlite3_stmt *stmt);
int sqlite3_reset(sqlite3_stmt *stmt);
int sqlite3_finalize(sqlite3_stmt *stmt);
int sqlite3_exec(sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **), void *arg, char **ret_error);
int sqlite3_get_table(sqlite3 *db, const char *sql, char ***ret_table, int *ret_rows, int *ret_columns, char **ret_error);
int sqlite3_prepare(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **ret_stmt, const char **ret_tail);
int sqlite3_prepare_v2(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **ret_stmt, const char **ret_tail);
int sqlite3_prepare_v3(sqlite3 *db, const char *sql, int bytes, unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail);
int sqlite3_prepare16(sqlite3 *db, const void *sql, int bytes, sqlite3_stmt **ret_stmt, const void **ret_tail);
int sqlite3_prepare16_v2(sqlite3 *db, const void *sql, int bytes, sqlite3_stmt **ret_stmt, const void **ret_tail);
int sqlite3_prepare16_v3(sqlite3 *db, const void *sql, int bytes, unsigned flags, sqlite3_stmt **ret_stmt, const void **ret_tail);
int sqlite3_close(sqlite3 *db);
int sqlite3_close_v2(sqlite3 *db);
const char *sqlite3_sql(sqlite3_stmt *stmt);
sqlite3 *sqlite3_db_handle(sqlite3_stmt *stmt);
int sqlite3_stmt_busy(sqlite3_stmt *stmt);
int sqlite3_column_count(sqlite3_stmt *stmt);
const char *sqlite3_db_filename(sqlite3 *db, const char *name);
sqlite3_mutex *sqlite3_db_mutex(sqlite3 *db);
int sqlite3_mutex_try(sqlite3_mutex *mutex);
void sqlite3_mutex_leave(sqlite3_mutex *mutex);

#define LITE_OK     0
#define LITE_BUSY   5
#define LITE_LOCKED 6
#define LITE_MISUSE 21
#define LITE_ROW    100
#define LITE_DONE   101

#define LITE_TEXT_MAX (1 << 16) /* bytes of a text looked at */

#define OA_LIB_LIST "hooks/sqlite.def"
#define OA_LIB_FILE "libsqlite3"
#include "hooks/lib_names.h"

enum { LITE_OFF, LITE_ON }; /* choices of OTELAUTO_SQLITE */

/* Each hook begins with this: it must be in the hook itself, whose caller it asks for. */
#define CALL_BEGIN(k, object) \
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, NULL, CALLER) }; \
	bool watched = call_begin(&k, (object), CALLER)

/* returns whether the program itself called, and is to be told of. The first such call activates the library. */
static bool call_begin(struct oa_lib_call *k, void *object, uintptr_t caller)
{
	(void)oa_lib_begin(k, object, caller);
	return object && k->lib->from && !oa_lib_from_inside(k, caller) && oa_config.sqlite == LITE_ON && oa_hook_awake() &&
	       oa_hook_start();
}

/* -- what is told -- */

static struct oa_bytes file_of(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return oa_bytes_str(slash ? slash + 1 : path);
}

/* The file of a database; empty where it has none: in memory, or temporary. */
static struct oa_bytes name_of(const struct oa_lib *lib, sqlite3 *db)
{
	struct oa_bytes ns = { 0 };
	sqlite3_mutex *mutex;

	if (oa_sqlite_name(db, &ns) || !FN(lib, sqlite3_db_filename) || !FN(lib, sqlite3_db_mutex) ||
	    !FN(lib, sqlite3_mutex_try) || !FN(lib, sqlite3_mutex_leave))
		return ns;
	mutex = FN(lib, sqlite3_db_mutex)(db);
	if (FN(lib, sqlite3_mutex_try)(mutex) != LITE_OK)
		return ns;
	ns = file_of(FN(lib, sqlite3_db_filename)(db, "main"));
	FN(lib, sqlite3_mutex_leave)(mutex);
	oa_sqlite_set_name(db, ns);
	return ns;
}

/* A call that is over, about a text. */
OA_SLOW void tell_text(const struct oa_lib_call *k, const char *sql, int bytes, int rows, struct oa_bytes operation,
		       uint64_t start_ns, int status)
{
	size_t max = bytes >= 0 && bytes < LITE_TEXT_MAX ? (size_t)bytes : LITE_TEXT_MAX;

	if (status == LITE_MISUSE)
		return;
	OA_OBSERVE() {
		struct oa_sqlite_asked asked = {
			.text = oa_bytes(sql, sql ? strnlen(sql, max) : 0), .ns = name_of(k->lib, (sqlite3 *)(uintptr_t)k->object),
			.operation = operation, .start_ns = start_ns, .rows = rows > 0 ? (uint64_t)rows : 0, .has_rows = rows >= 0,
		};

		oa_sqlite_tell(&asked, status);
	}
}

/* -- steps -- */

static void step_first(const struct oa_lib *lib, sqlite3_stmt *stmt, uint64_t start_ns, int result)
{
	const char *sql = FN(lib, sqlite3_sql) ? FN(lib, sqlite3_sql)(stmt) : NULL;
	bool columns = FN(lib, sqlite3_column_count) && FN(lib, sqlite3_column_count)(stmt);
	struct oa_sqlite_asked asked = { .text = oa_bytes(sql, sql ? strnlen(sql, LITE_TEXT_MAX) : 0),
					 .start_ns = start_ns, .has_rows = columns };

	if (FN(lib, sqlite3_db_handle))
		asked.ns = name_of(lib, FN(lib, sqlite3_db_handle)(stmt));
	if (result == LITE_ROW)
		oa_sqlite_begin(stmt, &asked);
	else
		oa_sqlite_tell(&asked, result == LITE_DONE ? LITE_OK : result);
	if ((result & 0xff) == LITE_BUSY || (result & 0xff) == LITE_LOCKED)
		oa_sqlite_wait(stmt);
}

static bool step_begins(const struct oa_lib *lib, sqlite3_stmt *stmt, enum oa_sqlite_state was)
{
	return was == OA_SQLITE_WAITS ||
	       (was == OA_SQLITE_UNKNOWN && FN(lib, sqlite3_stmt_busy) && !FN(lib, sqlite3_stmt_busy)(stmt));
}

OA_SLOW int step_watched(const struct oa_lib *lib, sqlite3_stmt *stmt)
{
	enum oa_sqlite_state was = oa_sqlite_state(stmt);
	bool first = step_begins(lib, stmt, was);
	uint64_t start_ns = first ? oa_host_now_ns() : 0;
	int result = FN(lib, sqlite3_step)(stmt);

	if (result == LITE_MISUSE)
		return result;
	OA_OBSERVE() {
		if (was == OA_SQLITE_WAITS)
			oa_sqlite_end(stmt, LITE_OK);
		if (first)
			step_first(lib, stmt, start_ns, result);
		else if (was == OA_SQLITE_RUNS && result == LITE_ROW)
			oa_sqlite_row(stmt);
		else if (was == OA_SQLITE_RUNS)
			oa_sqlite_end(stmt, result == LITE_DONE ? LITE_OK : result);
	}
	return result;
}

OA_EXPORT int sqlite3_step(sqlite3_stmt *stmt)
{
	int result;
	CALL_BEGIN(k, stmt);

	result = watched ? step_watched(k.lib, stmt) : FN(k.lib, sqlite3_step)(stmt);
	oa_lib_end(&k);
	return result;
}

/* The run is over, if there is one; another thread may get the statement's address at once. */
static void end_run(const void *stmt)
{
	if (oa_sqlite_state(stmt) != OA_SQLITE_UNKNOWN)
		OA_OBSERVE()
			oa_sqlite_end(stmt, LITE_OK);
}

OA_EXPORT int sqlite3_reset(sqlite3_stmt *stmt)
{
	int result;
	CALL_BEGIN(k, stmt);

	if (watched)
		end_run(stmt);
	result = FN(k.lib, sqlite3_reset)(stmt);
	oa_lib_end(&k);
	return result;
}

OA_EXPORT int sqlite3_finalize(sqlite3_stmt *stmt)
{
	int result;
	CALL_BEGIN(k, stmt);

	if (watched)
		end_run(stmt);
	result = FN(k.lib, sqlite3_finalize)(stmt);
	oa_lib_end(&k);
	return result;
}

/* -- texts that are run whole -- */

OA_EXPORT int sqlite3_exec(sqlite3 *db, const char *sql, int (*callback)(void *, int, char **, char **), void *arg, char **ret_error)
{
	uint64_t start_ns;
	int result;
	CALL_BEGIN(k, db);

	start_ns = watched ? oa_host_now_ns() : 0;
	result = FN(k.lib, sqlite3_exec)(db, sql, callback, arg, ret_error);
	oa_lib_end(&k);
	if (watched && sql)
		tell_text(&k, sql, -1, -1, (struct oa_bytes){ 0 }, start_ns, result);
	return result;
}

OA_EXPORT int sqlite3_get_table(sqlite3 *db, const char *sql, char ***ret_table, int *ret_rows, int *ret_columns, char **ret_error)
{
	uint64_t start_ns;
	int result;
	CALL_BEGIN(k, db);

	start_ns = watched ? oa_host_now_ns() : 0;
	result = FN(k.lib, sqlite3_get_table)(db, sql, ret_table, ret_rows, ret_columns, ret_error);
	oa_lib_end(&k);
	if (watched && sql)
		tell_text(&k, sql, -1, result == LITE_OK && ret_rows ? *ret_rows : -1, (struct oa_bytes){ 0 }, start_ns, result);
	return result;
}

/* -- preparing: told only when it fails, and then nothing will be run -- */

#define PREPARED(text, ...) \
	do { \
		uint64_t start_ns; \
		int result; \
		CALL_BEGIN(k, db); \
\
		start_ns = watched ? oa_host_now_ns() : 0; \
		result = __VA_ARGS__; \
		oa_lib_end(&k); \
		if (watched && sql && result != LITE_OK) \
			tell_text(&k, (text), bytes, -1, OA_LIT("PREPARE"), start_ns, result); \
		return result; \
	} while (0)

OA_EXPORT int sqlite3_prepare(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **ret_stmt, const char **ret_tail)
{
	PREPARED(sql, FN(k.lib, sqlite3_prepare)(db, sql, bytes, ret_stmt, ret_tail));
}

OA_EXPORT int sqlite3_prepare_v2(sqlite3 *db, const char *sql, int bytes, sqlite3_stmt **ret_stmt, const char **ret_tail)
{
	PREPARED(sql, FN(k.lib, sqlite3_prepare_v2)(db, sql, bytes, ret_stmt, ret_tail));
}

OA_EXPORT int sqlite3_prepare_v3(sqlite3 *db, const char *sql, int bytes, unsigned flags, sqlite3_stmt **ret_stmt, const char **ret_tail)
{
	PREPARED(sql, FN(k.lib, sqlite3_prepare_v3)(db, sql, bytes, flags, ret_stmt, ret_tail));
}

/* In UTF-16: without the text. */
OA_EXPORT int sqlite3_prepare16(sqlite3 *db, const void *sql, int bytes, sqlite3_stmt **ret_stmt, const void **ret_tail)
{
	PREPARED(NULL, FN(k.lib, sqlite3_prepare16)(db, sql, bytes, ret_stmt, ret_tail));
}

OA_EXPORT int sqlite3_prepare16_v2(sqlite3 *db, const void *sql, int bytes, sqlite3_stmt **ret_stmt, const void **ret_tail)
{
	PREPARED(NULL, FN(k.lib, sqlite3_prepare16_v2)(db, sql, bytes, ret_stmt, ret_tail));
}

OA_EXPORT int sqlite3_prepare16_v3(sqlite3 *db, const void *sql, int bytes, unsigned flags, sqlite3_stmt **ret_stmt, const void **ret_tail)
{
	PREPARED(NULL, FN(k.lib, sqlite3_prepare16_v3)(db, sql, bytes, flags, ret_stmt, ret_tail));
}

/* -- closing -- */

/* Its address may be another database's at once. One that could not be closed is asked for its name again. */
static void forget_db(const void *db, bool watched)
{
	if (watched)
		oa_sqlite_forget_name(db);
}

OA_EXPORT int sqlite3_close(sqlite3 *db)
{
	int result;
	CALL_BEGIN(k, db);

	forget_db(db, watched);
	result = FN(k.lib, sqlite3_close)(db);
	oa_lib_end(&k);
	return result;
}

OA_EXPORT int sqlite3_close_v2(sqlite3 *db)
{
	int result;
	CALL_BEGIN(k, db);

	forget_db(db, watched);
	result = FN(k.lib, sqlite3_close_v2)(db);
	oa_lib_end(&k);
	return result;
}
