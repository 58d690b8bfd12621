/* Header blocks: read in one pass when whole, waited for when not. */
#include <errno.h>

#include "core/attr.h"
#include "proto/http1_names.h"

/* A line that begins with a blank right behind the start line continues nothing (RFC 9112 2.2). */
static bool begins_folded(struct oa_bytes in, size_t from)
{
	return from < in.len && (in.ptr[from] == ' ' || in.ptr[from] == '\t');
}

static struct oa_bytes skip_blanks(struct oa_bytes b)
{
	while (b.len && (b.ptr[0] == ' ' || (uint8_t)(b.ptr[0] - '\t') < 5)) {
		b.ptr++;
		b.len--;
	}
	return b;
}

/* A header line, folds included, without its line end. returns `saw` with what it says */
static uint32_t plain_line(struct oa_http_head *h, const uint8_t *block, uint32_t saw, struct oa_bytes line)
{
	for (unsigned id = 0; id < HTTP1_NAME_COUNT; id++) {
		const struct http1_text *t = &oa_http1_texts[id];
		struct oa_bytes rest;

		if (line.len <= t->len || !oa_bytes_ieq(oa_bytes(line.ptr, t->len), oa_bytes(t->text, t->len)))
			continue;
		rest = oa_bytes(line.ptr + t->len, line.len - t->len);
		if (rest.ptr[0] == ':')
			return http1_take(h, block, saw, id, http1_trim(oa_bytes(rest.ptr + 1, rest.len - 1)));
		/* Blanks before the colon: some readers take the field, some do not (RFC 9112 5.1), so nobody may. */
		rest = skip_blanks(rest);
		return rest.len && rest.ptr[0] == ':' ? saw | HTTP1_BAD : saw;
	}
	return saw;
}

/* No byte that is refused, given the one before it? */
static bool plain_byte(const uint8_t *p, size_t i)
{
	return p[i - 1] == '\r' ? p[i] == '\n' : p[i] >= 0x20 || p[i] == '\t' || p[i] == '\r' || p[i] == '\n';
}

/* Reads the header lines from `start` on. returns offset behind the blank line; 0 incomplete; -EPROTO */
static long plain_lines(struct oa_bytes in, struct oa_http_head *h, size_t start, uint32_t *saw)
{
	const uint8_t *p = in.ptr;

	for (size_t i = start; i < in.len; i++) {
		size_t end = i - (p[i - 1] == '\r');

		if (!plain_byte(p, i))
			return -EPROTO;
		if (p[i] != '\n')
			continue;
		if (end == i)
			h->nl = 1;
		if (end <= start) {
			h->blank_off = (uint32_t)start;
			return (long)i + 1;
		}
		if (i + 1 < in.len && (p[i + 1] == ' ' || p[i + 1] == '\t'))
			continue;
		*saw = plain_line(h, p, *saw, oa_bytes(p + start, end - start));
		if (*saw & HTTP1_BAD)
			return -EPROTO;
		start = i + 1;
	}
	return 0;
}

long oa_http1_plain(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h)
{
	uint32_t saw;
	long n;

	memset(h, 0, sizeof(*h));
	n = oa_http1_start_line(in, dir, h);
	if (n > 0 && begins_folded(in, (size_t)n))
		return -EPROTO;
	if (n > 0) {
		h->nl = in.ptr[n - 2] == '\r' ? 2 : 1;
		saw = http1_saw_nothing(dir, h->version);
		n = plain_lines(in, h, (size_t)n, &saw);
	}
	if (n <= 0)
		return n == 0 && in.len == OA_HTTP_HEADER_MAX ? -E2BIG : n;
	h->block = oa_bytes(in.ptr, (size_t)n);
	return http1_frame(h, dir, saw) ? n : -EPROTO;
}

long oa_http1_block_narrow(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h)
{
	return oa_http1_vectors == HTTP1_NONE ? oa_http1_plain(in, dir, h) : oa_http1_fast_sse2(in, dir, h);
}

/* With as many bytes behind it as it takes, which end no line. */
long oa_http1_short(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h)
{
	uint8_t copy[65];
	long n;

	memset(copy, 'x', sizeof(copy));
	memcpy(copy, in.ptr, in.len);
	n = http1_block(oa_bytes(copy, sizeof(copy)), dir, h);
	if (n <= 0)
		return oa_http1_plain(in, dir, h);
	h->block.ptr = in.ptr;
	return n;
}

struct oa_bytes oa_http1_trim(const uint8_t *from, const uint8_t *end)
{
	return http1_trim(oa_bytes(from, (size_t)(end - from)));
}

OA_HOT long oa_http1_parse_head(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *ret_head)
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
	n = http1_block(oa_bytes(in.ptr + skip, in.len - skip), dir, ret_head);
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
