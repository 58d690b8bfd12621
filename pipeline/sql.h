#pragma once
/* SQL as it may leave the process: every literal replaced by `?`, comments left out; and in a few words what it does.
 *
 * Where the meaning of a text depends on a setting of the server that is not known (whether a backslash escapes), and
 * the two readings part, nothing behind that point is shown. docs/databases.md says what counts as a literal. */
#include "core/bytes.h"

#define OA_SQL_SUMMARY_MAX 255

enum oa_sql_dialect { OA_SQL_POSTGRESQL, OA_SQL_MYSQL, OA_SQL_SQLITE };

/* Whether a backslash in '…' escapes: standard_conforming_strings off, no NO_BACKSLASH_ESCAPES. */
enum oa_sql_escapes { OA_SQL_ESCAPES_UNKNOWN, OA_SQL_ESCAPES_ON, OA_SQL_ESCAPES_OFF };

/* Writes `text` without its literals.
 *
 * text      maybe cut at its end
 * out       cap bytes; what does not fit is left out from a token on
 * returns   bytes written
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no; time: linear
 */
size_t oa_sql_sanitize(struct oa_bytes text, enum oa_sql_dialect dialect, enum oa_sql_escapes escapes, uint8_t *out,
		       size_t cap);

/* "SELECT orders customers" for a text that was sanitized: operations and what they work on, in their order, as written.
 * Empty when it begins with no verb we know. Of statements in a row that come to the same, one is said.
 *
 * ret_statements  how many are said
 * returns   bytes written to out, at most OA_SQL_SUMMARY_MAX, cut between words
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no; time: linear
 */
size_t oa_sql_summarize(struct oa_bytes sanitized, uint8_t out[OA_SQL_SUMMARY_MAX], unsigned *ret_statements);

/* The summary as a label of metrics: the first ones of a process are told apart, of what comes behind them only the verb.
 * Borrowed from `summary`.
 *
 * runs on   side thread */
struct oa_bytes oa_sql_label(struct oa_bytes summary);
