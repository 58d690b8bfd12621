/* Copies of HTTP/2 frames with fields of ours in them. */
#include "conn/http2_fields.h"

#include "conn/feed.h"
#include "core/buf.h"

#define FRAME_HEAD   9u
#define FIELD_EXTRA  32u /* of each field, in the size of a header list */
#define TEXT_CLASS   2 /* of blocks: the points, and what stands for them */

/* -- room -- */

OA_HOT bool oa_adder_open(struct oa_adder *p)
{
	if (p->open)
		return true;
	if (!oa_inject_reserve(p->c, p->s, TEXT_CLASS))
		return false;
	p->s->point = (struct oa_point *)(void *)(oa_block_at(TEXT_CLASS, p->s->text - 1) + oa_inject_text_offset());
	p->open = true;
	return true;
}

OA_HOT struct oa_buf oa_adder_room(const struct oa_adder *p)
{
	const struct oa_send *s = p->s;
	const struct oa_point *last = s->points ? &s->point[s->points - 1] : NULL;
	uint8_t *end = s->text_at + oa_block_bytes[s->text_cls];
	uint8_t *from = last ? (uint8_t *)(uintptr_t)last->text + last->len : (uint8_t *)(s->point + OA_STREAM_POINTS_MAX);

	return oa_buf(from, (size_t)(end - from));
}

/* -- fields -- */

static void adder_put_byte(struct oa_buf *out, uint8_t c)
{
	oa_buf_put(out, oa_bytes(&c, 1));
}

/* A string, not Huffman-coded. */
static OA_HOT void adder_put_text(struct oa_buf *out, struct oa_bytes text)
{
	size_t rest;

	if (text.len < 127) {
		adder_put_byte(out, (uint8_t)text.len);
	} else {
		adder_put_byte(out, 127);
		for (rest = text.len - 127; rest >= 128; rest >>= 7)
			adder_put_byte(out, (uint8_t)(rest | 128));
		adder_put_byte(out, (uint8_t)rest);
	}
	oa_buf_put(out, text);
}

OA_HOT void oa_adder_put_field(struct oa_buf *out, struct oa_bytes name, struct oa_bytes value, uint8_t kind)
{
	size_t at;

	adder_put_byte(out, kind);
	at = out->len + 1;
	adder_put_text(out, name);
	for (size_t i = 0; !out->full && i < name.len; i++)
		out->ptr[at + i] = oa_lower(out->ptr[at + i]);
	adder_put_text(out, value);
}

/* Takes the next line off `lines`. returns false at the end */
static bool adder_next_line(struct oa_bytes *lines, struct oa_bytes *ret_name, struct oa_bytes *ret_value)
{
	const uint8_t *colon = lines->len ? memchr(lines->ptr, ':', lines->len) : NULL;
	const uint8_t *lf = colon ? memchr(colon, '\n', lines->len - (size_t)(colon - lines->ptr)) : NULL;

	if (!lf)
		return false;
	*ret_name = oa_bytes(lines->ptr, (size_t)(colon - lines->ptr));
	*ret_value = oa_bytes(colon + 2, (size_t)(lf - 1 - (colon + 2)));
	*lines = oa_bytes(lf + 1, lines->len - (size_t)(lf + 1 - lines->ptr));
	return true;
}

/* All of `lines` as fields. returns what they add to the size of the header list */
static uint32_t adder_put_fields(struct oa_buf *out, struct oa_bytes lines)
{
	struct oa_bytes name, value;
	uint32_t size = 0;

	while (adder_next_line(&lines, &name, &value)) {
		oa_adder_put_field(out, name, value, 0);
		size += (uint32_t)(name.len + value.len) + FIELD_EXTRA;
	}
	return size;
}

/* -- frames -- */

OA_HOT enum oa_inject_result oa_adder_done(struct oa_adder *p, const struct oa_http2_block *b, const struct oa_buf *out)
{
	uint32_t len = (uint32_t)out->len - FRAME_HEAD;

	if (out->full)
		return p->s->points ? OA_INJECT_PIPELINED : OA_INJECT_POOL;
	if (len > p->max_frame)
		return OA_INJECT_PEER_LIMIT;
	out->ptr[0] = (uint8_t)(len >> 16);
	out->ptr[1] = (uint8_t)(len >> 8);
	out->ptr[2] = (uint8_t)len;
	p->s->point[p->s->points++] = (struct oa_point){ .off = (uint32_t)(b->at - p->before), .len = (uint32_t)out->len,
							 .text = out->ptr, .host_len = (uint32_t)b->frame.len };
	return OA_INJECT_DONE;
}

OA_HOT enum oa_inject_result oa_adder_add(struct oa_adder *p, const struct oa_http2_block *b, struct oa_bytes lines)
{
	struct oa_buf out = oa_adder_room(p);
	uint32_t size;

	oa_buf_put(&out, oa_bytes(b->frame.ptr, b->fields_end));
	size = adder_put_fields(&out, lines);
	oa_buf_put(&out, oa_bytes(b->frame.ptr + b->fields_end, b->frame.len - b->fields_end));
	if (b->head && p->max_list && b->head->list_bytes + size > p->max_list)
		return OA_INJECT_PEER_LIMIT;
	return oa_adder_done(p, b, &out);
}
