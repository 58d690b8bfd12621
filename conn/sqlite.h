#pragma once
/* Statements that SQLite runs in this process, as exchanges. There is no wire and no connection: hooks/sqlite.c tells what
 * is called. A run begins with a statement's first step and ends with its last; only one whose first step gave a row
 * has to be remembered in between, by its address. So are the names of open databases.
 *
 * all: runs on host thread; signal-safe: no (SQLite is not); locks: none; heap: no; blocks: no */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

enum oa_sqlite_state {
	OA_SQLITE_UNKNOWN, /* does not run, or its beginning was not seen */
	OA_SQLITE_RUNS,
	OA_SQLITE_WAITS,   /* its last step was refused by a lock: the next one is a new attempt */
};

enum oa_sqlite_state oa_sqlite_state(const void *stmt);

/* What was asked for. */
struct oa_sqlite_asked {
	struct oa_bytes text, ns;
	struct oa_bytes operation; /* what was done when it was not run: PREPARE */
	uint64_t start_ns, rows;
	bool has_rows;             /* `rows` is known */
};

/* It is over already. status: SQLite's result code, 0 when all is well */
void oa_sqlite_tell(const struct oa_sqlite_asked *asked, int status);

/* Its first step gave a row. */
void oa_sqlite_begin(const void *stmt, const struct oa_sqlite_asked *asked);
void oa_sqlite_row(const void *stmt);
/* The run, if there is one, is over. */
void oa_sqlite_end(const void *stmt, int status);
void oa_sqlite_wait(const void *stmt);

/* -- databases -- */

bool oa_sqlite_name(const void *db, struct oa_bytes *ret_ns);
void oa_sqlite_set_name(const void *db, struct oa_bytes ns);
void oa_sqlite_forget_name(const void *db);
