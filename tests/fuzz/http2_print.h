#pragma once
/* HTTP/2 events as text, for the expected events of tests/data/http2 and for comparing readers. */
#include "proto/http2.h"
#include "tests/unit/feed.h"

enum http2_text {
	HTTP2_TEXT_TARGET = OA_FIELD_COUNT, HTTP2_TEXT_SCHEME, HTTP2_TEXT_PROTOCOL, HTTP2_TEXT_TYPE,
	HTTP2_TEXT_GRPC_STATUS, HTTP2_TEXT_GRPC_MESSAGE, HTTP2_TEXT_GRPC_TIMEOUT, HTTP2_TEXT_METHOD, HTTP2_TEXT_COUNT,
};

static const char *const http2_text_names[HTTP2_TEXT_COUNT] = {
#define OA_FIELD(id, name) [OA_FIELD_##id] = name,
#include "proto/http1_fields.def"
#undef OA_FIELD
	[HTTP2_TEXT_TARGET] = ":path", [HTTP2_TEXT_SCHEME] = ":scheme", [HTTP2_TEXT_PROTOCOL] = ":protocol",
	[HTTP2_TEXT_TYPE] = "content-type", [HTTP2_TEXT_GRPC_STATUS] = "grpc-status",
	[HTTP2_TEXT_GRPC_MESSAGE] = "grpc-message", [HTTP2_TEXT_GRPC_TIMEOUT] = "grpc-timeout",
	[HTTP2_TEXT_METHOD] = ":method",
};

/* A head the way both readers can make one. */
struct http2_shown {
	enum oa_event_type type;
	uint32_t stream;
	unsigned status, method;
	bool end, malformed, multi_parent, repeated;
	uint64_t list_bytes;
	bool parent_plain;
	struct oa_bytes text[HTTP2_TEXT_COUNT];
};

static inline void http2_show(struct feed_text *t, const struct http2_shown *s)
{
	feed_puts(t, s->type == OA_EVENT_REQUEST ? "REQUEST " : s->type == OA_EVENT_RESPONSE ? "RESPONSE " : "TRAILERS ");
	feed_put_number(t, s->stream);
	if (s->type == OA_EVENT_REQUEST) {
		feed_puts(t, " ");
		feed_puts(t, oa_method_name((enum oa_method)s->method));
	} else if (s->type == OA_EVENT_RESPONSE) {
		feed_puts(t, " ");
		feed_put_number(t, s->status);
	}
	feed_puts(t, s->end ? " end" : "");
	if (s->malformed) {
		feed_puts(t, " malformed\n");
		return;
	}
	feed_puts(t, s->multi_parent ? " multi-parent" : "");
	feed_puts(t, s->repeated ? " repeated" : "");
	feed_puts(t, s->parent_plain ? " plain-parent" : "");
	feed_puts(t, "\n");
	for (unsigned i = 0; i < HTTP2_TEXT_COUNT; i++) {
		if (!s->text[i].len || (i == HTTP2_TEXT_METHOD && s->method))
			continue;
		feed_puts(t, "  ");
		feed_puts(t, http2_text_names[i]);
		feed_puts(t, ": ");
		feed_put_escaped(t, s->text[i]);
		feed_puts(t, "\n");
	}
}

static inline void http2_show_code(struct feed_text *t, const char *what, uint32_t stream, uint32_t code)
{
	feed_puts(t, what);
	feed_put_number(t, stream);
	feed_puts(t, " ");
	feed_put_number(t, code);
	feed_puts(t, "\n");
}

static inline void http2_print_head(struct feed_text *t, enum oa_event_type type, uint32_t stream,
				    const struct oa_http2_head *h)
{
	struct http2_shown s = {
		.type = type, .stream = stream, .status = h->http.status, .method = h->http.method,
		.end = h->flags & OA_HTTP2_END, .malformed = h->flags & OA_HTTP2_MALFORMED,
		.multi_parent = h->http.flags & OA_HTTP_MULTI_PARENT, .repeated = h->http.flags & OA_HTTP_REPEATED,
		.parent_plain = h->parent_to,
	};
	const struct oa_slice more[] = { h->http.target, h->scheme, h->protocol, h->content_type, h->grpc_status,
					 h->grpc_message, h->grpc_timeout, h->http.method_text };

	for (unsigned i = 0; i < OA_FIELD_COUNT; i++)
		s.text[i] = oa_http_field(&h->http, i);
	for (unsigned i = OA_FIELD_COUNT; i < HTTP2_TEXT_COUNT; i++)
		s.text[i] = oa_http_slice(&h->http, more[i - OA_FIELD_COUNT]);
	http2_show(t, &s);
}

static inline void http2_print(struct feed_text *t, const struct oa_event *ev)
{
	switch (ev->type) {
	case OA_EVENT_REQUEST:
	case OA_EVENT_RESPONSE:
	case OA_EVENT_TRAILERS:
		http2_print_head(t, ev->type, ev->stream, oa_http2_head(ev->u.head));
		break;
	case OA_EVENT_END:
		feed_puts(t, "END ");
		feed_put_number(t, ev->stream);
		feed_puts(t, "\n");
		break;
	case OA_EVENT_RESET:
		http2_show_code(t, "RESET ", ev->stream, ev->u.code);
		break;
	case OA_EVENT_GOAWAY:
		http2_show_code(t, "GOAWAY ", ev->stream, ev->u.code);
		break;
	default:
		abort();
	}
}
