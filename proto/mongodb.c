/* MongoDB: OP_MSG, and the OP_QUERY a driver says hello with. An answer names its command by number. Of a command its
 * name, collection and database are read, never its values; of a compressed one nothing but that it was there. */
#include "proto/store_frame.h"

#define MONGO_HEAD     16
#define MONGO_MSG_MAX  (48u << 20)
#define MONGO_READ_MAX 2048 /* of a message: where names and errors are looked for */

enum { OP_REPLY = 1, OP_QUERY = 2004, OP_COMPRESSED = 2012, OP_MSG = 2013 };

#define MORE_TO_COME 2u

struct mongodb_state {
	struct store_state st;
};

/* One element of a document. */
struct element {
	uint8_t type;
	struct oa_bytes name, value;
};

/* Length of a value's fixed part; what its length field says comes on top. */
static int value_size(uint8_t type, bool *ret_counted)
{
	*ret_counted = false;
	switch (type) {
	case 0x06: case 0x0a: case 0x7f: case 0xff:
		return 0;
	case 0x08:
		return 1;
	case 0x10:
		return 4;
	case 0x01: case 0x09: case 0x11: case 0x12:
		return 8;
	case 0x07:
		return 12;
	case 0x13:
		return 16;
	case 0x02: case 0x0d: case 0x0e:
		*ret_counted = true;
		return 4;
	case 0x03: case 0x04: case 0x0f: /* counts itself */
		*ret_counted = true;
		return 0;
	case 0x05:
		*ret_counted = true;
		return 5;
	default:
		return -1;
	}
}

/* The next element off `in`. returns false at the end, or when it is not all there */
static bool element_next(struct oa_bytes *in, struct element *ret)
{
	struct oa_bytes type;
	uint64_t len;
	bool counted;
	int fixed;

	if (!store_take(in, 1, &type) || !type.ptr[0] || !store_cstring(in, &ret->name))
		return false;
	ret->type = type.ptr[0];
	fixed = value_size(ret->type, &counted);
	if (fixed < 0 || (counted && in->len < 4))
		return false;
	len = (uint64_t)fixed + (counted ? store_le32(in->ptr) : 0);
	if (counted && !fixed && len < 5)
		return false;
	return len <= in->len && store_take(in, (size_t)len, &ret->value);
}

static struct oa_bytes string_of(const struct element *e)
{
	if (e->type != 0x02 || e->value.len < 5)
		return (struct oa_bytes){ 0 };
	return oa_bytes_cut(oa_bytes(e->value.ptr + 4, e->value.len - 5), OA_STORE_NAME_MAX);
}

static bool number_of(const struct element *e, double *ret)
{
	if (e->type == 0x01)
		memcpy(ret, e->value.ptr, 8);
	else if (e->type == 0x10)
		*ret = (int32_t)store_le32(e->value.ptr);
	else if (e->type == 0x08)
		*ret = e->value.ptr[0];
	else
		return false;
	return true;
}

/* A command's document: its first element is its name. */
static bool command_read(struct oa_bytes doc, struct oa_store_msg *m)
{
	struct element e;
	bool get_more;

	if (doc.len < 5)
		return false;
	doc = oa_bytes(doc.ptr + 4, doc.len - 4);
	if (!element_next(&doc, &e) || !e.name.len || e.name.len > 64)
		return false;
	m->operation = e.name;
	m->target = string_of(&e);
	get_more = oa_bytes_eq(e.name, OA_LIT("getMore"));
	while (element_next(&doc, &e)) {
		if (oa_bytes_eq(e.name, OA_LIT("$db")))
			m->ns = string_of(&e);
		else if (get_more && oa_bytes_eq(e.name, OA_LIT("collection")))
			m->target = string_of(&e);
	}
	return true;
}

/* The sections of OP_MSG: the one with the command, and how many documents come beside it when all can be seen. */
static bool sections_read(struct oa_bytes in, struct oa_store_msg *m)
{
	struct oa_bytes kind, doc, name;
	bool had = false;

	while (store_take(&in, 1, &kind) && in.len >= 4) {
		uint32_t len = store_le32(in.ptr), docs = 0;

		if (kind.ptr[0] > 1 || len < 5)
			return had;
		doc = oa_bytes_cut(in, len);
		if (kind.ptr[0] == 0) {
			had = command_read(doc, m);
		} else if (in.len >= len && store_take(&doc, 4, &name) && store_cstring(&doc, &name)) {
			while (doc.len >= 5 && store_le32(doc.ptr) >= 5 && store_le32(doc.ptr) <= doc.len) {
				uint32_t step = store_le32(doc.ptr);

				doc = oa_bytes(doc.ptr + step, doc.len - step);
				docs++;
			}
			m->batch = docs;
		}
		if (in.len < len)
			break;
		in = oa_bytes(in.ptr + len, in.len - len);
	}
	return had;
}

/* The old way to ask: "admin.$cmd" and a document. */
static bool query_read(struct oa_bytes in, struct oa_store_msg *m)
{
	struct oa_bytes fixed, collection;

	if (!store_take(&in, 4, &fixed) || !store_cstring(&in, &collection) || collection.len < 6 ||
	    memcmp(collection.ptr + collection.len - 5, ".$cmd", 5) || !store_take(&in, 8, &fixed))
		return false;
	if (!command_read(in, m))
		return false;
	m->ns = oa_bytes(collection.ptr, collection.len - 5);
	return true;
}

/* What a driver says for itself: it greets, watches servers that answer after seconds, and says who it is. */
static bool is_driver_s_own(struct oa_bytes name)
{
#define NAME(text) { sizeof(text) - 1, text }
	static const struct {
		uint8_t len;
		char name[13]; /* no pointers to relocate */
	} names[] = {
		NAME("hello"), NAME("isMaster"), NAME("ismaster"), NAME("saslStart"), NAME("saslContinue"),
		NAME("authenticate"),
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (oa_bytes_eq(name, oa_bytes(names[i].name, names[i].len)))
			return true;
	return false;
}

static int command(struct mongodb_state *st, struct oa_bytes msg, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_MONGODB, .flags = OA_STORE_BY_STREAM };
	uint32_t op = store_le32(msg.ptr + 12), flags = 0;
	bool ok;

	if (op == OP_MSG) {
		if (msg.len < MONGO_HEAD + 5)
			return -EPROTO;
		flags = store_le32(msg.ptr + MONGO_HEAD);
		ok = sections_read(oa_bytes(msg.ptr + MONGO_HEAD + 4, msg.len - MONGO_HEAD - 4), &m);
		if (!ok && !st->st.skip)
			return -EPROTO;
	} else if (op == OP_QUERY) {
		if (!query_read(oa_bytes(msg.ptr + MONGO_HEAD, msg.len - MONGO_HEAD), &m))
			return -EPROTO;
	} else if (op != OP_COMPRESSED) {
		return -EPROTO;
	}
	if (is_driver_s_own(m.operation))
		return 0;
	if (flags & MORE_TO_COME)
		m.flags |= OA_STORE_NO_REPLY;
	store_emit_last(&st->st, sink, OA_EVENT_REQUEST, store_le32(msg.ptr + 4), &m);
	return 0;
}

/* The code of the first of them: [{index: 0, code: 11000, …}, …] */
static void write_errors_read(struct oa_bytes list, struct oa_store_msg *m)
{
	struct oa_bytes doc = oa_bytes(list.ptr + 4, list.len - 4);
	struct element e;
	double number;

	m->flags |= OA_STORE_FAILED;
	if (!element_next(&doc, &e) || e.type != 0x03 || e.value.len < 5)
		return;
	doc = oa_bytes(e.value.ptr + 4, e.value.len - 4);
	while (element_next(&doc, &e))
		if (oa_bytes_eq(e.name, OA_LIT("code")) && number_of(&e, &number) && number > 0 && number < 65536)
			m->status_num = (uint16_t)number;
}

/* {ok: 0, code: 26}, or {ok: 1, writeErrors: […]} */
static void answer_read(struct oa_bytes doc, struct oa_store_msg *m)
{
	struct element e;
	double number, ok = 1;

	if (doc.len < 5)
		return;
	doc = oa_bytes(doc.ptr + 4, doc.len - 4);
	while (element_next(&doc, &e)) {
		if (oa_bytes_eq(e.name, OA_LIT("ok")) && number_of(&e, &number))
			ok = number;
		else if (oa_bytes_eq(e.name, OA_LIT("code")) && number_of(&e, &number) && number > 0 && number < 65536)
			m->status_num = (uint16_t)number;
		else if (oa_bytes_eq(e.name, OA_LIT("codeName")))
			m->status = string_of(&e);
		else if (oa_bytes_eq(e.name, OA_LIT("writeErrors")) && e.type == 0x04 && e.value.len > 5)
			write_errors_read(e.value, m);
	}
	if (ok == 0)
		m->flags |= OA_STORE_FAILED;
}

static int answer(struct mongodb_state *st, struct oa_bytes msg, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_MONGODB, .flags = OA_STORE_BY_STREAM };
	uint32_t op = store_le32(msg.ptr + 12), stream = store_le32(msg.ptr + 8);

	if (op == OP_MSG && msg.len >= MONGO_HEAD + 9 && msg.ptr[MONGO_HEAD + 4] == 0)
		answer_read(oa_bytes(msg.ptr + MONGO_HEAD + 5, msg.len - MONGO_HEAD - 5), &m);
	else if (op == OP_REPLY && msg.len >= MONGO_HEAD + 20)
		answer_read(oa_bytes(msg.ptr + MONGO_HEAD + 20, msg.len - MONGO_HEAD - 20), &m);
	else if (op != OP_COMPRESSED)
		return -EPROTO;
	store_emit_last(&st->st, sink, OA_EVENT_RESPONSE, stream, &m);
	return 0;
}

static inline long mongodb_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct mongodb_state *st = state;
	uint32_t len;
	size_t want;
	int err;

	if (in.len < MONGO_HEAD)
		return 0;
	len = store_le32(in.ptr);
	if (len < MONGO_HEAD || len > MONGO_MSG_MAX)
		return -EPROTO;
	want = len < MONGO_READ_MAX ? len : MONGO_READ_MAX;
	if (in.len < want)
		return 0;
	st->st.skip = (uint32_t)(len - want);
	err = (dir == OA_DIR_REQUEST ? command : answer)(st, oa_bytes(in.ptr, want), sink);
	return err ? err : (long)want;
}

static long mongodb_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return store_feed(state, dir, in, sink, mongodb_unit, store_done_end);
}

static long mongodb_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, store_done_end);
}

static int mongodb_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	return store_close(state, false);
}

/* A command that answers nothing, whose document is sound as far as it is there. */
static enum oa_detect mongodb_detect(enum oa_dir dir, struct oa_bytes in)
{
	struct oa_store_msg m = { 0 };
	uint32_t len, op;
	size_t want;

	if (dir != OA_DIR_REQUEST)
		return OA_DETECT_NO;
	/* The first message is a driver's greeting: short. What begins like a TLS record is one. */
	if ((in.len > 2 && in.ptr[2]) || (in.len > 3 && in.ptr[3]) || (in.len && in.len < 3 && in.ptr[0] == 0x16))
		return OA_DETECT_NO;
	if (in.len >= 4 && store_le32(in.ptr) < MONGO_HEAD + 10)
		return OA_DETECT_NO;
	for (size_t i = 8; i < in.len && i < 12; i++)
		if (in.ptr[i])
			return OA_DETECT_NO;
	if (in.len < MONGO_HEAD)
		return OA_DETECT_MORE;
	len = store_le32(in.ptr);
	op = store_le32(in.ptr + 12);
	if (op != OP_MSG && op != OP_QUERY)
		return OA_DETECT_NO;
	want = len < MONGO_READ_MAX ? len : MONGO_READ_MAX;
	if (in.len < want)
		return OA_DETECT_MORE;
	in = oa_bytes(in.ptr + MONGO_HEAD, want - MONGO_HEAD);
	if (op == OP_QUERY)
		return query_read(in, &m) ? OA_DETECT_YES : OA_DETECT_NO;
	return in.len > 9 && sections_read(oa_bytes(in.ptr + 4, in.len - 4), &m) && m.ns.len ? OA_DETECT_YES : OA_DETECT_NO;
}

const struct oa_proto oa_proto_mongodb = {
	.name = "mongodb",
	.state_bytes = sizeof(struct mongodb_state),
	.flags = OA_PROTO_STORE | OA_PROTO_CLIENT | OA_PROTO_POOLED,
	.detect = mongodb_detect,
	.feed = mongodb_feed,
	.close = mongodb_close,
	.skip = mongodb_skip,
};
