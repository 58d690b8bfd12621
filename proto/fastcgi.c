/* FastCGI as a web server and its application speak it: one request at a time on a connection. The parameters come as
 * NOTEs, so that none is too long; a parameter cut in two by a record's end, which nobody sends, is refused. Where a
 * trace context goes: one more PARAMS record with HTTP_TRACEPARENT before the empty one, which has a place of its own
 * in the stream and changes no length of what is there. */
#include "proto/fastcgi.h"
#include "proto/store_frame.h"

#define FCGI_HEAD      8
#define FCGI_VALUE_MAX 2048 /* what is kept of a parameter */
#define FCGI_CGI_MAX   1024 /* where the status is looked for */

enum { FCGI_BEGIN = 1, FCGI_ABORT, FCGI_END, FCGI_PARAMS, FCGI_STDIN, FCGI_STDOUT, FCGI_STDERR, FCGI_DATA,
       FCGI_GET_VALUES, FCGI_GET_VALUES_RESULT, FCGI_UNKNOWN };

struct fastcgi_state {
	struct store_state st;
	uint32_t content;  /* bytes left of the record's content */
	uint16_t id;       /* of the request that is open, 0 none */
	uint8_t type;      /* of the record, while content is left */
	uint8_t padding;
	uint8_t responded;
};

_Static_assert(sizeof(struct fastcgi_state) <= 32, "conn/ keeps two of them per connection");

static void body(const struct fastcgi_state *st, uint64_t n, const struct oa_sink *sink)
{
	struct oa_event ev = { .type = OA_EVENT_BODY, .stream = st->id, .u.body_bytes = n };

	if (n)
		sink->event(sink->ctx, &ev);
}

/* A length of one or four bytes. returns false when it is not there */
static bool length(struct oa_bytes *in, uint32_t *ret)
{
	struct oa_bytes b;

	if (!in->len)
		return false;
	if (!store_take(in, in->ptr[0] & 0x80 ? 4 : 1, &b))
		return false;
	*ret = b.len == 4 ? store_be32(b.ptr) & 0x7fffffff : b.ptr[0];
	return true;
}

static bool wanted(struct oa_bytes name)
{
#define NAME(text) { sizeof(text) - 1, text }
	static const struct {
		uint8_t len;
		char name[23]; /* no pointers to relocate */
	} names[] = {
		NAME("REQUEST_METHOD"), NAME("REQUEST_URI"), NAME("SCRIPT_NAME"), NAME("PATH_INFO"),
		NAME("QUERY_STRING"), NAME("SERVER_PROTOCOL"), NAME("REQUEST_SCHEME"), NAME("HTTPS"),
		NAME("REMOTE_ADDR"), NAME("SERVER_NAME"), NAME("SERVER_PORT"), NAME("HTTP_HOST"),
		NAME("HTTP_USER_AGENT"), NAME("HTTP_TRACEPARENT"), NAME("HTTP_TRACESTATE"), NAME("HTTP_BAGGAGE"),
		NAME("HTTP_B3"), NAME("HTTP_X_FORWARDED_FOR"), NAME("HTTP_X_FORWARDED_PROTO"),
		NAME("HTTP_X_FORWARDED_HOST"), NAME("HTTP_X_B3_TRACEID"), NAME("HTTP_X_B3_SPANID"),
		NAME("HTTP_X_B3_SAMPLED"), NAME("HTTP_X_B3_FLAGS"), NAME("HTTP_UBER_TRACE_ID"),
		NAME("HTTP_X_AMZN_TRACE_ID"), NAME("HTTP_X_REQUEST_ID"), NAME("HTTP_X_CORRELATION_ID"),
		NAME("HTTP_COOKIE"), NAME("HTTP_AUTHORIZATION"),
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (oa_bytes_eq(name, oa_bytes(names[i].name, names[i].len)))
			return true;
	return false;
}

/* One name and value. returns bytes taken, 0 wait, -EPROTO */
static long param(struct fastcgi_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_FASTCGI, .flags = OA_STORE_BY_STREAM | OA_STORE_PARAM };
	struct oa_bytes rest = oa_bytes_cut(in, st->content);
	uint32_t name_len, value_len;
	size_t head, kept;

	if (!length(&rest, &name_len) || !length(&rest, &value_len))
		return in.len < st->content ? 0 : -EPROTO;
	head = (size_t)(rest.ptr - in.ptr);
	if (name_len > st->content - head || value_len > st->content - head - name_len)
		return -EPROTO;
	if (name_len > 255) {
		st->content -= (uint32_t)head + name_len + value_len;
		st->st.skip = name_len + value_len;
		return (long)head;
	}
	kept = value_len < FCGI_VALUE_MAX ? value_len : FCGI_VALUE_MAX;
	if (!store_take(&rest, name_len, &m.operation) || !store_take(&rest, kept, &m.text))
		return 0;
	if (kept < value_len)
		m.flags |= OA_STORE_CUT;
	if (wanted(m.operation))
		store_emit(sink, OA_EVENT_NOTE, st->id, &m);
	st->content -= (uint32_t)head + name_len + value_len;
	st->st.skip = (uint32_t)(value_len - kept);
	return (long)(head + name_len + kept);
}

/* record: the empty one, in front of which there may be more of them */
static void params_end(struct fastcgi_state *st, const uint8_t *record, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_FASTCGI, .flags = OA_STORE_BY_STREAM | OA_STORE_PARAM_END };
	struct oa_event ev = { .type = OA_EVENT_NOTE, .stream = st->id, .u.store = &m, .body = record };

	sink->event(sink->ctx, &ev);
}

/* returns bytes taken with the head, 0 wait, -EPROTO */
static long begin(struct fastcgi_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_FASTCGI, .flags = OA_STORE_BY_STREAM };

	if (st->content != 8 || st->id)
		return -EPROTO; /* a second one beside it */
	if (in.len < FCGI_HEAD + 8)
		return 0;
	st->id = store_be16(in.ptr + 2);
	if (!st->id)
		return -EPROTO;
	m.hint = store_be16(in.ptr + FCGI_HEAD);
	st->content = 0;
	store_emit(sink, OA_EVENT_REQUEST, st->id, &m);
	return FCGI_HEAD + 8;
}

/* A record of the request that is open; its content is in st. */
static int request_record(struct fastcgi_state *st, const uint8_t *record, const struct oa_sink *sink)
{
	uint16_t id = store_be16(record + 2);
	uint32_t len = st->content;

	switch (record[1]) {
	case FCGI_PARAMS:
		if (id != st->id)
			return -EPROTO;
		if (!len)
			params_end(st, record, sink);
		return 0; /* the content is read */
	case FCGI_STDIN:
		if (id != st->id && st->id)
			return -EPROTO;
		body(st, len, sink);
		if (!len && st->id) {
			store_emit(sink, OA_EVENT_END, st->id, NULL);
			st->id = 0;
		}
		break;
	case FCGI_ABORT: case FCGI_DATA: case FCGI_GET_VALUES:
		break;
	default:
		return -EPROTO;
	}
	st->st.skip = len;
	st->content = 0;
	return 0;
}

/* "Status: 404 Not Found" among the first lines; 200 without. */
static uint16_t cgi_status(struct oa_bytes text)
{
	while (text.len) {
		const uint8_t *nl = memchr(text.ptr, '\n', text.len);
		struct oa_bytes line = oa_bytes(text.ptr, nl ? (size_t)(nl - text.ptr) : text.len);

		if (line.len >= 11 && oa_bytes_ieq(oa_bytes(line.ptr, 7), OA_LIT("status:"))) {
			const uint8_t *d = line.ptr + 7 + (line.ptr[7] == ' ');

			if (d[0] >= '1' && d[0] <= '9' && d[1] >= '0' && d[1] <= '9' && d[2] >= '0' && d[2] <= '9')
				return (uint16_t)((d[0] - '0') * 100 + (d[1] - '0') * 10 + d[2] - '0');
		}
		if (!nl || line.len <= 1)
			break;
		text = oa_bytes(nl + 1, text.len - line.len - 1);
	}
	return 200;
}

/* refused: END_REQUEST's protocol status, 0 it was not */
static void response(struct fastcgi_state *st, uint16_t status, uint8_t refused, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_FASTCGI, .flags = OA_STORE_BY_STREAM, .status_num = status,
				  .hint = refused };

	st->responded = 1;
	store_emit(sink, OA_EVENT_RESPONSE, st->id, &m);
}

/* returns bytes taken with the head, 0 wait, -EPROTO */
static long response_record(struct fastcgi_state *st, uint8_t type, uint16_t id, struct oa_bytes in,
			    const struct oa_sink *sink)
{
	uint32_t len = st->content, shown = 0;

	if (type != FCGI_STDOUT && type != FCGI_STDERR && type != FCGI_END && type != FCGI_GET_VALUES_RESULT &&
	    type != FCGI_UNKNOWN)
		return -EPROTO;
	if (type == FCGI_END && len != 8)
		return -EPROTO;
	if (type == FCGI_STDOUT && len && (!st->responded || id != st->id))
		shown = len < FCGI_CGI_MAX ? len : FCGI_CGI_MAX;
	if (type == FCGI_END)
		shown = 8;
	if (in.len < FCGI_HEAD + shown)
		return 0;
	if (id != st->id)
		st->responded = 0;
	st->id = id;
	if (type == FCGI_STDOUT && shown)
		response(st, cgi_status(oa_bytes(in.ptr + FCGI_HEAD, shown)), 0, sink);
	if (type == FCGI_STDOUT)
		body(st, len, sink);
	if (type == FCGI_END) {
		if (!st->responded)
			response(st, in.ptr[FCGI_HEAD + 4] ? 503 : 0, in.ptr[FCGI_HEAD + 4], sink);
		st->responded = 0;
		store_emit(sink, OA_EVENT_END, id, NULL);
	}
	st->content = 0;
	st->st.skip = len - shown;
	return FCGI_HEAD + (long)shown;
}

static inline long fastcgi_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct fastcgi_state *st = state;
	long n = FCGI_HEAD;

	if (st->content)
		return param(st, in, sink);
	if (st->padding) {
		st->st.skip = st->padding;
		st->padding = 0;
		n = st->st.skip < in.len ? (long)st->st.skip : (long)in.len;
		st->st.skip -= (uint32_t)n;
		return n;
	}
	if (in.ptr[0] != 1)
		return -EPROTO;
	if (in.len < FCGI_HEAD)
		return 0;
	st->content = store_be16(in.ptr + 4);
	if (dir == OA_DIR_RESPONSE)
		n = response_record(st, in.ptr[1], store_be16(in.ptr + 2), in, sink);
	else if (in.ptr[1] == FCGI_BEGIN)
		n = begin(st, in, sink);
	else if (request_record(st, in.ptr, sink) < 0)
		n = -EPROTO;
	if (n <= 0)
		st->content = 0;
	else
		st->padding = in.ptr[6];
	return n;
}

bool oa_fastcgi_is_between(const void *state)
{
	const struct fastcgi_state *st = state;

	return !st->content && !st->st.skip;
}

static long fastcgi_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return store_feed(state, dir, in, sink, fastcgi_unit, store_done_end);
}

static long fastcgi_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, store_done_end);
}

static int fastcgi_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	const struct fastcgi_state *st = state;

	return store_close(&st->st, st->content || (dir == OA_DIR_REQUEST ? st->id : st->responded));
}

/* A BEGIN_REQUEST with all its zeros. */
static enum oa_detect fastcgi_detect(enum oa_dir dir, struct oa_bytes in)
{
	static const uint8_t least[16] = { 1, 1, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	static const uint8_t most[16] = { 1, 1, 255, 255, 0, 8, 8, 0, 0, 3, 1, 0, 0, 0, 0, 0 };

	if (dir != OA_DIR_REQUEST)
		return OA_DETECT_NO;
	for (size_t i = 0; i < in.len && i < sizeof(least); i++)
		if (in.ptr[i] < least[i] || in.ptr[i] > most[i])
			return OA_DETECT_NO;
	if (in.len < sizeof(least))
		return OA_DETECT_MORE;
	return in.ptr[2] | in.ptr[3] ? OA_DETECT_YES : OA_DETECT_NO;
}

const struct oa_proto oa_proto_fastcgi = {
	.name = "fastcgi",
	.state_bytes = sizeof(struct fastcgi_state),
	.flags = OA_PROTO_GATEWAY,
	.detect = fastcgi_detect,
	.feed = fastcgi_feed,
	.close = fastcgi_close,
	.skip = fastcgi_skip,
};
