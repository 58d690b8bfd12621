#pragma once
/* Between the files of conn/. */
#include "conn/exchange.h"
#include "conn/fd_table.h"

/* The connection behind a descriptor, locked; NULL when there is none, it is opaque, or another thread is in it.
 * *ret_slot is set in any case (may be NULL). End with oa_conn_unlock(). */
struct oa_conn *oa_conn_enter(int fd, struct oa_fd **ret_slot);

/* The sending call noted in oa_tls never came back: its thread was cancelled in it, or jumped out of it. Nobody knows how
 * much of it the kernel took, so its connection is left alone. Without any lock held. */
void oa_conn_send_lost(void);
