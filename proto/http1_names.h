#pragma once
/* Which header names the parser looks at, and how a line finds out whether it may have one of them. Most lines
 * do not: their first three letters say so. */
#include <string.h>

#include "proto/http1_impl.h"

/* Fields that decide framing follow those of http1_fields.def. */
enum {
	HTTP1_CONTENT_LENGTH = OA_FIELD_COUNT,
	HTTP1_TRANSFER_ENCODING,
	HTTP1_CONNECTION,
	HTTP1_EXPECT,
	HTTP1_NAME_COUNT,
};

#define HTTP1_NAME_BYTES 24 /* room for the longest name */
#define HTTP1_KEY_SLOTS  64
#define HTTP1_KEY_NAMES  8  /* names per slot, with a zero behind them */

struct http1_name {
	char text[HTTP1_NAME_BYTES];
	uint64_t len;
};

/* Names by the hash of their first three bytes. */
struct http1_keys {
	uint64_t used; /* bit per slot; all set before init: every line is then compared with every name */
	uint8_t names[HTTP1_KEY_SLOTS][HTTP1_KEY_NAMES]; /* name id + 1 */
};

extern const struct http1_name oa_http1_names[HTTP1_NAME_COUNT];
extern struct http1_keys oa_http1_keys;

/* The first three bytes at `p`, of four that can be read. The multiplier keeps the names of http1_fields.def and
 * those most often seen beside them in slots of their own. */
static inline unsigned http1_key(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ((v | 0x20202020) << 8) * 0x7de73a85u >> 26;
}

/* A header line, folds included: [start, end) of r->in. Takes it when it is one of ours.
 * returns >= 0, also when it is not; -EPROTO */
int oa_http1_known_line(struct http1_reading *r, size_t start, size_t end, unsigned key);
