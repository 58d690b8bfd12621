#pragma once
/* Which header names the parser looks at, and how a line finds out whether it has one of them. */
#include <string.h>

#include "proto/http1.h"

/* Fields that decide framing follow those of http1_fields.def. */
enum {
	HTTP1_CONTENT_LENGTH = OA_FIELD_COUNT,
	HTTP1_TRANSFER_ENCODING,
	HTTP1_CONNECTION,
	HTTP1_EXPECT,
	HTTP1_NAME_COUNT,
	HTTP1_NO_NAME = 255,
};

#define HTTP1_NAME_BYTES 24 /* room for the longest name; a multiple of 8 */
#define HTTP1_NAME_SLOTS 128

struct http1_name {
	char text[HTTP1_NAME_BYTES];
	uint8_t len;
};

extern const struct http1_name oa_http1_names[HTTP1_NAME_COUNT];
/* Name id + 1 by hash, probed upwards; filled by oa_http1_init(). */
extern uint8_t oa_http1_name_slots[HTTP1_NAME_SLOTS];
extern bool oa_http1_names_ready;

#define HTTP1_LOWER 0x2020202020202020ull

static inline uint64_t http1_load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static inline uint32_t http1_load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* Case-blind by setting bit 5. That is exact for names of letters, digits and '-' as long as the text has no
 * control bytes; a header block that has any is refused as a whole. */
static inline bool http1_name_is(const uint8_t *p, const struct http1_name *name)
{
	size_t len = name->len, i = 0;

	if (len < 8) {
		for (; i < len; i++)
			if ((p[i] | 0x20) != (uint8_t)name->text[i])
				return false;
		return true;
	}
	for (; i + 8 <= len; i += 8)
		if ((http1_load64(p + i) | HTTP1_LOWER) != http1_load64(name->text + i))
			return false;
	return (http1_load64(p + len - 8) | HTTP1_LOWER) == http1_load64(name->text + len - 8);
}

/* len >= 2 */
static inline unsigned http1_name_hash(const uint8_t *p, size_t len)
{
	uint32_t a, b;

	if (len < 4) {
		a = p[0] | p[1] << 8;
		b = p[len - 1];
	} else {
		a = http1_load32(p);
		b = http1_load32(p + len - 4);
	}
	a = ((a | 0x20202020u) * 0x9e3779b1u) ^ ((b | 0x20202020u) * 0x85ebca6bu) ^ ((uint32_t)len << 25);
	return (a ^ a >> 15) * 0x2c1b3c6du >> 25;
}

unsigned oa_http1_name_search(const uint8_t *p, size_t len);

/* id of a name, HTTP1_NO_NAME for all that nobody asked for. */
static inline unsigned http1_name_find(const uint8_t *p, size_t len)
{
	if (__builtin_expect(!__atomic_load_n(&oa_http1_names_ready, __ATOMIC_ACQUIRE), 0))
		return oa_http1_name_search(p, len);
	if (len < 2 || len >= HTTP1_NAME_BYTES)
		return HTTP1_NO_NAME;
	for (unsigned slot = http1_name_hash(p, len);; slot = (slot + 1) % HTTP1_NAME_SLOTS) {
		unsigned id = oa_http1_name_slots[slot];

		if (!id)
			return HTTP1_NO_NAME;
		if (oa_http1_names[id - 1].len == len && http1_name_is(p, &oa_http1_names[id - 1]))
			return id - 1;
	}
}
