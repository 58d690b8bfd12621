#pragma once
/* What the spans of HTTP/1 and HTTP/2 have in common: what a head becomes. Inline, because the path of an ordinary
 * HTTP/1 exchange is one piece of code.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/capture.h"
#include "conn/context.h"
#include "conn/decide.h"
#include "conn/propagate.h"
#include "conn/span_build.h"
#include "core/id.h"

static inline struct oa_ref oa_ref_of(uint32_t index)
{
	return (struct oa_ref){ index, atomic_load_explicit(&oa_exchange_at(index)->gen, memory_order_relaxed) };
}

static inline void oa_span_new_trace(struct oa_span *s)
{
	oa_id_trace(s->trace_id);
	s->flags |= OA_SPAN_RANDOM;
}

/* -- span_http.c: what is seldom -- */

OA_COLD void oa_span_special_method(struct oa_exchange *ex, const struct oa_http_head *h);
OA_COLD void oa_span_baggage(struct oa_exchange *ex, const struct oa_http_head *h);
OA_COLD void oa_span_upgrade(struct oa_exchange *ex, const struct oa_http_head *h);
/* The session behind an Upgrade or CONNECT: a span of its own, child of the HTTP exchange's. */
OA_COLD void oa_span_tunnel(struct oa_feed *f, struct oa_exchange *http);

/* -- heads -- */

static inline void oa_span_request_line(struct oa_exchange *ex, const struct oa_http_head *h)
{
	const unsigned special = 1u << OA_METHOD_OTHER | 1u << OA_METHOD_HEAD | 1u << OA_METHOD_CONNECT;
	struct oa_span *s = oa_exchange_span(ex);
	struct oa_bytes target = oa_http_slice(h, h->target);

	s->method = h->method;
	s->version = h->version;
	if (OA_UNLIKELY(special >> h->method & 1))
		oa_span_special_method(ex, h);
	if (OA_UNLIKELY(target.len > OA_TARGET_TEXT_MAX)) {
		s->flags |= OA_SPAN_TRUNCATED;
		target.len = OA_TARGET_TEXT_MAX;
	}
	oa_exchange_set_str(ex, OA_STR_TARGET, target);
}

static inline void oa_span_server_context(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote)
{
	struct oa_span *s = oa_exchange_span(ex);

	oa_id_span(s->span_id);
	if (remote->valid) {
		memcpy(s->trace_id, remote->trace_id, 16);
		memcpy(s->parent_id, remote->parent_id, 8);
		s->flags |= OA_SPAN_PARENT_REMOTE | (remote->flags & 2 ? OA_SPAN_RANDOM : 0);
		s->evidence = OA_EV_REMOTE;
	} else {
		oa_span_new_trace(s);
		s->evidence = OA_EV_ROOT;
	}
	oa_decide(ex, h, remote);
	if (OA_UNLIKELY(h->field[OA_FIELD_baggage].len))
		oa_span_baggage(ex, h);
	oa_exchange_show(ex);
}

static inline void oa_span_server_texts(const struct oa_conn *c, struct oa_exchange *ex, const struct oa_http_head *h)
{
	if (!(oa_exchange_span(ex)->flags & OA_SPAN_TEXTS))
		return;
	oa_exchange_set_str(ex, OA_STR_HOST, oa_bytes_cut(oa_http_field(h, OA_FIELD_host), OA_HEADER_TEXT_MAX));
	oa_exchange_set_str(ex, OA_STR_USER_AGENT,
			    oa_bytes_cut(oa_http_field(h, OA_FIELD_user_agent), OA_HEADER_TEXT_MAX));
	oa_capture_forwarded(c, ex, h);
	oa_capture_headers(ex, h, OA_DIR_REQUEST, OA_KIND_SERVER);
}

/* A request that this process is to answer. */
OA_INLINE void oa_span_serve(const struct oa_conn *c, struct oa_exchange *ex, uint32_t index, const struct oa_http_head *h)
{
	struct oa_ref ref = { index, atomic_load_explicit(&ex->gen, memory_order_relaxed) };
	struct oa_remote remote;

	oa_span_request_line(ex, h);
	oa_propagate_extract(h, &remote);
	oa_span_server_context(ex, h, &remote);
	oa_span_server_texts(c, ex, h);
	if (OA_UNLIKELY(h->flags & OA_HTTP_UPGRADE))
		oa_span_upgrade(ex, h);
	if (OA_LIKELY(oa_exchange_span(ex)->what == OA_WHAT_HTTP))
		oa_exchange_count_active(ex);
	oa_ctx_open(ex, index, c->flags & OA_CONN_NONBLOCK);
	oa_ctx_index(ref, h, remote.valid, remote.trace_id, remote.parent_id);
}

static inline void oa_span_response_head(struct oa_exchange *ex, const struct oa_http_head *h, enum oa_kind kind)
{
	struct oa_span *s = oa_exchange_span(ex);

	s->status = h->status;
	s->flags |= OA_SPAN_HAS_STATUS;
	if (kind == OA_KIND_CLIENT)
		s->version = h->version;
	oa_exchange_flag(ex, OA_EX_RESPONDED, 0);
	if (s->flags & OA_SPAN_TEXTS)
		oa_capture_headers(ex, h, OA_DIR_RESPONSE, kind);
}
