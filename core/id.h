#pragma once
/* Trace and span ids: xoroshiro128++ (Blackman and Vigna), one state per thread, seeded from the kernel's random source,
 * reseeded after fork. Never zero. Inline: each exchange takes one or three. */
#include <emmintrin.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/attr.h"
#include "core/thread.h"

extern _Atomic uint32_t oa_id_fork_gen;
void oa_id_seed(struct oa_tls *t, uint32_t gen);

static inline uint64_t oa_id_rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

/* runs on   any thread; signal-safe: yes; locks: none; heap: no; one getrandom per thread and fork */
static inline uint64_t oa_id_random(void)
{
	struct oa_tls *t = &oa_tls;
	uint64_t *s = t->rng, result;
	uint32_t gen = atomic_load_explicit(&oa_id_fork_gen, memory_order_relaxed);

	if (OA_UNLIKELY(t->fork_gen != gen))
		oa_id_seed(t, gen);
	result = oa_id_rotl(s[0] + s[1], 17) + s[0];
	s[1] ^= s[0];
	s[0] = oa_id_rotl(s[0], 49) ^ s[1] ^ (s[1] << 21);
	s[1] = oa_id_rotl(s[1], 28);
	return result;
}

static inline uint64_t oa_id_nonzero(void)
{
	uint64_t v;

	do
		v = oa_id_random();
	while (OA_UNLIKELY(!v));
	return v;
}

static inline void oa_id_trace(uint8_t ret_id[16])
{
	uint64_t v[2] = { oa_id_random(), oa_id_nonzero() };

	memcpy(ret_id, v, 16);
}

static inline void oa_id_span(uint8_t ret_id[8])
{
	uint64_t v = oa_id_nonzero();

	memcpy(ret_id, &v, 8);
}

/* Makes every thread seed anew (child after fork). */
void oa_id_reseed(void);

/* Lower-case hex, no terminator: 2*len characters. */
void oa_hex(char *ret_text, const uint8_t *bytes, unsigned len);

/* The same of eight bytes. */
static inline void oa_hex8(char *ret_text, const uint8_t bytes[8])
{
	__m128i x = _mm_loadl_epi64((const __m128i *)(const void *)bytes), four = _mm_set1_epi8(15);
	__m128i v = _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(x, 4), four), _mm_and_si128(x, four));
	__m128i big = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));

	_mm_storeu_si128((__m128i *)(void *)ret_text, _mm_add_epi8(_mm_add_epi8(v, _mm_set1_epi8('0')), big));
}

/* Strict lower-case hex of exactly 2*len characters. returns 0 or -EINVAL */
int oa_unhex(uint8_t *ret_bytes, const uint8_t *text, unsigned len);

/* The same for 16 characters: the value a lower-case digit would have, and whether writing that value gives the same
 * digit again. returns false when it does not */
static inline bool oa_unhex8(uint64_t *ret_bytes, const uint8_t text[16])
{
	__m128i x = _mm_loadu_si128((const __m128i *)text);
	__m128i letter = _mm_and_si128(_mm_srli_epi16(x, 6), _mm_set1_epi8(1));
	__m128i v = _mm_add_epi8(_mm_and_si128(x, _mm_set1_epi8(15)),
				 _mm_add_epi8(_mm_slli_epi16(letter, 3), letter)); /* + 9 for letters */
	__m128i big = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
	__m128i same = _mm_cmpeq_epi8(x, _mm_add_epi8(_mm_add_epi8(v, _mm_set1_epi8('0')), big));
	__m128i bytes = _mm_and_si128(_mm_or_si128(_mm_slli_epi16(v, 4), _mm_srli_epi16(v, 8)), _mm_set1_epi16(255));

	*ret_bytes = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(bytes, bytes));
	return _mm_movemask_epi8(_mm_andnot_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(15)), same)) == 0xffff;
}
