/* The dynamic table. Both of its ends move down a piece of memory as entries come and go; when there is no room
 * left what lives is moved to the edges, and when that is not enough to more memory. A table that is full of entries
 * nobody reads takes an eighth of its nominal size. */
#include <errno.h>

#include "core/attr.h"
#include "proto/hpack.h"

#define TABLE_SLACK 512u /* room beyond what lives, so that moving is rare */

static uint8_t *table_end(const struct hpack_table *t)
{
	return (uint8_t *)(uintptr_t)t + t->bytes;
}

static uint32_t text_len(const struct hpack_entry *e)
{
	return e->id == HPACK_SKIPPED ? 0 : e->name_len + (uint32_t)e->value_len;
}

/* Distance of an entry's text from the end of the memory. */
static uint16_t text_depth(const struct hpack_table *t, const struct hpack_entry *e)
{
	return (uint16_t)(e->pos - t->shift);
}

OA_HOT const struct hpack_entry *oa_hpack_at(const struct hpack_table *t, uint32_t index)
{
	if (!t || index >= (uint32_t)(t->end - t->first))
		return NULL;
	return &t->entry[t->end - 1 - index];
}

OA_HOT struct oa_bytes oa_hpack_name(const struct hpack_table *t, const struct hpack_entry *e)
{
	return oa_bytes(table_end(t) - text_depth(t, e), e->name_len);
}

OA_HOT struct oa_bytes oa_hpack_value(const struct hpack_table *t, const struct hpack_entry *e)
{
	return oa_bytes(table_end(t) - text_depth(t, e) + e->name_len, e->value_len);
}

void oa_hpack_shrink(struct hpack_table *t, uint32_t max)
{
	if (!t)
		return;
	while (t->size > max)
		t->size -= t->entry[t->first++].size;
	if (t->first == t->end) {
		t->first = t->end = 0;
		t->text = 0;
		t->shift = t->pos;
	}
}

static uint32_t table_room(const struct hpack_table *t)
{
	return t->bytes - (uint32_t)sizeof(*t) - t->end * (uint32_t)sizeof(t->entry[0]) - t->text;
}

/* Text bytes at the very end of the memory that belong to entries gone. */
static uint16_t table_dead_text(const struct hpack_table *t)
{
	for (unsigned i = t->first; i < t->end; i++)
		if (text_len(&t->entry[i]))
			return (uint16_t)(text_depth(t, &t->entry[i]) - text_len(&t->entry[i]));
	return (uint16_t)t->text;
}

/* Moves what lives to the edges of `to`, which is the table's own memory or has room for it. */
static void table_move(struct hpack_table *t, struct hpack_table *to, uint32_t bytes)
{
	uint16_t dead = table_dead_text(t), count = t->end - t->first;
	uint32_t text = t->text - dead;
	const uint8_t *from = table_end(t) - t->text;
	struct hpack_table head = *t;

	if (to != t) {
		memcpy((uint8_t *)to + bytes - text, from, text);
		memcpy(to->entry, t->entry + t->first, count * sizeof(t->entry[0]));
	} else {
		memmove((uint8_t *)to + bytes - text, from, text);
		memmove(to->entry, t->entry + t->first, count * sizeof(t->entry[0]));
	}
	head.bytes = bytes;
	head.text = text;
	head.shift = (uint16_t)(head.shift + dead);
	head.first = 0;
	head.end = count;
	*to = head;
}

static int table_grow(struct hpack_table **table, uint32_t need, uint32_t max, const struct oa_sink *sink)
{
	struct hpack_table *t = *table, *fresh;
	uint32_t live = t ? t->bytes - table_room(t) : (uint32_t)sizeof(*t);
	uint32_t want = 2 * live + need, most = (uint32_t)sizeof(*t) + max + TABLE_SLACK;
	size_t got;

	if (want > most)
		want = live + need > most ? live + need : most;
	fresh = sink->memory(sink->ctx, NULL, want, &got);
	if (!fresh)
		return -ENOMEM;
	if (t) {
		table_move(t, fresh, (uint32_t)got);
		sink->memory(sink->ctx, t, 0, NULL);
	} else {
		*fresh = (struct hpack_table){ .bytes = (uint32_t)got };
	}
	*table = fresh;
	return 0;
}

int oa_hpack_insert(struct hpack_table **table, uint32_t max, const struct hpack_field *f, uint32_t size,
		    const struct oa_sink *sink)
{
	struct hpack_table *t = *table;
	uint32_t text = (uint32_t)(f->name.len + f->value.len), need = (uint32_t)sizeof(t->entry[0]) + text;
	uint8_t *to;

	oa_hpack_shrink(t, size > max ? 0 : max - size);
	if (size > max)
		return 0;
	if (t && table_room(t) < need)
		table_move(t, t, t->bytes);
	if (!t || table_room(t) < need) {
		int err = table_grow(table, need, max, sink);

		if (err)
			return err;
		t = *table;
	}
	t->text += text;
	t->pos = (uint16_t)(t->pos + text);
	t->size += size;
	t->entry[t->end++] = (struct hpack_entry){ .size = (uint16_t)size, .pos = t->pos, .id = f->id,
						   .name_len = (uint8_t)f->name.len,
						   .value_len = f->id == HPACK_SKIPPED ? f->name_len :
											 (uint16_t)f->value.len };
	to = table_end(t) - t->text;
	if (f->name.len)
		memcpy(to, f->name.ptr, f->name.len);
	if (f->value.len)
		memcpy(to + f->name.len, f->value.ptr, f->value.len);
	return 0;
}
