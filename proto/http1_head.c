/* Header blocks: read in one pass when whole, waited for when not. */
#include <errno.h>

#include "proto/http1_impl.h"

/* A line that begins with a blank right behind the start line continues nothing (RFC 9112 2.2). */
static bool begins_folded(struct oa_bytes in, size_t from)
{
	return from < in.len && (in.ptr[from] == ' ' || in.ptr[from] == '\t');
}

/* In pieces that the compiler makes plain stores of; for the whole it would take `rep stos`, which costs more than
 * reading a short request. */
static inline void head_clear(struct oa_http_head *h)
{
	char *p = (char *)h;
	size_t i;

#pragma GCC unroll 8
	for (i = 0; i + 64 <= sizeof(*h); i += 64)
		memset(p + i, 0, 64);
	memset(p + i, 0, sizeof(*h) % 64);
}

long oa_http1_block(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h)
{
	struct http1_reading r = { .in = oa_bytes_cut(in, OA_HTTP_HEADER_MAX), .head = h };
	long n;

	head_clear(h);
	n = oa_http1_start_line(r.in, dir, h);
	if (n <= 0)
		return n == 0 && r.in.len == OA_HTTP_HEADER_MAX ? -E2BIG : n;
	if (begins_folded(in, (size_t)n))
		return -EPROTO;
	r.bare_lf = in.ptr[n - 2] != '\r';
	n = __atomic_load_n(&oa_http1_wide, __ATOMIC_RELAXED) ? oa_http1_scan_avx2(&r, (size_t)n) :
								 oa_http1_scan_sse2(&r, (size_t)n);
	if (n <= 0)
		return n == 0 && r.in.len == OA_HTTP_HEADER_MAX ? -E2BIG : n;
	h->block = oa_bytes(in.ptr, (size_t)n);
	return oa_http1_frame(&r, dir) < 0 ? -EPROTO : n;
}

long oa_http1_parse_head(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *ret_head)
{
	size_t skip = 0;
	int nl = 1;
	long n;

	for (unsigned i = 0; dir == OA_DIR_REQUEST && nl && i < HTTP1_BLANKS_MAX; i++) {
		nl = oa_http1_blank(oa_bytes(in.ptr + skip, in.len - skip));
		if (nl < 0)
			return nl == -EAGAIN ? 0 : nl;
		skip += (size_t)nl;
	}
	n = oa_http1_block(oa_bytes(in.ptr + skip, in.len - skip), dir, ret_head);
	return n > 0 ? n + (long)skip : n;
}

/* Is the byte at `i` one that no header block has, given the one before it? */
static bool wait_refuses(const uint8_t *p, size_t i)
{
	uint8_t c = p[i];

	if (i && p[i - 1] == '\r' && c != '\n')
		return true;
	return c < 0x20 && c != '\t' && c != '\r' && c != '\n';
}

static bool is_blank_line_end(const uint8_t *p, size_t i)
{
	if (p[i] != '\n' || i == 0)
		return false;
	return p[i - 1] == '\n' || (i > 1 && p[i - 1] == '\r' && p[i - 2] == '\n');
}

/* Whatever the cuts, the same bytes must come to the same end, so this refuses only what every longer input
 * would be refused for, and looks at each byte once. Errors in header lines wait for the whole block. */
long oa_http1_wait(struct http1_state *st, enum oa_dir dir, struct oa_bytes in)
{
	struct oa_http_head h;

	in = oa_bytes_cut(in, OA_HTTP_HEADER_MAX);
	if (!st->line_ok && oa_http1_start_line(oa_bytes_cut(in, 2 * HTTP1_METHOD_MAX), dir, &h) < 0)
		return -EPROTO;
	for (size_t i = st->seen; i < in.len; i++) {
		if (wait_refuses(in.ptr, i))
			return -EPROTO;
		if (is_blank_line_end(in.ptr, i))
			return (long)i + 1;
		if (in.ptr[i] == '\n' && !st->line_ok) {
			long n = oa_http1_start_line(oa_bytes(in.ptr, i + 1), dir, &h);

			if (n < 0)
				return n;
			st->line_ok = 1;
		}
	}
	st->seen = (uint32_t)in.len;
	return in.len == OA_HTTP_HEADER_MAX ? -E2BIG : 0;
}

/* Moves *pos behind the line at it, folds included. returns its end without the line end */
static size_t line_skip(struct oa_bytes block, size_t *pos)
{
	size_t at = *pos, end;

	do {
		const uint8_t *lf = memchr(block.ptr + at, '\n', block.len - at);

		at = lf ? (size_t)(lf - block.ptr) + 1 : block.len;
	} while (at < block.len && (block.ptr[at] == ' ' || block.ptr[at] == '\t'));
	end = at - 1;
	if (end > *pos && block.ptr[end - 1] == '\r')
		end--;
	*pos = at;
	return end;
}

bool oa_http1_line_next(const struct oa_http_head *h, size_t *pos, struct oa_bytes *ret_name,
			struct oa_bytes *ret_value)
{
	struct oa_bytes block = oa_bytes(h->block.ptr, h->blank_off);

	if (*pos == 0)
		line_skip(block, pos);
	while (*pos < block.len) {
		const uint8_t *line = block.ptr + *pos, *colon;
		size_t len = line_skip(block, pos) - (size_t)(line - block.ptr);

		colon = memchr(line, ':', len);
		if (!colon)
			continue;
		*ret_name = oa_bytes(line, (size_t)(colon - line));
		*ret_value = http1_trim(oa_bytes(colon + 1, len - (size_t)(colon + 1 - line)));
		return true;
	}
	return false;
}
