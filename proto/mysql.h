#pragma once
/* MySQL's and MariaDB's protocol. The hint of a command is its code, and how this connection ends lists: */
#include "proto/proto.h"

#define MYSQL_HINT_CODE      0x00ffu
#define MYSQL_HINT_NO_EOF    0x0100u /* CLIENT_DEPRECATE_EOF */
#define MYSQL_HINT_CACHED    0x0200u /* MariaDB: column descriptions may be left out */

/* The hint of a NOTE: OA_DB_ESCAPES, OA_DB_NO_ESCAPES. */

extern const struct oa_proto oa_proto_mysql;
