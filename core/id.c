/* xoroshiro128++ (Blackman and Vigna), one state per thread, seeded by the kernel. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/attr.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/sys.h"
#include "core/thread.h"

static _Atomic uint32_t id_fork_gen = 1;

void oa_id_reseed(void)
{
	atomic_fetch_add_explicit(&id_fork_gen, 1, memory_order_relaxed);
}

static OA_COLD void id_seed(struct oa_tls *t, uint32_t gen)
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

static inline uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static inline uint64_t id_random(void)
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

uint64_t oa_id_random(void)
{
	return id_random();
}

static inline uint64_t id_nonzero(void)
{
	uint64_t v;

	do
		v = id_random();
	while (OA_UNLIKELY(!v));
	return v;
}

void oa_id_trace(uint8_t ret_id[16])
{
	uint64_t v[2] = { id_random(), id_nonzero() };

	memcpy(ret_id, v, 16);
}

OA_HOT void oa_id_span(uint8_t ret_id[8])
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

int oa_unhex(uint8_t *ret_bytes, const uint8_t *text, unsigned len)
{
	uint8_t pad[16] = "0000000000000000", eight[8];

	for (; len >= 8; len -= 8, ret_bytes += 8, text += 16)
		if (!oa_unhex8(ret_bytes, text))
			return -EINVAL;
	if (!len)
		return 0;
	for (unsigned i = 0; i < 2 * len; i++)
		pad[i] = text[i];
	if (!oa_unhex8(eight, pad))
		return -EINVAL;
	for (unsigned i = 0; i < len; i++)
		ret_bytes[i] = eight[i];
	return 0;
}
