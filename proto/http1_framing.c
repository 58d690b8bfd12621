/* What Content-Length, Transfer-Encoding, Connection and Expect say, and what follows from them all (RFC 9112
 * section 6). Where two readers could come to two lengths the message is refused or marked. */
#include <errno.h>

#include "proto/http1_impl.h"
#include "proto/http1_names.h"

/* Takes the next element of a comma list off `rest`, trimmed. returns false when there is none left */
static bool list_next(struct oa_bytes *rest, struct oa_bytes *ret_item)
{
	const uint8_t *comma;
	size_t len;

	if (!rest->ptr)
		return false;
	comma = rest->len ? memchr(rest->ptr, ',', rest->len) : NULL;
	len = comma ? (size_t)(comma - rest->ptr) : rest->len;
	*ret_item = http1_trim(oa_bytes(rest->ptr, len));
	*rest = comma ? oa_bytes(comma + 1, rest->len - len - 1) : oa_bytes(NULL, 0);
	return true;
}

/* Digits only, below 2^63. */
static int parse_decimal(struct oa_bytes text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!text.len)
		return -EPROTO;
	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = text.ptr[i] - '0';

		if (digit > 9 || value > ((uint64_t)INT64_MAX - digit) / 10)
			return -EPROTO;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return 0;
}

static uint32_t take_length(struct oa_http_head *h, uint32_t saw, struct oa_bytes value)
{
	struct oa_bytes item;
	uint64_t length;

	while (list_next(&value, &item)) {
		if (parse_decimal(item, &length) < 0 || (saw & OA_HTTP_HAS_LENGTH && h->length != length))
			return saw | HTTP1_BAD;
		h->length = length;
		saw = http1_saw_length(saw);
	}
	return saw;
}

/* A coding name with optional parameters. Quotes could hide a comma: refused. */
static bool is_coding(struct oa_bytes item)
{
	for (size_t i = 0; i < item.len; i++) {
		uint8_t c = item.ptr[i];

		if (c <= ' ' || c == '"' || c >= 0x7f)
			return false;
		if (c == ';')
			return i > 0 && !memchr(item.ptr, '"', item.len);
	}
	return item.len > 0;
}

static uint32_t take_coding(uint32_t saw, struct oa_bytes value)
{
	struct oa_bytes item;

	while (list_next(&value, &item)) {
		bool chunked = http1_is_word(item, "chunked");

		if ((!chunked && !is_coding(item)) || (chunked && saw & HTTP1_HAD_CHUNKED))
			return saw | HTTP1_BAD;
		saw &= ~OA_HTTP_CHUNKED;
		saw |= HTTP1_CODED | (chunked ? OA_HTTP_CHUNKED | HTTP1_HAD_CHUNKED : 0);
	}
	return saw;
}

static uint32_t connection_option(struct oa_bytes option)
{
	switch (option.len) {
	case 5:
		return http1_is_word(option, "close") ? HTTP1_CLOSE : 0;
	case 7:
		return http1_is_word(option, "upgrade") ? HTTP1_UPGRADE : 0;
	case 10:
		return http1_is_word(option, "keep-alive") ? OA_HTTP_KEEP_ALIVE : 0;
	}
	return 0;
}

static uint32_t take_connection(uint32_t saw, struct oa_bytes value)
{
	struct oa_bytes item;

	while (list_next(&value, &item))
		saw |= connection_option(item);
	return saw;
}

uint32_t oa_http1_take(struct oa_http_head *h, uint32_t saw, unsigned id, struct oa_bytes value)
{
	switch (id) {
	case HTTP1_CONTENT_LENGTH:
		return take_length(h, saw, value);
	case HTTP1_TRANSFER_ENCODING:
		return take_coding(saw, value);
	case HTTP1_CONNECTION:
		return take_connection(saw, value);
	case HTTP1_EXPECT:
		return http1_is_word(value, "100-continue") ? saw | HTTP1_CONTINUE : saw;
	}
	return saw;
}

/* The body of a message with a Transfer-Encoding. */
static uint32_t settle_coded(const struct oa_http_head *h, enum oa_dir dir, uint32_t saw)
{
	if (saw & OA_HTTP_HAS_LENGTH || h->version == 10)
		saw |= OA_HTTP_AMBIGUOUS;
	saw &= ~(OA_HTTP_HAS_LENGTH | OA_HTTP_NO_BODY | OA_HTTP_UNTIL_CLOSE);
	if (saw & OA_HTTP_CHUNKED)
		return saw;
	return saw | (dir == OA_DIR_REQUEST ? HTTP1_BAD : OA_HTTP_UNTIL_CLOSE);
}

uint32_t oa_http1_settle(const struct oa_http_head *h, enum oa_dir dir, uint32_t saw)
{
	if (saw & HTTP1_CODED)
		saw = settle_coded(h, dir, saw);
	if (saw & HTTP1_CLOSE)
		saw &= ~OA_HTTP_KEEP_ALIVE;
	if (dir == OA_DIR_RESPONSE)
		return saw;
	if (saw & HTTP1_CONTINUE)
		saw |= OA_HTTP_EXPECT;
	if (saw & HTTP1_UPGRADE && h->field[OA_FIELD_upgrade].len)
		saw |= OA_HTTP_UPGRADE;
	return saw;
}
