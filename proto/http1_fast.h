/* Reads ordinary header blocks, 64 bytes at a time; compiled once per vector width. The includer defines FAST
 * (function name), FAST_TARGET (its attributes), fast_controls(), fast_target_ends() and fast_clear(). No #pragma
 * once on purpose.
 *
 * Ordinary: a method of the list, lines that end in CRLF, no folds, no tabs. Everything else, and everything that is
 * refused, is left to oa_http1_plain(), which begins again: success here must mean just what it means there.
 * Nothing outside `in` is read: the last 64 bytes are read backwards from the end. */
#include "proto/http1_names.h"

#define FAST_INLINE static inline __attribute__((always_inline)) FAST_TARGET

/* One bit for each of 64 bytes: control bytes. */
FAST_INLINE uint64_t fast_controls(const uint8_t *p);
/* One bit for each of 32 bytes that no request target has: blanks, control bytes, DEL. */
FAST_INLINE uint32_t fast_target_ends(const uint8_t *p);
FAST_INLINE void fast_clear(struct oa_http_head *h);

/* returns length of the method at p, of which 64 bytes can be read; 0: not one of enum oa_method */
static HTTP1_COLD size_t fast_method(const uint8_t *p, struct oa_http_head *h)
{
	size_t len = 0;

	while (len < 8 && p[len] != ' ')
		len++;
	h->method = (uint8_t)oa_method_parse(oa_bytes(p, len));
	return h->method == OA_METHOD_OTHER ? 0 : len;
}

/* These two return false when the line is not ordinary. ret_from: what was not looked at yet */
FAST_INLINE bool fast_request_line(struct oa_bytes in, struct oa_http_head *h, size_t *ret_from)
{
	const uint8_t *p = in.ptr;
	size_t method = 3, at;
	uint32_t ends, version;

	h->method = OA_METHOD_GET;
	if (HTTP1_UNLIKELY(oa_load32(p) != oa_load32("GET "))) {
		method = fast_method(p, h);
		if (!method)
			return false;
	}
	for (at = method + 1;; at += 32) {
		if (HTTP1_UNLIKELY(at + 32 > in.len))
			return false;
		ends = fast_target_ends(p + at);
		if (ends)
			break;
	}
	at += (unsigned)__builtin_ctz(ends);
	if (HTTP1_UNLIKELY(at + 11 > in.len || oa_load64(p + at) != oa_load64(" HTTP/1.")))
		return false;
	version = oa_load32(p + at + 7) ^ oa_load32(".0\r\n");
	if (HTTP1_UNLIKELY(version & ~0x100u || at - method - 2 >= OA_HTTP_LINE_MAX))
		return false;
	h->version = (uint8_t)(10 + (version >> 8));
	h->method_text.len = (uint32_t)method;
	h->target = (struct oa_slice){ (uint32_t)method + 1, (uint32_t)(at - method - 1) };
	*ret_from = at + 11;
	return true;
}

FAST_INLINE bool fast_status_line(struct oa_bytes in, struct oa_http_head *h, size_t *ret_from)
{
	uint64_t version = oa_load64(in.ptr) ^ oa_load64("HTTP/1.0");
	uint32_t digits = oa_load32(in.ptr + 8) ^ oa_load32(" 000");
	unsigned status = (digits >> 8 & 0xff) * 100 + (digits >> 16 & 0xff) * 10 + (digits >> 24);

	if (HTTP1_UNLIKELY(version & ~(1ull << 56) || ((digits + 0x76767600) | digits) & 0x808080ff || status < 100 ||
			   in.ptr[12] != ' '))
		return false;
	h->version = (uint8_t)(10 + (version >> 56));
	h->status = (uint16_t)status;
	*ret_from = 12;
	return true;
}

/* What Connection and Content-Length mostly say; others say it to oa_http1_take(). */
FAST_INLINE uint32_t fast_take(struct oa_http_head *h, const uint8_t *block, uint32_t saw, unsigned id,
			       struct oa_bytes value)
{
	uint64_t length = 0;

	if (HTTP1_LIKELY(id < OA_FIELD_COUNT))
		return http1_take(h, block, saw, id, value);
	if (id == HTTP1_CONNECTION && http1_is_word(value, "keep-alive"))
		return saw | OA_HTTP_KEEP_ALIVE;
	if (HTTP1_UNLIKELY(id != HTTP1_CONTENT_LENGTH || value.len - 1 > 17 || saw & OA_HTTP_HAS_LENGTH))
		return oa_http1_take(h, saw, id, value);
	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = value.ptr[i] - (unsigned)'0';

		if (HTTP1_UNLIKELY(digit > 9))
			return oa_http1_take(h, saw, id, value);
		length = length * 10 + digit;
	}
	h->length = length;
	return http1_saw_length(saw);
}

/* The line up to `cr` may have a name of oa_http1_names: that at `at` or one of those linked to it. `last`: the last
 * place at which eight bytes can be read. */
FAST_INLINE uint32_t fast_line(struct oa_http_head *h, const uint8_t *block, uint32_t saw, const uint8_t *line,
			       const uint8_t *cr, const uint8_t *last, unsigned at)
{
	const struct http1_name *name = http1_name_at(at);
	const uint8_t *value;

	if (HTTP1_UNLIKELY(line > last))
		return saw | HTTP1_BAD;
	while ((oa_load64(line) ^ name->first) & name->mask || line + name->len >= cr ||
	       (oa_load64(line + name->last_at) ^ name->last) & name->mask ||
	       (name->len > 16 && (line[8] | 0x20) != name->ninth)) {
		if (!name->next)
			return saw;
		name = http1_name_at(name->next);
	}
	value = line + name->len;
	if (HTTP1_UNLIKELY(*value != ':'))
		return *value <= ' ' ? saw | HTTP1_BAD : saw; /* no name is the beginning of another */
	value += 1 + (value[1] == ' ');
	if (HTTP1_UNLIKELY(*value <= ' ' || cr[-1] <= ' '))
		return http1_take(h, block, saw, name->id, oa_http1_trim(value, cr));
	return fast_take(h, block, saw, name->id, oa_bytes(value, (size_t)(cr - value)));
}

/* The block [0, end) of in.ptr is whole and all of it was ordinary. */
FAST_INLINE long fast_end(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h, uint32_t saw, const uint8_t *end)
{
	size_t len = (size_t)(end - in.ptr);

	if (HTTP1_UNLIKELY(dir == OA_DIR_RESPONSE && len > OA_HTTP_LINE_MAX))
		return oa_http1_plain(in, dir, h);
	h->block = oa_bytes(in.ptr, len);
	h->blank_off = (uint32_t)len - 2;
	h->nl = 2;
	return HTTP1_UNLIKELY(!http1_frame(h, dir, saw)) ? oa_http1_plain(in, dir, h) : (long)len;
}

/* No blank line up to the last byte; that was not looked at unless it ends a line. */
static HTTP1_COLD long fast_stop(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h, const uint8_t *line)
{
	if (line == in.ptr + in.len - 1 && *line == '\n')
		return oa_http1_plain(in, dir, h);
	return in.len < OA_HTTP_HEADER_MAX ? 0 : -E2BIG;
}

/* Among ordinary lines all control bytes are pairs of CR LF. */
FAST_TARGET long FAST(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h)
{
	const uint8_t *slots = oa_http1_names.slot, *line, *at, *last;
	uint64_t valid = ~0ull;
	uint32_t saw;
	size_t from;

	if (HTTP1_UNLIKELY(in.len < 65))
		return oa_http1_short(in, dir, h);
	fast_clear(h);
	if (!(dir == OA_DIR_REQUEST ? fast_request_line(in, h, &from) : fast_status_line(in, h, &from)))
		return oa_http1_plain(in, dir, h);
	__asm__("" : "+r"(slots)); /* kept in a register */
	saw = http1_saw_nothing(dir, h->version);
	last = in.ptr + in.len - 65; /* with 64 bytes and one for an LF */
	/* A reason phrase is read as a header line without a known name. */
	line = in.ptr + (dir == OA_DIR_REQUEST ? from : 9);
	for (at = in.ptr + from;; at = at + 64 < line ? line : at + 64) {
		if (HTTP1_UNLIKELY(at > last)) {
			if (at >= last + 64)
				return fast_stop(in, dir, h, line);
			valid <<= at - last;
			at = last;
		}
		for (uint64_t low = fast_controls(at) & valid; low; low &= low - 1, low &= low - 1) {
			const uint8_t *cr = at + __builtin_ctzll(low);
			unsigned name;

			if (HTTP1_UNLIKELY(http1_load16(cr) != http1_load16("\r\n")))
				return oa_http1_plain(in, dir, h);
			if (HTTP1_UNLIKELY(*line <= ' ')) /* the blank line, or a fold */
				return line == cr ? fast_end(in, dir, h, saw, cr + 2) : oa_http1_plain(in, dir, h);
			/* The line has a byte and this CR LF at least. */
			name = slots[http1_key(oa_load32(line - 1))];
			if (name)
				saw = fast_line(h, in.ptr, saw, line, cr, last + 57, name);
			line = cr + 2;
		}
	}
}
