#pragma once
/* Trace and span ids: a per-thread xoshiro256++ seeded from the kernel's random source, reseeded after
 * fork. Never zero. */
#include <emmintrin.h>
#include <stdbool.h>
#include <stdint.h>

/* runs on   any thread; signal-safe: yes; locks: none; heap: no; one getrandom per thread and fork */
void oa_id_trace(uint8_t ret_id[16]);
void oa_id_span(uint8_t ret_id[8]);
uint64_t oa_id_random(void);

/* Makes every thread seed anew (child after fork). */
void oa_id_reseed(void);

/* Lower-case hex, no terminator: 2*len characters. */
void oa_hex(char *ret_text, const uint8_t *bytes, unsigned len);

/* Strict lower-case hex of exactly 2*len characters. returns 0 or -EINVAL */
int oa_unhex(uint8_t *ret_bytes, const uint8_t *text, unsigned len);

/* The same for 16 characters: the value a lower-case digit would have, and whether writing that value gives the same
 * digit again. returns false when it does not */
static inline bool oa_unhex8(void *ret_bytes, const uint8_t text[16])
{
	__m128i x = _mm_loadu_si128((const __m128i *)text);
	__m128i letter = _mm_and_si128(_mm_srli_epi16(x, 6), _mm_set1_epi8(1));
	__m128i v = _mm_add_epi8(_mm_and_si128(x, _mm_set1_epi8(15)),
				 _mm_add_epi8(_mm_slli_epi16(letter, 3), letter)); /* + 9 for letters */
	__m128i big = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
	__m128i same = _mm_cmpeq_epi8(x, _mm_add_epi8(_mm_add_epi8(v, _mm_set1_epi8('0')), big));
	__m128i bytes = _mm_and_si128(_mm_or_si128(_mm_slli_epi16(v, 4), _mm_srli_epi16(v, 8)), _mm_set1_epi16(255));

	_mm_storel_epi64((__m128i *)ret_bytes, _mm_packus_epi16(bytes, bytes));
	return _mm_movemask_epi8(_mm_andnot_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(15)), same)) == 0xffff;
}
