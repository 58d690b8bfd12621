#pragma once
/* Between the files of conn/. */
#include "conn/exchange.h"
#include "conn/fd_table.h"

/* The connection behind a descriptor, locked; NULL when there is none, it is opaque, or another thread is in it.
 * *ret_slot is set in any case (may be NULL). End with oa_conn_unlock(). */
struct oa_conn *oa_conn_enter(int fd, struct oa_fd **ret_slot);
