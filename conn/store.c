/* Data stores: every command is an exchange, opened when it is read, or is about to be sent, and finished by its answer. An
 * answer nobody asked for ends the observing of the connection: from then on no answer could be trusted to be the one. */
#include "conn/store.h"

#include "conn/feed.h"
#include "conn/span_http.h"
#include "core/stats.h"
#include "proto/redis.h"
#include "proto/store.h"

#define STORE_PIPELINE_MAX 4096 /* open commands on one connection */
#define STORE_EARLY        0xff /* c->answered while bytes are read that are not sent yet */

_Static_assert(sizeof(((struct oa_send *)0)->before) == OA_PROTO_STATE_BYTES, "what the parser was");

/* -- the record -- */

static uint8_t store_put(uint8_t *to, struct oa_bytes text)
{
	text = oa_bytes_cut(text, OA_DB_NAME_MAX);
	if (text.len)
		memcpy(to, text.ptr, text.len);
	return (uint8_t)text.len;
}

struct store_record {
	struct oa_db db;
	uint8_t texts[3 * OA_DB_NAME_MAX];
};

static void store_record_set(struct oa_exchange *ex, struct store_record *r, const struct oa_db_texts *texts)
{
	uint8_t *to = r->texts;

	to += r->db.operation = store_put(to, texts->operation);
	to += r->db.target = store_put(to, texts->target);
	to += r->db.status = store_put(to, texts->status);
	oa_exchange_set_str(ex, OA_STR_DB, oa_bytes(r, (size_t)(to - (uint8_t *)r)));
}

static inline void store_record_command(struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct oa_db_texts texts = { .operation = m->operation, .target = m->target };
	struct store_record r;

	r.db = (struct oa_db){ .args = m->args, .batch = m->batch, .ns = m->ns_num, .system = m->system,
			       .flags = m->flags & OA_STORE_HAS_NS ? OA_DB_HAS_NS : 0 };
	store_record_set(ex, &r, &texts);
}

/* In place, but for an answer that has a status. */
static void store_record_answer(struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct oa_span *s = oa_exchange_span(ex);
	struct oa_db_texts texts;
	struct store_record r;

	if (!oa_span_db(s, &r.db, &texts))
		return;
	r.db.rows = m->rows;
	r.db.status_num = m->status_num;
	r.db.flags |= (m->flags & OA_STORE_FAILED ? OA_DB_FAILED : 0) | (m->flags & OA_STORE_HAS_ROWS ? OA_DB_HAS_ROWS : 0);
	texts.status = m->status;
	if (m->status.len)
		store_record_set(ex, &r, &texts);
	else
		memcpy((uint8_t *)s + s->str[OA_STR_DB].off, &r.db, sizeof(r.db));
}

/* -- commands -- */

static inline void store_serve(struct oa_conn *c, uint32_t index)
{
	struct oa_exchange *ex = oa_exchange_at(index);
	struct oa_span *s = oa_exchange_span(ex);

	oa_id_span(s->span_id);
	oa_span_new_trace(s);
	s->evidence = OA_EV_ROOT;
	oa_decide_root(ex, NULL);
	oa_exchange_show(ex);
	oa_ctx_open(index, c->flags & OA_CONN_NONBLOCK);
}

/* No exchange to be had: which answer is whose could no longer be told. */
static OA_COLD void store_declined(struct oa_conn *c)
{
	oa_conn_make_opaque(c, OA_STAT_opaque_pool);
}

static void store_on_command(struct oa_feed *f, const struct oa_event *ev)
{
	const struct oa_store_msg *m = ev->u.store;
	struct oa_conn *c = f->c;
	bool server = c->role == OA_ROLE_SERVER;
	struct oa_exchange *ex;
	int64_t index = -1;

	if (OA_LIKELY(c->open < STORE_PIPELINE_MAX))
		index = server ? oa_exchange_open(c, OA_KIND_SERVER, OA_WHAT_DB, oa_feed_now(f))
			       : oa_span_open_call(c, OA_WHAT_DB, oa_feed_now(f));
	if (OA_UNLIKELY(index < 0)) {
		store_declined(c);
		return;
	}
	ex = oa_exchange_at((uint32_t)index);
	ex->baggage_len = m->hint;
	store_record_command(ex, m);
	if (server)
		store_serve(c, (uint32_t)index);
	else if (c->answered == STORE_EARLY)
		oa_exchange_flag(ex, OA_EX_PREPARED, 0);
}

/* -- answers -- */

/* What reading or writing an answer means for causality. */
static inline void store_moves_context(struct oa_feed *f, struct oa_exchange *ex)
{
	if (f->c->role == OA_ROLE_CLIENT) {
		if (ex->parent.gen)
			oa_ctx_touch(ex->parent);
	} else if (atomic_load_explicit(&ex->loose, memory_order_relaxed)) {
		oa_ctx_settle(ex);
	}
}

static void store_on_answer(struct oa_feed *f, const struct oa_store_msg *m)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex = c->first ? oa_exchange_at(c->first - 1) : NULL;

	if (OA_UNLIKELY(!ex)) {
		oa_conn_make_opaque(c, OA_STAT_opaque_parse);
		return;
	}
	store_moves_context(f, ex);
	oa_exchange_flag(ex, OA_EX_RESPONDED, 0);
	if (OA_UNLIKELY(m->flags & OA_STORE_FAILED && ex->baggage_len & REDIS_HINT_SELECT))
		oa_redis_forget_database(c->pstate[OA_DIR_REQUEST]);
	if (m->flags || m->status_num)
		store_record_answer(ex, m);
}

static void store_on_end(struct oa_feed *f)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex = c->first ? oa_exchange_at(c->first - 1) : NULL;

	if (f->dir == OA_DIR_REQUEST) {
		if (c->last)
			oa_exchange_flag(oa_exchange_at(c->last - 1), OA_EX_REQ_DONE, 0);
	} else if (ex && ex->flags & OA_EX_RESPONDED) {
		store_moves_context(f, ex);
		oa_exchange_finish(c, c->first - 1, oa_feed_now(f), OA_ERR_NONE);
	}
}

OA_HOT void oa_store_on_event(struct oa_feed *f, const struct oa_event *ev)
{
	if (OA_UNLIKELY(f->c->state == OA_CONN_OPAQUE))
		return;
	switch (ev->type) {
	case OA_EVENT_REQUEST:
		store_on_command(f, ev);
		break;
	case OA_EVENT_RESPONSE:
		store_on_answer(f, ev->u.store);
		break;
	case OA_EVENT_END:
		store_on_end(f);
		break;
	case OA_EVENT_UPGRADED:
		f->upgraded = true;
		break;
	default:
		break;
	}
}

/* -- sending -- */

static bool store_is(const struct oa_conn *c)
{
	return c->proto && oa_protos[c->proto - 1]->flags & OA_PROTO_STORE;
}

/* The first bytes of a connection. */
static OA_COLD void store_detect(struct oa_conn *c, const struct oa_send *s)
{
	struct oa_bytes first = oa_bytes(s->host_iov->iov_base, s->host_iov->iov_len);

	for (unsigned i = 0; first.len && oa_protos[i]; i++) {
		if (!(oa_protos[i]->flags & OA_PROTO_STORE) ||
		    oa_protos[i]->detect(OA_DIR_REQUEST, first) != OA_DETECT_YES)
			continue;
		oa_conn_set_proto(c, (uint8_t)(i + 1));
		oa_conn_set_state(c, OA_CONN_HTTP);
		return;
	}
}

static size_t store_bytes(const struct oa_send *s)
{
	size_t n = 0;

	for (int i = 0; i < s->host_iovcnt; i++)
		n += s->host_iov[i].iov_len;
	return n;
}

bool oa_store_before_send(struct oa_conn *c, struct oa_send *s)
{
	uint32_t last = c->last, open = c->open;

	if (OA_UNLIKELY(c->state == OA_CONN_NEW && !c->carry[OA_DIR_REQUEST] && c->role == OA_ROLE_CLIENT))
		store_detect(c, s);
	if (!store_is(c))
		return false;
	if (c->state != OA_CONN_HTTP || c->role != OA_ROLE_CLIENT || c->carry[OA_DIR_REQUEST])
		return true; /* the rest of a command: it is read when it was sent */
	memcpy(s->before, c->pstate[OA_DIR_REQUEST], sizeof(s->before));
	c->answered = STORE_EARLY;
	oa_feed_iov(c, false, s->host_iov, s->host_iovcnt, store_bytes(s));
	c->answered = 0;
	if (c->state != OA_CONN_HTTP)
		return true; /* no longer */
	s->fed = true;
	s->prepared = (uint16_t)(c->last != last ? c->open - open : 0);
	if (c->last != last) {
		s->first = c->last - 1;
		s->first_gen = atomic_load_explicit(&oa_exchange_at(s->first)->gen, memory_order_relaxed);
	}
	return true;
}

static bool store_last_is_open(const struct oa_send *s)
{
	return s->prepared && oa_exchange_get((struct oa_ref){ s->first, s->first_gen });
}

/* All of it was sent: its commands are real. */
static void store_sent(struct oa_conn *c)
{
	for (uint32_t i = c->last; i; i = oa_exchange_at(i - 1)->prev) {
		struct oa_exchange *ex = oa_exchange_at(i - 1);

		if (!(ex->flags & OA_EX_PREPARED))
			break;
		oa_exchange_flag(ex, 0, OA_EX_PREPARED);
	}
}

/* Back to where the connection stood before. returns false when it cannot be: some of it was answered meanwhile */
static bool store_undo(struct oa_conn *c, const struct oa_send *s)
{
	for (unsigned n = s->prepared; n; n--) {
		if (!c->last || !(oa_exchange_at(c->last - 1)->flags & OA_EX_PREPARED))
			return false;
		oa_exchange_discard(c, c->last - 1);
	}
	oa_feed_forget(c, OA_DIR_REQUEST);
	memcpy(c->pstate[OA_DIR_REQUEST], s->before, sizeof(s->before));
	return true;
}

void oa_store_after_send(struct oa_conn *c, struct oa_send *s, ssize_t n)
{
	bool meanwhile = atomic_load_explicit(&c->out_seq, memory_order_relaxed) != s->out_seq;

	if (c->state == OA_CONN_OPAQUE)
		return;
	/* Two threads sent at once, and the order is unknown; unless this one's commands were over before. */
	if (meanwhile && (!s->prepared || store_last_is_open(s))) {
		oa_conn_make_opaque(c, OA_STAT_opaque_contention);
		return;
	}
	if (n >= 0 && (size_t)n == store_bytes(s)) {
		store_sent(c);
		return;
	}
	if (!store_undo(c, s))
		oa_conn_make_opaque(c, OA_STAT_opaque_contention);
	else if (n > 0)
		oa_feed_iov(c, false, s->host_iov, s->host_iovcnt, (size_t)n);
}
