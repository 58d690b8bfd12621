/* The header scan for processors with AVX2. */
#include <immintrin.h>
#include <stdint.h>

#define SCAN oa_http1_scan_avx2
#define SCAN_TARGET __attribute__((target("avx2,bmi")))
#include "proto/http1_scan.h"

SCAN_INLINE uint32_t scan_equal(__m256i v, __m256i with)
{
	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, with));
}

SCAN_INLINE struct scan_masks scan_masks(const uint8_t *p)
{
	__m256i v = _mm256_loadu_si256((const __m256i *)p), top = _mm256_set1_epi8(0x1f);

	return (struct scan_masks){
		.lf = scan_equal(v, _mm256_set1_epi8('\n')),
		.cr = scan_equal(v, _mm256_set1_epi8('\r')),
		.low = scan_equal(_mm256_max_epu8(v, top), top),
	};
}

SCAN_INLINE uint32_t scan_colons(const uint8_t *p)
{
	return scan_equal(_mm256_loadu_si256((const __m256i *)p), _mm256_set1_epi8(':'));
}
