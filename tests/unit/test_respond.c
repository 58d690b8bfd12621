/* What goes over the wire when a response gets our headers, for every way the kernel may cut it. */
#include "tests/unit/conn_rig.h"

#include "conn/respond.h"

#define FD 560

static char wire[100000];
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc";

static void start(unsigned headers)
{
	rig_start();
	oa_config.response_headers = headers;
	rig_accept(FD, false);
	rig_receive(FD, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
	wire[0] = 0;
}

/* Takes a header of ours out, checked against the record. returns whether it was there */
static bool strip(const char *before, const char *after, const struct oa_span *s)
{
	char want[128], hex[33];
	uint8_t flags = (s->flags & OA_SPAN_SAMPLED ? 1 : 0) | (s->flags & OA_SPAN_RANDOM ? 2 : 0);
	char *at;
	size_t len;

	oa_hex(hex, s->trace_id, 16);
	len = (size_t)sprintf(want, "%s00-%.32s-", before, hex);
	oa_hex(hex, s->span_id, 8);
	len += (size_t)sprintf(want + len, "%.16s-", hex);
	oa_hex(hex, &flags, 1);
	len += (size_t)sprintf(want + len, "%.2s%s", hex, after);
	at = strstr(wire, want);
	if (!at)
		return false;
	memmove(at, at + len, strlen(at + len) + 1);
	return true;
}

static void send_all(const char *text, size_t room)
{
	size_t at = 0;

	for (unsigned calls = 0; at < strlen(text); calls++) {
		ssize_t n = rig_send(FD, text + at, room, wire);

		ck_assert_int_gt(n, 0);
		at += (size_t)n;
		ck_assert_uint_lt(calls, 1000);
	}
}

START_TEST(respond_adds_what_is_asked_for_and_nothing_else)
{
	const struct oa_span *s;

	for (unsigned which = 0; which < 4; which++) {
		start(which);
		send_all(response, SIZE_MAX);
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(strip("traceresponse: ", "\r\n", s), which & 1);
		ck_assert_uint_eq(strip("Server-Timing: traceparent;desc=\"", "\"\r\n", s), which >> 1);
		ck_assert_str_eq(wire, response);
		ck_assert_uint_eq(s->resp_body, 3);
	}
	start(0x80000000u); /* none */
	send_all(response, SIZE_MAX);
	ck_assert_str_eq(wire, response);
}
END_TEST

/* Only the first call is short: cut at every byte, ours included. */
START_TEST(respond_cut_once_at_every_byte_is_completed_first)
{
	size_t ours = strlen(response) - 5; /* where ours begins: before the blank line */

	for (size_t room = 1; room < strlen(response) + 15 + 55 + 2; room++) {
		const struct oa_span *s;
		ssize_t n;

		start(OA_RESPONSE_TRACERESPONSE);
		n = rig_send(FD, response, room, wire);
		ck_assert_int_gt(n, 0);
		while ((size_t)n < strlen(response))
			n += rig_send(FD, response + n, SIZE_MAX, wire);
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(strip("traceresponse: ", "\r\n", s), room > ours);
		ck_assert_str_eq(wire, response);
	}
}
END_TEST

/* So many that the call's own room for them does not do. */
START_TEST(respond_in_many_buffers_gets_it_whole)
{
	char apart[2 * sizeof(response)];
	struct iovec iov[sizeof(response) - 1];
	size_t len = sizeof(response) - 1;

	for (unsigned which = 1; which < 4; which++) {
		const struct oa_span *s;

		start(which);
		for (size_t i = 0; i < len; i++)
			iov[i] = (struct iovec){ memset(&apart[2 * i], response[i], 1), 1 };
		ck_assert_int_eq(rig_send_iov(FD, iov, (int)len, 0, SIZE_MAX, wire), (ssize_t)len);
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_int_eq(strip("traceresponse: ", "\r\n", s), (which & OA_RESPONSE_TRACERESPONSE) != 0);
		ck_assert_int_eq(strip("Server-Timing: traceparent;desc=\"", "\"\r\n", s), (which & OA_RESPONSE_SERVER_TIMING) != 0);
		ck_assert_str_eq(wire, response);
	}
}
END_TEST

START_TEST(respond_never_says_it_twice)
{
	static const char own[] = "HTTP/1.1 200 OK\r\nTraceResponse: x\r\nServer-Timing: db;dur=1\r\n"
				  "Server-Timing: traceparent;desc=\"y\"\r\nContent-Length: 0\r\n\r\n";

	start(OA_RESPONSE_TRACERESPONSE | OA_RESPONSE_SERVER_TIMING);
	send_all(own, SIZE_MAX);
	ck_assert_str_eq(wire, own);
}
END_TEST

START_TEST(respond_leaves_interim_answers_and_other_protocols_alone)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";

	start(OA_RESPONSE_TRACERESPONSE);
	send_all(interim, SIZE_MAX);
	ck_assert_str_eq(wire, interim);
	send_all(response, SIZE_MAX);
	ck_assert(strip("traceresponse: ", "\r\n", rig_next()));
	start(OA_RESPONSE_TRACERESPONSE);
	send_all(upgrade, SIZE_MAX);
	ck_assert_str_eq(wire, upgrade);
}
END_TEST

START_TEST(respond_finds_a_header_in_several_buffers)
{
	struct iovec iov[3] = { { (void *)(uintptr_t)response, 20 }, { (void *)(uintptr_t)(response + 20), 20 },
				{ (void *)(uintptr_t)(response + 40), strlen(response) - 40 } };

	start(OA_RESPONSE_TRACERESPONSE);
	ck_assert_int_eq(rig_send_iov(FD, iov, 3, 0, SIZE_MAX, wire), (ssize_t)strlen(response));
	ck_assert(strip("traceresponse: ", "\r\n", rig_next()));
	ck_assert_str_eq(wire, response);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("respond");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, respond_adds_what_is_asked_for_and_nothing_else);
	tcase_add_test(tc, respond_cut_once_at_every_byte_is_completed_first);
	tcase_add_test(tc, respond_in_many_buffers_gets_it_whole);
	tcase_add_test(tc, respond_never_says_it_twice);
	tcase_add_test(tc, respond_leaves_interim_answers_and_other_protocols_alone);
	tcase_add_test(tc, respond_finds_a_header_in_several_buffers);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
