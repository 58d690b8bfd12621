/* Requests that a web server hands on by FastCGI: a CLIENT span each, whose context is said to the application as a
 * parameter. One that was handed on from the server's own client is rewritten where it stands; otherwise one more PARAMS
 * record goes in front of the empty one that ends them. The first four bytes of the two are the same, so it goes in
 * behind those four of the host's: there is a byte of the host's on either side of it, wherever the kernel cuts. */
#include "conn/fastcgi_impl.h"

#include "conn/inject_impl.h"
#include "core/stats.h"
#include "core/tsc.h"

#define FCGI_BEGIN    1
#define FCGI_COMMON   4 /* bytes that two PARAMS records of a request begin with alike */
#define FCGI_BLOCK    2
#define CONTEXTS_MAX  4

/* What is found in the bytes about to be sent. */
struct scan {
	struct oa_gateway *g;
	struct oa_bytes view;
	const uint8_t *end;   /* the empty record, NULL: not in these bytes */
	bool telling;         /* parameters of a request whose beginning is known */
	uint8_t contexts;
	struct {
		uint32_t field, at, len; /* a value: in g->fields, in view */
	} context[CONTEXTS_MAX];
};

bool oa_gateway_is_context(struct oa_bytes name)
{
	return oa_bytes_eq(name, OA_LIT("HTTP_TRACEPARENT")) || oa_bytes_eq(name, OA_LIT("HTTP_B3")) ||
	       oa_bytes_eq(name, OA_LIT("HTTP_X_B3_SPANID"));
}

/* -- the exchange -- */

int64_t oa_gateway_ask(struct oa_conn *c, struct oa_http_head *h, uint64_t now_ns, struct oa_remote *remote,
		       uint8_t *ret_result)
{
	struct oa_bytes host = oa_http_field(h, OA_FIELD_host), proto = oa_http_field(h, OA_FIELD_forwarded_proto);
	struct oa_exchange *ex;
	int64_t index;

	/* Whom the browser asked; whom this asks is at the other end of the connection. */
	h->field[OA_FIELD_host] = (struct oa_slice){ 0 };
	h->version = 0;
	h->flags &= (uint16_t)~OA_HTTP_UPGRADE;
	index = oa_span_open_client(c, h, OA_WHAT_HTTP, 0, now_ns, remote, ret_result);
	if (index < 0)
		return -1;
	ex = oa_exchange_at((uint32_t)index);
	ex->stream = 1; /* by FastCGI, whatever is known of the connection yet */
	oa_exchange_set_str(ex, OA_STR_FWD_HOST, oa_bytes_cut(host, OA_HEADER_TEXT_MAX));
	if (oa_bytes_ieq(proto, OA_LIT("https")))
		oa_exchange_set_str(ex, OA_STR_FWD_PROTO, proto);
	return index;
}

static struct oa_exchange *ask_prepared(const struct oa_conn *c)
{
	struct oa_exchange *ex = c->last ? oa_exchange_at(c->last - 1) : NULL;

	return ex && ex->flags & OA_EX_PREPARED ? ex : NULL;
}

static void ask_set_result(struct oa_exchange *ex, enum oa_inject_result result)
{
	struct oa_span *s = oa_exchange_span(ex);

	s->inject = (uint8_t)result;
	if (result == OA_INJECT_DONE)
		s->flags |= OA_SPAN_INJECTED;
	if (result != OA_INJECT_REWRITTEN)
		s->flags &= ~OA_SPAN_REWRITTEN;
}

void oa_gateway_asking(struct oa_conn *c, struct oa_gateway *g, struct oa_bytes name)
{
	struct oa_exchange *ex = ask_prepared(c);

	if (g->asked || !ex || oa_exchange_span(ex)->inject != OA_INJECT_REWRITTEN || !oa_gateway_is_context(name))
		return;
	oa_exchange_flag(ex, 0, OA_EX_PREPARED); /* it is known over there by now */
	g->asked = true;
}

/* Its parameters went out in a way in which nothing could be added. */
static void ask_late(struct oa_feed *f, struct oa_gateway *g)
{
	struct oa_conn *c = f->c;
	uint8_t result = OA_INJECT_PARTIAL;
	struct oa_http_head head;
	struct oa_remote remote;
	int64_t index;

	if (!oa_gateway_head(g, &head)) {
		oa_conn_make_opaque(c, OA_STAT_opaque_parse);
		return;
	}
	index = oa_gateway_ask(c, &head, oa_feed_now(f), &remote, &result);
	if (index < 0) {
		oa_conn_make_opaque(c, OA_STAT_opaque_pool);
		return;
	}
	oa_exchange_flag(oa_exchange_at((uint32_t)index), 0, OA_EX_PREPARED);
	ask_set_result(oa_exchange_at((uint32_t)index),
		       result == OA_INJECT_REWRITTEN ? OA_INJECT_PARTIAL : (enum oa_inject_result)result);
}

void oa_gateway_asked(struct oa_feed *f, struct oa_gateway *g)
{
	struct oa_exchange *ex = ask_prepared(f->c);

	if (f->c->answered) /* it is over */
		f->c->answered--;
	else if (ex)
		oa_exchange_flag(ex, 0, OA_EX_PREPARED);
	else if (!g->asked)
		ask_late(f, g);
}

/* -- what is about to be sent -- */

static void scan_param(struct scan *k, const struct oa_store_msg *m)
{
	uint16_t before = k->g->len;

	oa_gateway_param(k->g, m->operation, m->text);
	if (k->g->len == before || k->contexts == CONTEXTS_MAX || !oa_gateway_is_context(m->operation))
		return;
	k->context[k->contexts].field = before + (uint32_t)(m->operation.len - 5) + 2; /* "name: " */
	k->context[k->contexts].at = (uint32_t)(m->text.ptr - k->view.ptr);
	k->context[k->contexts++].len = (uint32_t)m->text.len;
}

static void scan_event(void *ctx, const struct oa_event *ev)
{
	struct scan *k = ctx;

	if (k->end)
		return;
	if (ev->type == OA_EVENT_REQUEST) {
		oa_gateway_clear(k->g);
		k->telling = true;
	} else if (ev->type == OA_EVENT_NOTE && ev->u.store->flags & OA_STORE_PARAM_END) {
		k->end = ev->body;
	} else if (ev->type == OA_EVENT_NOTE) {
		scan_param(k, ev->u.store);
	}
}

/* returns true when these are parameters up to a place where something can be done */
static OA_NOINLINE bool scan_bytes(struct scan *k, const struct oa_conn *c, struct oa_bytes view)
{
	const struct oa_sink sink = { .event = scan_event, .ctx = k };
	const struct oa_gateway *told = oa_gateway_of(c);
	uint64_t state[OA_PROTO_STATE_BYTES / 8];

	if (!c->proto && oa_proto_fastcgi.detect(OA_DIR_REQUEST, view) != OA_DETECT_YES)
		return false;
	memcpy(state, c->pstate[OA_DIR_REQUEST], sizeof(state));
	k->view = view;
	k->end = NULL;
	k->contexts = 0;
	k->telling = told;
	if (told)
		memcpy(k->g, told, offsetof(struct oa_gateway, fields) + told->len);
	else
		oa_gateway_clear(k->g);
	if (oa_proto_fastcgi.feed(state, OA_DIR_REQUEST, view, &sink) < 0 || !k->telling)
		return false;
	return k->end || (k->contexts && oa_fastcgi_is_between(state));
}

static struct oa_bytes scan_gather(const struct oa_send *s, uint32_t block)
{
	struct oa_buf all = oa_buf(oa_block_at(FCGI_BLOCK, block), oa_block_bytes[FCGI_BLOCK]);

	for (int i = 0; i < s->host_iovcnt && !all.full; i++)
		if (!oa_buf_put(&all, oa_bytes(s->host_iov[i].iov_base, s->host_iov[i].iov_len)))
			oa_buf_put(&all, oa_bytes(s->host_iov[i].iov_base, all.cap - all.len));
	return oa_buf_bytes(&all);
}

/* -- what goes in -- */

static void put_length(struct oa_buf *out, size_t n)
{
	uint8_t b[4] = { (uint8_t)(0x80 | n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };

	oa_buf_put(out, n < 0x80 ? oa_bytes(b + 3, 1) : oa_bytes(b, 4));
}

/* "traceparent" -> HTTP_TRACEPARENT */
static void put_param(struct oa_buf *out, struct oa_bytes name, struct oa_bytes value)
{
	put_length(out, name.len + 5);
	put_length(out, value.len);
	oa_buf_put(out, OA_LIT("HTTP_"));
	for (size_t i = 0; i < name.len; i++) {
		uint8_t ch = oa_lower(name.ptr[i]);

		ch = ch == '-' ? '_' : ch >= 'a' && ch <= 'z' ? (uint8_t)(ch - 32) : ch;
		oa_buf_put(out, oa_bytes(&ch, 1));
	}
	oa_buf_put(out, value);
}

/* The host has said it: a parameter is there once. */
static bool ask_has(const struct oa_http_head *h, struct oa_bytes name)
{
	struct oa_bytes have, value;
	uint8_t lower[32];
	size_t pos = 0;

	for (size_t i = 0; i < name.len && i < sizeof(lower); i++)
		lower[i] = oa_lower(name.ptr[i]);
	name = oa_bytes_cut(oa_bytes(lower, name.len), sizeof(lower));
	while (oa_http1_line_next(h, &pos, &have, &value))
		if (oa_bytes_eq(have, name))
			return true;
	return false;
}

static struct oa_bytes lines_cut(struct oa_bytes *lines, const char *sep)
{
	const uint8_t *at = memmem(lines->ptr, lines->len, sep, 2);
	struct oa_bytes part = at ? oa_bytes(lines->ptr, (size_t)(at - lines->ptr)) : *lines;

	*lines = at ? oa_bytes(at + 2, lines->len - part.len - 2) : oa_bytes(lines->ptr + lines->len, 0);
	return part;
}

/* The rest of a record that begins as the host's empty one does, and that beginning once more. */
static bool put_record(struct oa_buf *out, struct oa_bytes lines, const struct oa_http_head *h, const uint8_t *begins)
{
	static const uint8_t zeros[8];
	size_t head = out->len, len;

	oa_buf_put(out, oa_bytes(zeros, 4));
	while (lines.len) {
		struct oa_bytes name = lines_cut(&lines, ": ");
		struct oa_bytes value = lines_cut(&lines, "\r\n");

		if (!ask_has(h, name))
			put_param(out, name, value);
	}
	len = out->len - head - 4;
	oa_buf_put(out, oa_bytes(zeros, -len & 7));
	oa_buf_put(out, oa_bytes(begins, FCGI_COMMON));
	if (out->full || !len)
		return false;
	out->ptr[head] = (uint8_t)(len >> 8);
	out->ptr[head + 1] = (uint8_t)len;
	out->ptr[head + 2] = -len & 7;
	return true;
}

static OA_NOINLINE enum oa_inject_result ask_insert(const struct oa_conn *c, struct oa_send *s, const struct scan *k,
						    struct oa_exchange *ex, const struct oa_http_head *h)
{
	unsigned cls = oa_inject_is_long(ex) ? 2 : 1;
	enum oa_inject_result result = OA_INJECT_POOL;
	int64_t block = oa_block_take(cls);
	struct oa_buf lines, out;

	if (block < 0)
		return OA_INJECT_POOL;
	lines = oa_buf(oa_block_at(cls, (uint32_t)block), oa_block_bytes[cls]);
	if (oa_inject_lines(ex, &lines) == OA_INJECT_DONE && oa_inject_reserve(c, s, cls)) {
		out = oa_inject_room(s);
		if (put_record(&out, oa_buf_bytes(&lines), h, k->end)) {
			oa_inject_point(s, (size_t)(k->end - k->view.ptr) + FCGI_COMMON, &out, false);
			result = OA_INJECT_DONE;
		}
	}
	oa_block_give(cls, (uint32_t)block);
	return result;
}

/* Where in the host's bytes the span id stands that is to be ours. */
static enum oa_inject_result ask_rewrite(const struct oa_conn *c, struct oa_send *s, const struct scan *k,
					 struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote)
{
	size_t field = (size_t)(h->block.ptr + remote->span_at.off - k->g->fields);

	for (unsigned i = 0; i < k->contexts; i++)
		if (field >= k->context[i].field && field + remote->span_at.len <= k->context[i].field + k->context[i].len)
			return oa_inject_rewrite(c, s, ex, k->context[i].at + field - k->context[i].field, remote->w3c);
	return OA_INJECT_PARTIAL; /* it went out before */
}

static enum oa_inject_result ask_inject(const struct oa_conn *c, struct oa_send *s, const struct scan *k,
					struct oa_exchange *ex, const struct oa_http_head *h,
					const struct oa_remote *remote, uint8_t given)
{
	enum oa_inject_result result = oa_inject_allowed(h, s, 1);

	if (given == OA_INJECT_FOREIGN)
		return OA_INJECT_FOREIGN;
	if (result != OA_INJECT_NONE)
		return result;
	if (given == OA_INJECT_REWRITTEN)
		return ask_rewrite(c, s, k, ex, h, remote);
	return k->g->left_out ? OA_INJECT_AMBIGUOUS : ask_insert(c, s, k, ex, h);
}

/* Does it name a request that is being served here? */
static bool ask_hands_on(const struct oa_http_head *h)
{
	struct oa_remote remote;

	oa_propagate_extract(h, &remote);
	return remote.valid && remote.span_at.len && oa_ctx_find_remote(remote.trace_id, remote.parent_id).gen;
}

static OA_NOINLINE void ask_open(struct oa_conn *c, struct oa_send *s, struct scan *k)
{
	uint8_t given = OA_INJECT_NONE;
	struct oa_http_head head;
	struct oa_remote remote;
	struct oa_exchange *ex;
	int64_t index;

	/* The end of its parameters is not in sight: it may be told of now only if this is the time to rewrite. */
	if (!oa_gateway_head(k->g, &head) || (!k->end && !ask_hands_on(&head)))
		return;
	index = oa_gateway_ask(c, &head, oa_host_now_ns(), &remote, &given);
	if (index < 0)
		return;
	ex = oa_exchange_at((uint32_t)index);
	s->requests = 1;
	s->first = (uint32_t)index;
	s->first_gen = atomic_load_explicit(&ex->gen, memory_order_relaxed);
	ask_set_result(ex, ask_inject(c, s, k, ex, &head, &remote, given));
}

/* -- sending -- */

static struct oa_bytes ask_first(const struct oa_send *s)
{
	for (int i = 0; i < s->host_iovcnt; i++)
		if (s->host_iov[i].iov_len)
			return oa_bytes(s->host_iov[i].iov_base, s->host_iov[i].iov_len);
	return (struct oa_bytes){ 0 };
}

OA_HOT bool oa_fastcgi_asks(const struct oa_conn *c, const struct oa_send *s)
{
	struct oa_bytes first;

	if (c->proto)
		return oa_protos[c->proto - 1]->flags & OA_PROTO_GATEWAY;
	if (c->role != OA_ROLE_CLIENT || c->carry[OA_DIR_REQUEST] || c->tls)
		return false;
	first = ask_first(s);
	return first.len && first.ptr[0] == 1 && oa_proto_fastcgi.detect(OA_DIR_REQUEST, first) != OA_DETECT_NO;
}

/* The connection is one from its first bytes on, should its answer be read before this call is back. */
static void ask_settle_proto(struct oa_conn *c)
{
	if (c->state != OA_CONN_NEW || c->proto)
		return;
	oa_conn_set_proto(c, oa_proto_number(&oa_proto_fastcgi));
	oa_conn_set_state(c, OA_CONN_HTTP);
}

void oa_fastcgi_prepare(struct oa_conn *c, struct oa_send *s)
{
	struct oa_bytes first = ask_first(s);
	struct oa_gateway *told = oa_gateway_of(c);
	struct scan k = { 0 };
	int64_t block, gathered = -1;
	bool found;

	if (c->stash || c->carry[OA_DIR_REQUEST] || ask_prepared(c) || !first.len)
		return;
	if (told ? told->asked : first.ptr[0] != 1 || (first.len > 1 && first.ptr[1] != FCGI_BEGIN))
		return; /* a body */
	block = oa_block_take(OA_GATEWAY_BLOCK);
	if (block < 0)
		return;
	k.g = (struct oa_gateway *)(void *)oa_block_at(OA_GATEWAY_BLOCK, (uint32_t)block);
	found = scan_bytes(&k, c, first);
	if (!k.end && s->host_iovcnt > 1 && (gathered = oa_block_take(FCGI_BLOCK)) >= 0)
		found = scan_bytes(&k, c, scan_gather(s, (uint32_t)gathered));
	if (found) {
		ask_open(c, s, &k);
		ask_settle_proto(c);
	}
	if (gathered >= 0)
		oa_block_give(FCGI_BLOCK, (uint32_t)gathered);
	oa_block_give(OA_GATEWAY_BLOCK, (uint32_t)block);
}
