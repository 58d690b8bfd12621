/* Bodies: counted lengths, chunks (RFC 9112 section 7), until close. Chunk lines and trailers are read byte by
 * byte as they come; nothing of them is kept but the size and how long they are. */
#include <errno.h>

#include "proto/http1_impl.h"

static int hex_digit(uint8_t c)
{
	if ((uint8_t)(c - '0') < 10)
		return c - '0';
	c |= 0x20;
	return (uint8_t)(c - 'a') < 6 ? c - 'a' + 10 : -1;
}

static bool is_text(uint8_t c)
{
	return c >= 0x20 || c == '\t';
}

static int after_size_line(struct http1_state *st)
{
	st->seen = 0;
	st->phase = st->left ? HTTP1_CHUNK_DATA : HTTP1_TRAILER;
	return 0;
}

/* Ends a size line at `c`, or moves on to what may stand between size and line end. */
static int chunk_separator(struct http1_state *st, uint8_t c)
{
	switch (c) {
	case '\n':
		return after_size_line(st);
	case '\r':
		st->phase = HTTP1_CHUNK_LF;
		return 0;
	case ';':
		st->phase = HTTP1_CHUNK_EXT;
		return 0;
	case ' ':
	case '\t':
		st->phase = HTTP1_CHUNK_PAD;
		return 0;
	}
	return -EPROTO;
}

static int chunk_size(struct http1_state *st, uint8_t c)
{
	int digit = hex_digit(c);

	if (digit < 0)
		return st->phase == HTTP1_CHUNK_FIRST ? -EPROTO : chunk_separator(st, c);
	if (st->left >> 59)
		return -EPROTO;
	st->left = st->left << 4 | (unsigned)digit;
	st->phase = HTTP1_CHUNK_SIZE;
	return 0;
}

static int chunk_extension(struct http1_state *st, uint8_t c)
{
	if (c == '\r' || c == '\n')
		return chunk_separator(st, c);
	return is_text(c) ? 0 : -EPROTO;
}

static int data_end(struct http1_state *st, uint8_t c)
{
	if (c == '\r' && st->phase == HTTP1_DATA_END) {
		st->phase = HTTP1_DATA_LF;
		return 0;
	}
	st->phase = HTTP1_CHUNK_FIRST;
	st->seen = 0;
	return c == '\n' ? 0 : -EPROTO;
}

static int trailer(struct http1_state *st, uint8_t c)
{
	bool first = st->phase == HTTP1_TRAILER;

	if (c == '\r')
		st->phase = first ? HTTP1_TRAILER_LAST : HTTP1_TRAILER_LF;
	else if (c == '\n')
		st->phase = first ? HTTP1_START : HTTP1_TRAILER;
	else if (is_text(c))
		st->phase = HTTP1_TRAILER_TEXT;
	else
		return -EPROTO;
	return 0;
}

static int line_feed_due(struct http1_state *st, uint8_t c)
{
	if (c != '\n')
		return -EPROTO;
	if (st->phase == HTTP1_CHUNK_LF)
		return after_size_line(st);
	st->phase = st->phase == HTTP1_TRAILER_LAST ? HTTP1_START : HTTP1_TRAILER;
	return 0;
}

/* One byte of chunk framing. */
static int chunk_byte(struct http1_state *st, uint8_t c)
{
	switch (st->phase) {
	case HTTP1_CHUNK_FIRST:
	case HTTP1_CHUNK_SIZE:
		return chunk_size(st, c);
	case HTTP1_CHUNK_PAD:
		return chunk_separator(st, c);
	case HTTP1_CHUNK_EXT:
		return chunk_extension(st, c);
	case HTTP1_DATA_END:
	case HTTP1_DATA_LF:
		return data_end(st, c);
	case HTTP1_TRAILER:
	case HTTP1_TRAILER_TEXT:
		return trailer(st, c);
	}
	return line_feed_due(st, c);
}

static bool in_trailer(const struct http1_state *st)
{
	return st->phase >= HTTP1_TRAILER;
}

/* Chunk framing up to the next data or the end of the message. returns bytes taken, -EPROTO, -E2BIG */
static long chunk_framing(struct http1_state *st, struct oa_bytes in)
{
	size_t at = 0;

	while (at < in.len && st->phase != HTTP1_CHUNK_DATA && st->phase != HTTP1_START) {
		uint32_t max = in_trailer(st) ? OA_HTTP_HEADER_MAX : OA_HTTP_LINE_MAX;

		if (++st->seen > max)
			return -E2BIG;
		if (chunk_byte(st, in.ptr[at++]) < 0)
			return -EPROTO;
	}
	return (long)at;
}

uint64_t oa_http1_take_data(struct http1_state *st, uint64_t len)
{
	if (st->phase == HTTP1_UNTIL_CLOSE)
		return len;
	if (len > st->left)
		len = st->left;
	st->left -= len;
	if (!st->left)
		st->phase = st->phase == HTTP1_LENGTH ? HTTP1_START : HTTP1_DATA_END;
	return len;
}

static bool in_data(const struct http1_state *st)
{
	return st->phase == HTTP1_LENGTH || st->phase == HTTP1_UNTIL_CLOSE || st->phase == HTTP1_CHUNK_DATA;
}

void oa_http1_report(const struct oa_sink *sink, uint64_t body, bool end)
{
	struct oa_event ev = { .type = OA_EVENT_BODY, .u.body_bytes = body };

	if (body)
		sink->event(sink->ctx, &ev);
	ev = (struct oa_event){ .type = OA_EVENT_END };
	if (end)
		sink->event(sink->ctx, &ev);
}

long oa_http1_body(struct http1_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	uint64_t body = 0;
	size_t at = 0;
	long n = 0;

	while (at < in.len && st->phase != HTTP1_START && n >= 0) {
		if (in_data(st)) {
			n = (long)oa_http1_take_data(st, in.len - at);
			body += (uint64_t)n;
		} else {
			n = chunk_framing(st, oa_bytes(in.ptr + at, in.len - at));
		}
		at += n > 0 ? (size_t)n : 0;
	}
	if (st->phase == HTTP1_START)
		st->seen = 0;
	oa_http1_report(sink, body, st->phase == HTTP1_START && n >= 0);
	return n < 0 ? n : (long)at;
}
