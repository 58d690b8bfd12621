#pragma once
/* The one place where a finished record becomes a span of the semantic conventions 1.44.0: name, status,
 * error.type, attributes, events. Every exporter asks here, so all of them say the same; docs/export.md lists it.
 *
 * Records are read as pipeline/ leaves them: OA_STR_HOST is who was asked, without user and password, also when the
 * target was absolute; OA_STR_PATH and OA_STR_QUERY are the redacted target; OA_STR_TARGET is only set for an absolute
 * target of a client and then is the redacted url.full. Texts are as the wire had them, maybe not UTF-8 (utf8.h).
 *
 * all: runs on side thread; locks: none; heap: no; blocks: no */
#include "core/bytes.h"
#include "core/span.h"
#include "exporter/db_names.h"
#include "exporter/db_pools.h"

#define OA_ATTRS_MAX 1024 /* whatever OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT says: OA_OTLP_SPAN_MAX has room for them */

/* A key as protobuf has it in front of the value (KeyValue.key, field 1), of fixed size so that copying one is three
 * moves: `tag` 0x0a, `len`, `name`. Nothing of it is of concern to users of the text. */
struct oa_attr_key {
	uint8_t tag, len;
	char name[46];
};

enum oa_key {
#define OA_KEY(id, name) OA_KEY_##id,
#include "exporter/semconv.def"
#undef OA_KEY
	OA_KEY_COUNT,
};
extern const struct oa_attr_key oa_keys[OA_KEY_COUNT];

static inline struct oa_bytes oa_key_name(const struct oa_attr_key *key)
{
	return oa_bytes(key->name, key->len);
}

/* Attributes that follow from a few fields of the record and from nothing else. */
enum oa_attr_groups { OA_ATTRS_METHOD, OA_ATTRS_STATUS, OA_ATTRS_SERVER, OA_ATTRS_PEER, OA_ATTRS_CLIENT, OA_ATTR_GROUPS };
struct oa_attr_group {
	enum oa_attr_groups sort;
	uint64_t fields;
	struct oa_bytes text;
};

/* Receives attributes, each key once, values cut at the limit of the settings and borrowed for the call. */
struct oa_attr_sink {
	void (*str)(void *ctx, const struct oa_attr_key *key, struct oa_bytes value);
	void (*num)(void *ctx, const struct oa_attr_key *key, int64_t value);
	/* An array of strings. Its key is `prefix` and `name` together. */
	void (*strs)(void *ctx, const struct oa_attr_key *prefix, struct oa_bytes name,
		     const struct oa_bytes *values, unsigned count);
	/* For a sink that can do the same again; NULL else. recall() takes all attributes of a group and says how many they
	 * were. When it says 0 they come one by one, and then keep() with their count. */
	unsigned (*recall)(void *ctx, const struct oa_attr_group *group);
	void (*keep)(void *ctx, const struct oa_attr_group *group, unsigned count);
};

/* returns how many attributes were dropped: the last ones, past the limit of the settings */
unsigned oa_span_attrs(const struct oa_span *s, const struct oa_attr_sink *sink, void *ctx);

/* What happened before or inside the span, with how long it took (attribute otelauto.duration_us). */
struct oa_span_event {
	const char *name; /* "dns.lookup", "connect" */
	uint64_t duration_us;
};
#define OA_EVENTS_MAX 3
unsigned oa_span_events(const struct oa_span *s, struct oa_span_event ret_events[OA_EVENTS_MAX], unsigned *ret_dropped);

/* Whole struct oa_link, packed, as many as the settings allow. */
struct oa_bytes oa_span_links(const struct oa_span *s, unsigned *ret_dropped);

/* OA_STR_NAME; a name without route when the pipeline set none. */
struct oa_bytes oa_span_name(const struct oa_span *s);

/* The kind that leaves the process: OTLP's number. */
#define OA_KIND_PRODUCER 4
uint8_t oa_span_kind(const struct oa_span *s);

/* error.type, the same for the span and the metric; empty when nothing went wrong. */
struct oa_bytes oa_span_error_type(const struct oa_span *s, char buf[8]);

/* Of a gRPC call: rpc.method, "_OTHER" when the server has no such method; rpc.status_code. */
struct oa_bytes oa_span_rpc_method(const struct oa_span *s);
struct oa_bytes oa_span_rpc_status(const struct oa_span *s);

/* Status code Error; the alternative is Unset. */
static inline bool oa_span_failed(const struct oa_span *s)
{
	char buf[8];

	return oa_span_error_type(s, buf).len > 0;
}

/* url.scheme: "http" or "https". */
struct oa_bytes oa_span_scheme(const struct oa_span *s);

/* server.address and server.port: who was asked, by the message; for clients else by the socket. buf: room for an
 * address as text. ret_host is empty, ret_port 0 when unknown. */
#define OA_SERVER_TEXT_MAX 48
void oa_span_server(const struct oa_span *s, char buf[OA_SERVER_TEXT_MAX], struct oa_bytes *ret_host, unsigned *ret_port);
