#pragma once
/* What a call on a descriptor is going to need, asked of memory before the real call is made: it comes while the
 * kernel works. */
#include "conn/exchange.h"
#include "conn/fd_table.h"

/* runs on any thread; signal-safe: yes */
OA_INLINE void oa_conn_expect(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	const uint8_t *c;

	if (OA_UNLIKELY(!slot || atomic_load_explicit(&slot->kind, memory_order_relaxed) != OA_FD_CONN))
		return;
	c = (const uint8_t *)oa_conn_at(atomic_load_explicit(&slot->conn, memory_order_relaxed));
	for (unsigned i = 0; i < sizeof(struct oa_conn); i += 64)
		__builtin_prefetch(c + i, 1);
}
