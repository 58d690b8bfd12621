#pragma once
/* One header block as text, for the expected events of tests/data/http1 and for comparing parsers. */
#include "proto/http1.h"
#include "tests/unit/feed.h"

static inline void http1_print_flags(struct feed_text *t, unsigned flags)
{
	static const char *const names[] = {
		"chunked", "length", "keep-alive", "upgrade", "until-close", "multi-parent",
		"no-body", "expect", "repeated", "ambiguous",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(flags & 1u << i))
			continue;
		feed_puts(t, " ");
		feed_puts(t, names[i]);
	}
	if (flags >> sizeof(names) / sizeof(names[0]))
		abort();
}

static inline void http1_print_head(struct feed_text *t, const struct oa_http_head *h, bool request)
{
	static const char *const fields[] = {
#define OA_FIELD(id, name) name,
#include "proto/http1_fields.def"
#undef OA_FIELD
	};

	if (request) {
		feed_puts(t, "REQUEST ");
		feed_puts(t, oa_method_name(h->method));
		feed_puts(t, "=");
		feed_put_escaped(t, oa_http_slice(h, h->method_text));
		feed_puts(t, " ");
		feed_put_escaped(t, oa_http_slice(h, h->target));
	} else {
		feed_puts(t, "RESPONSE ");
		feed_put_number(t, h->status);
	}
	feed_puts(t, h->version == 11 ? " 1.1" : h->version == 10 ? " 1.0" : " ?");
	http1_print_flags(t, h->flags);
	feed_puts(t, h->nl == 2 ? "\n  crlf" : h->nl == 1 ? "\n  lf" : "\n  ?");
	feed_puts(t, ", block ");
	feed_put_number(t, h->block.len);
	feed_puts(t, ", blank line at ");
	feed_put_number(t, h->blank_off);
	if (h->flags & OA_HTTP_HAS_LENGTH) {
		feed_puts(t, ", length ");
		feed_put_number(t, h->length);
	}
	feed_puts(t, "\n");
	for (unsigned i = 0; i < OA_FIELD_COUNT; i++) {
		if (!h->field[i].len)
			continue;
		feed_puts(t, "  ");
		feed_puts(t, fields[i]);
		feed_puts(t, ": ");
		feed_put_escaped(t, oa_http_field(h, i));
		feed_puts(t, "\n");
	}
}

static inline void http1_print(struct feed_text *t, const struct oa_event *ev)
{
	http1_print_head(t, ev->u.head, ev->type == OA_EVENT_REQUEST);
}
