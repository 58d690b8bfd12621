/* Connections that begin with a PROXY header: what stands behind it is seen as if it were not there, on either side, however
 * the bytes are cut; what goes out with it gets our header where it belongs. */
#include "tests/unit/h2_rig.h"

#include "conn/proxied.h"
#include "conn/tls.h"
#include "core/inject_result.h"
#include "core/state.h"
#include "core/thread.h"

#define FD 590

#define V1     "PROXY TCP4 192.0.2.7 127.0.0.1 50000 80\r\n"
#define V2_SIG "\r\n\r\n\0\r\nQUIT\n"
#define V2_V6  V2_SIG "\x21\x21\0\x2b" "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x9" "0123456789abcdef\xc3\x50\0\x50" "\3\0\4abcd"
#define GET_H2 H2_FRAME("\3", "\1", "\5", "\1") "\x82\x86\x84"

static const struct {
	struct oa_bytes header;
	const char *client; /* "" nobody */
} headers[] = {
	{ { (const uint8_t *)V1, sizeof(V1) - 1 }, "192.0.2.7" },
	{ { (const uint8_t *)"PROXY TCP6 2001:db8::9 ::1 50000 80\r\n", 37 }, "2001:db8::9" },
	{ { (const uint8_t *)"PROXY UNKNOWN\r\n", 15 }, "" },
	{ { (const uint8_t *)V2_V6, sizeof(V2_V6) - 1 }, "2001:db8::9" },
	{ { (const uint8_t *)V2_SIG "\x21\x11\0\x0c" "\xc0\0\2\7\x7f\0\0\1\xc3\x50\0\x50", 28 }, "192.0.2.7" },
	{ { (const uint8_t *)V2_SIG "\x20\0\0\0", 16 }, "" },
	{ { (const uint8_t *)V2_SIG "\x21\x31\0\4/tmp", 20 }, "" },
};
#define HEADERS ((int)(sizeof(headers) / sizeof(headers[0])))

static const char request[] = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
static const char answer[] = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";

/* A header and what follows it. */
static struct h2_bytes all;

static void put_all(struct oa_bytes header, const void *rest, size_t len)
{
	all.len = 0;
	h2_put(&all, header.ptr, header.len);
	h2_put(&all, rest, len);
}

static void assert_client(const struct oa_span *s, const char *want)
{
	struct oa_bytes client = oa_span_str(s, OA_STR_PROXIED);
	struct oa_addr addr;
	char text[64] = "";

	if (client.len) {
		ck_assert_uint_eq(client.len, sizeof(addr));
		memcpy(&addr, client.ptr, sizeof(addr));
		ck_assert_uint_eq(addr.port, 50000);
		ck_assert_ptr_nonnull(inet_ntop(addr.family == 4 ? AF_INET : AF_INET6, addr.ip, text, sizeof(text)));
	}
	ck_assert_str_eq(text, want);
}

static void assert_span(enum oa_kind kind, unsigned status, const char *client)
{
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->kind, kind);
	ck_assert_uint_eq(s->status, status);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert_uint_eq(s->peer.family, 4); /* the socket's own */
	ck_assert_uint_eq(s->peer.port, kind == OA_KIND_SERVER ? 40000 + FD : 8080);
	assert_client(s, client);
	ck_assert_ptr_null(rig_next());
}

static void receive(const void *bytes, size_t len)
{
	if (len)
		h2_receive(FD, bytes, len);
}

static uint64_t opaque(void)
{
	return oa_stat_sum(OA_STAT_opaque_not_http) + oa_stat_sum(OA_STAT_opaque_parse) + oa_stat_sum(OA_STAT_opaque_too_big) +
	       oa_stat_sum(OA_STAT_opaque_midway) + oa_stat_sum(OA_STAT_opaque_contention);
}

/* -- served -- */

START_TEST(proxied_requests_are_served_wherever_their_bytes_are_cut)
{
	put_all(headers[_i].header, request, strlen(request));
	rig_start();
	for (size_t cut = 0; cut <= all.len; cut++) {
		rig_accept(FD, false);
		receive(all.bytes, cut);
		receive(all.bytes + cut, all.len - cut);
		rig_send(FD, answer, SIZE_MAX, NULL);
		assert_span(OA_KIND_SERVER, 201, headers[_i].client);
	}
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

START_TEST(proxied_requests_are_served_byte_by_byte_and_over_many_buffers)
{
	struct iovec iov[200];

	put_all(headers[_i].header, request, strlen(request));
	rig_start();
	rig_accept(FD, false);
	for (size_t i = 0; i < all.len; i++)
		receive(all.bytes + i, 1);
	rig_send(FD, answer, SIZE_MAX, NULL);
	assert_span(OA_KIND_SERVER, 201, headers[_i].client);
	rig_accept(FD, false);
	for (size_t i = 0; i < all.len; i++)
		iov[i] = (struct iovec){ all.bytes + i, 1 };
	oa_conn_on_received_iov(FD, iov, (int)all.len, (ssize_t)all.len, 0, 0);
	rig_send(FD, answer, SIZE_MAX, NULL);
	assert_span(OA_KIND_SERVER, 201, headers[_i].client);
}
END_TEST

START_TEST(proxied_client_is_that_of_every_request)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, V1);
	for (int i = 0; i < 3; i++) {
		rig_receive(FD, request);
		rig_send(FD, answer, SIZE_MAX, NULL);
		assert_span(OA_KIND_SERVER, 201, "192.0.2.7");
	}
}
END_TEST

START_TEST(proxied_client_gives_way_to_what_the_request_says)
{
	const struct oa_span *s;

	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, V1 "GET / HTTP/1.1\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n");
	rig_respond(FD);
	s = rig_next();
	ck_assert(rig_str_is(s, OA_STR_FWD_FOR, "198.51.100.1"));
	assert_client(s, "");
	rig_receive(FD, "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\n\r\n");
	rig_respond(FD);
	s = rig_next();
	ck_assert(rig_str_is(s, OA_STR_FWD_PROTO, "https"));
	assert_client(s, "192.0.2.7");
}
END_TEST

START_TEST(proxied_client_is_that_of_a_tunnel_too)
{
	rig_start();
	rig_accept(FD, false);
	rig_receive(FD, V1 "GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	rig_send(FD, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", SIZE_MAX, NULL);
	assert_span(OA_KIND_SERVER, 101, "192.0.2.7");
	oa_conn_before_close(FD);
	rig_reap();
	assert_span(OA_KIND_SERVER, 0, "192.0.2.7");
}
END_TEST

START_TEST(proxied_streams_each_have_the_client)
{
	static const char frames[] = H2_PREFACE H2_SETTINGS GET_H2;
	static const char answers[] = H2_SETTINGS H2_FRAME("\1", "\1", "\5", "\1") "\x88";
	static const char again[] = H2_FRAME("\3", "\1", "\5", "\3") "\x82\x86\x84";
	static const char and_again[] = H2_FRAME("\1", "\1", "\5", "\3") "\x88";

	put_all(headers[_i].header, frames, sizeof(frames) - 1);
	rig_start();
	for (size_t cut = 0; cut <= all.len; cut++) {
		rig_accept(FD, false);
		receive(all.bytes, cut);
		receive(all.bytes + cut, all.len - cut);
		h2_say_all(FD, answers, sizeof(answers) - 1, SIZE_MAX);
		assert_span(OA_KIND_SERVER, 200, headers[_i].client);
		receive(again, sizeof(again) - 1);
		h2_say_all(FD, and_again, sizeof(and_again) - 1, SIZE_MAX);
		assert_span(OA_KIND_SERVER, 200, headers[_i].client);
		h2_wire.len = 0;
	}
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

START_TEST(proxied_calls_of_grpc_have_the_client)
{
	struct h2_bytes block = { .len = 0 };
	static const char answers[] = H2_SETTINGS H2_FRAME("\1", "\1", "\5", "\1") "\x88";

	all.len = 0;
	h2_put(&all, V1 H2_PREFACE H2_SETTINGS, sizeof(V1 H2_PREFACE H2_SETTINGS) - 1);
	h2_put(&block, "\x83\x86", 2);
	h2_put_field(&block, ":path", "/pkg.Service/Method");
	h2_put_field(&block, "content-type", "application/grpc");
	h2_put_frame(&all, 1, 5, 1, block.bytes, block.len);
	rig_start();
	rig_accept(FD, false);
	receive(all.bytes, all.len);
	h2_say_all(FD, answers, sizeof(answers) - 1, SIZE_MAX);
	{
		const struct oa_span *s = rig_next();

		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->what, OA_WHAT_RPC);
		assert_client(s, "192.0.2.7");
	}
}
END_TEST

START_TEST(proxied_commands_are_seen_on_either_side)
{
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";

	put_all(headers[_i].header, ping, sizeof(ping) - 1);
	rig_start();
	for (size_t cut = 0; cut <= all.len; cut++) {
		const struct oa_span *s;

		rig_connect(FD);
		if (cut)
			h2_say_all(FD, all.bytes, cut, SIZE_MAX);
		if (cut < all.len)
			h2_say_all(FD, all.bytes + cut, all.len - cut, SIZE_MAX);
		rig_receive(FD, "+PONG\r\n");
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->what, OA_WHAT_DB);
		ck_assert_uint_eq(s->kind, OA_KIND_CLIENT);
		ck_assert_ptr_null(rig_next());
		h2_wire.len = 0;
	}
	ck_assert_uint_eq(opaque(), 0);
	rig_accept(FD, false);
	receive(all.bytes, all.len);
	ck_assert_uint_eq(opaque(), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_served_store), 0); /* of Redis both sides are seen */
}
END_TEST

/* The server speaks first, behind the header. */
START_TEST(proxied_servers_may_greet)
{
	static const char hello[] = "\x5a\0\0\0" "\n10.11\0" "\1\0\0\0" "12345678\0" "\xfe\xf7\x21\2\0\xff\x81\x15" "\0\0\0\0\0\0\0\0\0\0"
				    "123456789012\0";
	char greeting[sizeof(hello)];
	struct oa_fd *slot;

	memcpy(greeting, hello, sizeof(hello));
	greeting[0] = (char)(sizeof(hello) - 1 - 4);
	rig_start();
	rig_connect(FD);
	h2_say_all(FD, headers[_i].header.ptr, headers[_i].header.len, SIZE_MAX);
	receive(greeting, sizeof(hello) - 1);
	slot = oa_fd_peek(FD);
	ck_assert_uint_eq(oa_conn_at(slot->conn)->state, OA_CONN_HTTP);
	ck_assert_uint_ne(oa_conn_at(slot->conn)->proto, 0);
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

START_TEST(proxied_connections_that_came_from_elsewhere_have_a_role)
{
	int pair[2];

	rig_start();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	oa_conn_on_fd_received(pair[0]);
	rig_receive(pair[0], V1);
	rig_receive(pair[0], request);
	rig_send(pair[0], answer, SIZE_MAX, NULL);
	{
		const struct oa_span *s = rig_next();

		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->kind, OA_KIND_SERVER);
		assert_client(s, "192.0.2.7");
	}
	close(pair[0]);
	close(pair[1]);
}
END_TEST

/* -- what is none -- */

static void assert_left_alone(const char *bytes, size_t len)
{
	uint64_t before = oa_stat_sum(OA_STAT_opaque_not_http);

	rig_accept(FD, false);
	receive(bytes, len);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_not_http), before + 1);
	rig_receive(FD, "GET / HTTP/1.1\r\n\r\n");
	rig_respond(FD);
	ck_assert_ptr_null(rig_next());
}

START_TEST(proxied_nonsense_is_what_it_was)
{
	static const char *const texts[] = {
		"PROXY TCP4 192.0.2.7 127.0.0.1 50000\r\nGET / HTTP/1.1\r\n\r\n",
		"PROXY TCP4 192.0.2.256 127.0.0.1 50000 80\r\nGET / HTTP/1.1\r\n\r\n",
		"PROXY table lookup 7\r\n",
		"PROXYGET 1\r\n",
		V1 V1 "GET / HTTP/1.1\r\n\r\n", /* there is one at most */
		V1 "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n",
		"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\nGET / HTTP/1.1\r\n\r\n",
		V1 "something else\r\n",
	};

	rig_start();
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_left_alone(texts[i], strlen(texts[i]));
	assert_left_alone(V2_SIG "\x21\x11\0\1x", 17);
	assert_left_alone(V2_SIG "\x20\0\xff\xff", 16);
}
END_TEST

START_TEST(proxied_is_a_method_too)
{
	rig_start();
	for (size_t cut = 0; cut < 20; cut++) {
		rig_accept(FD, false);
		receive("PROXY / HTTP/1.1\r\n\r\n", cut);
		receive("PROXY / HTTP/1.1\r\n\r\n" + cut, 20 - cut);
		rig_respond(FD);
		assert_span(OA_KIND_SERVER, 200, "");
	}
}
END_TEST

START_TEST(proxied_header_as_long_as_may_be_is_passed_over)
{
	static uint8_t long_one[OA_PROXY_LINE_MAX];

	memset(long_one, 't', sizeof(long_one));
	memcpy(long_one, V2_SIG "\x21\x11\x3f\xf0\xc0\0\2\7\x7f\0\0\1\xc3\x50\0\x50", 28);
	put_all(oa_bytes(long_one, sizeof(long_one)), request, strlen(request));
	rig_start();
	for (size_t step = 1000; step < 20000; step += 3000) {
		rig_accept(FD, false);
		for (size_t at = 0; at < all.len; at += step)
			receive(all.bytes + at, all.len - at < step ? all.len - at : step);
		rig_send(FD, answer, SIZE_MAX, NULL);
		assert_span(OA_KIND_SERVER, 201, "192.0.2.7");
	}
}
END_TEST

/* -- asked -- */

/* Takes our lines out of the wire. returns how many there were */
static unsigned strip(void)
{
	unsigned n = 0;
	uint8_t *at;

	while ((at = memmem(h2_wire.bytes, h2_wire.len, "traceparent: 00-", 16))) {
		size_t line = 13 + 55 + 2, rest = h2_wire.len - (size_t)(at - h2_wire.bytes) - line;

		ck_assert_mem_eq(at - 2, "\r\n", 2);
		ck_assert_mem_eq(at + line - 2, "\r\n", 2);
		ck_assert(at[line] == '\r' || at[line] == 'X'); /* the blank line, or what was rewritten */
		memmove(at, at + line, rest);
		h2_wire.len -= line;
		n++;
	}
	return n;
}

static void assert_wire(unsigned lines)
{
	ck_assert_uint_eq(strip(), lines);
	ck_assert_uint_eq(h2_wire.len, all.len);
	ck_assert_mem_eq(h2_wire.bytes, all.bytes, all.len);
	h2_wire.len = 0;
}

START_TEST(proxied_requests_that_go_out_get_our_header)
{
	size_t header = headers[_i].header.len;

	put_all(headers[_i].header, request, strlen(request));
	rig_start();
	for (size_t cut = 0; cut <= header; cut++) {
		rig_connect(FD);
		if (cut)
			h2_say_all(FD, all.bytes, cut, SIZE_MAX);
		h2_say_all(FD, all.bytes + cut, all.len - cut, SIZE_MAX);
		assert_wire(cut == 0 || cut == header); /* whole, or apart: else there is no saying where it is before it is sent */
		rig_receive(FD, answer);
		assert_span(OA_KIND_CLIENT, 201, "");
	}
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

START_TEST(proxied_requests_get_it_in_any_buffers)
{
	put_all(headers[_i].header, request, strlen(request));
	rig_start();
	for (size_t cut = 1; cut < all.len - 1; cut++) {
		struct iovec iov[4] = { { all.bytes, cut }, { NULL, 0 }, { all.bytes + cut, (all.len - cut) / 2 } };
		struct oa_send s;
		size_t sent = 0;

		iov[3] = (struct iovec){ all.bytes + cut + iov[2].iov_len, all.len - cut - iov[2].iov_len };
		rig_connect(FD);
		oa_conn_before_send(FD, iov, 4, 0, &s);
		ck_assert(s.watched && s.rewrite);
		for (int i = 0; i < s.iovcnt; sent += s.iov[i++].iov_len)
			h2_put(&h2_wire, s.iov[i].iov_base, s.iov[i].iov_len);
		ck_assert_int_eq(oa_conn_after_send(&s, (ssize_t)sent, 0), (ssize_t)all.len);
		assert_wire(1);
		rig_receive(FD, answer);
		assert_span(OA_KIND_CLIENT, 201, "");
	}
}
END_TEST

START_TEST(proxied_requests_cut_by_the_kernel_are_completed_first)
{
	size_t into, whole;

	put_all(headers[_i].header, request, strlen(request));
	into = headers[_i].header.len + (size_t)(strstr(request, "\r\n\r\n") + 2 - request); /* where ours begins */
	whole = all.len + 70;
	rig_start();
	for (size_t room = 0; room < whole; room++) {
		const struct oa_span *s;

		rig_connect(FD);
		h2_say_all(FD, all.bytes, all.len, room);
		assert_wire(room == 0 || room > into); /* 0: as if it had not been tried */
		rig_receive(FD, answer);
		s = rig_next();
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->status, 201);
		ck_assert_ptr_null(rig_next());
	}
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

START_TEST(proxied_pipelines_get_one_each)
{
	static const char two[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n";

	put_all(headers[_i].header, two, sizeof(two) - 1);
	rig_start();
	rig_connect(FD);
	h2_say_all(FD, all.bytes, all.len, SIZE_MAX);
	assert_wire(2);
	rig_receive(FD, answer);
	assert_span(OA_KIND_CLIENT, 201, "");
	rig_receive(FD, answer);
	assert_span(OA_KIND_CLIENT, 201, "");
}
END_TEST

/* Another thread reads the answer before the one that sent the header and the request has told so. */
START_TEST(proxied_answers_may_be_early)
{
	static const char *const targets[] = { "/p", "/next" };
	struct iovec iov;
	struct oa_send s;
	size_t sent = 0;

	put_all(headers[_i].header, request, strlen(request));
	iov = (struct iovec){ all.bytes, all.len };
	rig_start();
	rig_connect(FD);
	oa_conn_before_send(FD, &iov, 1, 0, &s);
	for (int i = 0; i < s.iovcnt; i++)
		sent += s.iov[i].iov_len;
	rig_receive(FD, answer);
	ck_assert_int_eq(oa_conn_after_send(&s, (ssize_t)sent, 0), (ssize_t)all.len);
	rig_send(FD, "GET /next HTTP/1.1\r\nHost: h\r\n\r\n", SIZE_MAX, NULL);
	rig_receive(FD, answer);
	for (int i = 0; i < 2; i++) {
		const struct oa_span *span = rig_next();

		ck_assert_ptr_nonnull(span);
		ck_assert(rig_str_is(span, OA_STR_TARGET, targets[i]));
		ck_assert_uint_eq(span->status, 201);
		ck_assert_uint_eq(span->inject, OA_INJECT_DONE);
	}
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

static void assert_h2_wire(unsigned fields)
{
	static const char name[] = "\0\13traceparent\67" "00-";
	const uint8_t *got = h2_wire.bytes + all.len - (sizeof(GET_H2) - 1), *field;

	field = memmem(h2_wire.bytes, h2_wire.len, name, sizeof(name) - 1);
	ck_assert_uint_eq(h2_wire.len, all.len + fields * (1 + 1 + 11 + 1 + 55));
	ck_assert(!field == !fields);
	ck_assert_mem_eq(h2_wire.bytes, all.bytes, all.len - (sizeof(GET_H2) - 1));
	ck_assert_uint_eq(h2_frame_len(got), 9 + 3 + fields * 69);
	ck_assert_mem_eq(got + 3, GET_H2 + 3, sizeof(GET_H2) - 4);
	h2_wire.len = 0;
}

START_TEST(proxied_streams_that_go_out_get_our_field)
{
	static const char frames[] = H2_PREFACE H2_SETTINGS GET_H2;
	static const char answers[] = H2_SETTINGS H2_FRAME("\1", "\1", "\5", "\1") "\x88";
	size_t header = headers[_i].header.len;

	put_all(headers[_i].header, frames, sizeof(frames) - 1);
	rig_start();
	h2_wire.len = 0;
	for (size_t cut = 0; cut <= header; cut++) {
		rig_connect(FD);
		if (cut)
			h2_say_all(FD, all.bytes, cut, SIZE_MAX);
		h2_say_all(FD, all.bytes + cut, all.len - cut, SIZE_MAX);
		assert_h2_wire(cut == 0 || cut == header);
		receive(answers, sizeof(answers) - 1);
		assert_span(OA_KIND_CLIENT, 200, "");
	}
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

/* What the kernel did not take is said again, header and preface too. */
START_TEST(proxied_streams_cut_by_the_kernel_are_followed)
{
	static const char frames[] = H2_PREFACE H2_SETTINGS GET_H2;
	static const char answers[] = H2_SETTINGS H2_FRAME("\1", "\1", "\5", "\1") "\x88";

	put_all(headers[_i].header, frames, sizeof(frames) - 1);
	rig_start();
	h2_wire.len = 0;
	for (size_t room = 0; room < all.len + 69; room++) {
		const struct oa_span *s;

		rig_connect(FD);
		h2_say_all(FD, all.bytes, all.len, room);
		ck_assert(h2_wire.len == all.len || h2_wire.len == all.len + 69);
		assert_h2_wire(h2_wire.len != all.len);
		receive(answers, sizeof(answers) - 1);
		s = rig_next();
		ck_assert_msg(s != NULL, "no span when the kernel takes %zu bytes first", room);
		ck_assert_uint_eq(s->status, 200);
		ck_assert_ptr_null(rig_next());
	}
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

/* -- in front of TLS -- */

static bool fake_random(const struct oa_tls_source *src, uint8_t ret[32])
{
	char hello[44];

	rig_hello(hello, *(const uint8_t *)src->session);
	memcpy(ret, hello + 11, 32);
	return true;
}

static enum oa_role fake_role(const struct oa_tls_source *src)
{
	(void)src;
	return OA_ROLE_SERVER;
}

static bool fake_finished(const struct oa_tls_source *src)
{
	(void)src;
	return true;
}

START_TEST(proxied_sessions_know_their_socket)
{
	static const struct oa_tls_ops ops = { .random = fake_random, .role = fake_role, .finished = fake_finished };
	static uint8_t seed = 9;
	const struct oa_tls_source src = { &ops, NULL, &seed };
	char hello[44];

	rig_start();
	atomic_store(&oa_state, OA_STATE_ACTIVE);
	rig_hello(hello, seed);
	put_all(headers[_i].header, hello, sizeof(hello));
	for (size_t cut = 0; cut <= all.len; cut++) {
		rig_accept(FD, false);
		receive(all.bytes, cut);
		receive(all.bytes + cut, all.len - cut);
		oa_tls_on_read(&src, oa_tls_find(&src), "GET / HTTP/1.1\r\n\r\n", 18);
		oa_tls_on_sent(&src, oa_tls_find(&src), answer, strlen(answer));
		assert_span(OA_KIND_SERVER, 201, headers[_i].client);
		oa_tls_before_free(&seed);
		oa_conn_before_close(FD);
		oa_conn_reap(true);
	}
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tls), 0);
	ck_assert_uint_eq(opaque(), 0);
}
END_TEST

/* -- memory -- */

START_TEST(proxied_addresses_are_given_back)
{
	rig_start();
	for (int i = 0; i < 70000; i++) { /* more than there may be at a time */
		rig_accept(FD, false);
		rig_receive(FD, V1);
	}
	rig_receive(FD, request);
	rig_send(FD, answer, SIZE_MAX, NULL);
	assert_span(OA_KIND_SERVER, 201, "192.0.2.7");
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_text_pool), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("proxied");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, proxied_requests_are_served_wherever_their_bytes_are_cut, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_requests_are_served_byte_by_byte_and_over_many_buffers, 0, HEADERS);
	tcase_add_test(tc, proxied_client_is_that_of_every_request);
	tcase_add_test(tc, proxied_client_gives_way_to_what_the_request_says);
	tcase_add_test(tc, proxied_client_is_that_of_a_tunnel_too);
	tcase_add_loop_test(tc, proxied_streams_each_have_the_client, 0, HEADERS);
	tcase_add_test(tc, proxied_calls_of_grpc_have_the_client);
	tcase_add_loop_test(tc, proxied_commands_are_seen_on_either_side, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_servers_may_greet, 0, HEADERS);
	tcase_add_test(tc, proxied_connections_that_came_from_elsewhere_have_a_role);
	tcase_add_test(tc, proxied_nonsense_is_what_it_was);
	tcase_add_test(tc, proxied_is_a_method_too);
	tcase_add_test(tc, proxied_header_as_long_as_may_be_is_passed_over);
	tcase_add_loop_test(tc, proxied_requests_that_go_out_get_our_header, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_requests_get_it_in_any_buffers, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_requests_cut_by_the_kernel_are_completed_first, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_pipelines_get_one_each, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_answers_may_be_early, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_streams_that_go_out_get_our_field, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_streams_cut_by_the_kernel_are_followed, 0, HEADERS);
	tcase_add_loop_test(tc, proxied_sessions_know_their_socket, 0, HEADERS);
	tcase_add_test(tc, proxied_addresses_are_given_back);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
