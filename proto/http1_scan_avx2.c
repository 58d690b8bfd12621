/* The header scan for processors with AVX2. */
#include <immintrin.h>
#include <stdint.h>

#define SCAN oa_http1_scan_avx2
#define SCAN_TARGET __attribute__((target("avx2,bmi")))
#include "proto/http1_scan.h"

SCAN_INLINE struct scan_masks scan_masks(const uint8_t *p)
{
	__m256i v = _mm256_loadu_si256((const __m256i *)p), top = _mm256_set1_epi8(0x1f);

	return (struct scan_masks){
		.lf = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\n'))),
		.cr = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('\r'))),
		.low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(v, top), top)),
	};
}
