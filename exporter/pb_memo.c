#include "exporter/pb_memo.h"

struct oa_pb_memo oa_pb_memos[OA_PB_MEMOS];

void oa_pb_memo_keep(struct oa_pb_memo *m, const struct oa_attr_group *g, struct oa_bytes bytes, unsigned count)
{
	if (bytes.len > sizeof(m->bytes))
		return;
	m->fields = g->fields;
	m->text_len = (uint16_t)g->text.len;
	m->len = (uint16_t)bytes.len;
	m->count = (uint16_t)count;
	if (g->text.len)
		memcpy(m->text, g->text.ptr, g->text.len);
	memcpy(m->bytes, bytes.ptr, bytes.len);
}
