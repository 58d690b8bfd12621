/* memcached: the text protocol with its meta commands, and the binary one. Commands that are answered only when
 * something is wrong ("quiet") count as one batch with the command that ends them. Keys and values are not kept. */
#include "proto/store_frame.h"

#define MC_LINE_MAX   8192 /* a get of many keys; the server's own limit for others is 2048 */
#define MC_KEY_MAX    250
#define MC_VALUE_MAX  (1u << 30)
#define MC_HEAD       24

/* Hints of a command. */
#define HINT_BINARY   0x0100u /* with its opcode */
#define HINT_BATCH    0x0200u /* "mn" ends it, whatever came before */

struct memcached_state {
	struct store_state st;
	uint32_t rows;
	uint32_t quiet;   /* commands: of the batch so far */
	uint8_t crlf;     /* the CRLF behind a value is due */
	uint8_t request;  /* commands: END is due behind it */
	uint8_t last;     /* a value that ends the answer is passed over */
	uint8_t silent;
};

_Static_assert(sizeof(struct memcached_state) <= 32, "conn/ keeps two of them per connection");

/* No pointers: they would have to be relocated in every process that starts. */
struct name {
	uint8_t len, means;
	char text[14];
};
#define NAME(text, means) { sizeof(text) - 1, means, text }

/* What it means; 0: it is not among them. */
static uint8_t name_means(const struct name *names, size_t count, struct oa_bytes name)
{
	for (size_t i = 0; i < count; i++)
		if (oa_bytes_eq(name, oa_bytes(names[i].text, names[i].len)))
			return names[i].means;
	return 0;
}

enum sort { SORT_NONE, SORT_KEYS, SORT_STORE, SORT_ONE, SORT_META, SORT_META_STORE, SORT_META_END, SORT_ADMIN, SORT_WATCH, SORT_QUIT };

static enum sort sort_of(struct oa_bytes name)
{
	static const struct name names[] = {
		NAME("get", SORT_KEYS), NAME("gets", SORT_KEYS), NAME("set", SORT_STORE),
		NAME("add", SORT_STORE), NAME("replace", SORT_STORE), NAME("append", SORT_STORE),
		NAME("prepend", SORT_STORE), NAME("cas", SORT_STORE), NAME("gat", SORT_KEYS),
		NAME("gats", SORT_KEYS), NAME("delete", SORT_ONE), NAME("incr", SORT_ONE),
		NAME("decr", SORT_ONE), NAME("touch", SORT_ONE), NAME("mg", SORT_META),
		NAME("md", SORT_META), NAME("ma", SORT_META), NAME("me", SORT_META),
		NAME("ms", SORT_META_STORE), NAME("mn", SORT_META_END), NAME("stats", SORT_ADMIN),
		NAME("version", SORT_ADMIN), NAME("flush_all", SORT_ADMIN), NAME("verbosity", SORT_ADMIN),
		NAME("cache_memlimit", SORT_ADMIN), NAME("slabs", SORT_ADMIN), NAME("lru", SORT_ADMIN),
		NAME("lru_crawler", SORT_ADMIN), NAME("shutdown", SORT_ADMIN), NAME("watch", SORT_WATCH),
		NAME("quit", SORT_QUIT),
	};

	return (enum sort)name_means(names, sizeof(names) / sizeof(names[0]), name);
}

/* The next word of a line; empty at its end. */
static struct oa_bytes word(struct oa_bytes *line)
{
	struct oa_bytes w;

	while (line->len && line->ptr[0] == ' ')
		*line = oa_bytes(line->ptr + 1, line->len - 1);
	w = oa_bytes(line->ptr, 0);
	while (w.len < line->len && line->ptr[w.len] != ' ')
		w.len++;
	*line = oa_bytes(line->ptr + w.len, line->len - w.len);
	return w;
}

/* returns false unless it is digits of a value's size */
static bool size_of(struct oa_bytes text, uint32_t *ret)
{
	uint64_t n = 0;

	if (!text.len || text.len > 10)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if ((uint8_t)(text.ptr[i] - '0') >= 10)
			return false;
		n = n * 10 + text.ptr[i] - '0';
	}
	*ret = (uint32_t)n;
	return n <= MC_VALUE_MAX;
}

/* A line without its end. returns bytes with the end, 0 wait, -EPROTO, -E2BIG */
static long line_take(struct oa_bytes in, struct oa_bytes *ret)
{
	size_t room = in.len < MC_LINE_MAX ? in.len : MC_LINE_MAX;
	const uint8_t *nl = memchr(in.ptr, '\n', room);

	if (!nl)
		return in.len < MC_LINE_MAX ? 0 : -E2BIG;
	*ret = oa_bytes(in.ptr, (size_t)(nl - in.ptr));
	if (ret->len && ret->ptr[ret->len - 1] == '\r')
		ret->len--;
	return nl + 1 - in.ptr;
}

/* -- text commands -- */

struct line {
	struct oa_bytes name;
	enum sort sort;
	uint32_t keys;
	uint32_t value;   /* bytes of the value behind it */
	bool has_value, noreply, quiet;
};

static bool line_store(struct line *l, struct oa_bytes rest)
{
	struct oa_bytes size;

	(void)word(&rest); /* key */
	(void)word(&rest); /* flags */
	(void)word(&rest); /* expiry */
	size = word(&rest);
	l->keys = 1;
	l->has_value = true;
	if (l->name.len == 3 && l->name.ptr[0] == 'c') /* cas: a unique number */
		(void)word(&rest);
	l->noreply = oa_bytes_eq(word(&rest), OA_LIT("noreply"));
	return size_of(size, &l->value);
}

static bool line_meta(struct line *l, struct oa_bytes rest)
{
	struct oa_bytes w = word(&rest);

	if (!w.len || w.len > MC_KEY_MAX * 4 / 3 + 4)
		return false;
	l->keys = 1;
	l->has_value = l->sort == SORT_META_STORE;
	if (l->has_value && !size_of(word(&rest), &l->value))
		return false;
	while ((w = word(&rest)).len)
		l->quiet |= w.len == 1 && w.ptr[0] == 'q';
	return true;
}

static bool line_keys(struct line *l, struct oa_bytes rest)
{
	struct oa_bytes w;

	if (l->name.ptr[1] == 'a') /* gat: an expiry comes first */
		(void)word(&rest);
	for (; (w = word(&rest)).len; l->keys++)
		if (w.len > MC_KEY_MAX)
			return false;
	return l->keys > 0;
}

static void line_one(struct line *l, struct oa_bytes rest)
{
	struct oa_bytes w;

	while ((w = word(&rest)).len)
		l->noreply = oa_bytes_eq(w, OA_LIT("noreply"));
	l->keys = l->sort == SORT_ONE;
}

/* returns false when it is no command we know */
static bool line_read(struct oa_bytes text, struct line *l)
{
	*l = (struct line){ .name = word(&text) };
	l->sort = sort_of(l->name);
	switch (l->sort) {
	case SORT_NONE:
		return false;
	case SORT_KEYS:
		return line_keys(l, text);
	case SORT_STORE:
		return line_store(l, text);
	case SORT_META:
	case SORT_META_STORE:
		return line_meta(l, text);
	default:
		line_one(l, text);
		return true;
	}
}

static void command_end(struct memcached_state *st, const struct oa_sink *sink)
{
	if (st->request)
		store_emit(sink, OA_EVENT_END, 0, NULL);
	st->request = 0;
	if (st->silent)
		st->st.closed = STORE_SILENT;
}

/* returns 0 or -EPROTO */
static int text_command(struct memcached_state *st, const struct line *l, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_MEMCACHED, .operation = l->name, .args = l->keys };

	if (l->sort == SORT_QUIT)
		return 0;
	if (l->quiet) {
		st->quiet++;
		return 0;
	}
	if (st->quiet && l->sort != SORT_META_END)
		return -EPROTO; /* whose the answers are cannot be told */
	if (l->sort == SORT_META_END) {
		m.hint = HINT_BATCH;
		m.batch = st->quiet;
	}
	st->quiet = 0;
	m.flags = l->noreply ? OA_STORE_NO_REPLY : l->sort == SORT_WATCH ? OA_STORE_LAST : 0;
	st->silent = l->sort == SORT_WATCH;
	st->request = 1;
	store_emit(sink, OA_EVENT_REQUEST, 0, &m);
	return 0;
}

static long text_command_unit(struct memcached_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_bytes text;
	struct line l;
	long n = line_take(in, &text);

	if (n <= 0)
		return n;
	if (!line_read(text, &l) || text_command(st, &l, sink) < 0)
		return -EPROTO;
	st->st.skip = l.value;
	st->crlf = l.has_value;
	if (!l.has_value)
		command_end(st, sink);
	return n;
}

/* -- binary -- */

static const struct {
	char name[10]; /* no pointer: it would have to be relocated in every process that starts */
	uint8_t quiet, ext;
} opcodes[] = {
	[0x00] = { "get", 0, 0 }, [0x01] = { "set", 0, 8 }, [0x02] = { "add", 0, 8 }, [0x03] = { "replace", 0, 8 },
	[0x04] = { "delete", 0, 0 }, [0x05] = { "incr", 0, 20 }, [0x06] = { "decr", 0, 20 }, [0x07] = { "quit", 1, 0 },
	[0x08] = { "flush_all", 0, 0xff }, [0x09] = { "get", 1, 0 }, [0x0a] = { "noop", 0, 0 }, [0x0b] = { "version", 0, 0 },
	[0x0c] = { "get", 0, 0 }, [0x0d] = { "get", 1, 0 }, [0x0e] = { "append", 0, 0 }, [0x0f] = { "prepend", 0, 0 },
	[0x10] = { "stats", 0, 0 }, [0x11] = { "set", 1, 8 }, [0x12] = { "add", 1, 8 }, [0x13] = { "replace", 1, 8 },
	[0x14] = { "delete", 1, 0 }, [0x15] = { "incr", 1, 20 }, [0x16] = { "decr", 1, 20 }, [0x17] = { "quit", 1, 0 },
	[0x18] = { "flush_all", 1, 0xff }, [0x19] = { "append", 1, 0 }, [0x1a] = { "prepend", 1, 0 },
	[0x1b] = { "verbosity", 0, 4 }, [0x1c] = { "touch", 0, 4 }, [0x1d] = { "gat", 0, 4 }, [0x1e] = { "gat", 1, 4 },
	[0x20] = { "sasl_list", 0, 0 }, [0x21] = { "sasl_auth", 0, 0 }, [0x22] = { "sasl_step", 0, 0 },
	[0x23] = { "gat", 0, 4 }, [0x24] = { "gat", 1, 4 },
};

/* A head of 24 bytes that can be one. */
static bool binary_head(const uint8_t *p, uint8_t magic)
{
	uint32_t key = store_be16(p + 2), body = store_be32(p + 8);
	uint8_t op = p[1], ext = p[4];

	if (p[0] != magic || op >= sizeof(opcodes) / sizeof(opcodes[0]) || !opcodes[op].name[0] || p[5])
		return false;
	if (magic == 0x80 && ext != opcodes[op].ext && opcodes[op].ext != 0xff)
		return false;
	return key <= MC_KEY_MAX && ext <= 20 && body >= key + ext && body <= MC_VALUE_MAX;
}

static long binary_command_unit(struct memcached_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_MEMCACHED };

	if (in.len < MC_HEAD)
		return 0;
	if (!binary_head(in.ptr, 0x80))
		return -EPROTO;
	st->st.skip = store_be32(in.ptr + 8);
	if (opcodes[in.ptr[1]].quiet) {
		st->quiet += in.ptr[1] != 0x07 && in.ptr[1] != 0x17;
		return MC_HEAD;
	}
	m.operation = oa_bytes_str(opcodes[in.ptr[1]].name);
	m.hint = HINT_BINARY | in.ptr[1];
	m.args = store_be16(in.ptr + 2) > 0;
	m.batch = st->quiet ? st->quiet + (in.ptr[1] != 0x0a) : 0;
	st->quiet = 0;
	store_emit_last(&st->st, sink, OA_EVENT_REQUEST, 0, &m);
	return MC_HEAD;
}

/* -- answers -- */

static struct oa_request_note asked(const struct oa_sink *sink)
{
	return sink->request_note(sink->ctx);
}

static void answered(struct memcached_state *st, struct oa_store_msg *m, const struct oa_sink *sink)
{
	m->system = OA_STORE_MEMCACHED;
	if (st->rows) {
		m->flags |= OA_STORE_HAS_ROWS;
		m->rows = st->rows;
	}
	st->rows = 0;
	store_emit_last(&st->st, sink, OA_EVENT_RESPONSE, 0, m);
}

static long binary_answer_unit(struct memcached_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { 0 };
	struct oa_request_note note;
	unsigned status;

	if (in.len < MC_HEAD)
		return 0;
	if (!binary_head(in.ptr, 0x81))
		return -EPROTO;
	status = store_be16(in.ptr + 6);
	st->st.skip = store_be32(in.ptr + 8);
	note = asked(sink);
	if (!note.known)
		return MC_HEAD;
	if (opcodes[in.ptr[1]].name[0] == 'g' && !status)
		st->rows++;
	if (note.hint != (HINT_BINARY | in.ptr[1]) || (in.ptr[1] == 0x10 && !status && st->st.skip))
		return MC_HEAD; /* a quiet one's, or one statistic of many */
	if (status && status != 1 && status != 2 && status != 5 && status != 0x21) {
		m.flags = OA_STORE_FAILED;
		m.status_num = (uint16_t)status;
	}
	answered(st, &m, sink);
	return MC_HEAD;
}

enum said { SAID_NONE, SAID_END, SAID_ERROR, SAID_PART, SAID_VALUE, SAID_META, SAID_META_VALUE, SAID_BATCH_END };

static enum said said_of(struct oa_bytes name)
{
	static const struct name names[] = {
		NAME("VALUE", SAID_VALUE), NAME("END", SAID_END), NAME("STORED", SAID_END),
		NAME("HD", SAID_META), NAME("VA", SAID_META_VALUE), NAME("EN", SAID_META),
		NAME("DELETED", SAID_END), NAME("NOT_FOUND", SAID_END), NAME("NOT_STORED", SAID_END),
		NAME("EXISTS", SAID_END), NAME("TOUCHED", SAID_END), NAME("OK", SAID_END),
		NAME("VERSION", SAID_END), NAME("RESET", SAID_END), NAME("NF", SAID_META),
		NAME("NS", SAID_META), NAME("EX", SAID_META), NAME("ME", SAID_META),
		NAME("MN", SAID_BATCH_END), NAME("STAT", SAID_PART), NAME("ITEM", SAID_PART),
		NAME("BUSY", SAID_END), NAME("BADCLASS", SAID_END), NAME("NOSPARE", SAID_END),
		NAME("ERROR", SAID_ERROR), NAME("CLIENT_ERROR", SAID_ERROR), NAME("SERVER_ERROR", SAID_ERROR),
	};
	enum said said = (enum said)name_means(names, sizeof(names) / sizeof(names[0]), name);

	if (said)
		return said;
	if (name.len && (uint8_t)(name.ptr[0] - '0') < 10)
		return SAID_END;
	return name.len > 4 && !memcmp(name.ptr, "key=", 4) ? SAID_PART : SAID_NONE;
}

/* A value follows the line. returns 0 or -EPROTO */
static int answer_value(struct memcached_state *st, enum said said, struct oa_bytes rest, const struct oa_sink *sink)
{
	struct oa_request_note note = asked(sink);

	if (said == SAID_VALUE) {
		(void)word(&rest); /* key */
		(void)word(&rest); /* flags */
	}
	if (!size_of(word(&rest), &st->st.skip))
		return -EPROTO;
	st->crlf = 1;
	st->rows += note.known;
	st->last = said == SAID_META_VALUE && note.known && !(note.hint & HINT_BATCH);
	return 0;
}

static int answer_line(struct memcached_state *st, struct oa_bytes text, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .status = word(&text) };
	enum said said = said_of(m.status);
	struct oa_request_note note;

	if (said == SAID_NONE)
		return -EPROTO;
	if (said == SAID_VALUE || said == SAID_META_VALUE)
		return answer_value(st, said, text, sink);
	note = asked(sink);
	if (!note.known || said == SAID_PART || (note.hint & HINT_BATCH && said != SAID_BATCH_END))
		return 0;
	if (said == SAID_ERROR)
		m.flags = OA_STORE_FAILED;
	else
		m.status.len = 0;
	answered(st, &m, sink);
	return 0;
}

static long text_answer_unit(struct memcached_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_bytes text;
	long n = line_take(in, &text);

	if (n > 0 && answer_line(st, text, sink) < 0)
		return -EPROTO;
	return n;
}

static long value_end(struct memcached_state *st, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { 0 };

	if (in.ptr[0] != '\r')
		return -EPROTO;
	if (in.len < 2)
		return 0;
	if (in.ptr[1] != '\n')
		return -EPROTO;
	st->crlf = 0;
	if (dir == OA_DIR_REQUEST)
		command_end(st, sink);
	else if (st->last)
		answered(st, &m, sink);
	st->last = 0;
	return 2;
}

static inline long memcached_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct memcached_state *st = state;

	if (st->crlf)
		return value_end(st, dir, in, sink);
	if (dir == OA_DIR_REQUEST)
		return in.ptr[0] == 0x80 ? binary_command_unit(st, in, sink) : text_command_unit(st, in, sink);
	return in.ptr[0] == 0x81 ? binary_answer_unit(st, in, sink) : text_answer_unit(st, in, sink);
}

static long memcached_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return store_feed(state, dir, in, sink, memcached_unit, store_done_end);
}

static long memcached_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, store_done_end);
}

static int memcached_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	const struct memcached_state *st = state;

	return store_close(&st->st, st->crlf);
}

/* Every character a line of commands has. */
static bool is_line(struct oa_bytes in)
{
	for (size_t i = 0; i < in.len; i++)
		if (in.ptr[i] <= ' ' ? in.ptr[i] != ' ' : in.ptr[i] == 0x7f)
			return false;
	return true;
}

/* How a connection may begin: with a line that is nothing else. */
static bool opens(struct oa_bytes text)
{
	struct line l;
	struct oa_bytes rest = text;

	if (!is_line(text) || !line_read(text, &l))
		return false;
	(void)word(&rest);
	switch (l.sort) {
	case SORT_ADMIN: /* "stats" and "version" are beanstalkd's and gearmand's as well */
		return oa_bytes_eq(text, OA_LIT("flush_all")) || oa_bytes_eq(text, OA_LIT("flush_all 0"));
	case SORT_META_END:
		return text.len == 2;
	case SORT_ONE:
		return word(&rest).len > 0;
	case SORT_WATCH:
	case SORT_QUIT:
		return false;
	case SORT_KEYS: /* "get / HTTP/1.1" is somebody's idea of HTTP */
		return !memmem(text.ptr, text.len, " HTTP/", 6);
	default:
		return true;
	}
}

/* So far it may become one. */
static bool may_open(struct oa_bytes in)
{
	struct oa_bytes rest = in, name = word(&rest);

	if (!in.len || in.ptr[0] == ' ' || in.len > MC_LINE_MAX / 2)
		return !in.len;
	if (in.ptr[in.len - 1] == '\r')
		in.len--;
	if (!is_line(in))
		return false;
	if (name.len < in.len)
		return sort_of(name) != SORT_NONE;
	for (size_t i = 0; i < name.len; i++)
		if (name.len > 9 || ((uint8_t)(name.ptr[i] - 'a') >= 26 && name.ptr[i] != '_' && name.ptr[i] != '\r'))
			return false;
	return true;
}

static enum oa_detect memcached_detect(enum oa_dir dir, struct oa_bytes in)
{
	struct oa_bytes text;
	long n;

	if (dir != OA_DIR_REQUEST)
		return OA_DETECT_NO;
	if (in.len && in.ptr[0] == 0x80) {
		if (in.len >= MC_HEAD)
			return binary_head(in.ptr, 0x80) ? OA_DETECT_YES : OA_DETECT_NO;
		return in.len > 5 && in.ptr[5] ? OA_DETECT_NO : OA_DETECT_MORE;
	}
	n = in.len ? line_take(in, &text) : 0;
	if (n > 0)
		return n == (long)text.len + 2 && opens(text) ? OA_DETECT_YES : OA_DETECT_NO;
	return n == 0 && may_open(in) ? OA_DETECT_MORE : OA_DETECT_NO;
}

const struct oa_proto oa_proto_memcached = {
	.name = "memcached",
	.state_bytes = sizeof(struct memcached_state),
	.flags = OA_PROTO_STORE | OA_PROTO_POOLED,
	.detect = memcached_detect,
	.feed = memcached_feed,
	.close = memcached_close,
	.skip = memcached_skip,
};
