/* Makes of a query's text what may leave the process, and its summary. First of all processors: behind it no text of a
 * record has a literal in it, unless OTELAUTO_DB_QUERY_TEXT says that it may. */
#include "pipeline/sql.h"

#include "core/config.h"
#include "exporter/span_attrs.h"
#include "exporter/span_attrs.h"
#include "pipeline/processor.h"

#define SQL_TEXT_MAX   4096 /* what conn/ keeps of a query */
#define SQL_LABELS     256  /* summaries that are labels of metrics; programs that make up names of tables have no end of them */
#define SQL_LABEL_MAX  120

enum { SQL_TEXT_OFF, SQL_TEXT_SANITIZED, SQL_TEXT_RAW }; /* choices of OTELAUTO_DB_QUERY_TEXT */

static uint8_t sql_clean[SQL_TEXT_MAX + SQL_TEXT_MAX / 4]; /* gaps where comments were */
static uint8_t sql_summary[OA_SQL_SUMMARY_MAX];
static uint64_t sql_labels[SQL_LABELS]; /* hashes; 0 free */

static enum oa_sql_dialect sql_dialect(const struct oa_db *db)
{
	return db->system == OA_STORE_MYSQL ? OA_SQL_MYSQL : db->system == OA_STORE_SQLITE ? OA_SQL_SQLITE : OA_SQL_POSTGRESQL;
}

/* Whether a backslash escapes: what the server has said, unless the text itself may change it. */
static enum oa_sql_escapes sql_escapes(const struct oa_db *db, struct oa_bytes text)
{
	if (db->escapes != OA_DB_ESCAPES && db->escapes != OA_DB_NO_ESCAPES)
		return OA_SQL_ESCAPES_UNKNOWN;
	for (size_t i = 0; i + 8 <= text.len; i++)
		if ((text.ptr[i] | 0x20) == 's' && oa_bytes_ieq(oa_bytes(text.ptr + i, 8), OA_LIT("sql_mode")))
			return OA_SQL_ESCAPES_UNKNOWN;
	return db->escapes == OA_DB_ESCAPES ? OA_SQL_ESCAPES_ON : OA_SQL_ESCAPES_OFF;
}

/* What is done with the statement, when it is not just run once. returns its length, with a blank behind it */
static size_t sql_put_operation(struct oa_bytes operation)
{
	if (!operation.len)
		return 0;
	memcpy(sql_summary, operation.ptr, operation.len);
	sql_summary[operation.len] = ' ';
	return operation.len + 1;
}

static size_t sql_summarize(const struct oa_db *db, struct oa_bytes operation, struct oa_bytes clean)
{
	uint8_t own[OA_SQL_SUMMARY_MAX];
	unsigned statements;
	size_t len = oa_sql_summarize(clean, own, &statements), at;

	if (!len)
		return 0;
	if (db->batch > 1 && statements == 1)
		operation = OA_LIT("BATCH");
	else if (db->flags & OA_DB_EXECUTE)
		operation.len = 0;
	at = sql_put_operation(operation);
	while (len > sizeof(sql_summary) - at) {
		do
			len--;
		while (len && own[len] != ' ');
	}
	memcpy(sql_summary + at, own, len);
	return at + len;
}

/* Where the text stands when it fits, so that the one that was sent is gone. */
static void sql_replace(struct oa_span_buf *span, struct oa_bytes clean)
{
	struct oa_strref *ref = &span->s.str[OA_STR_DB_TEXT];

	if (clean.len <= ref->len) {
		memcpy(span->raw + ref->off, clean.ptr, clean.len);
		ref->len = (uint16_t)clean.len;
		return;
	}
	memset(span->raw + ref->off, 0, ref->len);
	(void)oa_span_set_str(&span->s, sizeof(*span), OA_STR_DB_TEXT, clean);
}

static int sql_on_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	struct oa_bytes text = oa_span_str(&span->s, OA_STR_DB_TEXT), clean;
	struct oa_db_texts texts;
	struct oa_db db;
	size_t len;

	if (span->s.what != OA_WHAT_DB || !text.len || !oa_span_db(&span->s, &db, &texts) || db.system == OA_STORE_KAFKA)
		return 0;
	len = oa_db_is_sql(&db) ? oa_sql_sanitize(text, sql_dialect(&db), sql_escapes(&db, text), sql_clean,
						  sizeof(sql_clean)) : 0;
	clean = oa_bytes(sql_clean, len);
	len = sql_summarize(&db, texts.operation, clean);
	if (oa_config.db_query_text == SQL_TEXT_OFF || !oa_db_is_sql(&db))
		clean.len = 0;
	if (oa_config.db_query_text != SQL_TEXT_RAW || !oa_db_is_sql(&db))
		sql_replace(span, clean);
	if (len)
		(void)oa_span_set_str(&span->s, sizeof(*span), OA_STR_DB_SUMMARY, oa_bytes(sql_summary, len));
	return 0;
}

/* -- labels -- */

static struct oa_bytes sql_first_word(struct oa_bytes summary)
{
	const uint8_t *blank = summary.len ? memchr(summary.ptr, ' ', summary.len) : NULL;

	return oa_bytes_cut(blank ? oa_bytes(summary.ptr, (size_t)(blank - summary.ptr)) : summary, SQL_LABEL_MAX);
}

static bool sql_label_known(struct oa_bytes summary)
{
	uint64_t hash = oa_hash(0, summary.ptr, summary.len) | 1;

	for (unsigned i = 0; i < SQL_LABELS; i++) {
		uint64_t *slot = &sql_labels[(hash + i) % SQL_LABELS];

		if (!*slot)
			*slot = hash;
		if (*slot == hash)
			return true;
	}
	return false;
}

struct oa_bytes oa_sql_label(struct oa_bytes summary)
{
	size_t len = summary.len;

	while (len > SQL_LABEL_MAX) {
		do
			len--;
		while (len && summary.ptr[len] != ' ');
	}
	summary.len = len;
	return !len || sql_label_known(summary) ? summary : sql_first_word(summary);
}

const struct oa_processor oa_processor_sql = {
	.name = "sql",
	.on_span = sql_on_span,
};
