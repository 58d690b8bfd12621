/* Redis: RESP2 and RESP3, commands and answers. A connection is taken for Redis when it begins with an array of
 * strings; commands as lines are understood behind that. Pipelines and MULTI are commands like any other, each with
 * its answer. Where answers are no longer one for a command (SUBSCRIBE, MONITOR, replication) the parser says what
 * was asked, and stops; CLIENT REPLY, which turns answers off, ends it at once. */
#include "proto/redis.h"

#include "core/attr.h"
#include "proto/store_frame.h"

#define REDIS_NAME_MAX 64   /* longest command; the longest of Redis 7 has 21 letters */
#define REDIS_ARG_MAX  64   /* first argument, where it is of interest: a script's hash, a database */
#define REDIS_STRING_MAX INT32_MAX /* the server takes 512 MiB unless told otherwise */
#define REDIS_ARGS_AHEAD 8 /* a command's arguments are looked for before it is told when they are no more than this */
#define REDIS_LEFT_MAX (1u << 31)
#define REDIS_LINE_MAX 1024 /* what is kept of a line to find its end; a longer one is passed over in pieces */

struct redis_state {
	struct store_state st;
	uint32_t left;      /* answer: values until it is whole */
	uint32_t args;      /* command: arguments to come */
	uint32_t database;  /* command: of this and what follows; REDIS_NS_UNKNOWN */
	uint8_t in_line;    /* answer: in a line that is passed over */
	uint8_t crlf;       /* the CRLF behind a string is due */
	uint8_t responded;  /* answer: RESPONSE was said, or is not to be */
	uint8_t push;       /* answer: nobody asked for it */
	uint8_t last;       /* the connection is another thing behind this */
	uint8_t multi;      /* command: inside MULTI */
};

_Static_assert(sizeof(struct redis_state) <= 32, "conn/ keeps two of them per connection");

/* The same as redis_number(), for what is not one or two digits. */
static OA_NOINLINE long redis_number_slow(const uint8_t *p, size_t len, int64_t *ret)
{
	bool minus = len && p[0] == '-';
	size_t i = minus;
	uint64_t n = 0;

	for (; i < len && (uint8_t)(p[i] - '0') < 10; i++) {
		n = n * 10 + (uint64_t)(p[i] - '0');
		if (i - minus >= 10)
			return -EPROTO;
	}
	if (i == len)
		return 0;
	if (i == minus || p[i] != '\r' || (minus && n != 1))
		return -EPROTO;
	if (i + 1 == len)
		return 0;
	*ret = minus ? -1 : (int64_t)n;
	return p[i + 1] == '\n' ? (long)i + 2 : -EPROTO;
}

/* A number and CRLF. returns bytes, 0 wait, -EPROTO */
static inline long redis_number(const uint8_t *p, size_t len, int64_t *ret)
{
	if (OA_LIKELY(len >= 4 && (uint8_t)(p[0] - '0') < 10)) {
		if (p[1] == '\r' && p[2] == '\n') {
			*ret = p[0] - '0';
			return 3;
		}
		if ((uint8_t)(p[1] - '0') < 10 && p[2] == '\r' && p[3] == '\n') {
			*ret = (p[0] - '0') * 10 + p[1] - '0';
			return 4;
		}
	}
	return redis_number_slow(p, len, ret);
}

/* "$3\r\nGET\r\n" with at most `max` bytes. *ret_len: what it says, also when that is more.
 * returns bytes of all of it; of "$n\r\n" alone when it is longer than max; 0 wait; -EPROTO */
static inline long redis_bulk(struct oa_bytes in, size_t max, struct oa_bytes *ret, int64_t *ret_len)
{
	long n;

	if (!in.len)
		return 0;
	if (in.ptr[0] != '$')
		return -EPROTO;
	n = redis_number(in.ptr + 1, in.len - 1, ret_len);
	if (n <= 0)
		return n;
	if (*ret_len < 0)
		return -EPROTO;
	n++;
	*ret = oa_bytes(in.ptr + n, 0);
	if ((uint64_t)*ret_len > max)
		return n;
	if (in.len - (size_t)n < (size_t)*ret_len + 2)
		return 0;
	ret->len = (size_t)*ret_len;
	return memcmp(ret->ptr + ret->len, "\r\n", 2) ? -EPROTO : n + (long)ret->len + 2;
}

/* -- commands -- */

enum redis_special {
	REDIS_PLAIN, REDIS_LAST, REDIS_SELECT, REDIS_CLIENT, REDIS_MULTI, REDIS_MULTI_END, REDIS_RESET, REDIS_SCRIPT,
};

static OA_HOT enum redis_special redis_special(struct oa_bytes name)
{
#define SPECIAL(text, what) { what, sizeof(text) - 1, text }
	static const struct {
		uint8_t what, len;
		char name[11]; /* no pointers to relocate */
	} specials[] = {
		SPECIAL("exec", REDIS_MULTI_END), SPECIAL("sync", REDIS_LAST),
		SPECIAL("multi", REDIS_MULTI), SPECIAL("reset", REDIS_RESET), SPECIAL("psync", REDIS_LAST),
		SPECIAL("fcall", REDIS_SCRIPT),
		SPECIAL("select", REDIS_SELECT), SPECIAL("client", REDIS_CLIENT),
		SPECIAL("evalsha", REDIS_SCRIPT), SPECIAL("discard", REDIS_MULTI_END),
		SPECIAL("monitor", REDIS_LAST),
		SPECIAL("fcall_ro", REDIS_SCRIPT), SPECIAL("subscribe", REDIS_LAST),
		SPECIAL("psubscribe", REDIS_LAST), SPECIAL("ssubscribe", REDIS_LAST),
		SPECIAL("evalsha_ro", REDIS_SCRIPT),
	};

	if (name.len < 4) /* GET, SET and most others */
		return REDIS_PLAIN;
	for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
		if (name.len == specials[i].len && oa_bytes_ieq(name, oa_bytes(specials[i].name, specials[i].len)))
			return (enum redis_special)specials[i].what;
	return REDIS_PLAIN;
}

static uint32_t redis_database(struct oa_bytes text)
{
	uint32_t n = 0;

	if (!text.len || text.len > 5)
		return REDIS_NS_UNKNOWN;
	for (size_t i = 0; i < text.len; i++) {
		if ((uint8_t)(text.ptr[i] - '0') >= 10)
			return REDIS_NS_UNKNOWN;
		n = n * 10 + text.ptr[i] - '0';
	}
	return n;
}

/* What is special about it. arg: its first argument. returns 0 or -EPROTO */
static STORE_COLD int redis_command_special(struct redis_state *st, enum redis_special what, struct oa_bytes arg,
					    struct oa_store_msg *m)
{
	switch (what) {
	case REDIS_LAST:
		m->flags |= OA_STORE_LAST;
		m->hint = REDIS_HINT_LAST;
		st->last = 1;
		break;
	case REDIS_SELECT:
		m->hint = REDIS_HINT_SELECT;
		st->database = st->multi ? REDIS_NS_UNKNOWN : redis_database(arg);
		break;
	case REDIS_RESET:
		st->database = 0;
		st->multi = 0;
		break;
	case REDIS_MULTI:
	case REDIS_MULTI_END:
		st->multi = what == REDIS_MULTI;
		break;
	case REDIS_SCRIPT:
		m->target = arg;
		break;
	case REDIS_CLIENT:
		return oa_bytes_ieq(arg, OA_LIT("reply")) ? -EPROTO : 0;
	case REDIS_PLAIN:
		break;
	}
	return 0;
}

static inline void redis_set_database(const struct redis_state *st, struct oa_store_msg *m)
{
	if (st->database != REDIS_NS_UNKNOWN) {
		m->flags |= OA_STORE_HAS_NS;
		m->ns_num = st->database;
	}
}

void oa_redis_forget_database(void *state)
{
	((struct redis_state *)state)->database = REDIS_NS_UNKNOWN;
}

static inline void redis_command_ended(struct redis_state *st)
{
	st->st.closed = st->last ? STORE_SILENT : 0;
}

static inline void redis_command_end(struct redis_state *st, const struct oa_sink *sink)
{
	store_emit(sink, OA_EVENT_END, 0, NULL);
	redis_command_ended(st);
}

static inline void redis_whole_command(struct redis_state *st, struct oa_store_msg *m, const struct oa_sink *sink)
{
	redis_set_database(st, m);
	store_emit_whole(sink, OA_EVENT_REQUEST, 0, m);
	redis_command_ended(st);
}

/* Length of the next `args` arguments when they are few, and all here; 0: what they are is seen one by one. */
static inline size_t redis_arguments(struct oa_bytes in, uint32_t args)
{
	size_t at = 0;

	if (args > REDIS_ARGS_AHEAD)
		return 0;
	for (; args; args--) {
		struct oa_bytes arg;
		int64_t len;
		long n = redis_bulk(oa_bytes(in.ptr + at, in.len - at), REDIS_STRING_MAX, &arg, &len);

		if (n <= 0 || len > REDIS_STRING_MAX)
			return 0;
		at += (size_t)n;
	}
	return at;
}

static inline bool redis_is_name(struct oa_bytes name)
{
	if (!name.len || name.len > REDIS_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f)
			return false;
	return true;
}

static OA_HOT OA_NOINLINE long redis_command(struct redis_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_REDIS };
	struct oa_bytes arg = { 0 };
	enum redis_special what;
	int64_t argc, len;
	uint32_t args;
	size_t ahead;
	long at, n;

	at = redis_number(in.ptr + 1, in.len - 1, &argc);
	if (at <= 0)
		return at;
	at++;
	if (argc > REDIS_STRING_MAX)
		return -EPROTO;
	if (argc <= 0)
		return at; /* nothing is asked, nothing answered */
	n = redis_bulk(oa_bytes(in.ptr + at, in.len - (size_t)at), REDIS_NAME_MAX, &m.operation, &len);
	if (n <= 0)
		return n;
	if (!redis_is_name(m.operation))
		return -EPROTO;
	at += n;
	m.args = args = (uint32_t)(argc - 1);
	what = redis_special(m.operation);
	if (what != REDIS_PLAIN && m.args) {
		n = redis_bulk(oa_bytes(in.ptr + at, in.len - (size_t)at), REDIS_ARG_MAX, &arg, &len);
		if (n <= 0)
			return n;
		if (len <= REDIS_ARG_MAX) {
			at += n;
			args--;
		}
	}
	if (what != REDIS_PLAIN && redis_command_special(st, what, arg, &m) < 0)
		return -EPROTO;
	ahead = redis_arguments(oa_bytes(in.ptr + at, in.len - (size_t)at), args);
	if (OA_LIKELY(ahead || !args)) {
		redis_whole_command(st, &m, sink);
		return at + (long)ahead;
	}
	redis_set_database(st, &m);
	store_emit(sink, OA_EVENT_REQUEST, 0, &m);
	st->args = args;
	return at;
}

/* The CRLF behind a string. returns 2, 0 wait, -EPROTO */
static inline long redis_crlf(struct oa_bytes in)
{
	if (in.ptr[0] != '\r')
		return -EPROTO;
	if (in.len < 2)
		return 0;
	return in.ptr[1] == '\n' ? 2 : -EPROTO;
}

static inline void redis_argument_end(struct redis_state *st, const struct oa_sink *sink)
{
	if (!--st->args)
		redis_command_end(st, sink);
}

static OA_NOINLINE long redis_argument(struct redis_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	int64_t len;
	long n;

	if (in.ptr[0] != '$')
		return -EPROTO;
	n = redis_number(in.ptr + 1, in.len - 1, &len);
	if (n <= 0)
		return n;
	if (len < 0 || len > REDIS_STRING_MAX)
		return -EPROTO;
	n++;
	if (in.len - (size_t)n < (size_t)len + 2) {
		st->st.skip = (uint32_t)len;
		st->crlf = 1;
		return n;
	}
	if (memcmp(in.ptr + n + len, "\r\n", 2))
		return -EPROTO;
	redis_argument_end(st, sink);
	return n + (long)len + 2;
}

/* Words of a line; a quoted one may hold blanks. */
static uint32_t redis_line_words(struct oa_bytes line, struct oa_bytes *ret_first, struct oa_bytes *ret_second)
{
	uint32_t words = 0;
	size_t i = 0;

	while (i < line.len) {
		size_t from = i;
		uint8_t quote = 0;

		if (line.ptr[i] == ' ' || line.ptr[i] == '\t') {
			i++;
			continue;
		}
		for (; i < line.len && (quote || (line.ptr[i] != ' ' && line.ptr[i] != '\t')); i++) {
			if (quote && line.ptr[i] == '\\')
				i++;
			else if (quote && line.ptr[i] == quote)
				quote = 0;
			else if (!quote && (line.ptr[i] == '"' || line.ptr[i] == '\''))
				quote = line.ptr[i];
		}
		if (i > line.len)
			i = line.len;
		if (words == 0)
			*ret_first = oa_bytes(line.ptr + from, i - from);
		else if (words == 1)
			*ret_second = oa_bytes(line.ptr + from, i - from);
		words++;
	}
	return words;
}

static STORE_COLD long redis_inline(struct redis_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_REDIS };
	const uint8_t *nl = memchr(in.ptr, '\n', in.len < REDIS_LINE_MAX ? in.len : REDIS_LINE_MAX);
	struct oa_bytes line, arg = { 0 };
	uint32_t words;

	if ((uint8_t)(oa_lower(in.ptr[0]) - 'a') >= 26 && in.ptr[0] != '\r' && in.ptr[0] != '\n')
		return -EPROTO;
	if (!nl)
		return in.len < REDIS_LINE_MAX ? 0 : -E2BIG;
	line = oa_bytes(in.ptr, (size_t)(nl - in.ptr));
	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	words = redis_line_words(line, &m.operation, &arg);
	if (words && !redis_is_name(m.operation))
		return -EPROTO;
	if (words) {
		m.args = words - 1;
		if (redis_command_special(st, redis_special(m.operation), oa_bytes_cut(arg, REDIS_ARG_MAX), &m) < 0)
			return -EPROTO;
		redis_whole_command(st, &m, sink);
	}
	return nl + 1 - in.ptr;
}

static inline long redis_request_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct redis_state *st = state;
	long n;

	if (st->crlf) {
		n = redis_crlf(in);
		if (n > 0) {
			st->crlf = 0;
			redis_argument_end(st, sink);
		}
		return n;
	}
	if (st->args)
		return redis_argument(st, in, sink);
	return in.ptr[0] == '*' ? redis_command(st, in, sink) : redis_inline(st, in, sink);
}

/* -- answers -- */

/* The word an error begins with, when it is one of the sort errors have. */
static struct oa_bytes redis_status(struct oa_bytes line)
{
	size_t n = 0;

	while (n < line.len && n < 32 && (line.ptr[n] == '_' || (uint8_t)(line.ptr[n] - 'A') < 26))
		n++;
	return n && (n == line.len || line.ptr[n] == ' ') ? oa_bytes(line.ptr, n) : OA_LIT("_OTHER");
}

/* Whether what is answered next changes what the connection is: with RESP3, SUBSCRIBE is answered by a push. */
static bool redis_asked_last(const struct oa_sink *sink)
{
	struct oa_request_note note = sink->request_note(sink->ctx);

	return note.known && note.hint & REDIS_HINT_LAST;
}

static inline void redis_answer(struct redis_state *st, bool failed, struct oa_bytes error, bool whole, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_REDIS };

	if (OA_UNLIKELY(failed)) {
		m.flags = OA_STORE_FAILED;
		m.status = redis_status(error);
	}
	st->last = redis_asked_last(sink);
	if (whole)
		store_emit_whole(sink, OA_EVENT_RESPONSE, 0, &m);
	else
		store_emit(sink, OA_EVENT_RESPONSE, 0, &m);
}

static void redis_response(struct redis_state *st, bool failed, struct oa_bytes error, const struct oa_sink *sink)
{
	st->responded = 1;
	redis_answer(st, failed, error, false, sink);
}

/* All of it: a line, or a string that is here to its end. */
static inline void redis_whole_response(struct redis_state *st, bool failed, struct oa_bytes error, const struct oa_sink *sink)
{
	redis_answer(st, failed, error, true, sink);
	st->left = 0;
	if (OA_UNLIKELY(st->last))
		store_upgraded(&st->st, sink);
}

static inline void redis_value_end(struct redis_state *st, const struct oa_sink *sink)
{
	if (--st->left)
		return;
	if (!st->push) {
		store_emit(sink, OA_EVENT_END, 0, NULL);
		if (st->last)
			store_upgraded(&st->st, sink);
	}
	st->responded = st->push = 0;
}

/* A line value. returns bytes, 0 wait, -EPROTO */
static OA_HOT OA_NOINLINE long redis_line(struct redis_state *st, struct oa_bytes in, bool top, const struct oa_sink *sink)
{
	size_t room = in.len < REDIS_LINE_MAX ? in.len : REDIS_LINE_MAX;
	const uint8_t *cr = memchr(in.ptr, '\r', room);
	bool error = in.ptr[0] == '-';

	if (!cr && in.len < REDIS_LINE_MAX)
		return 0;
	if (cr && cr + 1 == in.ptr + in.len)
		return 0;
	if (cr && cr[1] != '\n')
		return -EPROTO;
	if (OA_LIKELY(top && cr)) {
		redis_whole_response(st, error, oa_bytes(in.ptr + 1, (size_t)(cr - in.ptr) - 1), sink);
		return cr + 2 - in.ptr;
	}
	if (top)
		redis_response(st, error, oa_bytes(in.ptr + 1, room - 1), sink);
	if (!cr) {
		st->in_line = 1;
		return (long)room;
	}
	redis_value_end(st, sink);
	return cr + 2 - in.ptr;
}

static STORE_COLD long redis_line_rest(struct redis_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	const uint8_t *nl = memchr(in.ptr, '\n', in.len);

	if (!nl)
		return (long)in.len;
	st->in_line = 0;
	redis_value_end(st, sink);
	return nl + 1 - in.ptr;
}

static OA_HOT OA_NOINLINE long redis_string(struct redis_state *st, struct oa_bytes in, bool top, const struct oa_sink *sink)
{
	bool error = in.ptr[0] == '!', here;
	size_t shown = 0;
	int64_t len;
	long n = redis_number(in.ptr + 1, in.len - 1, &len);

	if (n <= 0)
		return n;
	if (len > REDIS_STRING_MAX)
		return -EPROTO;
	n++;
	if (error && top) { /* wait for the word it begins with */
		shown = len < 40 ? (size_t)(len > 0 ? len : 0) : 40;
		if (in.len - (size_t)n < shown)
			return 0;
	}
	here = len < 0 || in.len - (size_t)n >= (size_t)len + 2;
	if (here && len >= 0 && memcmp(in.ptr + n + len, "\r\n", 2)) {
		if (top)
			redis_response(st, error, oa_bytes(in.ptr + n, shown), sink);
		return -EPROTO;
	}
	if (OA_LIKELY(top && here))
		redis_whole_response(st, error, oa_bytes(in.ptr + n, shown), sink);
	else if (top)
		redis_response(st, error, oa_bytes(in.ptr + n, shown), sink);
	else if (here)
		redis_value_end(st, sink);
	if (here)
		return len < 0 ? n : n + (long)len + 2;
	st->st.skip = (uint32_t)len;
	st->crlf = 1;
	return n;
}

static OA_NOINLINE long redis_aggregate(struct redis_state *st, struct oa_bytes in, bool top, const struct oa_sink *sink)
{
	uint8_t type = in.ptr[0];
	int64_t count;
	long n = redis_number(in.ptr + 1, in.len - 1, &count);

	if (n <= 0)
		return n;
	if (count > REDIS_STRING_MAX / 2 || st->left > REDIS_LEFT_MAX)
		return -E2BIG;
	if (type == '>' && top && !redis_asked_last(sink)) {
		st->push = st->responded = 1;
	} else if (top && type != '|') {
		redis_response(st, false, (struct oa_bytes){ 0 }, sink);
	}
	if (count > 0)
		st->left += (uint32_t)count * (type == '%' || type == '|' ? 2 : 1);
	if (type != '|')
		redis_value_end(st, sink);
	return n + 1;
}

static inline long redis_response_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct redis_state *st = state;
	bool top;
	long n;

	if (st->in_line)
		return redis_line_rest(st, in, sink);
	if (st->crlf) {
		n = redis_crlf(in);
		if (n > 0) {
			st->crlf = 0;
			redis_value_end(st, sink);
		}
		return n;
	}
	if (!st->left)
		st->left = 1;
	top = !st->responded && st->left == 1;
	switch (in.ptr[0]) {
	case '+': case '-': case ':': case '_': case '#': case ',': case '(':
		return redis_line(st, in, top, sink);
	case '$': case '=': case '!':
		return redis_string(st, in, top, sink);
	case '*': case '%': case '~': case '|': case '>':
		return redis_aggregate(st, in, top, sink);
	case '\n': /* a master that is busy, before its answer to SYNC */
		return top ? 1 : -EPROTO;
	default:
		return -EPROTO;
	}
}

static void redis_skipped(void *state, const struct oa_sink *sink)
{
	/* The CRLF behind it is a unit of its own. */
}

static OA_HOT long redis_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return dir == OA_DIR_REQUEST ? store_feed(state, dir, in, sink, redis_request_unit, redis_skipped)
				     : store_feed(state, dir, in, sink, redis_response_unit, redis_skipped);
}

static long redis_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, redis_skipped);
}

static int redis_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	const struct redis_state *st = state;

	return store_close(&st->st, st->args || st->left || st->crlf || st->in_line);
}

/* "*3\r\n$3\r\nSET\r\n": nobody else begins like that. */
static enum oa_detect redis_detect(enum oa_dir dir, struct oa_bytes in)
{
	struct oa_bytes name = { 0 };
	int64_t argc = 1, len = 0;
	long at, n;

	if (dir != OA_DIR_REQUEST)
		return OA_DETECT_NO;
	if (!in.len)
		return OA_DETECT_MORE;
	if (in.ptr[0] != '*' || (in.len > 1 && (uint8_t)(in.ptr[1] - '1') >= 9))
		return OA_DETECT_NO;
	at = redis_number(in.ptr + 1, in.len - 1, &argc);
	if (at <= 0)
		return at ? OA_DETECT_NO : OA_DETECT_MORE;
	at++;
	n = redis_bulk(oa_bytes(in.ptr + at, in.len - (size_t)at), REDIS_NAME_MAX, &name, &len);
	if (n < 0 || len > REDIS_NAME_MAX || (n && name.len < 2))
		return OA_DETECT_NO;
	for (size_t i = 0; i < name.len; i++)
		if ((uint8_t)(oa_lower(name.ptr[i]) - 'a') >= 26 && (!i || !strchr("0123456789._-", name.ptr[i] ? name.ptr[i] : '@')))
			return OA_DETECT_NO;
	return n ? OA_DETECT_YES : OA_DETECT_MORE;
}

const struct oa_proto oa_proto_redis = {
	.name = "redis",
	.state_bytes = sizeof(struct redis_state),
	.flags = OA_PROTO_STORE | OA_PROTO_POOLED,
	.detect = redis_detect,
	.feed = redis_feed,
	.close = redis_close,
	.skip = redis_skip,
};
