/* AMQP 0-9-1: methods that are answered on their channel, and messages that are published, which nothing answers, or
 * delivered. Of contents only the size is read, to know where a published message ends. */
#include "proto/amqp.h"
#include "proto/store_frame.h"

#define AMQP_HEAD     7
#define AMQP_FRAME_MAX (16u << 20)
#define AMQP_READ_MAX 600 /* of a method: its names */
#define FRAME_METHOD  1
#define FRAME_HEADER  2
#define FRAME_BODY    3
#define HEADER_READ   12 /* class, weight, size of the body */
#define FRAME_END     0xce
#define CONTENT_READ  2048 /* of a header, for the context in it */
#define CONTENT_FIXED 14   /* class, weight, size, which properties there are */

struct amqp_state {
	struct store_state st;
	uint8_t end;       /* the byte behind a frame is due */
	uint8_t message;   /* what of a published message comes next */
	uint16_t channel;  /* of that */
	uint64_t body;     /* bytes of it that are left */
};

enum { NO_MESSAGE, MESSAGE_HEAD, MESSAGE_BODY };

_Static_assert(sizeof(struct amqp_state) <= 32, "conn/ keeps two of them per connection");

enum shape { NO_NAMES, QUEUE, EXCHANGE, EXCHANGE_KEY };

struct method {
	uint8_t class, method, ok;  /* ok: the method that answers it, 0 none */
	uint8_t shape, skip;        /* bytes before its names */
	char name[22]; /* no pointer: it would have to be relocated in every process that starts */
};

/* What a client calls and a server answers. */
static const struct method calls[] = {
	{ 10, 40, 41, NO_NAMES, 0, "connection.open" }, { 10, 50, 51, NO_NAMES, 0, "connection.close" },
	{ 20, 10, 11, NO_NAMES, 0, "channel.open" }, { 20, 20, 21, NO_NAMES, 0, "channel.flow" },
	{ 20, 40, 41, NO_NAMES, 0, "channel.close" }, { 40, 10, 11, EXCHANGE, 2, "exchange.declare" },
	{ 40, 20, 21, EXCHANGE, 2, "exchange.delete" }, { 40, 30, 31, EXCHANGE, 2, "exchange.bind" },
	{ 40, 40, 51, EXCHANGE, 2, "exchange.unbind" }, { 50, 10, 11, QUEUE, 2, "queue.declare" },
	{ 50, 20, 21, QUEUE, 2, "queue.bind" }, { 50, 30, 31, QUEUE, 2, "queue.purge" }, { 50, 40, 41, QUEUE, 2, "queue.delete" },
	{ 50, 50, 51, QUEUE, 2, "queue.unbind" }, { 60, 10, 11, NO_NAMES, 0, "basic.qos" },
	{ 60, 20, 21, QUEUE, 2, "basic.consume" }, { 60, 30, 31, NO_NAMES, 0, "basic.cancel" },
	{ 60, 70, 71, QUEUE, 2, "basic.get" }, { 60, 110, 111, NO_NAMES, 0, "basic.recover" },
	{ 85, 10, 11, NO_NAMES, 0, "confirm.select" }, { 90, 10, 11, NO_NAMES, 0, "tx.select" },
	{ 90, 20, 21, NO_NAMES, 0, "tx.commit" }, { 90, 30, 31, NO_NAMES, 0, "tx.rollback" },
	{ 60, 40, 0, EXCHANGE_KEY, 2, "basic.publish" },
};

static bool short_text(struct oa_bytes *in, struct oa_bytes *ret)
{
	struct oa_bytes len;

	return store_take(in, 1, &len) && store_take(in, len.ptr[0], ret);
}

static void names_read(const struct method *m, struct oa_bytes in, struct oa_store_msg *msg, uint8_t room[OA_AMQP_ROOM])
{
	struct oa_bytes skipped, key;

	if (m->shape == NO_NAMES || !store_take(&in, m->skip, &skipped) || !short_text(&in, &msg->target))
		return;
	if (m->shape == EXCHANGE_KEY && short_text(&in, &key))
		msg->target = oa_amqp_destination(msg->target, key, room);
}

/* -- the context among the properties of a message -- */

/* Bytes of a value behind its kind. returns false when it is of none that is known */
static bool value_len(struct oa_bytes in, uint8_t kind, size_t *ret)
{
	static const char kinds[] = "tbBUusIifLldTD";
	static const uint8_t lens[] = { 1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 8, 5 };
	const char *at = kind ? strchr(kinds, kind) : NULL;

	if (at || kind == 'V') {
		*ret = at ? lens[at - kinds] : 0;
		return true;
	}
	if (!kind || !strchr("SxAF", kind) || in.len < 4)
		return false;
	*ret = 4 + (size_t)store_be32(in.ptr);
	return true;
}

/* The text of traceparent in a table; empty when there is none. */
static struct oa_bytes table_context(struct oa_bytes in)
{
	struct oa_bytes name, kind, value;
	size_t len;

	while (in.len) {
		if (!short_text(&in, &name) || !store_take(&in, 1, &kind) || !value_len(in, kind.ptr[0], &len) ||
		    !store_take(&in, len, &value))
			break;
		if (oa_bytes_eq(name, OA_LIT("traceparent")) && (kind.ptr[0] == 'S' || kind.ptr[0] == 'x'))
			return oa_bytes(value.ptr + 4, value.len - 4);
	}
	return (struct oa_bytes){ 0 };
}

static struct oa_bytes content_context(struct oa_bytes in)
{
	struct oa_bytes fixed, text, table;
	unsigned flags;

	if (!store_take(&in, CONTENT_FIXED, &fixed))
		return (struct oa_bytes){ 0 };
	flags = store_be16(fixed.ptr + 12);
	if (!(flags & 1u << 13) || flags & 1 || (flags & 1u << 15 && !short_text(&in, &text)) ||
	    (flags & 1u << 14 && !short_text(&in, &text)) || !store_take(&in, 4, &table))
		return (struct oa_bytes){ 0 };
	return table_context(oa_bytes_cut(in, store_be32(table.ptr)));
}

/* Of a message that comes, whose method is at the front: its header is the next frame.
 * returns false when not all of that is there yet; without a context *ret is empty */
static bool context_ahead(struct oa_bytes in, uint32_t len, struct oa_bytes *ret)
{
	size_t at = AMQP_HEAD + (size_t)len + 1, want;
	unsigned class = store_be16(in.ptr + AMQP_HEAD), method = store_be16(in.ptr + AMQP_HEAD + 2);

	*ret = (struct oa_bytes){ 0 };
	if (class != 60 || (method != 60 && method != 71) || len > AMQP_READ_MAX)
		return true;
	if (in.len < at + AMQP_HEAD)
		return false;
	if (in.ptr[at] != FRAME_HEADER || store_be16(in.ptr + at + 1) != store_be16(in.ptr + 1))
		return true;
	want = store_be32(in.ptr + at + 3);
	want = want < CONTENT_READ ? want : CONTENT_READ;
	if (in.len < at + AMQP_HEAD + want)
		return false;
	*ret = content_context(oa_bytes(in.ptr + at + AMQP_HEAD, want));
	return true;
}

/* A "no-wait" bit of the methods that have one is in the byte behind their names. */
static bool no_wait(const struct method *m, struct oa_bytes in)
{
	struct oa_bytes part;
	unsigned texts = 1, bit;

	switch (m->class << 8 | m->method) {
	case 40 << 8 | 10: texts = 2; bit = 4; break;
	case 40 << 8 | 20: bit = 1; break;
	case 40 << 8 | 30: case 40 << 8 | 40: texts = 3; bit = 0; break;
	case 50 << 8 | 10: bit = 4; break;
	case 50 << 8 | 20: texts = 3; bit = 0; break;
	case 50 << 8 | 30: bit = 0; break;
	case 50 << 8 | 40: bit = 2; break;
	case 60 << 8 | 20: texts = 2; bit = 3; break;
	case 60 << 8 | 30: bit = 0; break;
	case 85 << 8 | 10: texts = 0; bit = 0; break;
	default: return false;
	}
	if (m->skip && !store_take(&in, m->skip, &part))
		return false;
	while (texts--)
		if (!short_text(&in, &part))
			return false;
	return in.len && in.ptr[0] >> bit & 1;
}

/* A message whose rest comes between frames of other channels is over for us when those begin. */
static void message_ends(struct amqp_state *st, const struct oa_sink *sink)
{
	if (st->message)
		store_emit(sink, OA_EVENT_END, st->channel, NULL);
	st->message = NO_MESSAGE;
}

/* A frame of the message that is being published; `in` begins with what is read of it. */
static void message_frame(struct amqp_state *st, unsigned type, uint32_t len, struct oa_bytes in, const struct oa_sink *sink)
{
	if (type == FRAME_HEADER && st->message == MESSAGE_HEAD && in.len >= HEADER_READ) {
		st->body = store_be64(in.ptr + 4);
		st->message = MESSAGE_BODY;
	} else if (type == FRAME_BODY && st->message == MESSAGE_BODY) {
		st->body -= len < st->body ? len : st->body;
	} else {
		return;
	}
	if (st->body)
		return;
	st->message = NO_MESSAGE;
	store_end(&st->st, sink, st->channel);
}

static void call(struct amqp_state *st, uint16_t channel, unsigned class, unsigned method, struct oa_bytes args,
		 const struct oa_sink *sink)
{
	struct oa_store_msg msg = { .system = OA_STORE_AMQP, .flags = OA_STORE_BY_STREAM };
	uint8_t room[OA_AMQP_ROOM];

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct method *m = &calls[i];

		if (m->class != class || m->method != method)
			continue;
		msg.operation = oa_bytes_str(m->name);
		msg.hint = (uint16_t)(m->class << 8 | m->ok);
		names_read(m, args, &msg, room);
		if (!m->ok || no_wait(m, args))
			msg.flags |= OA_STORE_NO_REPLY;
		message_ends(st, sink);
		store_emit(sink, OA_EVENT_REQUEST, channel, &msg);
		if (m->shape == EXCHANGE_KEY) {
			st->message = MESSAGE_HEAD;
			st->channel = channel;
		} else {
			store_emit(sink, OA_EVENT_END, channel, NULL);
		}
		return;
	}
}

static void answer(struct amqp_state *st, uint16_t channel, unsigned class, unsigned method, struct oa_bytes args,
		   struct oa_bytes context, const struct oa_sink *sink)
{
	static const struct method deliver = { 60, 60, 0, EXCHANGE_KEY, 0, "basic.deliver" };
	struct oa_store_msg msg = { .system = OA_STORE_AMQP, .flags = OA_STORE_BY_STREAM, .text = context };
	struct oa_request_note note = sink->stream_note(sink->ctx, channel);
	bool closed = (class == 20 && method == 40) || (class == 10 && method == 50);
	uint8_t room[OA_AMQP_ROOM];
	struct oa_bytes tag;

	if (class == 60 && method == 60 && short_text(&args, &tag) && store_take(&args, 9, &tag)) {
		msg.operation = oa_bytes_str(deliver.name);
		names_read(&deliver, args, &msg, room);
		store_emit(sink, OA_EVENT_NOTE, channel, &msg);
		return;
	}
	if (!note.known || (!closed && note.hint != (class << 8 | method) &&
			    !(class == 60 && method == 72 && note.hint == (60 << 8 | 71))))
		return;
	if (closed) {
		msg.flags |= OA_STORE_FAILED;
		msg.status_num = args.len >= 2 ? store_be16(args.ptr) : 0;
	}
	if (class == 60 && (method == 71 || method == 72)) {
		msg.flags |= OA_STORE_HAS_ROWS;
		msg.rows = method == 71;
	}
	store_emit(sink, OA_EVENT_RESPONSE, channel, &msg);
	store_emit(sink, OA_EVENT_END, channel, NULL);
}

static void method(struct amqp_state *st, enum oa_dir dir, uint16_t channel, struct oa_bytes body, struct oa_bytes context,
		   const struct oa_sink *sink)
{
	unsigned class = store_be16(body.ptr), number = store_be16(body.ptr + 2);
	struct oa_bytes args = oa_bytes(body.ptr + 4, body.len - 4);

	if (dir == OA_DIR_REQUEST)
		call(st, channel, class, number, args, sink);
	else
		answer(st, channel, class, number, args, context, sink);
}

static size_t frame_read(unsigned type)
{
	return type == FRAME_METHOD ? AMQP_READ_MAX : type == FRAME_HEADER ? HEADER_READ : 0;
}

static inline long amqp_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	static const uint8_t hello[8] = { 'A', 'M', 'Q', 'P', 0, 0, 9, 1 };
	struct amqp_state *st = state;
	struct oa_bytes context = { 0 };
	uint32_t len;
	size_t want;

	if (st->end) {
		st->end = 0;
		return in.ptr[0] == FRAME_END ? 1 : -EPROTO;
	}
	if (!st->st.begun && dir == OA_DIR_REQUEST) {
		if (in.len < sizeof(hello))
			return 0;
		st->st.begun = 1;
		return memcmp(in.ptr, hello, sizeof(hello)) ? -EPROTO : (long)sizeof(hello);
	}
	if (in.len < AMQP_HEAD)
		return 0;
	len = store_be32(in.ptr + 3);
	if ((in.ptr[0] > 3 && in.ptr[0] != 8) || !in.ptr[0] || len > AMQP_FRAME_MAX || (in.ptr[0] == FRAME_METHOD && len < 4))
		return -EPROTO;
	want = frame_read(in.ptr[0]);
	want = len < want ? len : want;
	if (in.len < AMQP_HEAD + want)
		return 0;
	if (dir == OA_DIR_RESPONSE && in.ptr[0] == FRAME_METHOD && !context_ahead(in, len, &context))
		return 0;
	st->st.skip = (uint32_t)(len - want);
	st->end = 1;
	if (in.ptr[0] == FRAME_METHOD)
		method(st, dir, store_be16(in.ptr + 1), oa_bytes(in.ptr + AMQP_HEAD, want), context, sink);
	else if (st->message && store_be16(in.ptr + 1) == st->channel)
		message_frame(st, in.ptr[0], len, oa_bytes(in.ptr + AMQP_HEAD, want), sink);
	return (long)(AMQP_HEAD + want);
}

static long amqp_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return store_feed(state, dir, in, sink, amqp_unit, store_done_end);
}

static long amqp_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, store_done_end);
}

static int amqp_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	const struct amqp_state *st = state;

	return store_close(&st->st, st->end || st->message);
}

static enum oa_detect amqp_detect(enum oa_dir dir, struct oa_bytes in)
{
	static const uint8_t hello[8] = { 'A', 'M', 'Q', 'P', 0, 0, 9, 1 };

	if (dir != OA_DIR_REQUEST || (in.len && memcmp(in.ptr, hello, in.len < 8 ? in.len : 8)))
		return OA_DETECT_NO;
	return in.len < 8 ? OA_DETECT_MORE : OA_DETECT_YES;
}

const struct oa_proto oa_proto_amqp = {
	.name = "amqp",
	.state_bytes = sizeof(struct amqp_state),
	.flags = OA_PROTO_STORE | OA_PROTO_CLIENT,
	.detect = amqp_detect,
	.feed = amqp_feed,
	.close = amqp_close,
	.skip = amqp_skip,
};
