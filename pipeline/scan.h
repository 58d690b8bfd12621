#pragma once
/* Where characters stand in a text, sixteen at a time. Reads nothing outside the text.
 *
 * all: runs on side thread; locks: none; heap: no; blocks: no */
#include <emmintrin.h>
#include <stdint.h>

#include "core/bytes.h"

/* The last, or only, piece of a text, which is shorter than sixteen bytes. */
static inline __m128i oa_scan_short(const uint8_t *p, size_t len)
{
	uint64_t low = oa_load_begin(oa_bytes(p, len));
	uint64_t high = len > 8 ? oa_load64(p + len - 8) >> (8 * (16 - len)) : 0;

	return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

static inline __m128i oa_scan_piece(struct oa_bytes text, size_t at)
{
	return text.len - at >= 16 ? _mm_loadu_si128((const __m128i *)(const void *)(text.ptr + at)) :
				     oa_scan_short(text.ptr + at, text.len - at);
}

static inline uint64_t oa_scan_is(__m128i text, char c)
{
	return (uint16_t)_mm_movemask_epi8(_mm_cmpeq_epi8(text, _mm_set1_epi8(c)));
}

/* Where `a` or `b`, neither of them 0, is first; the length when there is none. */
static inline size_t oa_scan_first(struct oa_bytes text, char a, char b)
{
	for (size_t at = 0; at < text.len; at += 16) {
		__m128i piece = oa_scan_piece(text, at);
		uint64_t found = oa_scan_is(piece, a) | oa_scan_is(piece, b);

		if (found)
			return at + (unsigned)__builtin_ctzll(found);
	}
	return text.len;
}

/* The delimiters of a query: a bit for each of up to 64 bytes. */
struct oa_scan {
	uint64_t equals, ends, percents; /* `=`; `&` and `;`; `%` */
};

static inline struct oa_scan oa_scan(struct oa_bytes text)
{
	struct oa_scan s = { 0 };

	for (size_t i = 0; i < text.len; i += 16) {
		__m128i piece = oa_scan_piece(text, i);

		s.equals |= oa_scan_is(piece, '=') << i;
		s.ends |= (oa_scan_is(piece, '&') | oa_scan_is(piece, ';')) << i;
		s.percents |= oa_scan_is(piece, '%') << i;
	}
	return s;
}
