#include "exporter/zipkin_json.h"

#include <cjson/cJSON.h>

#include "core/id.h"
#include "exporter/addr_text.h"
#include "exporter/json_out.h"
#include "exporter/otlp_pb.h"
#include "exporter/proc_attrs.h"
#include "exporter/span_attrs.h"
#include "exporter/utf8.h"

#define ZIPKIN_TEXT_MAX  (3 * OA_SPAN_TEXT_MAX + 1)
#define ZIPKIN_KEY_MAX   512
#define ZIPKIN_ARRAY_MAX 65536

/* Of the resource only what tells apart who sent a span; Zipkin has no place for it but every span. */
static const char *const zipkin_resource[] = {
	"service.namespace", "service.version", "service.instance.id", "deployment.environment.name", "host.name",
	"container.id", "k8s.namespace.name", "k8s.pod.name", "process.pid",
};

static struct oa_json zipkin_array;

void oa_zipkin_json_forget(void) { zipkin_array = (struct oa_json){ 0 }; }

/* A text for cJSON: valid UTF-8 without NUL. Good until the next call with the same buffer. */
static const char *zipkin_text(char *buf, size_t cap, struct oa_bytes in, bool lower)
{
	size_t size;

	in = oa_bytes_cut(in, (cap - 1) / 3);
	size = oa_utf8_size(in);
	(void)oa_utf8_put((uint8_t *)buf, in, size);
	for (size_t i = 0; i < size; i++)
		buf[i] = !buf[i] ? '?' : lower ? (char)oa_lower((uint8_t)buf[i]) : buf[i];
	buf[size] = '\0';
	return buf;
}

/* Numbers as they are: cJSON would send them through a double. */
static void zipkin_number(cJSON *to, const char *key, uint64_t value)
{
	char digits[24];

	*oa_decimal(digits, value) = '\0';
	(void)cJSON_AddRawToObject(to, key, digits);
}

static void zipkin_hex(cJSON *to, const char *key, const uint8_t *id, unsigned len)
{
	char text[33];

	oa_hex(text, id, len);
	text[2 * len] = '\0';
	(void)cJSON_AddStringToObject(to, key, text);
}

/* -- tags -- */

static void zipkin_tag(cJSON *tags, struct oa_bytes key, struct oa_bytes value)
{
	static char text[ZIPKIN_TEXT_MAX], name[ZIPKIN_KEY_MAX]; /* side thread only */

	(void)cJSON_AddStringToObject(tags, zipkin_text(name, sizeof(name), key, false),
				      zipkin_text(text, sizeof(text), value, false));
}

static void zipkin_tag_num(cJSON *tags, const char *key, int64_t value)
{
	char digits[24], *to = digits;

	if (value < 0)
		*to++ = '-';
	to = oa_decimal(to, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
	zipkin_tag(tags, oa_bytes_str(key), oa_bytes(digits, (size_t)(to - digits)));
}

static void zipkin_on_str(void *ctx, const struct oa_attr_key *key, struct oa_bytes value)
{
	zipkin_tag(ctx, oa_key_name(key), value);
}

static void zipkin_on_num(void *ctx, const struct oa_attr_key *key, int64_t value)
{
	char name[sizeof(key->name) + 1];

	memcpy(name, key->name, key->len);
	name[key->len] = '\0';
	zipkin_tag_num(ctx, name, value);
}

/* Arrays are JSON inside the text. */
static void zipkin_on_strs(void *ctx, const struct oa_attr_key *prefix, struct oa_bytes name, const struct oa_bytes *values,
			   unsigned count)
{
	struct oa_json *j = &zipkin_array;
	char key[ZIPKIN_KEY_MAX];
	size_t len = prefix->len;

	oa_json_trim(j, ZIPKIN_ARRAY_MAX);
	oa_json_reset(j);
	oa_json_open(j, '[');
	for (unsigned i = 0; i < count; i++)
		oa_json_text(j, values[i]);
	oa_json_close(j, ']');
	name = oa_bytes_cut(name, sizeof(key) - len);
	memcpy(key, prefix->name, len);
	memcpy(key + len, name.ptr, name.len);
	if (!j->failed)
		zipkin_tag(ctx, oa_bytes(key, len + name.len), oa_bytes(j->mem, j->len));
}

static const struct oa_attr_sink zipkin_sink = { .str = zipkin_on_str, .num = zipkin_on_num, .strs = zipkin_on_strs };

static void zipkin_dropped(cJSON *tags, const char *key, unsigned dropped)
{
	if (dropped)
		zipkin_tag_num(tags, key, dropped);
}

/* Zipkin has no links: as the Collector writes them, which reads them back. */
static void zipkin_links(cJSON *tags, const struct oa_span *s)
{
	char key[] = "otlp.link.0", text[64];
	unsigned dropped;
	struct oa_bytes links = oa_span_links(s, &dropped);

	for (size_t at = 0; at + sizeof(struct oa_link) <= links.len; at += sizeof(struct oa_link), key[10]++) {
		oa_hex(text, links.ptr + at, 16);
		text[32] = '|';
		oa_hex(text + 33, links.ptr + at + 16, 8);
		memcpy(text + 49, "||{}|0", 7);
		(void)cJSON_AddStringToObject(tags, key, text);
	}
	zipkin_dropped(tags, "otel.dropped_links_count", dropped);
}

static void zipkin_resource_tags(cJSON *tags, const struct oa_attr *attrs, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < sizeof(zipkin_resource) / sizeof(zipkin_resource[0]); k++) {
			if (strcmp(attrs[i].key, zipkin_resource[k]) != 0)
				continue;
			if (attrs[i].is_num)
				zipkin_tag_num(tags, attrs[i].key, attrs[i].num);
			else
				zipkin_tag(tags, oa_bytes_str(attrs[i].key), oa_bytes_str(attrs[i].str));
		}
}

static void zipkin_tags(cJSON *span, const struct oa_span *s, const struct oa_proc_attrs *own)
{
	cJSON *tags = cJSON_AddObjectToObject(span, "tags");
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);

	zipkin_dropped(tags, "otel.dropped_attributes_count", oa_span_attrs(s, &zipkin_sink, tags));
	zipkin_tag(tags, OA_LIT("otel.scope.name"), OA_LIT(OA_OTLP_SCOPE));
	zipkin_tag(tags, OA_LIT("otel.scope.version"), OA_LIT(OA_VERSION));
	if (s->str[OA_STR_TRACESTATE].len)
		zipkin_tag(tags, OA_LIT("w3c.tracestate"), oa_span_str(s, OA_STR_TRACESTATE));
	if (oa_span_failed(s)) {
		zipkin_tag(tags, OA_LIT("otel.status_code"), OA_LIT("ERROR"));
		zipkin_tag(tags, OA_LIT("error"), OA_LIT("")); /* there is no description */
	}
	zipkin_links(tags, s);
	zipkin_resource_tags(tags, own->attr, own->count);
	zipkin_resource_tags(tags, attrs, count);
}

/* -- the rest of a span -- */

static void zipkin_local(cJSON *span)
{
	char text[ZIPKIN_KEY_MAX];
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);
	cJSON *local = cJSON_AddObjectToObject(span, "localEndpoint");

	for (size_t i = 0; i < count; i++)
		if (!strcmp(attrs[i].key, "service.name"))
			(void)cJSON_AddStringToObject(local, "serviceName",
						      zipkin_text(text, sizeof(text), oa_bytes_str(attrs[i].str), true));
}

/* Who was asked: by name, and the socket's other end. */
static void zipkin_remote(cJSON *span, const struct oa_span *s)
{
	char buf[OA_SERVER_TEXT_MAX], addr[OA_ADDR_TEXT_MAX], text[ZIPKIN_KEY_MAX];
	cJSON *remote = cJSON_AddObjectToObject(span, "remoteEndpoint");
	size_t len = oa_addr_text(addr, &s->peer);
	struct oa_bytes host;
	unsigned port;

	oa_span_server(s, buf, &host, &port);
	if (host.len && !oa_bytes_eq(host, oa_bytes(addr, len)))
		(void)cJSON_AddStringToObject(remote, "serviceName", zipkin_text(text, sizeof(text), host, true));
	if (len)
		(void)cJSON_AddStringToObject(remote, s->peer.family == 6 ? "ipv6" : "ipv4",
					      zipkin_text(text, sizeof(text), oa_bytes(addr, len), false));
	if (len && s->peer.port)
		zipkin_number(remote, "port", s->peer.port);
	else if (port)
		zipkin_number(remote, "port", port);
}

static void zipkin_annotations(cJSON *span, const struct oa_span *s)
{
	struct oa_span_event events[OA_EVENTS_MAX];
	unsigned dropped, count = oa_span_events(s, events, &dropped);
	cJSON *list = count ? cJSON_AddArrayToObject(span, "annotations") : NULL;

	for (unsigned i = 0; i < count; i++) {
		cJSON *one = cJSON_CreateObject();
		char text[128], *to = text;

		*to++ = '"';
		to = stpcpy(to, events[i].name);
		to = stpcpy(to, "\": {\"otelauto.duration_us\":");
		to = oa_decimal(to, events[i].duration_us);
		(void)stpcpy(to, "}");
		zipkin_number(one, "timestamp", s->start_unix_ns / 1000);
		(void)cJSON_AddStringToObject(one, "value", text);
		(void)cJSON_AddItemToArray(list, one);
	}
	zipkin_dropped(cJSON_GetObjectItemCaseSensitive(span, "tags"), "otel.dropped_events_count", dropped);
}

static cJSON *zipkin_span(const struct oa_span *s, const struct oa_proc_attrs *own)
{
	cJSON *span = cJSON_CreateObject();
	char name[ZIPKIN_KEY_MAX];

	zipkin_hex(span, "traceId", s->trace_id, 16);
	zipkin_hex(span, "id", s->span_id, 8);
	if (oa_span_has_parent(s))
		zipkin_hex(span, "parentId", s->parent_id, 8);
	(void)cJSON_AddStringToObject(span, "name", zipkin_text(name, sizeof(name), oa_span_name(s), false));
	if (s->kind != OA_KIND_INTERNAL)
		(void)cJSON_AddStringToObject(span, "kind", s->kind == OA_KIND_SERVER			       ? "SERVER"
									  : oa_span_kind(s) == OA_KIND_PRODUCER ? "PRODUCER"
														: "CLIENT");
	zipkin_number(span, "timestamp", s->start_unix_ns / 1000);
	zipkin_number(span, "duration", s->duration_ns < 1000 ? 1 : s->duration_ns / 1000);
	zipkin_local(span);
	if (s->kind == OA_KIND_CLIENT)
		zipkin_remote(span, s);
	zipkin_tags(span, s, own);
	zipkin_annotations(span, s);
	return span;
}

char *oa_zipkin_json(const struct oa_batch *batch)
{
	cJSON *list = cJSON_CreateArray();
	struct oa_proc_attrs own;
	char *text = NULL;
	size_t count = 0;

	oa_proc_attrs(&own, &batch->who);
	while (count < batch->count && cJSON_AddItemToArray(list, zipkin_span(batch->spans[count], &own)))
		count++;
	if (count == batch->count)
		text = cJSON_PrintBuffered(list, 65536, 0);
	cJSON_Delete(list);
	return text;
}

void oa_zipkin_json_free(char *text) { cJSON_free(text); }
