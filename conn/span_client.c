/* Requests that this process makes: opened before they are written, because an answer may be read by another thread
 * before write() returns. Whose work they are, and what became of connections that were never made. */
#include "conn/span_http.h"
#include "core/inject_result.h"
#include "proto/http2.h"

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
	oa_span_new_trace(oa_exchange_span(ex));
	oa_decide_root(ex, h);
}

/* In HTTP/2 a field that the peer puts into its table, or has there, must stay what it is. */
static bool client_can_rewrite(const struct oa_http_head *h, const struct oa_remote *remote)
{
	return h->version != 20 || (remote->w3c && oa_http2_head(h)->parent_to);
}

/* The request names a context already: a proxy handed on what a request we serve brought (then it is rewritten to
 * name our span), or the program traces by itself (left alone; our span becomes a child of the one it names). */
static uint8_t client_context_given(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote)
{
	struct oa_span *s = oa_exchange_span(ex);
	struct oa_ref parent = oa_ctx_find_remote(remote->trace_id, remote->parent_id);

	s->evidence = OA_EV_MESSAGE;
	if (parent.gen && remote->span_at.len && client_join_parent(ex, parent)) {
		if (!client_can_rewrite(h, remote))
			return OA_INJECT_FOREIGN;
		s->flags |= OA_SPAN_REWRITTEN;
		return OA_INJECT_REWRITTEN;
	}
	memcpy(s->trace_id, remote->trace_id, 16);
	memcpy(s->parent_id, remote->parent_id, 8);
	s->flags |= OA_SPAN_FOREIGN | (remote->flags & 2 ? OA_SPAN_RANDOM : 0);
	oa_decide(ex, h, remote);
	return OA_INJECT_FOREIGN;
}

static OA_HOT void client_context_found(struct oa_conn *c, struct oa_exchange *ex, const struct oa_http_head *h)
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

void oa_span_give_back_work(struct oa_conn *c)
{
	if (c->flags & (OA_CONN_WORKING | OA_CONN_USED) || !oa_exchange_get(c->bound))
		return;
	c->flags |= OA_CONN_WORKING;
	oa_ctx_begin_work(c->bound);
}

OA_HOT int64_t oa_span_open_client(struct oa_conn *c, const struct oa_http_head *h, enum oa_what what, uint32_t flags,
			    uint64_t now_ns, struct oa_remote *remote, uint8_t *ret_result)
{
	struct oa_exchange *ex;
	struct oa_span *s;
	int64_t index = -1;

	if (c->open < (h->version == 20 ? OA_STREAMS_MAX : OA_PIPELINE_MAX))
		index = oa_exchange_open(c, OA_KIND_CLIENT, what, now_ns);
	if (index < 0)
		return -1;
	ex = oa_exchange_at((uint32_t)index);
	oa_exchange_flag(ex, OA_EX_PREPARED, 0);
	oa_span_request_line(ex, h);
	s = oa_exchange_span(ex);
	s->flags |= flags;
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
		oa_span_upgrade(ex, h);
	if (what == OA_WHAT_HTTP)
		oa_exchange_count_active(ex);
	return index;
}

static OA_HOT int64_t client_open_call(struct oa_conn *c, enum oa_what what, uint64_t now_ns, bool apart)
{
	int64_t index = oa_exchange_open(c, OA_KIND_CLIENT, what, now_ns);
	struct oa_exchange *ex;

	if (index < 0)
		return -1;
	ex = oa_exchange_at((uint32_t)index);
	oa_id_span(oa_exchange_span(ex)->span_id);
	if (!c->served && !(c->flags & OA_CONN_USED)) {
		oa_exchange_span(ex)->dns_us = c->dns_us;
		oa_exchange_span(ex)->connect_us = c->connect_us;
	}
	if (OA_UNLIKELY(apart)) {
		client_root(ex, NULL);
		oa_exchange_span(ex)->evidence = OA_EV_ROOT;
	} else {
		client_context_found(c, ex, NULL);
	}
	client_take_over_work(c);
	if (c->peer_path)
		oa_exchange_set_str(ex, OA_STR_PEER_PATH, oa_bytes(oa_block_at(0, c->peer_path - 1), c->peer_path_len));
	return index;
}

int64_t oa_span_open_call(struct oa_conn *c, enum oa_what what, uint64_t now_ns)
{
	return client_open_call(c, what, now_ns, false);
}

int64_t oa_span_open_apart(struct oa_conn *c, enum oa_what what, uint64_t now_ns)
{
	return client_open_call(c, what, now_ns, true);
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
