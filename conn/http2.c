/* Events of an HTTP/2 connection. Every stream is an exchange of its own, opened by its request's header block and
 * finished when the response is complete or the stream is reset. What comes for streams that are not open, pushed
 * ones for instance, is left out. */
#include "conn/http2.h"

#include "conn/feed.h"
#include "conn/respond.h"
#include "conn/rpc.h"
#include "conn/span_http.h"
#include "conn/streams.h"
#include "core/inject_result.h"
#include "core/stats.h"
#include "proto/http2.h"

/* -- memory of the parsers -- */

/* Between the blocks of exchange.c: a table of headers with all the texts it may hold. */
#define TABLE_BYTES 4736u
static struct oa_pool table_pool = OA_POOL(8 + TABLE_BYTES, 4, 1 << 12);
#define TABLE_CLASS 7u

/* In front of every piece. */
struct http2_piece {
	uint32_t cls, index;
	uint8_t bytes[];
};

static struct http2_piece *http2_piece_take(unsigned cls)
{
	int64_t index = cls == TABLE_CLASS ? oa_pool_take(&table_pool) : oa_block_take(cls);
	struct http2_piece *p;

	if (index < 0)
		return NULL;
	/* The first word of a pool's object is the pool's while it is free, and looked at by others. */
	p = cls == TABLE_CLASS ? (struct http2_piece *)((uint8_t *)oa_pool_at(&table_pool, (uint32_t)index) + 8) :
				 (struct http2_piece *)(void *)oa_block_at(cls, (uint32_t)index);
	*p = (struct http2_piece){ .cls = cls, .index = (uint32_t)index };
	return p;
}

static void http2_piece_give(struct http2_piece *p)
{
	if (p->cls == TABLE_CLASS)
		oa_pool_give(&table_pool, p->index);
	else
		oa_block_give(p->cls, p->index);
}

static inline uint32_t http2_piece_bytes(unsigned cls)
{
	return (cls == TABLE_CLASS ? TABLE_BYTES : oa_block_bytes[cls]) - (uint32_t)sizeof(struct http2_piece);
}

/* What every header block is decoded in: one that was given back waits here, in the caches still. */
#define SCRATCH_CLASS 3
static _Atomic(struct http2_piece *) scratch_spare;

static void http2_piece_put_back(struct http2_piece *p)
{
	struct http2_piece *none = NULL;

	if (p->cls != SCRATCH_CLASS || !atomic_compare_exchange_strong(&scratch_spare, &none, p))
		http2_piece_give(p);
}

OA_HOT void *oa_http2_memory(void *ctx, void *old, size_t want, size_t *ret_bytes)
{
	static const uint8_t classes[] = { 0, 1, TABLE_CLASS, 2, 3 };
	struct http2_piece *p = NULL;

	if (old)
		http2_piece_put_back((struct http2_piece *)((uint8_t *)old - sizeof(struct http2_piece)));
	if (want > http2_piece_bytes(SCRATCH_CLASS - 1) && want <= http2_piece_bytes(SCRATCH_CLASS))
		p = atomic_exchange_explicit(&scratch_spare, NULL, memory_order_acquire);
	for (unsigned i = 0; want && i < sizeof(classes) && !p; i++)
		if (want <= http2_piece_bytes(classes[i]))
			p = http2_piece_take(classes[i]);
	if (!p)
		return NULL;
	*ret_bytes = http2_piece_bytes(p->cls);
	return p->bytes;
}

/* -- requests -- */

/* What only HTTP/2 says of a request. */
static uint32_t http2_scheme_flag(const struct oa_http2_head *h)
{
	return oa_bytes_eq(oa_http_slice(&h->http, h->scheme), OA_LIT("https")) ? OA_SPAN_HTTPS : 0;
}

/* No room for one more: it is not followed, and counted. */
static OA_COLD void http2_request_declined(struct oa_conn *c, int64_t index)
{
	if (index >= 0)
		oa_exchange_discard(c, (uint32_t)index);
	oa_stat_inc(OA_STAT_drop_stream);
}

static void http2_server_request(struct oa_feed *f, uint32_t stream, const struct oa_http2_head *h)
{
	struct oa_conn *c = f->c;
	bool rpc = oa_rpc_is(h);
	struct oa_exchange *ex;
	int64_t index = -1;

	if (OA_LIKELY(c->open < OA_STREAMS_MAX))
		index = oa_exchange_open(c, OA_KIND_SERVER, rpc ? OA_WHAT_RPC : OA_WHAT_HTTP, oa_feed_now(f));
	if (OA_UNLIKELY(index < 0 || !oa_stream_add(c, stream, (uint32_t)index))) {
		http2_request_declined(c, index);
		return;
	}
	ex = oa_exchange_at((uint32_t)index);
	ex->stream = stream;
	oa_exchange_span(ex)->flags |= http2_scheme_flag(h);
	oa_span_serve(c, ex, (uint32_t)index, &h->http);
	if (rpc)
		oa_rpc_open(ex, h);
}

OA_HOT int64_t oa_http2_open_client(struct oa_conn *c, const struct oa_http2_head *h, uint32_t stream, uint64_t now_ns,
			     struct oa_remote *remote, uint8_t *ret_result)
{
	bool rpc = oa_rpc_is(h);
	int64_t index = oa_span_open_client(c, &h->http, rpc ? OA_WHAT_RPC : OA_WHAT_HTTP, http2_scheme_flag(h), now_ns,
					    remote, ret_result);

	if (OA_UNLIKELY(index < 0 || !oa_stream_add(c, stream, (uint32_t)index))) {
		http2_request_declined(c, index);
		return -1;
	}
	oa_exchange_at((uint32_t)index)->stream = stream;
	if (rpc)
		oa_rpc_open(oa_exchange_at((uint32_t)index), h);
	return index;
}

/* A request that nobody looked at before it was sent. */
static void http2_client_request(struct oa_feed *f, uint32_t stream, const struct oa_http2_head *h)
{
	struct oa_remote remote;
	uint8_t result = OA_INJECT_PARTIAL;
	int64_t index = oa_http2_open_client(f->c, h, stream, oa_feed_now(f), &remote, &result);
	struct oa_exchange *ex;

	if (index < 0)
		return;
	ex = oa_exchange_at((uint32_t)index);
	oa_exchange_flag(ex, 0, OA_EX_PREPARED);
	oa_exchange_span(ex)->inject = result == OA_INJECT_REWRITTEN ? OA_INJECT_PARTIAL : result;
	oa_exchange_span(ex)->flags &= ~OA_SPAN_REWRITTEN;
}

static void http2_on_request(struct oa_feed *f, uint32_t stream, const struct oa_http2_head *h)
{
	if (h->flags & OA_HTTP2_MALFORMED)
		return; /* the peer resets it */
	if (f->c->role == OA_ROLE_SERVER)
		http2_server_request(f, stream, h);
	else
		http2_client_request(f, stream, h);
}

static void http2_sent(struct oa_feed *f, struct oa_exchange *ex)
{
	struct oa_span *s = oa_exchange_span(ex);

	oa_exchange_flag(ex, 0, OA_EX_PREPARED);
	if ((s->inject != OA_INJECT_DONE && s->inject != OA_INJECT_REWRITTEN) ||
	    f->c->tls == OA_TLS_SESSION || /* it is pinned until it is sent */
	    ex->looked_at == (uint8_t)atomic_load_explicit(&f->c->out_seq, memory_order_relaxed))
		return;
	s->inject = OA_INJECT_SHORT; /* went by without us */
	s->flags &= ~(OA_SPAN_INJECTED | OA_SPAN_REWRITTEN);
}

/* A block that was looked at before it was sent has been taken by the kernel. */
static void http2_on_ahead(struct oa_feed *f, struct oa_exchange *ex, uint64_t hash)
{
	if (ex && f->c->role == OA_ROLE_SERVER)
		ex->ahead ^= (uint32_t)hash;
	if (!ex || !(ex->flags & OA_EX_PREPARED))
		return; /* answered already, or trailers */
	if (ex->baggage_len == (uint32_t)hash)
		http2_sent(f, ex);
	else /* other bytes than we were shown: the table of headers is no longer theirs */
		atomic_store_explicit(&f->c->contended, 1, memory_order_relaxed);
}

/* -- the rest of a stream -- */

/* What reading or writing a part of a message means for causality. */
static inline void http2_move_context(struct oa_feed *f, struct oa_exchange *ex, uint32_t index)
{
	bool request = f->dir == OA_DIR_REQUEST;

	if (f->c->role == OA_ROLE_CLIENT) {
		if (!request)
			oa_ctx_answered(ex);
	} else if (request) {
		oa_ctx_touch(oa_ref_of(index));
	} else if (atomic_load_explicit(&ex->loose, memory_order_relaxed)) {
		oa_ctx_settle(ex);
	}
}

static OA_HOT void http2_on_response(struct oa_exchange *ex, const struct oa_http2_head *h)
{
	struct oa_span *s = oa_exchange_span(ex);

	if (h->http.status < 200)
		return;
	if (s->what == OA_WHAT_RPC) {
		oa_exchange_flag(ex, OA_EX_RESPONDED, 0);
		if (s->flags & OA_SPAN_TEXTS)
			oa_capture_headers(ex, &h->http, OA_DIR_RESPONSE, s->kind);
		oa_rpc_response(ex, h);
	} else {
		oa_span_response_head(ex, &h->http, s->kind);
	}
}

static void http2_on_trailers(struct oa_exchange *ex, const struct oa_http2_head *h)
{
	if (oa_exchange_span(ex)->what == OA_WHAT_RPC)
		oa_rpc_trailers(ex, h);
}

OA_COLD void oa_http2_answer_ahead(struct oa_exchange *ex, const struct oa_http2_block *b)
{
	ex->ahead ^= (uint32_t)b->hash;
	if (b->promise)
		return;
	if (b->head->flags & OA_HTTP2_HAS_STATUS)
		http2_on_response(ex, b->head);
	else
		http2_on_trailers(ex, b->head);
}

/* The server has sent other blocks than it showed us before: what became of this answer is not known. */
static bool http2_is_another(const struct oa_feed *f, const struct oa_exchange *ex)
{
	return f->c->role == OA_ROLE_SERVER && (ex->ahead || (oa_respond_on() && !(ex->flags & OA_EX_RESPONDED)));
}

static void http2_on_body(struct oa_feed *f, struct oa_exchange *ex, const struct oa_event *ev)
{
	struct oa_span *s = oa_exchange_span(ex);

	if (f->dir == OA_DIR_REQUEST)
		s->req_body += ev->u.body_bytes;
	else
		s->resp_body += ev->u.body_bytes;
	if (s->what == OA_WHAT_RPC)
		oa_rpc_body(ex, f->dir, oa_bytes(ev->body, ev->u.body_bytes));
}

static void http2_on_end(struct oa_feed *f, struct oa_exchange *ex, uint32_t index)
{
	struct oa_span *s = oa_exchange_span(ex);

	if (f->dir == OA_DIR_REQUEST) {
		oa_exchange_flag(ex, OA_EX_REQ_DONE, 0);
		s->flags |= OA_SPAN_HAS_REQ_BODY;
		return;
	}
	if (OA_UNLIKELY(http2_is_another(f, ex))) {
		atomic_store_explicit(&f->c->contended, 1, memory_order_relaxed);
		return;
	}
	s->flags |= OA_SPAN_HAS_RESP_BODY;
	if (s->what == OA_WHAT_RPC)
		oa_rpc_end(ex, oa_feed_now(f));
	if (OA_UNLIKELY(f->c->flags & OA_CONN_SENDING && !(ex->flags & OA_EX_REQ_DONE))) {
		s->duration_ns = oa_feed_now(f) - s->start_ns;
		oa_exchange_flag(ex, OA_EX_ANSWERED, 0);
		f->c->answered = 1;
		return;
	}
	oa_exchange_finish(f->c, index, oa_feed_now(f), ex->flags & OA_EX_RESPONDED ? OA_ERR_NONE : OA_ERR_MALFORMED);
}

/* Another thread has read their answers before the one that sends came to tell what it has sent. */
OA_COLD void oa_http2_sent(struct oa_conn *c)
{
	uint32_t next;

	c->flags &= (uint8_t)~OA_CONN_SENDING;
	for (uint32_t i = c->answered ? c->first : 0; i; i = next) {
		struct oa_exchange *ex = oa_exchange_at(i - 1);
		const struct oa_span *s = oa_exchange_span(ex);

		next = ex->next;
		if (ex->flags & OA_EX_ANSWERED)
			oa_exchange_finish(c, i - 1, s->start_ns + s->duration_ns,
					   ex->flags & OA_EX_RESPONDED ? OA_ERR_NONE : OA_ERR_MALFORMED);
	}
	c->answered = 0;
}

static enum oa_error reset_error(uint32_t code)
{
	switch (code) {
	case 7: /* REFUSED_STREAM */
		return OA_ERR_STREAM_REFUSED;
	case 8: /* CANCEL */
		return OA_ERR_STREAM_CANCELLED;
	}
	return OA_ERR_STREAM_RESET;
}

/* by_client: the client has sent it. */
static void http2_reset(struct oa_feed *f, struct oa_exchange *ex, uint32_t index, uint32_t code, bool by_client)
{
	struct oa_span *s = oa_exchange_span(ex);
	enum oa_error error = reset_error(code);

	if (s->what == OA_WHAT_RPC) {
		oa_rpc_reset(ex, code, oa_feed_now(f));
	} else if (s->kind == OA_KIND_CLIENT && by_client && ex->flags & OA_EX_RESPONDED && (code == 8 || code == 0)) {
		/* It has got what it wanted: no error, but not complete either. */
		error = OA_ERR_NONE;
		s->flags |= OA_SPAN_INCOMPLETE;
	}
	oa_exchange_finish(f->c, index, oa_feed_now(f), error);
}

/* The server will not look at what was asked on higher streams. */
static void http2_on_goaway(struct oa_feed *f, uint32_t last)
{
	uint32_t next;

	if (f->dir != OA_DIR_RESPONSE)
		return;
	for (uint32_t i = f->c->first; i; i = next) {
		struct oa_exchange *ex = oa_exchange_at(i - 1);

		next = ex->next;
		if (ex->stream > last)
			http2_reset(f, ex, i - 1, 7, false);
	}
}

OA_HOT void oa_http2_on_event(void *ctx, const struct oa_event *ev)
{
	struct oa_feed *f = ctx;
	struct oa_exchange *ex = NULL;
	uint32_t index = 0;

	if (ev->type == OA_EVENT_REQUEST) {
		http2_on_request(f, ev->stream, oa_http2_head(ev->u.head));
		return;
	}
	if (ev->type == OA_EVENT_GOAWAY) {
		http2_on_goaway(f, ev->stream);
		return;
	}
	ex = oa_stream_find(f->c, ev->stream, &index);
	if (ev->type == OA_EVENT_AHEAD) {
		http2_on_ahead(f, ex, ev->u.hash);
		return;
	}
	if (!ex)
		return;
	http2_move_context(f, ex, index);
	switch (ev->type) {
	case OA_EVENT_RESPONSE:
		http2_on_response(ex, oa_http2_head(ev->u.head));
		break;
	case OA_EVENT_TRAILERS:
		if (f->dir == OA_DIR_RESPONSE)
			http2_on_trailers(ex, oa_http2_head(ev->u.head));
		break;
	case OA_EVENT_BODY:
		http2_on_body(f, ex, ev);
		break;
	case OA_EVENT_END:
		http2_on_end(f, ex, index);
		break;
	case OA_EVENT_RESET:
		http2_reset(f, ex, index, ev->u.code, f->dir == OA_DIR_REQUEST);
		break;
	default:
		break;
	}
}

/* -- Upgrade: h2c -- */

bool oa_http2_is_upgrade(const struct oa_exchange *ex)
{
	return oa_bytes_ieq(oa_span_str(ex->span, OA_STR_UPGRADE), OA_LIT("h2c"));
}

bool oa_http2_upgrade(struct oa_conn *c)
{
	struct oa_exchange *ex = c->first ? oa_exchange_at(c->first - 1) : NULL;

	if (!ex || !oa_http2_is_upgrade(ex) || oa_exchange_span(ex)->what != OA_WHAT_HTTP)
		return false;
	oa_conn_set_proto(c, oa_proto_number(&oa_proto_http2));
	memset(c->pstate, 0, sizeof(c->pstate));
	oa_http2_upgraded(c->pstate[OA_DIR_REQUEST]);
	if (!oa_stream_add(c, 1, c->first - 1)) {
		oa_exchange_discard(c, c->first - 1);
		oa_stat_inc(OA_STAT_drop_stream);
		return true;
	}
	ex->stream = 1;
	oa_exchange_span(ex)->version = 20;
	oa_exchange_flag(ex, OA_EX_REQ_DONE, OA_EX_RESPONDED);
	oa_exchange_span(ex)->flags &= ~OA_SPAN_HAS_STATUS;
	oa_exchange_span(ex)->flags |= OA_SPAN_HAS_REQ_BODY;
	return true;
}
