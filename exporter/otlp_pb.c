/* Protobuf is written forwards. Lengths that are not known before are written behind a gap of two bytes, which is
 * what spans need; the rare other size moves the bytes. Constant pieces are arrays that are copied whole. */
#include "exporter/otlp_pb.h"

#include <errno.h>
#include <stdlib.h>

#include "exporter/pb_memo.h"
#include "exporter/span_attrs.h"
#include "exporter/utf8.h"

/* Tags: field number << 3 | wire type. */
#define PB_VARINT  0
#define PB_FIXED64 1
#define PB_BYTES   2
#define PB_FIXED32 5
#define PB_TAG(field, type) ((uint8_t)((field) << 3 | (type)))

#define SPAN_TRACE_ID    PB_TAG(1, PB_BYTES)
#define SPAN_SPAN_ID     PB_TAG(2, PB_BYTES)
#define SPAN_TRACE_STATE PB_TAG(3, PB_BYTES)
#define SPAN_PARENT_ID   PB_TAG(4, PB_BYTES)
#define SPAN_NAME        PB_TAG(5, PB_BYTES)
#define SPAN_KIND        PB_TAG(6, PB_VARINT)
#define SPAN_START       PB_TAG(7, PB_FIXED64)
#define SPAN_END         PB_TAG(8, PB_FIXED64)
#define SPAN_ATTRIBUTE   PB_TAG(9, PB_BYTES)
#define SPAN_EVENT       PB_TAG(11, PB_BYTES)
#define SPAN_LINK        PB_TAG(13, PB_BYTES)
#define SPAN_DROPPED_ATTRIBUTES PB_TAG(10, PB_VARINT)
#define SPAN_DROPPED_EVENTS     PB_TAG(12, PB_VARINT)
#define SPAN_DROPPED_LINKS      PB_TAG(14, PB_VARINT)
#define SPAN_STATUS      PB_TAG(15, PB_BYTES)
#define SPAN_FLAGS_TAG   "\x85\x01" /* field 16, fixed32 */

#define FLAG_SAMPLED   0x001u
#define FLAG_RANDOM    0x002u
#define FLAG_IS_REMOTE 0x200u

#define REQUEST_HEAD_MAX 64 /* tags and lengths of the messages around the spans, without the resource */

static inline uint8_t *pb_varint(uint8_t *out, uint64_t value)
{
	while (value >= 0x80) {
		*out++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*out++ = (uint8_t)value;
	return out;
}

static inline size_t pb_varint_size(uint64_t value)
{
	return value < 0x80 ? 1 : (size_t)(70 - __builtin_clzll(value)) / 7;
}

static inline uint8_t *pb_fixed64(uint8_t *out, uint8_t tag, uint64_t value)
{
	*out = tag;
	memcpy(out + 1, &value, 8); /* little-endian as x86-64 is */
	return out + 9;
}

/* A field of bytes whose length is below 128 and known to the compiler. */
static inline uint8_t *pb_short(uint8_t *out, uint8_t tag, const void *bytes, size_t len)
{
	out[0] = tag;
	out[1] = (uint8_t)len;
	memcpy(out + 2, bytes, len);
	return out + 2 + len;
}

static inline uint8_t *pb_text(uint8_t *out, uint8_t tag, struct oa_bytes text)
{
	size_t size = oa_utf8_size(text);

	*out = tag;
	return oa_utf8_put(pb_varint(out + 1, size), text, size);
}

/* Starts a message of unknown length; `pb_end` takes what this returns. */
static inline uint8_t *pb_begin(uint8_t *out, uint8_t tag)
{
	*out = tag;
	return out + 3;
}

static inline uint8_t *pb_end(uint8_t *body, uint8_t *out)
{
	size_t len = (size_t)(out - body), size = pb_varint_size(len);

	if (__builtin_expect(size != 2, 0)) {
		memmove(body - 2 + size, body, len);
		out = out - 2 + size;
	}
	pb_varint(body - 2, len);
	return out;
}

/* -- attributes: KeyValue { key, AnyValue } -- */

struct pb_attrs {
	uint8_t *out;
	uint8_t tag; /* of the field the attributes are */
	struct oa_pb_memo *memo; /* of the group that is being made; NULL: it will not be remembered */
	uint8_t *group;          /* where that began */
};

static inline uint8_t *pb_key(uint8_t *out, const struct oa_attr_key *key)
{
	memcpy(out, key, sizeof(*key)); /* more than is needed: a fixed size is quicker */
	return out + 2 + key->len;
}

/* All of a text attribute but the text. */
static inline uint8_t *pb_attr_head(const struct pb_attrs *a, const struct oa_attr_key *key, size_t size)
{
	size_t any = 1 + pb_varint_size(size) + size;
	uint8_t *out = a->out;

	*out = a->tag;
	out = pb_varint(out + 1, 2u + key->len + 1 + pb_varint_size(any) + any);
	out = pb_key(out, key);
	*out = PB_TAG(2, PB_BYTES);
	out = pb_varint(out + 1, any);
	*out = PB_TAG(1, PB_BYTES);
	return pb_varint(out + 1, size);
}

static void pb_attr_str_any(struct pb_attrs *a, const struct oa_attr_key *key, struct oa_bytes value)
{
	size_t size = oa_utf8_size(value);

	a->out = oa_utf8_put(pb_attr_head(a, key, size), value, size);
}

/* As if it was ASCII, which shows while it is copied. */
static void pb_attr_str(void *ctx, const struct oa_attr_key *key, struct oa_bytes value)
{
	struct pb_attrs *a = ctx;
	uint8_t *text = pb_attr_head(a, key, value.len);

	if (__builtin_expect(oa_copy_ascii(text, value.ptr, value.len), 1))
		a->out = text + value.len;
	else
		pb_attr_str_any(a, key, value);
}

static void pb_attr_num(void *ctx, const struct oa_attr_key *key, int64_t value)
{
	struct pb_attrs *a = ctx;
	size_t any = 1 + pb_varint_size((uint64_t)value);
	uint8_t *out = a->out;

	*out = a->tag;
	out = pb_varint(out + 1, 2u + key->len + 2 + any);
	out = pb_key(out, key);
	*out++ = PB_TAG(2, PB_BYTES);
	*out++ = (uint8_t)any;
	*out = PB_TAG(3, PB_VARINT);
	a->out = pb_varint(out + 1, (uint64_t)value);
}

static size_t pb_array_size(const struct oa_bytes *values, unsigned count)
{
	size_t size = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t text = oa_utf8_size(values[i]), any = 1 + pb_varint_size(text) + text;

		size += 1 + pb_varint_size(any) + any;
	}
	return size;
}

static void pb_attr_strs(void *ctx, const struct oa_attr_key *prefix, struct oa_bytes name,
			 const struct oa_bytes *values, unsigned count)
{
	struct pb_attrs *a = ctx;
	size_t array = pb_array_size(values, count), any = 1 + pb_varint_size(array) + array;
	size_t name_size = oa_utf8_size(name), key = prefix->len + name_size;
	uint8_t *out = a->out;

	*out = a->tag;
	out = pb_varint(out + 1, 1 + pb_varint_size(key) + key + 1 + pb_varint_size(any) + any);
	*out = PB_TAG(1, PB_BYTES);
	out = pb_varint(out + 1, key);
	memcpy(out, prefix->name, prefix->len);
	out = oa_utf8_put(out + prefix->len, name, name_size);
	*out = PB_TAG(2, PB_BYTES);
	out = pb_varint(out + 1, any);
	*out = PB_TAG(5, PB_BYTES);
	out = pb_varint(out + 1, array);
	for (unsigned i = 0; i < count; i++) {
		size_t text = oa_utf8_size(values[i]);

		*out = PB_TAG(1, PB_BYTES);
		out = pb_varint(out + 1, 1 + pb_varint_size(text) + text);
		out = pb_text(out, PB_TAG(1, PB_BYTES), values[i]);
	}
	a->out = out;
}

static unsigned pb_recall(void *ctx, const struct oa_attr_group *group)
{
	struct pb_attrs *a = ctx;

	a->memo = oa_pb_memo_find(group);
	a->group = a->out;
	if (!a->memo || !oa_pb_memo_is(a->memo, group))
		return 0;
	a->out = oa_pb_memo_put(a->out, a->memo);
	return a->memo->count;
}

static void pb_keep(void *ctx, const struct oa_attr_group *group, unsigned count)
{
	struct pb_attrs *a = ctx;

	if (a->memo)
		oa_pb_memo_keep(a->memo, group, oa_bytes(a->group, (size_t)(a->out - a->group)), count);
}

static const struct oa_attr_sink pb_sink = {
	.str = pb_attr_str, .num = pb_attr_num, .strs = pb_attr_strs, .recall = pb_recall, .keep = pb_keep,
};

/* -- the parts of a span -- */

static uint8_t *pb_dropped(uint8_t *out, uint8_t tag, unsigned dropped)
{
	if (!dropped)
		return out;
	*out = tag;
	return pb_varint(out + 1, dropped);
}

static uint8_t *pb_attributes(uint8_t *out, const struct oa_span *s)
{
	struct pb_attrs a = { .out = out, .tag = SPAN_ATTRIBUTE };
	unsigned dropped = oa_span_attrs(s, &pb_sink, &a);

	return pb_dropped(a.out, SPAN_DROPPED_ATTRIBUTES, dropped);
}

static uint8_t *pb_events(uint8_t *out, const struct oa_span *s)
{
	struct oa_span_event events[OA_EVENTS_MAX];
	unsigned dropped, count = oa_span_events(s, events, &dropped);

	for (unsigned i = 0; i < count; i++) {
		uint8_t *body = pb_begin(out, SPAN_EVENT);
		struct pb_attrs a = { .tag = PB_TAG(3, PB_BYTES) };

		out = pb_fixed64(body, PB_TAG(1, PB_FIXED64), s->start_unix_ns);
		a.out = pb_text(out, PB_TAG(2, PB_BYTES), oa_bytes_str(events[i].name));
		pb_attr_num(&a, &oa_keys[OA_KEY_DURATION_US], (int64_t)events[i].duration_us);
		out = pb_end(body, a.out);
	}
	return pb_dropped(out, SPAN_DROPPED_EVENTS, dropped);
}

static uint8_t *pb_flags(uint8_t *out, const void *tag, size_t tag_len, uint32_t flags)
{
	memcpy(out, tag, tag_len);
	memcpy(out + tag_len, &flags, 4);
	return out + tag_len + 4;
}

static uint8_t *pb_links(uint8_t *out, const struct oa_span *s)
{
	unsigned dropped;
	struct oa_bytes links = oa_span_links(s, &dropped);

	for (; links.len >= sizeof(struct oa_link); links.ptr += sizeof(struct oa_link), links.len -= sizeof(struct oa_link)) {
		*out++ = SPAN_LINK;
		*out++ = 18 + 10 + 5;
		out = pb_short(out, PB_TAG(1, PB_BYTES), links.ptr, 16);
		out = pb_short(out, PB_TAG(2, PB_BYTES), links.ptr + 16, 8);
		/* Candidates are exchanges of this process; whether they are sampled is not known here. */
		out = pb_flags(out, (const uint8_t[]){ PB_TAG(6, PB_FIXED32) }, 1, OA_OTLP_IS_REMOTE_KNOWN);
	}
	return pb_dropped(out, SPAN_DROPPED_LINKS, dropped);
}

uint32_t oa_otlp_span_flags(const struct oa_span *s)
{
	uint32_t flags = OA_OTLP_IS_REMOTE_KNOWN;

	if (s->flags & OA_SPAN_SAMPLED)
		flags |= FLAG_SAMPLED;
	if (s->flags & OA_SPAN_RANDOM)
		flags |= FLAG_RANDOM;
	if (s->flags & OA_SPAN_PARENT_REMOTE && oa_span_has_parent(s))
		flags |= FLAG_IS_REMOTE;
	return flags;
}

uint8_t *oa_otlp_pb_span(uint8_t *out, const struct oa_span *s)
{
	uint8_t *body = pb_begin(out, PB_TAG(2, PB_BYTES));

	out = pb_short(body, SPAN_TRACE_ID, s->trace_id, 16);
	out = pb_short(out, SPAN_SPAN_ID, s->span_id, 8);
	if (s->str[OA_STR_TRACESTATE].len)
		out = pb_text(out, SPAN_TRACE_STATE, oa_span_str(s, OA_STR_TRACESTATE));
	if (oa_span_has_parent(s))
		out = pb_short(out, SPAN_PARENT_ID, s->parent_id, 8);
	out = pb_flags(out, SPAN_FLAGS_TAG, 2, oa_otlp_span_flags(s));
	out = pb_text(out, SPAN_NAME, oa_span_name(s));
	*out++ = SPAN_KIND;
	*out++ = oa_span_kind(s);
	out = pb_fixed64(out, SPAN_START, s->start_unix_ns);
	out = pb_fixed64(out, SPAN_END, s->start_unix_ns + s->duration_ns);
	out = pb_attributes(out, s);
	out = pb_events(out, s);
	out = pb_links(out, s);
	if (oa_span_failed(s))
		out = pb_short(out, SPAN_STATUS, "\x18\x02", 2); /* code: ERROR; error.type says the rest */
	return pb_end(body, out);
}

/* -- the request around them -- */

static int otlp_buf_reserve(struct oa_otlp_buf *buf, size_t bytes)
{
	size_t more = buf->bytes ? buf->bytes : 2 * OA_OTLP_SPAN_MAX;
	uint8_t *mem;

	if (bytes <= buf->bytes)
		return 0;
	while (more < bytes)
		more *= 2;
	mem = realloc(buf->mem, more);
	if (!mem)
		return -ENOMEM;
	buf->mem = mem;
	buf->bytes = more;
	return 0;
}

/* InstrumentationScope { name, version } and the field schema_url (3), which both messages around the spans have. */
static const struct {
	uint8_t name_tag, name_len;
	char name[sizeof(OA_OTLP_SCOPE) - 1];
	uint8_t version_tag, version_len;
	char version[sizeof(OA_VERSION) - 1];
} pb_scope = { 0x0a, sizeof(OA_OTLP_SCOPE) - 1, OA_OTLP_SCOPE, 0x12, sizeof(OA_VERSION) - 1, OA_VERSION };

static const struct {
	uint8_t tag, len;
	char url[sizeof(OA_OTLP_SCHEMA_URL) - 1];
} pb_schema = { 0x1a, sizeof(OA_OTLP_SCHEMA_URL) - 1, OA_OTLP_SCHEMA_URL };

/* Writes what stands before the spans so that it ends at `spans`. returns where it starts */
static uint8_t *otlp_head(uint8_t *spans, size_t spans_len, struct oa_bytes resource)
{
	size_t scope = 2 + sizeof(pb_scope) + spans_len + sizeof(pb_schema);
	size_t res = 1 + pb_varint_size(resource.len) + resource.len;
	size_t whole = res + 1 + pb_varint_size(scope) + scope + sizeof(pb_schema);
	uint8_t *start = spans - (1 + pb_varint_size(whole) + res + 1 + pb_varint_size(scope) +
				  2 + sizeof(pb_scope));
	uint8_t *out = start;

	*out = PB_TAG(1, PB_BYTES); /* resource_spans */
	out = pb_varint(out + 1, whole);
	*out = PB_TAG(1, PB_BYTES); /* resource */
	out = pb_varint(out + 1, resource.len);
	memcpy(out, resource.ptr, resource.len);
	out += resource.len;
	*out = PB_TAG(2, PB_BYTES); /* scope_spans */
	out = pb_varint(out + 1, scope);
	*out = PB_TAG(1, PB_BYTES); /* scope */
	out[1] = sizeof(pb_scope);
	memcpy(out + 2, &pb_scope, sizeof(pb_scope));
	return start;
}

long oa_otlp_pb_request(struct oa_otlp_buf *buf, const struct oa_batch *batch, struct oa_bytes resource,
			size_t max_bytes, struct oa_bytes *ret_request)
{
	size_t head = REQUEST_HEAD_MAX + resource.len, len = 0, tail = 2 * sizeof(pb_schema), i;
	uint8_t *start, *end;

	for (i = 0; i < batch->count; i++) {
		if (otlp_buf_reserve(buf, head + len + OA_OTLP_SPAN_MAX + tail))
			return -ENOMEM;
		if (i + 1 < batch->count) /* of what follows its head */
			for (unsigned at = 0; at < 2 * OA_SLOT_BYTES; at += 64)
				__builtin_prefetch((const uint8_t *)batch->spans[i + 1] + at);
		end = oa_otlp_pb_span(buf->mem + head + len, batch->spans[i]);
		if ((size_t)(end - buf->mem) + tail > max_bytes)
			break;
		len = (size_t)(end - buf->mem) - head;
	}
	if (!i)
		return 0;
	start = otlp_head(buf->mem + head, len, resource);
	end = buf->mem + head + len;
	memcpy(end, &pb_schema, sizeof(pb_schema));                     /* of the scope */
	memcpy(end + sizeof(pb_schema), &pb_schema, sizeof(pb_schema)); /* of the resource */
	*ret_request = oa_bytes(start, (size_t)(end - start) + tail);
	return (long)i;
}
