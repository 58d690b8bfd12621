/* Seeds, and hex. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/attr.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/sys.h"
#include "core/thread.h"

_Atomic uint32_t oa_id_fork_gen = 1;

void oa_id_reseed(void)
{
	atomic_fetch_add_explicit(&oa_id_fork_gen, 1, memory_order_relaxed);
}

OA_COLD void oa_id_seed(struct oa_tls *t, uint32_t gen)
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

OA_HOT void oa_hex(char *ret_text, const uint8_t *bytes, unsigned len)
{
	static const char digits[16] = "0123456789abcdef";

	for (; len >= 8; len -= 8, bytes += 8, ret_text += 16)
		oa_hex8(ret_text, bytes);
	for (unsigned i = 0; i < len; i++) {
		ret_text[2 * i] = digits[bytes[i] >> 4];
		ret_text[2 * i + 1] = digits[bytes[i] & 15];
	}
}

int oa_unhex(uint8_t *ret_bytes, const uint8_t *text, unsigned len)
{
	uint8_t pad[16] = "0000000000000000";
	uint64_t eight;

	for (; len >= 8; len -= 8, ret_bytes += 8, text += 16) {
		if (!oa_unhex8(&eight, text))
			return -EINVAL;
		memcpy(ret_bytes, &eight, 8);
	}
	if (!len)
		return 0;
	for (unsigned i = 0; i < 2 * len; i++)
		pad[i] = text[i];
	if (!oa_unhex8(&eight, pad))
		return -EINVAL;
	memcpy(ret_bytes, &eight, len);
	return 0;
}
