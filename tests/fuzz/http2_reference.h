#pragma once
/* A second reading of HTTP/2, as plain as possible: everything at once, headers decoded by libnghttp2, every field kept.
 * What it says must be what proto/http2.c says. */
#include <nghttp2/nghttp2.h>

#include "tests/fuzz/http2_print.h"

#define REF_JOINED_MAX 66000

struct ref2 {
	struct oa_bytes in;
	enum oa_dir dir;
	bool eof;
	struct feed_text *t;
	nghttp2_hd_inflater *inflater;
	size_t at;
	uint32_t last_stream, body_stream;
	uint64_t body;
	uint8_t joined[REF_JOINED_MAX], texts[4 * REF_JOINED_MAX];
};

static inline void ref2_flush(struct ref2 *r)
{
	if (r->body) {
		feed_puts(r->t, "BODY ");
		feed_put_number(r->t, r->body_stream);
		feed_puts(r->t, " ");
		feed_put_number(r->t, r->body);
		feed_puts(r->t, "\n");
	}
	r->body = 0;
}

static inline uint32_t ref2_be(const uint8_t *p, unsigned n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static inline bool ref2_control(struct oa_bytes v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.ptr[i] < 0x20)
			return true;
	return false;
}

static inline int ref2_index(struct oa_bytes name)
{
	for (int i = 0; i < HTTP2_TEXT_COUNT; i++)
		if (oa_bytes_eq(name, oa_bytes_str(http2_text_names[i])))
			return i;
	return oa_bytes_eq(name, OA_LIT(":authority")) ? -2 : oa_bytes_eq(name, OA_LIT(":status")) ? -3 : -1;
}

struct ref2_head {
	struct http2_shown s;
	bool has[HTTP2_TEXT_COUNT], authority, status, regular;
	int last; /* kind of the kept field before */
	size_t used;
};

static inline void ref2_status(struct ref2_head *h, struct oa_bytes v)
{
	if (v.len != 3 || v.ptr[0] < '1' || v.ptr[0] > '9' || v.ptr[1] < '0' || v.ptr[1] > '9' || v.ptr[2] < '0' ||
	    v.ptr[2] > '9') {
		h->s.malformed = true;
		return;
	}
	h->s.status = (unsigned)((v.ptr[0] - '0') * 100 + (v.ptr[1] - '0') * 10 + v.ptr[2] - '0');
	h->status = true;
}

static inline void ref2_field(struct ref2 *r, struct ref2_head *h, struct oa_bytes name, struct oa_bytes value,
			      bool plain)
{
	int i = ref2_index(name), before = h->last;
	uint8_t *to = r->texts + h->used;

	if (i < -1 || i == HTTP2_TEXT_METHOD || i == HTTP2_TEXT_TARGET || i == HTTP2_TEXT_SCHEME ||
	    i == HTTP2_TEXT_PROTOCOL)
		h->s.malformed |= h->regular;
	else
		h->regular = true;
	if (i == -1)
		return;
	if (i == OA_FIELD_traceparent && plain)
		h->s.parent_plain = true;
	if (ref2_control(value)) {
		h->s.malformed = true;
		return;
	}
	h->last = i;
	memcpy(to, value.ptr, value.len);
	h->used += value.len;
	value.ptr = to;
	if (i == -3) {
		ref2_status(h, value);
		return;
	}
	if (i == -2) {
		h->authority = h->has[OA_FIELD_host] = true;
		h->s.text[OA_FIELD_host] = value;
		return;
	}
	if (i == OA_FIELD_host && h->authority)
		return;
	if (i < OA_FIELD_COUNT && h->has[i]) {
		if (i == OA_FIELD_cookie && before == OA_FIELD_cookie) {
			struct oa_bytes *was = &h->s.text[i];

			/* The cookie so far was the last thing written. */
			memmove(to + 2, to, value.len);
			to[0] = ';';
			to[1] = ' ';
			was->len += 2 + value.len;
			h->used += 2;
			return;
		}
		if (i == OA_FIELD_traceparent)
			h->s.multi_parent = true;
		else
			h->s.repeated = true;
		h->last = -1; /* what stands between crumbs keeps all later ones apart, too */
		return;
	}
	if (i == HTTP2_TEXT_METHOD || i == HTTP2_TEXT_TARGET)
		h->s.malformed |= h->has[i];
	h->has[i] = true;
	h->s.text[i] = value;
	if (i == HTTP2_TEXT_METHOD)
		h->s.method = oa_method_parse(value);
}

static inline int ref2_inflate(struct ref2 *r, struct oa_bytes block, struct ref2_head *h)
{
	const uint8_t *p = block.ptr;
	size_t left = block.len;

	h->last = -1;
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(r->inflater, &nv, &flags, p, left, 1);

		if (n < 0)
			return -EPROTO;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			/* How it stood in the block: literal without indexing, or not at all. */
			bool plain = (p[0] & 0xf0) == 0 || (p[0] & 0xf0) == 0x10;

			for (const uint8_t *q = p; (*q & 0xe0) == 0x20 && q < p + n; q++) { /* updates before it */
				if ((*q & 0x1f) == 0x1f)
					while (*++q & 0x80)
						;
				plain = (q[1] & 0xe0) == 0;
			}
			ref2_field(r, h, oa_bytes(nv.name, nv.namelen), oa_bytes(nv.value, nv.valuelen), plain);
		}
		p += n;
		left -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(r->inflater);
			return 0;
		}
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !left)
			return -EPROTO;
	}
}

static inline int ref2_fragment(unsigned type, unsigned flags, const uint8_t *p, size_t len, size_t *ret_from,
				size_t *ret_len)
{
	size_t from = 0, pad = 0;

	if (type != 9 && flags & 8) {
		if (!len)
			return -EPROTO;
		pad = p[0];
		from = 1;
	}
	if (type == 5)
		from += 4;
	if (type == 1 && flags & 0x20)
		from += 5;
	if (from + pad > len)
		return -EPROTO;
	*ret_from = from;
	*ret_len = len - from - pad;
	return 0;
}

static inline void ref2_tell(struct ref2 *r, uint32_t stream, unsigned flags, struct ref2_head *h)
{
	bool connect = h->s.method == OA_METHOD_CONNECT && !h->s.text[HTTP2_TEXT_PROTOCOL].len;

	h->s.stream = stream;
	h->s.end = flags & 1;
	if (r->dir == OA_DIR_RESPONSE)
		h->s.type = h->status ? OA_EVENT_RESPONSE : OA_EVENT_TRAILERS;
	else
		h->s.type = stream > r->last_stream ? OA_EVENT_REQUEST : OA_EVENT_TRAILERS;
	if (h->s.type == OA_EVENT_REQUEST && (!h->has[HTTP2_TEXT_METHOD] || (!connect && !h->s.text[HTTP2_TEXT_TARGET].len)))
		h->s.malformed = true;
	ref2_flush(r);
	http2_show(r->t, &h->s);
	if (h->s.end) {
		feed_puts(r->t, "END ");
		feed_put_number(r->t, stream);
		feed_puts(r->t, "\n");
	}
}

/* returns 1 taken, 0 incomplete, negative */
static inline int ref2_block(struct ref2 *r)
{
	const uint8_t *p = r->in.ptr + r->at;
	size_t left = r->in.len - r->at, at = 0, len = 0;
	unsigned type = p[3], flags = p[4], first = p[4];
	uint32_t stream = ref2_be(p + 5, 4) & 0x7fffffff;
	static struct ref2_head h;
	int err = 0, fragment_err = 0;

	if (!stream)
		return -EPROTO;
	for (unsigned frames = 0;; frames++) {
		size_t n = ref2_be(p + at, 3), from, part;

		if (frames > OA_CONTINUATIONS_MAX || at + n > OA_HTTP_HEADER_MAX)
			return -E2BIG;
		if (left >= at + 9 + n) {
			if (ref2_fragment(frames ? 9 : type, frames ? 0 : flags, p + at + 9, n, &from, &part))
				fragment_err = -EPROTO;
			else
				memcpy(r->joined + len, p + at + 9 + from, part), len += part;
		}
		at += 9 + n;
		if (flags & 4)
			break;
		if (left < at + 9)
			return 0;
		if (p[at + 3] != 9 || (ref2_be(p + at + 5, 4) & 0x7fffffff) != stream)
			return -EPROTO;
		flags = p[at + 4];
	}
	if (left < at)
		return 0;
	if (fragment_err)
		return fragment_err;
	memset(&h, 0, sizeof(h));
	err = ref2_inflate(r, oa_bytes(r->joined, len), &h);
	if (err)
		return err;
	if (type == 1)
		ref2_tell(r, stream, first, &h);
	if (r->dir == OA_DIR_REQUEST && stream > r->last_stream) {
		if (type != 1 || !(stream & 1))
			return -EPROTO;
		r->last_stream = stream;
	}
	r->at += at;
	return 1;
}

/* returns 1 go on, 0 incomplete, negative */
static inline int ref2_data(struct ref2 *r, uint32_t stream, unsigned flags, size_t len)
{
	const uint8_t *p = r->in.ptr + r->at + 9;
	size_t left = r->in.len - r->at - 9, pad = 0, skip = 0, body, there;

	if (!stream || (flags & 8 && !len))
		return -EPROTO;
	if (flags & 8) {
		if (!left)
			return 0;
		pad = p[0];
		skip = 1;
	}
	if (skip + pad > len)
		return -EPROTO;
	body = len - skip - pad;
	there = left - skip < body ? left - skip : body;
	if (r->body_stream != stream && there)
		ref2_flush(r);
	if (there)
		r->body_stream = stream;
	r->body += there;
	r->at += 9 + skip + there;
	if (there < body)
		return 0;
	if (flags & 1) {
		ref2_flush(r);
		feed_puts(r->t, "END ");
		feed_put_number(r->t, stream);
		feed_puts(r->t, "\n");
	}
	left = r->in.len - r->at;
	r->at += left < pad ? left : pad;
	return left < pad ? 0 : 1;
}

static inline int ref2_frame(struct ref2 *r, bool first)
{
	const uint8_t *p = r->in.ptr + r->at;
	size_t left = r->in.len - r->at, len, need = 0;
	unsigned type, flags;
	uint32_t stream;

	if (left < 9)
		return 0;
	len = ref2_be(p, 3);
	type = p[3];
	flags = p[4];
	stream = ref2_be(p + 5, 4) & 0x7fffffff;
	if (first && (type != 4 || flags & 1))
		return -EPROTO;
	if (type == 1 || type == 5)
		return ref2_block(r);
	if (type == 9)
		return -EPROTO;
	if (type == 0)
		return ref2_data(r, stream, flags, len);
	if (type == 3 && (!stream || len != 4))
		return -EPROTO;
	if (type == 4 && (stream || len % 6 || len > 16384 || (flags & 1 && len)))
		return -EPROTO;
	if (type == 7 && (stream || len < 8))
		return -EPROTO;
	need = type == 3 ? 4 : type == 4 ? len : type == 7 ? 8 : 0;
	if (left < 9 + need)
		return 0;
	if (type == 3 || type == 7) {
		ref2_flush(r);
		http2_show_code(r->t, type == 3 ? "RESET " : "GOAWAY ", type == 3 ? stream : ref2_be(p + 9, 4) & 0x7fffffff,
				ref2_be(p + (type == 3 ? 9 : 13), 4));
	}
	r->at += left < 9 + len ? left : 9 + len;
	return left < 9 + len ? 0 : 1;
}

static inline int ref2_run(struct ref2 *r)
{
	size_t preface = r->dir == OA_DIR_REQUEST ? 24 : 0;
	int go_on = 1;

	if (memcmp(r->in.ptr, OA_HTTP2_PREFACE, r->in.len < preface ? r->in.len : preface))
		return -EPROTO;
	if (r->in.len < preface)
		return 0;
	r->at = preface;
	for (bool first = true; go_on > 0 && r->at < r->in.len; first = false)
		go_on = ref2_frame(r, first);
	return go_on;
}

static inline void ref2_play(struct ref2 *r)
{
	int result;

	r->t->len = 0;
	feed_put(r->t, "", 0);
	r->at = r->last_stream = r->body = r->body_stream = 0;
	if (nghttp2_hd_inflate_new(&r->inflater) || nghttp2_hd_inflate_change_table_size(r->inflater, OA_HPACK_TABLE_MAX))
		abort();
	result = ref2_run(r);
	nghttp2_hd_inflate_del(r->inflater);
	ref2_flush(r);
	if (result < 0) {
		feed_puts(r->t, result == -EPROTO ? "EPROTO\n" : "E2BIG\n");
		return;
	}
	feed_puts(r->t, "TAKEN ");
	feed_put_number(r->t, r->at);
	feed_puts(r->t, " OF ");
	feed_put_number(r->t, r->in.len);
	feed_puts(r->t, "\n");
}
