#pragma once
/* Fields added to HTTP/2 header blocks in bytes that are about to be sent: the frame that a block ends in is replaced by a
 * copy with literal fields behind the others. No table changes, of nobody.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no */
#include "conn/inject_impl.h"
#include "proto/http2.h"

struct oa_adder {
	struct oa_conn *c;
	struct oa_send *s;
	size_t before;                /* bytes sent earlier in front of this call's, as the parser counts */
	uint64_t now_ns;
	uint32_t max_frame, max_list; /* what the peer accepts */
	bool open;                    /* there is a text block */
};

/* Has it a block for texts? It is taken once for each call. */
bool oa_adder_open(struct oa_adder *p);
/* Free part of the text block, behind the points and the texts of earlier ones. */
struct oa_buf oa_adder_room(const struct oa_adder *p);
/* "Name: value" as a literal field without indexing, its name in lower case. kind: 0, or 0x10 for one that nobody on the way
 * may index */
void oa_adder_put_field(struct oa_buf *out, struct oa_bytes name, struct oa_bytes value, uint8_t kind);
/* The copy of a frame in `out` is complete and goes out instead of b's, unless it is too long. */
enum oa_inject_result oa_adder_done(struct oa_adder *p, const struct oa_http2_block *b, const struct oa_buf *out);
/* Header lines ("Name: value\r\n" …) as fields at the end of a block. */
enum oa_inject_result oa_adder_add(struct oa_adder *p, const struct oa_http2_block *b, struct oa_bytes lines);
