#pragma once
/* What a pool of connections to a database is called: as nobody else says, its address and the database there. */
#include "core/span.h"

#define OA_DB_POOL_TEXT_MAX 256
extern const char *const oa_db_use_names[];

/* "192.0.2.1:5432/shop", "/run/mysqld/mysqld.sock/shop"; ns may be empty. returns what stands in `text` */
struct oa_bytes oa_db_pool_name(char text[OA_DB_POOL_TEXT_MAX], const struct oa_addr *addr, struct oa_bytes path,
				struct oa_bytes ns);
