#pragma once
/* Which header names the parser looks at, and how a line finds out whether it has one of them. Most lines do not:
 * their first three letters say so. */
#include <string.h>

#include "proto/http1_impl.h"

/* Fields that decide framing follow those of http1_fields.def. */
enum {
	HTTP1_TRANSFER_ENCODING = OA_FIELD_COUNT,
	HTTP1_CONTENT_LENGTH,
	HTTP1_CONNECTION,
	HTTP1_EXPECT,
	HTTP1_NAME_COUNT,
};

#define HTTP1_NAME_BYTES 17 /* longest name: http1_name compares two words and a byte */
#define HTTP1_ALIASES    2  /* for a name of two letters: what follows it is in its key */
#define HTTP1_SLOTS      64

struct http1_text {
	uint8_t len;
	char text[HTTP1_NAME_BYTES + 1];
};

/* A name for comparing. Two of them share a cache line. */
struct http1_name {
	uint64_t first, last; /* its first and last eight bytes; the same when it has fewer */
	uint64_t mask;        /* those of them that it has, without the bit that makes capitals (http1_is_word) */
	uint8_t last_at, len, ninth;
	uint8_t id;
	uint8_t next; /* another name with this key, 0 none */
	uint8_t pad[3];
};

struct http1_names {
	uint8_t slot[HTTP1_SLOTS]; /* key -> first name with it, 0 none */
	struct http1_name name[HTTP1_NAME_COUNT + HTTP1_ALIASES];
};

extern const struct http1_text oa_http1_texts[HTTP1_NAME_COUNT];
extern struct http1_names oa_http1_names; /* made by oa_http1_init() */

/* Names are called by their distance from `slot` in words, which takes a single instruction to follow. */
static inline const struct http1_name *http1_name_at(unsigned at)
{
	return (const struct http1_name *)(const void *)((const uint64_t *)(const void *)&oa_http1_names + at);
}

#define HTTP1_LOWER 0x2020202020202020ull

static inline uint16_t http1_load16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return v;
}

/* The key of a line, from the LF before it and its first three bytes. The multiplier keeps the names of
 * http1_fields.def and those most often seen beside them in slots of their own. */
static inline unsigned http1_key(uint32_t lf_and_three)
{
	return (lf_and_three | (uint32_t)HTTP1_LOWER) * 0x3bf2f61fu >> 26;
}

/* Is `v` the word `lower`, of 4 to 16 letters, digits and '-', in any case? Setting bit 5 is exact for those as long as
 * `v` has no control bytes; a header block that has any is refused as a whole. */
static inline __attribute__((always_inline)) bool http1_is_word(struct oa_bytes v, const char *lower)
{
	size_t len = __builtin_strlen(lower);

	if (v.len != len)
		return false;
	if (len < 8)
		return ((oa_load32(v.ptr) | (uint32_t)HTTP1_LOWER) ^ oa_load32(lower)) == 0 &&
		       ((oa_load32(v.ptr + len - 4) | (uint32_t)HTTP1_LOWER) ^ oa_load32(lower + len - 4)) == 0;
	return ((oa_load64(v.ptr) | HTTP1_LOWER) ^ oa_load64(lower)) == 0 &&
	       ((oa_load64(v.ptr + len - 8) | HTTP1_LOWER) ^ oa_load64(lower + len - 8)) == 0;
}

/* A field somebody reads. returns `saw` with what it says */
static inline uint32_t http1_take(struct oa_http_head *h, const uint8_t *block, uint32_t saw, unsigned id,
				  struct oa_bytes value)
{
	if (HTTP1_UNLIKELY(id >= OA_FIELD_COUNT))
		return oa_http1_take(h, saw, id, value);
	if (HTTP1_UNLIKELY(h->field[id].off)) /* had one, maybe empty */
		return saw | (id == OA_FIELD_traceparent ? OA_HTTP_MULTI_PARENT : OA_HTTP_REPEATED);
	h->field[id] = (struct oa_slice){ (uint32_t)(value.ptr - block), (uint32_t)value.len };
	return saw;
}
