/* Kafka as conn/ sees it: recorded connections of real clients become records that say how many messages of which topic
 * passed, and polls that brought nothing become none. */
#include "tests/unit/conn_rig.h"

#include "core/stats.h"
#include "proto/store.h"

#define FD 540

static struct oa_bytes sample(const char *name)
{
	const char *here = __FILE__, *slash = strrchr(here, '/');
	static uint8_t bytes[2][65536];
	static unsigned which;
	uint8_t *to = bytes[which++ % 2];
	char path[512];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%.*s/../data/kafka/%s.in", slash ? (int)(slash - here) : 1, slash ? here : ".", name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s", path);
	len = fread(to, 1, sizeof(bytes[0]), f);
	fclose(f);
	return oa_bytes(to, len);
}

/* The length of the message at the front. */
static size_t message(struct oa_bytes in)
{
	return in.len < 4 ? in.len : 4 + ((size_t)in.ptr[0] << 24 | (size_t)in.ptr[1] << 16 | (size_t)in.ptr[2] << 8 | in.ptr[3]);
}

static struct oa_bytes take(struct oa_bytes *in)
{
	struct oa_bytes m = oa_bytes_cut(*in, message(*in));

	*in = oa_bytes(in->ptr + m.len, in->len - m.len);
	return m;
}

static void send_cut(struct oa_bytes m, size_t room)
{
	while (m.len) {
		struct iovec iov = { (void *)(uintptr_t)m.ptr, m.len };
		ssize_t n = rig_send_iov(FD, &iov, 1, 0, room, NULL);

		ck_assert_int_gt(n, 0);
		m = oa_bytes(m.ptr + n, m.len - (size_t)n);
	}
}

static void receive_cut(struct oa_bytes m, size_t step)
{
	while (m.len) {
		struct oa_bytes part = oa_bytes_cut(m, step);

		oa_conn_on_received(FD, part.ptr, part.len, (ssize_t)part.len, 0, 0);
		m = oa_bytes(m.ptr + part.len, m.len - part.len);
	}
}

/* Each call, and its answer; at most `room` bytes at a time are taken by the kernel, or read. */
static void play(const char *name, size_t room)
{
	char client[80], server[80];
	struct oa_bytes calls, answers;

	snprintf(client, sizeof(client), "%s.client", name);
	snprintf(server, sizeof(server), "%s.server", name);
	calls = sample(client);
	answers = sample(server);
	rig_start();
	rig_connect(FD);
	while (calls.len) {
		/* ApiVersions is recognised from one call. */
		send_cut(take(&calls), calls.ptr[0] || room > 200 ? room : 200);
		receive_cut(take(&answers), room);
	}
}

struct told {
	const char *operation, *target;
	unsigned messages;
	int part; /* -1: none */
};

static const struct oa_span *expect(const struct told *t)
{
	const struct oa_span *s = rig_next();
	struct oa_db_texts texts;
	struct oa_db db;

	ck_assert_msg(s != NULL, "no record of %s", t->operation);
	ck_assert_int_eq(s->kind, OA_KIND_CLIENT);
	ck_assert(oa_span_db(s, &db, &texts));
	ck_assert_int_eq(db.system, OA_STORE_KAFKA);
	ck_assert_msg(oa_bytes_eq(texts.operation, oa_bytes_str(t->operation)), "%.*s instead of %s", (int)texts.operation.len,
		      texts.operation.ptr, t->operation);
	ck_assert_msg(oa_bytes_eq(texts.target, oa_bytes_str(t->target)), "%s of %.*s", t->operation, (int)texts.target.len,
		      texts.target.ptr);
	ck_assert_uint_eq(db.batch, t->messages);
	ck_assert_int_eq(db.flags & OA_DB_HAS_NS ? (int)db.ns : -1, t->part);
	ck_assert_int_eq(s->error, OA_ERR_NONE);
	return s;
}

static const size_t rooms[] = { SIZE_MAX, 7, 60, 61, 62, 150 };
#define ROOMS (int)(sizeof(rooms) / sizeof(rooms[0]))

START_TEST(kafka_what_was_produced_is_counted_however_calls_are_cut)
{
	static const struct told calls[] = { { "ApiVersions", "", 0, -1 }, { "Produce", "orders2", 6, 1 },
					     { "Produce", "other", 1, 0 }, { "Produce", "orders2", 4, 0 } };

	play("rec_confluent_produce", rooms[_i]);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct oa_span *s = expect(&calls[i]);

		ck_assert(oa_bytes_eq(oa_span_str(s, OA_STR_MSG_CLIENT), OA_LIT("shop")));
		ck_assert(!oa_span_has_parent(s));
	}
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_uncounted_messages), 0);
}
END_TEST

START_TEST(kafka_what_was_fetched_is_counted_and_polls_without_a_message_are_silent)
{
	static const struct told calls[] = {
		{ "ApiVersions", "", 0, -1 }, { "Metadata", "", 0, -1 }, { "FindCoordinator", "", 0, -1 },
		{ "FindCoordinator", "", 0, -1 }, { "Metadata", "", 0, -1 }, { "ListOffsets", "", 0, -1 },
		{ "ListOffsets", "", 0, -1 }, { "ListOffsets", "", 0, -1 }, { "Fetch", "other", 1, 0 },
		{ "Fetch", "orders2", 10, -1 },
	};

	play("rec_confluent_fetch", rooms[_i]);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		(void)expect(&calls[i]);
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_quiet_calls), 3);
}
END_TEST

START_TEST(kafka_a_group_is_told_and_its_heartbeats_are_not)
{
	static const struct told calls[] = {
		{ "ApiVersions", "", 0, -1 }, { "Metadata", "", 0, -1 }, { "JoinGroup", "", 0, -1 }, { "JoinGroup", "", 0, -1 },
		{ "Metadata", "", 0, -1 }, { "SyncGroup", "", 0, -1 }, { "OffsetFetch", "", 0, -1 }, { "OffsetCommit", "", 0, -1 },
		{ "LeaveGroup", "", 0, -1 },
	};

	play("rec_confluent_group", rooms[_i]);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct oa_span *s = expect(&calls[i]);

		if (strstr(calls[i].operation, "Group") || strstr(calls[i].operation, "Commit"))
			ck_assert(oa_bytes_eq(oa_span_str(s, OA_STR_MSG_GROUP), OA_LIT("workers")));
	}
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_quiet_calls), 1);
}
END_TEST

/* Of four messages one says so rightly, one behind a long value, one says something else. */
static void expect_makers(const struct oa_span *s, unsigned count)
{
	static const uint8_t first[] = { 0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31 },
			     third[] = { 0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x32 };
	struct oa_bytes links = oa_span_str(s, OA_STR_LINKS);
	struct oa_link link[2];

	ck_assert_uint_eq(links.len, count * sizeof(link[0]));
	if (!count)
		return;
	memcpy(link, links.ptr, links.len);
	if (count == 2)
		ck_assert_mem_eq(link[0].span_id, first, 8);
	ck_assert_mem_eq(link[count - 1].span_id, third, 8);
	ck_assert_uint_eq(link[count - 1].trace_id[0], 0x1a);
}

START_TEST(kafka_who_sends_and_who_reads_is_linked_to_who_made_it)
{
	static const struct told sent[] = { { "ApiVersions", "", 0, -1 }, { "Metadata", "", 0, -1 }, { "Produce", "made", 1, 0 } };
	const struct oa_span *s;
	unsigned calls = 0;

	play("rec_made_produce", rooms[_i]);
	for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
		expect_makers(expect(&sent[i]), i == 2);
	ck_assert_ptr_null(rig_next());
	play("rec_made_batch", rooms[_i]);
	(void)rig_next();
	s = rig_next();
	ck_assert(s && !rig_next());
	/* One says what another said, and what is behind a key that is too long is passed over. */
	ck_assert_uint_eq(oa_span_str(s, OA_STR_LINKS).len, 3 * sizeof(struct oa_link));
	play("rec_made_fetch", rooms[_i]);
	while ((s = rig_next())) {
		struct oa_db_texts texts;
		struct oa_db db;
		bool fetch;

		ck_assert(oa_span_db(s, &db, &texts));
		fetch = oa_bytes_eq(texts.operation, OA_LIT("Fetch"));
		expect_makers(s, fetch ? 2 : 0);
		ck_assert_uint_eq(db.batch, fetch ? 4 : 0);
		calls += fetch;
	}
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_uncounted_messages), 0);
}
END_TEST

START_TEST(kafka_a_poll_given_up_is_silent_and_another_call_is_not)
{
	struct oa_bytes calls = sample("rec_kcat_fetch.client");

	rig_start();
	rig_connect(FD);
	while (calls.len)
		send_cut(take(&calls), SIZE_MAX);
	oa_conn_before_close(FD);
	oa_conn_reap(true);
	for (int i = 0; i < 4; i++) {
		const struct oa_span *s = rig_next();

		ck_assert(s && s->error == OA_ERR_ABANDONED);
	}
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_quiet_calls), 2);
}
END_TEST

START_TEST(kafka_a_broker_is_left_alone)
{
	struct oa_bytes calls = sample("rec_kcat_fetch.client"), first = take(&calls);

	rig_start();
	rig_accept(FD, false);
	oa_conn_on_received(FD, first.ptr, first.len, (ssize_t)first.len, 0, 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_served_store), 1);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("kafka");
	Suite *suite = suite_create("conn");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, kafka_what_was_produced_is_counted_however_calls_are_cut, 0, ROOMS);
	tcase_add_loop_test(tc, kafka_what_was_fetched_is_counted_and_polls_without_a_message_are_silent, 0, ROOMS);
	tcase_add_loop_test(tc, kafka_a_group_is_told_and_its_heartbeats_are_not, 0, ROOMS);
	tcase_add_loop_test(tc, kafka_who_sends_and_who_reads_is_linked_to_who_made_it, 0, ROOMS);
	tcase_add_test(tc, kafka_a_poll_given_up_is_silent_and_another_call_is_not);
	tcase_add_test(tc, kafka_a_broker_is_left_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
