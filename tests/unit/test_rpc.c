/* gRPC calls through a connection of each role: what became of them, and what was counted. */
#include "tests/unit/h2_rig.h"

#define FD 571
#define HEADERS 1
#define DATA 0
#define RESET 3
#define GOAWAY 7
#define END_STREAM 1
#define END_HEADERS 4

static struct h2_bytes asks, answers;
static bool client;

static void start(bool as_client)
{
	client = as_client;
	rig_start();
	h2_wire.len = asks.len = answers.len = 0;
	if (client)
		rig_connect(FD);
	else
		rig_accept(FD, false);
	h2_put(&asks, H2_PREFACE H2_SETTINGS, sizeof(H2_PREFACE H2_SETTINGS) - 1);
	h2_put(&answers, H2_SETTINGS, sizeof(H2_SETTINGS) - 1);
}

/* What was put so far goes over the connection, requests first. */
static void play(void)
{
	if (client && asks.len)
		h2_say_all(FD, asks.bytes, asks.len, SIZE_MAX);
	else if (asks.len)
		h2_receive(FD, asks.bytes, asks.len);
	if (!client && answers.len)
		h2_say_all(FD, answers.bytes, answers.len, SIZE_MAX);
	else if (answers.len)
		h2_receive(FD, answers.bytes, answers.len);
	asks.len = answers.len = 0;
}

static void put_call(uint32_t stream, const char *timeout, uint8_t flags)
{
	struct h2_bytes block = { .len = 0 };

	h2_put(&block, "\x83\x86", 2); /* POST, http */
	h2_put_field(&block, ":path", "/pkg.Service/Method");
	h2_put_field(&block, "content-type", "application/grpc+proto");
	if (timeout)
		h2_put_field(&block, "grpc-timeout", timeout);
	h2_put_frame(&asks, HEADERS, END_HEADERS | flags, stream, block.bytes, block.len);
}

static void put_status(const char *http, const char *grpc, uint8_t flags)
{
	struct h2_bytes block = { .len = 0 };

	if (http)
		h2_put_field(&block, ":status", http);
	if (grpc)
		h2_put_field(&block, "grpc-status", grpc);
	h2_put_frame(&answers, HEADERS, END_HEADERS | flags, 1, block.bytes, block.len);
}

static void put_reset(struct h2_bytes *where, uint32_t code)
{
	const uint8_t payload[4] = { 0, 0, 0, (uint8_t)code };

	h2_put_frame(where, RESET, 0, 1, payload, 4);
}

static const struct oa_span *assert_call(uint16_t status, enum oa_error error)
{
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->kind, client ? OA_KIND_CLIENT : OA_KIND_SERVER);
	ck_assert_uint_eq(s->what, OA_WHAT_RPC);
	ck_assert_uint_eq(s->status, status);
	ck_assert_uint_eq(s->error, error);
	return s;
}

static struct oa_rpc rpc_of(const struct oa_span *s)
{
	struct oa_rpc rpc;
	struct oa_bytes text = oa_span_str(s, OA_STR_RPC);

	ck_assert_uint_ge(text.len, sizeof(rpc));
	memcpy(&rpc, text.ptr, sizeof(rpc));
	return rpc;
}

#define FOR_BOTH_ROLES for (int role = 0; role < 2; role++)

START_TEST(rpc_streams_count_messages_each_way_and_keep_the_deadline)
{
	FOR_BOTH_ROLES {
		struct oa_rpc rpc;

		start(role);
		put_call(1, "5S", 0);
		h2_put_frame(&asks, DATA, 0, 1, "\0\0\0\0\2hi\0\0\0\0\1", 12); /* two and a half */
		h2_put_frame(&asks, DATA, END_STREAM, 1, "!\0\0\0\0\0", 6);
		put_status("200", NULL, 0);
		h2_put_frame(&answers, DATA, 0, 1, "\0\0\0\0\1x", 6);
		put_status(NULL, "0", END_STREAM);
		play();
		rpc = rpc_of(assert_call(0, OA_ERR_NONE));
		ck_assert_uint_eq(rpc.timeout_ns, 5000000000u);
		ck_assert_uint_eq(rpc.messages[0], 3);
		ck_assert_uint_eq(rpc.messages[1], 1);
		ck_assert(!rpc.unseen);
	}
}
END_TEST

static const struct {
	const char *http, *grpc;
	bool trailers;
	uint16_t want;
} ends[] = {
	{ "200", "0", true, 0 },   { "200", "5", true, 5 },    { "200", "7", false, 7 },   { "200", "99", true, 2 },
	{ "200", NULL, false, 2 }, { "401", NULL, false, 16 }, { "503", NULL, false, 14 }, { "404", NULL, false, 12 },
};

/* trailers: of its own, else with the response's head ("trailers-only"). */
START_TEST(rpc_status_is_the_trailers_else_what_http_says)
{
	FOR_BOTH_ROLES {
		start(role);
		put_call(1, NULL, END_STREAM);
		put_status(ends[_i].http, ends[_i].trailers ? NULL : ends[_i].grpc, ends[_i].trailers ? 0 : END_STREAM);
		if (ends[_i].trailers)
			put_status(NULL, ends[_i].grpc, END_STREAM);
		play();
		assert_call(ends[_i].want, OA_ERR_NONE);
	}
}
END_TEST

static const struct {
	const char *timeout;
	uint8_t code;
	uint16_t want;
	enum oa_error error;
} resets[] = {
	{ NULL, 8, 1, OA_ERR_STREAM_CANCELLED }, /* CANCELLED */
	{ "1n", 8, 4, OA_ERR_STREAM_CANCELLED }, /* the time it had is over: DEADLINE_EXCEEDED */
	{ "1H", 8, 1, OA_ERR_STREAM_CANCELLED },
	{ "50m", 8, 1, OA_ERR_STREAM_CANCELLED },
	{ NULL, 7, 14, OA_ERR_STREAM_REFUSED },  /* UNAVAILABLE */
	{ NULL, 11, 8, OA_ERR_STREAM_RESET },    /* ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED */
	{ NULL, 2, 13, OA_ERR_STREAM_RESET },    /* INTERNAL */
};

START_TEST(rpc_reset_by_either_side_has_the_status_that_stands_for_it)
{
	for (int by_client = 0; by_client < 2; by_client++)
		FOR_BOTH_ROLES {
			start(role);
			put_call(1, resets[_i].timeout, 0);
			play();
			put_reset(by_client ? &asks : &answers, resets[_i].code);
			play();
			assert_call(resets[_i].want, resets[_i].error);
		}
}
END_TEST

/* A server that has answered does not care for the rest of what it is sent. */
START_TEST(rpc_status_that_was_said_before_a_reset_stays)
{
	start(true);
	put_call(1, NULL, 0);
	play();
	put_status("200", "3", 0);
	put_reset(&answers, 0);
	play();
	assert_call(3, OA_ERR_STREAM_RESET);
}
END_TEST

/* The server answers streams up to `last`; the others it has not looked at. */
START_TEST(rpc_goaway_refuses_what_is_beyond_it)
{
	start(true);
	put_call(1, NULL, END_STREAM);
	put_call(3, NULL, END_STREAM);
	h2_put_frame(&answers, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
	play();
	assert_call(14, OA_ERR_STREAM_REFUSED);
	ck_assert_ptr_null(rig_next());
	put_status("200", "0", END_STREAM);
	play();
	assert_call(0, OA_ERR_NONE);
}
END_TEST

START_TEST(rpc_is_what_says_so_and_nothing_else)
{
	static const char *const types[] = { "application/grpc", "application/grpc; x=y", "application/grpc-web", "text/plain" };

	for (unsigned i = 0; i < sizeof(types) / sizeof(*types); i++) {
		struct h2_bytes block = { .len = 0 };
		const struct oa_span *s;

		start(false);
		h2_put(&block, "\x83\x86\x84", 3);
		h2_put_field(&block, "content-type", types[i]);
		h2_put_frame(&asks, HEADERS, END_HEADERS | END_STREAM, 1, block.bytes, block.len);
		put_status("200", NULL, END_STREAM);
		play();
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->what, i < 2 ? OA_WHAT_RPC : OA_WHAT_HTTP);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("rpc");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, rpc_streams_count_messages_each_way_and_keep_the_deadline);
	tcase_add_loop_test(tc, rpc_status_is_the_trailers_else_what_http_says, 0, sizeof(ends) / sizeof(*ends));
	tcase_add_loop_test(tc, rpc_reset_by_either_side_has_the_status_that_stands_for_it, 0, sizeof(resets) / sizeof(*resets));
	tcase_add_test(tc, rpc_status_that_was_said_before_a_reset_stays);
	tcase_add_test(tc, rpc_goaway_refuses_what_is_beyond_it);
	tcase_add_test(tc, rpc_is_what_says_so_and_nothing_else);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
