#include "exporter/otlp_json.h"

#include <errno.h>

#include "exporter/otlp_pb.h"
#include "exporter/proc_attrs.h"
#include "exporter/span_attrs.h"

/* -- attributes -- */

static void json_attr_begin(struct oa_json *j, struct oa_bytes key, struct oa_bytes more, const char *type)
{
	oa_json_open(j, '{');
	oa_json_key(j, "key");
	oa_json_text2(j, key, more);
	oa_json_key(j, "value");
	oa_json_open(j, '{');
	oa_json_key_bytes(j, oa_bytes_str(type));
}

static void json_attr_end(struct oa_json *j)
{
	oa_json_close(j, '}');
	oa_json_close(j, '}');
}

void oa_otlp_json_attr(struct oa_json *j, struct oa_bytes key, struct oa_bytes value)
{
	json_attr_begin(j, key, OA_LIT(""), "stringValue");
	oa_json_text(j, value);
	json_attr_end(j);
}

static void json_attr_int(struct oa_json *j, struct oa_bytes key, int64_t value)
{
	json_attr_begin(j, key, OA_LIT(""), "intValue");
	oa_json_int_text(j, value);
	json_attr_end(j);
}

static void json_on_str(void *ctx, const struct oa_attr_key *key, struct oa_bytes value)
{
	oa_otlp_json_attr(ctx, oa_key_name(key), value);
}

static void json_on_num(void *ctx, const struct oa_attr_key *key, int64_t value)
{
	json_attr_int(ctx, oa_key_name(key), value);
}

static void json_on_strs(void *ctx, const struct oa_attr_key *prefix, struct oa_bytes name, const struct oa_bytes *values,
			 unsigned count)
{
	struct oa_json *j = ctx;

	json_attr_begin(j, oa_key_name(prefix), name, "arrayValue");
	oa_json_open(j, '{');
	oa_json_key(j, "values");
	oa_json_open(j, '[');
	for (unsigned i = 0; i < count; i++) {
		oa_json_open(j, '{');
		oa_json_key(j, "stringValue");
		oa_json_text(j, values[i]);
		oa_json_close(j, '}');
	}
	oa_json_close(j, ']');
	oa_json_close(j, '}');
	json_attr_end(j);
}

static const struct oa_attr_sink json_sink = { .str = json_on_str, .num = json_on_num, .strs = json_on_strs };

/* -- the parts of a span -- */

static void json_dropped(struct oa_json *j, const char *key, unsigned dropped)
{
	if (!dropped)
		return;
	oa_json_key_bytes(j, oa_bytes_str(key));
	oa_json_uint(j, dropped);
}

static void json_attributes(struct oa_json *j, const struct oa_span *s)
{
	unsigned dropped;

	oa_json_key(j, "attributes");
	oa_json_open(j, '[');
	dropped = oa_span_attrs(s, &json_sink, j);
	oa_json_close(j, ']');
	json_dropped(j, "droppedAttributesCount", dropped);
}

static void json_event(struct oa_json *j, const struct oa_span *s, const struct oa_span_event *event)
{
	oa_json_open(j, '{');
	oa_json_key(j, "timeUnixNano");
	oa_json_uint_text(j, s->start_unix_ns);
	oa_json_key(j, "name");
	oa_json_text(j, oa_bytes_str(event->name));
	oa_json_key(j, "attributes");
	oa_json_open(j, '[');
	json_attr_int(j, oa_key_name(&oa_keys[OA_KEY_DURATION_US]), (int64_t)event->duration_us);
	oa_json_close(j, ']');
	oa_json_close(j, '}');
}

static void json_events(struct oa_json *j, const struct oa_span *s)
{
	struct oa_span_event events[OA_EVENTS_MAX];
	unsigned dropped, count = oa_span_events(s, events, &dropped);

	if (count) {
		oa_json_key(j, "events");
		oa_json_open(j, '[');
		for (unsigned i = 0; i < count; i++)
			json_event(j, s, &events[i]);
		oa_json_close(j, ']');
	}
	json_dropped(j, "droppedEventsCount", dropped);
}

static void json_link(struct oa_json *j, const uint8_t *ids)
{
	oa_json_open(j, '{');
	oa_json_key(j, "traceId");
	oa_json_hex(j, ids, 16);
	oa_json_key(j, "spanId");
	oa_json_hex(j, ids + 16, 8);
	oa_json_key(j, "flags");
	oa_json_uint(j, OA_OTLP_IS_REMOTE_KNOWN);
	oa_json_close(j, '}');
}

static void json_links(struct oa_json *j, const struct oa_span *s)
{
	unsigned dropped;
	struct oa_bytes links = oa_span_links(s, &dropped);

	if (links.len) {
		oa_json_key(j, "links");
		oa_json_open(j, '[');
		for (size_t at = 0; at + sizeof(struct oa_link) <= links.len; at += sizeof(struct oa_link))
			json_link(j, links.ptr + at);
		oa_json_close(j, ']');
	}
	json_dropped(j, "droppedLinksCount", dropped);
}

static void json_ids(struct oa_json *j, const struct oa_span *s)
{
	oa_json_key(j, "traceId");
	oa_json_hex(j, s->trace_id, 16);
	oa_json_key(j, "spanId");
	oa_json_hex(j, s->span_id, 8);
	if (s->str[OA_STR_TRACESTATE].len) {
		oa_json_key(j, "traceState");
		oa_json_text(j, oa_span_str(s, OA_STR_TRACESTATE));
	}
	if (oa_span_has_parent(s)) {
		oa_json_key(j, "parentSpanId");
		oa_json_hex(j, s->parent_id, 8);
	}
	oa_json_key(j, "flags");
	oa_json_uint(j, oa_otlp_span_flags(s));
}

static void json_span(struct oa_json *j, const struct oa_span *s)
{
	oa_json_open(j, '{');
	json_ids(j, s);
	oa_json_key(j, "name");
	oa_json_text(j, oa_span_name(s));
	oa_json_key(j, "kind");
	oa_json_uint(j, oa_span_kind(s));
	oa_json_key(j, "startTimeUnixNano");
	oa_json_uint_text(j, s->start_unix_ns);
	oa_json_key(j, "endTimeUnixNano");
	oa_json_uint_text(j, s->start_unix_ns + s->duration_ns);
	json_attributes(j, s);
	json_events(j, s);
	json_links(j, s);
	if (oa_span_failed(s)) {
		oa_json_key(j, "status");
		oa_json_raw(j, OA_LIT("{\"code\":2}"));
	}
	oa_json_close(j, '}');
}

/* -- the request around them -- */

static void json_resource_attr(struct oa_json *j, const struct oa_attr *a)
{
	if (a->is_num)
		json_attr_int(j, oa_bytes_str(a->key), a->num);
	else
		oa_otlp_json_attr(j, oa_bytes_str(a->key), oa_bytes_str(a->str));
}

static void json_resource(struct oa_json *j, const struct oa_proc_id *who)
{
	struct oa_proc_attrs own;
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);

	oa_proc_attrs(&own, who);
	oa_json_key(j, "attributes");
	oa_json_open(j, '[');
	for (unsigned i = 0; i < own.count; i++)
		json_resource_attr(j, &own.attr[i]);
	for (size_t i = 0; i < count; i++)
		json_resource_attr(j, &attrs[i]);
	oa_json_close(j, ']');
}

static void json_scope(struct oa_json *j)
{
	oa_json_key(j, "name");
	oa_json_text(j, OA_LIT(OA_OTLP_SCOPE));
	oa_json_key(j, "version");
	oa_json_text(j, OA_LIT(OA_VERSION));
}

static void json_schema(struct oa_json *j)
{
	oa_json_key(j, "schemaUrl");
	oa_json_text(j, OA_LIT(OA_OTLP_SCHEMA_URL));
}

void oa_otlp_json_begin(struct oa_json *j, const struct oa_proc_id *who, const struct oa_otlp_json_names *names)
{
	oa_json_reset(j);
	oa_json_open(j, '{');
	oa_json_key_bytes(j, oa_bytes_str(names->resources));
	oa_json_open(j, '[');
	oa_json_open(j, '{');
	oa_json_key(j, "resource");
	oa_json_open(j, '{');
	json_resource(j, who);
	oa_json_close(j, '}');
	oa_json_key_bytes(j, oa_bytes_str(names->scopes));
	oa_json_open(j, '[');
	oa_json_open(j, '{');
	oa_json_key(j, "scope");
	oa_json_open(j, '{');
	json_scope(j);
	oa_json_close(j, '}');
	oa_json_key_bytes(j, oa_bytes_str(names->items));
	oa_json_open(j, '[');
}

void oa_otlp_json_end(struct oa_json *j)
{
	oa_json_close(j, ']');
	json_schema(j);
	oa_json_close(j, '}');
	oa_json_close(j, ']');
	json_schema(j);
	oa_json_close(j, '}');
	oa_json_close(j, ']');
	oa_json_close(j, '}');
}

#define JSON_TAIL_MAX 256

long oa_otlp_json_request(struct oa_json *j, const struct oa_batch *batch, size_t max_bytes, struct oa_bytes *ret_request)
{
	static const struct oa_otlp_json_names names = { "resourceSpans", "scopeSpans", "spans" };
	size_t i;

	oa_otlp_json_begin(j, &batch->who, &names);
	for (i = 0; i < batch->count && !j->failed; i++) {
		size_t len = j->len;

		json_span(j, batch->spans[i]);
		if (j->len + JSON_TAIL_MAX <= max_bytes)
			continue;
		j->len = len;
		break;
	}
	oa_otlp_json_end(j);
	*ret_request = oa_bytes(j->mem, j->len);
	return j->failed ? -ENOMEM : (long)i;
}
