#pragma once
/* A second opinion on exporter/otlp_pb.c: the same spans made into messages by protobuf-c, with straightforward code
 * of its own for everything that the encoder does by hand. And random spans to compare them on. */
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "core/span.h"
#include "exporter/otlp.pb-c.h"
#include "exporter/span_attrs.h"

/* -- text: each byte that is no part of a well-formed character becomes U+FFFD -- */

static inline unsigned oracle_bits(const uint8_t *p, unsigned len)
{
	unsigned c = p[0] & (0xff >> (len + 1));

	for (unsigned i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c;
}

static inline unsigned oracle_char(const uint8_t *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc0 && p[0] < 0xe0 && left >= 2 && oracle_bits(p, 2) >= 0x80)
		return 2;
	if (p[0] >= 0xe0 && p[0] < 0xf0 && left >= 3 && oracle_bits(p, 3) >= 0x800 && oracle_bits(p, 3) >> 11 != 0x1b)
		return 3;
	if (p[0] >= 0xf0 && p[0] < 0xf8 && left >= 4 && oracle_bits(p, 4) >= 0x10000 && oracle_bits(p, 4) <= 0x10ffff)
		return 4;
	return 0;
}

static inline char *oracle_text(struct oa_bytes in)
{
	char *out = malloc(3 * in.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < in.len;) {
		unsigned len = oracle_char(in.ptr + i, in.len - i);

		memcpy(out + n, len ? (const char *)in.ptr + i : "\xef\xbf\xbd", len ? len : 3);
		n += len ? len : 3;
		i += len ? len : 1;
	}
	out[n] = '\0'; /* protobuf-c stops at a NUL: random_text() makes none */
	return out;
}

/* -- spans -- */

static inline Oa__Otlp__AnyValue *oracle_any(Oa__Otlp__AnyValue__ValueCase what)
{
	Oa__Otlp__AnyValue *v = malloc(sizeof(*v));

	oa__otlp__any_value__init(v);
	v->value_case = what;
	return v;
}

static inline Oa__Otlp__KeyValue *oracle_kv(char *key, Oa__Otlp__AnyValue *value)
{
	Oa__Otlp__KeyValue *kv = malloc(sizeof(*kv));

	oa__otlp__key_value__init(kv);
	kv->key = key;
	kv->value = value;
	return kv;
}

static inline void oracle_add(Oa__Otlp__Span *span, Oa__Otlp__KeyValue *kv)
{
	span->attributes = realloc(span->attributes, (span->n_attributes + 1) * sizeof(kv));
	span->attributes[span->n_attributes++] = kv;
}

static inline void oracle_str(void *ctx, const struct oa_attr_key *key, struct oa_bytes value)
{
	Oa__Otlp__AnyValue *v = oracle_any(OA__OTLP__ANY_VALUE__VALUE_STRING_VALUE);

	v->string_value = oracle_text(value);
	oracle_add(ctx, oracle_kv(oracle_text(oa_key_name(key)), v));
}

static inline void oracle_num(void *ctx, const struct oa_attr_key *key, int64_t value)
{
	Oa__Otlp__AnyValue *v = oracle_any(OA__OTLP__ANY_VALUE__VALUE_INT_VALUE);

	v->int_value = value;
	oracle_add(ctx, oracle_kv(oracle_text(oa_key_name(key)), v));
}

static inline void oracle_strs(void *ctx, const struct oa_attr_key *prefix, struct oa_bytes name,
			       const struct oa_bytes *values, unsigned count)
{
	Oa__Otlp__AnyValue *v = oracle_any(OA__OTLP__ANY_VALUE__VALUE_ARRAY_VALUE);
	Oa__Otlp__ArrayValue *array = malloc(sizeof(*array));
	char *tail = oracle_text(name), *key = malloc(prefix->len + strlen(tail) + 1);

	oa__otlp__array_value__init(array);
	array->n_values = count;
	array->values = malloc(count * sizeof(*array->values));
	for (unsigned i = 0; i < count; i++) {
		array->values[i] = oracle_any(OA__OTLP__ANY_VALUE__VALUE_STRING_VALUE);
		array->values[i]->string_value = oracle_text(values[i]);
	}
	v->array_value = array;
	memcpy(key, prefix->name, prefix->len);
	strcpy(key + prefix->len, tail);
	free(tail);
	oracle_add(ctx, oracle_kv(key, v));
}

static inline ProtobufCBinaryData oracle_id(const void *bytes, size_t len)
{
	ProtobufCBinaryData d = { len, malloc(len) };

	memcpy(d.data, bytes, len);
	return d;
}

static inline void oracle_events(Oa__Otlp__Span *span, const struct oa_span *s)
{
	struct oa_span_event events[OA_EVENTS_MAX];

	span->n_events = oa_span_events(s, events, &span->dropped_events_count);
	span->events = malloc((span->n_events + 1) * sizeof(*span->events));
	for (unsigned i = 0; i < span->n_events; i++) {
		Oa__Otlp__Span__Event *e = malloc(sizeof(*e));
		Oa__Otlp__AnyValue *v = oracle_any(OA__OTLP__ANY_VALUE__VALUE_INT_VALUE);

		oa__otlp__span__event__init(e);
		e->time_unix_nano = s->start_unix_ns;
		e->name = strdup(events[i].name);
		v->int_value = (int64_t)events[i].duration_us;
		e->n_attributes = 1;
		e->attributes = malloc(sizeof(*e->attributes));
		e->attributes[0] = oracle_kv(strdup("otelauto.duration_us"), v);
		span->events[i] = e;
	}
}

static inline void oracle_links(Oa__Otlp__Span *span, const struct oa_span *s)
{
	struct oa_bytes text = oa_span_str(s, OA_STR_LINKS);

	span->n_links = text.len / 24;
	if (span->n_links > (size_t)oa_config.span_link_count_limit) {
		span->dropped_links_count = (uint32_t)span->n_links - (uint32_t)oa_config.span_link_count_limit;
		span->n_links = (size_t)oa_config.span_link_count_limit;
	}
	span->links = malloc((span->n_links + 1) * sizeof(*span->links));
	for (unsigned i = 0; i < span->n_links; i++) {
		Oa__Otlp__Span__Link *link = malloc(sizeof(*link));

		oa__otlp__span__link__init(link);
		link->trace_id = oracle_id(text.ptr + 24 * i, 16);
		link->span_id = oracle_id(text.ptr + 24 * i + 16, 8);
		link->flags = 0x100;
		span->links[i] = link;
	}
}

static inline Oa__Otlp__Span *oracle_span(const struct oa_span *s)
{
	static const struct oa_attr_sink sink = { .str = oracle_str, .num = oracle_num, .strs = oracle_strs };
	static const uint8_t zero[8];
	Oa__Otlp__Span *span = malloc(sizeof(*span));

	oa__otlp__span__init(span);
	span->trace_id = oracle_id(s->trace_id, 16);
	span->span_id = oracle_id(s->span_id, 8);
	span->trace_state = oracle_text(oa_span_str(s, OA_STR_TRACESTATE));
	span->flags = 0x100 | !!(s->flags & OA_SPAN_SAMPLED) | (s->flags & OA_SPAN_RANDOM ? 2 : 0);
	if (memcmp(s->parent_id, zero, 8) != 0) {
		span->parent_span_id = oracle_id(s->parent_id, 8);
		span->flags |= s->flags & OA_SPAN_PARENT_REMOTE ? 0x200 : 0;
	}
	span->name = oracle_text(oa_span_name(s));
	span->kind = (Oa__Otlp__Span__SpanKind)s->kind;
	span->start_time_unix_nano = s->start_unix_ns;
	span->end_time_unix_nano = s->start_unix_ns + s->duration_ns;
	span->dropped_attributes_count = oa_span_attrs(s, &sink, span);
	oracle_events(span, s);
	oracle_links(span, s);
	if (oa_span_failed(s)) {
		span->status = malloc(sizeof(*span->status));
		oa__otlp__status__init(span->status);
		span->status->code = OA__OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
	}
	return span;
}

/* -- random spans -- */

static uint64_t oracle_seed = 1;

static inline uint32_t oracle_random(uint32_t below)
{
	oracle_seed = oracle_seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(oracle_seed >> 33) % below;
}

/* Mostly ASCII, some well-formed characters of every length, some rubbish; no NUL. */
static inline struct oa_bytes random_text(uint8_t *buf, size_t max)
{
	static const char *const chars[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf" };
	size_t len = oracle_random(8) ? oracle_random(40) : oracle_random((uint32_t)max), n = 0;
	unsigned kind = oracle_random(4);

	while (n + 4 < len) {
		const char *c = chars[oracle_random(5)];

		if (kind == 0 || oracle_random(3))
			buf[n++] = (uint8_t)(' ' + oracle_random(95));
		else if (kind < 3)
			n += (size_t)(stpcpy((char *)buf + n, c) - (char *)(buf + n));
		else
			buf[n++] = (uint8_t)(1 + oracle_random(255));
	}
	return oa_bytes(buf, n);
}

static inline void random_headers(struct oa_span_buf *b)
{
	static uint8_t text[4096];
	size_t n = 0;

	for (unsigned i = oracle_random(6); i; i--) {
		uint8_t value[300];
		struct oa_bytes v = random_text(value, 300);
		uint16_t len = (uint16_t)v.len;

		text[n++] = (uint8_t)oracle_random(2);
		text[n++] = 3;
		memcpy(text + n, &len, 2);
		memcpy(text + n + 2, oracle_random(2) ? "x-a" : "x-b", 3);
		memcpy(text + n + 5, v.ptr, v.len);
		n += 5 + v.len;
	}
	(void)oa_span_set_str(&b->s, sizeof(*b), OA_STR_HEADERS, oa_bytes(text, n));
}

static inline void random_bytes(uint8_t *out, size_t len)
{
	while (len--)
		*out++ = (uint8_t)(1 + oracle_random(255));
}

static inline void random_span(struct oa_span_buf *b)
{
	static uint8_t text[4096];
	struct oa_span *s = &b->s;

	memset(b, 0, sizeof(*b));
	s->bytes = sizeof(*s);
	s->kind = (uint8_t)(1 + oracle_random(3));
	s->what = (uint8_t)(oracle_random(4) ? OA_WHAT_HTTP : 1 + oracle_random(3));
	random_bytes(s->trace_id, 16);
	random_bytes(s->span_id, 8);
	if (oracle_random(3))
		random_bytes(s->parent_id, 8);
	s->start_unix_ns = 1700000000000000000ull + oracle_random(1000000000);
	s->duration_ns = (uint64_t)oracle_random(1u << 31) << oracle_random(4);
	s->flags = oracle_random(0x4000);
	s->status = (uint16_t)(oracle_random(4) ? 200 + 100 * oracle_random(4) + oracle_random(3) : oracle_random(1000));
	s->method = (uint8_t)oracle_random(OA_METHOD_COUNT);
	s->version = (uint8_t)(10 * oracle_random(3) + oracle_random(2));
	s->error = (uint8_t)(oracle_random(3) ? 0 : oracle_random(OA_ERR_COUNT));
	s->evidence = (uint8_t)oracle_random(OA_EV_COUNT);
	s->resend = (uint8_t)(oracle_random(5) ? 0 : oracle_random(256));
	s->req_body = (uint64_t)oracle_random(1u << 31) << oracle_random(34);
	s->resp_body = oracle_random(2) ? 0 : UINT64_MAX;
	s->dns_us = oracle_random(2) ? 0 : oracle_random(1u << 31);
	s->connect_us = oracle_random(2) ? 0 : oracle_random(1000);
	s->peer.family = (uint8_t)(oracle_random(3) * 2 + (oracle_random(2) ? 2 : 0));
	s->peer.port = (uint16_t)oracle_random(65536);
	for (unsigned i = 0; i < 16; i++)
		s->peer.ip[i] = (uint8_t)(oracle_random(2) ? 0 : oracle_random(256));
	for (unsigned i = 0; i < OA_STR_COUNT; i++)
		if (i != OA_STR_LINKS && i != OA_STR_HEADERS && oracle_random(2))
			(void)oa_span_set_str(s, sizeof(*b), (enum oa_str)i, random_text(text, 700));
	random_bytes(text, 96);
	(void)oa_span_set_str(s, sizeof(*b), OA_STR_LINKS, oa_bytes(text, 24 * oracle_random(5)));
	random_headers(b);
}
