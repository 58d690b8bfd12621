#pragma once
/* How commands to stores are called in attributes and labels.
 *
 * all: runs on side thread; locks: none; heap: no */
#include "core/span.h"

/* db.system.name */
struct oa_bytes oa_db_system(const struct oa_db *db);

/* Whether it is a database that is asked in SQL. */
static inline bool oa_db_is_sql(const struct oa_db *db)
{
	return db->system == OA_STORE_POSTGRESQL || db->system == OA_STORE_MYSQL || db->system == OA_STORE_SQLITE;
}

/* What a command to a broker is. */
enum oa_messaging {
	OA_MESSAGING_NONE,     /* no broker is asked */
	OA_MESSAGING_ADMIN,
	OA_MESSAGING_CREATE,   /* a message is made; sending it is another */
	OA_MESSAGING_SEND,
	OA_MESSAGING_RECEIVE,
	OA_MESSAGING_SETTLE,
	OA_MESSAGING_DELIVERY, /* a message that came by itself */
};
enum oa_messaging oa_messaging_of(const struct oa_db *db, struct oa_bytes operation);
/* Messages that were sent, or came; 0: none, or nobody knows. */
uint64_t oa_messaging_count(const struct oa_db *db, struct oa_bytes operation);
/* messaging.operation.name */
struct oa_bytes oa_messaging_name(struct oa_bytes operation);
/* messaging.operation.type */
struct oa_bytes oa_messaging_type(enum oa_messaging what);

/* The command in capitals when it is one we know; empty when not: a client can make up as many as it likes. Of SQL what is
 * done besides running it ("PREPARE"): the statement's own verbs are in its summary. */
struct oa_bytes oa_db_command(const struct oa_span *s, const struct oa_db *db, struct oa_bytes operation);

/* db.namespace. buf: room for a number */
struct oa_bytes oa_db_namespace(const struct oa_span *s, const struct oa_db *db, char buf[12]);

/* db.response.status_code of an answer that failed; of Kafka's its name. buf: room for a number */
struct oa_bytes oa_db_status(const struct oa_db *db, const struct oa_db_texts *texts, char buf[8]);

/* db.query.text: "SET ? ?"; of SQL what pipeline/sql.c made of it. */
#define OA_DB_QUERY_MAX 128
struct oa_bytes oa_db_query(const struct oa_span *s, const struct oa_db *db, struct oa_bytes operation,
			    char buf[OA_DB_QUERY_MAX]);
