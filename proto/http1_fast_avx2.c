/* Header blocks for processors with AVX2. */
#include <immintrin.h>
#include <stdint.h>

#define FAST oa_http1_fast_avx2
#define FAST_TARGET __attribute__((target("avx2,bmi,bmi2"), hot))
#include "proto/http1_fast.h"

FAST_INLINE uint64_t fast_controls(const uint8_t *p)
{
	__m256i a = _mm256_loadu_si256((const __m256i *)p), b = _mm256_loadu_si256((const __m256i *)(p + 32));
	__m256i top = _mm256_set1_epi8(0x1f);

	a = _mm256_cmpeq_epi8(_mm256_min_epu8(a, top), a);
	b = _mm256_cmpeq_epi8(_mm256_min_epu8(b, top), b);
	return (uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
}

FAST_INLINE uint32_t fast_target_ends(const uint8_t *p)
{
	__m256i v = _mm256_loadu_si256((const __m256i *)p);
	__m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(' ')), v);

	return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(low, _mm256_cmpeq_epi8(v, _mm256_set1_epi8(0x7f))));
}

FAST_INLINE void fast_clear(struct oa_http_head *h)
{
	uint8_t *p = (uint8_t *)h;

	_Static_assert(sizeof(*h) >= 32, "the last store");
#pragma GCC unroll 16
	for (size_t i = 0; i + 32 <= sizeof(*h); i += 32)
		_mm256_storeu_si256((__m256i *)(p + i), _mm256_setzero_si256());
	if (sizeof(*h) % 32)
		_mm256_storeu_si256((__m256i *)(p + sizeof(*h) - 32), _mm256_setzero_si256());
}
