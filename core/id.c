/* xoroshiro128++ (Blackman and Vigna), one state per thread, seeded by the kernel. */
#include <emmintrin.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/clock.h"
#include "core/id.h"
#include "core/sys.h"
#include "core/thread.h"

static _Atomic uint32_t id_fork_gen = 1;

void oa_id_reseed(void)
{
	atomic_fetch_add_explicit(&id_fork_gen, 1, memory_order_relaxed);
}

static __attribute__((noinline)) void id_seed(struct oa_tls *t, uint32_t gen)
{
	uint64_t *s = t->rng;

	if (oa_sys3(SYS_getrandom, s, sizeof(t->rng), 1 /* GRND_NONBLOCK */) != sizeof(t->rng)) {
		/* Early boot or an old kernel: time, addresses and the thread make the seeds differ. */
		s[0] ^= oa_now_ns() ^ (uintptr_t)t * 0x9e3779b97f4a7c15u;
		s[1] ^= oa_unix_now_ns() * 0xbf58476d1ce4e5b9u ^ (uint64_t)oa_sys0(SYS_gettid) * 0x94d049bb133111ebu;
	}
	s[0] |= 1;
	t->fork_gen = gen;
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t oa_id_random(void)
{
	struct oa_tls *t = &oa_tls;
	uint64_t *s = t->rng, result;
	uint32_t gen = atomic_load_explicit(&id_fork_gen, memory_order_relaxed);

	if (__builtin_expect(t->fork_gen != gen, 0))
		id_seed(t, gen);
	result = rotl(s[0] + s[1], 17) + s[0];
	s[1] ^= s[0];
	s[0] = rotl(s[0], 49) ^ s[1] ^ (s[1] << 21);
	s[1] = rotl(s[1], 28);
	return result;
}

static uint64_t id_nonzero(void)
{
	uint64_t v;

	do
		v = oa_id_random();
	while (__builtin_expect(!v, 0));
	return v;
}

void oa_id_trace(uint8_t ret_id[16])
{
	uint64_t v[2] = { oa_id_random(), id_nonzero() };

	memcpy(ret_id, v, 16);
}

void oa_id_span(uint8_t ret_id[8])
{
	uint64_t v = id_nonzero();

	memcpy(ret_id, &v, 8);
}

void oa_hex(char *ret_text, const uint8_t *bytes, unsigned len)
{
	static const char digits[16] = "0123456789abcdef";

	for (unsigned i = 0; i < len; i++) {
		ret_text[2 * i] = digits[bytes[i] >> 4];
		ret_text[2 * i + 1] = digits[bytes[i] & 15];
	}
}

/* Sixteen digits at a time: the value a lower-case digit would have, and whether writing that value gives the same
 * digit again. returns false when it does not */
static bool unhex16(uint8_t ret_bytes[8], const uint8_t text[16])
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

int oa_unhex(uint8_t *ret_bytes, const uint8_t *text, unsigned len)
{
	uint8_t pad[16] = "0000000000000000", eight[8];

	for (; len >= 8; len -= 8, ret_bytes += 8, text += 16)
		if (!unhex16(ret_bytes, text))
			return -EINVAL;
	if (!len)
		return 0;
	for (unsigned i = 0; i < 2 * len; i++)
		pad[i] = text[i];
	if (!unhex16(eight, pad))
		return -EINVAL;
	for (unsigned i = 0; i < len; i++)
		ret_bytes[i] = eight[i];
	return 0;
}
