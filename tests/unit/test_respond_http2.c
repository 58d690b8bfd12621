/* What goes over the wire when HTTP/2 responses get our fields, for every way the kernel may cut it. */
#include "tests/unit/h2_rig.h"

#include "conn/respond.h"

#define FD 561
#define GET(stream) H2_FRAME("\3", "\1", "\5", stream) "\x82\x86\x84"
#define GETS H2_PREFACE H2_SETTINGS GET("\1") GET("\3")
#define FIELD_OF_OURS (1 + 1 + 13 + 1 + 55)

/* 200 with a body, and 404 whose field stands in the table. */
static const char answers[] = H2_SETTINGS H2_FRAME("\10", "\1", "\4", "\1") "\x88\x40\3x-a\1b"
			      H2_FRAME("\3", "\0", "\1", "\1") "abc" H2_FRAME("\2", "\1", "\5", "\3") "\x8d\xbe";

static void start_with(const char *asked, size_t len)
{
	rig_start();
	oa_config.response_headers = OA_RESPONSE_TRACERESPONSE;
	oa_conn_init(); /* reads the setting */
	rig_accept(FD, false);
	h2_receive(FD, asked, len);
	h2_wire.len = 0;
}

static void start(void)
{
	start_with(GETS, sizeof(GETS) - 1);
}

/* The frames of the wire without our fields must be `sent`. ret_span: the span id that the field of a stream names, zeroes
 * for none. */
static void judge(const char *sent, size_t sent_len, uint8_t ret_span[8][8])
{
	const uint8_t *want = (const uint8_t *)sent, *want_end = want + sent_len;
	const uint8_t *got = h2_wire.bytes, *end = h2_wire.bytes + h2_wire.len;

	memset(ret_span, 0, 64);
	while (got < end) {
		size_t n = h2_frame_len(got), plain;

		ck_assert(want < want_end);
		plain = h2_frame_len(want);
		ck_assert(got + n <= end);
		ck_assert_mem_eq(got + 3, want + 3, plain - 3);
		if (n != plain) {
			const uint8_t *field = got + plain;

			ck_assert_uint_eq(n - plain, FIELD_OF_OURS);
			ck_assert_mem_eq(field, "\0\15traceresponse\67" "00-", 19);
			for (unsigned i = 0; i < 8; i++)
				ck_assert_int_eq(sscanf((const char *)field + 52 + 2 * i, "%2hhx", &ret_span[got[8]][i]), 1);
		}
		got += n;
		want += plain;
	}
	ck_assert(want == want_end);
}

static void assert_span(uint16_t status, uint64_t body, const uint8_t id[8], bool named)
{
	static const uint8_t none[8];
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->status, status);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert_uint_eq(s->resp_body, body);
	if (memcmp(id, none, 8))
		ck_assert_mem_eq(id, s->span_id, 8);
	else
		ck_assert(!named);
}

static void assert_both(bool named)
{
	uint8_t id[8][8];

	judge(answers, sizeof(answers) - 1, id);
	assert_span(200, 3, id[1], named);
	assert_span(404, 0, id[3], named);
	ck_assert_ptr_null(rig_next());
}

START_TEST(respond_http2_names_the_span_of_each_stream)
{
	start();
	h2_say_all(FD, answers, sizeof(answers) - 1, SIZE_MAX);
	assert_both(true);
	start();
	for (size_t i = 0; i < sizeof(answers) - 1; i++) /* blocks in pieces go as they are */
		h2_say_all(FD, answers + i, 1, SIZE_MAX);
	assert_both(false);
}
END_TEST

START_TEST(respond_http2_cut_once_at_every_byte_is_completed_first)
{
	for (size_t room = 0; room < sizeof(answers) - 1 + 2 * FIELD_OF_OURS; room++) {
		start();
		h2_say_all(FD, answers, sizeof(answers) - 1, room);
		assert_both(false);
	}
}
END_TEST

START_TEST(respond_http2_leaves_what_is_no_final_response_alone)
{
	static const char sent[] = H2_SETTINGS H2_FRAME("\5", "\1", "\4", "\1") "\x08\3" "103"
				   H2_FRAME("\1", "\1", "\4", "\1") "\x88" H2_FRAME("\5", "\1", "\5", "\1") "\0\1t\1v";
	static const char asked[] = H2_PREFACE H2_SETTINGS GET("\1");
	uint8_t id[8][8];
	const uint8_t *third = h2_wire.bytes + 9 + 14;

	start_with(asked, sizeof(asked) - 1);
	h2_say_all(FD, sent, sizeof(sent) - 1, SIZE_MAX);
	judge(sent, sizeof(sent) - 1, id);
	assert_span(200, 0, id[1], true);
	ck_assert_uint_eq(h2_wire.len, sizeof(sent) - 1 + FIELD_OF_OURS);
	ck_assert_uint_eq(h2_frame_len(third), 10 + FIELD_OF_OURS);
}
END_TEST

START_TEST(respond_http2_never_says_it_twice)
{
	static const char sent[] = H2_SETTINGS H2_FRAME("\x13", "\1", "\5", "\1") "\x88\0\15traceresponse\2xy";
	static const char asked[] = H2_PREFACE H2_SETTINGS GET("\1");

	start_with(asked, sizeof(asked) - 1);
	h2_say_all(FD, sent, sizeof(sent) - 1, SIZE_MAX);
	ck_assert_uint_eq(h2_wire.len, sizeof(sent) - 1);
	ck_assert_mem_eq(h2_wire.bytes, sent, h2_wire.len);
}
END_TEST

START_TEST(respond_http2_keeps_to_what_the_client_accepts)
{
	static const char asked[] = H2_PREFACE H2_FRAME("\6", "\4", "\0", "\0") "\0\6\0\0\0\x50" GET("\1") GET("\3");

	start_with(asked, sizeof(asked) - 1); /* a list of 80 bytes */
	h2_say_all(FD, answers, sizeof(answers) - 1, SIZE_MAX);
	ck_assert_uint_eq(h2_wire.len, sizeof(answers) - 1);
	assert_both(false);
}
END_TEST

/* What became of the first is not known, nor which table the second was made with. */
START_TEST(respond_http2_gives_up_when_other_bytes_follow_than_were_shown)
{
	static const char first[] = H2_SETTINGS H2_FRAME("\1", "\1", "\5", "\1") "\x88";
	static const char second[] = H2_SETTINGS H2_FRAME("\1", "\1", "\5", "\3") "\x8d";

	start();
	ck_assert_int_eq(h2_say(FD, first, sizeof(first) - 1, 0), -1);
	h2_say_all(FD, second, sizeof(second) - 1, SIZE_MAX);
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_contention), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("respond_http2");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, respond_http2_names_the_span_of_each_stream);
	tcase_add_test(tc, respond_http2_cut_once_at_every_byte_is_completed_first);
	tcase_add_test(tc, respond_http2_leaves_what_is_no_final_response_alone);
	tcase_add_test(tc, respond_http2_never_says_it_twice);
	tcase_add_test(tc, respond_http2_keeps_to_what_the_client_accepts);
	tcase_add_test(tc, respond_http2_gives_up_when_other_bytes_follow_than_were_shown);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
