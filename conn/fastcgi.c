/* What a web server hands on by FastCGI becomes a span like one of HTTP: the parameters are written down as the head that
 * they were made of, which is then read as any other. */
#include "conn/fastcgi_impl.h"

#include "conn/feed.h"
#include "core/stats.h"
#include "core/tsc.h"

void oa_fastcgi_release(struct oa_conn *c)
{
	if (c->store)
		oa_block_give(OA_GATEWAY_BLOCK, c->store - 1);
	c->store = 0;
}

void oa_gateway_clear(struct oa_gateway *g)
{
	memset(g, 0, offsetof(struct oa_gateway, method));
	g->version = 11;
}

static void gateway_begin(struct oa_conn *c)
{
	struct oa_gateway *g = oa_gateway_of(c);
	int64_t block = g ? 0 : oa_block_take(OA_GATEWAY_BLOCK);

	if (block < 0) {
		oa_conn_make_opaque(c, OA_STAT_opaque_pool);
		return;
	}
	if (!g) {
		c->store = (uint32_t)block + 1;
		g = oa_gateway_of(c);
	}
	oa_gateway_clear(g);
}

/* -- parameters -- */

static bool gateway_is_text(struct oa_bytes value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] < ' ' || value.ptr[i] == 0x7f)
			return false;
	return true;
}

static uint16_t gateway_copy(uint8_t *to, size_t max, struct oa_bytes value)
{
	value = oa_bytes_cut(value, max);
	if (value.len)
		memcpy(to, value.ptr, value.len);
	return (uint16_t)value.len;
}

/* "HTTP_USER_AGENT" -> "user-agent: …"; one that has no room is left out. */
static void gateway_field(struct oa_gateway *g, struct oa_bytes name, struct oa_bytes value)
{
	uint8_t *to = g->fields + g->len;

	if (name.len + value.len + 4 + 2 > sizeof(g->fields) - g->len) {
		g->left_out = true;
		return;
	}
	for (size_t i = 0; i < name.len; i++)
		*to++ = name.ptr[i] == '_' ? '-' : oa_lower(name.ptr[i]);
	*to++ = ':';
	*to++ = ' ';
	if (value.len)
		memcpy(to, value.ptr, value.len);
	memcpy(to + value.len, "\r\n", 2);
	g->len = (uint16_t)(to + value.len + 2 - g->fields);
}

static void gateway_target(struct oa_gateway *g, struct oa_bytes value, bool exact)
{
	if (!value.len || (g->target_len && !exact))
		return;
	g->target_len = gateway_copy(g->target, sizeof(g->target), value);
	g->exact = exact;
}

static uint8_t gateway_version(struct oa_bytes protocol)
{
	if (oa_bytes_eq(protocol, OA_LIT("HTTP/1.0")))
		return 10;
	return oa_bytes_eq(protocol, OA_LIT("HTTP/2.0")) || oa_bytes_eq(protocol, OA_LIT("HTTP/2")) ? 20 : 11;
}

void oa_gateway_param(struct oa_gateway *g, struct oa_bytes name, struct oa_bytes value)
{
	if (!gateway_is_text(value)) {
		g->left_out = true;
		return;
	}
	if (name.len > 5 && !memcmp(name.ptr, "HTTP_", 5)) {
		g->forwarded_for |= oa_bytes_eq(name, OA_LIT("HTTP_X_FORWARDED_FOR"));
		g->forwarded_proto |= oa_bytes_eq(name, OA_LIT("HTTP_X_FORWARDED_PROTO"));
		gateway_field(g, oa_bytes(name.ptr + 5, name.len - 5), value);
	} else if (oa_bytes_eq(name, OA_LIT("REQUEST_METHOD"))) {
		g->method_len = gateway_copy(g->method, sizeof(g->method), value);
	} else if (oa_bytes_eq(name, OA_LIT("REQUEST_URI"))) {
		gateway_target(g, value, true);
	} else if (oa_bytes_eq(name, OA_LIT("SCRIPT_NAME"))) {
		gateway_target(g, value, false);
	} else if (oa_bytes_eq(name, OA_LIT("SERVER_PROTOCOL"))) {
		g->version = gateway_version(value);
	} else if (oa_bytes_eq(name, OA_LIT("REMOTE_ADDR"))) {
		g->remote_len = gateway_copy(g->remote, sizeof(g->remote), value);
	} else if (oa_bytes_eq(name, OA_LIT("HTTPS")) || oa_bytes_eq(name, OA_LIT("REQUEST_SCHEME"))) {
		g->https |= value.len && !oa_bytes_ieq(value, OA_LIT("off")) && !oa_bytes_ieq(value, OA_LIT("http"));
	}
}

/* -- the head -- */

/* What the web server knows of its client, as proxies say it. */
static void gateway_forwarded(struct oa_gateway *g)
{
	if (!g->forwarded_for && g->remote_len)
		gateway_field(g, OA_LIT("x-forwarded-for"), oa_bytes(g->remote, g->remote_len));
	if (!g->forwarded_proto && g->https)
		gateway_field(g, OA_LIT("x-forwarded-proto"), OA_LIT("https"));
}

static uint8_t *gateway_before(uint8_t *end, const void *text, size_t len)
{
	memcpy(end - len, text, len);
	return end - len;
}

bool oa_gateway_head(struct oa_gateway *g, struct oa_http_head *ret)
{
	uint8_t *at = g->fields;

	if (!g->method_len || !g->target_len)
		return false;
	gateway_forwarded(g);
	memcpy(g->fields + g->len, "\r\n", 2); /* gateway_field() leaves room */
	at = gateway_before(at, " HTTP/1.1\r\n", 11);
	at = gateway_before(at, g->target, g->target_len);
	at = gateway_before(at, " ", 1);
	at = gateway_before(at, g->method, g->method_len);
	return oa_http1_parse_head(oa_bytes(at, (size_t)(g->fields + g->len + 2 - at)), OA_DIR_REQUEST, ret) > 0;
}

static void gateway_serve(struct oa_feed *f, struct oa_gateway *g)
{
	struct oa_conn *c = f->c;
	struct oa_http_head head;
	int64_t index;

	if (!oa_gateway_head(g, &head)) { /* a request that says nothing of itself: whose the answer is would be a guess */
		oa_conn_make_opaque(c, OA_STAT_opaque_parse);
		return;
	}
	head.version = g->version;
	head.flags &= (uint16_t)~OA_HTTP_UPGRADE;
	index = oa_exchange_open(c, OA_KIND_SERVER, OA_WHAT_HTTP, oa_feed_now(f));
	if (index < 0)
		oa_conn_make_opaque(c, OA_STAT_opaque_pool);
	else
		oa_span_serve(c, oa_exchange_at((uint32_t)index), (uint32_t)index, &head);
}

static void gateway_told(struct oa_feed *f)
{
	struct oa_gateway *g = oa_gateway_of(f->c);

	if (!g)
		return;
	if (f->c->role == OA_ROLE_SERVER)
		gateway_serve(f, g);
	else
		oa_gateway_asked(f, g);
	oa_fastcgi_release(f->c);
}

static void gateway_note(struct oa_conn *c, const struct oa_store_msg *m)
{
	struct oa_gateway *g = oa_gateway_of(c);

	if (!g)
		return;
	oa_gateway_param(g, m->operation, m->text);
	if (c->role == OA_ROLE_CLIENT)
		oa_gateway_asking(c, g, m->operation);
}

/* -- answers -- */

static void gateway_answer(struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct oa_span *s = oa_exchange_span(ex);
	/* Of one that was refused the asking side says why, not with which status a web server would. */
	uint16_t status = s->kind == OA_KIND_CLIENT && m->hint ? 0 : m->status_num;

	s->status = status;
	if (status)
		s->flags |= OA_SPAN_HAS_STATUS;
	ex->baggage_len = m->hint;
	oa_exchange_flag(ex, OA_EX_RESPONDED, 0);
}

/* Of an answer that is complete. */
static enum oa_error gateway_error(const struct oa_exchange *ex)
{
	static const enum oa_error refused[] = { OA_ERR_NONE, OA_ERR_FASTCGI_MULTIPLEX, OA_ERR_FASTCGI_OVERLOADED,
						 OA_ERR_FASTCGI_ROLE };
	const struct oa_span *s = oa_exchange_span(ex);

	if (s->kind != OA_KIND_CLIENT || s->flags & OA_SPAN_HAS_STATUS)
		return OA_ERR_NONE;
	return ex->baggage_len && ex->baggage_len <= 3 ? refused[ex->baggage_len] : OA_ERR_MALFORMED;
}

static void gateway_on_request(struct oa_feed *f, const struct oa_event *ev)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex = c->last ? oa_exchange_at(c->last - 1) : NULL;

	if (ev->type == OA_EVENT_REQUEST) {
		gateway_begin(c);
	} else if (ev->type == OA_EVENT_NOTE && ev->u.store->flags & OA_STORE_PARAM_END) {
		gateway_told(f);
	} else if (ev->type == OA_EVENT_NOTE) {
		gateway_note(c, ev->u.store);
	} else if (ev->type == OA_EVENT_BODY && ex) {
		oa_exchange_span(ex)->req_body += ev->u.body_bytes;
		if (c->role == OA_ROLE_SERVER)
			oa_ctx_touch(oa_ref_of(c->last - 1));
	} else if (ev->type == OA_EVENT_END && ex) {
		oa_exchange_flag(ex, OA_EX_REQ_DONE, 0);
		oa_exchange_span(ex)->flags |= OA_SPAN_HAS_REQ_BODY;
	}
}

static void gateway_on_response(struct oa_feed *f, const struct oa_event *ev)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex = c->first ? oa_exchange_at(c->first - 1) : NULL;

	if (!ex)
		return;
	if (c->role == OA_ROLE_SERVER && atomic_load_explicit(&ex->loose, memory_order_relaxed))
		oa_ctx_settle(ex);
	else if (c->role == OA_ROLE_CLIENT)
		oa_ctx_answered(ex);
	if (ev->type == OA_EVENT_RESPONSE)
		gateway_answer(ex, ev->u.store);
	else if (ev->type == OA_EVENT_END && ex->flags & OA_EX_RESPONDED)
		oa_exchange_finish(c, c->first - 1, oa_feed_now(f), gateway_error(ex));
}

void oa_fastcgi_on_event(void *ctx, const struct oa_event *ev)
{
	struct oa_feed *f = ctx;

	if (f->c->state == OA_CONN_OPAQUE)
		return;
	if (f->dir == OA_DIR_REQUEST)
		gateway_on_request(f, ev);
	else
		gateway_on_response(f, ev);
}
