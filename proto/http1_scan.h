/* Reads header lines 32 bytes at a time; compiled once per vector width. The includer defines SCAN (function
 * name), SCAN_TARGET (its attribute) and scan_masks(), which classifies 32 bytes. No #pragma once on purpose.
 *
 * One pass finds every line end and refuses control bytes; a line's name is looked up when its end is known, so
 * that folded lines (obs-fold) are part of it. Nothing outside `in` is read: the last block is read
 * backwards from the end. */
#include <errno.h>

#include "proto/http1_impl.h"
#include "proto/http1_names.h"

#define SCAN_INLINE static inline __attribute__((always_inline)) SCAN_TARGET

struct scan_masks {
	uint32_t lf, cr, low; /* one bit per byte; low: below 0x20, the other two included */
};

SCAN_INLINE struct scan_masks scan_masks(const uint8_t *p);
SCAN_INLINE uint32_t scan_colons(const uint8_t *p);

/* The masks of the `n` < 32 last bytes of `in`. */
SCAN_INLINE struct scan_masks scan_tail(struct oa_bytes in, size_t n)
{
	struct scan_masks m = { 0 };

	if (in.len >= 32) {
		unsigned away = 32 - (unsigned)n;

		m = scan_masks(in.ptr + in.len - 32);
		return (struct scan_masks){ m.lf >> away, m.cr >> away, m.low >> away };
	}
	for (size_t i = 0; i < n; i++) {
		uint8_t c = in.ptr[in.len - n + i];

		m.lf |= (uint32_t)(c == '\n') << i;
		m.cr |= (uint32_t)(c == '\r') << i;
		m.low |= (uint32_t)(c < 0x20) << i;
	}
	return m;
}

/* Length of what stands before the first colon of the line at `start`, at most 31; 32: longer or no colon. */
SCAN_INLINE size_t scan_name(struct oa_bytes in, size_t start)
{
	uint32_t m;

	if (__builtin_expect(in.len - start >= 32, 1)) {
		m = scan_colons(in.ptr + start);
	} else if (in.len >= 32) {
		m = scan_colons(in.ptr + in.len - 32) >> (32 - (in.len - start));
	} else {
		for (size_t i = start; i < in.len; i++)
			if (in.ptr[i] == ':')
				return i - start;
		m = 0;
	}
	return m ? (size_t)__builtin_ctz(m) : 32;
}

/* A field somebody reads: its value stands in [from, end). */
SCAN_INLINE int scan_field(struct oa_bytes in, unsigned id, size_t from, size_t end, struct oa_http_head *h,
			   struct http1_framing *f)
{
	struct oa_bytes value = http1_trim(oa_bytes(in.ptr + from, end - from));

	if (id >= OA_FIELD_COUNT)
		return oa_http1_take(f, id, value);
	if (f->seen & 1u << id) {
		h->flags |= id == OA_FIELD_traceparent ? OA_HTTP_MULTI_PARENT : OA_HTTP_REPEATED;
		return 0;
	}
	f->seen |= 1u << id;
	h->field[id] = (struct oa_slice){ (uint32_t)(value.ptr - in.ptr), (uint32_t)value.len };
	return 0;
}

/* One whole line, folds included: [start, end). */
SCAN_INLINE int scan_line(struct oa_bytes in, size_t start, size_t end, struct oa_http_head *h,
			  struct http1_framing *f)
{
	size_t len = scan_name(in, start);
	unsigned id;

	if (len == 32 || start + len >= end) /* a long name, or no colon in this line: no field of ours */
		return 0;
	if (__builtin_expect(len == 0 || in.ptr[start + len - 1] <= ' ', 0))
		return -EPROTO;
	id = http1_name_find(in.ptr + start, len);
	if (id == HTTP1_NO_NAME)
		return 0;
	return scan_field(in, id, start + len + 1, end, h, f);
}

/* Control bytes other than tabs among `odd`? */
SCAN_INLINE bool scan_refuses(const uint8_t *p, uint32_t odd)
{
	for (; odd; odd &= odd - 1)
		if (p[__builtin_ctz(odd)] != '\t')
			return true;
	return false;
}

SCAN_TARGET long SCAN(struct oa_bytes in, size_t from, struct oa_http_head *h, struct http1_framing *f)
{
	const uint8_t *p = in.ptr;
	size_t start = from;
	uint32_t after_cr = 0; /* the byte before this block is CR */

	for (size_t base = from; base < in.len; base += 32) {
		size_t n = in.len - base;
		struct scan_masks m = n >= 32 ? scan_masks(p + base) : scan_tail(in, n);
		uint32_t due = m.cr << 1 | after_cr; /* here stands LF, or that CR was bare */
		uint32_t valid = n >= 32 ? ~0u : (1u << n) - 1;
		long whole = 0;

		for (uint32_t lf = m.lf; lf; lf &= lf - 1) {
			unsigned bit = (unsigned)__builtin_ctz(lf);
			size_t at = base + bit;
			size_t end = at - (at > start && p[at - 1] == '\r');

			if (end == start) {
				h->blank_off = (uint32_t)start;
				whole = (long)at + 1;
				valid = (2u << bit) - 1;
				break;
			}
			if (at + 1 < in.len && (p[at + 1] == ' ' || p[at + 1] == '\t'))
				continue;
			if (scan_line(in, start, end, h, f) < 0)
				return -EPROTO;
			start = at + 1;
		}
		if (__builtin_expect(due & ~m.lf & valid, 0))
			return -EPROTO;
		if (__builtin_expect(m.low & ~(m.lf | m.cr) & valid, 0) &&
		    scan_refuses(p + base, m.low & ~(m.lf | m.cr) & valid))
			return -EPROTO;
		f->bare_lf |= (m.lf & ~due & valid) != 0;
		if (whole)
			return whole;
		after_cr = m.cr >> 31;
	}
	return 0;
}
