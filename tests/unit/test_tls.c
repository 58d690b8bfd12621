/* Sessions of a TLS library that is made up here: who belongs to which socket, and what a library that waits, takes parts or
 * insists on the same buffer does to bytes that carry our header. */
#include "tests/unit/conn_rig.h"

#include "conn/tls_internal.h"
#include "core/state.h"
#include "core/stats.h"

#define SOCK 540
#define RECORD 16384

/* What the made-up library keeps of one session; it insists on what OpenSSL insists on. */
struct fake {
	uint8_t seed;         /* of the ClientHello; 0: not told */
	enum oa_role role;
	bool finished, partial, moving, distrusted;
	/* a write that waits */
	const uint8_t *want;
	size_t want_len;
	bool broke_rule;
	unsigned seed_rng, calls;
	size_t record;        /* most bytes of one record */
	char *wire;
	size_t wire_len;
};

static bool fake_random(const struct oa_tls_source *src, uint8_t ret[32])
{
	const struct fake *f = src->session;
	char hello[44];

	if (!f->seed)
		return false;
	rig_hello(hello, f->seed);
	memcpy(ret, hello + 11, 32);
	return true;
}

static enum oa_role fake_role(const struct oa_tls_source *src) { return ((struct fake *)src->session)->role; }
static bool fake_finished(const struct oa_tls_source *src) { return ((struct fake *)src->session)->finished; }
static uint16_t fake_version(const struct oa_tls_source *src) { return 0x0304; }
static uint16_t fake_cipher(const struct oa_tls_source *src) { return 0x1301; }
static bool fake_distrusted(const struct oa_tls_source *src) { return ((struct fake *)src->session)->distrusted; }
static struct oa_bytes fake_name(const struct oa_tls_source *src) { return OA_LIT("name.example"); }

static unsigned fake_modes(const struct oa_tls_source *src)
{
	const struct fake *f = src->session;

	return (f->partial ? OA_TLS_PARTIAL : 0) | (f->moving ? OA_TLS_MOVING : 0);
}

static const struct oa_tls_ops ops = {
	.modes = fake_modes, .random = fake_random, .role = fake_role, .finished = fake_finished, .version = fake_version, .cipher = fake_cipher,
	.name = fake_name, .distrusted = fake_distrusted,
};

static struct oa_tls_source source(struct fake *f)
{
	return (struct oa_tls_source){ &ops, NULL, f };
}

static void start(void)
{
	rig_start();
	atomic_store(&oa_state, OA_STATE_ACTIVE);
}

static void hello_on_socket(int fd, uint8_t seed, bool in)
{
	char hello[44];
	struct iovec iov = { hello, sizeof(hello) };

	rig_hello(hello, seed);
	if (in)
		oa_conn_on_received(fd, hello, sizeof(hello), sizeof(hello), 0, 0);
	else
		rig_send_iov(fd, &iov, 1, 0, SIZE_MAX, NULL);
}

static void session_read(struct fake *f, const char *text)
{
	struct oa_tls_source src = source(f);

	oa_tls_on_read(&src, oa_tls_find(&src), text, strlen(text));
}

/* -- writing -- */

static unsigned fake_rand(struct fake *f)
{
	f->seed_rng = f->seed_rng * 1103515245u + 12345u;
	return f->seed_rng >> 16;
}

/* One SSL_write(). returns bytes, 0 for "again", -1 when its rule was broken. How often it waits comes of a seed. */
static long fake_write(struct fake *f, const uint8_t *buf, size_t len)
{
	size_t n = f->partial && len > f->record ? f->record : len;

	f->calls++;
	if (f->want && (len < f->want_len || (!f->moving && buf != f->want))) {
		f->broke_rule = true;
		return -1;
	}
	if (fake_rand(f) % 3 == 0) {
		if (!f->want) { /* the record is made now: what is in it stays */
			memcpy(f->wire + f->wire_len, buf, n);
			f->want_len = n;
			f->want = buf;
		}
		return 0;
	}
	if (f->want)
		n = f->want_len;
	else
		memcpy(f->wire + f->wire_len, buf, n);
	f->wire_len += n;
	f->want = NULL;
	if (!f->partial && n < len) { /* grew while it waited: goes on behind it */
		memcpy(f->wire + f->wire_len, buf + n, len - n);
		f->wire_len += len - n;
		n = len;
	}
	return (long)n;
}

/* What a hook does around it. returns what the host gets: > 0, 0 again, -1 */
static long session_write(struct fake *f, const uint8_t *buf, size_t len)
{
	struct oa_tls_source src = source(f);
	struct oa_tls_write w;
	size_t host;
	long n;

	if (!oa_tls_before_write(&src, oa_tls_find(&src), buf, len, &w))
		return fake_write(f, buf, len);
	do
		n = fake_write(f, w.at, w.len);
	while (oa_tls_after_write(&src, &w, n > 0 ? (size_t)n : 0, n > 0 ? OA_TLS_DONE : n ? OA_TLS_FAILED : OA_TLS_AGAIN, 0,
				  &host));
	return host ? (long)host : n;
}

/* Takes our lines out of what the library got. returns how many there were */
static unsigned strip(struct fake *f)
{
	static const char name[] = "traceparent: 00-";
	unsigned n = 0;
	char *at;

	while ((at = memmem(f->wire, f->wire_len, name, sizeof(name) - 1))) {
		size_t line = 13 + 55 + 2, rest = f->wire_len - (size_t)(at - f->wire) - line;

		ck_assert(at[line - 2] == '\r' && at[line - 1] == '\n' && at[line] == '\r');
		memmove(at, at + line, rest);
		f->wire_len -= line;
		n++;
	}
	return n;
}

/* Goes with the process of its test; until then it is not lost. */
static void *wire_new(size_t bytes)
{
	static void *kept[8];
	static unsigned count;

	return kept[count++ % 8] = malloc(bytes);
}

START_TEST(a_session_gets_what_its_socket_knows)
{
	struct fake f = { .seed = 7, .role = OA_ROLE_SERVER, .finished = true };
	const struct oa_span *s;

	start();
	rig_accept(SOCK, false);
	hello_on_socket(SOCK, 7, true);
	session_read(&f, "GET /in HTTP/1.1\r\nHost: h\r\n\r\n");
	f.wire = wire_new(1000);
	f.record = RECORD;
	while (session_write(&f, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38) == 0)
		;
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/in"));
	ck_assert_uint_eq(s->kind, OA_KIND_SERVER);
	ck_assert_uint_eq(s->peer.port, 40000 + SOCK);
	ck_assert_uint_eq(s->tls_version, 0x0304);
	ck_assert_uint_eq(s->tls_cipher, 0x1301);
	ck_assert(s->flags & OA_SPAN_HTTPS);
	oa_conn_reap(true);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tls), 0); /* it was seen */
	ck_assert_ptr_null(rig_next());
}
END_TEST

static const struct oa_tls_ops ops_without_role = { .modes = fake_modes, .random = fake_random, .finished = fake_finished };

/* They share one ClientHello. */
START_TEST(both_ends_in_one_process_have_each_their_own_socket)
{
	struct fake client = { .seed = 8, .role = OA_ROLE_CLIENT, .finished = true, .record = RECORD, .wire = wire_new(1000) };
	struct fake server = { .seed = 8, .role = OA_ROLE_SERVER, .finished = true, .record = RECORD, .wire = wire_new(1000) };
	struct fake unknown = { .seed = 9 };
	struct oa_tls_source src = source(&unknown);
	const struct oa_span *s;
	struct oa_conn *c;

	start();
	for (unsigned seed = 8; seed <= 9; seed++) {
		unsigned sock = SOCK + 2 * (seed - 8);

		rig_connect(sock);
		hello_on_socket(sock, (uint8_t)seed, false);
		rig_accept(sock + 1, false);
		hello_on_socket(sock + 1, (uint8_t)seed, true);
	}
	while (session_write(&client, (const uint8_t *)"GET /self HTTP/1.1\r\n\r\n", 22) == 0)
		;
	session_read(&server, "GET /self HTTP/1.1\r\n\r\n");
	while (session_write(&server, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38) == 0)
		;
	session_read(&client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	s = rig_next();
	ck_assert_uint_eq(s->kind, OA_KIND_SERVER);
	ck_assert_uint_eq(s->peer.port, 40000 + SOCK + 1);
	s = rig_next();
	ck_assert_uint_eq(s->kind, OA_KIND_CLIENT);
	ck_assert_uint_eq(s->peer.port, 8080);
	/* Which end it is, this one cannot say: neither. */
	src.ops = &ops_without_role;
	c = oa_conn_at(oa_tls_find(&src).index);
	oa_tls_learn(&src, c);
	ck_assert(!c->other.gen);
}
END_TEST

START_TEST(a_session_without_a_socket_is_seen_all_the_same)
{
	struct fake f = { .role = OA_ROLE_CLIENT, .finished = true, .record = RECORD, .wire = wire_new(1000) };
	const char *get = "GET /out HTTP/1.1\r\nHost: up\r\n\r\n";
	const struct oa_span *s;

	start();
	while (session_write(&f, (const uint8_t *)get, strlen(get)) == 0)
		;
	session_read(&f, "HTTP/1.1 204 No Content\r\n\r\n");
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->kind, OA_KIND_CLIENT);
	ck_assert_uint_eq(s->peer.family, 0);
	ck_assert_uint_eq(strip(&f), 1);
	ck_assert(f.wire_len == strlen(get) && !memcmp(f.wire, get, f.wire_len));
}
END_TEST

START_TEST(an_address_used_again_is_another_session)
{
	struct fake f = { .seed = 1, .role = OA_ROLE_SERVER, .finished = true };

	start();
	rig_accept(SOCK, false);
	hello_on_socket(SOCK, 1, true);
	session_read(&f, "GET /first HTTP/1.1\r\n\r\n");
	f.wire = wire_new(1000);
	f.record = RECORD;
	while (session_write(&f, (const uint8_t *)"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38) == 0)
		;
	rig_accept(SOCK + 1, false); /* the object was freed where we do not see it, and made anew */
	hello_on_socket(SOCK + 1, 2, true);
	f.seed = 2;
	session_read(&f, "GET /new HTTP/1.1\r\n\r\n");
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/first"));
	f.seed = 3; /* a renegotiation: no socket showed this one */
	session_read(&f, "");
	oa_tls_before_free(&f);
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/new"));
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(bytes_of_a_socket_that_carries_tls_concern_nobody)
{
	struct fake f = { .seed = 4, .role = OA_ROLE_SERVER, .finished = true };

	start();
	rig_accept(SOCK, false);
	hello_on_socket(SOCK, 4, true);
	ck_assert(oa_fd_is_heard(SOCK));
	rig_receive(SOCK, "\x17\x03\x03...");
	ck_assert(!oa_fd_is_heard(SOCK));
	ck_assert(!oa_fd_is_conn(SOCK));
	ck_assert(oa_fd_tracked(SOCK));
	session_read(&f, "GET /inside HTTP/1.1\r\n\r\n");
	oa_conn_on_dup(SOCK, SOCK + 1); /* what it is copied to may be asked once more */
	rig_receive(SOCK + 1, "\x17\x03\x03...");
	ck_assert(!oa_fd_is_heard(SOCK + 1));
	oa_conn_before_close(SOCK + 1);
	oa_conn_before_close(SOCK);
	ck_assert(oa_fd_is_heard(SOCK)); /* who uses it all the same is noticed */
	oa_conn_reap(true);
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/inside"));
	rig_accept(SOCK, false); /* the number comes back */
	ck_assert(oa_fd_is_heard(SOCK));
	rig_receive(SOCK, "GET /plain HTTP/1.1\r\n\r\n");
	rig_respond(SOCK);
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/plain"));
}
END_TEST

START_TEST(bytes_of_a_socket_that_is_given_up_are_still_asked_about)
{
	start();
	rig_accept(SOCK, false);
	rig_receive(SOCK, "SSH-2.0-something else\r\n");
	rig_receive(SOCK, "more");
	ck_assert(oa_fd_is_heard(SOCK));
	ck_assert(oa_fd_is_conn(SOCK));
}
END_TEST

START_TEST(the_end_of_the_socket_ends_what_is_open)
{
	struct fake f = { .seed = 9, .role = OA_ROLE_SERVER, .finished = true };
	const struct oa_span *s;

	start();
	rig_accept(SOCK, false);
	hello_on_socket(SOCK, 9, true);
	session_read(&f, "GET /left HTTP/1.1\r\n\r\n");
	oa_conn_before_close(SOCK);
	oa_conn_reap(true);
	s = rig_next();
	ck_assert(s && rig_str_is(s, OA_STR_TARGET, "/left"));
	ck_assert_uint_eq(s->error, OA_ERR_ABANDONED);
	session_read(&f, "GET /after HTTP/1.1\r\n\r\n");
	oa_tls_before_free(&f);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(a_session_that_shows_no_data_is_counted_at_its_end)
{
	struct fake f = { .seed = 3, .role = OA_ROLE_CLIENT, .finished = true };
	struct oa_tls_source src = source(&f);

	start();
	rig_connect(SOCK);
	hello_on_socket(SOCK, 3, false);
	oa_tls_on_handshake(&src, oa_tls_find(&src), 1, OA_TLS_DONE);
	oa_conn_reap(true);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tls), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tls_no_data), 0);
	oa_tls_before_free(&f);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tls_no_data), 1);
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(a_failed_handshake_is_a_span_of_the_client_and_a_number_of_the_server)
{
	struct fake c = { .seed = 4, .role = OA_ROLE_CLIENT, .distrusted = true }, s = { .seed = 5, .role = OA_ROLE_SERVER };
	struct oa_tls_source src = source(&c);
	const struct oa_span *span;

	start();
	rig_connect(SOCK);
	hello_on_socket(SOCK, 4, false);
	oa_tls_on_handshake(&src, oa_tls_find(&src), 1, OA_TLS_AGAIN);
	oa_tls_on_handshake(&src, oa_tls_find(&src), 2, OA_TLS_FAILED);
	span = rig_next();
	ck_assert_ptr_nonnull(span);
	ck_assert_uint_eq(span->what, OA_WHAT_CONNECT);
	ck_assert_uint_eq(span->error, OA_ERR_TLS_CERTIFICATE);
	ck_assert_uint_eq(span->peer.port, 8080);
	ck_assert(rig_str_is(span, OA_STR_HOST, "name.example"));
	rig_accept(SOCK + 1, false);
	hello_on_socket(SOCK + 1, 5, true);
	src = source(&s);
	oa_tls_on_handshake(&src, oa_tls_find(&src), 1, OA_TLS_FAILED);
	oa_tls_on_handshake(&src, oa_tls_find(&src), 1, OA_TLS_FAILED);
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_tls_failed_client), 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_tls_failed_server), 1);
	oa_conn_reap(true);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_tls), 0);
}
END_TEST

/* A stream of requests of all sizes, written by a host as OpenSSL wants it: waiting calls are made again, moved where that is
 * allowed, grown where the host has more. */
static void differential(unsigned seed, bool partial, bool moving)
{
	static uint8_t stream[400000], moved[400000];
	struct fake f = { .role = OA_ROLE_CLIENT, .finished = true, .partial = partial, .moving = moving,
			  .seed_rng = seed, .wire = malloc(1 << 20) };
	size_t len = 0, at = 0, asked = 0;
	unsigned requests = 0, found;

	f.record = seed % 4 == 0 ? 512 : seed % 4 == 1 ? 77 : RECORD;
	while (len < 100000 + seed % 50000) {
		size_t body = fake_rand(&f) % 5 == 0 ? fake_rand(&f) % 60000 : fake_rand(&f) % 300;

		len += (size_t)sprintf((char *)stream + len,
				       "POST /%u HTTP/1.1\r\nHost: h\r\nX-Pad: %0*d\r\nContent-Length: %zu\r\n\r\n", requests++,
				       (int)(fake_rand(&f) % 700 + 1), 0, body);
		memset(stream + len, 'b', body);
		len += body;
	}
	while (at < len) {
		const uint8_t *from = stream + at;
		size_t step = fake_rand(&f) % 4 ? fake_rand(&f) % 3000 + 1 : fake_rand(&f) % 50000 + 1;
		long n;

		if (step < asked)
			step = asked; /* the same, or more */
		if (step > len - at)
			step = len - at;
		if (moving && asked) {
			memcpy(moved, from, step);
			from = moved;
		}
		n = session_write(&f, from, step);
		ck_assert_int_ge(n, 0);
		ck_assert_uint_le((size_t)n, step);
		if (n && !partial)
			ck_assert_uint_eq((size_t)n, step);
		asked = n ? 0 : step;
		at += (size_t)n;
	}
	ck_assert(!f.broke_rule);
	found = strip(&f);
	ck_assert_uint_le(found, requests);
	ck_assert_uint_eq(f.wire_len, len);
	ck_assert(!memcmp(f.wire, stream, len));
	ck_assert(!oa_tls_pinned());
	free(f.wire);
	oa_tls_before_free(&f);
}

START_TEST(every_byte_and_whole_headers_in_every_mode)
{
	start();
	for (unsigned seed = 1; seed < 60; seed++)
		differential(seed, seed & 1, seed & 2);
}
END_TEST

/* Records of every length: what is cut inside ours is completed before anything else goes out. */
START_TEST(a_header_cut_by_a_record_is_completed)
{
	const char *post = "POST /out HTTP/1.1\r\nHost: up\r\nContent-Length: 3\r\n\r\nxyz";
	size_t len = strlen(post), ours = len - 5;

	start();
	for (size_t record = 1; record < len + 80; record++) {
		struct fake f = { .role = OA_ROLE_CLIENT, .finished = true, .record = record, .partial = true,
				  .moving = record & 1, .seed_rng = (unsigned)record, .wire = malloc(1000) };
		size_t at = 0;

		while (at < len) {
			long n = session_write(&f, (const uint8_t *)post + at, len - at);

			ck_assert_int_ge(n, 0);
			at += (size_t)n;
		}
		ck_assert_uint_eq(strip(&f), record > ours);
		ck_assert(f.wire_len == len && !memcmp(f.wire, post, len));
		ck_assert(!f.broke_rule && !oa_tls_pinned());
		oa_tls_before_free(&f);
		free(f.wire);
	}
}
END_TEST

/* One request a call, whole: each gets its header. */
START_TEST(whole_requests_get_their_headers)
{
	struct fake f = { .role = OA_ROLE_CLIENT, .finished = true, .record = RECORD, .wire = wire_new(100000) };
	const char *get = "GET /out HTTP/1.1\r\nHost: up\r\n\r\n";

	start();
	for (unsigned i = 0; i < 100; i++) {
		while (session_write(&f, (const uint8_t *)get, strlen(get)) == 0)
			;
		session_read(&f, "HTTP/1.1 204 No Content\r\n\r\n");
		ck_assert_ptr_nonnull(rig_next());
	}
	ck_assert_uint_eq(strip(&f), 100);
	ck_assert_uint_eq(f.wire_len, 100 * strlen(get));
}
END_TEST

/* Before the handshake is over a library holds on to nothing: what comes again may be something else. */
START_TEST(what_waited_for_the_handshake_may_change)
{
	struct fake f = { .role = OA_ROLE_CLIENT, .record = RECORD, .wire = wire_new(1000), .moving = true };
	struct oa_tls_source src = source(&f);
	const char *a = "GET /a HTTP/1.1\r\n\r\n", *b = "GET /b HTTP/1.1\r\n\r\n";
	struct oa_tls_write w;
	size_t host;
	long n;

	start();
	ck_assert(oa_tls_before_write(&src, oa_tls_find(&src), a, strlen(a), &w));
	ck_assert(!oa_tls_after_write(&src, &w, 0, OA_TLS_AGAIN, 0, &host));
	ck_assert_uint_eq(host, 0);
	ck_assert(!oa_tls_pinned());
	f.finished = true;
	while ((n = session_write(&f, (const uint8_t *)b, strlen(b))) == 0)
		;
	ck_assert_int_eq(n, (long)strlen(b));
	ck_assert_uint_eq(strip(&f), 1);
	ck_assert(f.wire_len == strlen(b) && !memcmp(f.wire, b, f.wire_len));
	session_read(&f, "HTTP/1.1 204 No Content\r\n\r\n");
	ck_assert(rig_str_is(rig_next(), OA_STR_TARGET, "/b"));
	ck_assert_ptr_null(rig_next());
}
END_TEST

/* -- queries with a comment -- */

#define COMMENT_LEN 74

static size_t pg_message(uint8_t *to, char type, const char *body, size_t len)
{
	uint32_t n = htonl((uint32_t)len + 4);

	to[0] = (uint8_t)type;
	memcpy(to + 1, &n, 4);
	memcpy(to + 5, body, len);
	return len + 5;
}

static size_t pg_len(const char *message)
{
	uint32_t n;

	memcpy(&n, message + 1, 4);
	return ntohl(n) + 1;
}

/* Writes all of it, as its host does. */
static void session_write_all(struct fake *f, const uint8_t *from, size_t len)
{
	for (size_t at = 0; at < len;) {
		long n = session_write(f, from + at, len - at);

		ck_assert_int_ge(n, 0);
		ck_assert_uint_le((size_t)n, len - at);
		at += (size_t)n;
	}
}

/* Takes the comments out of the messages from `at` on. returns how many there were */
static unsigned pg_strip(struct fake *f, size_t at)
{
	unsigned n = 0;

	while (at < f->wire_len) {
		size_t len = pg_len(f->wire + at);
		char *comment = memmem(f->wire + at, len, " /*traceparent='00-", 19);
		uint32_t less = htonl((uint32_t)len - 1 - COMMENT_LEN);

		ck_assert_uint_le(at + len, f->wire_len);
		if (comment) {
			memmove(comment, comment + COMMENT_LEN, f->wire_len - (size_t)(comment - f->wire) - COMMENT_LEN);
			f->wire_len -= COMMENT_LEN;
			memcpy(f->wire + at + 1, &less, 4);
			len -= COMMENT_LEN;
			n++;
		}
		at += len;
	}
	return n;
}

static unsigned ask_postgres(unsigned seed, size_t record, bool partial, bool moving, unsigned *ret_spans)
{
	static const char startup[] = "\0\0\0\x20\0\3\0\0user\0joe\0database\0shop\0";
	static const char answers[] = "1\0\0\0\0042\0\0\0\4n\0\0\0\4C\0\0\0\15SELECT 0\0Z\0\0\0\5I";
	struct fake f = { .role = OA_ROLE_CLIENT, .finished = true, .partial = partial, .moving = moving, .record = record,
			  .seed_rng = seed, .wire = malloc(1 << 16) };
	struct oa_tls_source src = source(&f);
	uint8_t stream[8192];
	size_t len = sizeof(startup), from = len;
	unsigned found;

	memcpy(stream, startup, len);
	session_write_all(&f, stream, len);
	oa_tls_on_read(&src, oa_tls_find(&src), "R\0\0\0\10\0\0\0\0Z\0\0\0\5I", 15);
	for (unsigned i = 0; i < 20; i++) {
		char sql[64];
		int n = sprintf(sql, "%cSELECT name FROM t WHERE id = %u", 0, i);
		size_t at = len;

		if (i % 2) {
			len += pg_message(stream + len, 'Q', sql + 1, (size_t)n);
		} else {
			sql[n + 1] = sql[n + 2] = 0;
			len += pg_message(stream + len, 'P', sql, (size_t)n + 3);
			len += pg_message(stream + len, 'B', "\0\0\0\0\0\0\0\0", 8);
			len += pg_message(stream + len, 'D', "P", 2);
			len += pg_message(stream + len, 'E', "\0\0\0\0\0", 5);
			len += pg_message(stream + len, 'S', "", 0);
		}
		session_write_all(&f, stream + at, len - at);
		oa_tls_on_read(&src, oa_tls_find(&src), i % 2 ? answers + 15 : answers, i % 2 ? sizeof(answers) - 16 : sizeof(answers) - 1);
	}
	for (*ret_spans = 0; rig_next();)
		++*ret_spans;
	found = pg_strip(&f, from);
	ck_assert_uint_eq(f.wire_len, len);
	ck_assert_mem_eq(f.wire, stream, len);
	ck_assert(!f.broke_rule && !oa_tls_pinned());
	oa_tls_before_free(&f);
	free(f.wire);
	return found;
}

START_TEST(queries_get_comments_in_every_mode)
{
	unsigned spans;

	start();
	oa_config.sql_comment = 1;
	for (unsigned seed = 1; seed < 40; seed++) {
		ck_assert_uint_eq(ask_postgres(seed, RECORD, seed & 1, seed & 2, &spans), 20);
		ck_assert_uint_eq(spans, 20);
	}
	/* Where records are shorter than the queries all bytes arrive, and at the first that is cut we look away. */
	for (size_t record = 1; record < 260; record++) {
		unsigned found = ask_postgres((unsigned)record, record, true, record & 1, &spans);

		ck_assert_uint_ge(found, spans < 20 ? spans : 20);
	}
	oa_config.sql_comment = 0;
	ck_assert_uint_eq(ask_postgres(1, RECORD, false, false, &spans), 0);
	ck_assert_uint_eq(spans, 20);
}
END_TEST

/* -- queries that get none -- */

#define EPOLL 600

static void turn(void)
{
	oa_conn_before_wait(OA_WAIT_LOOP, EPOLL, 60000, false);
	oa_conn_after_wait(OA_WAIT_LOOP, EPOLL, 60000, 1);
}

static void call_out(int fd)
{
	rig_send(fd, "GET /out HTTP/1.1\r\nHost: up\r\n\r\n", SIZE_MAX, NULL);
}

/* A loop that acts on each request in the turn that reads it; and one request whose call may have been another's. */
static void loop_with_an_unattributed_call(void)
{
	static const char get[] = "GET /in HTTP/1.1\r\nHost: x\r\n\r\n";

	oa_conn_on_epoll_fd(EPOLL);
	for (int i = 0; i < 3; i++)
		rig_accept(510 + i, true);
	rig_connect(520);
	turn();
	for (int i = 0; i < 8; i++) {
		rig_receive(510, get);
		call_out(520);
		turn();
		rig_receive(520, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		rig_respond(510);
		turn();
	}
	rig_receive(510, get);
	call_out(520);
	turn();
	oa_conn_on_wake_fd(601);
	oa_conn_on_received(601, "12345678", 8, 8, 0, 0);
	rig_receive(511, get);
	rig_connect(521);
	call_out(521);
	turn();
	while (rig_next())
		;
	rig_receive(512, get);
}

static const char zeros[RECORD];

/* What a driver writes at once: messages and their bodies. */
static const struct unchanged {
	const char *name;
	struct {
		char type;
		const char *body;
		size_t len;
	} message[8];
} unchanged[] = {
#define M(type, body) { type, body, sizeof(body) - 1 }
#define RUN           M('B', "\0\0\0\0\0\0\0\0"), M('E', "\0\0\0\0\0"), M('S', "")
	{ "BEGIN", { M('Q', "BEGIN\0") } },
	{ "SET", { M('Q', "SET x TO 1\0") } },
	{ "several", { M('Q', "SELECT 1; SELECT 2\0") } },
	{ "comment", { M('Q', "SELECT 1 /* so */\0") } },
	{ "named", { M('P', "s1\0SELECT 1\0\0"), M('B', "\0s1\0\0\0\0\0\0\0"), M('E', "\0\0\0\0\0"), M('S', "") } },
	{ "prepared", { M('P', "\0SELECT 1\0\0"), M('D', "S"), M('S', "") } },
	{ "two", { M('P', "\0SELECT 1\0\0"), RUN, M('P', "\0SELECT 2\0\0"), RUN } },
	{ "more than a record", { M('P', "\0SELECT $1\0\0"), { 'B', zeros, sizeof(zeros) }, M('E', "\0\0\0\0\0"), M('S', "") } },
	{ "two simple", { M('Q', "SELECT 1\0"), M('Q', "SELECT 2\0") } },
#undef M
#undef RUN
};

START_TEST(a_query_that_gets_no_comment_is_opened_once)
{
	static const char startup[] = "\0\0\0\x20\0\3\0\0user\0joe\0database\0shop\0";
	struct fake f = { .role = OA_ROLE_CLIENT, .finished = true, .record = RECORD, .wire = wire_new(3 * RECORD) };
	struct oa_tls_source src = source(&f);
	uint8_t text[RECORD + 1024];
	const struct oa_span *s;
	size_t len = 0;

	start();
	oa_config.sql_comment = 1;
	session_write_all(&f, (const uint8_t *)startup, sizeof(startup));
	oa_tls_on_read(&src, oa_tls_find(&src), "R\0\0\0\10\0\0\0\0Z\0\0\0\5I", 15);
	for (unsigned i = 0; i < 8 && unchanged[_i].message[i].type; i++)
		len += pg_message(text + len, unchanged[_i].message[i].type, unchanged[_i].message[i].body, unchanged[_i].message[i].len);
	loop_with_an_unattributed_call();
	f.wire_len = 0;
	session_write_all(&f, text, len);
	ck_assert_uint_eq(f.wire_len, len);
	ck_assert_mem_eq(f.wire, text, len);
	ck_assert_uint_ge(oa_stat_sum(OA_STAT_sql_comment_tls), 1);
	oa_tls_before_free(&f);
	for (s = rig_next(); s && s->what != OA_WHAT_DB;)
		s = rig_next();
	ck_assert_msg(s && s->evidence == OA_EV_TURN, "%s: evidence %d", unchanged[_i].name, s ? s->evidence : -1);
}
END_TEST

/* After we stood down: what a library holds must be given to it again, and nothing else is touched. */
START_TEST(what_is_pinned_goes_out_after_standing_down)
{
	struct fake f = { .role = OA_ROLE_CLIENT, .finished = true, .record = RECORD, .wire = wire_new(1000) };
	const char *get = "GET /out HTTP/1.1\r\nHost: up\r\n\r\n";
	long n;

	start();
	for (f.seed_rng = 1; session_write(&f, (const uint8_t *)get, strlen(get)); f.wire_len = 0)
		session_read(&f, "HTTP/1.1 204 No Content\r\n\r\n");
	ck_assert(oa_tls_pinned());
	atomic_store(&oa_state, OA_STATE_OFF);
	while ((n = session_write(&f, (const uint8_t *)get, strlen(get))) == 0)
		;
	ck_assert_int_eq(n, (long)strlen(get));
	ck_assert(!f.broke_rule && !oa_tls_pinned());
	ck_assert_uint_eq(strip(&f), 1);
	while (session_write(&f, (const uint8_t *)get, strlen(get)) == 0)
		;
	ck_assert_uint_eq(strip(&f), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("tls");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_session_gets_what_its_socket_knows);
	tcase_add_test(tc, both_ends_in_one_process_have_each_their_own_socket);
	tcase_add_test(tc, a_session_without_a_socket_is_seen_all_the_same);
	tcase_add_test(tc, an_address_used_again_is_another_session);
	tcase_add_test(tc, bytes_of_a_socket_that_carries_tls_concern_nobody);
	tcase_add_test(tc, bytes_of_a_socket_that_is_given_up_are_still_asked_about);
	tcase_add_test(tc, the_end_of_the_socket_ends_what_is_open);
	tcase_add_test(tc, a_session_that_shows_no_data_is_counted_at_its_end);
	tcase_add_test(tc, a_failed_handshake_is_a_span_of_the_client_and_a_number_of_the_server);
	tcase_add_test(tc, every_byte_and_whole_headers_in_every_mode);
	tcase_add_test(tc, a_header_cut_by_a_record_is_completed);
	tcase_add_test(tc, whole_requests_get_their_headers);
	tcase_add_test(tc, what_waited_for_the_handshake_may_change);
	tcase_add_test(tc, queries_get_comments_in_every_mode);
	tcase_add_loop_test(tc, a_query_that_gets_no_comment_is_opened_once, 0, sizeof(unchanged) / sizeof(unchanged[0]));
	tcase_add_test(tc, what_is_pinned_goes_out_after_standing_down);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
