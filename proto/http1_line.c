/* Start lines: strict, because they decide what a connection is. Used on whole lines for parsing and on
 * prefixes for detection. */
#include <emmintrin.h>
#include <errno.h>

#include "core/attr.h"
#include "proto/http1_impl.h"

/* tchar of RFC 9110 5.6.2, one bit per ASCII byte */
static const uint32_t token_bits[4] = { 0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff };

static bool is_token(uint8_t c)
{
	return c < 0x80 && token_bits[c / 32] >> c % 32 & 1;
}

/* Offset of the first byte from `at` on that no request target has: blanks, control bytes, DEL. */
static size_t target_end(struct oa_bytes in, size_t at)
{
	const __m128i space = _mm_set1_epi8(' '), del = _mm_set1_epi8(0x7f);

	for (; at + 16 <= in.len; at += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(in.ptr + at));
		__m128i hit = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, space), v), _mm_cmpeq_epi8(v, del));
		unsigned mask = (unsigned)_mm_movemask_epi8(hit);

		if (mask)
			return at + (unsigned)__builtin_ctz(mask);
	}
	while (at < in.len && in.ptr[at] > ' ' && in.ptr[at] != 0x7f)
		at++;
	return at;
}

/* Length of a line end at `at`. 0: it may still become one; -EPROTO */
static inline int line_end(struct oa_bytes in, size_t at)
{
	if (at < in.len && in.ptr[at] == '\n')
		return 1;
	if (at >= in.len || (in.ptr[at] == '\r' && at + 1 == in.len))
		return 0;
	return in.ptr[at] == '\r' && in.ptr[at + 1] == '\n' ? 2 : -EPROTO;
}

/* Do the bytes at `at`, as far as they are there, begin with "HTTP/1.0" or "HTTP/1.1"? returns 10, 11; 0: as far as
 * they are there; -EPROTO */
static inline int version_at(struct oa_bytes in, size_t at)
{
	const uint8_t *p = in.ptr + at;
	size_t have = in.len - at;

	if (have < 8)
		return have == 0 || memcmp(p, "HTTP/1.", have) == 0 ? 0 : -EPROTO;
	if (memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1'))
		return -EPROTO;
	return 10 + p[7] - '0';
}

static long request_line(struct oa_bytes in, struct oa_http_head *h)
{
	size_t method = 0, target, end;
	int version, nl;

	while (method < in.len && method <= HTTP1_METHOD_MAX && is_token(in.ptr[method]))
		method++;
	if (method > HTTP1_METHOD_MAX)
		return -EPROTO;
	if (method == in.len)
		return 0;
	if (in.ptr[method] != ' ' || method == 0)
		return -EPROTO;
	target = method + 1;
	end = target_end(in, target);
	if (end - target > OA_HTTP_LINE_MAX)
		return -E2BIG;
	if (end == in.len)
		return 0;
	if (in.ptr[end] != ' ' || end == target)
		return -EPROTO;
	version = version_at(in, end + 1);
	if (version <= 0)
		return version;
	nl = line_end(in, end + 9);
	if (nl <= 0)
		return nl;
	h->method_text = (struct oa_slice){ 0, (uint32_t)method };
	h->method = (uint8_t)oa_method_parse(oa_bytes(in.ptr, method));
	h->target = (struct oa_slice){ (uint32_t)target, (uint32_t)(end - target) };
	h->version = (uint8_t)version;
	return (long)end + 9 + nl;
}

/* "HTTP/1.1 200", as far as it is there. returns the status; 0; -EPROTO */
static int status_at(struct oa_bytes in, int version)
{
	int status = 0;

	for (size_t i = 8; i < 12; i++) {
		if (i >= in.len)
			return 0;
		if (i == 8 ? in.ptr[i] != ' ' : (uint8_t)(in.ptr[i] - '0') > 9)
			return -EPROTO;
		status = i == 8 ? 0 : status * 10 + in.ptr[i] - '0';
	}
	return version > 0 && status >= 100 ? status : -EPROTO;
}

static long status_line(struct oa_bytes in, struct oa_http_head *h)
{
	int version = version_at(in, 0), status, nl;
	size_t at = 12; /* behind the status */

	if (version <= 0)
		return version;
	status = status_at(in, version);
	if (status <= 0)
		return status;
	if (at < in.len && in.ptr[at] == ' ')
		while (at < in.len && (in.ptr[at] >= ' ' || in.ptr[at] == '\t'))
			at++;
	if (at > OA_HTTP_LINE_MAX)
		return -E2BIG;
	nl = line_end(in, at);
	if (nl <= 0)
		return nl;
	h->version = (uint8_t)version;
	h->status = (uint16_t)status;
	return (long)at + nl;
}

long oa_http1_start_line(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h)
{
	return dir == OA_DIR_REQUEST ? request_line(in, h) : status_line(in, h);
}

OA_HOT int oa_http1_blank(struct oa_bytes in)
{
	int nl = in.len && (in.ptr[0] == '\r' || in.ptr[0] == '\n') ? line_end(in, 0) : -ENOENT;

	return nl == -ENOENT ? 0 : nl ? nl : -EAGAIN;
}

enum oa_detect oa_http1_detect(enum oa_dir dir, struct oa_bytes in)
{
	struct oa_http_head h;
	int nl;
	long n;

	for (unsigned i = 0; dir == OA_DIR_REQUEST && i < HTTP1_BLANKS_MAX; i++) {
		nl = oa_http1_blank(in);
		if (nl < 0)
			return nl == -EAGAIN ? OA_DETECT_MORE : OA_DETECT_NO;
		in = oa_bytes(in.ptr + nl, in.len - (size_t)nl);
	}
	n = oa_http1_start_line(in, dir, &h);
	return n > 0 ? OA_DETECT_YES : n < 0 ? OA_DETECT_NO : OA_DETECT_MORE;
}
