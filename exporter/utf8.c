#include "exporter/utf8.h"

/* Length of the well-formed character at p (Unicode 15, table 3-7: no surrogates, no overlong forms, nothing
 * past U+10FFFF), or 0. left >= 1 */
static size_t utf8_char(const uint8_t *p, size_t left)
{
	uint8_t lo = 0x80, hi = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (left < len)
		return 0;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

size_t oa_utf8_size_any(struct oa_bytes in)
{
	size_t size = 0;

	for (size_t i = 0; i < in.len;) {
		size_t len = utf8_char(in.ptr + i, in.len - i);

		size += len ? len : 3;
		i += len ? len : 1;
	}
	return size;
}

uint8_t *oa_utf8_put_any(uint8_t *out, struct oa_bytes in)
{
	for (size_t i = 0; i < in.len;) {
		size_t len = utf8_char(in.ptr + i, in.len - i);

		memcpy(out, len ? (const void *)(in.ptr + i) : "\xef\xbf\xbd", len ? len : 3);
		out += len ? len : 3;
		i += len ? len : 1;
	}
	return out;
}

struct oa_bytes oa_utf8_cut_any(struct oa_bytes in, size_t max_chars)
{
	size_t i = 0;

	for (size_t chars = 0; i < in.len && chars < max_chars; chars++) {
		size_t len = utf8_char(in.ptr + i, in.len - i);

		i += len ? len : 1;
	}
	return oa_bytes(in.ptr, i);
}
