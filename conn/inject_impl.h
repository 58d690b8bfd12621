#pragma once
/* What the injectors of HTTP/1 and HTTP/2 share. */
#include "conn/inject.h"
#include "conn/propagate.h"
#include "core/inject_result.h"

/* A block for the texts of this call, unless it has one. returns false when it has none that is as large */
bool oa_inject_reserve(const struct oa_conn *c, struct oa_send *s, unsigned cls);

/* A place in front of which something else stands in each text block. */
size_t oa_inject_text_offset(void);

/* May this request get headers? returns OA_INJECT_NONE: yes */
enum oa_inject_result oa_inject_allowed(const struct oa_http_head *h, const struct oa_send *s, unsigned points_max);

/* Free part of the text block, behind the texts of earlier points. */
struct oa_buf oa_inject_room(const struct oa_send *s);
/* Adds a point whose text is in the block already; instead of as many bytes of the host's, or between them. */
void oa_inject_point(struct oa_send *s, size_t off, const struct oa_buf *text, bool replace);
/* The parent id of a traceparent handed on: ours instead, and the flags behind it. */
enum oa_inject_result oa_inject_rewrite(const struct oa_conn *c, struct oa_send *s, struct oa_exchange *ex, size_t off,
					bool w3c);

/* Composes the call with what is owed and the points in place. returns false when it cannot be */
bool oa_inject_compose(const struct oa_conn *c, struct oa_send *s);

/* The header lines that tell the context of an exchange. */
enum oa_inject_result oa_inject_lines(struct oa_exchange *ex, struct oa_buf *out);
/* They may be longer than usual. */
bool oa_inject_is_long(const struct oa_exchange *ex);
