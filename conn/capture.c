/* Forwarded (RFC 7239) and X-Forwarded-*, first hop only; and the allow-listed headers. */
#include "conn/capture.h"
#include "conn/proxied.h"
#include "core/buf.h"
#include "core/config.h"

static struct oa_bytes cap_unquote(struct oa_bytes v)
{
	if (v.len >= 2 && v.ptr[0] == '"' && v.ptr[v.len - 1] == '"')
		return oa_bytes(v.ptr + 1, v.len - 2);
	return v;
}

static struct oa_bytes cap_until(struct oa_bytes v, char sep)
{
	const uint8_t *at = memchr(v.ptr, sep, v.len);

	return at ? oa_bytes(v.ptr, (size_t)(at - v.ptr)) : v;
}

static const struct {
	struct oa_bytes name;
	enum oa_str str;
} cap_pairs[] = {
	{ { (const uint8_t *)"for", 3 }, OA_STR_FWD_FOR },
	{ { (const uint8_t *)"proto", 5 }, OA_STR_FWD_PROTO },
	{ { (const uint8_t *)"host", 4 }, OA_STR_FWD_HOST },
};

static void cap_rfc7239(struct oa_exchange *ex, struct oa_bytes value)
{
	struct oa_bytes rest = cap_until(value, ','); /* first hop */

	while (rest.len) {
		struct oa_bytes part = cap_until(rest, ';'), name = cap_until(part, '=');

		rest = part.len < rest.len ? oa_bytes(part.ptr + part.len + 1, rest.len - part.len - 1) :
					     oa_bytes(rest.ptr, 0);
		for (unsigned i = 0; i < 3; i++)
			if (name.len < part.len && oa_bytes_ieq(oa_bytes_trim(name), cap_pairs[i].name))
				oa_exchange_set_str(ex, cap_pairs[i].str,
						    oa_bytes_cut(cap_unquote(oa_bytes_trim(oa_bytes(
									 part.ptr + name.len + 1,
									 part.len - name.len - 1))), 255));
	}
}

static void cap_first(struct oa_exchange *ex, const struct oa_http_head *h, enum oa_http_field field, enum oa_str str)
{
	struct oa_bytes v = oa_bytes_trim(cap_until(oa_http_field(h, field), ','));

	if (!oa_span_str(oa_exchange_span(ex), str).len)
		oa_exchange_set_str(ex, str, oa_bytes_cut(v, 255));
}

OA_COLD void oa_capture_forwarded_found(const struct oa_conn *c, struct oa_exchange *ex, const struct oa_http_head *h)
{
	if (h->field[OA_FIELD_forwarded].len)
		cap_rfc7239(ex, oa_http_field(h, OA_FIELD_forwarded));
	if (h->field[OA_FIELD_forwarded_for].len)
		cap_first(ex, h, OA_FIELD_forwarded_for, OA_STR_FWD_FOR);
	if (h->field[OA_FIELD_forwarded_proto].len)
		cap_first(ex, h, OA_FIELD_forwarded_proto, OA_STR_FWD_PROTO);
	if (h->field[OA_FIELD_forwarded_host].len)
		cap_first(ex, h, OA_FIELD_forwarded_host, OA_STR_FWD_HOST);
	if (!oa_span_str(oa_exchange_span(ex), OA_STR_FWD_FOR).len)
		oa_exchange_set_str(ex, OA_STR_PROXIED, oa_proxied_client(c));
}

static bool cap_listed(const char *list, struct oa_bytes name)
{
	if (!name.len) /* HTTP/2's pseudo fields */
		return false;
	while (*list) {
		size_t len = strcspn(list, ",");
		struct oa_bytes item = oa_bytes_trim(oa_bytes(list, len));

		if (item.len == name.len) {
			size_t i = 0;

			while (i < name.len && oa_lower(item.ptr[i]) == oa_lower(name.ptr[i]))
				i++;
			if (i == name.len)
				return true;
		}
		list += len + (list[len] == ',');
	}
	return false;
}

static void cap_append(struct oa_buf *buf, enum oa_dir dir, struct oa_bytes name, struct oa_bytes value)
{
	uint16_t len;
	uint8_t head[4];

	name = oa_bytes_cut(name, 128);
	value = oa_bytes_cut(value, OA_HEADER_TEXT_MAX);
	if (buf->cap - buf->len < sizeof(head) + name.len + value.len)
		return;
	len = (uint16_t)value.len;
	head[0] = dir == OA_DIR_RESPONSE;
	head[1] = (uint8_t)name.len;
	memcpy(head + 2, &len, 2);
	oa_buf_put(buf, oa_bytes(head, sizeof(head)));
	for (size_t i = 0; i < name.len; i++)
		buf->ptr[buf->len++] = oa_lower(name.ptr[i]);
	oa_buf_put(buf, value);
}

OA_COLD void oa_capture_listed(struct oa_exchange *ex, const struct oa_http_head *h, enum oa_dir dir, const char *list)
{
	int64_t block = oa_block_take(2);
	struct oa_bytes name, value;
	struct oa_buf buf;
	size_t pos = 0;

	if (block < 0)
		return;
	buf = oa_buf(oa_block_at(2, (uint32_t)block), oa_block_bytes[2] / 2);
	oa_buf_put(&buf, oa_span_str(oa_exchange_span(ex), OA_STR_HEADERS)); /* the request's, when this is the response */
	while (oa_http1_line_next(h, &pos, &name, &value))
		if (cap_listed(list, name))
			cap_append(&buf, dir, name, value);
	oa_exchange_set_str(ex, OA_STR_HEADERS, oa_buf_bytes(&buf));
	oa_block_give(2, (uint32_t)block);
}
