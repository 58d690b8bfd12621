/* Turns what the HTTP/1 parser tells into exchanges. Server side: opened by a request read, finished by the end of the
 * response written. Client side: opened before the request is written (conn/span_client.c), finished by the end of the
 * response read. */
#include "conn/span_build.h"
#include "conn/fastcgi.h"
#include "conn/http2.h"
#include "conn/span_http.h"
#include "conn/store.h"
#include "core/tsc.h"
#include "core/inject_result.h"

uint64_t oa_feed_now(struct oa_feed *f)
{
	if (!f->now_ns)
		f->now_ns = oa_host_now_ns();
	return f->now_ns;
}

/* -- requests -- */

/* No exchange to be had. */
static OA_COLD struct oa_exchange *server_declined(struct oa_conn *c)
{
	atomic_store_explicit(&c->contended, 2, memory_order_relaxed);
	return NULL;
}

static struct oa_exchange *server_request(struct oa_feed *f, const struct oa_http_head *h)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex;
	int64_t index;

	if (OA_UNLIKELY(c->open >= OA_PIPELINE_MAX))
		return server_declined(c);
	index = oa_exchange_open(c, OA_KIND_SERVER, OA_WHAT_HTTP, oa_feed_now(f));
	if (OA_UNLIKELY(index < 0))
		return server_declined(c);
	ex = oa_exchange_at((uint32_t)index);
	oa_span_serve(c, ex, (uint32_t)index, h);
	return ex;
}

/* The kernel took the whole header: the exchange prepared for it is real now. */
static OA_HOT void client_request(struct oa_feed *f, const struct oa_http_head *h)
{
	struct oa_conn *c = f->c;
	struct oa_remote remote;
	uint8_t result = OA_INJECT_PARTIAL;
	int64_t index;

	if (c->answered) { /* its exchange is over */
		c->answered--;
		return;
	}
	for (uint32_t i = c->first; i; i = oa_exchange_at(i - 1)->next) {
		struct oa_exchange *ex = oa_exchange_at(i - 1);

		if ((ex->flags & OA_EX_PREPARED)) {
			oa_exchange_flag(ex, 0, OA_EX_PREPARED);
			return;
		}
	}
	index = oa_span_open_client(c, h, OA_WHAT_HTTP, 0, oa_feed_now(f), &remote, &result);
	if (index < 0) {
		atomic_store_explicit(&c->contended, 2, memory_order_relaxed);
		return;
	}
	oa_exchange_flag(oa_exchange_at((uint32_t)index), 0, OA_EX_PREPARED);
	oa_exchange_span(oa_exchange_at((uint32_t)index))->inject =
		result == OA_INJECT_REWRITTEN ? OA_INJECT_PARTIAL : result;
}

/* -- responses, bodies, ends -- */

/* Behind an answer like this comes something else. */
static OA_COLD void response_ends_http(struct oa_feed *f, struct oa_exchange *ex)
{
	if (oa_http2_is_upgrade(ex)) /* the real answer comes on stream 1 */
		oa_exchange_flag(ex, 0, OA_EX_RESPONDED);
	else
		oa_span_tunnel(f, ex);
}

static inline void response_head(struct oa_feed *f, struct oa_exchange *ex, const struct oa_http_head *h,
				 enum oa_kind kind)
{
	oa_span_response_head(ex, h, kind);
	if (OA_UNLIKELY(h->status == 101 || ((ex->flags & OA_EX_CONNECT) && h->status < 300)))
		response_ends_http(f, ex);
}

static void on_response(struct oa_feed *f, const struct oa_http_head *h)
{
	struct oa_exchange *ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;

	if (ex && (h->status >= 200 || h->status == 101))
		response_head(f, ex, h, oa_exchange_span(ex)->kind);
}

/* The exchange a request body belongs to: the newest whose request has not ended. */
static OA_HOT struct oa_exchange *request_exchange(struct oa_conn *c)
{
	struct oa_exchange *ex = c->last ? oa_exchange_at(c->last - 1) : NULL;

	return ex && !(ex->flags & OA_EX_REQ_DONE) && oa_exchange_span(ex)->what == OA_WHAT_HTTP ? ex : NULL;
}

static OA_NOINLINE void on_request_bytes(struct oa_feed *f, uint64_t n)
{
	struct oa_exchange *ex = request_exchange(f->c);

	if (!ex)
		return;
	oa_exchange_span(ex)->req_body += n;
	if (f->c->role == OA_ROLE_SERVER)
		oa_ctx_touch(oa_ref_of(f->c->last - 1));
}

static void on_response_bytes(struct oa_feed *f, uint64_t n)
{
	struct oa_exchange *ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;

	if (ex)
		oa_exchange_span(ex)->resp_body += n;
}

static OA_HOT void on_request_end(struct oa_feed *f)
{
	struct oa_exchange *ex = request_exchange(f->c);

	if (!ex)
		return;
	oa_exchange_flag(ex, OA_EX_REQ_DONE, 0);
	oa_exchange_span(ex)->flags |= OA_SPAN_HAS_REQ_BODY;
}

static void on_response_end(struct oa_feed *f)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex = c->first ? oa_exchange_at(c->first - 1) : NULL;

	if (!ex || !(ex->flags & OA_EX_RESPONDED))
		return; /* 1xx, or an answer to nothing we saw */
	oa_exchange_span(ex)->flags |= OA_SPAN_HAS_RESP_BODY;
	oa_exchange_finish(c, c->first - 1, oa_feed_now(f), OA_ERR_NONE);
}

/* What reading or writing response bytes means for causality. */
static void response_moves_context(struct oa_feed *f)
{
	struct oa_exchange *ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;

	if (!ex)
		return;
	if (f->c->role == OA_ROLE_CLIENT) {
		oa_ctx_answered(ex);
	} else if (atomic_load_explicit(&ex->loose, memory_order_relaxed)) {
		oa_ctx_settle(ex);
	}
}

OA_HOT void oa_span_on_event(void *ctx, const struct oa_event *ev)
{
	struct oa_feed *f = ctx;
	bool request = f->dir == OA_DIR_REQUEST;

	if (!request && ev->type != OA_EVENT_UPGRADED)
		response_moves_context(f);
	switch (ev->type) {
	case OA_EVENT_REQUEST:
		if (f->c->role == OA_ROLE_SERVER)
			(void)server_request(f, ev->u.head);
		else
			client_request(f, ev->u.head);
		break;
	case OA_EVENT_RESPONSE:
		on_response(f, ev->u.head);
		break;
	case OA_EVENT_BODY:
		if (request)
			on_request_bytes(f, ev->u.body_bytes);
		else
			on_response_bytes(f, ev->u.body_bytes);
		break;
	case OA_EVENT_END:
		if (request)
			on_request_end(f);
		else
			on_response_end(f);
		break;
	case OA_EVENT_UPGRADED:
		f->upgraded = true;
		break;
	default:
		break;
	}
}

/* -- whole messages: the same in one step -- */

static OA_COLD void message_by_events(struct oa_feed *f, const struct oa_http_head *h, uint64_t body, bool whole)
{
	oa_span_on_event(f, &(struct oa_event){ .type = f->dir == OA_DIR_REQUEST ? OA_EVENT_REQUEST : OA_EVENT_RESPONSE,
						.u.head = h });
	if (body)
		oa_span_on_event(f, &(struct oa_event){ .type = OA_EVENT_BODY, .u.body_bytes = body });
	if (whole)
		oa_span_on_event(f, &(struct oa_event){ .type = OA_EVENT_END });
}

static inline void message_served(struct oa_feed *f, const struct oa_http_head *h, uint64_t body, bool whole)
{
	struct oa_exchange *ex = server_request(f, h);

	if (OA_UNLIKELY(!ex))
		return;
	if (body)
		on_request_bytes(f, body);
	if (whole) {
		oa_exchange_flag(ex, OA_EX_REQ_DONE, 0);
		oa_exchange_span(ex)->flags |= OA_SPAN_HAS_REQ_BODY;
	}
}

/* A final response, complete, to the oldest request. That it settles what the exchange has to do with its thread need
 * not be noted: the exchange ends here. */
static inline void message_answered(struct oa_feed *f, struct oa_exchange *ex, const struct oa_http_head *h,
				    uint64_t body, enum oa_kind kind)
{
	struct oa_span *s;

	response_head(f, ex, h, kind);
	s = oa_exchange_span(ex); /* captured headers may have moved it */
	s->resp_body += body;
	s->flags |= OA_SPAN_HAS_RESP_BODY;
	oa_exchange_finish(f->c, f->c->first - 1, oa_feed_now(f), OA_ERR_NONE);
}

/* The same of a connection whose client we are. */
static OA_HOT OA_NOINLINE void message_of_client(struct oa_feed *f, const struct oa_http_head *h, uint64_t body, bool whole)
{
	struct oa_exchange *ex;

	if (f->dir == OA_DIR_REQUEST) {
		client_request(f, h);
		if (body)
			on_request_bytes(f, body);
		if (whole)
			on_request_end(f);
		return;
	}
	ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;
	if (OA_UNLIKELY(!ex || !whole || h->status < 200 || oa_exchange_span(ex)->kind != OA_KIND_CLIENT)) {
		message_by_events(f, h, body, whole);
		return;
	}
	oa_ctx_answered(ex);
	message_answered(f, ex, h, body, OA_KIND_CLIENT);
}

OA_HOT OA_FLATTEN void oa_span_on_message(void *ctx, const struct oa_http_head *h, uint64_t body, bool whole)
{
	struct oa_feed *f = ctx;
	uint32_t first = f->c->first;

	if (OA_UNLIKELY(f->c->role != OA_ROLE_SERVER))
		message_of_client(f, h, body, whole);
	else if (f->dir == OA_DIR_REQUEST)
		message_served(f, h, body, whole);
	else if (OA_LIKELY(first && whole && h->status >= 200))
		message_answered(f, oa_exchange_at(first - 1), h, body, OA_KIND_SERVER);
	else
		message_by_events(f, h, body, whole);
}

static inline struct oa_request_note note_of_store(const struct oa_exchange *ex)
{
	return (struct oa_request_note){ .known = true, .hint = (uint16_t)ex->baggage_len };
}

OA_HOT struct oa_request_note oa_span_request_note(void *ctx)
{
	struct oa_feed *f = ctx;
	struct oa_exchange *ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;

	if (OA_UNLIKELY(!ex))
		return (struct oa_request_note){ 0 };
	if (ex->span->what == OA_WHAT_DB)
		return OA_LIKELY(!ex->stream && !(ex->flags & OA_EX_ANSWERED)) ? note_of_store(ex) : oa_span_stream_note(ctx, 0);
	return (struct oa_request_note){ .head = (ex->flags & OA_EX_HEAD), .connect = (ex->flags & OA_EX_CONNECT),
					 .known = true };
}

OA_HOT struct oa_request_note oa_span_stream_note(void *ctx, uint32_t stream)
{
	const struct oa_feed *f = ctx;
	const struct oa_exchange *ex;

	for (uint32_t i = f->c->first; i; i = ex->next) {
		ex = oa_exchange_at(i - 1);
		if (OA_LIKELY(ex->stream == stream && !(ex->flags & OA_EX_ANSWERED)))
			return note_of_store(ex);
	}
	return (struct oa_request_note){ 0 };
}
