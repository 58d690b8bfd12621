#include "exporter/jaeger_thrift.h"

#include "core/id.h"
#include "exporter/json_out.h"
#include "exporter/otlp_pb.h"
#include "exporter/proc_attrs.h"
#include "exporter/span_attrs.h"

#define JAEGER_ARRAY_KEEP 65536

enum { TAG_STRING, TAG_DOUBLE, TAG_BOOL, TAG_LONG };

/* Lists are written behind their length: tags are collected here first. */
struct jaeger_tags {
	struct oa_thrift out;
	unsigned count;
};

static struct jaeger_tags jaeger_tags;
static struct oa_json jaeger_array;

void oa_jaeger_thrift_forget(void)
{
	jaeger_tags = (struct jaeger_tags){ 0 };
	jaeger_array = (struct oa_json){ 0 };
}

static struct jaeger_tags *tags_begin(const struct oa_thrift *t)
{
	oa_thrift_reset(&jaeger_tags.out, t->compact);
	jaeger_tags.count = 0;
	return &jaeger_tags;
}

static void tags_end(struct oa_thrift *t, int16_t id, const struct jaeger_tags *tags)
{
	if (!tags->count)
		return;
	oa_thrift_field_list(t, id, tags->count);
	oa_thrift_append(t, tags->out.mem, tags->out.len);
	t->failed |= tags->out.failed;
}

static void tag_open(struct jaeger_tags *tags, struct oa_bytes key, struct oa_bytes more, int type)
{
	tags->count++;
	oa_thrift_open(&tags->out);
	oa_thrift_field_text(&tags->out, 1, key, more);
	oa_thrift_field_i32(&tags->out, 2, type);
}

static void tag_text2(struct jaeger_tags *tags, struct oa_bytes key, struct oa_bytes more, struct oa_bytes value)
{
	tag_open(tags, key, more, TAG_STRING);
	oa_thrift_field_text(&tags->out, 3, value, OA_LIT(""));
	oa_thrift_close(&tags->out);
}

static void tag_text(struct jaeger_tags *tags, const char *key, struct oa_bytes value)
{
	tag_text2(tags, oa_bytes_str(key), OA_LIT(""), value);
}

static void tag_bool(struct jaeger_tags *tags, const char *key, bool value)
{
	tag_open(tags, oa_bytes_str(key), OA_LIT(""), TAG_BOOL);
	oa_thrift_field_bool(&tags->out, 5, value);
	oa_thrift_close(&tags->out);
}

static void tag_long(struct jaeger_tags *tags, struct oa_bytes key, int64_t value)
{
	tag_open(tags, key, OA_LIT(""), TAG_LONG);
	oa_thrift_field_i64(&tags->out, 6, value);
	oa_thrift_close(&tags->out);
}

static void tag_dropped(struct jaeger_tags *tags, const char *key, unsigned dropped)
{
	if (dropped)
		tag_long(tags, oa_bytes_str(key), dropped);
}

/* -- attributes -- */

static void tag_on_str(void *ctx, const struct oa_attr_key *key, struct oa_bytes value)
{
	tag_text2(ctx, oa_key_name(key), OA_LIT(""), value);
}

static void tag_on_num(void *ctx, const struct oa_attr_key *key, int64_t value)
{
	tag_long(ctx, oa_key_name(key), value);
}

/* Arrays are JSON inside the text. */
static void tag_on_strs(void *ctx, const struct oa_attr_key *prefix, struct oa_bytes name, const struct oa_bytes *values,
			unsigned count)
{
	struct oa_json *j = &jaeger_array;

	oa_json_trim(j, JAEGER_ARRAY_KEEP);
	oa_json_reset(j);
	oa_json_open(j, '[');
	for (unsigned i = 0; i < count; i++)
		oa_json_text(j, values[i]);
	oa_json_close(j, ']');
	if (!j->failed)
		tag_text2(ctx, oa_key_name(prefix), name, oa_bytes(j->mem, j->len));
}

static const struct oa_attr_sink jaeger_sink = { .str = tag_on_str, .num = tag_on_num, .strs = tag_on_strs };

static const char *jaeger_kind(const struct oa_span *s)
{
	if (oa_span_kind(s) == OA_KIND_PRODUCER)
		return "producer";
	return s->kind == OA_KIND_SERVER ? "server" : s->kind == OA_KIND_CLIENT ? "client" : "internal";
}

static void jaeger_span_tags(struct oa_thrift *t, const struct oa_span *s)
{
	struct jaeger_tags *tags = tags_begin(t);
	struct oa_span_event events[OA_EVENTS_MAX];
	unsigned dropped;

	tag_dropped(tags, "otel.dropped_attributes_count", oa_span_attrs(s, &jaeger_sink, tags));
	(void)oa_span_events(s, events, &dropped);
	tag_dropped(tags, "otel.dropped_events_count", dropped);
	(void)oa_span_links(s, &dropped);
	tag_dropped(tags, "otel.dropped_links_count", dropped);
	tag_text(tags, "span.kind", oa_bytes_str(jaeger_kind(s)));
	tag_text(tags, "otel.scope.name", OA_LIT(OA_OTLP_SCOPE));
	tag_text(tags, "otel.scope.version", OA_LIT(OA_VERSION));
	if (s->str[OA_STR_TRACESTATE].len)
		tag_text(tags, "w3c.tracestate", oa_span_str(s, OA_STR_TRACESTATE));
	if (oa_span_failed(s)) {
		tag_bool(tags, "error", true);
		tag_text(tags, "otel.status_code", OA_LIT("ERROR"));
	}
	tags_end(t, 10, tags);
}

/* -- spans -- */

static int64_t jaeger_id(const uint8_t id[8])
{
	uint64_t value;

	memcpy(&value, id, 8);
	return (int64_t)__builtin_bswap64(value);
}

static void jaeger_ref(struct oa_thrift *t, int32_t type, const uint8_t trace_id[16], const uint8_t span_id[8])
{
	oa_thrift_open(t);
	oa_thrift_field_i32(t, 1, type);
	oa_thrift_field_i64(t, 2, jaeger_id(trace_id + 8));
	oa_thrift_field_i64(t, 3, jaeger_id(trace_id));
	oa_thrift_field_i64(t, 4, jaeger_id(span_id));
	oa_thrift_close(t);
}

enum { REF_CHILD_OF, REF_FOLLOWS_FROM };

static void jaeger_refs(struct oa_thrift *t, const struct oa_span *s)
{
	unsigned dropped;
	struct oa_bytes links = oa_span_links(s, &dropped);
	unsigned count = (unsigned)(links.len / sizeof(struct oa_link)) + oa_span_has_parent(s);

	if (!count)
		return;
	oa_thrift_field_list(t, 6, count);
	if (oa_span_has_parent(s))
		jaeger_ref(t, REF_CHILD_OF, s->trace_id, s->parent_id);
	for (size_t at = 0; at + sizeof(struct oa_link) <= links.len; at += sizeof(struct oa_link))
		jaeger_ref(t, REF_FOLLOWS_FROM, links.ptr + at, links.ptr + at + 16);
}

static void jaeger_logs(struct oa_thrift *t, const struct oa_span *s)
{
	struct oa_span_event events[OA_EVENTS_MAX];
	unsigned dropped, count = oa_span_events(s, events, &dropped);

	if (count)
		oa_thrift_field_list(t, 11, count);
	for (unsigned i = 0; i < count; i++) {
		struct jaeger_tags *tags = tags_begin(t);

		oa_thrift_open(t);
		oa_thrift_field_i64(t, 1, (int64_t)(s->start_unix_ns / 1000));
		tag_text(tags, "event", oa_bytes_str(events[i].name));
		tag_long(tags, oa_key_name(&oa_keys[OA_KEY_DURATION_US]), (int64_t)events[i].duration_us);
		tags_end(t, 2, tags);
		oa_thrift_close(t);
	}
}

void oa_jaeger_span(struct oa_thrift *t, const struct oa_span *s)
{
	oa_thrift_open(t);
	oa_thrift_field_i64(t, 1, jaeger_id(s->trace_id + 8));
	oa_thrift_field_i64(t, 2, jaeger_id(s->trace_id));
	oa_thrift_field_i64(t, 3, jaeger_id(s->span_id));
	oa_thrift_field_i64(t, 4, jaeger_id(s->parent_id));
	oa_thrift_field_text(t, 5, oa_span_name(s), OA_LIT(""));
	jaeger_refs(t, s);
	oa_thrift_field_i32(t, 7, 1); /* sampled */
	oa_thrift_field_i64(t, 8, (int64_t)(s->start_unix_ns / 1000));
	oa_thrift_field_i64(t, 9, (int64_t)(s->duration_ns / 1000));
	jaeger_span_tags(t, s);
	jaeger_logs(t, s);
	oa_thrift_close(t);
}

/* -- whose they are -- */

static void jaeger_process_tags(struct jaeger_tags *tags, const struct oa_attr *attrs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(attrs[i].key, "service.name"))
			continue;
		if (attrs[i].is_num)
			tag_long(tags, oa_bytes_str(attrs[i].key), attrs[i].num);
		else
			tag_text(tags, attrs[i].key, oa_bytes_str(attrs[i].str));
	}
}

void oa_jaeger_process(struct oa_thrift *t, int16_t id, const struct oa_proc_id *who)
{
	const char *service = "unknown_service";
	struct jaeger_tags *tags;
	struct oa_proc_attrs own;
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(attrs[i].key, "service.name"))
			service = attrs[i].str;
	oa_proc_attrs(&own, who);
	oa_thrift_field(t, id, OA_THRIFT_STRUCT);
	oa_thrift_open(t);
	oa_thrift_field_text(t, 1, oa_bytes_str(service), OA_LIT(""));
	tags = tags_begin(t);
	jaeger_process_tags(tags, own.attr, own.count);
	jaeger_process_tags(tags, attrs, count);
	tags_end(t, 2, tags);
	oa_thrift_close(t);
}

void oa_jaeger_batch(struct oa_thrift *t, const struct oa_batch *batch)
{
	oa_thrift_open(t);
	oa_jaeger_process(t, 1, &batch->who);
	oa_thrift_field_list(t, 2, (unsigned)batch->count);
	for (size_t i = 0; i < batch->count; i++)
		oa_jaeger_span(t, batch->spans[i]);
	oa_thrift_close(t);
}
