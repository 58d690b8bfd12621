/* MySQL and MariaDB. The server greets, the client says who it is, then each command (a packet numbered 0) has one
 * answer; what an answer looks like depends on the command, which its hint tells. Ends where TLS or compression begins.
 * Passwords, rows and the data of LOAD DATA LOCAL are passed over unread. */
#include "proto/mysql.h"

#include "core/attr.h"
#include "proto/store_frame.h"

#define CLIENT_CONNECT_WITH_DB 0x00000008u
#define CLIENT_COMPRESS        0x00000020u
#define CLIENT_PROTOCOL_41     0x00000200u
#define CLIENT_SSL             0x00000800u
#define CLIENT_SECURE          0x00008000u
#define CLIENT_LENENC_AUTH     0x00200000u
#define CLIENT_DEPRECATE_EOF   0x01000000u
#define CLIENT_OPTIONAL_META   0x02000000u
#define CLIENT_ZSTD            0x04000000u
#define CLIENT_QUERY_ATTRS     0x08000000u
#define CLIENT_MYSQL           0x00000001u /* not set by MariaDB's clients that say more */
#define MARIADB_CACHE_META     0x00000010u

#define STATUS_IN_TX           0x0001u
#define STATUS_MORE_RESULTS    0x0008u
#define STATUS_CURSOR          0x0040u
#define STATUS_NO_ESCAPES      0x0200u

#define PACKET_LONG 0xffffffu /* more of it follows in the next packet */
#define FIRST_BYTES 48        /* of a packet's payload, enough to know what it is */

enum command {
	COM_QUIT = 0x01, COM_INIT_DB = 0x02, COM_QUERY = 0x03, COM_FIELD_LIST = 0x04, COM_STATISTICS = 0x09,
	COM_CHANGE_USER = 0x11, COM_BINLOG_DUMP = 0x12, COM_STMT_PREPARE = 0x16, COM_STMT_EXECUTE = 0x17,
	COM_STMT_SEND_LONG_DATA = 0x18, COM_STMT_CLOSE = 0x19, COM_STMT_FETCH = 0x1c, COM_BINLOG_DUMP_GTID = 0x1e,
	COM_STMT_BULK_EXECUTE = 0xfa,
};

enum phase {
	GREETING, /* both: nothing came yet */
	AUTH,     /* answers: until OK */
	FIRST,    /* answers: the first packet of one is due */
	COLUMNS,  /* answers: `left` descriptions */
	COLUMNS_END,
	ROWS,
	SKIPPED,  /* answers: `left` packets more of PREPARE's */
};

struct mysql_state {
	struct store_state st;
	uint32_t rows;
	uint32_t left;
	uint16_t hint;    /* commands: of all; answers: of the command that is answered */
	uint8_t phase;
	uint8_t seq;      /* commands: of the last packet */
	uint8_t going_on; /* the next packet is a part of the last */
	uint8_t attrs;    /* commands: queries have attributes before their text */
	uint8_t has_rows;
	uint8_t silent;   /* closes behind what is skipped */
	uint8_t escapes;  /* answers: the last OA_DB_*ESCAPES that was said */
	uint8_t ready;    /* answers: the last OA_STORE_READY … that was said */
};

_Static_assert(sizeof(struct mysql_state) <= 32, "conn/ keeps two of them per connection");

/* A number of variable length at the front. returns false when it is not there */
static OA_HOT bool lenenc(struct oa_bytes *in, uint64_t *ret)
{
	struct oa_bytes b;
	unsigned more;

	if (!store_take(in, 1, &b))
		return false;
	*ret = b.ptr[0];
	more = *ret < 0xfb ? 0 : *ret == 0xfc ? 2 : *ret == 0xfd ? 3 : *ret == 0xfe ? 8 : 99;
	if (!more)
		return true;
	if (!store_take(in, more, &b))
		return false;
	*ret = 0;
	while (more--)
		*ret = *ret << 8 | b.ptr[more];
	return true;
}

/* -- commands -- */

static bool login_auth(struct oa_bytes *in, uint32_t caps)
{
	struct oa_bytes unread;
	uint64_t len;

	if (caps & CLIENT_LENENC_AUTH)
		return lenenc(in, &len) && len <= in->len && store_take(in, (size_t)len, &unread);
	if (!(caps & CLIENT_SECURE))
		return store_cstring(in, &unread);
	return store_take(in, 1, &unread) && store_take(in, unread.ptr[0], &unread);
}

/* What the client is. returns 0 or -EPROTO */
static STORE_COLD int login(struct mysql_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_MYSQL, .flags = OA_STORE_SESSION };
	struct oa_bytes fixed;
	uint32_t caps;

	if (!store_take(&in, 32, &fixed))
		return -EPROTO;
	caps = store_le32(fixed.ptr);
	if (!(caps & CLIENT_PROTOCOL_41) || caps & CLIENT_OPTIONAL_META)
		return -EPROTO;
	if (caps & CLIENT_SSL && !in.len) {
		store_upgraded_to(&st->st, OA_UPGRADED_TLS, sink);
		return 0;
	}
	if (!store_cstring(&in, &m.user) || !login_auth(&in, caps))
		return -EPROTO;
	if (caps & CLIENT_CONNECT_WITH_DB && !store_cstring(&in, &m.ns))
		return -EPROTO;
	m.user = oa_bytes_cut(m.user, OA_STORE_NAME_MAX);
	m.ns = oa_bytes_cut(m.ns, OA_STORE_NAME_MAX);
	store_emit(sink, OA_EVENT_NOTE, 0, &m);
	st->hint = caps & CLIENT_DEPRECATE_EOF ? MYSQL_HINT_NO_EOF : 0;
	if (!(caps & CLIENT_MYSQL) && store_le32(fixed.ptr + 28) & MARIADB_CACHE_META)
		st->hint |= MYSQL_HINT_CACHED;
	st->attrs = (caps & CLIENT_QUERY_ATTRS) != 0;
	st->phase = FIRST;
	if (caps & (CLIENT_COMPRESS | CLIENT_ZSTD))
		store_upgraded(&st->st, sink);
	return 0;
}

static const char *command_name(uint8_t code)
{
	static const char names[][17] = {
		[COM_INIT_DB] = "USE", [COM_FIELD_LIST] = "FIELD_LIST", [0x05] = "CREATE_DB", [0x06] = "DROP_DB",
		[0x07] = "REFRESH", [0x08] = "SHUTDOWN", [COM_STATISTICS] = "STATISTICS", [0x0a] = "PROCESS_INFO",
		[0x0c] = "PROCESS_KILL", [0x0d] = "DEBUG", [0x0e] = "PING", [COM_CHANGE_USER] = "CHANGE_USER",
		[COM_BINLOG_DUMP] = "BINLOG_DUMP", [0x15] = "REGISTER_SLAVE", [COM_STMT_PREPARE] = "PREPARE",
		[COM_STMT_EXECUTE] = "EXECUTE", [0x1a] = "RESET", [0x1b] = "SET_OPTION", [COM_STMT_FETCH] = "FETCH",
		[COM_BINLOG_DUMP_GTID] = "BINLOG_DUMP", [0x1f] = "RESET_CONNECTION",
	};

	if (code == COM_STMT_BULK_EXECUTE)
		return "EXECUTE";
	return code < sizeof(names) / sizeof(names[0]) && *names[code] ? names[code] : NULL;
}

OA_HOT struct oa_bytes oa_mysql_query_text(const void *state, struct oa_bytes body)
{
	const struct mysql_state *st = state;
	uint64_t count, sets;

	if (st->attrs && (!lenenc(&body, &count) || !lenenc(&body, &sets) || count))
		return (struct oa_bytes){ 0 };
	return body;
}

/* The database of a query that is "USE shop", and nothing more. */
static struct oa_bytes query_uses(struct oa_bytes text)
{
	struct oa_bytes name;

	if (OA_LIKELY(text.len && text.ptr[0] > ' ' && (text.ptr[0] | 0x20) != 'u'))
		return (struct oa_bytes){ 0 };
	name = oa_bytes_trim(text);
	if (name.len < 5 || !oa_bytes_ieq(oa_bytes(name.ptr, 3), OA_LIT("use")) || (name.ptr[3] != ' ' && name.ptr[3] != '`'))
		return (struct oa_bytes){ 0 };
	name = oa_bytes_trim(oa_bytes(name.ptr + 3, name.len - 3));
	if (name.len && name.ptr[name.len - 1] == ';')
		name = oa_bytes_trim(oa_bytes_cut(name, name.len - 1));
	if (name.len >= 2 && name.ptr[0] == '`' && name.ptr[name.len - 1] == '`')
		name = oa_bytes(name.ptr + 1, name.len - 2);
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] == '`' || name.ptr[i] == ';' || name.ptr[i] == '/' || name.ptr[i] <= ' ')
			return (struct oa_bytes){ 0 };
	return oa_bytes_cut(name, OA_STORE_NAME_MAX);
}

static OA_HOT int command(struct mysql_state *st, uint8_t code, struct oa_bytes body, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_MYSQL, .hint = (uint16_t)(st->hint | code) };

	switch (code) {
	case COM_QUIT:
	case COM_STMT_SEND_LONG_DATA:
		return 0;
	case COM_STMT_CLOSE:
		m.flags = OA_STORE_FORGET;
		m.stmt = body.len >= 4 ? store_le32(body.ptr) : 0;
		store_emit(sink, OA_EVENT_NOTE, 0, &m);
		return 0;
	case COM_QUERY:
		m.flags = OA_STORE_SQL;
		m.text = oa_mysql_query_text(st, body);
		m.ns = query_uses(m.text);
		if (m.ns.len)
			m.flags |= OA_STORE_SESSION;
		break;
	case COM_STMT_PREPARE:
		m.flags = OA_STORE_SQL | OA_STORE_PREPARE;
		m.text = body;
		break;
	case COM_STMT_EXECUTE:
	case COM_STMT_BULK_EXECUTE:
	case COM_STMT_FETCH:
		if (body.len < 4)
			return -EPROTO;
		m.flags = OA_STORE_EXECUTE;
		m.stmt = store_le32(body.ptr);
		break;
	case COM_INIT_DB:
		m.ns = oa_bytes_cut(body, OA_STORE_NAME_MAX);
		m.flags = OA_STORE_SESSION;
		break;
	case COM_CHANGE_USER: /* the database it names is behind a password */
		m.flags = OA_STORE_SESSION;
		break;
	case COM_BINLOG_DUMP:
	case COM_BINLOG_DUMP_GTID:
		m.flags = OA_STORE_LAST;
		st->silent = 1;
		break;
	default:
		break;
	}
	if (code != COM_QUERY) {
		if (!command_name(code))
			return -EPROTO;
		m.operation = oa_bytes_str(command_name(code));
	}
	if (st->st.skip)
		m.flags |= OA_STORE_CUT;
	store_emit_last(&st->st, sink, OA_EVENT_REQUEST, 0, &m);
	return 0;
}

static bool reads_text(uint8_t code)
{
	return code == COM_QUERY || code == COM_STMT_PREPARE || code == COM_INIT_DB;
}

static inline long command_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct mysql_state *st = state;
	uint32_t len;
	size_t want = 0;
	uint8_t seq, last = st->seq;
	int err = 0;

	if (in.len < 5 && !(in.len == 4 && !store_le24(in.ptr)))
		return 0;
	len = store_le24_of4(in.ptr);
	seq = in.ptr[3];
	if (st->phase == GREETING) {
		/* 2: inside TLS, where the greeting and the wish for TLS came before. */
		if ((seq != 1 && seq != 2) || len < 32 || len > 4000)
			return -EPROTO;
		want = len;
	} else if (seq == 0 && !st->going_on && last != 255 && len) {
		want = reads_text(in.ptr[4]) ? OA_STORE_TEXT_MAX + 1 : 8;
		want = len < want ? len : want;
	}
	if (in.len < 4 + want)
		return 0;
	st->seq = len ? seq : 0;
	st->going_on = len == PACKET_LONG;
	st->st.skip = (uint32_t)(len - want);
	if (st->phase == GREETING)
		err = login(st, oa_bytes(in.ptr + 4, want), sink);
	else if (want)
		err = command(st, in.ptr[4], oa_bytes(in.ptr + 5, want - 1), sink);
	if (st->silent && !st->st.skip)
		st->st.closed = STORE_SILENT;
	return err ? err : (long)(4 + want);
}

static void commands_skipped(void *state, const struct oa_sink *sink)
{
	struct mysql_state *st = state;

	store_done_end(state, sink);
	if (st->silent)
		st->st.closed = STORE_SILENT;
}

/* -- answers -- */

static OA_HOT void finish(struct mysql_state *st, struct oa_store_msg *m, const struct oa_sink *sink)
{
	m->system = OA_STORE_MYSQL;
	if (st->has_rows) {
		m->flags |= OA_STORE_HAS_ROWS;
		m->rows = st->rows;
	}
	st->phase = FIRST;
	st->rows = st->has_rows = 0;
	store_emit_last(&st->st, sink, OA_EVENT_RESPONSE, 0, m);
}

static void failed(struct mysql_state *st, struct oa_bytes body, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .flags = OA_STORE_FAILED };

	if (body.len >= 3)
		m.status_num = store_le16(body.ptr + 1);
	if (body.len >= 9 && body.ptr[3] == '#')
		m.status = oa_bytes(body.ptr + 4, 5);
	if (m.status_num == 0xffff) /* MariaDB: how far it is */
		return;
	finish(st, &m, sink);
}

/* A result is whole; `status` of the server says whether another one follows. */
static void result_end(struct mysql_state *st, unsigned status, const struct oa_sink *sink)
{
	struct oa_store_msg m = { 0 };

	st->phase = FIRST;
	if (!(status & STATUS_MORE_RESULTS))
		finish(st, &m, sink);
}

static STORE_COLD void status_changes(struct mysql_state *st, uint8_t escapes, uint8_t ready, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_MYSQL, .hint = escapes, .status_num = ready };

	st->escapes = escapes;
	st->ready = ready;
	store_emit(sink, OA_EVENT_NOTE, 0, &m);
}

/* How strings are to be read from here on, and whether a transaction is open. */
static inline unsigned learn_status(struct mysql_state *st, unsigned status, const struct oa_sink *sink)
{
	uint8_t escapes = status & STATUS_NO_ESCAPES ? OA_DB_NO_ESCAPES : OA_DB_ESCAPES;
	uint8_t ready = status & STATUS_IN_TX ? OA_STORE_IN_TX : OA_STORE_READY;

	if (OA_UNLIKELY(st->escapes != escapes || st->ready != ready))
		status_changes(st, escapes, ready, sink);
	return status;
}

/* The status in an OK packet, behind its first byte. */
static unsigned ok_status(struct mysql_state *st, struct oa_bytes body, const struct oa_sink *sink)
{
	uint64_t unread;

	body = oa_bytes(body.ptr + 1, body.len - 1);
	if (!lenenc(&body, &unread) || !lenenc(&body, &unread) || body.len < 2)
		return 0;
	return learn_status(st, store_le16(body.ptr), sink);
}

static bool is_eof(const struct mysql_state *st, struct oa_bytes body, uint32_t len)
{
	return body.len && body.ptr[0] == 0xfe && (len < 9 || (st->hint & MYSQL_HINT_NO_EOF && len < PACKET_LONG));
}

static OA_HOT unsigned eof_status(struct mysql_state *st, struct oa_bytes body, const struct oa_sink *sink)
{
	if (st->hint & MYSQL_HINT_NO_EOF)
		return ok_status(st, body, sink);
	return body.len >= 5 ? learn_status(st, store_le16(body.ptr + 3), sink) : 0;
}

static int prepared(struct mysql_state *st, struct oa_bytes body, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .flags = OA_STORE_PREPARE };
	unsigned eof = st->hint & MYSQL_HINT_NO_EOF ? 0 : 1, columns, params;

	if (body.len < 9)
		return -EPROTO;
	m.stmt = store_le32(body.ptr + 1);
	columns = store_le16(body.ptr + 5);
	params = store_le16(body.ptr + 7);
	st->left = columns + (columns ? eof : 0) + params + (params ? eof : 0);
	m.system = OA_STORE_MYSQL;
	store_emit(sink, OA_EVENT_RESPONSE, 0, &m);
	if (!st->left) {
		store_end(&st->st, sink, 0);
		return 0;
	}
	st->phase = SKIPPED;
	return 0;
}

static int result_begin(struct mysql_state *st, struct oa_bytes body, uint32_t len)
{
	uint64_t columns;
	struct oa_bytes rest = body;

	if (!lenenc(&rest, &columns) || !columns || columns > 65535)
		return -EPROTO;
	st->has_rows = 1;
	st->left = (uint32_t)columns;
	st->phase = COLUMNS;
	if (st->hint & MYSQL_HINT_CACHED && rest.len == 1 && !rest.ptr[0])
		st->phase = st->hint & MYSQL_HINT_NO_EOF ? ROWS : COLUMNS_END;
	else if (rest.len > (st->hint & MYSQL_HINT_CACHED ? 1u : 0u))
		return -EPROTO;
	return 0;
}

static int first_of_command(struct mysql_state *st, struct oa_bytes body, uint32_t len, const struct oa_sink *sink)
{
	uint8_t code = st->hint & MYSQL_HINT_CODE;

	switch (code) {
	case COM_STMT_PREPARE:
		return body.ptr[0] ? -EPROTO : prepared(st, body, sink);
	case COM_STATISTICS:
		result_end(st, 0, sink);
		return 0;
	case COM_BINLOG_DUMP:
	case COM_BINLOG_DUMP_GTID:
		result_end(st, 0, sink);
		st->silent = 1;
		return 0;
	case COM_CHANGE_USER:
		if (body.ptr[0] == 0)
			result_end(st, 0, sink);
		return 0;
	case COM_FIELD_LIST:
	case COM_STMT_FETCH:
		st->has_rows = code == COM_STMT_FETCH;
		if (is_eof(st, body, len)) {
			result_end(st, 0, sink);
		} else {
			st->rows = st->has_rows;
			st->phase = ROWS;
		}
		return 0;
	default:
		break;
	}
	if (body.ptr[0] == 0xfb) /* LOAD DATA LOCAL: the client's turn, then the answer */
		return 0;
	if (body.ptr[0] == 0)
		result_end(st, ok_status(st, body, sink), sink);
	else if (is_eof(st, body, len))
		result_end(st, eof_status(st, body, sink), sink);
	else
		return result_begin(st, body, len);
	return 0;
}

static int first(struct mysql_state *st, struct oa_bytes body, uint32_t len, const struct oa_sink *sink)
{
	struct oa_request_note note = sink->request_note(sink->ctx);

	if (!note.known)
		return 0; /* nothing we saw was asked */
	st->hint = note.hint;
	if (!body.len)
		return -EPROTO;
	if (body.ptr[0] == 0xff) {
		failed(st, body, sink);
		return 0;
	}
	return first_of_command(st, body, len, sink);
}

static void column(struct mysql_state *st)
{
	if (!--st->left)
		st->phase = st->hint & MYSQL_HINT_NO_EOF ? ROWS : COLUMNS_END;
}

static void row(struct mysql_state *st, struct oa_bytes body, uint32_t len, const struct oa_sink *sink)
{
	if (body.len && body.ptr[0] == 0xff)
		failed(st, body, sink);
	else if (is_eof(st, body, len))
		result_end(st, eof_status(st, body, sink), sink);
	else
		st->rows++;
}

static int authenticating(struct mysql_state *st, struct oa_bytes body, const struct oa_sink *sink)
{
	if (body.len && body.ptr[0] == 0) {
		(void)ok_status(st, body, sink);
		st->phase = FIRST;
	}
	return 0;
}

static int packet(struct mysql_state *st, struct oa_bytes body, uint32_t len, const struct oa_sink *sink)
{
	switch ((enum phase)st->phase) {
	case GREETING: /* inside TLS it came before, and this is the first answer to what the client said of itself */
		st->phase = AUTH;
		if (body.len && (body.ptr[0] == 10 || body.ptr[0] == 0xff))
			return 0;
		return body.len && (body.ptr[0] <= 1 || body.ptr[0] == 0xfe) ? authenticating(st, body, sink) : -EPROTO;
	case AUTH:
		return authenticating(st, body, sink);
	case FIRST:
		return first(st, body, len, sink);
	case COLUMNS: /* see answer_unit() */
		return -EPROTO;
	case COLUMNS_END:
		if (!is_eof(st, body, len))
			return -EPROTO;
		st->phase = ROWS;
		if (eof_status(st, body, sink) & STATUS_CURSOR)
			result_end(st, 0, sink);
		return 0;
	case ROWS:
		row(st, body, len, sink);
		return 0;
	case SKIPPED:
		if (!--st->left) {
			st->phase = FIRST;
			store_end(&st->st, sink, 0);
		}
		return 0;
	}
	return -EPROTO;
}

static inline void answers_close(struct mysql_state *st, const struct oa_sink *sink)
{
	if (st->silent && !st->st.skip)
		store_upgraded(&st->st, sink);
}

static inline long answer_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct mysql_state *st = state;
	bool part = st->going_on;
	uint32_t len;
	size_t want;
	int err = 0;

	if (in.len < 4)
		return 0;
	len = store_le24_of4(in.ptr);
	want = len < FIRST_BYTES ? len : FIRST_BYTES;
	if (in.len < 4 + want)
		return 0;
	st->going_on = len == PACKET_LONG;
	st->st.skip = (uint32_t)(len - want);
	if (part) /* of a row, or of what it is passed over for */
		;
	else if (st->phase == COLUMNS)
		column(st);
	else if (st->phase == ROWS && want && in.ptr[4] < 0xfe)
		st->rows++;
	else
		err = packet(st, oa_bytes(in.ptr + 4, want), len, sink);
	answers_close(st, sink);
	return err ? err : (long)(4 + want);
}

static void answers_skipped(void *state, const struct oa_sink *sink)
{
	store_done_end(state, sink);
	answers_close(state, sink);
}

static OA_HOT long mysql_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return dir == OA_DIR_REQUEST ? store_feed(state, dir, in, sink, command_unit, commands_skipped)
				     : store_feed(state, dir, in, sink, answer_unit, answers_skipped);
}

static long mysql_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, dir == OA_DIR_REQUEST ? commands_skipped : answers_skipped);
}

static int mysql_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	const struct mysql_state *st = state;

	return store_close(&st->st, dir == OA_DIR_RESPONSE && st->phase > FIRST);
}

/* What a client says of itself inside TLS: packet 2, as long as it may be, the wish for TLS again, zeros where they must be. */
static enum oa_detect detect_login(struct oa_bytes in)
{
	uint32_t len, caps;

	if (in.len < 4)
		return !in.len || (in.len > 1 && in.ptr[1] > 15) || (in.len > 2 && in.ptr[2]) ? OA_DETECT_NO : OA_DETECT_MORE;
	len = store_le24(in.ptr);
	if (len <= 32 || len > 4000 || in.ptr[3] != 2)
		return OA_DETECT_NO;
	if (in.len < 4 + 32)
		return OA_DETECT_MORE;
	caps = store_le32(in.ptr + 4);
	if (!(caps & CLIENT_PROTOCOL_41) || !(caps & CLIENT_SSL))
		return OA_DETECT_NO;
	for (unsigned i = 13; i < 4 + 28; i++)
		if (in.ptr[i])
			return OA_DETECT_NO;
	return OA_DETECT_YES;
}

/* The greeting as a whole: its length, packet 0, protocol 10, a version of digits and dots, a zero where one must be. */
static enum oa_detect mysql_detect(enum oa_dir dir, struct oa_bytes in)
{
	size_t version = 5;
	uint32_t len;

	if (dir == OA_DIR_REQUEST)
		return detect_login(in);
	for (size_t i = 1; i < in.len && i < 5; i++)
		if ((i == 1 && in.ptr[i] > 1) || (i == 2 && in.ptr[i]) || (i == 3 && in.ptr[i]) || (i == 4 && in.ptr[i] != 10))
			return OA_DETECT_NO;
	if (in.len < 6)
		return OA_DETECT_MORE;
	len = store_le24(in.ptr);
	if (len < 44 || (uint8_t)(in.ptr[5] - '0') >= 10)
		return OA_DETECT_NO;
	while (version < in.len && in.ptr[version] > ' ' && in.ptr[version] < 0x7f && version < 96)
		version++;
	if (version == 96 || (version < in.len && in.ptr[version]))
		return OA_DETECT_NO;
	if (in.len < 4 + len)
		return OA_DETECT_MORE;
	return version + 13 < in.len && !in.ptr[version + 13] ? OA_DETECT_YES : OA_DETECT_NO;
}

const struct oa_proto oa_proto_mysql = {
	.name = "mysql",
	.state_bytes = sizeof(struct mysql_state),
	.flags = OA_PROTO_STORE | OA_PROTO_GREETS | OA_PROTO_CLIENT | OA_PROTO_POOLED | OA_PROTO_LOGIN,
	.detect = mysql_detect,
	.feed = mysql_feed,
	.close = mysql_close,
	.skip = mysql_skip,
};
