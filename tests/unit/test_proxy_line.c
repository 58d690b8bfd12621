/* PROXY headers of both versions, cut anywhere, and what only begins like one. */
#include "tests/unit/samples.h"

#include "tests/fuzz/proxy_line_check.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define V4_ADDRS "\xc0\0\2\7\x7f\0\0\1\xc3\x50\0\x50"                         /* 192.0.2.7:50000 -> 127.0.0.1:80 */
#define V6_ADDRS "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x9" "0123456789abcdef\xc3\x50\0\x50" /* 2001:db8::9 */
#define MAPPED   "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7" "0123456789abcdef\xc3\x50\0\x50"
#define TLVS     "\x20\0\x0a\1\0\0\0\0\x21\0\2.3.4\3\0\4abcd"

#define HEADER(text) { (const uint8_t *)(text), sizeof(text) - 1 }

static const struct {
	struct oa_bytes in;
	const char *client; /* NULL: it is none */
} cases[] = {
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 50000 80\r\n"), "192.0.2.7:50000" },
	{ HEADER("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255:65535" },
	{ HEADER("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0:0" },
	{ HEADER("PROXY TCP6 2001:db8::9 ::1 50000 80\r\n"), "2001:db8::9:50000" },
	{ HEADER("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535" },
	{ HEADER("PROXY TCP6 ::ffff:192.0.2.7 :: 50000 80\r\n"), "192.0.2.7:50000" },
	{ HEADER("PROXY TCP6 :: :: 1 2\r\n"), ":::1" },
	{ HEADER("PROXY UNKNOWN\r\n"), "" },
	{ HEADER("PROXY UNKNOWN ffff:f...f:ffff anything at all, \x80 \r too\r\n"), "" },
	{ HEADER(V2 "\x21\x11\0\x0c" V4_ADDRS), "192.0.2.7:50000" },
	{ HEADER(V2 "\x21\x21\0\x24" V6_ADDRS), "2001:db8::9:50000" },
	{ HEADER(V2 "\x21\x21\0\x24" MAPPED), "192.0.2.7:50000" },
	{ HEADER(V2 "\x21\x11\0\x22" V4_ADDRS TLVS), "192.0.2.7:50000" },
	{ HEADER(V2 "\x21\x21\0\x3a" V6_ADDRS TLVS), "2001:db8::9:50000" },
	{ HEADER(V2 "\x20\0\0\0"), "" },
	{ HEADER(V2 "\x20\x11\0\x0c" V4_ADDRS), "" }, /* LOCAL: whatever is said */
	{ HEADER(V2 "\x20\x11\0\1x"), "" },
	{ HEADER(V2 "\x21\0\0\0"), "" },              /* UNSPEC */
	{ HEADER(V2 "\x21\x31\0\4/tmp"), "" },        /* AF_UNIX */
	{ HEADER(V2 "\x21\x12\0\x0c" V4_ADDRS), "" }, /* datagrams */
	{ HEADER(V2 "\x21\x77\0\2xx"), "" },          /* not known: HAProxy and nginx pass over it too */
	/* no word of it, or none that anybody takes */
	{ HEADER("PROXY"), NULL },
	{ HEADER("PROXY \r\n"), NULL },
	{ HEADER("PROXY TCP4\r\n"), NULL },
	{ HEADER("PROXY TCP5 192.0.2.7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY UDP4 192.0.2.7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("proxy TCP4 192.0.2.7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY  TCP4 192.0.2.7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP4  192.0.2.7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 50000 80\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 50000 80 \r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 50000 80 1\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 50000\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 65536 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 -1 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7 127.0.0.1 50000 8o\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.256 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.2.7.8 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0.02.7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 192.0..7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP4 2001:db8::9 ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 192.0.2.7 127.0.0.1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 2001:db8:::9 ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 1::2::3 ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 1:2:3:4:5:6:7 ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 1:2:3:4:5:6:7:8:: ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 12345::1 ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 1: ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 : ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY TCP6 fe80::1%eth0 ::1 50000 80\r\n"), NULL },
	{ HEADER("PROXY UNKNOWNS\r\n"), NULL },
	{ HEADER("PROXY / HTTP/1.1\r\n"), NULL },
	{ HEADER("PROXY table lookup 7\r\n"), NULL }, /* somebody's own */
	{ HEADER("PROXYGET 1\r\n"), NULL },
	{ HEADER("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), NULL },
	{ HEADER("\r\n\r\n\0\r\nQUIT\r\n12345"), NULL },
	{ HEADER(V2 "\x11\x11\0\x0c" V4_ADDRS), NULL }, /* version 1 */
	{ HEADER(V2 "\x22\x11\0\x0c" V4_ADDRS), NULL }, /* a command not known */
	{ HEADER(V2 "\x21\x11\0\x0b" V4_ADDRS), NULL },
	{ HEADER(V2 "\x21\x21\0\x23" V6_ADDRS), NULL },
	{ HEADER(V2 "\x20\0\xff\xff"), NULL },          /* longer than anybody takes */
	{ HEADER(V2 "\x20\0\x3f\xf1"), NULL },
};

static const char *client_text(const struct oa_addr *a)
{
	static char text[100];
	char ip[64] = "";

	if (!a->family)
		return "";
	ck_assert_ptr_nonnull(inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip)));
	snprintf(text, sizeof(text), "%s:%u", ip, a->port);
	return text;
}

START_TEST(headers_say_what_they_say)
{
	struct oa_proxy_line line;
	long len = oa_proxy_line_parse(cases[_i].in, &line);

	if (!cases[_i].client) {
		/* One that is too short cannot be refused yet. */
		ck_assert(len == -EPROTO || (len == 0 && !memchr(cases[_i].in.ptr, '\n', cases[_i].in.len)));
		return;
	}
	ck_assert_int_eq(len, (long)cases[_i].in.len);
	ck_assert_str_eq(client_text(&line.client), cases[_i].client);
}
END_TEST

START_TEST(headers_agree_with_the_reference_wherever_they_end)
{
	char all[200];

	ck_assert_ptr_null(proxy_line_check(cases[_i].in.ptr, cases[_i].in.len));
	memset(all, 'x', sizeof(all));
	memcpy(all, cases[_i].in.ptr, cases[_i].in.len < 150 ? cases[_i].in.len : 150);
	ck_assert_ptr_null(proxy_line_check((const uint8_t *)all, sizeof(all)));
}
END_TEST

START_TEST(a_line_is_at_most_107_bytes_long)
{
	struct oa_proxy_line line;
	char text[120];

	memset(text, 'x', sizeof(text));
	memcpy(text, "PROXY UNKNOWN ", 14);
	memcpy(text + 105, "\r\n", 2);
	ck_assert_int_eq(oa_proxy_line_parse(oa_bytes(text, sizeof(text)), &line), 107);
	ck_assert_int_eq(oa_proxy_line_parse(oa_bytes(text, 106), &line), 0);
	memcpy(text + 105, "x\r\n", 3);
	ck_assert_int_eq(oa_proxy_line_parse(oa_bytes(text, sizeof(text)), &line), -EPROTO);
	ck_assert_int_eq(oa_proxy_line_parse(oa_bytes(text, 107), &line), -EPROTO);
}
END_TEST

START_TEST(the_longest_of_version_2_is_told_by_its_beginning)
{
	struct oa_proxy_line line;

	ck_assert_int_eq(oa_proxy_line_parse(OA_LIT(V2 "\x21\x11\x3f\xf0" V4_ADDRS), &line), OA_PROXY_LINE_MAX);
	ck_assert_str_eq(client_text(&line.client), "192.0.2.7:50000");
}
END_TEST

START_TEST(changed_headers_agree_with_the_reference)
{
	static const char instead[] = "\0\r\n :.0123456789abcdefTCPUNKWO\x20\x21\x11\xff";
	uint64_t seed = 1;
	uint8_t text[200];

	for (unsigned i = 0; i < 400000; i++) {
		struct oa_bytes in = cases[i % (sizeof(cases) / sizeof(cases[0]))].in;
		const char *wrong;

		memcpy(text, in.ptr, in.len);
		for (unsigned n = 0; n <= i % 3; n++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[(seed >> 33) % in.len] = (uint8_t)instead[(seed >> 50) % (sizeof(instead) - 1)];
		}
		wrong = proxy_line_check(text, in.len);
		ck_assert_msg(!wrong, "%s: %.*s", wrong, (int)in.len, text);
	}
}
END_TEST

START_TEST(fuzz_corpus_agrees_with_the_reference)
{
	static struct samples samples;

	samples_load(&samples, "fuzz/corpus/proxy_line", "");
	ck_assert_int_gt(samples.count, 0);
	for (int i = 0; i < samples.count; i++) {
		const char *wrong = proxy_line_check(samples.at[i].bytes.ptr, samples.at[i].bytes.len);

		ck_assert_msg(!wrong, "%s: %s", samples.at[i].name, wrong);
	}
	samples_free(&samples);
}
END_TEST

int main(void)
{
	int count = sizeof(cases) / sizeof(cases[0]), failed;
	Suite *s = suite_create("proto");
	TCase *tc = tcase_create("proxy_line");
	SRunner *sr;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, headers_say_what_they_say, 0, count);
	tcase_add_loop_test(tc, headers_agree_with_the_reference_wherever_they_end, 0, count);
	tcase_add_test(tc, a_line_is_at_most_107_bytes_long);
	tcase_add_test(tc, the_longest_of_version_2_is_told_by_its_beginning);
	tcase_add_test(tc, changed_headers_agree_with_the_reference);
	tcase_add_test(tc, fuzz_corpus_agrees_with_the_reference);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
