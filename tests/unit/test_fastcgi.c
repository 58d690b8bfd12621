/* Requests by FastCGI as conn/ sees them: parameters become a span like one of HTTP. */
#include "tests/unit/conn_rig.h"

#include "core/inject_result.h"
#include "core/stats.h"

#define FD 530

struct bytes {
	uint8_t at[40000];
	size_t len;
};

static void record(struct bytes *b, uint8_t type, const void *content, size_t len)
{
	uint8_t head[8] = { 1, type, 0, 1, (uint8_t)(len >> 8), (uint8_t)len, 0, 0 };

	memcpy(b->at + b->len, head, 8);
	memcpy(b->at + b->len + 8, content, len);
	b->len += 8 + len;
}

static void param(struct bytes *p, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	p->at[p->len++] = (uint8_t)name_len;
	p->at[p->len++] = (uint8_t)(0x80 | value_len >> 24);
	p->at[p->len++] = (uint8_t)(value_len >> 16);
	p->at[p->len++] = (uint8_t)(value_len >> 8);
	p->at[p->len++] = (uint8_t)value_len;
	memcpy(p->at + p->len, name, name_len);
	memcpy(p->at + p->len + name_len, value, value_len);
	p->len += name_len + value_len;
}

static void request(struct bytes *b, const struct bytes *params)
{
	b->len = 0;
	record(b, 1, "\0\1\1\0\0\0\0\0", 8);
	record(b, 4, params->at, params->len);
	record(b, 4, "", 0);
	record(b, 5, "abc", 3);
	record(b, 5, "", 0);
}

static void receive(const struct bytes *b, size_t step)
{
	for (size_t at = 0; at < b->len; at += step) {
		size_t n = b->len - at < step ? b->len - at : step;

		oa_conn_on_received(FD, b->at + at, n, (ssize_t)n, 0, 0);
	}
}

static void answer(const char *text)
{
	struct bytes b = { .len = 0 };
	struct iovec iov = { b.at, 0 };

	record(&b, 6, text, strlen(text));
	record(&b, 6, "", 0);
	record(&b, 3, "\0\0\0\0\0\0\0\0", 8);
	iov.iov_len = b.len;
	ck_assert_int_eq(rig_send_iov(FD, &iov, 1, 0, SIZE_MAX, NULL), (ssize_t)b.len);
}

static void usual(struct bytes *p)
{
	p->len = 0;
	param(p, "REQUEST_METHOD", "POST");
	param(p, "SCRIPT_NAME", "/index.php");
	param(p, "REQUEST_URI", "/shop?x=1");
	param(p, "SERVER_PROTOCOL", "HTTP/2.0");
	param(p, "HTTPS", "on");
	param(p, "REMOTE_ADDR", "192.0.2.7");
	param(p, "HTTP_HOST", "shop.example");
	param(p, "HTTP_USER_AGENT", "tester");
	param(p, "HTTP_TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	param(p, "HTTP_X_EVIL", "a\r\nhost: evil");
}

START_TEST(fastcgi_parameters_are_a_request)
{
	static struct bytes p, b;
	const struct oa_span *s;

	rig_start();
	rig_accept(FD, false);
	usual(&p);
	request(&b, &p);
	for (int turn = 0; turn < 2; turn++) { /* the connection is kept */
		receive(&b, _i ? (size_t)_i : b.len);
		ck_assert_ptr_null(rig_next());
		answer("Status: 404 Not Found\r\nContent-Type: text/html\r\n\r\nno");
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_int_eq(s->kind, OA_KIND_SERVER);
		ck_assert_int_eq(s->what, OA_WHAT_HTTP);
		ck_assert_int_eq(s->method, OA_METHOD_POST);
		ck_assert_int_eq(s->status, 404);
		ck_assert_int_eq(s->version, 20);
		ck_assert_uint_eq(s->req_body, 3);
		ck_assert_int_eq(s->error, OA_ERR_NONE);
		ck_assert(rig_str_is(s, OA_STR_TARGET, "/shop?x=1"));
		ck_assert(rig_str_is(s, OA_STR_HOST, "shop.example"));
		ck_assert(rig_str_is(s, OA_STR_USER_AGENT, "tester"));
		ck_assert(rig_str_is(s, OA_STR_FWD_FOR, "192.0.2.7"));
		ck_assert(rig_str_is(s, OA_STR_FWD_PROTO, "https"));
		ck_assert(!memcmp(s->parent_id, "\xb7\xad\x6b\x71\x69\x20\x33\x31", 8));
		ck_assert_ptr_null(rig_next());
	}
}
END_TEST

START_TEST(fastcgi_what_is_too_long_is_cut_or_left_out)
{
	static char target[4000], field[2001];
	static struct bytes p, b;
	const struct oa_span *s;

	memset(target, 'a', sizeof(target) - 1);
	target[0] = '/';
	memset(field, 'b', sizeof(field) - 1);
	rig_start();
	rig_accept(FD, false);
	p.len = 0;
	param(&p, "REQUEST_URI", target);
	param(&p, "REQUEST_METHOD", "GET");
	for (int i = 0; i < 12; i++)
		param(&p, "HTTP_X_FORWARDED_HOST", field);
	request(&b, &p);
	receive(&b, b.len);
	answer("\r\n");
	s = rig_next();
	ck_assert(s && s->status == 200);
	ck_assert_uint_eq(oa_span_str(s, OA_STR_TARGET).len, OA_TARGET_TEXT_MAX);
}
END_TEST

START_TEST(fastcgi_a_request_without_a_method_is_not_guessed_at)
{
	static struct bytes p, b;

	rig_start();
	rig_accept(FD, false);
	param(&p, "SCRIPT_NAME", "/status");
	request(&b, &p);
	receive(&b, b.len);
	answer("\r\n");
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_parse), 1);
}
END_TEST

START_TEST(fastcgi_a_connection_that_closes_in_between_gives_back_what_it_took)
{
	static struct bytes p, b;

	rig_start();
	usual(&p);
	request(&b, &p);
	b.len = 60; /* among the parameters */
	for (int i = 0; i < 5000; i++) { /* more than there are blocks */
		rig_accept(FD, false);
		receive(&b, b.len);
		oa_conn_before_close(FD);
	}
	rig_accept(FD, false);
	request(&b, &p);
	receive(&b, b.len);
	answer("\r\n");
	ck_assert_ptr_nonnull(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_pool) + oa_stat_sum(OA_STAT_drop_text_pool), 0);
}
END_TEST

/* -- the web server's side -- */

#define CLIENT 531

static struct bytes wire;

static void start_client(void)
{
	rig_start();
	rig_connect(CLIENT);
	wire.len = 0;
}

/* One call; the kernel takes `room` bytes at most, which are added to the wire. returns what the host gets */
static ssize_t call(const struct iovec *iov, int iovcnt, size_t room)
{
	struct oa_send s;
	const struct iovec *use;
	size_t took = 0;
	int count;

	oa_conn_before_send(CLIENT, iov, iovcnt, 0, &s);
	use = s.rewrite ? s.iov : iov;
	count = s.rewrite ? s.iovcnt : iovcnt;
	for (int i = 0; i < count && took < room; i++) {
		size_t step = use[i].iov_len < room - took ? use[i].iov_len : room - took;

		ck_assert_uint_le(wire.len + step, sizeof(wire.at));
		memcpy(wire.at + wire.len, use[i].iov_base, step);
		wire.len += step;
		took += step;
	}
	if (!s.watched)
		return room ? (ssize_t)took : -1;
	return oa_conn_after_send(&s, room ? (ssize_t)took : -1, room ? 0 : EAGAIN);
}

/* As a program sends it that waits until all is sent. */
static void send_from(const struct bytes *b, size_t at, size_t len, size_t room)
{
	while (len) {
		struct iovec iov = { (void *)(uintptr_t)(b->at + at), len };
		ssize_t n = call(&iov, 1, room);

		ck_assert_int_gt(n, 0);
		ck_assert_int_le(n, (ssize_t)len);
		at += (size_t)n;
		len -= (size_t)n;
	}
}

static const uint8_t *find(const struct bytes *b, const char *text)
{
	return memmem(b->at, b->len, text, strlen(text));
}

/* Takes our record out of the wire. returns false when there is none; *ret: what it says, without a byte of padding */
static bool take_ours(struct bytes *ret)
{
	size_t at = 0;

	ret->len = 0;
	while (at + 8 <= wire.len) {
		size_t len = (size_t)(wire.at[at + 4] << 8 | wire.at[at + 5]), whole = 8 + len + wire.at[at + 6];

		if (wire.at[at + 1] == 4 && len && !memcmp(wire.at + at + 10, "HTTP_TRACEPARENT00-", 19)) {
			memcpy(ret->at, wire.at + at + 8, len);
			ret->len = len;
			ck_assert_uint_eq(whole % 8, 0);
			memmove(wire.at + at, wire.at + at + whole, wire.len - at - whole);
			wire.len -= whole;
			return true;
		}
		at += whole;
	}
	ck_assert_uint_eq(at, wire.len);
	return false;
}

static void assert_wire_is(const struct bytes *b)
{
	ck_assert_uint_eq(wire.len, b->len);
	ck_assert_mem_eq(wire.at, b->at, b->len);
}

static void asked(struct bytes *p)
{
	p->len = 0;
	param(p, "SCRIPT_FILENAME", "/srv/index.php");
	param(p, "REQUEST_METHOD", "POST");
	param(p, "REQUEST_URI", "/shop?x=1");
	param(p, "HTTPS", "on");
	param(p, "HTTP_HOST", "shop.example");
}

static void client_answer(const char *text, const char *end)
{
	static struct bytes b;

	b.len = 0;
	if (text)
		record(&b, 6, text, strlen(text));
	if (text)
		record(&b, 6, "", 0);
	record(&b, 3, end, 8);
	oa_conn_on_received(CLIENT, b.at, b.len, (ssize_t)b.len, 0, 0);
}

#define ENDS_WELL "\0\0\0\0\0\0\0\0"

START_TEST(fastcgi_client_adds_a_record_for_every_way_the_kernel_cuts)
{
	static struct bytes p, b, ours;
	unsigned added = 0;
	const struct oa_span *s;

	start_client();
	asked(&p);
	request(&b, &p);
	for (size_t room = 1; room <= b.len + 100; room++) { /* the connection is kept */
		wire.len = 0;
		send_from(&b, 0, b.len, room);
		added += take_ours(&ours);
		assert_wire_is(&b);
		client_answer("Status: 201\r\n\r\n", ENDS_WELL);
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_int_eq(s->kind, OA_KIND_CLIENT);
		ck_assert_int_eq(s->status, 201);
		ck_assert_uint_eq(s->req_body, 3);
		ck_assert_int_eq(!!(s->flags & OA_SPAN_INJECTED), ours.len > 0);
		ck_assert_int_eq(s->inject, ours.len ? OA_INJECT_DONE : OA_INJECT_SHORT);
		if (ours.len) {
			uint8_t id[8];

			ck_assert_uint_eq(ours.len, 2 + 16 + 55);
			ck_assert_int_eq(oa_unhex(id, ours.at + 2 + 16 + 36, 8), 0);
			ck_assert_mem_eq(id, s->span_id, 8);
		}
		ck_assert_ptr_null(rig_next());
	}
	ck_assert_uint_gt(added, 100);
}
END_TEST

START_TEST(fastcgi_client_cut_once_anywhere_is_completed_first)
{
	static struct bytes p, b, ours;

	start_client();
	asked(&p);
	request(&b, &p);
	for (size_t cut = 1; cut < b.len + 88; cut++) {
		struct iovec iov = { b.at, b.len };
		ssize_t n;

		wire.len = 0;
		n = call(&iov, 1, cut);
		ck_assert_int_gt(n, 0);
		if ((size_t)n < b.len)
			send_from(&b, (size_t)n, b.len - (size_t)n, SIZE_MAX);
		(void)take_ours(&ours);
		assert_wire_is(&b);
		client_answer("\r\n", ENDS_WELL);
		ck_assert_ptr_nonnull(rig_next());
		ck_assert_ptr_null(rig_next());
	}
}
END_TEST

START_TEST(fastcgi_client_finds_the_end_of_the_parameters_wherever_buffers_and_calls_end)
{
	static struct bytes p, b, ours;
	unsigned seed = 7, added = 0;

	start_client();
	asked(&p);
	request(&b, &p);
	for (unsigned turn = 0; turn < 3000; turn++) {
		size_t at = 0;

		wire.len = 0;
		while (at < b.len) {
			struct iovec iov[12];
			size_t from = at;
			int n = 0;

			do {
				size_t len = (size_t)rand_r(&seed) % (turn % 3 ? 200 : 20);

				len = len < b.len - at ? len : b.len - at;
				iov[n++] = (struct iovec){ b.at + at, len };
				at += len;
			} while (n < 12 && at < b.len && rand_r(&seed) % 6);
			if (at > from)
				ck_assert_int_eq(call(iov, n, SIZE_MAX), (ssize_t)(at - from));
		}
		added += take_ours(&ours);
		assert_wire_is(&b);
		client_answer("\r\n", ENDS_WELL);
		ck_assert_ptr_nonnull(rig_next());
		ck_assert_ptr_null(rig_next());
	}
	ck_assert_uint_gt(added, 1000);
}
END_TEST

/* As Apache does: the beginning, the parameters and their end by calls of their own. */
START_TEST(fastcgi_client_remembers_parameters_of_earlier_calls)
{
	static struct bytes p, b, ours;
	size_t cuts[] = { 16, 24, 0, 0, 0 };
	const struct oa_span *s;

	start_client();
	asked(&p);
	request(&b, &p);
	cuts[2] = 24 + p.len;
	cuts[3] = cuts[2] + 8;
	cuts[4] = b.len;
	for (size_t i = 0, at = 0; i < 5; at = cuts[i++])
		send_from(&b, at, cuts[i] - at, SIZE_MAX);
	ck_assert(take_ours(&ours));
	assert_wire_is(&b);
	client_answer("\r\n", ENDS_WELL);
	s = rig_next();
	ck_assert(s && s->inject == OA_INJECT_DONE);
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/shop?x=1"));
	ck_assert(rig_str_is(s, OA_STR_FWD_HOST, "shop.example"));
	ck_assert(rig_str_is(s, OA_STR_FWD_PROTO, "https"));
}
END_TEST

START_TEST(fastcgi_client_after_eagain_is_as_if_nothing_had_been_asked)
{
	static struct bytes p, b, ours;
	struct iovec iov = { b.at, 0 };

	start_client();
	asked(&p);
	request(&b, &p);
	iov.iov_len = b.len;
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(call(&iov, 1, 0), -1);
	send_from(&b, 0, b.len, SIZE_MAX);
	ck_assert(take_ours(&ours));
	assert_wire_is(&b);
	client_answer("\r\n", ENDS_WELL);
	ck_assert_ptr_nonnull(rig_next());
	ck_assert_ptr_null(rig_next());
}
END_TEST

#define PARENT "HTTP_TRACEPARENT"
#define GIVEN  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* nginx hands the header of its own client on. _i: how much the kernel takes at a time; 0: Apache's way */
START_TEST(fastcgi_client_rewrites_what_was_handed_on)
{
	static struct bytes p, b, ours;
	const struct oa_span *s;
	const uint8_t *at;
	uint8_t server[8];
	size_t room = _i ? (size_t)_i : SIZE_MAX;

	start_client();
	rig_accept(FD, true);
	rig_receive(FD, "GET /shop?x=1 HTTP/1.1\r\nHost: a\r\ntraceparent: " GIVEN "\r\n\r\n");
	asked(&p);
	param(&p, PARENT, GIVEN);
	param(&p, "HTTP_BAGGAGE", "a=b");
	request(&b, &p);
	if (_i) {
		send_from(&b, 0, b.len, room);
	} else {
		send_from(&b, 0, 16, room);
		send_from(&b, 16, 8 + p.len, room);
		send_from(&b, 24 + p.len, 8, room);
		send_from(&b, 32 + p.len, b.len - 32 - p.len, room);
	}
	ck_assert(find(&wire, "HTTP_BAGGAGEa=b"));
	at = find(&wire, PARENT "00-0af7651916cd43dd8448eb211c80319c-");
	ck_assert_ptr_nonnull(at);
	client_answer("\r\n", ENDS_WELL);
	rig_respond(FD);
	s = rig_next();
	ck_assert(s && s->kind == OA_KIND_CLIENT);
	memcpy(server, s->parent_id, 8);
	if (s->inject == OA_INJECT_REWRITTEN) {
		uint8_t id[8];

		ck_assert_int_eq(oa_unhex(id, at + 16 + 36, 8), 0);
		ck_assert_mem_eq(id, s->span_id, 8);
		memcpy(wire.at + (at - wire.at) + 16 + 36, "b7ad6b7169203331-01", 19);
	} else {
		ck_assert_uint_lt(room, 400);
		ck_assert_int_eq(s->inject, OA_INJECT_SHORT);
	}
	assert_wire_is(&b);
	ck_assert(!take_ours(&ours) || ours.len);
	s = rig_next();
	ck_assert(s && s->kind == OA_KIND_SERVER);
	ck_assert_mem_eq(s->span_id, server, 8);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(fastcgi_client_carries_lists_on_but_never_twice)
{
	static char value[300] = "k=";
	static struct bytes p, b, ours;
	char text[700];

	memset(value + 2, 'v', 250);
	start_client();
	rig_accept(FD, false);
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: " GIVEN "\r\ntracestate: x=y\r\nbaggage: %s\r\n\r\n", value);
	rig_receive(FD, text);
	asked(&p);
	if (_i)
		param(&p, "HTTP_BAGGAGE", value);
	request(&b, &p);
	send_from(&b, 0, b.len, SIZE_MAX);
	ck_assert(take_ours(&ours));
	assert_wire_is(&b);
	ck_assert_ptr_nonnull(find(&ours, "\x0f\x03HTTP_TRACESTATEx=y"));
	ck_assert_int_eq(!find(&ours, "HTTP_BAGGAGEk=vvv"), _i);
	ck_assert_int_eq(!memmem(ours.at, ours.len, "\x0c\x80\0\0\xfcHTTP_BAGGAGE", 17), _i);
}
END_TEST

START_TEST(fastcgi_client_says_why_a_request_was_refused)
{
	static const struct {
		const char *text, *end;
		enum oa_error error;
		uint16_t status;
	} cases[] = {
		{ NULL, "\0\0\0\0\1\0\0\0", OA_ERR_FASTCGI_MULTIPLEX, 0 },
		{ NULL, "\0\0\0\0\2\0\0\0", OA_ERR_FASTCGI_OVERLOADED, 0 },
		{ NULL, "\0\0\0\0\3\0\0\0", OA_ERR_FASTCGI_ROLE, 0 },
		{ NULL, ENDS_WELL, OA_ERR_MALFORMED, 0 },
		{ "Status: 503 No\r\n\r\n", ENDS_WELL, OA_ERR_NONE, 503 },
		{ "Location: /\r\n\r\n", "\0\0\0\1\0\0\0\0", OA_ERR_NONE, 200 },
	};
	static struct bytes p, b;
	const struct oa_span *s;

	start_client();
	asked(&p);
	request(&b, &p);
	send_from(&b, 0, b.len, SIZE_MAX);
	client_answer(cases[_i].text, cases[_i].end);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(s->error, cases[_i].error);
	ck_assert_int_eq(s->status, cases[_i].status);
	ck_assert_int_eq(!!(s->flags & OA_SPAN_HAS_STATUS), cases[_i].status != 0);
}
END_TEST

START_TEST(fastcgi_client_that_is_left_alone_says_so)
{
	static struct bytes p, b;
	const struct oa_span *s;

	start_client();
	asked(&p);
	request(&b, &p);
	send_from(&b, 0, b.len, SIZE_MAX);
	oa_conn_on_received(CLIENT, b.at, 100, 0, 0, 0);
	s = rig_next();
	ck_assert(s && s->error == OA_ERR_CONNECTION_CLOSED);
	ck_assert_ptr_null(rig_next());
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("fastcgi");
	Suite *suite = suite_create("conn");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, fastcgi_parameters_are_a_request, 0, 20);
	tcase_add_test(tc, fastcgi_what_is_too_long_is_cut_or_left_out);
	tcase_add_test(tc, fastcgi_a_request_without_a_method_is_not_guessed_at);
	tcase_add_test(tc, fastcgi_a_connection_that_closes_in_between_gives_back_what_it_took);
	tcase_add_test(tc, fastcgi_client_adds_a_record_for_every_way_the_kernel_cuts);
	tcase_add_test(tc, fastcgi_client_cut_once_anywhere_is_completed_first);
	tcase_add_test(tc, fastcgi_client_finds_the_end_of_the_parameters_wherever_buffers_and_calls_end);
	tcase_add_test(tc, fastcgi_client_remembers_parameters_of_earlier_calls);
	tcase_add_test(tc, fastcgi_client_after_eagain_is_as_if_nothing_had_been_asked);
	tcase_add_loop_test(tc, fastcgi_client_rewrites_what_was_handed_on, 0, 450);
	tcase_add_loop_test(tc, fastcgi_client_carries_lists_on_but_never_twice, 0, 2);
	tcase_add_loop_test(tc, fastcgi_client_says_why_a_request_was_refused, 0, 6);
	tcase_add_test(tc, fastcgi_client_that_is_left_alone_says_so);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
