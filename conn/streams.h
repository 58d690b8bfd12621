#pragma once
/* Which exchange a stream of a connection is: a table per connection that grows with what is open.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/exchange.h"

/* The open exchange of a stream, NULL when there is none. Its index is *ret_index. */
struct oa_exchange *oa_stream_find(const struct oa_conn *c, uint32_t stream, uint32_t *ret_index);

/* Names an exchange by its stream. returns false when there is no room */
bool oa_stream_add(struct oa_conn *c, uint32_t stream, uint32_t index);

/* The exchange ends. */
void oa_stream_remove(struct oa_conn *c, uint32_t stream);

/* The connection ends; its exchanges have. */
void oa_streams_free(struct oa_conn *c);
