#include "exporter/thrift.h"

#include <stdlib.h>

#include "exporter/utf8.h"

#define THRIFT_FIRST 16384

static const uint8_t thrift_binary_type[OA_THRIFT_TYPES] = { 2, 8, 10, 11, 12, 15 };
static const uint8_t thrift_compact_type[OA_THRIFT_TYPES] = { 1, 5, 6, 8, 12, 9 };

#define COMPACT_TRUE  1
#define COMPACT_FALSE 2

static uint8_t *thrift_room(struct oa_thrift *t, size_t more)
{
	size_t cap = t->cap ? t->cap : THRIFT_FIRST;
	uint8_t *mem;

	if (t->cap - t->len >= more)
		return t->mem + t->len;
	while (cap - t->len < more)
		cap *= 2;
	mem = t->failed ? NULL : realloc(t->mem, cap);
	if (!mem) {
		t->failed = true;
		return NULL;
	}
	t->mem = mem;
	t->cap = cap;
	return mem + t->len;
}

void oa_thrift_append(struct oa_thrift *t, const uint8_t *bytes, size_t len)
{
	uint8_t *to = thrift_room(t, len);

	if (!to)
		return;
	memcpy(to, bytes, len);
	t->len += len;
}

static void thrift_byte(struct oa_thrift *t, uint8_t byte) { oa_thrift_append(t, &byte, 1); }

static void thrift_varint(struct oa_thrift *t, uint64_t value)
{
	uint8_t bytes[10];
	unsigned n = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[n++] = (uint8_t)(value | 0x80);
	bytes[n++] = (uint8_t)value;
	oa_thrift_append(t, bytes, n);
}

static uint64_t thrift_zigzag(int64_t value) { return (uint64_t)value << 1 ^ (uint64_t)(value >> 63); }

static void thrift_be(struct oa_thrift *t, uint64_t value, unsigned len)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * (len - 1 - i));
	oa_thrift_append(t, bytes, len);
}

void oa_thrift_reset(struct oa_thrift *t, bool compact)
{
	t->len = 0;
	t->compact = compact;
	t->failed = false;
	t->depth = 0;
}

void oa_thrift_open(struct oa_thrift *t) { t->last_id[t->depth++] = 0; }

void oa_thrift_close(struct oa_thrift *t)
{
	t->depth--;
	thrift_byte(t, 0);
}

static void thrift_compact_head(struct oa_thrift *t, int16_t id, uint8_t type)
{
	int16_t *last = &t->last_id[t->depth - 1];
	int delta = id - *last;

	if (delta >= 1 && delta <= 15) {
		thrift_byte(t, (uint8_t)(delta << 4 | type));
	} else {
		thrift_byte(t, type);
		thrift_varint(t, thrift_zigzag(id));
	}
	*last = id;
}

void oa_thrift_field(struct oa_thrift *t, int16_t id, enum oa_thrift_type type)
{
	if (t->compact) {
		thrift_compact_head(t, id, thrift_compact_type[type]);
		return;
	}
	thrift_byte(t, thrift_binary_type[type]);
	thrift_be(t, (uint16_t)id, 2);
}

void oa_thrift_field_i32(struct oa_thrift *t, int16_t id, int32_t value)
{
	oa_thrift_field(t, id, OA_THRIFT_I32);
	if (t->compact)
		thrift_varint(t, thrift_zigzag(value));
	else
		thrift_be(t, (uint32_t)value, 4);
}

void oa_thrift_field_i64(struct oa_thrift *t, int16_t id, int64_t value)
{
	oa_thrift_field(t, id, OA_THRIFT_I64);
	if (t->compact)
		thrift_varint(t, thrift_zigzag(value));
	else
		thrift_be(t, (uint64_t)value, 8);
}

void oa_thrift_field_bool(struct oa_thrift *t, int16_t id, bool value)
{
	if (t->compact) {
		thrift_compact_head(t, id, value ? COMPACT_TRUE : COMPACT_FALSE);
		return;
	}
	oa_thrift_field(t, id, OA_THRIFT_BOOL);
	thrift_byte(t, value);
}

static void thrift_size(struct oa_thrift *t, size_t size)
{
	if (t->compact)
		thrift_varint(t, size);
	else
		thrift_be(t, size, 4);
}

void oa_thrift_field_text(struct oa_thrift *t, int16_t id, struct oa_bytes first, struct oa_bytes second)
{
	size_t size = oa_utf8_size(first), size2 = oa_utf8_size(second);
	uint8_t *to;

	oa_thrift_field(t, id, OA_THRIFT_STRING);
	thrift_size(t, size + size2);
	to = thrift_room(t, size + size2);
	if (!to)
		return;
	to = oa_utf8_put(to, first, size);
	(void)oa_utf8_put(to, second, size2);
	t->len += size + size2;
}

void oa_thrift_field_list(struct oa_thrift *t, int16_t id, unsigned count)
{
	oa_thrift_field(t, id, OA_THRIFT_LIST);
	if (!t->compact) {
		thrift_byte(t, thrift_binary_type[OA_THRIFT_STRUCT]);
		thrift_be(t, count, 4);
	} else if (count <= 14) {
		thrift_byte(t, (uint8_t)(count << 4 | thrift_compact_type[OA_THRIFT_STRUCT]));
	} else {
		thrift_byte(t, 0xf0 | thrift_compact_type[OA_THRIFT_STRUCT]);
		thrift_varint(t, count);
	}
}

void oa_thrift_oneway(struct oa_thrift *t, const char *name, uint32_t seq)
{
	if (t->compact) {
		thrift_byte(t, 0x82);
		thrift_byte(t, 4 << 5 | 1);
		thrift_varint(t, seq);
		thrift_varint(t, strlen(name));
		oa_thrift_append(t, (const uint8_t *)name, strlen(name));
		return;
	}
	thrift_be(t, 0x80010000u | 4, 4);
	thrift_be(t, strlen(name), 4);
	oa_thrift_append(t, (const uint8_t *)name, strlen(name));
	thrift_be(t, seq, 4);
}
