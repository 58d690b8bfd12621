/* Requests and answers of a connection -> the records that are reported, and the context that goes on with them. */
#include "tests/unit/conn_rig.h"

#include "core/clock.h"
#include "core/inject_result.h"

#include <netdb.h>
#include <sys/un.h>

#define IN 510
#define OUT 520
#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static char wire[40000];
static struct oa_span_buf kept;

/* The next record, kept until the next call. */
static const struct oa_span *next(void)
{
	const struct oa_span *s = rig_next();

	ck_assert_ptr_nonnull(s);
	memcpy(&kept, s, s->bytes);
	return &kept.s;
}

static void assert_none(void)
{
	ck_assert_ptr_null(rig_next());
}

static void serve(const char *request)
{
	rig_start();
	rig_accept(IN, false);
	rig_receive(IN, request);
}

static const struct oa_span *serve_to_the_end(const char *request)
{
	serve(request);
	rig_respond(IN);
	return next();
}

static void call(const char *request)
{
	wire[0] = 0;
	ck_assert_int_eq(rig_send(OUT, request, SIZE_MAX, wire), (int)strlen(request));
}

static const struct oa_span *call_to_the_end(const char *request)
{
	call(request);
	rig_receive(OUT, OK);
	return next();
}

static const char *hex(const uint8_t *id, unsigned len)
{
	static char text[33];

	oa_hex(text, id, len);
	text[2 * len] = 0;
	return text;
}

/* -- serving -- */

START_TEST(span_of_a_request_without_context_begins_a_trace)
{
	const struct oa_span *s = serve_to_the_end("GET /a?b=c HTTP/1.1\r\nHost: h:1\r\nUser-Agent: me/1\r\n\r\n");

	ck_assert_uint_eq(s->kind, OA_KIND_SERVER);
	ck_assert_uint_eq(s->what, OA_WHAT_HTTP);
	ck_assert_uint_eq(s->method, OA_METHOD_GET);
	ck_assert_uint_eq(s->version, 11);
	ck_assert_uint_eq(s->status, 200);
	ck_assert_uint_eq(s->evidence, OA_EV_ROOT);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert_uint_eq(s->resp_body, 2);
	ck_assert_uint_eq(s->peer.port, 40000 + IN);
	ck_assert(!oa_span_has_parent(s));
	ck_assert(s->flags & OA_SPAN_SAMPLED && s->flags & OA_SPAN_RANDOM && s->flags & OA_SPAN_HAS_STATUS &&
		  s->flags & OA_SPAN_HAS_REQ_BODY && s->flags & OA_SPAN_HAS_RESP_BODY);
	ck_assert(!(s->flags & (OA_SPAN_PARENT_REMOTE | OA_SPAN_HTTPS | OA_SPAN_UNIX | OA_SPAN_INCOMPLETE)));
	ck_assert_str_ne(hex(s->trace_id, 16), "00000000000000000000000000000000");
	ck_assert_str_ne(hex(s->span_id, 8), "0000000000000000");
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/a?b=c"));
	ck_assert(rig_str_is(s, OA_STR_HOST, "h:1"));
	ck_assert(rig_str_is(s, OA_STR_USER_AGENT, "me/1"));
	ck_assert(rig_str_is(s, OA_STR_METHOD, ""));
}
END_TEST

START_TEST(span_of_a_request_with_context_is_its_child)
{
	const struct oa_span *s = serve_to_the_end("GET / HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\n\r\n");

	ck_assert_str_eq(hex(s->trace_id, 16), TRACE);
	ck_assert_str_eq(hex(s->parent_id, 8), SPAN);
	ck_assert_str_ne(hex(s->span_id, 8), SPAN);
	ck_assert_uint_eq(s->evidence, OA_EV_REMOTE);
	ck_assert(s->flags & OA_SPAN_PARENT_REMOTE);
	ck_assert(!(s->flags & OA_SPAN_RANDOM));
	s = serve_to_the_end("GET / HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-03\r\n\r\n");
	ck_assert(s->flags & OA_SPAN_RANDOM);
}
END_TEST

START_TEST(span_that_is_not_sampled_is_recorded_without_its_texts)
{
	const struct oa_span *s = serve_to_the_end("GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\n"
						   "traceparent: 00-" TRACE "-" SPAN "-00\r\n\r\n");

	ck_assert(!(s->flags & OA_SPAN_SAMPLED));
	ck_assert_uint_eq(s->status, 200);
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/a")); /* metrics need it */
	ck_assert(rig_str_is(s, OA_STR_HOST, ""));
	ck_assert(rig_str_is(s, OA_STR_USER_AGENT, ""));
}
END_TEST

START_TEST(span_keeps_tracestate_only_beside_a_valid_traceparent)
{
	const struct oa_span *s;

	s = serve_to_the_end("GET / HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\ntracestate: foo=1\r\n"
			     "Tracestate: bar=2\r\n\r\n");
	ck_assert(rig_str_is(s, OA_STR_TRACESTATE, "foo=1,bar=2"));
	s = serve_to_the_end("GET / HTTP/1.1\r\ntracestate: foo=1\r\n\r\n");
	ck_assert(rig_str_is(s, OA_STR_TRACESTATE, ""));
	s = serve_to_the_end("GET / HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-1\r\ntracestate: foo=1\r\n\r\n");
	ck_assert(rig_str_is(s, OA_STR_TRACESTATE, ""));
	ck_assert_str_ne(hex(s->trace_id, 16), TRACE);
	s = serve_to_the_end("GET / HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\ntracestate: FOO=1\r\n\r\n");
	ck_assert(rig_str_is(s, OA_STR_TRACESTATE, ""));
	ck_assert_str_eq(hex(s->trace_id, 16), TRACE); /* a broken tracestate breaks nothing else */
}
END_TEST

START_TEST(span_of_an_unknown_method_keeps_its_name)
{
	const struct oa_span *s = serve_to_the_end("PROPFIND / HTTP/1.1\r\n\r\n");

	ck_assert_uint_eq(s->method, OA_METHOD_OTHER);
	ck_assert(rig_str_is(s, OA_STR_METHOD, "PROPFIND"));
}
END_TEST

START_TEST(span_of_a_long_target_is_cut_and_says_so)
{
	static char request[4000];
	const struct oa_span *s;

	snprintf(request, sizeof(request), "GET /%0*d HTTP/1.1\r\nHost: h\r\n\r\n", OA_TARGET_TEXT_MAX, 7);
	s = serve_to_the_end(request);
	ck_assert_uint_eq(oa_span_str(s, OA_STR_TARGET).len, OA_TARGET_TEXT_MAX);
	ck_assert(s->flags & OA_SPAN_TRUNCATED);
	ck_assert(rig_str_is(s, OA_STR_HOST, "h"));
}
END_TEST

START_TEST(span_ends_with_the_final_answer_not_with_an_interim_one)
{
	const struct oa_span *s;

	serve("PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	rig_send(IN, "HTTP/1.1 100 Continue\r\n\r\n", SIZE_MAX, NULL);
	rig_receive(IN, "body");
	rig_send(IN, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", SIZE_MAX, NULL);
	assert_none();
	rig_send(IN, "HTTP/1.1 204 No Content\r\n\r\n", SIZE_MAX, NULL);
	s = next();
	ck_assert_uint_eq(s->status, 204);
	ck_assert_uint_eq(s->req_body, 4);
	ck_assert_uint_eq(s->resp_body, 0);
	assert_none();
}
END_TEST

START_TEST(span_of_head_ends_with_the_header_whatever_length_it_tells)
{
	const struct oa_span *s;

	serve("HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
	rig_send(IN, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", SIZE_MAX, NULL);
	s = next();
	ck_assert_uint_eq(s->method, OA_METHOD_HEAD);
	ck_assert_uint_eq(s->resp_body, 0);
	rig_send(IN, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", SIZE_MAX, NULL);
	s = next();
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/b"));
	ck_assert_uint_eq(s->status, 304);
}
END_TEST

START_TEST(span_of_an_answer_that_came_before_the_whole_request_ends_with_the_answer)
{
	const struct oa_span *s;

	serve("PUT /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
	rig_send(IN, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", SIZE_MAX, NULL);
	s = next();
	ck_assert_uint_eq(s->status, 413);
	ck_assert_uint_eq(s->req_body, 4);
	rig_receive(IN, "thbody"); /* the rest, then the next one */
	rig_receive(IN, "GET /b HTTP/1.1\r\n\r\n");
	rig_respond(IN);
	ck_assert(rig_str_is(next(), OA_STR_TARGET, "/b"));
	assert_none();
}
END_TEST

START_TEST(span_on_a_connection_used_before_says_so)
{
	serve("GET /a HTTP/1.1\r\n\r\n");
	rig_respond(IN);
	ck_assert(!(next()->flags & OA_SPAN_REUSED));
	rig_receive(IN, "GET /b HTTP/1.1\r\n\r\n");
	rig_respond(IN);
	ck_assert(next()->flags & OA_SPAN_REUSED);
}
END_TEST

/* -- tunnels -- */

START_TEST(span_of_an_upgrade_is_followed_by_one_for_the_session_with_its_bytes)
{
	const struct oa_span *s;
	uint8_t trace[16], http[8];

	serve("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	rig_send(IN, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello", SIZE_MAX,
		 NULL);
	s = next();
	ck_assert_uint_eq(s->what, OA_WHAT_HTTP);
	ck_assert_uint_eq(s->status, 101);
	ck_assert(rig_str_is(s, OA_STR_UPGRADE, "websocket"));
	memcpy(trace, s->trace_id, 16);
	memcpy(http, s->span_id, 8);
	rig_receive(IN, "GET /not-http HTTP/1.1\r\n\r\n");
	rig_receive(IN, "1234");
	rig_send(IN, "567", SIZE_MAX, NULL);
	oa_conn_after_send_blind(IN, 1000, 0);
	assert_none();
	oa_conn_before_close(IN);
	rig_reap();
	s = next();
	ck_assert_uint_eq(s->what, OA_WHAT_TUNNEL);
	ck_assert_uint_eq(s->kind, OA_KIND_SERVER);
	ck_assert_mem_eq(s->trace_id, trace, 16);
	ck_assert_mem_eq(s->parent_id, http, 8);
	ck_assert_mem_ne(s->span_id, http, 8);
	ck_assert_uint_eq(s->req_body, 26 + 4);
	ck_assert_uint_eq(s->resp_body, 5 + 3 + 1000);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert(rig_str_is(s, OA_STR_UPGRADE, "websocket"));
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/ws"));
	ck_assert(s->flags & OA_SPAN_SAMPLED);
	assert_none();
}
END_TEST

START_TEST(span_of_a_refused_upgrade_is_an_ordinary_one)
{
	serve("GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	rig_respond(IN);
	ck_assert_uint_eq(next()->status, 200);
	rig_receive(IN, "GET /b HTTP/1.1\r\n\r\n");
	rig_respond(IN);
	ck_assert(rig_str_is(next(), OA_STR_TARGET, "/b"));
	assert_none();
}
END_TEST

START_TEST(span_of_connect_is_followed_by_one_for_the_tunnel)
{
	const struct oa_span *s;

	rig_start();
	rig_connect(OUT);
	call("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
	ck_assert_ptr_null(strstr(wire, "traceparent"));
	rig_receive(OUT, "HTTP/1.1 200 Connection established\r\n\r\n");
	s = next();
	ck_assert_uint_eq(s->method, OA_METHOD_CONNECT);
	ck_assert_uint_eq(s->inject, OA_INJECT_CONNECT);
	rig_send(OUT, "\x16\x03\x01 client hello", SIZE_MAX, NULL);
	rig_receive(OUT, "\x16\x03\x03 server hello and so on");
	oa_conn_on_received(OUT, "", 100, 0, 0, 0);
	s = next();
	ck_assert_uint_eq(s->what, OA_WHAT_TUNNEL);
	ck_assert_uint_eq(s->kind, OA_KIND_CLIENT);
	ck_assert_uint_eq(s->req_body, 16);
	ck_assert_uint_eq(s->resp_body, 26);
	ck_assert_uint_eq(s->error, OA_ERR_NONE);
	ck_assert(rig_str_is(s, OA_STR_UPGRADE, "connect"));
	assert_none();
}
END_TEST

START_TEST(span_of_a_refused_connect_has_no_tunnel)
{
	rig_start();
	rig_connect(OUT);
	call("CONNECT example.com:443 HTTP/1.1\r\n\r\n");
	rig_receive(OUT, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno");
	ck_assert_uint_eq(next()->status, 407);
	ck_assert_uint_eq(call_to_the_end("GET / HTTP/1.1\r\n\r\n")->status, 200);
	assert_none();
}
END_TEST

START_TEST(span_of_a_session_that_breaks_has_the_error)
{
	rig_start();
	rig_connect(OUT);
	call("GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	rig_receive(OUT, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	ck_assert_uint_eq(next()->status, 101);
	oa_conn_on_received(OUT, NULL, 10, -1, ECONNRESET, 0);
	ck_assert_uint_eq(next()->error, OA_ERR_ECONNRESET);
	assert_none();
}
END_TEST

/* -- calling -- */

START_TEST(span_of_a_call_made_for_a_request_is_its_child_and_goes_out_as_parent)
{
	const struct oa_span *s;
	char line[100], server[17];

	serve("GET /in HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-03\r\n\r\n");
	rig_connect(OUT);
	s = call_to_the_end("POST /out HTTP/1.1\r\nHost: up\r\nContent-Length: 2\r\n\r\nxy");
	ck_assert_uint_eq(s->kind, OA_KIND_CLIENT);
	ck_assert_str_eq(hex(s->trace_id, 16), TRACE);
	ck_assert_uint_eq(s->inject, OA_INJECT_DONE);
	ck_assert_uint_eq(s->req_body, 2);
	ck_assert_uint_eq(s->peer.port, 8080);
	ck_assert(s->flags & OA_SPAN_INJECTED && s->flags & OA_SPAN_RANDOM);
	ck_assert(!(s->flags & OA_SPAN_PARENT_REMOTE));
	snprintf(line, sizeof(line), "\r\ntraceparent: 00-" TRACE "-%s-03\r\n", hex(s->span_id, 8));
	ck_assert_ptr_nonnull(strstr(wire, line));
	strcpy(server, hex(s->parent_id, 8));
	rig_respond(IN);
	ck_assert_str_eq(hex(next()->span_id, 8), server);
}
END_TEST

START_TEST(span_of_every_call_has_an_id_of_its_own)
{
	uint8_t ids[3][8];

	serve("GET /in HTTP/1.1\r\n\r\n");
	rig_connect(OUT);
	for (int i = 0; i < 3; i++)
		memcpy(ids[i], call_to_the_end("GET / HTTP/1.1\r\n\r\n")->span_id, 8);
	ck_assert_mem_ne(ids[0], ids[1], 8);
	ck_assert_mem_ne(ids[1], ids[2], 8);
	ck_assert_mem_ne(ids[0], ids[2], 8);
}
END_TEST

START_TEST(span_that_is_not_sampled_tells_the_next_service_so)
{
	serve("GET /in HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-00\r\n\r\n");
	rig_connect(OUT);
	ck_assert(!(call_to_the_end("GET / HTTP/1.1\r\n\r\n")->flags & OA_SPAN_SAMPLED));
	ck_assert_ptr_nonnull(strstr(wire, "-00\r\n"));
}
END_TEST

START_TEST(span_of_a_version_to_come_is_carried_on_in_the_version_we_know)
{
	serve("GET /in HTTP/1.1\r\ntraceparent: cc-" TRACE "-" SPAN "-ff-future\r\n\r\n");
	rig_connect(OUT);
	call("GET / HTTP/1.1\r\n\r\n");
	ck_assert_ptr_nonnull(strstr(wire, "traceparent: 00-" TRACE "-"));
	ck_assert_ptr_nonnull(strstr(wire, "-03\r\n"));
}
END_TEST

START_TEST(span_carries_baggage_and_tracestate_to_every_call)
{
	serve("GET /in HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\ntracestate: foo=1\r\nbaggage: user=me\r\n"
	      "Baggage: a=b;c\r\n\r\n");
	rig_connect(OUT);
	for (int i = 0; i < 2; i++) {
		call_to_the_end("GET / HTTP/1.1\r\n\r\n");
		ck_assert_ptr_nonnull(strstr(wire, "\r\ntracestate: foo=1\r\n"));
		ck_assert_ptr_nonnull(strstr(wire, "\r\nbaggage: user=me,a=b;c\r\n"));
	}
	rig_respond(IN);
	next();
	call_to_the_end("GET / HTTP/1.1\r\n\r\n"); /* made for nobody */
	ck_assert_ptr_null(strstr(wire, "foo"));
	ck_assert_ptr_null(strstr(wire, "baggage"));
}
END_TEST

START_TEST(span_of_a_call_made_for_nobody_begins_a_trace)
{
	const struct oa_span *s;

	rig_start();
	rig_connect(OUT);
	s = call_to_the_end("GET / HTTP/1.1\r\n\r\n");
	ck_assert(!oa_span_has_parent(s));
	ck_assert_uint_eq(s->evidence, OA_EV_ROOT);
	ck_assert(s->flags & OA_SPAN_RANDOM);
	ck_assert_ptr_nonnull(strstr(wire, "-03\r\n"));
}
END_TEST

START_TEST(span_of_a_call_with_an_unreadable_context_is_told_no_second_one)
{
	static const char request[] = "GET / HTTP/1.1\r\ntraceparent: 00-short-01\r\n\r\n";
	const struct oa_span *s;

	rig_start();
	rig_connect(OUT);
	s = call_to_the_end(request);
	ck_assert_str_eq(wire, request);
	ck_assert_uint_eq(s->inject, OA_INJECT_FOREIGN);
	ck_assert(!oa_span_has_parent(s));
}
END_TEST

START_TEST(span_of_the_first_call_alone_tells_lookup_and_connect_times)
{
	struct sockaddr_in a = rig_addr(0);
	struct addrinfo info = { .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&a, .ai_addrlen = sizeof(a) };
	struct sockaddr_in to = rig_addr(8080);
	const struct oa_span *s;

	rig_start();
	oa_conn_on_lookup(&info, 4000000);
	oa_conn_on_socket(OUT, AF_INET, SOCK_STREAM);
	oa_conn_on_connect(OUT, (struct sockaddr *)&to, sizeof(to), 0, 0, oa_now_ns());
	s = call_to_the_end("GET / HTTP/1.1\r\n\r\n");
	ck_assert_uint_eq(s->dns_us, 4000);
	ck_assert_uint_ge(s->connect_us, 1);
	s = call_to_the_end("GET / HTTP/1.1\r\n\r\n");
	ck_assert_uint_eq(s->dns_us, 0);
	ck_assert_uint_eq(s->connect_us, 0);
}
END_TEST

START_TEST(span_of_a_failed_attempt_belongs_to_the_request_it_was_made_for)
{
	struct sockaddr_in to = rig_addr(8080);
	const struct oa_span *s;
	uint8_t parent[8];

	serve("GET /in HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\n\r\n");
	oa_conn_on_socket(OUT, AF_INET, SOCK_STREAM);
	oa_conn_on_connect(OUT, (struct sockaddr *)&to, sizeof(to), -1, ECONNREFUSED, oa_now_ns());
	s = next();
	ck_assert_uint_eq(s->what, OA_WHAT_CONNECT);
	ck_assert_str_eq(hex(s->trace_id, 16), TRACE);
	memcpy(parent, s->parent_id, 8);
	rig_respond(IN);
	ck_assert_mem_eq(next()->span_id, parent, 8);
}
END_TEST

START_TEST(span_over_a_unix_socket_tells_its_path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/up.sock" };
	const struct oa_span *s;

	rig_start();
	oa_conn_on_socket(OUT, AF_UNIX, SOCK_STREAM);
	oa_conn_on_connect(OUT, (struct sockaddr *)&un, sizeof(un), 0, 0, oa_now_ns());
	s = call_to_the_end("GET / HTTP/1.1\r\n\r\n");
	ck_assert(s->flags & OA_SPAN_UNIX);
	ck_assert(rig_str_is(s, OA_STR_PEER_PATH, "/run/up.sock"));
	un = (struct sockaddr_un){ .sun_family = AF_UNIX, .sun_path = "\0hidden" };
	oa_conn_on_socket(OUT, AF_UNIX, SOCK_STREAM);
	oa_conn_on_connect(OUT, (struct sockaddr *)&un, 2 + 7, 0, 0, oa_now_ns());
	s = call_to_the_end("GET / HTTP/1.1\r\n\r\n");
	ck_assert(rig_str_is(s, OA_STR_PEER_PATH, "@hidden"));
}
END_TEST

START_TEST(span_of_a_call_has_the_version_of_the_answer)
{
	rig_start();
	rig_connect(OUT);
	call("GET / HTTP/1.1\r\n\r\n");
	rig_receive(OUT, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
	ck_assert_uint_eq(next()->version, 10);
}
END_TEST

START_TEST(span_of_pipelined_calls_meets_its_own_answer)
{
	rig_start();
	rig_connect(OUT);
	call("GET /1 HTTP/1.1\r\n\r\nHEAD /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n");
	rig_receive(OUT, "HTTP/1.1 201 A\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 202 B\r\nContent-Length: 9\r\n\r\nHTTP/1.1 203 C\r\n"
			 "Content-Length: 2\r\n\r\nyz");
	for (int i = 1; i <= 3; i++) {
		const struct oa_span *s = next();

		ck_assert_uint_eq(s->status, 200 + i);
		ck_assert_uint_eq(oa_span_str(s, OA_STR_TARGET).ptr[1], '0' + i);
		ck_assert_uint_eq(s->resp_body, i - 1 ? i - 1 == 2 ? 2 : 0 : 1);
	}
	assert_none();
}
END_TEST

START_TEST(span_of_a_call_sent_in_pieces_is_one)
{
	rig_start();
	rig_connect(OUT);
	call("GET / HTT");
	call("P/1.1\r\nHost: u");
	call("p\r\n\r\n");
	rig_receive(OUT, OK);
	ck_assert_uint_eq(next()->inject, OA_INJECT_PARTIAL);
	assert_none();
}
END_TEST

START_TEST(span_of_a_request_counts_as_active_until_it_ends)
{
	serve("GET /in HTTP/1.1\r\n\r\n");
	rig_connect(OUT);
	call("PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
	ck_assert_int_eq(oa_self->active_server[OA_METHOD_GET][0], 1);
	ck_assert_int_eq(oa_self->active_client[OA_METHOD_PUT][0], 1);
	rig_receive(OUT, OK);
	rig_respond(IN);
	ck_assert_int_eq(oa_self->active_server[OA_METHOD_GET][0], 0);
	ck_assert_int_eq(oa_self->active_client[OA_METHOD_PUT][0], 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("span_build");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, span_of_a_request_without_context_begins_a_trace);
	tcase_add_test(tc, span_of_a_request_with_context_is_its_child);
	tcase_add_test(tc, span_that_is_not_sampled_is_recorded_without_its_texts);
	tcase_add_test(tc, span_keeps_tracestate_only_beside_a_valid_traceparent);
	tcase_add_test(tc, span_of_an_unknown_method_keeps_its_name);
	tcase_add_test(tc, span_of_a_long_target_is_cut_and_says_so);
	tcase_add_test(tc, span_ends_with_the_final_answer_not_with_an_interim_one);
	tcase_add_test(tc, span_of_head_ends_with_the_header_whatever_length_it_tells);
	tcase_add_test(tc, span_of_an_answer_that_came_before_the_whole_request_ends_with_the_answer);
	tcase_add_test(tc, span_on_a_connection_used_before_says_so);
	tcase_add_test(tc, span_of_an_upgrade_is_followed_by_one_for_the_session_with_its_bytes);
	tcase_add_test(tc, span_of_a_refused_upgrade_is_an_ordinary_one);
	tcase_add_test(tc, span_of_connect_is_followed_by_one_for_the_tunnel);
	tcase_add_test(tc, span_of_a_refused_connect_has_no_tunnel);
	tcase_add_test(tc, span_of_a_session_that_breaks_has_the_error);
	tcase_add_test(tc, span_of_a_call_made_for_a_request_is_its_child_and_goes_out_as_parent);
	tcase_add_test(tc, span_of_every_call_has_an_id_of_its_own);
	tcase_add_test(tc, span_that_is_not_sampled_tells_the_next_service_so);
	tcase_add_test(tc, span_of_a_version_to_come_is_carried_on_in_the_version_we_know);
	tcase_add_test(tc, span_carries_baggage_and_tracestate_to_every_call);
	tcase_add_test(tc, span_of_a_call_made_for_nobody_begins_a_trace);
	tcase_add_test(tc, span_of_a_call_with_an_unreadable_context_is_told_no_second_one);
	tcase_add_test(tc, span_of_the_first_call_alone_tells_lookup_and_connect_times);
	tcase_add_test(tc, span_of_a_failed_attempt_belongs_to_the_request_it_was_made_for);
	tcase_add_test(tc, span_over_a_unix_socket_tells_its_path);
	tcase_add_test(tc, span_of_a_call_has_the_version_of_the_answer);
	tcase_add_test(tc, span_of_pipelined_calls_meets_its_own_answer);
	tcase_add_test(tc, span_of_a_call_sent_in_pieces_is_one);
	tcase_add_test(tc, span_of_a_request_counts_as_active_until_it_ends);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
