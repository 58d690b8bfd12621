/* Kafka's long messages, one structure at a time: topics, in them partitions, in these batches of records. The head of a batch
 * says how many messages it holds, compressed or not. Of the first records of a message that are not compressed the headers
 * are read, for the one that says where a record was made; keys and values are passed over. */
#include "proto/kafka_impl.h"

#define BATCH_HEAD    61
#define BATCH_LENGTH  12 /* the bytes up to the end of the field that says how many follow */
#define BATCH_CONTROL 0x20
#define BATCH_PACKED  0x07
#define TOPIC_ID      16

void kafka_fail(struct kafka_state *st, unsigned code, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM | OA_STORE_FAILED,
				  .status_num = (uint16_t)code };

	if (!code || st->flags & KAFKA_FAILED)
		return;
	st->flags |= KAFKA_FAILED;
	store_emit(sink, OA_EVENT_RESPONSE, st->st.stream, &m);
}

void kafka_rest(struct kafka_state *st, const struct oa_sink *sink)
{
	struct oa_store_msg quiet = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM | OA_STORE_QUIET };

	if (st->shape == KAFKA_FETCHED && !(st->flags & (KAFKA_FAILED | KAFKA_CONTENT)))
		store_emit(sink, OA_EVENT_RESPONSE, st->st.stream, &quiet);
	st->walk = WALK_HEAD;
	st->st.skip += st->left; /* behind what is passed over already */
	st->left = 0;
	store_end(&st->st, sink, st->st.stream);
}

void kafka_settle(struct kafka_state *st, const struct oa_sink *sink)
{
	bool flexible = st->flags & KAFKA_FLEXIBLE;

	for (;;) {
		if (st->walk == WALK_BROKER && !st->count)
			st->walk = WALK_MIDDLE;
		else if (st->walk == WALK_ABORTED && !st->inner)
			st->walk = WALK_LENGTH;
		else if (st->walk == WALK_RECORDS && !st->inner)
			st->walk = WALK_PART_END;
		else if (st->walk == WALK_PART_END && !flexible) {
			st->walk = WALK_PART;
			st->count--;
		} else if (st->walk == WALK_PART && !st->count)
			st->walk = WALK_TOPIC_END;
		else if (st->walk == WALK_TOPIC_END && !flexible) {
			st->walk = WALK_TOPIC;
			st->topics--;
		} else if (st->walk == WALK_TOPIC && !st->topics) {
			kafka_rest(st, sink);
			return;
		} else {
			return;
		}
	}
}

static void part_tell(const struct kafka_state *st, const struct oa_store_msg *m, const struct oa_sink *sink)
{
	store_emit(sink, OA_EVENT_NOTE, st->st.stream, m);
}

/* -- one structure each -- */

static void broker(struct kafka_state *st, struct kafka_cursor *c)
{
	(void)kafka_32(c);
	(void)kafka_text(c);
	(void)kafka_32(c);
	(void)kafka_text(c);
	kafka_tags(c);
	st->count = (uint16_t)(st->count - !c->bad);
}

static void middle(struct kafka_state *st, struct kafka_cursor *c)
{
	uint32_t topics;

	(void)kafka_text(c);
	(void)kafka_32(c);
	topics = kafka_count(c);
	c->bad |= topics > UINT16_MAX;
	if (c->bad)
		return;
	st->topics = (uint16_t)topics;
	st->walk = WALK_TOPIC;
}

static void topic(struct kafka_state *st, struct kafka_cursor *c, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM | OA_STORE_PART };
	const uint8_t *id = NULL;
	uint32_t count;

	if (st->shape == KAFKA_TOPICS) {
		(void)kafka_16(c);
		m.target = kafka_text(c);
		id = kafka_take(c, TOPIC_ID);
		(void)kafka_take(c, 1);
		m.flags = OA_STORE_NAMED;
	} else if (st->flags & KAFKA_BY_ID) {
		id = kafka_take(c, TOPIC_ID);
	} else {
		m.target = kafka_text(c);
	}
	count = kafka_count(c);
	c->bad |= count > UINT16_MAX;
	if (c->bad)
		return;
	st->count = (uint16_t)count;
	st->walk = WALK_PART;
	m.target = oa_bytes_cut(m.target, OA_STORE_NAME_MAX);
	m.ns = id ? oa_bytes(id, TOPIC_ID) : (struct oa_bytes){ 0 };
	if (st->shape == KAFKA_PRODUCE || st->shape == KAFKA_FETCHED || (st->shape == KAFKA_TOPICS && m.target.len))
		part_tell(st, &m, sink);
}

static void part_numbered(struct kafka_state *st, struct kafka_cursor *c)
{
	uint32_t part = kafka_32(c);

	st->part = (uint16_t)(part < KAFKA_PART_UNKNOWN ? part : KAFKA_PART_UNKNOWN);
}

/* returns false when the rest need not be read */
static bool part_produced(struct kafka_state *st, struct kafka_cursor *c, const struct oa_sink *sink)
{
	unsigned code;
	uint32_t records;

	(void)kafka_32(c);
	code = kafka_16(c);
	(void)kafka_take(c, 8u + (st->version >= 2 ? 8 : 0) + (st->version >= 5 ? 8 : 0));
	records = st->version >= 8 ? kafka_count(c) : 0;
	if (c->bad)
		return true;
	kafka_fail(st, code, sink);
	st->walk = st->version >= 8 ? WALK_MESSAGE : WALK_PART_END;
	return !code && !records;
}

static void part_fetched(struct kafka_state *st, struct kafka_cursor *c, const struct oa_sink *sink)
{
	unsigned code;
	uint32_t aborted;

	part_numbered(st, c);
	code = kafka_16(c);
	(void)kafka_take(c, 8u + (st->version >= 4 ? 8 : 0) + (st->version >= 5 ? 8 : 0));
	aborted = st->version >= 4 ? kafka_count(c) : 0;
	if (c->bad)
		return;
	if (code && !(st->flags & KAFKA_FAILED)) {
		struct oa_store_msg m = { .system = OA_STORE_KAFKA, .ns_num = st->part,
					  .flags = OA_STORE_BY_STREAM | OA_STORE_PART | OA_STORE_HAS_ROWS |
						   (st->part != KAFKA_PART_UNKNOWN ? OA_STORE_HAS_NS : 0) };

		part_tell(st, &m, sink);
	}
	kafka_fail(st, code, sink);
	st->inner = aborted;
	st->walk = WALK_ABORTED;
}

static void part_topics(struct kafka_state *st, struct kafka_cursor *c)
{
	(void)kafka_take(c, 14);
	for (unsigned list = 0; list < 3; list++) {
		uint32_t n = kafka_count(c);

		c->bad |= n > KAFKA_UNIT_MAX;
		(void)kafka_take(c, 4 * (size_t)n);
	}
	st->walk = c->bad ? st->walk : WALK_PART_END;
}

static void records_begin(struct kafka_state *st, struct kafka_cursor *c)
{
	uint32_t bytes = kafka_count(c);

	if (c->bad)
		return;
	st->inner = bytes;
	st->walk = WALK_RECORDS;
}

/* returns false when the rest need not be read */
static bool part(struct kafka_state *st, struct kafka_cursor *c, const struct oa_sink *sink)
{
	unsigned code;

	switch (st->shape) {
	case KAFKA_PRODUCE:
		part_numbered(st, c);
		records_begin(st, c);
		return true;
	case KAFKA_PRODUCED:
		return part_produced(st, c, sink);
	case KAFKA_FETCHED:
		part_fetched(st, c, sink);
		return true;
	case KAFKA_TOPICS:
		part_topics(st, c);
		return true;
	default:
		(void)kafka_32(c);
		code = kafka_16(c);
		if (c->bad)
			return true;
		kafka_fail(st, code, sink);
		st->walk = WALK_PART_END;
		return true;
	}
}

static void content(struct kafka_state *st, uint32_t messages, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .rows = messages, .ns_num = st->part,
				  .flags = OA_STORE_BY_STREAM | OA_STORE_PART | OA_STORE_HAS_ROWS |
					   (st->part != KAFKA_PART_UNKNOWN ? OA_STORE_HAS_NS : 0) };

	st->flags |= KAFKA_CONTENT;
	part_tell(st, &m, sink);
}

/* Nothing more of this batch is looked at. */
static void batch_rest(struct kafka_state *st)
{
	st->st.skip += st->batch;
	st->batch = 0;
	st->walk = WALK_RECORDS;
}

/* A batch; what of it is not whole is the beginning of one that did not fit. Formats older than the second do not say how
 * many messages they hold. */
static void batch(struct kafka_state *st, struct kafka_cursor *c, const struct oa_sink *sink)
{
	const uint8_t *head = kafka_take(c, st->inner < BATCH_HEAD ? st->inner : BATCH_HEAD);
	bool readable = false;
	uint32_t bytes;

	if (!head)
		return;
	if (st->inner < BATCH_HEAD) {
		if (st->shape == KAFKA_PRODUCE)
			content(st, 0, sink);
		st->inner = 0;
		return;
	}
	bytes = store_be32(head + 8);
	if (head[16] != 2) {
		content(st, 0, sink);
		bytes = UINT32_MAX;
	} else if (bytes < BATCH_HEAD - BATCH_LENGTH) {
		c->bad = true;
		return;
	} else if (bytes <= st->inner - BATCH_LENGTH && !(store_be16(head + 21) & BATCH_CONTROL)) {
		content(st, store_be32(head + 57), sink);
		readable = st->st.looks && !(store_be16(head + 21) & BATCH_PACKED) && bytes > BATCH_HEAD - BATCH_LENGTH;
	}
	bytes = bytes < st->inner - BATCH_LENGTH ? bytes + BATCH_LENGTH : st->inner;
	st->inner -= bytes;
	st->batch = bytes - BATCH_HEAD;
	if (readable)
		st->walk = WALK_RECORD;
	else
		batch_rest(st);
}

/* returns false when it is longer than what is read of one, or none */
static bool record(struct kafka_state *st, struct kafka_cursor *c)
{
	const uint8_t *from = c->at;
	int64_t value;

	(void)kafka_signed(c); /* its length */
	(void)kafka_take(c, 1);
	(void)kafka_signed(c);
	(void)kafka_signed(c);
	(void)kafka_record_text(c);
	value = kafka_signed(c);
	value = value < 0 ? 0 : value;
	if (c->bad || value >= (int64_t)(st->batch - (size_t)(c->at - from)))
		return false;
	st->st.skip = (uint32_t)value;
	st->batch -= (uint32_t)(c->at - from) + st->st.skip;
	st->walk = WALK_HEADERS;
	return true;
}

/* Where a message says that it was made; the last that does so counts. */
static bool headers(struct kafka_state *st, struct kafka_cursor *c, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM | OA_STORE_PART };
	const uint8_t *from = c->at;
	int64_t count = kafka_signed(c);

	for (int64_t i = 0; i < count && !c->bad; i++) {
		struct oa_bytes name = kafka_record_text(c), value = kafka_record_text(c);

		if (oa_bytes_eq(name, OA_LIT("traceparent")))
			m.text = value;
	}
	if (c->bad)
		return false;
	st->batch -= (uint32_t)(c->at - from);
	st->st.looks--;
	if (m.text.len)
		part_tell(st, &m, sink);
	if (st->batch && st->st.looks)
		st->walk = WALK_RECORD;
	else
		batch_rest(st);
	return true;
}

/* What cannot be read of a record is no surprise: it may be long. Then the rest of its batch is passed over. */
static long in_batch(struct kafka_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	size_t window = st->batch < KAFKA_UNIT_MAX ? st->batch : KAFKA_UNIT_MAX, have = in.len < window ? in.len : window;
	struct kafka_cursor c = { .at = in.ptr, .end = in.ptr + have };
	uint32_t all = st->batch;

	if (!(st->walk == WALK_RECORD ? record(st, &c) : headers(st, &c, sink))) {
		if (have < window)
			return 0;
		st->batch--;
		batch_rest(st);
		c.at = in.ptr + 1;
	}
	st->left -= all - st->batch;
	kafka_settle(st, sink);
	return c.at - in.ptr;
}

/* Passes over a text of any length. */
static void message(struct kafka_state *st, struct kafka_cursor *c)
{
	uint32_t len = kafka_text_len(c);

	if (c->bad)
		return;
	st->st.skip = len;
	st->walk = WALK_PART_END;
}

static void ends(struct kafka_state *st, struct kafka_cursor *c)
{
	bool of_topic = st->walk == WALK_TOPIC_END;

	if (of_topic && st->shape == KAFKA_TOPICS)
		(void)kafka_32(c);
	kafka_tags(c);
	if (c->bad)
		return;
	st->walk = of_topic ? WALK_TOPIC : WALK_PART;
	st->topics = (uint16_t)(st->topics - of_topic);
	st->count = (uint16_t)(st->count - !of_topic);
}

/* returns false when the rest need not be read */
static bool structure(struct kafka_state *st, struct kafka_cursor *c, const struct oa_sink *sink)
{
	switch (st->walk) {
	case WALK_BROKER: broker(st, c); return true;
	case WALK_MIDDLE: middle(st, c); return true;
	case WALK_TOPIC: topic(st, c, sink); return true;
	case WALK_PART: return part(st, c, sink);
	case WALK_ABORTED:
		(void)kafka_take(c, 16);
		kafka_tags(c);
		st->inner -= !c->bad;
		return true;
	case WALK_LENGTH:
		(void)kafka_take(c, st->version >= 11 ? 4 : 0);
		records_begin(st, c);
		return true;
	case WALK_MESSAGE: message(st, c); return true;
	case WALK_RECORDS: batch(st, c, sink); return true;
	default: ends(st, c); return true;
	}
}

long kafka_walk(struct kafka_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	size_t window = st->left < KAFKA_UNIT_MAX ? st->left : KAFKA_UNIT_MAX, have = in.len < window ? in.len : window;
	struct kafka_cursor c = { .at = in.ptr, .end = in.ptr + have, .compact = st->flags & KAFKA_FLEXIBLE };
	size_t taken;
	bool go_on;

	if (st->walk == WALK_RECORD || st->walk == WALK_HEADERS)
		return in_batch(st, in, sink);
	go_on = structure(st, &c, sink);
	taken = (size_t)(c.at - in.ptr);
	if (c.bad)
		return have < window ? 0 : -EPROTO;
	if ((uint64_t)st->st.skip + st->batch > st->left - taken || st->inner > st->left)
		return -EPROTO;
	st->left -= (uint32_t)taken + st->st.skip;
	if (go_on)
		kafka_settle(st, sink);
	else
		kafka_rest(st, sink);
	return (long)taken;
}
