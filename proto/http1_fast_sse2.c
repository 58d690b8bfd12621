/* Header blocks for every x86-64 processor. */
#include <emmintrin.h>
#include <stdint.h>

#define FAST oa_http1_fast_sse2
#define FAST_TARGET
#include "proto/http1_fast.h"

FAST_INLINE __m128i fast_load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)p);
}

FAST_INLINE uint64_t fast_controls(const uint8_t *p)
{
	const __m128i top = _mm_set1_epi8(0x1f);
	uint64_t low = 0;

	for (int i = 48; i >= 0; i -= 16) {
		__m128i v = fast_load(p + i);

		low = low << 16 | (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(v, top), v));
	}
	return low;
}

FAST_INLINE uint32_t fast_target_ends(const uint8_t *p)
{
	const __m128i space = _mm_set1_epi8(' '), del = _mm_set1_epi8(0x7f);
	uint32_t ends = 0;

	for (int i = 16; i >= 0; i -= 16) {
		__m128i v = fast_load(p + i), low = _mm_cmpeq_epi8(_mm_min_epu8(v, space), v);

		ends = ends << 16 | (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(v, del)));
	}
	return ends;
}

FAST_INLINE void fast_clear(struct oa_http_head *h)
{
	uint8_t *p = (uint8_t *)h;
	size_t i;

	for (i = 0; i + 16 <= sizeof(*h); i += 16)
		_mm_storeu_si128((__m128i *)(p + i), _mm_setzero_si128());
	memset(p + i, 0, sizeof(*h) % 16);
}
