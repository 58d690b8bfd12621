/* Header blocks -> heads. What is of no use to anybody is stepped over, Huffman-coded or not, unless the table needs to
 * know how long it is. */
#include <errno.h>

#include "proto/hpack.h"
#include "core/attr.h"

#define INT_MAX_BYTES 4 /* behind the prefix: 28 bits */

struct block {
	const uint8_t *at, *start, *end;
	struct oa_buf *out;
	struct oa_http2_head *head;
	struct hpack_table **table;
	uint32_t *max;
	const struct oa_sink *sink;
	bool regular; /* a field that is no pseudo field was there */
};

struct text {
	struct oa_bytes raw;
	bool huffman;
};

/* An integer with a prefix of `bits` in the byte at b->at. returns it, or -EPROTO */
static inline long block_int(struct block *b, unsigned bits)
{
	long mask = (1l << bits) - 1, v = *b->at++ & mask;

	if (__builtin_expect(v != mask, 1))
		return v;
	for (unsigned i = 0; i < INT_MAX_BYTES && b->at < b->end; i++) {
		uint8_t c = *b->at++;

		v += (long)(c & 0x7f) << 7 * i;
		if (!(c & 0x80))
			return v;
	}
	return -EPROTO;
}

static inline int block_text(struct block *b, struct text *ret)
{
	long len;

	if (b->at == b->end)
		return -EPROTO;
	ret->huffman = *b->at & 0x80;
	len = block_int(b, 7);
	if (len < 0 || len > b->end - b->at)
		return -EPROTO;
	ret->raw = oa_bytes(b->at, (size_t)len);
	b->at += len;
	return 0;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static inline uint64_t any_control(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101u;

	return (w - ones * 0x20) & ~w & ones * 0x80;
}

/* Bytes that end lines, or that are in no field. Eight at a time, the last eight maybe twice. */
static inline bool has_control(struct oa_bytes v)
{
	size_t i = 0;

	if (v.len >= 8) {
		for (; i + 8 <= v.len; i += 8)
			if (any_control(load64(v.ptr + i)))
				return true;
		return any_control(load64(v.ptr + v.len - 8));
	}
	for (; i < v.len; i++)
		if (v.ptr[i] < 0x20)
			return true;
	return false;
}

/* memcpy without the call for what is short, as most values are. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t len)
{
	uint64_t a, z;

	if (len > 16) {
		memcpy(to, from, len);
	} else if (len >= 8) {
		a = load64(from);
		z = load64(from + len - 8);
		memcpy(to, &a, 8);
		memcpy(to + len - 8, &z, 8);
	} else {
		for (size_t i = 0; i < len; i++)
			to[i] = from[i];
	}
}

/* Writes "name: " of a field. returns where its value goes; NULL: no room for it and `room` bytes more */
static inline uint8_t *line_begin(struct block *b, const struct hpack_field *f, size_t room)
{
	struct oa_buf *o = b->out;
	uint8_t *to = o->ptr + o->len;

	if (__builtin_expect(f->id == HPACK_NAMED, 0)) {
		if (f->name.len + 2 + room > o->cap - o->len)
			return NULL;
		memmove(to, f->name.ptr, f->name.len); /* a name that was decoded is there already */
		to += f->name.len;
		*to++ = ':';
		*to++ = ' ';
		return to;
	}
	if (sizeof(oa_hpack_prefix[0].text) + room > o->cap - o->len)
		return NULL;
	memcpy(to, oa_hpack_prefix[f->id].text, sizeof(oa_hpack_prefix[0].text));
	return to + oa_hpack_prefix[f->id].len;
}

/* Writes "name: value\r\n". ret: the value where it stands now. returns 0, -E2BIG, -EPROTO */
static inline int line_put(struct block *b, const struct hpack_field *f, const struct text *value, struct oa_bytes *ret)
{
	struct oa_buf *o = b->out;
	uint8_t *to = line_begin(b, f, 2 + (value->huffman ? hpack_huffman_room(value->raw.len) : value->raw.len));
	long len = (long)value->raw.len;

	if (!to)
		return -E2BIG;
	if (value->huffman)
		len = oa_hpack_huffman(value->raw, to);
	else
		copy_short(to, value->raw.ptr, (size_t)len);
	if (len < 0)
		return -EPROTO;
	to[len] = '\r';
	to[len + 1] = '\n';
	*ret = oa_bytes(to, (size_t)len);
	o->len = (size_t)(to + len + 2 - o->ptr);
	return 0;
}

static struct oa_slice slice_of(const struct block *b, struct oa_bytes v)
{
	return (struct oa_slice){ (uint32_t)(v.ptr - b->out->ptr), (uint32_t)v.len };
}

/* Crumbs of one cookie (RFC 9113 8.2.3) become what HTTP/1 would have sent. returns false when other lines are between */
static bool join_cookie(struct block *b, struct oa_slice *was, struct oa_bytes v)
{
	uint8_t *end = b->out->ptr + was->off + was->len, *from = (uint8_t *)(uintptr_t)v.ptr;

	if (from - (sizeof("cookie: ") - 1) != end + 2)
		return false;
	end[0] = ';';
	end[1] = ' ';
	memmove(end + 2, from, v.len + 2);
	was->len += (uint32_t)v.len + 2;
	b->out->len -= sizeof("cookie: ") - 1;
	return true;
}

static void take_common(struct block *b, uint8_t id, struct oa_bytes v)
{
	struct oa_http_head *h = &b->head->http;
	struct oa_slice *f = &h->field[id - 1];

	if (id == OA_FIELD_host + 1 && b->head->flags & OA_HTTP2_AUTHORITY)
		return; /* :authority is what counts */
	if (!f->off) {
		*f = slice_of(b, v);
		return;
	}
	if (id == OA_FIELD_cookie + 1 && join_cookie(b, f, v))
		return;
	h->flags |= id == OA_FIELD_traceparent + 1 ? OA_HTTP_MULTI_PARENT : OA_HTTP_REPEATED;
}

static OA_HOT void take_status(struct oa_http2_head *h, struct oa_bytes v)
{
	if (v.len != 3 || v.ptr[0] < '1' || v.ptr[0] > '9' || (uint8_t)(v.ptr[1] - '0') > 9 ||
	    (uint8_t)(v.ptr[2] - '0') > 9) {
		h->flags |= OA_HTTP2_MALFORMED;
		return;
	}
	h->http.status = (uint16_t)((v.ptr[0] - '0') * 100 + (v.ptr[1] - '0') * 10 + (v.ptr[2] - '0'));
	h->flags |= OA_HTTP2_HAS_STATUS;
}

static void take(struct block *b, uint8_t id, struct oa_bytes v)
{
	struct oa_http2_head *h = b->head;

	if (id <= OA_FIELD_COUNT) {
		take_common(b, id, v);
		return;
	}
	switch (id) {
	case HPACK_METHOD:
		h->http.method = (uint8_t)oa_method_parse(v);
		h->http.method_text = slice_of(b, v);
		h->flags |= h->flags & OA_HTTP2_HAS_METHOD ? OA_HTTP2_MALFORMED : OA_HTTP2_HAS_METHOD;
		break;
	case HPACK_PATH:
		h->http.target = slice_of(b, v);
		h->flags |= h->flags & OA_HTTP2_HAS_PATH ? OA_HTTP2_MALFORMED : OA_HTTP2_HAS_PATH;
		break;
	case HPACK_AUTHORITY:
		h->http.field[OA_FIELD_host] = slice_of(b, v);
		h->flags |= OA_HTTP2_AUTHORITY;
		break;
	case HPACK_STATUS:
		take_status(h, v);
		break;
	case HPACK_SCHEME:
		h->scheme = slice_of(b, v);
		break;
	case HPACK_PROTOCOL:
		h->protocol = slice_of(b, v);
		break;
	case HPACK_CONTENT_TYPE:
		h->content_type = slice_of(b, v);
		break;
	case HPACK_GRPC_STATUS:
		h->grpc_status = slice_of(b, v);
		break;
	case HPACK_GRPC_MESSAGE:
		h->grpc_message = slice_of(b, v);
		break;
	case HPACK_GRPC_TIMEOUT:
		h->grpc_timeout = slice_of(b, v);
		break;
	}
}

/* Writes a field down. On success f->value (and f->name) are in b->out, even if nothing was taken. */
static OA_HOT int field_put(struct block *b, struct hpack_field *f, const struct text *value)
{
	size_t before = b->out->len;
	int err = line_put(b, f, value, &f->value);

	if (err)
		return err;
	if (f->id == HPACK_NAMED)
		f->name = oa_bytes(b->out->ptr + before, f->name.len);
	return 0;
}

/* To be called last: joins lines, or takes the line away again. */
static OA_HOT void field_take(struct block *b, const struct hpack_field *f, size_t before)
{
	if (__builtin_expect(has_control(f->value), 0)) {
		b->out->len = before;
		b->head->flags |= OA_HTTP2_MALFORMED;
		return;
	}
	if (f->id != HPACK_NAMED)
		take(b, f->id, f->value);
}

/* Pseudo fields come first (RFC 9113 8.3). */
static inline void note_order(struct block *b, uint8_t id)
{
	if (id < HPACK_METHOD || id > HPACK_PROTOCOL)
		b->regular = true;
	else if (b->regular)
		b->head->flags |= OA_HTTP2_MALFORMED;
}

/* -- indexed fields -- */

static int indexed_static(struct block *b, unsigned i)
{
	const struct hpack_static *s = &oa_hpack_static[i];
	struct hpack_field f = { .id = oa_hpack_static_id[i] };
	struct text value = { .raw = oa_bytes(s->value, oa_hpack_static_size[i] - oa_hpack_static_name[i]) };
	size_t before = b->out->len;
	int err;

	b->head->list_bytes += oa_hpack_static_size[i] + HPACK_ENTRY_OVERHEAD;
	note_order(b, f.id);
	if (f.id == HPACK_SKIPPED)
		return 0;
	if (i == 2 || i == 3) {
		b->head->flags |= b->head->flags & OA_HTTP2_HAS_METHOD ? OA_HTTP2_MALFORMED : OA_HTTP2_HAS_METHOD;
		b->head->http.method = i == 2 ? OA_METHOD_GET : OA_METHOD_POST;
		return 0;
	}
	if (f.id == HPACK_STATUS) {
		take_status(b->head, value.raw);
		return 0;
	}
	f.name = oa_bytes(s->name, oa_hpack_static_name[i]);
	err = field_put(b, &f, &value);
	if (!err)
		field_take(b, &f, before);
	return err;
}

static int indexed(struct block *b)
{
	long i = block_int(b, 7);
	const struct hpack_entry *e;
	struct hpack_field f = { 0 };
	struct text value = { 0 };
	size_t before = b->out->len;
	int err;

	if (i <= 0)
		return -EPROTO;
	if (i <= HPACK_STATIC_COUNT)
		return indexed_static(b, (unsigned)i);
	e = oa_hpack_at(*b->table, (uint32_t)i - HPACK_STATIC_COUNT - 1);
	if (!e)
		return -EPROTO;
	b->head->list_bytes += e->size;
	note_order(b, e->id);
	if (e->id == HPACK_SKIPPED)
		return 0;
	f.id = e->id;
	f.name = oa_hpack_name(*b->table, e);
	value.raw = oa_hpack_value(*b->table, e);
	err = field_put(b, &f, &value);
	if (!err)
		field_take(b, &f, before);
	return err;
}

/* -- literal fields -- */

static int name_literal(struct block *b, struct hpack_field *f)
{
	struct text t;
	long len;
	int err = block_text(b, &t);

	if (err)
		return err;
	len = (long)t.raw.len;
	f->name = t.raw;
	if (t.huffman && hpack_huffman_room(t.raw.len) <= b->out->cap - b->out->len) {
		/* For now behind what is written. */
		len = oa_hpack_huffman(t.raw, b->out->ptr + b->out->len);
		f->name = oa_bytes(b->out->ptr + b->out->len, (size_t)len);
	} else if (t.huffman) {
		return -E2BIG;
	}
	if (len < 0 || len > UINT16_MAX)
		return len < 0 ? -EPROTO : -E2BIG;
	f->name_len = (uint16_t)len;
	f->id = oa_hpack_id(f->name);
	return 0;
}

static int name_indexed(struct block *b, uint32_t i, struct hpack_field *f)
{
	const struct hpack_entry *e;

	if (i <= HPACK_STATIC_COUNT) {
		f->id = oa_hpack_static_id[i];
		f->name_len = oa_hpack_static_name[i];
		f->name = oa_bytes(oa_hpack_static[i].name, f->name_len);
		return 0;
	}
	e = oa_hpack_at(*b->table, i - HPACK_STATIC_COUNT - 1);
	if (!e)
		return -EPROTO;
	f->id = e->id;
	if (e->id == HPACK_NAMED)
		f->name = oa_hpack_name(*b->table, e);
	f->name_len = e->id == HPACK_SKIPPED ? e->value_len :
		      e->id == HPACK_NAMED   ? e->name_len :
					       (uint16_t)oa_hpack_id_name[e->id].len;
	return 0;
}

bool oa_hpack_check_all;

/* Length of a value nobody reads. exact: the table must know; else it is an upper bound */
static long skipped_len(const struct text *value, bool exact)
{
	if (!value->huffman)
		return (long)value->raw.len;
	return exact || oa_hpack_check_all ? oa_hpack_huffman(value->raw, NULL) : (long)hpack_huffman_room(value->raw.len);
}

static int literal_insert(struct block *b, struct hpack_field *f, long value_len)
{
	uint32_t size = f->name_len + (uint32_t)value_len + HPACK_ENTRY_OVERHEAD;

	if (size > UINT16_MAX && *b->max >= size)
		return -E2BIG;
	if (f->id != HPACK_NAMED)
		f->name = oa_bytes(NULL, 0);
	return oa_hpack_insert(b->table, *b->max, f, size, b->sink);
}

static OA_HOT int literal(struct block *b, unsigned prefix, bool keep)
{
	const uint8_t *from = b->at;
	long i = block_int(b, prefix), len;
	struct hpack_field f = { 0 };
	size_t before = b->out->len;
	struct text value;
	int err = i < 0 ? (int)i : i ? name_indexed(b, (uint32_t)i, &f) : name_literal(b, &f);

	if (!err)
		err = block_text(b, &value);
	if (err)
		return err;
	if (f.id == HPACK_SKIPPED) {
		len = skipped_len(&value, keep);
	} else {
		err = field_put(b, &f, &value);
		len = (long)f.value.len;
	}
	if (err || len < 0)
		return err ? err : -EPROTO;
	b->head->list_bytes += f.name_len + (uint32_t)len + HPACK_ENTRY_OVERHEAD;
	note_order(b, f.id);
	if (keep)
		err = literal_insert(b, &f, len);
	if (f.id == HPACK_SKIPPED)
		return err;
	if (f.id == OA_FIELD_traceparent + 1 && !keep) {
		b->head->parent_from = (uint32_t)(from - b->start);
		b->head->parent_to = (uint32_t)(b->at - b->start);
	}
	field_take(b, &f, before);
	return err;
}

static int table_size(struct block *b)
{
	long max = block_int(b, 5);

	if (max < 0 || max > OA_HPACK_TABLE_MAX)
		return max < 0 ? -EPROTO : -E2BIG;
	*b->max = (uint32_t)max;
	oa_hpack_shrink(*b->table, *b->max);
	return 0;
}

OA_HOT int oa_hpack_block(struct hpack_table **table, uint32_t *max, struct oa_bytes in, struct oa_buf *out,
		   struct oa_http2_head *h, const struct oa_sink *sink)
{
	struct block b = { .at = in.ptr, .start = in.ptr, .end = in.ptr + in.len, .out = out, .head = h,
			   .table = table, .max = max, .sink = sink };
	int err = 0;

	/* A first, empty line: what a start line is to those who walk the lines. */
	if (!oa_buf_put(out, OA_LIT("\n")))
		return -E2BIG;
	while (!err && b.at < b.end && (*b.at & 0xe0) == 0x20)
		err = table_size(&b);
	while (!err && b.at < b.end) {
		uint8_t c = *b.at;

		if (c & 0x80)
			err = indexed(&b);
		else if (c & 0x40)
			err = literal(&b, 6, true);
		else if (c & 0x20)
			err = -EPROTO;
		else
			err = literal(&b, 4, false);
	}
	h->http.block = oa_bytes(out->ptr, out->len);
	h->http.blank_off = (uint32_t)out->len;
	return err;
}
