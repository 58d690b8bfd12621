/* The header scan for every x86-64 processor. */
#include <emmintrin.h>
#include <stdint.h>

#define SCAN oa_http1_scan_sse2
#define SCAN_TARGET
#include "proto/http1_scan.h"

SCAN_INLINE uint32_t scan_equal(__m128i a, __m128i b, __m128i with)
{
	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, with)) |
	       (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(b, with)) << 16;
}

SCAN_INLINE struct scan_masks scan_masks(const uint8_t *p)
{
	__m128i a = _mm_loadu_si128((const __m128i *)p), b = _mm_loadu_si128((const __m128i *)(p + 16));
	__m128i top = _mm_set1_epi8(0x1f);

	return (struct scan_masks){
		.lf = scan_equal(a, b, _mm_set1_epi8('\n')),
		.cr = scan_equal(a, b, _mm_set1_epi8('\r')),
		.low = scan_equal(_mm_max_epu8(a, top), _mm_max_epu8(b, top), top),
	};
}

SCAN_INLINE uint32_t scan_colons(const uint8_t *p)
{
	return scan_equal(_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)(p + 16)),
			  _mm_set1_epi8(':'));
}
