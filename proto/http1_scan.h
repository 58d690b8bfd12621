/* Reads header lines 32 bytes at a time; compiled once per vector width. The includer defines SCAN (function
 * name), SCAN_TARGET (its attribute) and scan_masks(). No #pragma once on purpose.
 *
 * One pass finds every line end and refuses control bytes; a line's name is looked up when its end is known, so
 * that folded lines (obs-fold) are part of it. Nothing outside `in` is read: the last block is read
 * backwards from the end. */
#include <errno.h>

#include "proto/http1_names.h"

#define SCAN_INLINE static inline __attribute__((always_inline)) SCAN_TARGET

/* One bit for each of 32 bytes. */
struct scan_masks {
	uint32_t lf, cr, low; /* low: below 0x20, these two included */
};

SCAN_INLINE struct scan_masks scan_masks(const uint8_t *p);

/* The masks of the `n` < 32 last bytes of `in`. */
SCAN_INLINE struct scan_masks scan_tail(struct oa_bytes in, size_t n)
{
	struct scan_masks m = { 0 };

	if (in.len >= 32) {
		m = scan_masks(in.ptr + in.len - 32);
		return (struct scan_masks){ m.lf >> (32 - n), m.cr >> (32 - n), m.low >> (32 - n) };
	}
	for (size_t i = 0; i < n; i++) {
		uint8_t c = in.ptr[in.len - n + i];

		m.lf |= (uint32_t)(c == '\n') << i;
		m.cr |= (uint32_t)(c == '\r') << i;
		m.low |= (uint32_t)(c < 0x20) << i;
	}
	return m;
}

/* A block [from, end) in which control bytes are not just the CR of every LF: refuses bare CR and other control
 * bytes, notes bare LF. from > 0 */
static __attribute__((noinline)) int scan_odd(struct http1_reading *r, size_t from, size_t end)
{
	const uint8_t *p = r->in.ptr;

	for (size_t i = from; i < end; i++) {
		bool after_cr = p[i - 1] == '\r';

		if (after_cr ? p[i] != '\n' : p[i] < 0x20 && !memchr("\t\r\n", p[i], 3))
			return -EPROTO;
		r->bare_lf |= p[i] == '\n' && !after_cr;
	}
	return 0;
}

/* A line and its LF. returns what oa_http1_known_line() does */
SCAN_INLINE int scan_line(struct http1_reading *r, uint64_t used, const uint8_t *p, size_t start, size_t at)
{
	unsigned key;

	if (at - start < 3) /* the shortest name and a colon; the LF is the fourth byte that is read */
		return 0;
	key = http1_key(p + start);
	return used >> key & 1 ? oa_http1_known_line(r, start, at - (p[at - 1] == '\r'), key) : 0;
}

SCAN_TARGET long SCAN(struct http1_reading *r, size_t from)
{
	const struct oa_bytes in = r->in;
	const uint8_t *p = in.ptr;
	const uint64_t used = __atomic_load_n(&oa_http1_keys.used, __ATOMIC_ACQUIRE);
	size_t start = from;
	uint32_t before = 0; /* the byte before this block is CR */

	for (size_t base = from; base < in.len; base += 32) {
		size_t n = in.len - base;
		struct scan_masks m = n >= 32 ? scan_masks(p + base) : scan_tail(in, n);
		/* Anything but CR LF, CR LF among the control bytes? */
		bool odd = ((m.cr << 1 | before) ^ m.lf) | (m.low ^ m.cr ^ m.lf);

		for (; m.lf; m.lf &= m.lf - 1) {
			size_t at = base + (unsigned)__builtin_ctz(m.lf);

			if (at - start <= 1 && (at == start || p[start] == '\r')) {
				r->head->blank_off = (uint32_t)start;
				return odd && scan_odd(r, base, at + 1) < 0 ? -EPROTO : (long)at + 1;
			}
			if (at + 1 < in.len && (p[at + 1] == ' ' || p[at + 1] == '\t'))
				continue;
			if (scan_line(r, used, p, start, at) < 0)
				return -EPROTO;
			start = at + 1;
		}
		if (__builtin_expect(odd, 0) && scan_odd(r, base, base + (n < 32 ? n : 32)) < 0)
			return -EPROTO;
		before = m.cr >> 31;
	}
	return 0;
}
