/* Kafka, as those who ask a broker speak it: which call, by whom, about which topic, how many messages, and what the broker
 * says has failed. An answer names its call by number. Of what is in messages only the header is read that says where one
 * was made. */
#include "proto/kafka_impl.h"

#define KAFKA_HEAD     12 /* behind it the client's name; its length is in the last two of them and two more */
#define KAFKA_MSG_MAX  (1u << 30)
#define VERSION_MAX    60 /* the highest of each is not known for ever; this is far above all */
#define API_MAX        200
#define NEVER          0xff
#define MEMBER_ID      79 /* how a group says that a new member is to ask again, with the name it was given */

enum {
	API_PRODUCE = 0, API_FETCH = 1, API_METADATA = 3, API_OFFSET_COMMIT = 8, API_OFFSET_FETCH = 9,
	API_FIND_COORDINATOR = 10, API_JOIN_GROUP = 11, API_HEARTBEAT = 12, API_LEAVE_GROUP = 13, API_SYNC_GROUP = 14,
	API_SASL_HANDSHAKE = 17, API_VERSIONS = 18, API_INIT_PRODUCER = 22, API_ADD_OFFSETS = 25, API_END_TXN = 26,
	API_TXN_OFFSET_COMMIT = 28, API_SASL_AUTHENTICATE = 36, API_GROUP_HEARTBEAT = 68,
};

/* No pointers: they would have to be relocated in every process that starts. */
static const char apis[][32] = {
#define OA_KAFKA_API(name) #name,
#include "proto/kafka_apis.def"
#undef OA_KAFKA_API
};
#define API_COUNT (sizeof(apis) / sizeof(apis[0]))

#define READ_GROUP   0x01u /* the call begins with the group it is about */
#define READ_ERROR   0x02u /* the answer begins with its error */
#define READ_QUIET   0x04u /* unless it fails, it says no more than that somebody is there */

/* Calls whose inside is read. flexible, throttle: from which version on the layout is, and the answer begins with a delay;
 * last: versions above are not known, and not read. */
struct api {
	uint8_t number, last, flexible, throttle, flags, shape;
};

static const struct api known[] = {
	{ API_PRODUCE, 13, 9, NEVER, 0, KAFKA_PRODUCED },
	{ API_FETCH, 18, 12, 1, 0, KAFKA_FETCHED },
	{ API_METADATA, 13, 9, 3, 0, KAFKA_TOPICS },
	{ API_OFFSET_COMMIT, 10, 8, 3, READ_GROUP, KAFKA_COMMITTED },
	{ API_OFFSET_FETCH, 7, 6, 3, READ_GROUP, KAFKA_NONE },
	{ API_FIND_COORDINATOR, 3, 3, 1, READ_ERROR, KAFKA_NONE },
	{ API_JOIN_GROUP, 9, 6, 2, READ_GROUP | READ_ERROR, KAFKA_NONE },
	{ API_HEARTBEAT, 4, 4, 1, READ_GROUP | READ_ERROR | READ_QUIET, KAFKA_NONE },
	{ API_LEAVE_GROUP, 5, 4, 1, READ_GROUP | READ_ERROR, KAFKA_NONE },
	{ API_SYNC_GROUP, 5, 4, 1, READ_GROUP | READ_ERROR, KAFKA_NONE },
	{ API_SASL_HANDSHAKE, 1, NEVER, NEVER, READ_ERROR, KAFKA_NONE },
	{ API_VERSIONS, 4, NEVER, NEVER, READ_ERROR, KAFKA_NONE }, /* its answer must be understood before anything is agreed */
	{ API_INIT_PRODUCER, 6, 2, 0, READ_ERROR, KAFKA_NONE },
	{ API_ADD_OFFSETS, 4, 3, 0, READ_ERROR, KAFKA_NONE },
	{ API_END_TXN, 5, 3, 0, READ_ERROR, KAFKA_NONE },
	{ API_TXN_OFFSET_COMMIT, 5, 3, 0, 0, KAFKA_COMMITTED },
	{ API_SASL_AUTHENTICATE, 2, 2, NEVER, READ_ERROR, KAFKA_NONE },
	{ API_GROUP_HEARTBEAT, 1, 0, 0, READ_GROUP | READ_ERROR | READ_QUIET, KAFKA_NONE },
};

static const struct api *api_of(unsigned number, unsigned version)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].number == number)
			return version <= known[i].last ? &known[i] : NULL;
	return NULL;
}

static bool printable(struct oa_bytes text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < ' ' || text.ptr[i] >= 0x7f)
			return false;
	return true;
}

/* What a call or an answer began with was read; `walked_to`: up to there, and the rest is walked through; NULL: nothing of it is.
 * returns bytes taken */
static long unit_taken(struct kafka_state *st, struct oa_bytes in, const uint8_t *walked_to, const struct oa_sink *sink)
{
	long taken = walked_to ? walked_to - in.ptr : (long)in.len;

	st->left -= (uint32_t)taken;
	if (walked_to)
		kafka_settle(st, sink);
	else
		kafka_rest(st, sink);
	return taken;
}

/* -- calls -- */

static void walk_begin(struct kafka_state *st, enum kafka_shape shape, unsigned version, bool flexible)
{
	st->shape = shape & 7;
	st->version = version & 31;
	st->flags = flexible ? KAFKA_FLEXIBLE : 0;
	st->walk = WALK_TOPIC;
	st->topics = 0;
	st->count = 0;
	st->inner = st->batch = 0;
}

/* Up to its topics. */
static void produce_read(struct kafka_state *st, struct kafka_cursor *c, unsigned version, struct oa_store_msg *m)
{
	uint32_t topics;
	unsigned acks;

	if (version >= 3)
		(void)kafka_text(c);
	acks = kafka_16(c);
	(void)kafka_32(c);
	topics = kafka_count(c);
	if (c->bad)
		return;
	c->bad = topics > UINT16_MAX;
	if (!acks)
		m->flags |= OA_STORE_NO_REPLY;
	walk_begin(st, KAFKA_PRODUCE, version, c->compact);
	st->flags |= version >= 13 ? KAFKA_BY_ID : 0;
	st->topics = (uint16_t)topics;
}

/* Whose offsets, and of which topic when it is one. What is not all there is left out. */
static void commit_read(struct kafka_cursor c, unsigned version, struct oa_store_msg *m)
{
	struct oa_bytes topic;

	if (version >= 1) {
		(void)kafka_32(&c);
		(void)kafka_text(&c);
	}
	if (version >= 7)
		(void)kafka_text(&c);
	if (version >= 2 && version <= 4)
		(void)kafka_take(&c, 8);
	if (version >= 10 || kafka_count(&c) != 1)
		return;
	topic = kafka_text(&c);
	if (!c.bad)
		m->target = oa_bytes_cut(topic, OA_STORE_NAME_MAX);
}

/* What of the call's inside is read. returns whether it is walked through */
static bool inside_read(struct kafka_state *st, const struct api *api, struct kafka_cursor *c, unsigned version,
			struct oa_store_msg *m)
{
	c->compact = version >= api->flexible;
	kafka_tags(c);
	if (api->number == API_PRODUCE) {
		produce_read(st, c, version, m);
		return true;
	}
	if (!(api->flags & READ_GROUP))
		return false;
	m->ns = kafka_text(c);
	m->ns = c->bad || !printable(m->ns) ? (struct oa_bytes){ 0 } : oa_bytes_cut(m->ns, OA_STORE_NAME_MAX);
	if (api->number == API_OFFSET_COMMIT)
		commit_read(*c, version, m);
	return false;
}

static long call(struct kafka_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM };
	struct kafka_cursor c = { .at = in.ptr + KAFKA_HEAD, .end = in.ptr + in.len };
	unsigned number, version;
	const struct api *api;
	bool walked;

	if (in.len < KAFKA_HEAD + 2)
		return -EPROTO;
	number = store_be16(in.ptr + 4);
	version = store_be16(in.ptr + 6);
	m.user = kafka_text(&c);
	if (c.bad || number > API_MAX || version > VERSION_MAX || !printable(m.user) || m.user.len > OA_STORE_NAME_MAX)
		return -EPROTO;
	st->st.stream = store_be32(in.ptr + 8);
	m.operation = number < API_COUNT ? oa_bytes_str(apis[number]) : OA_LIT("_OTHER");
	m.hint = (uint16_t)(number << 8 | version);
	api = api_of(number, version);
	if (number == API_FETCH || (api && api->flags & READ_QUIET))
		m.flags |= OA_STORE_QUIET;
	walked = api && inside_read(st, api, &c, version, &m);
	if (walked && c.bad)
		return -EPROTO;
	store_emit(sink, OA_EVENT_REQUEST, st->st.stream, &m);
	return unit_taken(st, in, walked ? c.at : NULL, sink);
}

/* -- answers -- */

/* Up to what is walked through. returns whether there is such */
static bool outside_read(struct kafka_state *st, const struct api *api, struct kafka_cursor *c, unsigned version)
{
	uint32_t n;

	if (api->shape == KAFKA_NONE || (api->shape == KAFKA_TOPICS && version < 10) || c->bad)
		return false; /* metadata: nobody names topics by number then */
	walk_begin(st, (enum kafka_shape)api->shape, version, version >= api->flexible);
	n = kafka_count(c);
	if (api->shape == KAFKA_TOPICS) {
		c->bad |= n > UINT16_MAX;
		st->count = (uint16_t)n;
		st->walk = WALK_BROKER;
		return true;
	}
	c->bad |= n > UINT16_MAX;
	st->topics = (uint16_t)n;
	st->flags |= version >= (api->shape == KAFKA_COMMITTED ? 10 : 13) ? KAFKA_BY_ID : 0;
	return true;
}

static long answer(struct kafka_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM };
	struct kafka_cursor c = { .at = in.ptr + 8, .end = in.ptr + in.len };
	struct oa_request_note note;
	unsigned version, code = 0;
	const struct api *api;
	bool walked = false;

	st->st.stream = store_be32(in.ptr + 4);
	note = sink->stream_note(sink->ctx, st->st.stream);
	version = note.hint & 0xff;
	api = note.known ? api_of(note.hint >> 8, version) : NULL;
	st->flags = st->shape = 0;
	if (api) {
		c.compact = version >= api->flexible;
		kafka_tags(&c);
		if (version >= api->throttle)
			(void)kafka_32(&c);
		if (api->flags & READ_ERROR || (api->number == API_FETCH && version >= 7))
			code = kafka_16(&c);
		if (api->number == API_JOIN_GROUP && code == MEMBER_ID)
			code = 0;
		if (api->number == API_FETCH && version >= 7)
			(void)kafka_32(&c);
		walked = outside_read(st, api, &c, version);
	}
	if (walked && c.bad)
		return -EPROTO;
	if (api && !c.bad && !code && api->flags & READ_QUIET)
		m.flags |= OA_STORE_QUIET;
	store_emit(sink, OA_EVENT_RESPONSE, st->st.stream, &m);
	if (!c.bad)
		kafka_fail(st, code, sink);
	return unit_taken(st, in, walked ? c.at : NULL, sink);
}

/* -- */

static inline long kafka_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct kafka_state *st = state;
	uint32_t len;
	size_t want;

	if (st->walk != WALK_HEAD)
		return kafka_walk(st, in, sink);
	if (in.len < 4)
		return 0;
	len = store_be32(in.ptr);
	if (len < 4 || len > KAFKA_MSG_MAX)
		return -EPROTO;
	want = 4 + (len < KAFKA_UNIT_MAX ? len : KAFKA_UNIT_MAX);
	if (in.len < want)
		return 0;
	st->left = len + 4;
	st->st.looks = KAFKA_LOOKS;
	return (dir == OA_DIR_REQUEST ? call : answer)(st, oa_bytes(in.ptr, want), sink);
}

static long kafka_feed(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	return store_feed(state, dir, in, sink, kafka_unit, store_done_end);
}

static long kafka_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink)
{
	return store_unseen(state, n, sink, store_done_end);
}

static int kafka_close(void *state, enum oa_dir dir, const struct oa_sink *sink)
{
	const struct kafka_state *st = state;

	return store_close(&st->st, st->walk != WALK_HEAD);
}

/* Whoever speaks to a broker asks first which versions it has: a short message without surprises. */
static enum oa_detect kafka_detect(enum oa_dir dir, struct oa_bytes in)
{
	struct kafka_cursor c = { .at = in.ptr + KAFKA_HEAD };
	struct oa_bytes client, name;
	unsigned version;
	uint32_t len;

	if (dir != OA_DIR_REQUEST || (in.len && in.ptr[0]) || (in.len > 1 && in.ptr[1]) || (in.len > 2 && in.ptr[2] > 2))
		return OA_DETECT_NO;
	if (in.len < KAFKA_HEAD + 2)
		return in.len > 5 && (in.ptr[4] || in.ptr[5] != API_VERSIONS) ? OA_DETECT_NO : OA_DETECT_MORE;
	len = store_be32(in.ptr);
	version = store_be16(in.ptr + 6);
	if (store_be16(in.ptr + 4) != API_VERSIONS || version > 9 || len < 10 || len > 700 || in.ptr[8])
		return OA_DETECT_NO;
	if (in.len < len + 4)
		return OA_DETECT_MORE;
	c.end = in.ptr + 4 + len;
	client = kafka_text(&c);
	if (c.bad || !printable(client) || client.len > OA_STORE_NAME_MAX)
		return OA_DETECT_NO;
	if (version < 3)
		return c.at == c.end ? OA_DETECT_YES : OA_DETECT_NO;
	c.compact = true;
	kafka_tags(&c);
	name = kafka_text(&c);
	(void)kafka_text(&c);
	kafka_tags(&c);
	return !c.bad && c.at == c.end && name.len && printable(name) ? OA_DETECT_YES : OA_DETECT_NO;
}

const struct oa_proto oa_proto_kafka = {
	.name = "kafka",
	.state_bytes = sizeof(struct kafka_state),
	.flags = OA_PROTO_STORE | OA_PROTO_CLIENT,
	.detect = kafka_detect,
	.feed = kafka_feed,
	.close = kafka_close,
	.skip = kafka_skip,
};
