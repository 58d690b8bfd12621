#pragma once
/* Bytes from the wire as valid UTF-8: each byte that is no part of a well-formed character
 * becomes one U+FFFD. So the text has grown if and only if something was wrong with it. Nearly all of it is
 * ASCII, which is the inlined case. */
#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/bytes.h"

/* True when every byte is below 0x80. Reads by words; the last one may overlap the one before. */
static inline bool oa_utf8_ascii(struct oa_bytes in)
{
	uint64_t acc = 0;

	if (in.len >= 8) {
		for (size_t i = 0; i + 8 < in.len; i += 8)
			acc |= oa_load64(in.ptr + i);
		acc |= oa_load64(in.ptr + in.len - 8);
	} else if (in.len >= 4) {
		acc = oa_load32(in.ptr) | oa_load32(in.ptr + in.len - 4);
	} else {
		for (size_t i = 0; i < in.len; i++)
			acc |= in.ptr[i];
	}
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

/* Copies a text and looks at it in one go. returns whether it is ASCII */
static inline bool oa_copy_ascii(uint8_t *out, const uint8_t *in, size_t len)
{
	__m128i part, all;

	if (len < 16) {
		oa_copy_text(out, in, len);
		return oa_utf8_ascii((struct oa_bytes){ in, len });
	}
	all = _mm_loadu_si128((const __m128i *)(const void *)(in + len - 16));
	_mm_storeu_si128((__m128i *)(void *)(out + len - 16), all);
	for (size_t i = 0; i + 16 < len; i += 16) {
		part = _mm_loadu_si128((const __m128i *)(const void *)(in + i));
		_mm_storeu_si128((__m128i *)(void *)(out + i), part);
		all = _mm_or_si128(all, part);
	}
	return !_mm_movemask_epi8(all);
}

/* Writes it. size: what oa_utf8_size() said. returns the end. */
static inline uint8_t *oa_utf8_put(uint8_t *out, struct oa_bytes in, size_t size)
{
	if (__builtin_expect(size != in.len, 0))
		return oa_utf8_put_any(out, in);
	oa_copy_text(out, in.ptr, size);
	return out + size;
}

/* At most max_chars characters of it, never half of one. */
static inline struct oa_bytes oa_utf8_cut(struct oa_bytes in, size_t max_chars)
{
	return in.len <= max_chars ? in : oa_utf8_cut_any(in, max_chars);
}
