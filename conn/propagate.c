/* Parsing and writing of context headers. */
#include "conn/propagate.h"
#include "core/config.h"
#include "core/id.h"

/* Bits of oa_config.propagators, in the order of config.def. */
enum { PROP_W3C = 1, PROP_BAGGAGE = 2, PROP_B3 = 4, PROP_B3MULTI = 8, PROP_JAEGER = 16, PROP_XRAY = 32 };

static bool prop_on(unsigned bits)
{
	return oa_config.propagators & bits;
}

static bool id_is_zero(const uint8_t *id, unsigned len)
{
	uint8_t any = 0;

	while (len--)
		any |= id[len];
	return !any;
}

/* Remembers where a 16 digit span id stands. */
static void prop_span_at(const struct oa_http_head *h, struct oa_bytes span, struct oa_remote *ret)
{
	if (span.len == 16)
		ret->span_at = (struct oa_slice){ (uint32_t)(span.ptr - h->block.ptr), 16 };
}

/* Hex of up to 2*len digits, either case, left-padded with zeros. */
static bool prop_unhex_padded(uint8_t *ret_id, unsigned len, struct oa_bytes text)
{
	uint8_t digits[32];

	if (!text.len || text.len > 2 * len)
		return false;
	memset(digits, '0', 2 * len);
	for (size_t i = 0; i < text.len; i++)
		digits[2 * len - text.len + i] = oa_lower(text.ptr[i]);
	return !oa_unhex(ret_id, digits, len) && !id_is_zero(ret_id, len);
}

/* -- W3C -- */

/* A version or flags that not everybody sends. returns false when the field is none */
static OA_COLD bool prop_odd_traceparent(struct oa_bytes v, uint8_t *ret_flags)
{
	uint8_t version;

	if (oa_unhex(&version, v.ptr, 1) || version == 0xff || oa_unhex(ret_flags, v.ptr + 53, 1))
		return false;
	return v.len == 55 || (version != 0 && v.ptr[55] == '-');
}

static inline bool prop_parse_traceparent(struct oa_bytes v, struct oa_remote *ret)
{
	uint64_t trace[2], parent;
	uint8_t flags;

	if (v.len < 55 || v.ptr[2] != '-' || v.ptr[35] != '-' || v.ptr[52] != '-')
		return false;
	flags = v.ptr[54] - (uint8_t)'0';
	if (OA_UNLIKELY(v.len != 55 || v.ptr[0] != '0' || v.ptr[1] != '0' || v.ptr[53] != '0' || flags > 3) &&
	    !prop_odd_traceparent(v, &flags))
		return false;
	if (!oa_unhex8(trace, v.ptr + 3) || !oa_unhex8(trace + 1, v.ptr + 19) || !oa_unhex8(&parent, v.ptr + 36))
		return false;
	if (!(trace[0] | trace[1]) || !parent)
		return false;
	memcpy(ret->trace_id, &trace[0], 8); /* as they will be read: a load of both would wait for the stores */
	memcpy(ret->trace_id + 8, &trace[1], 8);
	memcpy(ret->parent_id, &parent, 8);
	ret->flags = flags & 3;
	ret->sampled = flags & 1;
	ret->decided = ret->w3c = true;
	return true;
}

static inline bool prop_read_w3c(const struct oa_http_head *h, struct oa_remote *ret)
{
	struct oa_slice at = h->field[OA_FIELD_traceparent];

	if (!at.len || (h->flags & OA_HTTP_MULTI_PARENT) || !prop_parse_traceparent(oa_http_slice(h, at), ret))
		return false;
	ret->span_at = (struct oa_slice){ at.off + 36, 16 };
	return true;
}

OA_COLD bool oa_propagate_parse(struct oa_bytes traceparent, struct oa_remote *ret)
{
	memset(ret, 0, sizeof(*ret));
	return prop_parse_traceparent(traceparent, ret);
}

static bool prop_extract_w3c(const struct oa_http_head *h, struct oa_remote *ret)
{
	return prop_read_w3c(h, ret);
}

/* -- B3 -- */

/* returns false for a state that is none */
static bool prop_b3_state(struct oa_bytes state, struct oa_remote *ret)
{
	bool yes = oa_bytes_eq(state, OA_LIT("1")) || oa_bytes_eq(state, OA_LIT("d")) || oa_bytes_eq(state, OA_LIT("true"));
	bool no = oa_bytes_eq(state, OA_LIT("0")) || oa_bytes_eq(state, OA_LIT("false"));

	if (!yes && !no)
		return false;
	ret->decided = true;
	ret->sampled = yes;
	ret->flags = yes;
	return true;
}

/* Next part of a '-' or ':' separated list. */
static struct oa_bytes prop_part(struct oa_bytes *rest, char sep)
{
	const uint8_t *at = memchr(rest->ptr, sep, rest->len);
	struct oa_bytes part = *rest;

	if (!at) {
		*rest = oa_bytes(rest->ptr + rest->len, 0);
		return part;
	}
	part.len = (size_t)(at - rest->ptr);
	*rest = oa_bytes(at + 1, rest->len - part.len - 1);
	return part;
}

/* Broken ids make the whole header, its decision too, as good as absent. */
static bool prop_b3_ids(const struct oa_http_head *h, struct oa_bytes trace, struct oa_bytes span, struct oa_remote *ret)
{
	if ((trace.len == 16 || trace.len == 32) && span.len == 16 && prop_unhex_padded(ret->trace_id, 16, trace) &&
	    prop_unhex_padded(ret->parent_id, 8, span)) {
		prop_span_at(h, span, ret);
		return true;
	}
	ret->decided = false;
	return false;
}

static bool prop_extract_b3(const struct oa_http_head *h, struct oa_remote *ret)
{
	struct oa_bytes rest = oa_http_field(h, OA_FIELD_b3);
	struct oa_bytes trace, span;

	if (!rest.len)
		return false;
	if (rest.len == 1) { /* a lone decision without ids */
		(void)prop_b3_state(rest, ret);
		return false;
	}
	trace = prop_part(&rest, '-');
	span = prop_part(&rest, '-');
	if (rest.len && !prop_b3_state(prop_part(&rest, '-'), ret))
		return false;
	return prop_b3_ids(h, trace, span, ret);
}

static bool prop_extract_b3multi(const struct oa_http_head *h, struct oa_remote *ret)
{
	struct oa_bytes trace = oa_http_field(h, OA_FIELD_b3_trace), span = oa_http_field(h, OA_FIELD_b3_span);

	(void)prop_b3_state(oa_http_field(h, OA_FIELD_b3_sampled), ret);
	if (oa_bytes_eq(oa_http_field(h, OA_FIELD_b3_flags), OA_LIT("1")))
		(void)prop_b3_state(OA_LIT("d"), ret);
	return (trace.len || span.len) && prop_b3_ids(h, trace, span, ret);
}

/* -- Jaeger and X-Ray -- */

/* Some proxies percent-encode the colons. */
static struct oa_bytes prop_unescape_colons(struct oa_bytes v, uint8_t *buf, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < v.len && n < cap; i++) {
		if (i + 2 < v.len && v.ptr[i] == '%' && v.ptr[i + 1] == '3' && (v.ptr[i + 2] | 0x20) == 'a') {
			buf[n++] = ':';
			i += 2;
		} else {
			buf[n++] = v.ptr[i];
		}
	}
	return oa_bytes(buf, n);
}

static bool prop_extract_jaeger(const struct oa_http_head *h, struct oa_remote *ret)
{
	uint8_t buf[96], flags;
	struct oa_bytes rest = prop_unescape_colons(oa_http_field(h, OA_FIELD_jaeger), buf, sizeof(buf));
	struct oa_bytes trace = prop_part(&rest, ':'), span = prop_part(&rest, ':');

	prop_part(&rest, ':'); /* parent span, deprecated */
	if (!prop_unhex_padded(ret->trace_id, 16, trace) || !prop_unhex_padded(ret->parent_id, 8, span))
		return false;
	if (!rest.len || rest.len > 2)
		return false;
	if (!prop_unhex_padded(&flags, 1, rest)) { /* none set is no id, but it is a decision */
		if (!oa_bytes_eq(rest, OA_LIT("0")) && !oa_bytes_eq(rest, OA_LIT("00")))
			return false;
		flags = 0;
	}
	ret->decided = true;
	ret->flags = flags & 1;
	ret->sampled = ret->flags;
	return true;
}

static bool prop_extract_xray(const struct oa_http_head *h, struct oa_remote *ret)
{
	struct oa_bytes rest = oa_http_field(h, OA_FIELD_xray);
	bool trace = false, span = false;

	while (rest.len) {
		struct oa_bytes part = oa_bytes_trim(prop_part(&rest, ';'));
		struct oa_bytes key = prop_part(&part, '=');

		if (oa_bytes_eq(key, OA_LIT("Root")) && part.len == 35 && part.ptr[0] == '1' && part.ptr[1] == '-' &&
		    part.ptr[10] == '-')
			trace = !oa_unhex(ret->trace_id, part.ptr + 2, 4) &&
				!oa_unhex(ret->trace_id + 4, part.ptr + 11, 12) && !id_is_zero(ret->trace_id, 16);
		else if (oa_bytes_eq(key, OA_LIT("Parent")))
			span = part.len == 16 && prop_unhex_padded(ret->parent_id, 8, part);
		else if (oa_bytes_eq(key, OA_LIT("Sampled")) && part.len == 1 && part.ptr[0] != '?')
			(void)prop_b3_state(part, ret);
	}
	return trace && span;
}

/* -- all of them -- */

static const struct {
	unsigned bit;
	bool (*extract)(const struct oa_http_head *, struct oa_remote *);
} prop_formats[] = {
	{ PROP_W3C, prop_extract_w3c },
	{ PROP_B3 | PROP_B3MULTI, prop_extract_b3 },
	{ PROP_B3 | PROP_B3MULTI, prop_extract_b3multi },
	{ PROP_JAEGER, prop_extract_jaeger },
	{ PROP_XRAY, prop_extract_xray },
};

static OA_COLD void prop_extract_any(const struct oa_http_head *h, struct oa_remote *ret)
{
	struct oa_remote found;

	for (unsigned i = 0; i < sizeof(prop_formats) / sizeof(*prop_formats); i++) {
		if (!prop_on(prop_formats[i].bit))
			continue;
		memset(&found, 0, sizeof(found));
		if (prop_formats[i].extract(h, &found)) {
			*ret = found;
			ret->valid = true;
			return;
		}
		if (found.decided && !found.w3c) { /* b3: 0 without ids denies all the same */
			ret->decided = true;
			ret->sampled = found.sampled;
		}
	}
}

OA_HOT OA_NOINLINE void oa_propagate_extract(const struct oa_http_head *h, struct oa_remote *ret)
{
	*ret = (struct oa_remote){ 0 };
	if (OA_LIKELY(prop_on(PROP_W3C) && prop_read_w3c(h, ret)))
		ret->valid = true;
	else if (prop_on(~(unsigned)(PROP_W3C | PROP_BAGGAGE)))
		prop_extract_any(h, ret);
}

/* There, if only with an empty value. */
static bool prop_has(const struct oa_http_head *h, enum oa_http_field field)
{
	return h->field[field].off || h->field[field].len;
}

OA_HOT bool oa_propagate_present(const struct oa_http_head *h)
{
	return (prop_on(PROP_W3C) && prop_has(h, OA_FIELD_traceparent)) ||
	       (prop_on(PROP_B3 | PROP_B3MULTI) && (prop_has(h, OA_FIELD_b3) || prop_has(h, OA_FIELD_b3_trace))) ||
	       (prop_on(PROP_JAEGER) && prop_has(h, OA_FIELD_jaeger)) || (prop_on(PROP_XRAY) && prop_has(h, OA_FIELD_xray));
}

/* -- lists -- */

static bool ts_key_char(uint8_t c)
{
	return (uint8_t)(c - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
}

static bool ts_member_valid(struct oa_bytes m)
{
	struct oa_bytes key = prop_part(&m, '=');

	if (!key.len || key.len > 256 || !m.len || m.len > 256)
		return false;
	if (!((uint8_t)(key.ptr[0] - 'a') < 26 || (uint8_t)(key.ptr[0] - '0') < 10))
		return false;
	for (size_t i = 0; i < key.len; i++)
		if (!ts_key_char(key.ptr[i]))
			return false;
	for (size_t i = 0; i < m.len; i++)
		if (m.ptr[i] < 0x20 || m.ptr[i] > 0x7e || m.ptr[i] == '=')
			return false;
	return true;
}

bool oa_tracestate_valid(struct oa_bytes list)
{
	unsigned members = 0;

	while (list.len) {
		struct oa_bytes m = oa_bytes_trim(prop_part(&list, ','));

		if (!m.len)
			continue;
		if (++members > 32 || !ts_member_valid(m))
			return false;
	}
	return members > 0;
}

/* Appends whole members of one header value. */
static void prop_append_members(struct oa_bytes value, struct oa_buf *out)
{
	while (value.len && !out->full) {
		struct oa_bytes m = oa_bytes_trim(prop_part(&value, ','));

		if (!m.len)
			continue;
		if (m.len + 1 > out->cap - out->len) {
			out->full = true;
			return;
		}
		if (out->len)
			oa_buf_put(out, OA_LIT(","));
		oa_buf_put(out, m);
	}
}

static const struct oa_bytes *prop_list_name(enum oa_http_field field)
{
	static const struct oa_bytes tracestate = { (const uint8_t *)"tracestate", 10 };
	static const struct oa_bytes baggage = { (const uint8_t *)"baggage", 7 };

	return field == OA_FIELD_tracestate ? &tracestate : &baggage;
}

bool oa_propagate_join(const struct oa_http_head *h, enum oa_http_field field, struct oa_buf *out)
{
	struct oa_bytes name, value;
	size_t pos = 0;

	if (!(h->flags & OA_HTTP_REPEATED))
		prop_append_members(oa_http_field(h, field), out);
	else
		while (oa_http1_line_next(h, &pos, &name, &value))
			if (oa_bytes_ieq(name, *prop_list_name(field)))
				prop_append_members(value, out);
	if (field == OA_FIELD_tracestate)
		return oa_tracestate_valid(oa_buf_bytes(out));
	return out->len > 0;
}

/* -- writing -- */

static void put_hex(struct oa_buf *out, const uint8_t *id, unsigned len)
{
	char text[32];

	oa_hex(text, id, len);
	oa_buf_put(out, oa_bytes(text, 2 * len));
}

OA_HOT void oa_propagate_value(const uint8_t trace_id[16], const uint8_t span_id[8], uint8_t flags, char ret[OA_TRACEPARENT])
{
	memcpy(ret, "00-", 3);
	oa_hex8(ret + 3, trace_id);
	oa_hex8(ret + 19, trace_id + 8);
	ret[35] = '-';
	oa_hex8(ret + 36, span_id);
	ret[52] = '-';
	oa_hex(ret + 53, &flags, 1);
}

void oa_propagate_exchange(const struct oa_exchange *ex, char ret[OA_TRACEPARENT])
{
	const struct oa_span *s = oa_exchange_span(ex);

	oa_propagate_value(s->trace_id, s->span_id,
			   (s->flags & OA_SPAN_SAMPLED ? 1 : 0) | (s->flags & OA_SPAN_RANDOM ? 2 : 0), ret);
}

static void put_w3c(const struct oa_context *c, struct oa_buf *out)
{
	char value[OA_TRACEPARENT];

	oa_propagate_value(c->trace_id, c->span_id, (uint8_t)((c->flags & 2) | c->sampled), value);
	oa_buf_put(out, OA_LIT("traceparent: "));
	oa_buf_put(out, oa_bytes(value, sizeof(value)));
	oa_buf_put(out, OA_LIT("\r\n"));
	if (!c->tracestate.len)
		return;
	oa_buf_put(out, OA_LIT("tracestate: "));
	oa_buf_put(out, c->tracestate);
	oa_buf_put(out, OA_LIT("\r\n"));
}

static void put_b3(const struct oa_context *c, struct oa_buf *out)
{
	oa_buf_put(out, OA_LIT("b3: "));
	put_hex(out, c->trace_id, 16);
	oa_buf_put(out, OA_LIT("-"));
	put_hex(out, c->span_id, 8);
	oa_buf_put(out, c->sampled ? OA_LIT("-1\r\n") : OA_LIT("-0\r\n"));
}

static void put_b3multi(const struct oa_context *c, struct oa_buf *out)
{
	oa_buf_put(out, OA_LIT("x-b3-traceid: "));
	put_hex(out, c->trace_id, 16);
	oa_buf_put(out, OA_LIT("\r\nx-b3-spanid: "));
	put_hex(out, c->span_id, 8);
	oa_buf_put(out, c->sampled ? OA_LIT("\r\nx-b3-sampled: 1\r\n") : OA_LIT("\r\nx-b3-sampled: 0\r\n"));
}

static void put_jaeger(const struct oa_context *c, struct oa_buf *out)
{
	oa_buf_put(out, OA_LIT("uber-trace-id: "));
	put_hex(out, c->trace_id, 16);
	oa_buf_put(out, OA_LIT(":"));
	put_hex(out, c->span_id, 8);
	oa_buf_put(out, c->sampled ? OA_LIT(":0:1\r\n") : OA_LIT(":0:0\r\n"));
}

static void put_xray(const struct oa_context *c, struct oa_buf *out)
{
	oa_buf_put(out, OA_LIT("X-Amzn-Trace-Id: Root=1-"));
	put_hex(out, c->trace_id, 4);
	oa_buf_put(out, OA_LIT("-"));
	put_hex(out, c->trace_id + 4, 12);
	oa_buf_put(out, OA_LIT(";Parent="));
	put_hex(out, c->span_id, 8);
	oa_buf_put(out, c->sampled ? OA_LIT(";Sampled=1\r\n") : OA_LIT(";Sampled=0\r\n"));
}

OA_HOT void oa_propagate_inject(const struct oa_context *c, struct oa_buf *out)
{
	if (prop_on(PROP_W3C))
		put_w3c(c, out);
	if (prop_on(PROP_B3))
		put_b3(c, out);
	if (prop_on(PROP_B3MULTI))
		put_b3multi(c, out);
	if (prop_on(PROP_JAEGER))
		put_jaeger(c, out);
	if (prop_on(PROP_XRAY))
		put_xray(c, out);
	if (prop_on(PROP_BAGGAGE) && c->baggage.len) {
		oa_buf_put(out, OA_LIT("baggage: "));
		oa_buf_put(out, c->baggage);
		oa_buf_put(out, OA_LIT("\r\n"));
	}
}
