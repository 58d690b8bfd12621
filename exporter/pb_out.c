#include "exporter/pb_out.h"

#include <stdlib.h>

#include "exporter/utf8.h"

#define PB_FIRST 16384

enum { PB_VARINT, PB_FIXED64, PB_LEN };

static uint8_t *pb_room(struct oa_pb *p, size_t more)
{
	size_t cap = p->cap ? p->cap : PB_FIRST;
	uint8_t *mem;

	if (p->cap - p->len >= more)
		return p->mem + p->len;
	while (cap - p->len < more)
		cap *= 2;
	mem = p->failed ? NULL : realloc(p->mem, cap);
	if (!mem) {
		p->failed = true;
		return NULL;
	}
	p->mem = mem;
	p->cap = cap;
	return mem + p->len;
}

static void pb_put(struct oa_pb *p, const void *bytes, size_t len)
{
	uint8_t *to = pb_room(p, len);

	if (!to)
		return;
	memcpy(to, bytes, len);
	p->len += len;
}

static unsigned pb_varint(uint8_t to[10], uint64_t value)
{
	unsigned n = 0;

	for (; value >= 0x80; value >>= 7)
		to[n++] = (uint8_t)(value | 0x80);
	to[n++] = (uint8_t)value;
	return n;
}

void oa_pb_raw_varint(struct oa_pb *p, uint64_t value)
{
	uint8_t bytes[10];

	pb_put(p, bytes, pb_varint(bytes, value));
}

void oa_pb_raw_fixed64(struct oa_pb *p, uint64_t value) { pb_put(p, &value, 8); /* little-endian as x86-64 is */ }

static void pb_tag(struct oa_pb *p, unsigned field, unsigned type) { oa_pb_raw_varint(p, field << 3 | type); }

size_t oa_pb_begin(struct oa_pb *p, unsigned field)
{
	pb_tag(p, field, PB_LEN);
	return p->len;
}

void oa_pb_end(struct oa_pb *p, size_t begin)
{
	uint8_t bytes[10];
	size_t len = p->len - begin;
	unsigned n = pb_varint(bytes, len);

	if (p->failed || !pb_room(p, n))
		return;
	memmove(p->mem + begin + n, p->mem + begin, len);
	memcpy(p->mem + begin, bytes, n);
	p->len += n;
}

void oa_pb_uint(struct oa_pb *p, unsigned field, uint64_t value)
{
	pb_tag(p, field, PB_VARINT);
	oa_pb_raw_varint(p, value);
}

void oa_pb_sint(struct oa_pb *p, unsigned field, int64_t value)
{
	oa_pb_uint(p, field, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

void oa_pb_fixed64(struct oa_pb *p, unsigned field, uint64_t value)
{
	pb_tag(p, field, PB_FIXED64);
	oa_pb_raw_fixed64(p, value);
}

void oa_pb_double(struct oa_pb *p, unsigned field, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, 8);
	oa_pb_fixed64(p, field, bits);
}

void oa_pb_bytes(struct oa_pb *p, unsigned field, const void *bytes, size_t len)
{
	pb_tag(p, field, PB_LEN);
	oa_pb_raw_varint(p, len);
	pb_put(p, bytes, len);
}

void oa_pb_text(struct oa_pb *p, unsigned field, struct oa_bytes text)
{
	size_t size = oa_utf8_size(text);
	uint8_t *to;

	pb_tag(p, field, PB_LEN);
	oa_pb_raw_varint(p, size);
	to = pb_room(p, size);
	if (!to)
		return;
	(void)oa_utf8_put(to, text, size);
	p->len += size;
}
