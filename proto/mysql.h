#pragma once
/* MySQL's and MariaDB's protocol. The hint of a command is its code, and how this connection ends lists: */
#include "proto/proto.h"

#define MYSQL_HINT_CODE      0x00ffu
#define MYSQL_HINT_NO_EOF    0x0100u /* CLIENT_DEPRECATE_EOF */
#define MYSQL_HINT_CACHED    0x0200u /* MariaDB: column descriptions may be left out */

/* The hint of a NOTE: OA_DB_ESCAPES, OA_DB_NO_ESCAPES. */

/* The text of a COM_QUERY behind its code; none when it has attributes. state: of the commands' direction */
struct oa_bytes oa_mysql_query_text(const void *state, struct oa_bytes body);

extern const struct oa_proto oa_proto_mysql;
