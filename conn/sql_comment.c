/* A query's message is replaced as a whole by one that is longer, so that there is one place of ours in the host's bytes
 * and, wherever the kernel cuts, the rest of it goes first. */
#include "conn/sql_comment.h"

#include "conn/feed.h"
#include "conn/inject_impl.h"
#include "core/config.h"
#include "core/stats.h"
#include "proto/mysql.h"
#include "proto/postgres.h"
#include "proto/store_frame.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

#define COMMENT_BEGIN " /*traceparent='"
#define COMMENT_END   "'*/"
#define COMMENT_BYTES (sizeof(COMMENT_BEGIN) + sizeof(COMMENT_END) - 2 + OA_TRACEPARENT)
#define COMMENT_MESSAGE_MAX 8192 /* what it is replaced by is copied */

enum { COMMENT_OFF, COMMENT_ON }; /* choices of OTELAUTO_SQL_COMMENT */

static bool comment_is_mysql(const struct oa_conn *c)
{
	return oa_protos[c->proto - 1] == &oa_proto_mysql;
}

/* The message at the front, and the query in it. */
struct message {
	struct oa_bytes all;
	size_t text, text_len; /* where it stands */
};

/* -- the query -- */

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(uint8_t c)
{
	return (uint8_t)(oa_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10 || c == '_' || c == '$' || c >= 0x80;
}

static bool begins_with(struct oa_bytes text, const char *word)
{
	size_t n = strlen(word);

	if (text.len <= n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (oa_lower(text.ptr[i]) != (uint8_t)word[i])
			return false;
	return !is_word(text.ptr[n]);
}

/* Queries proper: what defines something, or prepares it, may keep its text. */
static bool query_is_known(struct oa_bytes text)
{
	static const char words[][8] = { "select", "insert", "update", "delete", "with", "replace", "merge", "call", "values" };

	while (text.len && (is_space(text.ptr[0]) || text.ptr[0] == '('))
		text = oa_bytes(text.ptr + 1, text.len - 1);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (begins_with(text, words[i]))
			return true;
	return false;
}

/* Where its last statement ends: in front of a semicolon. */
static size_t query_end(struct oa_bytes text)
{
	size_t end = text.len;

	while (end && is_space(text.ptr[end - 1]))
		end--;
	if (end && text.ptr[end - 1] == ';')
		end--;
	return end;
}

/* May there be a comment? Also what stands in a string counts as one: then nobody has to know where strings end. */
static bool query_has_comment(struct oa_bytes text, bool mysql)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t next = i + 1 < text.len ? text.ptr[i + 1] : 0;

		if ((text.ptr[i] == '-' && next == '-') || (text.ptr[i] == '/' && next == '*') || (mysql && text.ptr[i] == '#'))
			return true;
	}
	return false;
}

/* A complete query without a comment ends outside of strings. One that is not complete is an error, with our comment too: its
 * quotes come in twos. */
static enum oa_stat query_look(struct oa_bytes text, bool mysql, size_t *ret_end)
{
	if (!query_is_known(text))
		return OA_STAT_sql_comment_other;
	if (query_has_comment(text, mysql))
		return OA_STAT_sql_comment_there;
	*ret_end = query_end(text);
	if (memchr(text.ptr, ';', *ret_end) || memchr(text.ptr, 0, text.len))
		return OA_STAT_sql_comment_several;
	return OA_STAT_sql_comment_added;
}

/* -- the message -- */

static bool postgres_message(struct message *m, struct oa_bytes first)
{
	const uint8_t *text, *nul;
	uint32_t len;

	if (first.len < 7 || (first.ptr[0] != 'Q' && first.ptr[0] != 'P'))
		return false;
	len = store_be32(first.ptr + 1);
	if (len < 6 || len > COMMENT_MESSAGE_MAX || first.len < (size_t)len + 1)
		return false;
	m->all = oa_bytes(first.ptr, (size_t)len + 1);
	text = first.ptr + 5;
	if (first.ptr[0] == 'P' && *text++) /* it has a name */
		return false;
	nul = memchr(text, 0, (size_t)(first.ptr + len + 1 - text));
	if (!nul || (first.ptr[0] == 'Q' && nul != first.ptr + len))
		return false;
	m->text = (size_t)(text - first.ptr);
	m->text_len = (size_t)(nul - text);
	return true;
}

static uint32_t mysql_len(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

/* Attributes may stand before the text, which goes on to the end. */
static bool mysql_message(struct message *m, struct oa_bytes first, size_t text_len)
{
	uint32_t len;

	if (first.len < 6 || first.ptr[3] || first.ptr[4] != 3)
		return false;
	len = mysql_len(first.ptr);
	if (len > COMMENT_MESSAGE_MAX || first.len != (size_t)len + 4 || text_len >= len)
		return false;
	m->all = oa_bytes(first.ptr, first.len);
	m->text = first.len - text_len;
	m->text_len = text_len;
	return true;
}

/* The message whose text the span has. */
static bool message_find(struct message *m, const struct oa_conn *c, const struct oa_send *s, struct oa_bytes text)
{
	struct oa_bytes first = oa_bytes(s->host_iov->iov_base, s->host_iov->iov_len);
	bool found = comment_is_mysql(c) ? s->host_iovcnt == 1 && mysql_message(m, first, text.len)
								: postgres_message(m, first);

	return found && oa_bytes_eq(oa_bytes(m->all.ptr + m->text, m->text_len), text);
}

static void message_set_len(uint8_t *p, bool mysql, uint32_t len)
{
	if (mysql) {
		p[0] = (uint8_t)len;
		p[1] = (uint8_t)(len >> 8);
		p[2] = (uint8_t)(len >> 16);
	} else {
		len = __builtin_bswap32(len);
		memcpy(p + 1, &len, 4);
	}
}

static bool message_write(const struct oa_conn *c, struct oa_send *s, const struct message *m, size_t end, const char *value)
{
	bool mysql = comment_is_mysql(c);
	size_t front = m->text + end;
	struct oa_buf out;

	if (!(m->all.len + COMMENT_BYTES + 64 < oa_block_bytes[1] && oa_inject_reserve(c, s, 1)) && !oa_inject_reserve(c, s, 2))
		return false;
	out = oa_inject_room(s);
	oa_buf_put(&out, oa_bytes(m->all.ptr, front));
	oa_buf_put(&out, OA_LIT(COMMENT_BEGIN));
	oa_buf_put(&out, oa_bytes(value, OA_TRACEPARENT));
	oa_buf_put(&out, OA_LIT(COMMENT_END));
	oa_buf_put(&out, oa_bytes(m->all.ptr + front, m->all.len - front));
	if (out.full)
		return false;
	message_set_len(out.ptr, mysql, (uint32_t)(out.len - (mysql ? 4 : 1)));
	s->point[s->points++] = (struct oa_point){ .len = (uint32_t)out.len, .text = out.ptr, .host_len = (uint32_t)m->all.len };
	return true;
}

/* -- -- */

OA_HOT bool oa_sql_comment_on(void)
{
	return oa_config.sql_comment == COMMENT_ON;
}

OA_HOT bool oa_sql_comment_wanted(const struct oa_conn *c, const struct oa_send *s)
{
	return OA_UNLIKELY(oa_sql_comment_on()) && !s->points && !c->stash && c->proto &&
	       (oa_protos[c->proto - 1] == &oa_proto_mysql || oa_protos[c->proto - 1] == &oa_proto_postgres);
}

/* Were the parser's bytes at a boundary? */
static bool comment_at_boundary(const void *parser)
{
	struct store_state before;

	memcpy(&before, parser, sizeof(before));
	return !before.skip && !before.closed && !before.end_due;
}

/* Will it be one call, by the messages behind the first? That of a statement is its Execute, and more of them in front of the
 * Sync are a batch. */
static bool postgres_is_one(struct oa_bytes in, size_t at)
{
	bool executed = in.ptr[0] == 'Q', over = executed;

	while (in.len - at >= 5) {
		uint8_t type = in.ptr[at];
		uint32_t len = store_be32(in.ptr + at + 1);

		if (type == 'Q' || type == 'P' || type == 'F' || (type == 'E' && over) || ((type == 'S' || type == 'H') && !executed))
			return false;
		executed |= type == 'E';
		over |= type == 'S';
		if (len < 4 || len >= in.len - at)
			break;
		at += (size_t)len + 1;
	}
	return executed;
}

static bool postgres_may(struct message *m, struct oa_bytes first)
{
	return postgres_message(m, first) && postgres_is_one(first, m->all.len);
}

static bool mysql_may(const struct oa_conn *c, struct message *m, struct oa_bytes first)
{
	struct oa_bytes text = oa_mysql_query_text(c->pstate[OA_DIR_REQUEST], oa_bytes(first.ptr + 5, first.len - 5));

	return mysql_message(m, first, text.len);
}

bool oa_sql_comment_may(const struct oa_conn *c, const struct oa_send *s)
{
	struct oa_bytes first = oa_bytes(s->host_iov->iov_base, s->host_iov->iov_len);
	bool mysql = comment_is_mysql(c);
	struct message m;
	size_t end;

	if (first.len < 7 || first.len + COMMENT_BYTES > OA_TLS_RECORD_MAX || !comment_at_boundary(c->pstate[OA_DIR_REQUEST]))
		return false;
	return (mysql ? mysql_may(c, &m, first) : postgres_may(&m, first)) && m.text_len < OA_STORE_TEXT_MAX &&
	       query_look(oa_bytes(m.all.ptr + m.text, m.text_len), mysql, &end) == OA_STAT_sql_comment_added;
}

/* What keeps a query, or whatever this is, from being added to; else OA_STAT_sql_comment_added. */
static enum oa_stat comment_look(const struct oa_conn *c, const struct oa_send *s, struct message *m, size_t *ret_end)
{
	const struct oa_span *span = oa_exchange_span(oa_exchange_at(s->early.first));
	struct oa_bytes text = oa_span_str(span, OA_STR_DB_TEXT);
	struct oa_db_texts texts;
	struct oa_db db;

	if (s->early.prepared != 1)
		return OA_STAT_sql_comment_many;
	if (!oa_span_db(span, &db, &texts) || (texts.operation.len && !(db.flags & OA_DB_EXECUTE)))
		return text.len ? OA_STAT_sql_comment_prepared : OA_STAT_sql_comment_other;
	if (span->flags & OA_SPAN_TRUNCATED || s->flags & MSG_ZEROCOPY || !comment_at_boundary(s->early.parser))
		return OA_STAT_sql_comment_not_whole;
	if (!message_find(m, c, s, text))
		return db.flags & OA_DB_EXECUTE ? OA_STAT_sql_comment_prepared : OA_STAT_sql_comment_not_whole;
	return query_look(text, db.system == OA_STORE_MYSQL, ret_end);
}

void oa_sql_comment_add(struct oa_conn *c, struct oa_send *s)
{
	char value[OA_TRACEPARENT];
	struct message m;
	enum oa_stat result;
	size_t end = 0;

	if (!s->early.prepared)
		return;
	result = comment_look(c, s, &m, &end);
	if (result == OA_STAT_sql_comment_added) {
		oa_propagate_exchange(oa_exchange_at(s->early.first), value);
		if (!message_write(c, s, &m, end, value) || !oa_inject_compose(c, s)) {
			oa_inject_decline(c, s);
			result = OA_STAT_sql_comment_pool;
		}
	}
	if (c->tls != OA_TLS_SESSION) /* there it is counted when it is certain */
		oa_stat_inc(result);
}

void oa_sql_comment_sent(struct oa_conn *c, const struct oa_send *s)
{
	if (s->rewrite && c->stash)
		oa_conn_make_opaque(c, OA_STAT_opaque_comment_cut);
}
