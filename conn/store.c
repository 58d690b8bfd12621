/* Data stores: every command is an exchange, opened when it is read, or is about to be sent, and finished by its answer. An
 * answer nobody asked for ends the observing of the connection: from then on no answer could be trusted to be the one. */
#include "conn/store.h"

#include "conn/feed.h"
#include "conn/messages.h"
#include "conn/span_http.h"
#include "conn/sql_comment.h"
#include "conn/store_session.h"
#include "core/stats.h"
#include "core/tsc.h"
#include "proto/redis.h"
#include "proto/store.h"

#define STORE_PIPELINE_MAX 4096 /* open commands on one connection */
#define STORE_EARLY        0xff /* c->answered while bytes are read that are not sent yet */
#define STORE_TLS          0xfe /* c->answered: what follows is TLS */

_Static_assert(sizeof(((struct oa_early *)0)->parser) == OA_PROTO_STATE_BYTES, "what the parser was");

/* -- the record -- */

static inline uint8_t store_put(uint8_t *to, struct oa_bytes text)
{
	text = oa_bytes_cut(text, OA_DB_NAME_MAX);
	oa_copy_text(to, text.ptr, text.len);
	return (uint8_t)text.len;
}

/* As it stands in an exchange's record. */
struct store_record {
	struct oa_db d;
} __attribute__((packed, may_alias));

static OA_COLD void store_record_set(struct oa_exchange *ex, struct oa_db db, const struct oa_db_texts *texts)
{
	struct {
		struct oa_db db;
		uint8_t texts[3 * OA_DB_NAME_MAX];
	} r = { .db = db };
	uint8_t *to = r.texts;
	size_t len;

	to += r.db.operation = store_put(to, texts->operation);
	to += r.db.target = store_put(to, texts->target);
	to += r.db.status = store_put(to, texts->status);
	len = (size_t)(to - (uint8_t *)&r);
	if (r.db.system == OA_STORE_KAFKA) { /* its target is set later, in place */
		memset(to, 0, OA_DB_NAME_MAX - r.db.target);
		len += OA_DB_NAME_MAX - r.db.target;
	}
	oa_exchange_set_str(ex, OA_STR_DB, oa_bytes(&r, len));
}

/* The part of the record that does not move, where it stands; NULL: there was no room for it. */
static inline struct store_record *store_db_at(const struct oa_exchange *ex)
{
	struct oa_span *s = oa_exchange_span(ex);

	return OA_LIKELY(s->str[OA_STR_DB].len >= sizeof(struct store_record)) ? (void *)((uint8_t *)s + s->str[OA_STR_DB].off) : NULL;
}

/* The same to be read: zeros then. */
static inline const struct store_record *store_db(const struct oa_exchange *ex)
{
	static const struct store_record none;
	const struct store_record *db = store_db_at(ex);

	return OA_LIKELY(db != NULL) ? db : &none;
}

static uint8_t store_flags(const struct oa_store_msg *m)
{
	return (m->flags & OA_STORE_HAS_NS ? OA_DB_HAS_NS : 0) | (m->flags & OA_STORE_SESSION ? OA_DB_USES : 0) | (m->flags & OA_STORE_WHOLE ? OA_DB_WHOLE : 0) |
	       (m->flags & OA_STORE_EXECUTE ? OA_DB_EXECUTE : 0);
}

static inline void store_fill(struct store_record *db, const struct oa_conn *c, const struct oa_store_msg *m, size_t operation, size_t target)
{
	db->d.rows = 0;
	db->d.args = m->args;
	db->d.ns = m->ns_num;
	db->d.batch = m->batch;
	db->d.status_num = 0;
	db->d.system = m->system;
	db->d.flags = store_flags(m);
	db->d.operation = (uint8_t)operation;
	db->d.target = (uint8_t)target;
	db->d.status = 0;
	/* What is asked before may still change it. */
	db->d.escapes = c->open == 1 ? oa_session_escapes(c) : 0;
	db->d.done = 0;
}

/* In a larger record. */
static OA_COLD void store_record_far(const struct oa_conn *c, struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct oa_db_texts texts = { .operation = m->operation, .target = m->target };
	struct store_record db;

	store_fill(&db, c, m, 0, 0);
	store_record_set(ex, db.d, &texts);
}

static inline void store_record_command(const struct oa_conn *c, struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct oa_bytes operation = oa_bytes_cut(m->operation, OA_DB_NAME_MAX), target = oa_bytes_cut(m->target, OA_DB_NAME_MAX);
	struct store_record *db = NULL;
	uint8_t *texts;

	if (OA_LIKELY(m->system != OA_STORE_KAFKA)) /* whose target takes more */
		db = (void *)oa_exchange_text_room(ex, OA_STR_DB, sizeof(*db) + operation.len + target.len);
	if (OA_UNLIKELY(!db)) {
		store_record_far(c, ex, m);
		return;
	}
	store_fill(db, c, m, operation.len, target.len);
	texts = (uint8_t *)(db + 1);
	oa_copy_text(texts, operation.ptr, operation.len);
	oa_copy_text(texts + operation.len, target.ptr, target.len);
}

static OA_COLD void store_record_status(struct oa_exchange *ex, struct oa_bytes status)
{
	struct oa_db_texts texts;
	struct oa_db db;

	if (!oa_span_db(oa_exchange_span(ex), &db, &texts))
		return;
	texts.status = status;
	store_record_set(ex, db, &texts);
}

/* In place, but for an answer that has a status. */
static inline void store_record_answer(struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct store_record *db = store_db_at(ex);

	if (OA_UNLIKELY(!db))
		return;
	db->d.rows += m->rows;
	db->d.status_num = m->status_num;
	db->d.flags |= (m->flags & OA_STORE_FAILED ? OA_DB_FAILED : 0) | (m->flags & OA_STORE_HAS_ROWS ? OA_DB_HAS_ROWS : 0);
	db->d.done++;
	if (db->d.flags & OA_DB_WHOLE)
		db->d.batch = db->d.done;
	if (OA_UNLIKELY(m->status.len))
		store_record_status(ex, m->status);
}

/* The text of a query, or of the statement that it runs; and for which database. */
static void store_record_texts(struct oa_conn *c, struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct oa_bytes text = m->text;
	bool cut = m->flags & OA_STORE_CUT;

	if (m->stmt && !text.len)
		text = oa_session_statement(c, m->stmt, &cut);
	if (cut)
		oa_exchange_span(ex)->flags |= OA_SPAN_TRUNCATED;
	oa_exchange_set_str(ex, OA_STR_DB_NAMESPACE,
			    m->ns.len && !(m->flags & OA_STORE_SESSION) ? oa_bytes_cut(m->ns, OA_DB_NAME_MAX) : oa_session_ns(c));
	oa_exchange_set_str(ex, OA_STR_DB_TEXT, oa_bytes_cut(text, OA_STORE_TEXT_MAX));
}

/* Who speaks, and for which group. */
static OA_COLD void store_record_client(struct oa_exchange *ex, const struct oa_store_msg *m)
{
	oa_exchange_set_str(ex, OA_STR_MSG_CLIENT, oa_bytes_cut(m->user, OA_DB_NAME_MAX));
	oa_exchange_set_str(ex, OA_STR_MSG_GROUP, oa_bytes_cut(m->ns, OA_DB_NAME_MAX));
}

/* -- commands -- */

static inline void store_serve(const struct oa_conn *c, struct oa_exchange *ex, uint32_t index)
{
	struct oa_span *s = oa_exchange_span(ex);

	oa_id_span(s->span_id);
	oa_span_new_trace(s);
	s->evidence = OA_EV_ROOT;
	oa_decide_root(ex, NULL);
	oa_exchange_show(ex);
	oa_ctx_open(ex, index, c->flags & OA_CONN_NONBLOCK);
}

/* No exchange to be had: which answer is whose could no longer be told. */
static OA_COLD void store_declined(struct oa_conn *c)
{
	oa_conn_make_opaque(c, OA_STAT_opaque_pool);
}

/* The end that was noted when it was answered. */
static void store_finish_answered(struct oa_conn *c, uint32_t index)
{
	const struct oa_span *s = oa_exchange_span(oa_exchange_at(index));

	oa_exchange_finish(c, index, s->start_ns + s->duration_ns, OA_ERR_NONE);
}

/* One that waited for more of its batch: something else comes. */
static inline void store_batch_ends(struct oa_conn *c)
{
	uint32_t flags = c->last ? oa_exchange_at(c->last - 1)->flags : 0;

	if (flags & OA_EX_ANSWERED && !(flags & OA_EX_PREPARED))
		store_finish_answered(c, c->last - 1);
}

/* The same statement once more, in the same group: an operation of the same batch. */
static bool store_is_more(const struct oa_conn *c, const struct oa_event *ev)
{
	const struct oa_store_msg *m = ev->u.store;
	const struct oa_exchange *ex = c->last ? oa_exchange_at(c->last - 1) : NULL;

	return m->flags & OA_STORE_EXECUTE && m->flags & OA_STORE_BY_GROUP && m->stmt && ex && ex->stream == ev->stream &&
	       (uint16_t)ex->baggage_len == m->hint && oa_session_running(c) == m->stmt;
}

static void store_add_to_batch(struct oa_conn *c)
{
	struct oa_exchange *ex = oa_exchange_at(c->last - 1);
	struct store_record *db = store_db_at(ex);

	if (db)
		db->d.batch = db->d.batch ? db->d.batch + 1 : 2;
	oa_exchange_flag(ex, 0, OA_EX_ANSWERED | OA_EX_REQ_DONE);
}

/* What its making took is told with the first command. Where no login goes before that, it was ready when it was
 * connected, and its handshake over. */
static OA_COLD void store_record_made(const struct oa_conn *c, struct oa_span *s)
{
	if (!(oa_protos[c->proto - 1]->flags & OA_PROTO_POOLED) || c->role != OA_ROLE_CLIENT)
		return;
	s->made_ns = oa_protos[c->proto - 1]->flags & OA_PROTO_LOGIN ? oa_session_made_ns(c)
								      : (s->connect_us + (uint64_t)s->tls_us) * 1000;
}

static inline void store_opened(struct oa_conn *c, struct oa_exchange *ex, uint32_t index, const struct oa_event *ev)
{
	const struct oa_store_msg *m = ev->u.store;

	ex->baggage_len = m->hint;
	if (OA_UNLIKELY(m->flags & OA_STORE_NO_REPLY))
		oa_exchange_flag(ex, OA_EX_SILENT, 0);
	if (OA_UNLIKELY(m->flags & OA_STORE_QUIET))
		oa_exchange_flag(ex, OA_EX_POLL, 0);
	store_record_command(c, ex, m);
	if (m->flags & (OA_STORE_BY_GROUP | OA_STORE_BY_STREAM))
		ex->stream = ev->stream;
	if (OA_UNLIKELY(m->system == OA_STORE_KAFKA))
		store_record_client(ex, m);
	else if (c->store || m->text.len || m->ns.len) {
		store_record_texts(c, ex, m);
		if (c->answered != STORE_EARLY)
			oa_sql_comment_missed(c, m->text.len || m->stmt);
	}
	if (OA_UNLIKELY(m->flags & OA_STORE_SESSION))
		oa_session_will_use(c, m->ns);
	if (m->flags & OA_STORE_PREPARE && m->text.len) /* may be run before its number is known */
		oa_session_prepare(c, OA_STORE_NEWEST, m->text, m->flags & OA_STORE_CUT);
	if (c->store || m->stmt)
		oa_session_set_running(c, m->flags & OA_STORE_EXECUTE ? m->stmt : 0);
	if (OA_UNLIKELY(oa_exchange_span(ex)->connect_us))
		store_record_made(c, oa_exchange_span(ex));
	if (OA_UNLIKELY(c->home != oa_exchange_home) && c->role == OA_ROLE_CLIENT)
		c->home = oa_exchange_home;
	if (c->role == OA_ROLE_SERVER)
		store_serve(c, ex, index);
	else if (c->answered == STORE_EARLY)
		oa_exchange_flag(ex, OA_EX_PREPARED, 0);
}

/* Kafka's libraries gather messages of many requests and send them in threads, and at times, of their own. */
static inline int64_t store_open(struct oa_feed *f, const struct oa_store_msg *m)
{
	if (f->c->role == OA_ROLE_SERVER)
		return oa_exchange_open(f->c, OA_KIND_SERVER, OA_WHAT_DB, oa_feed_now(f));
	return OA_UNLIKELY(m->system == OA_STORE_KAFKA) ? oa_span_open_apart(f->c, OA_WHAT_DB, oa_feed_now(f)) :
							  oa_span_open_call(f->c, OA_WHAT_DB, oa_feed_now(f));
}

/* A command is whole. One that gets no answer is over; or when its bytes are sent, see store_sent(). */
static inline void store_command_ends(struct oa_feed *f, struct oa_exchange *ex)
{
	oa_exchange_flag(ex, OA_EX_REQ_DONE, 0);
	if (OA_LIKELY(!(ex->flags & OA_EX_SILENT)))
		return;
	if (ex->flags & OA_EX_PREPARED)
		oa_exchange_flag(ex, OA_EX_ANSWERED, 0);
	else
		oa_exchange_finish(f->c, f->c->last - 1, oa_feed_now(f), OA_ERR_NONE);
}

static void store_on_command(struct oa_feed *f, const struct oa_event *ev)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex;
	int64_t index = -1;

	if (OA_UNLIKELY(store_is_more(c, ev))) {
		store_add_to_batch(c);
		if (ev->whole)
			store_command_ends(f, oa_exchange_at(c->last - 1));
		return;
	}
	store_batch_ends(c);
	if (OA_LIKELY(c->open < STORE_PIPELINE_MAX))
		index = store_open(f, ev->u.store);
	if (OA_UNLIKELY(index < 0)) {
		store_declined(c);
		return;
	}
	ex = oa_exchange_at((uint32_t)index);
	store_opened(c, ex, (uint32_t)index, ev);
	if (ev->whole)
		store_command_ends(f, ex);
}

/* -- answers -- */

/* What reading or writing an answer means for causality. */
static inline void store_moves_context(struct oa_feed *f, struct oa_exchange *ex)
{
	if (f->c->role == OA_ROLE_CLIENT) {
		oa_ctx_answered(ex);
	} else if (atomic_load_explicit(&ex->loose, memory_order_relaxed)) {
		oa_ctx_settle(ex);
	}
}

/* Whose answer it is: the oldest of its stream or group that still waits for one. returns index + 1, 0 nobody's */
static inline uint32_t store_asked(const struct oa_conn *c, uint32_t stream, struct oa_exchange **ret)
{
	for (uint32_t i = c->first; i; i = (*ret)->next) {
		*ret = oa_exchange_at(i - 1);
		if (OA_LIKELY((*ret)->stream == stream && !((*ret)->flags & OA_EX_ANSWERED)))
			return i;
	}
	return 0;
}

static OA_COLD void store_failed(struct oa_conn *c, struct oa_exchange *ex, const struct oa_store_msg *m)
{
	if (m->flags & OA_STORE_BY_GROUP)
		oa_session_set_failed(c, ex->stream);
	if (ex->baggage_len & REDIS_HINT_SELECT && store_db(ex)->d.system == OA_STORE_REDIS)
		oa_redis_forget_database(c->pstate[OA_DIR_REQUEST]);
}

/* What it changes on the connection. */
static void store_succeeded(struct oa_conn *c, struct oa_exchange *ex, const struct oa_store_msg *m)
{
	const struct oa_span *s = oa_exchange_span(ex);

	if (m->flags & OA_STORE_PREPARE && m->stmt)
		oa_session_prepare(c, m->stmt, oa_span_str(s, OA_STR_DB_TEXT), s->flags & OA_SPAN_TRUNCATED);
	if (c->store && store_db(ex)->d.flags & OA_DB_USES)
		oa_session_used(c);
}

/* One of a group: more of its batch may come as long as nothing else has. */
static void store_answered(struct oa_feed *f, struct oa_exchange *ex)
{
	struct oa_span *s = oa_exchange_span(ex);
	const struct store_record *db = store_db(ex);

	if (db->d.done < (db->d.batch ? db->d.batch : 1))
		return;
	s->duration_ns = oa_feed_now(f) > s->start_ns ? oa_feed_now(f) - s->start_ns : 0;
	oa_exchange_flag(ex, OA_EX_ANSWERED, OA_EX_PREPARED);
	while (f->c->first && f->c->first != f->c->last && oa_exchange_at(f->c->first - 1)->flags & OA_EX_ANSWERED)
		store_finish_answered(f->c, f->c->first - 1);
}

/* Produce and Fetch, whose messages are counted as far as their layout is known. */
static void store_check_counted(struct oa_exchange *ex)
{
	const struct store_record *db = store_db(ex);

	if (db->d.system == OA_STORE_KAFKA && ex->baggage_len >> 8 <= 1 && !db->d.batch && !(db->d.flags & OA_DB_FAILED))
		oa_stat_inc(OA_STAT_uncounted_messages);
}

/* An answer is whole. index: of its command, which has its RESPONSE */
static inline void store_answer_ends(struct oa_feed *f, struct oa_exchange *ex, uint32_t index, uint32_t stream)
{
	struct oa_conn *c = f->c;

	if (OA_UNLIKELY(ex->flags & OA_EX_QUIET)) {
		oa_stat_inc(OA_STAT_quiet_calls);
		oa_exchange_discard(c, index);
		return;
	}
	if (stream && store_db(ex)->d.flags & OA_DB_EXECUTE) {
		store_answered(f, ex);
		return;
	}
	if (OA_UNLIKELY(stream))
		store_check_counted(ex);
	oa_exchange_finish(c, index, oa_feed_now(f), OA_ERR_NONE);
}

static void store_on_answer(struct oa_feed *f, const struct oa_event *ev)
{
	const struct oa_store_msg *m = ev->u.store;
	struct oa_conn *c = f->c;
	struct oa_exchange *ex;
	uint32_t asked = store_asked(c, ev->stream, &ex);

	if (OA_UNLIKELY(!asked)) {
		if (!(m->flags & (OA_STORE_BY_GROUP | OA_STORE_BY_STREAM)))
			oa_conn_make_opaque(c, OA_STAT_opaque_parse);
		return;
	}
	if (!ev->whole || c->role != OA_ROLE_SERVER) /* one that was served ends here */
		store_moves_context(f, ex);
	oa_exchange_flag(ex, OA_EX_RESPONDED | (m->flags & OA_STORE_QUIET ? OA_EX_QUIET : 0), 0);
	if (OA_UNLIKELY(m->flags & OA_STORE_FAILED))
		store_failed(c, ex, m);
	else
		store_succeeded(c, ex, m);
	if (m->flags || m->status_num)
		store_record_answer(ex, m);
	if (OA_UNLIKELY(m->system == OA_STORE_AMQP && m->text.len))
		oa_message_from(ex, m->text);
	if (ev->whole)
		store_answer_ends(f, ex, asked - 1, ev->stream);
}

static void store_on_end(struct oa_feed *f, const struct oa_event *ev)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *ex;
	uint32_t i;

	if (f->dir == OA_DIR_REQUEST) {
		if (c->last)
			store_command_ends(f, oa_exchange_at(c->last - 1));
		return;
	}
	i = store_asked(c, ev->stream, &ex);
	if (i && ex->flags & OA_EX_RESPONDED) {
		store_moves_context(f, ex);
		store_answer_ends(f, ex, i - 1, ev->stream);
	}
}

/* Answered or not: what the server passed over behind an error gets no answer of its own. */
static void store_on_group_end(struct oa_feed *f, uint32_t group)
{
	struct oa_conn *c = f->c;
	bool failed = group && oa_session_failed(c) == group;

	while (c->first) {
		struct oa_exchange *ex = oa_exchange_at(c->first - 1);
		bool skipped = failed && !(ex->flags & OA_EX_RESPONDED);

		if (ex->stream != group)
			return;
		store_moves_context(f, ex);
		if (ex->flags & OA_EX_ANSWERED)
			store_finish_answered(c, c->first - 1);
		else
			oa_exchange_finish(c, c->first - 1, oa_feed_now(f), skipped ? OA_ERR_PIPELINE_ABORTED : OA_ERR_NONE);
	}
}

/* -- what is said of the connection -- */

/* A message that was subscribed to: nobody asked for it now, whatever is being served here. */
static void store_delivered(struct oa_feed *f, const struct oa_store_msg *m)
{
	struct oa_conn *c = f->c;
	int64_t index = oa_exchange_open(c, OA_KIND_CLIENT, OA_WHAT_DB, oa_feed_now(f));
	struct oa_exchange *ex;
	struct oa_span *s;

	if (index < 0)
		return; /* counted */
	ex = oa_exchange_at((uint32_t)index);
	s = oa_exchange_span(ex);
	oa_id_span(s->span_id);
	oa_span_new_trace(s);
	s->evidence = OA_EV_ROOT;
	oa_decide_root(ex, NULL);
	if (c->peer_path)
		oa_exchange_set_str(ex, OA_STR_PEER_PATH, oa_bytes(oa_block_at(0, c->peer_path - 1), c->peer_path_len));
	store_record_command(c, ex, m);
	if (m->text.len)
		oa_message_from(ex, m->text);
	oa_exchange_finish(c, (uint32_t)index, oa_feed_now(f), OA_ERR_NONE);
}

static OA_COLD void store_ready(struct oa_feed *f, uint8_t ready)
{
	uint64_t began_ns = atomic_load_explicit(&f->c->closed_ns, memory_order_relaxed);

	oa_session_set_ready(f->c, ready, began_ns && oa_feed_now(f) > began_ns ? oa_feed_now(f) - began_ns : 0);
}

/* More of the command that is being sent, or of its answer. */
static OA_COLD void store_on_part(struct oa_feed *f, const struct oa_event *ev)
{
	struct oa_conn *c = f->c;
	struct oa_exchange *asked;
	uint32_t index = f->dir == OA_DIR_REQUEST ? c->last : store_asked(c, ev->stream, &asked);

	if (ev->u.store->flags & OA_STORE_NAMED)
		oa_message_named(ev->u.store->ns, ev->u.store->target);
	else if (index && oa_exchange_at(index - 1)->stream == ev->stream)
		oa_message_part(oa_exchange_at(index - 1), ev->u.store);
}

static void store_on_note(struct oa_feed *f, const struct oa_event *ev)
{
	const struct oa_store_msg *m = ev->u.store;
	struct oa_conn *c = f->c;

	if (OA_UNLIKELY(m->flags & (OA_STORE_PART | OA_STORE_NAMED))) {
		store_on_part(f, ev);
		return;
	}
	if (m->operation.len)
		store_delivered(f, m);
	if (m->flags & OA_STORE_SESSION)
		oa_session_use(c, m->ns);
	if (m->flags & OA_STORE_PREPARE) {
		oa_session_set_running(c, 0); /* what runs under that name behind this is another one */
		oa_session_prepare(c, m->stmt, m->text, m->flags & OA_STORE_CUT);
	}
	if (m->flags & OA_STORE_FORGET)
		oa_session_forget(c, m->stmt);
	if (m->status_num)
		store_ready(f, (uint8_t)m->status_num);
	if (m->system == OA_STORE_MYSQL && m->hint)
		oa_session_set_escapes(c, (uint8_t)m->hint);
}

bool oa_store_begins_anew(struct oa_conn *c)
{
	if (!(oa_protos[c->proto - 1]->flags & OA_PROTO_STORE) || c->answered != STORE_TLS)
		return false;
	oa_feed_forget(c, OA_DIR_REQUEST);
	oa_feed_forget(c, OA_DIR_RESPONSE);
	oa_session_release(c);
	c->answered = c->proto = 0;
	memset(c->pstate, 0, sizeof(c->pstate));
	oa_conn_set_state(c, OA_CONN_NEW);
	return true;
}

static OA_NOINLINE void store_on_other(struct oa_feed *f, const struct oa_event *ev)
{
	switch (ev->type) {
	case OA_EVENT_END:
		store_on_end(f, ev);
		break;
	case OA_EVENT_NOTE:
		store_on_note(f, ev);
		break;
	case OA_EVENT_UPGRADED:
		f->upgraded = true;
		if (ev->u.code == OA_UPGRADED_TLS)
			f->c->answered = STORE_TLS;
		break;
	default:
		break;
	}
}

/* What comes most first. */
OA_HOT void oa_store_on_event(void *ctx, const struct oa_event *ev)
{
	struct oa_feed *f = ctx;

	if (OA_UNLIKELY(f->c->state == OA_CONN_OPAQUE))
		return;
	if (ev->type == OA_EVENT_REQUEST)
		store_on_command(f, ev);
	else if (ev->type == OA_EVENT_RESPONSE)
		store_on_answer(f, ev);
	else if (ev->type == OA_EVENT_GROUP_END)
		store_on_group_end(f, ev->stream);
	else
		store_on_other(f, ev);
}

/* -- sending -- */

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
		oa_store_pools_begin(c);
		return;
	}
}

static size_t store_bytes(const struct iovec *iov, int iovcnt)
{
	size_t n = 0;

	for (int i = 0; i < iovcnt; i++)
		n += iov[i].iov_len;
	return n;
}

static inline uint32_t store_gen(const struct oa_exchange *ex)
{
	return atomic_load_explicit(&ex->gen, memory_order_relaxed);
}

/* Which commands the bytes began. They are as good as sent: mostly they will be, and if not they are taken back. But what is over
 * when it is sent waits for that. */
static inline void store_note_prepared(const struct oa_conn *c, struct oa_early *e)
{
	struct oa_exchange *ex;

	for (uint32_t i = c->last; i && (ex = oa_exchange_at(i - 1), ex->flags & OA_EX_PREPARED); i = ex->prev) {
		if (!e->prepared++) {
			e->first = i - 1;
			e->first_gen = store_gen(ex);
		}
		e->oldest = i - 1;
		e->oldest_gen = store_gen(ex);
		if (OA_UNLIKELY(ex->flags & OA_EX_SILENT))
			e->silent = true;
		else
			oa_exchange_flag(ex, 0, OA_EX_PREPARED);
	}
}

/* What is about to be sent. Afterwards c->state is no longer HTTP when what follows is no command of a store's any more. */
static inline void store_read(struct oa_conn *c, struct oa_early *e, const struct iovec *iov, int iovcnt)
{
	memcpy(e->parser, c->pstate[OA_DIR_REQUEST], sizeof(e->parser));
	e->last = c->last;
	e->batch = c->last ? store_db(oa_exchange_at(c->last - 1))->d.batch : 0;
	c->answered = STORE_EARLY;
	if (OA_LIKELY(iovcnt == 1 && iov->iov_len))
		oa_feed_http(c, false, oa_bytes(iov->iov_base, iov->iov_len));
	else
		oa_feed_iov(c, false, iov, iovcnt, store_bytes(iov, iovcnt));
	c->answered = 0;
	e->prepared = 0;
	e->silent = false;
	e->fed = c->state == OA_CONN_HTTP || c->state == OA_CONN_NEW; /* NEW: what follows is TLS; this was read, whatever becomes of it */
	if (OA_LIKELY(c->state == OA_CONN_HTTP))
		store_note_prepared(c, e);
}

static OA_HOT bool store_read_early(struct oa_conn *c, struct oa_send *s)
{
	store_read(c, &s->early, s->host_iov, s->host_iovcnt);
	s->fed = s->early.fed;
	return c->state == OA_CONN_HTTP;
}

bool oa_store_before_send(struct oa_conn *c, struct oa_send *s)
{
	if (OA_UNLIKELY(c->state == OA_CONN_NEW && !c->carry[OA_DIR_REQUEST] && c->role == OA_ROLE_CLIENT))
		store_detect(c, s);
	if (!oa_store_is(c))
		return false;
	if (c->state != OA_CONN_HTTP || c->role != OA_ROLE_CLIENT || c->carry[OA_DIR_REQUEST])
		return true; /* the rest of a command: it is read when it was sent */
	if (store_read_early(c, s) && s->early.prepared && oa_sql_comment_wanted(c, s))
		oa_sql_comment_add(c, s);
	return true;
}

OA_HOT bool oa_store_ask(struct oa_conn *c, const struct iovec *iov, struct oa_early *e)
{
	if (OA_UNLIKELY(!oa_store_is(c) || c->role != OA_ROLE_CLIENT || c->carry[OA_DIR_REQUEST] || c->stash ||
			oa_sql_comment_on()))
		return false;
	store_read(c, e, iov, 1);
	return true;
}

static bool store_last_is_open(const struct oa_send *s)
{
	return s->early.prepared && oa_exchange_get((struct oa_ref){ s->early.first, s->early.first_gen });
}

/* All of it was sent: those that get no answer are over. */
static void store_sent(struct oa_conn *c, const struct oa_early *e)
{
	uint32_t before;
	unsigned n = e->silent ? e->prepared : 0;

	for (uint32_t i = c->last; i && n; i = before, n--) {
		struct oa_exchange *ex = oa_exchange_at(i - 1);

		before = ex->prev;
		if (!(ex->flags & OA_EX_PREPARED))
			continue;
		oa_exchange_flag(ex, 0, OA_EX_PREPARED);
		if (ex->flags & OA_EX_REQ_DONE)
			oa_exchange_finish(c, i - 1, oa_host_now_ns(), OA_ERR_NONE);
	}
}

/* What was added to the batch of a command that was sent before. */
static void store_undo_batch(struct oa_conn *c, const struct oa_send *s)
{
	struct store_record *db = c->last && c->last == s->early.last ? store_db_at(oa_exchange_at(c->last - 1)) : NULL;

	if (db)
		db->d.batch = s->early.batch;
}

/* Are its commands the newest that are open, and all of them still? */
static bool store_all_open(const struct oa_conn *c, const struct oa_early *e)
{
	const struct oa_exchange *ex;

	if (!e->prepared)
		return true;
	ex = oa_exchange_get((struct oa_ref){ e->first, e->first_gen });
	if (!ex || c->last != e->first + 1)
		return false;
	for (unsigned n = e->prepared; n > 1; n--) {
		if (!ex->prev)
			return false;
		ex = oa_exchange_at(ex->prev - 1);
	}
	return ex == oa_exchange_get((struct oa_ref){ e->oldest, e->oldest_gen });
}

/* Back to where the connection stood before. returns false when it cannot be: some of it was answered meanwhile */
static bool store_undo(struct oa_conn *c, const struct oa_send *s)
{
	if (!store_all_open(c, &s->early))
		return false;
	for (unsigned n = s->early.prepared; n; n--)
		oa_exchange_discard(c, c->last - 1);
	oa_feed_forget(c, OA_DIR_REQUEST);
	memcpy(c->pstate[OA_DIR_REQUEST], s->early.parser, sizeof(s->early.parser));
	store_undo_batch(c, s);
	return true;
}

/* -- inside TLS -- */

OA_HOT bool oa_store_before_write(struct oa_conn *c, struct oa_send *s)
{
	if (!oa_sql_comment_wanted(c, s) || c->state != OA_CONN_HTTP || c->role != OA_ROLE_CLIENT || c->carry[OA_DIR_REQUEST] ||
	    !oa_sql_comment_may(c, s))
		return false;
	if (!store_read_early(c, s)) {
		oa_conn_make_opaque(c, OA_STAT_opaque_parse);
		return false;
	}
	oa_sql_comment_add(c, s);
	if (!s->rewrite)
		oa_store_unread(c, s);
	return s->rewrite;
}

void oa_store_unread(struct oa_conn *c, struct oa_send *s)
{
	if (!store_undo(c, s))
		oa_conn_make_opaque(c, OA_STAT_opaque_contention);
	s->fed = s->rewrite = false;
	s->early.prepared = 0;
	s->points = 0;
}

void oa_store_after_send(struct oa_conn *c, struct oa_send *s, ssize_t n)
{
	bool meanwhile = atomic_load_explicit(&c->out_seq, memory_order_relaxed) != s->out_seq;

	if (c->state != OA_CONN_HTTP)
		return;
	/* Two threads sent at once, and the order is unknown; unless this one's commands were over before. */
	if (meanwhile && (!s->early.prepared || store_last_is_open(s))) {
		oa_conn_make_opaque(c, OA_STAT_opaque_contention);
		return;
	}
	if (n >= 0 && (size_t)n == store_bytes(s->host_iov, s->host_iovcnt)) {
		store_sent(c, &s->early);
		return;
	}
	if (!store_undo(c, s))
		oa_conn_make_opaque(c, OA_STAT_opaque_contention);
	else if (n > 0)
		oa_feed_iov(c, false, s->host_iov, s->host_iovcnt, (size_t)n);
}
