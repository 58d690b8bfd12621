/* Kafka: which call, by whom, and for produce and fetch about which topic. An answer names its call by number. Records
 * are passed over unread. */
#include "proto/store_frame.h"

#define KAFKA_HEAD     12        /* behind it the client's name; its length is in the last two */
#define KAFKA_MSG_MAX  (100u << 20)
#define KAFKA_READ_MAX 1024
#define API_PRODUCE    0
#define API_FETCH      1
#define API_VERSIONS   18
#define API_SASL       17

struct kafka_state {
	struct store_state st;
};

static const char *const apis[] = {
	"Produce", "Fetch", "ListOffsets", "Metadata", "LeaderAndIsr", "StopReplica", "UpdateMetadata", "ControlledShutdown",
	"OffsetCommit", "OffsetFetch", "FindCoordinator", "JoinGroup", "Heartbeat", "LeaveGroup", "SyncGroup",
	"DescribeGroups", "ListGroups", "SaslHandshake", "ApiVersions", "CreateTopics", "DeleteTopics", "DeleteRecords",
	"InitProducerId", "OffsetForLeaderEpoch", "AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn", "WriteTxnMarkers",
	"TxnOffsetCommit", "DescribeAcls", "CreateAcls", "DeleteAcls", "DescribeConfigs", "AlterConfigs",
	"AlterReplicaLogDirs", "DescribeLogDirs", "SaslAuthenticate", "CreatePartitions", "CreateDelegationToken",
	"RenewDelegationToken", "ExpireDelegationToken", "DescribeDelegationToken", "DeleteGroups", "ElectLeaders",
	"IncrementalAlterConfigs", "AlterPartitionReassignments", "ListPartitionReassignments", "OffsetDelete",
	"DescribeClientQuotas", "AlterClientQuotas", "DescribeUserScramCredentials", "AlterUserScramCredentials",
};
#define API_COUNT (sizeof(apis) / sizeof(apis[0]))

/* The highest version of each is not known for ever; this is far above all. */
#define VERSION_MAX 40

/* A number of seven bits a byte. returns false when it is not there */
static bool varint(struct oa_bytes *in, uint32_t *ret)
{
	struct oa_bytes b;

	*ret = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (!store_take(in, 1, &b))
			return false;
		*ret |= (uint32_t)(b.ptr[0] & 0x7f) << shift;
		if (!(b.ptr[0] & 0x80))
			return true;
	}
	return false;
}

/* A text, or none; with two bytes of length or, when compact, its length and one. */
static bool text_take(struct oa_bytes *in, bool compact, struct oa_bytes *ret)
{
	struct oa_bytes b;
	uint32_t len;

	*ret = (struct oa_bytes){ 0 };
	if (compact) {
		if (!varint(in, &len))
			return false;
		return !len || store_take(in, len - 1, ret);
	}
	if (!store_take(in, 2, &b))
		return false;
	len = store_be16(b.ptr);
	return len == 0xffff || store_take(in, len, ret);
}

static bool count_take(struct oa_bytes *in, bool compact, uint32_t *ret)
{
	struct oa_bytes b;

	if (!compact) {
		if (!store_take(in, 4, &b))
			return false;
		*ret = store_be32(b.ptr);
		return true;
	}
	if (!varint(in, ret))
		return false;
	*ret -= *ret > 0;
	return true;
}

/* The one topic of a produce; none when there are several. */
static void produce_read(struct oa_bytes in, unsigned version, struct oa_store_msg *m)
{
	bool compact = version >= 9;
	struct oa_bytes skipped, topic;
	uint32_t count;

	if (compact && !store_take(&in, 1, &skipped)) /* no tagged fields in the head */
		return;
	if (version >= 3 && !text_take(&in, compact, &skipped))
		return;
	if (!store_take(&in, 6, &skipped))
		return;
	if (!store_be16(skipped.ptr)) /* acks 0 */
		m->flags |= OA_STORE_NO_REPLY;
	if (count_take(&in, compact, &count) && count == 1 && version <= 12 && text_take(&in, compact, &topic))
		m->target = oa_bytes_cut(topic, OA_STORE_NAME_MAX);
}

/* Likewise of a fetch, as long as it names topics by name. */
static void fetch_read(struct oa_bytes in, unsigned version, struct oa_store_msg *m)
{
	bool compact = version >= 12;
	struct oa_bytes skipped, topic;
	uint32_t count;
	size_t fixed = 4 + 4 + 4 + (version >= 3 ? 4 : 0) + (version >= 4 ? 1 : 0) + (version >= 7 ? 8 : 0);

	if (version > 12 || (compact && !store_take(&in, 1, &skipped)) || !store_take(&in, fixed, &skipped))
		return;
	if (count_take(&in, compact, &count) && count == 1 && text_take(&in, compact, &topic))
		m->target = oa_bytes_cut(topic, OA_STORE_NAME_MAX);
}

/* A head that can be one; `in` begins with its length. */
static bool head_read(struct oa_bytes in, struct oa_bytes *ret_client)
{
	unsigned api = store_be16(in.ptr + 4), version = store_be16(in.ptr + 6);
	struct oa_bytes rest = oa_bytes(in.ptr + KAFKA_HEAD, in.len - KAFKA_HEAD);

	if (api >= API_COUNT || version > VERSION_MAX || !text_take(&rest, false, ret_client))
		return false;
	for (size_t i = 0; i < ret_client->len; i++)
		if (ret_client->ptr[i] < ' ' || ret_client->ptr[i] >= 0x7f)
			return false;
	return ret_client->len <= OA_STORE_NAME_MAX;
}

static int call(struct kafka_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM };
	unsigned api, version;
	struct oa_bytes body;
	size_t name;

	if (in.len < KAFKA_HEAD + 2 || !head_read(in, &m.user))
		return -EPROTO;
	api = store_be16(in.ptr + 4);
	version = store_be16(in.ptr + 6);
	name = store_be16(in.ptr + KAFKA_HEAD);
	name = KAFKA_HEAD + 2 + (name == 0xffff ? 0 : name);
	body = oa_bytes(in.ptr + name, in.len - name);
	m.operation = oa_bytes_str(apis[api]);
	if (api == API_PRODUCE)
		produce_read(body, version, &m);
	else if (api == API_FETCH)
		fetch_read(body, version, &m);
	store_emit(sink, OA_EVENT_REQUEST, store_be32(in.ptr + 8), &m);
	store_end(&st->st, sink, store_be32(in.ptr + 8));
	return 0;
}

static int answer(struct kafka_state *st, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_store_msg m = { .system = OA_STORE_KAFKA, .flags = OA_STORE_BY_STREAM };

	if (in.len < 8)
		return -EPROTO;
	store_emit(sink, OA_EVENT_RESPONSE, store_be32(in.ptr + 4), &m);
	store_end(&st->st, sink, store_be32(in.ptr + 4));
	return 0;
}

static inline long kafka_unit(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct kafka_state *st = state;
	size_t want, max = dir == OA_DIR_REQUEST ? KAFKA_READ_MAX : 4;
	uint32_t len;
	int err;

	if (in.len < 4)
		return 0;
	len = store_be32(in.ptr);
	if (len < 4 || len > KAFKA_MSG_MAX)
		return -EPROTO;
	want = 4 + (len < max ? len : max);
	if (in.len < want)
		return 0;
	st->st.skip = (uint32_t)(len + 4 - want);
	err = (dir == OA_DIR_REQUEST ? call : answer)(st, oa_bytes(in.ptr, want), sink);
	return err ? err : (long)want;
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
	return store_close(state, false);
}

/* Whoever speaks to a broker asks first which versions it has, or how to log in: a short message without surprises. */
static enum oa_detect kafka_detect(enum oa_dir dir, struct oa_bytes in)
{
	struct oa_bytes client, rest, a, b;
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
	in.len = len + 4;
	if (!head_read(in, &client))
		return OA_DETECT_NO;
	rest = oa_bytes(in.ptr + KAFKA_HEAD + 2 + client.len, in.len - KAFKA_HEAD - 2 - client.len);
	if (version < 3)
		return rest.len ? OA_DETECT_NO : OA_DETECT_YES;
	if (!store_take(&rest, 1, &a) || !text_take(&rest, true, &a) || !text_take(&rest, true, &b))
		return OA_DETECT_NO;
	return rest.len == 1 && a.len && !rest.ptr[0] ? OA_DETECT_YES : OA_DETECT_NO;
}

const struct oa_proto oa_proto_kafka = {
	.name = "kafka",
	.state_bytes = sizeof(struct kafka_state),
	.flags = OA_PROTO_STORE,
	.detect = kafka_detect,
	.feed = kafka_feed,
	.close = kafka_close,
	.skip = kafka_skip,
};
