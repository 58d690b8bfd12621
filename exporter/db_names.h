#pragma once
/* How commands to stores are called in attributes and labels.
 *
 * all: runs on side thread; locks: none; heap: no */
#include "core/span.h"

/* db.system.name */
struct oa_bytes oa_db_system(const struct oa_db *db);

/* The command in capitals when it is one we know; empty when not: a client can make up as many as it likes. */
struct oa_bytes oa_db_command(const struct oa_db *db, struct oa_bytes operation);

/* db.response.status_code of an answer that failed. buf: room for a number */
struct oa_bytes oa_db_status(const struct oa_db *db, const struct oa_db_texts *texts, char buf[8]);

/* db.query.text: "SET ? ?". returns bytes written */
#define OA_DB_QUERY_MAX 128
size_t oa_db_query(const struct oa_db *db, struct oa_bytes operation, char buf[OA_DB_QUERY_MAX]);
