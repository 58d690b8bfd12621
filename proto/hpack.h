#pragma once
/* HPACK (RFC 7541) for somebody who reads along: the dynamic table of one direction is kept exact, but of its texts
 * only those of fields that are read downstream; the others are their sizes. Nothing is allocated here: a table lives
 * in memory that the caller hands out and that grows with what is kept in it. */
#include "core/buf.h"
#include "proto/http2.h"

/* What a field is to us, beside enum oa_http_field + 1. */
enum hpack_id {
	HPACK_SKIPPED = 0, /* nobody reads it */
	HPACK_METHOD = OA_FIELD_COUNT + 1,
	HPACK_SCHEME,
	HPACK_AUTHORITY,
	HPACK_PATH,
	HPACK_STATUS,
	HPACK_PROTOCOL,
	HPACK_CONTENT_TYPE,
	HPACK_GRPC_STATUS,
	HPACK_GRPC_MESSAGE,
	HPACK_GRPC_TIMEOUT,
	HPACK_ID_COUNT,
	HPACK_NAMED = 255, /* on a list of fields to capture: kept with its name */
};

#define HPACK_ENTRY_OVERHEAD 32   /* RFC 7541 4.1 */
#define HPACK_TABLE_DEFAULT  4096
#define HPACK_NAME_MAX       64   /* longer names are nobody's */

/* One dynamic table. Entries follow it in memory, texts are at the end of the memory and grow downwards. */
struct hpack_entry {
	uint16_t size;      /* as RFC 7541 4.1 counts */
	uint16_t pos;       /* its text ends this many text bytes after the first ever, modulo 65536 */
	uint16_t value_len; /* of the text that is kept: name, value. HPACK_SKIPPED keeps none: length of its name */
	uint8_t name_len;   /* HPACK_NAMED only */
	uint8_t id;
};

struct hpack_table {
	uint32_t bytes;       /* of memory, this head included */
	uint32_t size;        /* sum of the entries' sizes */
	uint32_t text;        /* text bytes in use at the end of the memory, dead ones included */
	uint16_t pos, shift;  /* text bytes so far; those of them that are no longer there */
	uint16_t first, end;  /* live entries, oldest first */
	struct hpack_entry entry[];
};

struct hpack_field {
	uint8_t id;
	uint16_t name_len;     /* of any field */
	struct oa_bytes name;  /* HPACK_NAMED only */
	struct oa_bytes value; /* not of HPACK_SKIPPED */
};

/* -- hpack_table.c -- */

/* The entry with a dynamic index (0: the newest). returns NULL when there is none */
const struct hpack_entry *oa_hpack_at(const struct hpack_table *t, uint32_t index);
struct oa_bytes oa_hpack_name(const struct hpack_table *t, const struct hpack_entry *e);
struct oa_bytes oa_hpack_value(const struct hpack_table *t, const struct hpack_entry *e);
/* Evicts down to `max` bytes. */
void oa_hpack_shrink(struct hpack_table *t, uint32_t max);
/* Adds an entry of `size` bytes; name and value are not in the table's own memory.
 * table     may get other memory, or get some at all
 * returns   0, -ENOMEM */
int oa_hpack_insert(struct hpack_table **table, uint32_t max, const struct hpack_field *f, uint32_t size,
		    const struct oa_sink *sink);

/* -- hpack_huffman.c -- */

/* Most bytes that `len` encoded ones can become; two more are written over on the way. */
static inline size_t hpack_huffman_room(size_t len)
{
	return len * 8 / 5 + 2;
}
/* out       hpack_huffman_room() bytes, or NULL: only count
 * returns   decoded length or -EPROTO */
long oa_hpack_huffman(struct oa_bytes in, uint8_t *out);

/* -- hpack_names.c -- */

#define HPACK_STATIC_COUNT 61

struct hpack_static {
	char name[28], value[16]; /* no pointers: they would have to be relocated in every process that starts */
};
extern const struct hpack_static oa_hpack_static[HPACK_STATIC_COUNT + 1];
extern uint8_t oa_hpack_static_id[HPACK_STATIC_COUNT + 1]; /* enum hpack_id */
extern uint8_t oa_hpack_static_name[HPACK_STATIC_COUNT + 1], oa_hpack_static_size[HPACK_STATIC_COUNT + 1]; /* length of
													    * the name; of both */
extern const struct oa_bytes oa_hpack_id_name[HPACK_ID_COUNT];
/* What a line of a field begins with; pseudo fields have no name, so that they are found by none. */
struct hpack_prefix {
	char text[23];
	uint8_t len;
};
extern const struct hpack_prefix oa_hpack_prefix[HPACK_ID_COUNT];
void oa_hpack_names_init(const char *const *lists, unsigned count);
/* Which field a name is: enum hpack_id */
uint8_t oa_hpack_id(struct oa_bytes name);

/* -- hpack.c -- */

/* Also refuses a wrong Huffman code where nobody reads it. For tests that compare with a decoder that reads all. */
extern bool oa_hpack_check_all;

/* Decodes a whole header block.
 *
 * table     of this direction, see oa_hpack_insert()
 * max       the limit its encoder works with; changed by the block
 * out       where texts of the head go; head->http.block is that
 * ret_head  zeroed by the caller
 * returns   0; -EPROTO; -E2BIG out was too small; -ENOMEM. In all of these cases the table can no longer be used.
 */
int oa_hpack_block(struct hpack_table **table, uint32_t *max, struct oa_bytes in, struct oa_buf *out,
		   struct oa_http2_head *ret_head, const struct oa_sink *sink);
