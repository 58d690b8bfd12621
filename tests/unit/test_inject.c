/* What goes over the wire when a request is sent, for every way the kernel may cut it. */
#include "tests/unit/conn_rig.h"

#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include "conn/feed.h"
#include "core/inject_result.h"

#define MSG_ZEROCOPY_ 0x4000000

static char wire[200000];

static const char request[] = "POST /a?b=c HTTP/1.1\r\nHost: up\r\nContent-Length: 3\r\n\r\nxyz";

static void start(void)
{
	rig_start();
	rig_connect(520);
	wire[0] = 0;
}

/* Takes the added lines out; returns how many there were. */
static int strip(char *text)
{
	int n = 0;

	for (char *at; (at = strstr(text, "traceparent: 00-"));) {
		char *end = strstr(at, "\r\n");

		ck_assert_ptr_nonnull(end);
		ck_assert_int_eq(end - at, 13 + 55);
		memmove(at, end + 2, strlen(end + 2) + 1);
		n++;
	}
	return n;
}

/* Sends all of `text` like a program would, the kernel taking `room` bytes each time at most. */
static void send_all(const char *text, size_t room)
{
	size_t len = strlen(text), at = 0;
	unsigned calls = 0;

	while (at < len) {
		ssize_t n = rig_send(520, text + at, room, wire);

		ck_assert_int_gt(n, 0);
		ck_assert_int_le(n, (int)(len - at));
		at += (size_t)n;
		ck_assert_uint_lt(++calls, 1000);
	}
}

START_TEST(inject_adds_one_header_before_the_blank_line)
{
	start();
	send_all(request, SIZE_MAX);
	ck_assert_ptr_nonnull(strstr(wire, "Content-Length: 3\r\ntraceparent: 00-"));
	ck_assert_int_eq(strip(wire), 1);
	ck_assert_str_eq(wire, request);
}
END_TEST

START_TEST(inject_survives_every_short_write)
{
	size_t whole = strlen(request) + 70;

	for (size_t room = 1; room <= whole; room++) {
		/* A kernel that takes less than what is left of ours is asked again for real: tests/preload has that. */
		if (room > 51 && room <= 61)
			continue;
		start();
		send_all(request, room);
		ck_assert_int_le(strip(wire), 1);
		ck_assert_str_eq(wire, request);
		oa_conn_on_socket(520, AF_INET, SOCK_STREAM);
	}
}
END_TEST

/* Only the first call is short: cut at every byte, ours included. */
START_TEST(inject_cut_once_at_every_byte_is_completed_first)
{
	for (size_t room = 1; room < strlen(request) + 70; room++) {
		const struct oa_span *s;
		ssize_t n;

		start();
		n = rig_send(520, request, room, wire);
		ck_assert_int_gt(n, 0);
		while ((size_t)n < strlen(request))
			n += rig_send(520, request + n, SIZE_MAX, wire);
		ck_assert_int_eq(strip(wire), room > 51 ? 1 : 0); /* 51: where ours begins */
		ck_assert_str_eq(wire, request);
		rig_receive(520, "HTTP/1.1 204 No Content\r\n\r\n");
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_int_eq(s->inject, room > 51 ? OA_INJECT_DONE : OA_INJECT_SHORT);
		ck_assert_int_eq(!!(s->flags & OA_SPAN_INJECTED), room > 51);
		oa_conn_on_socket(520, AF_INET, SOCK_STREAM);
	}
}
END_TEST

START_TEST(inject_after_eagain_is_as_if_nothing_had_been_asked)
{
	start();
	ck_assert_int_eq(rig_send(520, request, 0, wire), -1);
	ck_assert_ptr_null(rig_next());
	send_all(request, SIZE_MAX);
	ck_assert_int_eq(strip(wire), 1);
	rig_receive(520, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert_ptr_nonnull(rig_next());
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(inject_split_over_calls_goes_out_as_it_is_and_says_so)
{
	for (size_t cut = 1; cut < strlen(request) - 4; cut++) {
		char first[128] = { 0 };
		const struct oa_span *s;

		start();
		memcpy(first, request, cut);
		ck_assert_int_eq(rig_send(520, first, SIZE_MAX, wire), (int)cut);
		ck_assert_int_eq(rig_send(520, request + cut, SIZE_MAX, wire), (int)(strlen(request) - cut));
		ck_assert_str_eq(wire, request);
		rig_receive(520, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_int_eq(s->inject, OA_INJECT_PARTIAL);
		ck_assert_uint_eq(s->req_body, 3);
		oa_conn_on_socket(520, AF_INET, SOCK_STREAM);
	}
}
END_TEST

START_TEST(inject_gathers_a_header_spread_over_iovecs)
{
	for (size_t cut = 1; cut < strlen(request); cut++) {
		struct iovec iov[3] = { { (void *)(uintptr_t)request, cut },
					{ (void *)(uintptr_t)"", 0 },
					{ (void *)(uintptr_t)(request + cut), strlen(request) - cut } };

		start();
		ck_assert_int_eq(rig_send_iov(520, iov, 3, 0, SIZE_MAX, wire), (int)strlen(request));
		ck_assert_int_eq(strip(wire), 1);
		ck_assert_str_eq(wire, request);
		oa_conn_on_socket(520, AF_INET, SOCK_STREAM);
	}
}
END_TEST

START_TEST(inject_uses_many_iovecs_up_to_the_limit)
{
	static struct iovec iov[1024];
	static char body[2000];

	for (int count = 1020; count <= 1024; count++) {
		char head[128];
		int len = snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", count - 1);

		start();
		memset(body, 'b', sizeof(body));
		iov[0] = (struct iovec){ head, (size_t)len };
		for (int i = 1; i < count; i++)
			iov[i] = (struct iovec){ body + i, 1 };
		ck_assert_int_eq(rig_send_iov(520, iov, count, 0, SIZE_MAX, wire), len + count - 1);
		ck_assert_int_eq(strip(wire), count <= 1022 ? 1 : 0);
		ck_assert_uint_eq(strlen(wire), (size_t)(len + count - 1));
		oa_conn_on_socket(520, AF_INET, SOCK_STREAM);
	}
}
END_TEST

START_TEST(inject_reaches_every_pipelined_request_up_to_its_limit)
{
	char many[1024] = { 0 };

	start();
	for (int i = 0; i < OA_INJECT_POINTS_MAX + 1; i++)
		strcat(many, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert_int_eq(rig_send(520, many, SIZE_MAX, wire), (int)strlen(many));
	ck_assert_int_eq(strip(wire), OA_INJECT_POINTS_MAX);
	ck_assert_str_eq(wire, many);
}
END_TEST

/* A header of `bytes` bytes with `fields` fields; both include the one that fills it up. */
static char *header_of(size_t bytes, unsigned fields)
{
	char *text = calloc(1, bytes + 1), *at = text;

	ck_assert_ptr_nonnull(text);
	at += sprintf(at, "GET / HTTP/1.1\r\nHost: up\r\n");
	for (unsigned i = 2; i < fields; i++)
		at += sprintf(at, "X-%u: some text\r\n", i);
	at += sprintf(at, "X-Rest: ");
	memset(at, 'r', (size_t)(text + bytes - 4 - at));
	strcpy(text + bytes - 4, "\r\n\r\n");
	return text;
}

static int inject_into(size_t bytes, unsigned fields)
{
	char *text = header_of(bytes, fields);
	const struct oa_span *s;
	int injected;

	start();
	send_all(text, SIZE_MAX);
	injected = strip(wire);
	ck_assert_str_eq(wire, text);
	rig_receive(520, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(s->inject, injected ? OA_INJECT_DONE : OA_INJECT_HEAD_LIMIT);
	oa_conn_on_socket(520, AF_INET, SOCK_STREAM);
	free(text);
	return injected;
}

/* Ours are 70 bytes. */
START_TEST(inject_makes_no_header_longer_than_servers_accept)
{
	static const size_t limits[] = { 8192, 15360, 16384 };

	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(inject_into(limits[i] - 70, 3), 1);
		ck_assert_int_eq(inject_into(limits[i] - 69, 3), 0);
		ck_assert_int_eq(inject_into(limits[i], 3), 0);
		ck_assert_int_eq(inject_into(limits[i] + 1, 3), 1);
	}
}
END_TEST

START_TEST(inject_adds_no_field_to_as_many_as_servers_accept)
{
	ck_assert_int_eq(inject_into(3000, 99), 1);
	ck_assert_int_eq(inject_into(3000, 100), 0);
	ck_assert_int_eq(inject_into(3000, 101), 1);
}
END_TEST

START_TEST(inject_never_touches_a_body_that_looks_like_a_request)
{
	static const char tricky[] = "POST /a HTTP/1.1\r\nHost: up\r\nContent-Length: 27\r\n\r\n"
				     "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

	start();
	send_all(tricky, SIZE_MAX);
	ck_assert_int_eq(strip(wire), 1);
	ck_assert_str_eq(wire, tricky);
	wire[0] = 0;
	start();
	oa_conn_on_socket(521, AF_INET, SOCK_STREAM);
	rig_connect(521);
	ck_assert_int_gt(rig_send(521, "POST /a HTTP/1.1\r\nHost: up\r\nContent-Length: 27\r\n\r\n", SIZE_MAX, wire), 0);
	wire[0] = 0;
	ck_assert_int_eq(rig_send(521, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", SIZE_MAX, wire), 27);
	ck_assert_str_eq(wire, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}
END_TEST

START_TEST(inject_leaves_other_protocols_alone_for_good)
{
	start();
	ck_assert_int_eq(rig_send(520, "EHLO host.x\r\n", SIZE_MAX, wire), 13);
	wire[0] = 0;
	ck_assert_int_eq(rig_send(520, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", SIZE_MAX, wire), 27);
	ck_assert_str_eq(wire, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_not_http), 1);
}
END_TEST

START_TEST(inject_declines_connect_and_zerocopy)
{
	struct iovec iov = { (void *)(uintptr_t)request, strlen(request) };

	start();
	ck_assert_int_gt(rig_send_iov(520, &iov, 1, MSG_ZEROCOPY_, SIZE_MAX, wire), 0);
	ck_assert_str_eq(wire, request);
	rig_connect(521);
	wire[0] = 0;
	ck_assert_int_gt(rig_send(521, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", SIZE_MAX, wire), 0);
	ck_assert_int_eq(strip(wire), 0);
}
END_TEST

/* Sends the host's buffers; returns how many the kernel is given. ret_last: where the last of them is */
static int composed(const struct iovec *iov, int count, const void **ret_last)
{
	size_t all = 0;
	struct oa_send s;
	int n;

	oa_conn_before_send(520, iov, count, 0, &s);
	ck_assert(s.rewrite);
	for (int i = 0; i < s.iovcnt; i++)
		all += s.iov[i].iov_len;
	n = s.iovcnt;
	*ret_last = s.iov[n - 1].iov_base;
	oa_conn_after_send(&s, (ssize_t)all, 0);
	return n;
}

START_TEST(inject_gives_the_kernel_a_header_in_one_buffer_and_never_copies_a_body)
{
	static const char head[] = "POST / HTTP/1.1\r\nHost: up\r\nContent-Length: 6\r\n\r\nabc", more[] = "def";
	static const char get[] = "GET / HTTP/1.1\r\nHost: up\r\n\r\n";
	const struct iovec both[] = { { (void *)(uintptr_t)head, sizeof(head) - 1 }, { (void *)(uintptr_t)more, 3 } };
	const struct iovec one = { (void *)(uintptr_t)get, sizeof(get) - 1 };
	const void *last;

	start();
	ck_assert_int_eq(composed(&one, 1, &last), 1);
	start();
	ck_assert_int_eq(composed(both, 1, &last), 2);
	ck_assert_ptr_eq(last, strstr(head, "abc"));
	start();
	ck_assert_int_eq(composed(both, 2, &last), 3);
	ck_assert_ptr_eq(last, more);
}
END_TEST

START_TEST(inject_copies_no_long_header)
{
	static char text[4096];
	const void *last;
	size_t len = (size_t)snprintf(text, sizeof(text), "GET /%02000d HTTP/1.1\r\nHost: up\r\n\r\n", 0);
	const struct iovec iov = { text, len };

	start();
	ck_assert_int_eq(composed(&iov, 1, &last), 3);
	ck_assert_ptr_eq(last, text + len - 2);
}
END_TEST

START_TEST(inject_continues_a_rewrite_that_was_cut)
{
	static const char in[] = "GET /p HTTP/1.1\r\nHost: x\r\n"
				 "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
	size_t id_at = (size_t)(strstr(in, "00f067aa0ba902b7") - in);

	for (size_t room = 1; room <= strlen(in); room++) {
		size_t at = 0;

		start();
		rig_accept(510, false);
		rig_receive(510, in);
		while (at < strlen(in)) {
			ssize_t n = rig_send(520, in + at, at ? SIZE_MAX : room, wire);

			ck_assert_int_gt(n, 0);
			at += (size_t)n;
		}
		ck_assert_uint_eq(strlen(wire), strlen(in));
		ck_assert(!memcmp(wire, in, id_at));
		ck_assert_str_eq(wire + id_at + 19, in + id_at + 19);
		/* Either theirs or ours, never a mixture. */
		if (room > id_at)
			ck_assert(memcmp(wire + id_at, in + id_at, 16));
		else
			ck_assert(!memcmp(wire + id_at, in + id_at, 16));
		oa_conn_on_socket(520, AF_INET, SOCK_STREAM);
		oa_conn_on_socket(510, AF_INET, SOCK_STREAM);
	}
}
END_TEST

START_TEST(inject_carries_tracestate_and_baggage_on)
{
	start();
	rig_accept(510, false);
	rig_receive(510, "GET / HTTP/1.1\r\nHost: x\r\ntracestate: a=1\r\nTraceState: b=2 , c=3\r\n"
			 "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nbaggage: user=7\r\n\r\n");
	ck_assert_int_gt(rig_send(520, request, SIZE_MAX, wire), 0);
	ck_assert_ptr_nonnull(strstr(wire, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
	ck_assert_ptr_nonnull(strstr(wire, "\r\ntracestate: a=1,b=2,c=3\r\n"));
	ck_assert_ptr_nonnull(strstr(wire, "\r\nbaggage: user=7\r\n"));
}
END_TEST

START_TEST(inject_counts_lists_that_could_not_be_read)
{
	pthread_t t;

	start();
	rig_accept(510, false);
	rig_receive(510, "GET / HTTP/1.1\r\nHost: x\r\nbaggage: user=7\r\n"
			 "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n");
	t = rig_another_is_in(510);
	ck_assert_int_gt(rig_send(520, request, SIZE_MAX, wire), 0);
	pthread_join(t, NULL);
	ck_assert_ptr_nonnull(strstr(wire, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
	ck_assert_ptr_null(strstr(wire, "baggage"));
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_lists_missed), 1);
}
END_TEST

START_TEST(inject_keeps_a_remainder_of_a_connection_that_was_given_up_meanwhile)
{
	struct iovec iov = { (void *)(uintptr_t)request, strlen(request) };
	const char *rest = "GET /next HTTP/1.1\r\nHost: up\r\n\r\n";
	size_t cut = strlen("POST /a?b=c HTTP/1.1\r\nHost: up\r\nContent-Length: 3\r\n") + 20;
	struct oa_send s;
	ssize_t n;

	start();
	oa_conn_before_send(520, &iov, 1, 0, &s);
	ck_assert(s.rewrite);
	rig_receive(520, "this is no HTTP\r\n"); /* another thread reads */
	for (size_t i = 0, took = 0; i < (size_t)s.iovcnt && took < cut; i++) {
		size_t step = s.iov[i].iov_len < cut - took ? s.iov[i].iov_len : cut - took;

		strncat(wire, s.iov[i].iov_base, step);
		took += step;
	}
	n = oa_conn_after_send(&s, (ssize_t)cut, 0);
	ck_assert_int_eq(n, (ssize_t)cut - 20);
	ck_assert_int_eq(rig_send(520, request + n, SIZE_MAX, wire), (ssize_t)strlen(request) - n);
	ck_assert_int_eq(strip(wire), 1);
	ck_assert_str_eq(wire, request);
	ck_assert_int_eq(rig_send(520, rest, SIZE_MAX, wire), (ssize_t)strlen(rest));
	ck_assert_ptr_null(strstr(wire, "traceparent"));
}
END_TEST

START_TEST(inject_waits_for_a_thread_that_is_in_a_connection_which_owes_a_remainder)
{
	pthread_t t;
	ssize_t n;

	start();
	n = rig_send(520, request, strlen(request) - 5 + 20, wire);
	ck_assert_int_eq(n, (ssize_t)strlen(request) - 5);
	t = rig_another_is_in(520);
	ck_assert_int_eq(rig_send(520, request + n, SIZE_MAX, wire), 5);
	pthread_join(t, NULL);
	ck_assert_int_eq(strip(wire), 1);
	ck_assert_str_eq(wire, request);
}
END_TEST

START_TEST(inject_sends_a_remainder_first_however_many_iovecs_come_behind_it)
{
	static struct iovec iov[IOV_MAX];
	static char body[2 * IOV_MAX + 1];
	char head[200];
	ssize_t n;

	for (size_t i = 0; i < IOV_MAX; i++)
		iov[i] = (struct iovec){ memcpy(body + 2 * i, i % 2 ? "ab" : "cd", 2), 2 };
	start();
	snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: up\r\nContent-Length: %d\r\n\r\n", 2 * IOV_MAX);
	n = rig_send(520, head, strlen(head) - 2 + 10, wire); /* cut in the middle of our header */
	ck_assert_int_eq(n, (ssize_t)strlen(head) - 2);
	iov[0] = (struct iovec){ memcpy(body, "\r\n", 2), 2 };
	n = rig_send_iov(520, iov, IOV_MAX, 0, SIZE_MAX, wire);
	ck_assert_int_gt(n, 0);
	ck_assert_int_le(n, 2 * IOV_MAX);
	ck_assert_int_eq(strip(wire), 1);
	ck_assert_int_eq(strncmp(wire, head, strlen(head)), 0);
	ck_assert_uint_eq(strlen(wire), strlen(head) - 2 + (size_t)n);
	ck_assert_int_eq(strncmp(wire + strlen(head) - 2, body, (size_t)n), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("inject");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, inject_adds_one_header_before_the_blank_line);
	tcase_add_test(tc, inject_survives_every_short_write);
	tcase_add_test(tc, inject_cut_once_at_every_byte_is_completed_first);
	tcase_add_test(tc, inject_after_eagain_is_as_if_nothing_had_been_asked);
	tcase_add_test(tc, inject_split_over_calls_goes_out_as_it_is_and_says_so);
	tcase_add_test(tc, inject_gathers_a_header_spread_over_iovecs);
	tcase_add_test(tc, inject_uses_many_iovecs_up_to_the_limit);
	tcase_add_test(tc, inject_reaches_every_pipelined_request_up_to_its_limit);
	tcase_add_test(tc, inject_makes_no_header_longer_than_servers_accept);
	tcase_add_test(tc, inject_adds_no_field_to_as_many_as_servers_accept);
	tcase_add_test(tc, inject_never_touches_a_body_that_looks_like_a_request);
	tcase_add_test(tc, inject_leaves_other_protocols_alone_for_good);
	tcase_add_test(tc, inject_declines_connect_and_zerocopy);
	tcase_add_test(tc, inject_gives_the_kernel_a_header_in_one_buffer_and_never_copies_a_body);
	tcase_add_test(tc, inject_copies_no_long_header);
	tcase_add_test(tc, inject_continues_a_rewrite_that_was_cut);
	tcase_add_test(tc, inject_carries_tracestate_and_baggage_on);
	tcase_add_test(tc, inject_counts_lists_that_could_not_be_read);
	tcase_add_test(tc, inject_keeps_a_remainder_of_a_connection_that_was_given_up_meanwhile);
	tcase_add_test(tc, inject_waits_for_a_thread_that_is_in_a_connection_which_owes_a_remainder);
	tcase_add_test(tc, inject_sends_a_remainder_first_however_many_iovecs_come_behind_it);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
