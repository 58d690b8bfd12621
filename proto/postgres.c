/* PostgreSQL, protocol 3: what a client says and what a server does. A group is what one ReadyForQuery ends: a simple
 * query, or everything up to a Sync; both sides count them. A statement is named by the hash of its name; who wants its
 * text remembers the NOTE that brought it. Passwords and rows are passed over unread. */
#include "proto/postgres.h"

#include "core/attr.h"
#include "proto/store_frame.h"

#define PG_STARTUP_MAX 10000      /* the server's own limit */
#define PG_MESSAGE_MAX (1u << 30) /* likewise */
#define PG_SSL    80877103u
#define PG_GSS    80877104u
#define PG_CANCEL 80877102u
#define NO_PORTAL 0u              /* what is bound to it is not known */

struct postgres_state {
	struct store_state st;
	uint32_t group;
	uint64_t bound;    /* command: the statement of the last Bind or Parse / answer: rows so far */
	uint32_t portal;   /* command: of the last Bind; a part of the hash of its name */
	uint8_t parsed;    /* command: a Parse that nothing has executed yet */
	uint8_t executed;  /* command: this group has an Execute */
	union {
		uint8_t synced; /* command: a Sync behind an Execute was the last message */
		uint8_t ready;  /* answer: the last OA_STORE_READY … that was said */
	};
	uint8_t described; /* answer: rows have a description */
};

_Static_assert(sizeof(struct postgres_state) <= 32, "conn/ keeps two of them per connection");

static uint64_t name_hash(struct oa_bytes name)
{
	uint64_t h = oa_hash(0, name.ptr, name.len);

	return h ? h : 1;
}

static uint32_t portal_hash(struct oa_bytes name)
{
	return (uint32_t)name_hash(name) | 1;
}

/* returns bytes of the message to wait for: all of it, or its head and `max` bytes */
static inline size_t wanted(uint32_t len, size_t max)
{
	return 1 + (len < 4 + max ? len : 4 + max);
}

/* -- commands -- */

/* Names and values up to an empty name, to the last byte. returns 0 or -EPROTO */
static int startup_read(struct oa_bytes body, struct oa_store_msg *m)
{
	struct oa_bytes name, value;

	while (store_cstring(&body, &name)) {
		if (!name.len)
			return body.len || !m->user.len ? -EPROTO : 0;
		if (!store_cstring(&body, &value))
			return -EPROTO;
		if (oa_bytes_eq(name, OA_LIT("user")))
			m->user = oa_bytes_cut(value, OA_STORE_NAME_MAX);
		else if (oa_bytes_eq(name, OA_LIT("database")))
			m->ns = oa_bytes_cut(value, OA_STORE_NAME_MAX);
	}
	return -EPROTO;
}

static STORE_COLD long startup(struct postgres_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_POSTGRESQL, .flags = OA_STORE_SESSION };
	uint32_t len, code;

	if (in.len < 8)
		return 0;
	len = store_be32(in.ptr);
	code = store_be32(in.ptr + 4);
	if ((code == PG_SSL || code == PG_GSS) && len == 8)
		return 8;
	if (code == PG_CANCEL && len >= 16 && len <= 256 + 12) {
		st->st.closed = STORE_SILENT;
		return 8;
	}
	if (code >> 16 != 3 || len < 9 || len > PG_STARTUP_MAX)
		return -EPROTO;
	if (in.len < len)
		return 0;
	if (startup_read(oa_bytes(in.ptr + 8, len - 8), &m) < 0)
		return -EPROTO;
	if (!m.ns.len)
		m.ns = m.user;
	st->st.begun = 1;
	st->group = 1;
	store_emit(sink, OA_EVENT_NOTE, 0, &m);
	return len;
}

static OA_HOT OA_NOINLINE void command(struct postgres_state *st, struct oa_store_msg *m, unsigned flags, unsigned hint,
		    const struct oa_sink *sink)
{
	m->system = OA_STORE_POSTGRESQL;
	m->flags |= (uint16_t)(flags | OA_STORE_BY_GROUP);
	m->hint = (uint16_t)hint;
	store_emit_last(&st->st, sink, OA_EVENT_REQUEST, st->group, m);
}

static OA_NOINLINE void only_prepared(struct postgres_state *st, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .stmt = st->bound, .operation = OA_LIT("PREPARE") };

	st->parsed = 0;
	command(st, &m, OA_STORE_PREPARE, POSTGRES_HINT_PREPARE, sink);
}

/* A Parse that no Execute follows is a round trip of its own. */
static inline void prepared(struct postgres_state *st, const struct oa_sink *sink)
{
	if (OA_UNLIKELY(st->parsed))
		only_prepared(st, sink);
}

static OA_HOT OA_NOINLINE void on_query(struct postgres_state *st, struct oa_bytes body, bool cut, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .text = body };
	const uint8_t *nul = body.len ? memchr(body.ptr, 0, body.len) : NULL;

	if (nul)
		m.text.len = (size_t)(nul - body.ptr);
	m.flags = cut ? OA_STORE_CUT : 0;
	prepared(st, sink);
	command(st, &m, OA_STORE_SQL | OA_STORE_WHOLE, POSTGRES_HINT_WHOLE, sink);
	st->group++;
}

static OA_NOINLINE int on_parse(struct postgres_state *st, struct oa_bytes body, bool cut, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_POSTGRESQL, .flags = OA_STORE_PREPARE | OA_STORE_SQL };
	struct oa_bytes name;

	if (!store_cstring(&body, &name))
		return cut ? -E2BIG : -EPROTO;
	if (!store_cstring(&body, &m.text)) {
		if (!cut)
			return -EPROTO;
		m.text = body;
		m.flags |= OA_STORE_CUT;
	}
	if (m.text.len > OA_STORE_TEXT_MAX) {
		m.text.len = OA_STORE_TEXT_MAX;
		m.flags |= OA_STORE_CUT;
	}
	st->bound = m.stmt = name_hash(name);
	st->portal = NO_PORTAL;
	st->parsed = 1;
	store_emit(sink, OA_EVENT_NOTE, 0, &m);
	return 0;
}

static int on_bind(struct postgres_state *st, struct oa_bytes body, bool cut)
{
	struct oa_bytes portal, name;

	if (!store_cstring(&body, &portal) || !store_cstring(&body, &name))
		return cut ? -E2BIG : -EPROTO;
	st->portal = portal_hash(portal);
	st->bound = name_hash(name);
	return 0;
}

static OA_HOT OA_NOINLINE int on_execute(struct postgres_state *st, struct oa_bytes body, bool cut, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .operation = OA_LIT("EXECUTE") };
	struct oa_bytes portal;

	if (!store_cstring(&body, &portal))
		return cut ? -E2BIG : -EPROTO;
	m.stmt = portal_hash(portal) == st->portal ? st->bound : 0;
	st->parsed = 0;
	st->executed = 1;
	command(st, &m, OA_STORE_EXECUTE, POSTGRES_HINT_EXECUTE, sink);
	return 0;
}

static OA_NOINLINE int on_close(struct oa_bytes body, bool cut, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_POSTGRESQL, .flags = OA_STORE_FORGET };
	struct oa_bytes kind, name;

	if (!store_take(&body, 1, &kind) || !store_cstring(&body, &name))
		return cut ? -E2BIG : -EPROTO;
	m.stmt = name_hash(name);
	if (kind.ptr[0] == 'S')
		store_emit(sink, OA_EVENT_NOTE, 0, &m);
	return 0;
}

static void on_sync(struct postgres_state *st, const struct oa_sink *sink)
{
	prepared(st, sink);
	st->synced = st->executed;
	st->executed = 0;
	st->group++;
}

static OA_NOINLINE void on_function(struct postgres_state *st, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .operation = OA_LIT("FUNCTION") };

	command(st, &m, OA_STORE_WHOLE, POSTGRES_HINT_WHOLE, sink);
	st->group++;
}

/* How much of a message must be there to be read. */
static size_t read_max(uint8_t type)
{
	switch (type) {
	case 'Q':
		return OA_STORE_TEXT_MAX;
	case 'P':
		return OA_STORE_NAME_MAX + OA_STORE_TEXT_MAX;
	case 'B':
	case 'E':
	case 'C':
		return 2 * OA_STORE_NAME_MAX;
	default:
		return 0;
	}
}

/* Data of a COPY behind Execute and Sync: the server passed over that Sync, another one follows the data. */
static void on_copy(struct postgres_state *st)
{
	if (st->synced) {
		st->group--;
		st->executed = 1;
	}
}

static inline int on_message(struct postgres_state *st, uint8_t type, struct oa_bytes body, bool cut, const struct oa_sink *sink)
{
	switch (type) {
	case 'Q':
		on_query(st, body, cut, sink);
		return 0;
	case 'P':
		return on_parse(st, body, cut, sink);
	case 'B':
		return on_bind(st, body, cut);
	case 'E':
		return on_execute(st, body, cut, sink);
	case 'C':
		return on_close(body, cut, sink);
	case 'S':
		on_sync(st, sink);
		return 0;
	case 'H':
		prepared(st, sink);
		return 0;
	case 'F':
		on_function(st, sink);
		return 0;
	case 'd': case 'c': case 'f':
		on_copy(st);
		return 0;
	case 'D': case 'X': case 'p':
		return 0;
	default:
		return -EPROTO;
	}
}

static inline long postgres_command_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct postgres_state *st = state;
	uint8_t type = in.ptr[0];
	uint32_t len;
	size_t want;
	int err;

	if (!st->st.begun)
		return startup(st, in, sink);
	if (in.len < 5)
		return 0;
	len = store_be32(in.ptr + 1);
	if (len < 4 || len > PG_MESSAGE_MAX)
		return -EPROTO;
	want = wanted(len, read_max(type));
	if (in.len < want)
		return 0;
	st->st.skip = (uint32_t)(len + 1 - want);
	err = on_message(st, type, oa_bytes(in.ptr + 5, want - 5), st->st.skip > 0, sink);
	if (type != 'S')
		st->synced = 0;
	return err ? err : (long)want;
}

/* -- answers -- */

/* What the first open command of the group waits for; 0: none is known. */
static unsigned waits_for(const struct postgres_state *st, const struct oa_sink *sink)
{
	struct oa_request_note note = sink->stream_note(sink->ctx, st->group);

	return note.known ? note.hint : 0;
}

static OA_HOT OA_NOINLINE void answer(struct postgres_state *st, struct oa_store_msg *m, bool end, const struct oa_sink *sink)
{
	m->system = OA_STORE_POSTGRESQL;
	m->flags |= OA_STORE_BY_GROUP;
	if (end)
		store_emit_whole(sink, OA_EVENT_RESPONSE, st->group, m);
	else
		store_emit(sink, OA_EVENT_RESPONSE, st->group, m);
}

static OA_HOT OA_NOINLINE void on_complete(struct postgres_state *st, struct oa_bytes tag, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .rows = st->bound };
	bool query = tag.len >= 5 && (!memcmp(tag.ptr, "SELEC", 5) || !memcmp(tag.ptr, "FETCH", 5));

	if (st->bound || st->described || query)
		m.flags = OA_STORE_HAS_ROWS;
	st->bound = st->described = 0;
	answer(st, &m, waits_for(st, sink) == POSTGRES_HINT_EXECUTE, sink);
}

static struct oa_bytes error_code(struct oa_bytes body)
{
	struct oa_bytes type, text;

	while (store_take(&body, 1, &type) && type.ptr[0] && store_cstring(&body, &text))
		if (type.ptr[0] == 'C' && text.len == 5)
			return text;
	return OA_LIT("_OTHER");
}

static OA_NOINLINE void on_error(struct postgres_state *st, struct oa_bytes body, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .flags = OA_STORE_FAILED, .status = error_code(body) };
	unsigned hint = waits_for(st, sink);

	st->bound = st->described = 0;
	answer(st, &m, hint == POSTGRES_HINT_EXECUTE || hint == POSTGRES_HINT_PREPARE, sink);
}

static OA_NOINLINE void on_prepared(struct postgres_state *st, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .flags = OA_STORE_PREPARE };

	if (waits_for(st, sink) == POSTGRES_HINT_PREPARE)
		answer(st, &m, true, sink);
}

static STORE_COLD void status_changes(struct postgres_state *st, uint8_t ready, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_POSTGRESQL, .status_num = ready };

	st->ready = ready;
	store_emit(sink, OA_EVENT_NOTE, 0, &m);
}

/* Status: idle, in a transaction, in one that has failed. */
static inline void learn_status(struct postgres_state *st, uint8_t status, const struct oa_sink *sink)
{
	uint8_t ready = status == 'I' ? OA_STORE_READY : OA_STORE_IN_TX;

	if (OA_UNLIKELY(st->ready != ready))
		status_changes(st, ready, sink);
}

static void on_ready(struct postgres_state *st, struct oa_bytes body, const struct oa_sink *sink)
{
	if (body.len)
		learn_status(st, body.ptr[0], sink);
	st->bound = st->described = 0;
	store_emit(sink, OA_EVENT_GROUP_END, st->group++, NULL);
}

/* Replication from here on. */
static OA_NOINLINE void on_copy_both(struct postgres_state *st, const struct oa_sink *sink)
{
	struct oa_store_msg m = { 0 };

	answer(st, &m, true, sink);
	store_upgraded(&st->st, sink);
}

static size_t answer_read_max(uint8_t type)
{
	return type == 'E' ? 1024 : type == 'C' ? 8 : type == 'Z' ? 1 : 0;
}

static int on_answer(struct postgres_state *st, uint8_t type, struct oa_bytes body, const struct oa_sink *sink)
{
	switch (type) {
	case 'C':
	case 'I':
	case 's':
		on_complete(st, body, sink);
		return 0;
	case 'E':
		on_error(st, body, sink);
		return 0;
	case 'Z':
		on_ready(st, body, sink);
		return 0;
	case '1':
		on_prepared(st, sink);
		return 0;
	case '2': case 'G': case 'H': /* what was described before was a statement that did not run */
		st->described = 0;
		return 0;
	case 'W':
		on_copy_both(st, sink);
		return 0;
	case 'R': case 'S': case 'K': case 'N': case 'A': case '3': case 't': case 'n': case 'd': case 'c': case 'V':
	case 'v':
		return 0;
	default:
		return -EPROTO;
	}
}

/* The answer to a request for encryption: one letter. returns 1, 0: it is a message */
static STORE_COLD long encryption(struct postgres_state *st, uint8_t letter, const struct oa_sink *sink)
{
	if (letter == 'S' || letter == 'G')
		store_upgraded_to(&st->st, letter == 'S' ? OA_UPGRADED_TLS : 0, sink);
	else if (letter != 'N')
		st->st.begun = 1;
	return !st->st.begun;
}

static inline long postgres_answer_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct postgres_state *st = state;
	uint8_t type = in.ptr[0];
	uint32_t len;
	size_t want;
	int err;

	if (__builtin_expect(!st->st.begun, 0) && encryption(st, type, sink))
		return 1;
	if (in.len < 5)
		return 0;
	len = store_be32(in.ptr + 1);
	if (len < 4 || len > PG_MESSAGE_MAX)
		return -EPROTO;
	if (type == 'D' || type == 'T') { /* most of them: passed over */
		st->bound += type == 'D';
		st->described |= type == 'T';
		st->st.skip = len - 4;
		return 5;
	}
	want = wanted(len, answer_read_max(type));
	if (in.len < want)
		return 0;
	st->st.skip = (uint32_t)(len + 1 - want);
	err = on_answer(st, type, oa_bytes(in.ptr + 5, want - 5), sink);
	return err ? err : (long)want;
}

static OA_HOT long postgres_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return dir == OA_DIR_REQUEST ? store_feed(state, dir, in, sink, postgres_command_unit, store_done_end)
				     : store_feed(state, dir, in, sink, postgres_answer_unit, store_done_end);
}

static long postgres_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, store_done_end);
}

static int postgres_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	return store_close(state, false);
}

/* A start-up message as a whole, with a user in it; or a request for encryption or to cancel. */
static enum oa_detect postgres_detect(enum oa_dir dir, struct oa_bytes in)
{
	struct oa_store_msg m = { 0 };
	uint32_t len, code;

	if (dir != OA_DIR_REQUEST || (in.len && in.ptr[0]) || (in.len > 1 && in.ptr[1]))
		return OA_DETECT_NO;
	if (in.len < 8)
		return OA_DETECT_MORE;
	len = store_be32(in.ptr);
	code = store_be32(in.ptr + 4);
	if (code == PG_SSL || code == PG_GSS)
		return len == 8 ? OA_DETECT_YES : OA_DETECT_NO;
	if (code == PG_CANCEL)
		return len >= 16 && len <= 256 + 12 ? OA_DETECT_YES : OA_DETECT_NO;
	if (code >> 16 != 3 || (code & 0xffff) > 99 || len < 9 || len > PG_STARTUP_MAX)
		return OA_DETECT_NO;
	if (in.len < len)
		return OA_DETECT_MORE;
	return startup_read(oa_bytes(in.ptr + 8, len - 8), &m) < 0 ? OA_DETECT_NO : OA_DETECT_YES;
}

const struct oa_proto oa_proto_postgres = {
	.name = "postgres",
	.state_bytes = sizeof(struct postgres_state),
	.flags = OA_PROTO_STORE | OA_PROTO_CLIENT | OA_PROTO_POOLED | OA_PROTO_LOGIN,
	.detect = postgres_detect,
	.feed = postgres_feed,
	.close = postgres_close,
	.skip = postgres_skip,
};
