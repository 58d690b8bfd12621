#pragma once
/* Encoded attributes that come again and again, by the fields of the record that they follow from: copying them takes a
 * fraction of what making them does. A small table in which what is newer replaces what is older. Side thread only. */
#include <stddef.h>
#include <stdint.h>

#include "exporter/span_attrs.h"
#include "exporter/utf8.h"

#define OA_PB_MEMO_BITS  4   /* for each sort of group so many entries */
#define OA_PB_MEMOS      (OA_ATTR_GROUPS << OA_PB_MEMO_BITS)
#define OA_PB_MEMO_TEXT  64  /* longest text of a group */
#define OA_PB_MEMO_BYTES 208 /* longest encoding; a multiple of 16 */

struct oa_pb_memo {
	uint64_t fields;
	uint16_t text_len, len, count; /* count 0: free */
	uint8_t text[OA_PB_MEMO_TEXT];
	uint8_t bytes[OA_PB_MEMO_BYTES];
};

extern struct oa_pb_memo oa_pb_memos[OA_PB_MEMOS];

/* Where a group is, or would be. NULL when its text is too long. Equal hashes cost time only. */
static inline struct oa_pb_memo *oa_pb_memo_find(const struct oa_attr_group *g)
{
	uint64_t hash = g->fields + g->text.len;

	if (g->text.len > OA_PB_MEMO_TEXT)
		return NULL;
	if (g->text.len >= 8)
		hash ^= oa_load64(g->text.ptr) * 31 ^ oa_load64(g->text.ptr + g->text.len - 8);
	return &oa_pb_memos[g->sort << OA_PB_MEMO_BITS | hash * 0x9e3779b97f4a7c15ull >> (64 - OA_PB_MEMO_BITS)];
}

/* Whether it is that group which is there. */
static inline bool oa_pb_memo_is(const struct oa_pb_memo *m, const struct oa_attr_group *g)
{
	return m->fields == g->fields && m->text_len == g->text.len && m->count &&
	       (!g->text.len || oa_same(m->text, g->text.ptr, g->text.len));
}

/* Puts `count` attributes there, encoded as `bytes`; what is too long is not remembered. */
void oa_pb_memo_keep(struct oa_pb_memo *m, const struct oa_attr_group *group, struct oa_bytes bytes, unsigned count);

/* Copies more than its length: out has OA_PB_MEMO_BYTES bytes. returns the end */
static inline uint8_t *oa_pb_memo_put(uint8_t *out, const struct oa_pb_memo *m)
{
	for (size_t i = 0; i < m->len; i += 16)
		memcpy(out + i, m->bytes + i, 16);
	return out + m->len;
}
