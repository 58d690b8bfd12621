/* Who takes whose first bytes: what each protocol begins with, and what many begin with that we do
 * not read, is offered to every detector, in both directions, whole and cut at each place. Only its
 * own may say yes. */
#include <check.h>

#include "proto/http1_impl.h"
#include "proto/store.h"
#include "tests/unit/feed.h"
#include "tests/unit/samples.h"

#define PREFIX_MAX 600

static struct feed_guard guard;
static struct samples samples;

static const struct oa_proto *const *const tables[] = { oa_protos, oa_stores };
static const char *names[32]; /* of all protocols */
static int name_count;
/* Corpora of the fuzzers; the first four bytes of a sample are not its wire's. */
static const char *const corpora[] = { "http1", "http2", "postgres", "mysql", "amqp", "kafka", "redis" };
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* What other servers and clients begin with; and of some protocols of ours what is not quite it. */
static const struct stranger {
	const char *own;
	struct oa_bytes in;
} strangers[] = {
#define S(text) { NULL, { (const uint8_t *)(text), sizeof(text) - 1 } }
#define OWN(name, text) { name, { (const uint8_t *)(text), sizeof(text) - 1 } }
	OWN("http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64"),
	S("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
	S("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
	S("220 mail.example ESMTP Postfix\r\n"),
	S("EHLO client.example\r\n"),
	S("+OK POP3 server ready\r\n"),
	S("* OK [CAPABILITY IMAP4rev1] ready\r\n"),
	S("a1 LOGIN user pass\r\n"),
	OWN("http1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
	OWN("http1", "POST /set HTTP/1.1\r\nContent-Length: 3\r\n\r\nset"),
	OWN("http1", "get / HTTP/1.1\r\n\r\n"),
	S("RTSP/1.0 200 OK\r\n"),
	S("NICK a\r\nUSER b\r\n"),
	S("CONNECT {\"verbose\":false}\r\nPING\r\n"),
	S("INFO {\"server_id\":\"x\"}\r\n"),
	S("\x10\x1e\x00\x04MQTT\x04\x02\x00\x3c\x00\x12" "abcdefghijklmnopqr"),
	S("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
	S("\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"),
	S("\x03\0\0\x13\x0e\xe0\0\0\0\0\0\1\0\x08\0\x0b\0\0\0"),
	S("\x04\0\0\1\5\0\0\0\x16\0\1\0\013CQL_VERSION\0\0053.0.0"),
	S("\0\0\0\x85\xffSMB\x72\0\0\0\0\x18\x53\xc8\0\0\0\0\0\0\0\0\0\0\0\0"),
	S("\x05\x01\x00"),
	S("\x80\0\0\x28\x12\x34\x56\x78\0\0\0\0\0\0\0\2\0\1\x86\xa3"),
	S("DIST\1\0\0\0"),
	S("JDWP-Handshake"),
	S("\xca\xfe\xba\xbe\0\0\0\x34"),
	S("{\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n"),
	S("ruok"),
	S("<?xml version='1.0'?><stream:stream>"),
	S("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n"),
	S("\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c"),
	S("mutex: lock\n"),
	S("\x45\0\0\x3c\x1c\x46\x40\0\x40\6"),
	S("SELECT 1;\n"),
	S("set a b\n"),
	S("get\r\n"),
	S("get \x01\r\n"),
	S("stats are fun\r\n"),
	S("quit\r\n"),
	S("*1\r\n"),
	S("*a\r\n$1\r\na\r\n"),
	S("*1\r\n$4\r\nP\0NG\r\n"),
	S("220 (vsFTPd 3.0.3)\r\n"),
	S("USER anonymous\r\n"),
	S("RFB 003.008\n"),
	S("l\0\x0b\0\0\0\x12\0\x10\0\0\0MIT-MAGIC-COOKIE-1\0\0"),
	S("B\0\0\x0b\0\0\0\0\0\0\0\0"),
	S("\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03"),
	S("\x15\x03\x03\0\x02\x02\x28"),
	S("\x80\x2e\x01\0\x02\0\x15\0\0\0\x10"),
	S("INVITE sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/TCP c\r\n\r\n"),
	S("OPTIONS rtsp://a.example/b RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
	S("ICY 200 OK\r\n"),
	S("200 news.example ready\r\n"),
	S("\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27"),
	S("\x12\1\0\x2f\0\0\1\0\0\0\x1a\0\6\1\0\x20"),
	S("\0\x57\0\0\1\0\0\0\1\x36\1\x2c\0\0\x20\0(DESCRIPTION=(CONNECT_DATA="),
	S("\0\0\0\x44\xfeSMB\x40\0\0\0\0\0\0\0\0\0\1\0"),
	S("\0\x2d\xd0\x01\0\1\0\x27\x10\x41"),
	S("\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL\0\0\0\0\0\0\0\0"),
	S("AMQP\0\1\0\0"),
	S("AMQP\3\1\0\0"),
	S("CONNECT\naccept-version:1.2\nhost:a\n\n\0"),
	S("\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x75\x30\0\0\0\0\0\0\0\0\0\0\0\x10"),
	S("\0\0\0\x16\x80\1\0\1\0\0\0\4ping\0\0\0\0\0"),
	S("\x80\1\0\1\0\0\0\4ping\0\0\0\0\0"),
	S("\x82\x21\0\4ping\0"),
	S("0032git-upload-pack /a.git\0host=b.example\0"),
	S("@RSYNCD: 31.0\n"),
	S("( success ( 2 2 ( ) ( edit-pipeline ) ) ) "),
	S("a.example\r\n"),
	S("/\r\n"),
	S("GET /\r\n"),
	S("\x13" "BitTorrent protocol\0\0\0\0\0\0\0\0"),
	S("\4\1\0\x50\1\2\3\4\0"),
	S("\2lp\n"),
	S("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\x1d\1\4"),
	S("JRMI\0\2\x4b"),
	S("\xda\xbb\xc2\0\0\0\0\0\0\0\0\1\0\0\0\x10"),
	S("\0\x11" "ClickHouse client\x16\2\xb4\xa9\3"),
	S("\x60\x60\xb0\x17\0\0\4\4\0\0\1\4\0\0\0\4\0\0\0\3"),
	S("\5\0\x0b\3\x10\0\0\0\x48\0\0\0\1\0\0\0"),
	S("\0AUTH EXTERNAL 30\r\nBEGIN\r\n"),
	S("<34>1 2003-10-11T22:14:15.003Z a su - ID47 - b\n"),
	S("put 0 0 60 5\r\nhello\r\n"),
	S("use tube\r\n"),
	S("put a.b.c 1356998400 42.5 host=a\n"),
	S("a.b.c 42.5 1356998400\n"),
	S("\5\0\0\0\x0b\x08\5\x1a\0"),
	S("OK MPD 0.23.5\n"),
	S("\0REQ\0\0\0\1\0\0\0\7reverse"),
	S("ES\0\0\0\x2b\0\0\0\0\0\0\0\1\x08\0"),
	S("\x24\0\0\0\xdd\7\0\0"),
	S("\0\0\0\4\x17\0\0\0"),
	S("HTTP/2.0 200 OK\r\n"),
	S("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"),
	OWN("http1", "HTTP/1.1 200 OK\r\n"),
	OWN("http2", "\0\0\6\4\0\0\0\0\0\0\3\0\0\0\x64"),
	OWN("redis", "*1\r\n$4\r\nPING\r\n"),
	OWN("memcached", "get a\r\n"),
	OWN("amqp", "AMQP\0\0\x09\1"),
	OWN("postgres", "\0\0\0\x08\x04\xd2\x16\x2f"),
#undef OWN
#undef S
};

/* Offers the first `len` bytes of `in` to everybody. returns how many took them, `own` aside */
static int offer(const char *own, const char *what, struct oa_bytes in, size_t len, enum oa_dir dir)
{
	uint8_t *at = guard.end - len;
	int taken = 0;

	memcpy(at, in.ptr, len);
	for (int t = 0; t < COUNT(tables); t++) {
		for (const struct oa_proto *const *p = tables[t]; *p; p++) {
			if ((*p)->detect(dir, oa_bytes(at, len)) != OA_DETECT_YES)
				continue;
			ck_assert_msg(own && !strcmp(own, (*p)->name), "%s takes the first %zu bytes of %s", (*p)->name, len, what);
			taken++;
		}
	}
	return taken;
}

/* returns whether its own took it, in one of the directions */
static bool offer_all(const char *own, const char *what, struct oa_bytes in)
{
	int taken = 0;

	for (size_t len = 0; len <= in.len && len <= PREFIX_MAX; len++)
		for (int dir = 0; dir < 2; dir++)
			taken += offer(own, what, in, len, (enum oa_dir)dir);
	for (int dir = 0; dir < 2; dir++)
		taken += offer(own, what, in, in.len, (enum oa_dir)dir);
	return taken;
}

START_TEST(nobody_takes_the_bytes_of_another)
{
	char what[256];
	int taken = 0;

	snprintf(what, sizeof(what), "data/%s", names[_i]);
	samples_load(&samples, what, ".in");
	ck_assert_int_gt(samples.count, 0);
	for (int i = 0; i < samples.count; i++) {
		/* One of HTTP/2's is a server that answers with HTTP/1. */
		bool http1 = !strcmp(samples.at[i].name, "answer_http1");

		snprintf(what, sizeof(what), "%s/%s", names[_i], samples.at[i].name);
		taken += offer_all(http1 ? "http1" : names[_i], what, samples.at[i].bytes);
	}
	ck_assert_msg(taken > 0, "%s does not take its own", names[_i]);
}
END_TEST

START_TEST(nobody_takes_what_fuzzers_made_of_another)
{
	char what[256];

	snprintf(what, sizeof(what), "fuzz/corpus/%s", corpora[_i]);
	samples_load(&samples, what, "");
	ck_assert_int_gt(samples.count, 0);
	for (int i = 0; i < samples.count; i++) {
		struct oa_bytes b = samples.at[i].bytes;

		snprintf(what, sizeof(what), "corpus/%s/%s", corpora[_i], samples.at[i].name);
		if (b.len > 4)
			(void)offer_all(corpora[_i], what, oa_bytes(b.ptr + 4, b.len - 4));
	}
}
END_TEST

START_TEST(strangers_are_left_alone)
{
	const struct stranger *s = &strangers[_i];
	char what[64];

	snprintf(what, sizeof(what), "stranger %d, %.12s", _i, s->in.ptr);
	ck_assert_msg(offer_all(s->own, what, s->in) == (s->own != NULL), "%s is not taken by %s", what, s->own);
}
END_TEST

static void names_find(void)
{
	for (int t = 0; t < COUNT(tables); t++) {
		for (const struct oa_proto *const *p = tables[t]; *p; p++) {
			int i = 0;

			while (i < name_count && strcmp(names[i], (*p)->name))
				i++;
			names[i] = (*p)->name;
			name_count += i == name_count;
		}
	}
}

static void start(void)
{
	oa_http1_init();
	feed_guard_init(&guard, 1 << 20);
}

static void stop(void)
{
	samples_free(&samples);
	feed_guard_fini(&guard);
}

int main(void)
{
	TCase *tc = tcase_create("detect");
	Suite *suite = suite_create("proto");
	SRunner *runner;
	int failed;

	names_find();
	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_loop_test(tc, nobody_takes_the_bytes_of_another, 0, name_count);
	tcase_add_loop_test(tc, nobody_takes_what_fuzzers_made_of_another, 0, COUNT(corpora));
	tcase_add_loop_test(tc, strangers_are_left_alone, 0, COUNT(strangers));
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
