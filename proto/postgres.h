#pragma once
/* PostgreSQL's protocol 3. Hints of a command: */
#include "proto/proto.h"

#define POSTGRES_HINT_PREPARE 1u /* answered by ParseComplete */
#define POSTGRES_HINT_EXECUTE 2u /* by CommandComplete and its likes */
#define POSTGRES_HINT_WHOLE   3u /* by ReadyForQuery alone */

extern const struct oa_proto oa_proto_postgres;
