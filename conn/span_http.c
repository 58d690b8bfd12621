/* What heads of HTTP seldom are. */
#include "conn/proxied.h"
#include "conn/span_http.h"

OA_COLD void oa_span_special_method(struct oa_exchange *ex, const struct oa_http_head *h)
{
	if (h->method == OA_METHOD_OTHER)
		oa_exchange_set_str(ex, OA_STR_METHOD, oa_bytes_cut(oa_http_slice(h, h->method_text), 32));
	if (h->method == OA_METHOD_HEAD)
		oa_exchange_flag(ex, OA_EX_HEAD, 0);
	if (h->method == OA_METHOD_CONNECT)
		oa_exchange_flag(ex, OA_EX_CONNECT, 0);
}

OA_COLD void oa_span_baggage(struct oa_exchange *ex, const struct oa_http_head *h)
{
	int64_t block = oa_block_take(2);
	struct oa_buf buf;

	if (block < 0)
		return;
	buf = oa_buf(oa_block_at(2, (uint32_t)block), OA_BAGGAGE_MAX);
	if (!oa_propagate_join(h, OA_FIELD_baggage, &buf)) {
		oa_block_give(2, (uint32_t)block);
		return;
	}
	ex->baggage = (uint32_t)block + 1;
	ex->baggage_len = (uint32_t)buf.len;
}

OA_COLD void oa_span_upgrade(struct oa_exchange *ex, const struct oa_http_head *h)
{
	oa_exchange_set_str(ex, OA_STR_UPGRADE, oa_bytes_cut(oa_http_field(h, OA_FIELD_upgrade), 32));
}

OA_COLD void oa_span_tunnel(struct oa_feed *f, struct oa_exchange *http)
{
	struct oa_span *from = oa_exchange_span(http), *s;
	int64_t index = oa_exchange_open(f->c, from->kind, OA_WHAT_TUNNEL, oa_feed_now(f));
	struct oa_exchange *ex;

	if (index < 0)
		return;
	ex = oa_exchange_at((uint32_t)index);
	s = oa_exchange_span(ex);
	memcpy(s->trace_id, from->trace_id, 16);
	memcpy(s->parent_id, from->span_id, 8);
	oa_id_span(s->span_id);
	s->flags |= from->flags & (OA_SPAN_TEXTS | OA_SPAN_RANDOM | OA_SPAN_HTTPS);
	s->evidence = OA_EV_BOUND;
	s->method = from->method;
	oa_exchange_set_str(ex, OA_STR_TARGET, oa_span_str(from, OA_STR_TARGET));
	oa_exchange_set_str(ex, OA_STR_HOST, oa_span_str(from, OA_STR_HOST));
	oa_exchange_set_str(ex, OA_STR_TRACESTATE, oa_span_str(from, OA_STR_TRACESTATE));
	if (OA_UNLIKELY(f->c->proxied))
		oa_exchange_set_str(ex, OA_STR_PROXIED, oa_proxied_client(f->c));
	oa_exchange_set_str(ex, OA_STR_UPGRADE,
			    (http->flags & OA_EX_CONNECT) ? OA_LIT("connect") : oa_span_str(from, OA_STR_UPGRADE));
}
