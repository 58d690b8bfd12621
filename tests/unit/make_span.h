#pragma once
/* Records as the host side leaves them, for tests of the side thread. */
#include <check.h>
#include <string.h>

#include "core/clock.h"
#include "core/inject_result.h"
#include "core/span.h"

static struct oa_span_buf made;

static inline struct oa_span *make_span(enum oa_kind kind)
{
	memset(&made, 0, sizeof(made));
	made.s.bytes = sizeof(made.s);
	made.s.kind = (uint8_t)kind;
	made.s.what = OA_WHAT_HTTP;
	made.s.method = OA_METHOD_GET;
	made.s.version = 11;
	made.s.flags = OA_SPAN_SAMPLED | OA_SPAN_HAS_STATUS;
	made.s.status = 200;
	made.s.start_ns = oa_now_ns();
	made.s.duration_ns = 3000000;
	memset(made.s.trace_id, 0xab, sizeof(made.s.trace_id));
	memset(made.s.span_id, 0xcd, sizeof(made.s.span_id));
	return &made.s;
}

static inline void make_str(enum oa_str which, const char *text)
{
	oa_span_set_str(&made.s, sizeof(made), which, oa_bytes_str(text));
}

static inline void check_str(const struct oa_span *s, enum oa_str which, const char *expected)
{
	struct oa_bytes text = oa_span_str(s, which);

	ck_assert_msg(oa_bytes_eq(text, oa_bytes_str(expected)),
		      "text %d is \"%.*s\", expected \"%s\"", which, (int)text.len,
		      (const char *)text.ptr, expected);
}

/* No piece of the record, referred to or not, may be in what exporters can reach. */
static inline bool span_shows(const struct oa_span *s, const char *secret)
{
	for (unsigned i = 0; i < OA_STR_COUNT; i++) {
		struct oa_bytes text = oa_span_str(s, (enum oa_str)i);

		if (text.len && memmem(text.ptr, text.len, secret, strlen(secret)))
			return true;
	}
	return false;
}
