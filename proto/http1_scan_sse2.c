/* The header scan for every x86-64 processor. */
#include <emmintrin.h>
#include <stdint.h>

#define SCAN oa_http1_scan_sse2
#define SCAN_TARGET
#include "proto/http1_scan.h"

static inline uint32_t scan_bits(__m128i low_half, __m128i high_half)
{
	return (uint32_t)_mm_movemask_epi8(low_half) | (uint32_t)_mm_movemask_epi8(high_half) << 16;
}

SCAN_INLINE struct scan_masks scan_masks(const uint8_t *p)
{
	__m128i a = _mm_loadu_si128((const __m128i *)p), b = _mm_loadu_si128((const __m128i *)(p + 16));
	__m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r'), top = _mm_set1_epi8(0x1f);

	return (struct scan_masks){
		.lf = scan_bits(_mm_cmpeq_epi8(a, lf), _mm_cmpeq_epi8(b, lf)),
		.cr = scan_bits(_mm_cmpeq_epi8(a, cr), _mm_cmpeq_epi8(b, cr)),
		.low = scan_bits(_mm_cmpeq_epi8(_mm_max_epu8(a, top), top), _mm_cmpeq_epi8(_mm_max_epu8(b, top), top)),
	};
}
