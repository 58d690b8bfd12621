#pragma once
/* Bytes from the wire as valid UTF-8: each byte that is no part of a well-formed character
 * becomes one U+FFFD. So the text has grown if and only if something was wrong with it. Nearly all of it is
 * ASCII, which is the inlined case. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/bytes.h"

/* True when every byte is below 0x80. */
static inline bool oa_utf8_ascii(struct oa_bytes in)
{
	uint64_t acc = 0, word;
	size_t i = 0;

	for (; i + 8 <= in.len; i += 8) {
		memcpy(&word, in.ptr + i, 8);
		acc |= word;
	}
	for (; i < in.len; i++)
		acc |= in.ptr[i];
	return !(acc & 0x8080808080808080ull);
}

/* The slow parts, for text that is not ASCII. */
size_t oa_utf8_size_any(struct oa_bytes in);
uint8_t *oa_utf8_put_any(uint8_t *out, struct oa_bytes in);
struct oa_bytes oa_utf8_cut_any(struct oa_bytes in, size_t max_chars);

/* Bytes of `in` as valid UTF-8: at most three times its length. */
static inline size_t oa_utf8_size(struct oa_bytes in)
{
	return oa_utf8_ascii(in) ? in.len : oa_utf8_size_any(in);
}

/* Writes it. size: what oa_utf8_size() said. returns the end. */
static inline uint8_t *oa_utf8_put(uint8_t *out, struct oa_bytes in, size_t size)
{
	if (__builtin_expect(size != in.len, 0))
		return oa_utf8_put_any(out, in);
	memcpy(out, in.ptr, size);
	return out + size;
}

/* At most max_chars characters of it, never half of one. */
static inline struct oa_bytes oa_utf8_cut(struct oa_bytes in, size_t max_chars)
{
	return in.len <= max_chars ? in : oa_utf8_cut_any(in, max_chars);
}
