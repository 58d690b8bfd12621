/* Turns parser events into exchanges. Server side: opened by a request read, finished by the end of the response
 * written. Client side: opened before the request is written (an answer may be read by another thread before
 * write() returns), finished by the end of the response read. */
#include "conn/span_build.h"
#include "conn/capture.h"
#include "conn/context.h"
#include "conn/decide.h"
#include "conn/propagate.h"
#include "core/tsc.h"
#include "core/config.h"
#include "core/id.h"
#include "core/inject_result.h"
#include "core/stats.h"

uint64_t oa_feed_now(struct oa_feed *f)
{
	if (!f->now_ns)
		f->now_ns = oa_host_now_ns();
	return f->now_ns;
}

static struct oa_ref ref_of(uint32_t index)
{
	return (struct oa_ref){ index, atomic_load_explicit(&oa_exchange_at(index)->gen, memory_order_relaxed) };
}

/* -- common to both sides -- */

static OA_COLD void build_special_method(struct oa_exchange *ex, const struct oa_http_head *h)
{
	if (h->method == OA_METHOD_OTHER)
		oa_exchange_set_str(ex, OA_STR_METHOD, oa_bytes_cut(oa_http_slice(h, h->method_text), 32));
	if (h->method == OA_METHOD_HEAD)
		oa_exchange_flag(ex, OA_EX_HEAD, 0);
	if (h->method == OA_METHOD_CONNECT)
		oa_exchange_flag(ex, OA_EX_CONNECT, 0);
}

static inline void build_request_line(struct oa_exchange *ex, const struct oa_http_head *h)
{
	const unsigned special = 1u << OA_METHOD_OTHER | 1u << OA_METHOD_HEAD | 1u << OA_METHOD_CONNECT;
	struct oa_span *s = oa_exchange_span(ex);
	struct oa_bytes target = oa_http_slice(h, h->target);

	s->method = h->method;
	s->version = h->version;
	if (OA_UNLIKELY(special >> h->method & 1))
		build_special_method(ex, h);
	if (OA_UNLIKELY(target.len > OA_TARGET_TEXT_MAX)) {
		s->flags |= OA_SPAN_TRUNCATED;
		target.len = OA_TARGET_TEXT_MAX;
	}
	oa_exchange_set_str(ex, OA_STR_TARGET, target);
}

static inline void build_new_trace(struct oa_span *s)
{
	oa_id_trace(s->trace_id);
	s->flags |= OA_SPAN_RANDOM;
}

static OA_COLD void build_baggage(struct oa_exchange *ex, const struct oa_http_head *h)
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

static OA_COLD void build_upgrade(struct oa_exchange *ex, const struct oa_http_head *h)
{
	oa_exchange_set_str(ex, OA_STR_UPGRADE, oa_bytes_cut(oa_http_field(h, OA_FIELD_upgrade), 32));
}

/* -- server side -- */

static inline void server_context(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote)
{
	struct oa_span *s = oa_exchange_span(ex);

	oa_id_span(s->span_id);
	if (remote->valid) {
		memcpy(s->trace_id, remote->trace_id, 16);
		memcpy(s->parent_id, remote->parent_id, 8);
		s->flags |= OA_SPAN_PARENT_REMOTE | (remote->flags & 2 ? OA_SPAN_RANDOM : 0);
		s->evidence = OA_EV_REMOTE;
	} else {
		build_new_trace(s);
		s->evidence = OA_EV_ROOT;
	}
	oa_decide(ex, h, remote);
	if (OA_UNLIKELY(h->field[OA_FIELD_baggage].len))
		build_baggage(ex, h);
	oa_exchange_show(ex);
}

static inline void server_texts(struct oa_exchange *ex, const struct oa_http_head *h)
{
	if (!(oa_exchange_span(ex)->flags & OA_SPAN_TEXTS))
		return;
	oa_exchange_set_str(ex, OA_STR_HOST, oa_bytes_cut(oa_http_field(h, OA_FIELD_host), OA_HEADER_TEXT_MAX));
	oa_exchange_set_str(ex, OA_STR_USER_AGENT,
			    oa_bytes_cut(oa_http_field(h, OA_FIELD_user_agent), OA_HEADER_TEXT_MAX));
	oa_capture_forwarded(ex, h);
	oa_capture_headers(ex, h, OA_DIR_REQUEST, OA_KIND_SERVER);
}

/* No exchange to be had. */
static OA_COLD struct oa_exchange *server_declined(struct oa_conn *c)
{
	atomic_store_explicit(&c->contended, 2, memory_order_relaxed);
	return NULL;
}

static struct oa_exchange *server_request(struct oa_feed *f, const struct oa_http_head *h)
{
	struct oa_conn *c = f->c;
	struct oa_remote remote;
	struct oa_exchange *ex;
	int64_t index;

	if (OA_UNLIKELY(c->open >= OA_PIPELINE_MAX))
		return server_declined(c);
	index = oa_exchange_open(c, OA_KIND_SERVER, OA_WHAT_HTTP, oa_feed_now(f));
	if (OA_UNLIKELY(index < 0))
		return server_declined(c);
	ex = oa_exchange_at((uint32_t)index);
	build_request_line(ex, h);
	oa_propagate_extract(h, &remote);
	server_context(ex, h, &remote);
	server_texts(ex, h);
	if (OA_UNLIKELY(h->flags & OA_HTTP_UPGRADE))
		build_upgrade(ex, h);
	oa_exchange_count_active(ex);
	oa_ctx_open((uint32_t)index, c->flags & OA_CONN_NONBLOCK);
	oa_ctx_index((uint32_t)index, h, remote.valid, remote.trace_id, remote.parent_id);
	return ex;
}

/* -- client side -- */

bool oa_span_parent_ids(struct oa_ref ref, struct oa_parent_ids *ret)
{
	struct oa_exchange *ex = oa_exchange_get(ref);
	uint64_t ids[3];
	uint32_t shown;

	if (!ex)
		return false;
	for (unsigned i = 0; i < 3; i++)
		ids[i] = atomic_load_explicit(&ex->ids[i], memory_order_acquire);
	shown = atomic_load_explicit(&ex->shown, memory_order_acquire);
	if (!oa_exchange_get(ref)) /* it ended meanwhile: these may be another one's */
		return false;
	memcpy(ret->trace_id, ids, 16);
	memcpy(ret->span_id, ids + 2, 8);
	ret->shown = shown;
	return true;
}

static void client_links(struct oa_exchange *ex, const struct oa_pick *pick)
{
	struct oa_link links[OA_LINKS_MAX];
	struct oa_parent_ids ids;
	unsigned n = 0;

	for (unsigned i = 0; i < pick->links; i++) {
		if (!oa_span_parent_ids(pick->link[i], &ids))
			continue;
		memcpy(links[n].trace_id, ids.trace_id, 16);
		memcpy(links[n++].span_id, ids.span_id, 8);
	}
	oa_exchange_set_str(ex, OA_STR_LINKS, oa_bytes(links, n * sizeof(*links)));
}

/* Child of a server exchange of ours. returns false when that one ended meanwhile */
static bool client_join_parent(struct oa_exchange *ex, struct oa_ref parent)
{
	struct oa_span *s = oa_exchange_span(ex);
	struct oa_parent_ids ids;

	if (!oa_span_parent_ids(parent, &ids))
		return false;
	memcpy(s->trace_id, ids.trace_id, 16);
	memcpy(s->parent_id, ids.span_id, 8);
	oa_decide_child(ex, parent, ids.shown);
	ex->parent = parent;
	oa_ctx_begin_work(parent);
	return true;
}

static void client_root(struct oa_exchange *ex, const struct oa_http_head *h)
{
	build_new_trace(oa_exchange_span(ex));
	oa_decide_root(ex, h);
}

/* The request names a context already: a proxy handed on what a request we serve brought (then it is rewritten to
 * name our span), or the program traces by itself (left alone; our span becomes a child of the one it names). */
static uint8_t client_context_given(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote)
{
	struct oa_span *s = oa_exchange_span(ex);
	struct oa_ref parent = oa_ctx_find_remote(remote->trace_id, remote->parent_id);

	s->evidence = OA_EV_MESSAGE;
	if (parent.gen && remote->span_at.len && client_join_parent(ex, parent)) {
		s->flags |= OA_SPAN_REWRITTEN;
		return OA_INJECT_REWRITTEN;
	}
	memcpy(s->trace_id, remote->trace_id, 16);
	memcpy(s->parent_id, remote->parent_id, 8);
	s->flags |= OA_SPAN_FOREIGN | (remote->flags & 2 ? OA_SPAN_RANDOM : 0);
	oa_decide(ex, h, remote);
	return OA_INJECT_FOREIGN;
}

static void client_context_found(struct oa_conn *c, struct oa_exchange *ex, const struct oa_http_head *h)
{
	struct oa_pick pick;

	oa_ctx_pick(c, h, &pick);
	if (pick.parent.gen && client_join_parent(ex, pick.parent)) {
		oa_exchange_span(ex)->evidence = (uint8_t)pick.evidence;
		return;
	}
	client_root(ex, h);
	oa_exchange_span(ex)->evidence = pick.parent.gen ? OA_EV_AMBIGUOUS : (uint8_t)pick.evidence;
	client_links(ex, &pick);
}

/* The connection was opened for this; from now on its requests speak for themselves. */
static void client_take_over_work(struct oa_conn *c)
{
	if (!(c->flags & OA_CONN_WORKING))
		return;
	c->flags &= (uint8_t)~OA_CONN_WORKING;
	oa_ctx_end_work(c->bound);
}

int64_t oa_span_open_client(struct oa_conn *c, const struct oa_http_head *h, uint64_t now_ns,
			    struct oa_remote *remote, uint8_t *ret_result)
{
	struct oa_exchange *ex;
	struct oa_span *s;
	int64_t index = -1;

	if (c->open < OA_PIPELINE_MAX)
		index = oa_exchange_open(c, OA_KIND_CLIENT, OA_WHAT_HTTP, now_ns);
	if (index < 0)
		return -1;
	ex = oa_exchange_at((uint32_t)index);
	oa_exchange_flag(ex, OA_EX_PREPARED, 0);
	build_request_line(ex, h);
	s = oa_exchange_span(ex);
	oa_id_span(s->span_id);
	if (!c->served && !(c->flags & OA_CONN_USED)) {
		s->dns_us = c->dns_us;
		s->connect_us = oa_conn_connect_us(c);
	}
	oa_propagate_extract(h, remote);
	if (remote->valid)
		*ret_result = client_context_given(ex, h, remote);
	else
		client_context_found(c, ex, h);
	if (!remote->valid && oa_propagate_present(h))
		*ret_result = OA_INJECT_FOREIGN; /* unreadable, but never two */
	client_take_over_work(c);
	oa_exchange_set_str(ex, OA_STR_HOST, oa_bytes_cut(oa_http_field(h, OA_FIELD_host), OA_HEADER_TEXT_MAX));
	if (c->peer_path)
		oa_exchange_set_str(ex, OA_STR_PEER_PATH, oa_bytes(oa_block_at(0, c->peer_path - 1), c->peer_path_len));
	if (oa_exchange_span(ex)->flags & OA_SPAN_TEXTS)
		oa_capture_headers(ex, h, OA_DIR_REQUEST, OA_KIND_CLIENT);
	if (h->flags & OA_HTTP_UPGRADE)
		build_upgrade(ex, h);
	oa_exchange_count_active(ex);
	return index;
}

/* The kernel took the whole header: the exchange prepared for it is real now. */
static void client_request(struct oa_feed *f, const struct oa_http_head *h)
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
	index = oa_span_open_client(c, h, oa_feed_now(f), &remote, &result);
	if (index < 0) {
		atomic_store_explicit(&c->contended, 2, memory_order_relaxed);
		return;
	}
	oa_exchange_flag(oa_exchange_at((uint32_t)index), 0, OA_EX_PREPARED);
	oa_exchange_span(oa_exchange_at((uint32_t)index))->inject =
		result == OA_INJECT_REWRITTEN ? OA_INJECT_PARTIAL : result;
}

void oa_span_connect_failed(struct oa_conn *c, uint64_t start_ns, uint64_t now_ns, enum oa_error error,
			    struct oa_bytes host)
{
	int64_t index = oa_exchange_open(c, OA_KIND_CLIENT, OA_WHAT_CONNECT, start_ns);
	struct oa_exchange *ex;

	if (index < 0)
		return;
	ex = oa_exchange_at((uint32_t)index);
	oa_id_span(oa_exchange_span(ex)->span_id);
	oa_exchange_span(ex)->dns_us = c->dns_us;
	oa_exchange_set_str(ex, OA_STR_HOST, oa_bytes_cut(host, 255));
	if (c->bound.gen && client_join_parent(ex, c->bound))
		oa_exchange_span(ex)->evidence = OA_EV_BOUND;
	else
		client_root(ex, NULL);
	if (c->peer_path)
		oa_exchange_set_str(ex, OA_STR_PEER_PATH, oa_bytes(oa_block_at(0, c->peer_path - 1), c->peer_path_len));
	oa_exchange_finish(c, (uint32_t)index, now_ns, error);
}

/* -- responses, bodies, ends -- */

/* The session behind an Upgrade or CONNECT: a span of its own, child of the HTTP exchange's. */
static OA_COLD void build_tunnel(struct oa_feed *f, struct oa_exchange *http)
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
	oa_exchange_set_str(ex, OA_STR_UPGRADE,
			    (http->flags & OA_EX_CONNECT) ? OA_LIT("connect") : oa_span_str(from, OA_STR_UPGRADE));
}

static inline void response_head(struct oa_feed *f, struct oa_exchange *ex, const struct oa_http_head *h,
				 enum oa_kind kind)
{
	struct oa_span *s = oa_exchange_span(ex);

	s->status = h->status;
	s->flags |= OA_SPAN_HAS_STATUS;
	if (kind == OA_KIND_CLIENT)
		s->version = h->version;
	oa_exchange_flag(ex, OA_EX_RESPONDED, 0);
	if (s->flags & OA_SPAN_TEXTS)
		oa_capture_headers(ex, h, OA_DIR_RESPONSE, kind);
	if (OA_UNLIKELY(h->status == 101 || ((ex->flags & OA_EX_CONNECT) && h->status < 300)))
		build_tunnel(f, ex);
}

static void on_response(struct oa_feed *f, const struct oa_http_head *h)
{
	struct oa_exchange *ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;

	if (ex && (h->status >= 200 || h->status == 101))
		response_head(f, ex, h, oa_exchange_span(ex)->kind);
}

/* The exchange a request body belongs to: the newest whose request has not ended. */
static struct oa_exchange *request_exchange(struct oa_conn *c)
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
		oa_ctx_touch(ref_of(f->c->last - 1));
}

static void on_response_bytes(struct oa_feed *f, uint64_t n)
{
	struct oa_exchange *ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;

	if (ex)
		oa_exchange_span(ex)->resp_body += n;
}

static void on_request_end(struct oa_feed *f)
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
		if (ex->parent.gen)
			oa_ctx_touch(ex->parent);
	} else if (atomic_load_explicit(&ex->loose, memory_order_relaxed)) {
		oa_ctx_settle(ex);
	}
}

void oa_span_on_event(void *ctx, const struct oa_event *ev)
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
				    uint64_t body)
{
	struct oa_span *s;

	response_head(f, ex, h, OA_KIND_SERVER);
	s = oa_exchange_span(ex); /* captured headers may have moved it */
	s->resp_body += body;
	s->flags |= OA_SPAN_HAS_RESP_BODY;
	oa_exchange_finish(f->c, f->c->first - 1, oa_feed_now(f), OA_ERR_NONE);
}

OA_HOT OA_FLATTEN void oa_span_on_message(void *ctx, const struct oa_http_head *h, uint64_t body, bool whole)
{
	struct oa_feed *f = ctx;
	uint32_t first = f->c->first;

	if (OA_UNLIKELY(f->c->role != OA_ROLE_SERVER))
		message_by_events(f, h, body, whole);
	else if (f->dir == OA_DIR_REQUEST)
		message_served(f, h, body, whole);
	else if (OA_LIKELY(first && whole && h->status >= 200))
		message_answered(f, oa_exchange_at(first - 1), h, body);
	else
		message_by_events(f, h, body, whole);
}

OA_HOT struct oa_request_note oa_span_request_note(void *ctx)
{
	struct oa_feed *f = ctx;
	struct oa_exchange *ex = f->c->first ? oa_exchange_at(f->c->first - 1) : NULL;

	if (OA_UNLIKELY(!ex))
		return (struct oa_request_note){ 0 };
	return (struct oa_request_note){ .head = (ex->flags & OA_EX_HEAD), .connect = (ex->flags & OA_EX_CONNECT),
					 .known = true };
}
