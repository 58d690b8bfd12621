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

static int take_length(struct http1_reading *r, struct oa_bytes value)
{
	struct oa_bytes item;
	uint64_t length;

	if (!r->has_length && parse_decimal(value, &r->length) == 0) {
		r->has_length = true;
		return 0;
	}
	while (list_next(&value, &item)) {
		if (parse_decimal(item, &length) < 0 || (r->has_length && r->length != length))
			return -EPROTO;
		r->length = length;
		r->has_length = true;
	}
	return 0;
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

static int take_coding(struct http1_reading *r, struct oa_bytes value)
{
	struct oa_bytes item;

	while (list_next(&value, &item)) {
		bool chunked = oa_bytes_ieq(item, OA_LIT("chunked"));

		if (!is_coding(item) || (chunked && r->had_chunked))
			return -EPROTO;
		r->had_chunked |= chunked;
		r->coding = chunked ? HTTP1_CHUNKED : HTTP1_OTHER_CODING;
	}
	return 0;
}

static void take_option(struct http1_reading *r, struct oa_bytes option)
{
	switch (option.len) {
	case 5:
		r->close |= oa_bytes_ieq(option, OA_LIT("close"));
		break;
	case 7:
		r->upgrade |= oa_bytes_ieq(option, OA_LIT("upgrade"));
		break;
	case 10:
		r->keep_alive |= memcmp(option.ptr, "keep-alive", 10) == 0 ||
				 oa_bytes_ieq(option, OA_LIT("keep-alive"));
		break;
	}
}

static void take_connection(struct http1_reading *r, struct oa_bytes value)
{
	struct oa_bytes item;

	while (list_next(&value, &item))
		take_option(r, item);
}

int oa_http1_take(struct http1_reading *r, unsigned id, struct oa_bytes value)
{
	switch (id) {
	case HTTP1_CONTENT_LENGTH:
		return take_length(r, value);
	case HTTP1_TRANSFER_ENCODING:
		return take_coding(r, value);
	case HTTP1_CONNECTION:
		take_connection(r, value);
		return 0;
	case HTTP1_EXPECT:
		r->expect |= oa_bytes_ieq(value, OA_LIT("100-continue"));
		return 0;
	}
	return 0;
}

static bool status_has_no_body(unsigned status)
{
	return status < 200 || status == 204 || status == 304;
}

/* The body of a response, once it is known that there is one. */
static unsigned response_body(const struct http1_reading *r)
{
	switch (r->coding) {
	case HTTP1_CHUNKED:
		return OA_HTTP_CHUNKED;
	case HTTP1_OTHER_CODING:
		return OA_HTTP_UNTIL_CLOSE;
	}
	return r->has_length ? OA_HTTP_HAS_LENGTH : OA_HTTP_UNTIL_CLOSE;
}

static unsigned request_body(const struct http1_reading *r)
{
	if (r->coding)
		return OA_HTTP_CHUNKED;
	return r->has_length ? OA_HTTP_HAS_LENGTH : OA_HTTP_NO_BODY;
}

int oa_http1_frame(const struct http1_reading *r, enum oa_dir dir)
{
	struct oa_http_head *h = r->head;
	unsigned flags = h->flags;

	if (dir == OA_DIR_REQUEST) {
		if (r->coding == HTTP1_OTHER_CODING)
			return -EPROTO;
		flags |= request_body(r);
		flags |= r->expect ? OA_HTTP_EXPECT : 0;
		flags |= r->upgrade && h->field[OA_FIELD_upgrade].len ? OA_HTTP_UPGRADE : 0;
	} else {
		flags |= response_body(r);
		flags |= h->status == 101 ? OA_HTTP_UPGRADE : 0;
	}
	flags |= r->coding && (r->has_length || h->version == 10) ? OA_HTTP_AMBIGUOUS : 0;
	flags |= !r->close && (h->version == 11 || r->keep_alive) ? OA_HTTP_KEEP_ALIVE : 0;
	h->flags = (uint16_t)flags;
	h->length = r->has_length ? r->length : 0;
	h->nl = r->bare_lf ? 1 : 2;
	if (dir == OA_DIR_RESPONSE && status_has_no_body(h->status))
		oa_http1_no_body(h);
	return 0;
}

void oa_http1_no_body(struct oa_http_head *h)
{
	h->flags = (uint16_t)((h->flags & ~(OA_HTTP_CHUNKED | OA_HTTP_UNTIL_CLOSE)) | OA_HTTP_NO_BODY);
}
