/* Trace context in header fields: the cases of the W3C conformance suite, and the other formats there and back. What
 * becomes of a whole request is test_span_build's. */
#include "conn/propagate.h"
#include "core/config.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { W3C = 1, BAGGAGE = 2, B3 = 4, B3MULTI = 8, JAEGER = 16, XRAY = 32 };

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"

static const uint8_t trace_id[16] = { 0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
				      0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c };
static const uint8_t span_id[8] = { 0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31 };

static char text[60000];
static struct oa_http_head head;
static struct oa_remote remote;

/* Parses a request with these header lines. */
static void request(const char *lines)
{
	size_t len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n", lines);

	ck_assert_int_eq(oa_http1_parse_head(oa_bytes(text, len), OA_DIR_REQUEST, &head), (long)len);
}

static bool extract(unsigned formats, const char *lines)
{
	oa_config.propagators = formats;
	request(lines);
	memset(&remote, 0xaa, sizeof(remote));
	oa_propagate_extract(&head, &remote);
	return remote.valid;
}

static bool traceparent(const char *value)
{
	char line[300];

	snprintf(line, sizeof(line), "traceparent: %s\r\n", value);
	return extract(W3C, line);
}

static void assert_ids(void)
{
	ck_assert(remote.valid);
	ck_assert_mem_eq(remote.trace_id, trace_id, 16);
	ck_assert_mem_eq(remote.parent_id, span_id, 8);
}

/* -- traceparent -- */

START_TEST(propagate_reads_a_traceparent)
{
	ck_assert(traceparent("00-" TRACE "-" SPAN "-01"));
	assert_ids();
	ck_assert(remote.w3c && remote.decided && remote.sampled);
	ck_assert(traceparent("00-" TRACE "-" SPAN "-00"));
	ck_assert(remote.decided && !remote.sampled);
}
END_TEST

START_TEST(propagate_takes_the_name_in_any_case)
{
	static const char *const names[] = { "traceparent", "TraceParent", "TrAcEpArEnT", "TRACEPARENT" };
	char line[128];

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(line, sizeof(line), "%s: 00-" TRACE "-" SPAN "-01\r\n", names[i]);
		ck_assert_msg(extract(W3C, line), "%s", names[i]);
	}
	ck_assert(!extract(W3C, "trace-parent: 00-" TRACE "-" SPAN "-01\r\n"));
	ck_assert(!extract(W3C, "trace.parent: 00-" TRACE "-" SPAN "-01\r\n"));
}
END_TEST

START_TEST(propagate_takes_white_space_around_the_value)
{
	ck_assert(extract(W3C, "traceparent:00-" TRACE "-" SPAN "-01\r\n"));
	ck_assert(extract(W3C, "traceparent: \t 00-" TRACE "-" SPAN "-01\r\n"));
	ck_assert(extract(W3C, "traceparent: 00-" TRACE "-" SPAN "-01 \t\r\n"));
	assert_ids();
}
END_TEST

START_TEST(propagate_starts_anew_when_there_are_two_traceparents)
{
	ck_assert(!extract(W3C, "traceparent: 00-" TRACE "-" SPAN "-01\r\n"
				"traceparent: 00-" TRACE "-" SPAN "-01\r\n"));
	ck_assert(!extract(W3C, "traceparent: 00-" TRACE "-" SPAN "-01\r\n"
				"Traceparent: 00-" TRACE "-0000000000000001-01\r\n"));
	ck_assert(!extract(W3C, "traceparent: 00-" TRACE "-" SPAN "-01,00-" TRACE "-" SPAN "-01\r\n"));
	ck_assert(oa_propagate_present(&head)); /* but none is added to such a request */
}
END_TEST

START_TEST(propagate_reads_what_it_knows_of_a_version_to_come)
{
	ck_assert(traceparent("cc-" TRACE "-" SPAN "-01"));
	assert_ids();
	ck_assert(traceparent("cc-" TRACE "-" SPAN "-01-what-the-future-will-be-like"));
	assert_ids();
	ck_assert(!traceparent("cc-" TRACE "-" SPAN "-01.what-the-future-will-not-be-like"));
	ck_assert(traceparent("fe-" TRACE "-" SPAN "-01"));
}
END_TEST

START_TEST(propagate_ignores_a_traceparent_that_breaks_a_rule)
{
	static const char *const bad[] = {
		"",
		"00",
		/* version */
		"ff-" TRACE "-" SPAN "-01",
		".0-" TRACE "-" SPAN "-01",
		"0.-" TRACE "-" SPAN "-01",
		"000-" TRACE "-" SPAN "-01",
		"0-" TRACE "-" SPAN "-01",
		"0A-" TRACE "-" SPAN "-01",
		/* what may follow version 00: nothing */
		"00-" TRACE "-" SPAN "-01-what",
		"00-" TRACE "-" SPAN "-01.",
		"00-" TRACE "-" SPAN "-01-",
		/* trace id */
		"00-00000000000000000000000000000000-" SPAN "-01",
		"00-.af7651916cd43dd8448eb211c80319c-" SPAN "-01",
		"00-0af7651916cd43dd8448eb211c80319.-" SPAN "-01",
		"00-" TRACE "0-" SPAN "-01",
		"00-0af7651916cd43dd8448eb211c80319-" SPAN "-01",
		"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01",
		"00-0af7651916cd43dd8448eb211c80319C-" SPAN "-01",
		/* parent id */
		"00-" TRACE "-0000000000000000-01",
		"00-" TRACE "-.7ad6b7169203331-01",
		"00-" TRACE "-b7ad6b716920333.-01",
		"00-" TRACE "-" SPAN "1-01",
		"00-" TRACE "-b7ad6b716920333-01",
		"00-" TRACE "-B7AD6B7169203331-01",
		/* flags */
		"00-" TRACE "-" SPAN "-.0",
		"00-" TRACE "-" SPAN "-0.",
		"00-" TRACE "-" SPAN "-001",
		"00-" TRACE "-" SPAN "-1",
		"00-" TRACE "-" SPAN "-0A",
		"00-" TRACE "-" SPAN "-",
		"00-" TRACE "-" SPAN,
		/* separators */
		"00_" TRACE "-" SPAN "-01",
		"00-" TRACE "_" SPAN "-01",
		"00-" TRACE "-" SPAN "_01",
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_msg(!traceparent(bad[i]), "%s", bad[i]);
		ck_assert_msg(!remote.decided && !remote.span_at.len, "%s", bad[i]);
	}
}
END_TEST

START_TEST(propagate_passes_on_the_flags_it_knows_and_no_others)
{
	static const struct {
		const char *flags;
		uint8_t want;
	} known[] = { { "00", 0 }, { "01", 1 }, { "02", 2 }, { "03", 3 }, { "ff", 3 }, { "fc", 0 } };
	char value[64];

	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++) {
		snprintf(value, sizeof(value), "00-" TRACE "-" SPAN "-%s", known[i].flags);
		ck_assert(traceparent(value));
		ck_assert_uint_eq(remote.flags, known[i].want);
		ck_assert_int_eq(remote.sampled, known[i].want & 1);
	}
}
END_TEST

START_TEST(propagate_tells_where_the_parent_id_stands)
{
	ck_assert(extract(W3C, "Host: a\r\ntraceparent:   00-" TRACE "-" SPAN "-01\r\n"));
	ck_assert_uint_eq(remote.span_at.len, 16);
	ck_assert(oa_bytes_eq(oa_http_slice(&head, remote.span_at), oa_bytes_str(SPAN)));
	ck_assert(extract(B3, "b3: " TRACE "-" SPAN "-1\r\n"));
	ck_assert(oa_bytes_eq(oa_http_slice(&head, remote.span_at), oa_bytes_str(SPAN)));
	ck_assert(extract(B3MULTI, "x-b3-traceid: " TRACE "\r\nx-b3-spanid: " SPAN "\r\n"));
	ck_assert(oa_bytes_eq(oa_http_slice(&head, remote.span_at), oa_bytes_str(SPAN)));
	/* Elsewhere the id has no fixed length: nothing can be written over it. */
	ck_assert(extract(JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0:1\r\n"));
	ck_assert_uint_eq(remote.span_at.len, 0);
}
END_TEST

/* -- tracestate and baggage -- */

static char joined[9000];

/* The joined list, NULL when it has to be dropped. */
static const char *join(enum oa_http_field field, const char *lines)
{
	struct oa_buf out = oa_buf(joined, OA_BAGGAGE_MAX);

	request(lines);
	if (!oa_propagate_join(&head, field, &out))
		return NULL;
	joined[out.len] = 0;
	return joined;
}

static const char *tracestate(const char *value)
{
	static char lines[50000];

	snprintf(lines, sizeof(lines), "tracestate: %s\r\n", value);
	return join(OA_FIELD_tracestate, lines);
}

START_TEST(propagate_keeps_a_tracestate_as_it_is)
{
	ck_assert_str_eq(tracestate("foo=1,bar=2"), "foo=1,bar=2");
	ck_assert_str_eq(join(OA_FIELD_tracestate, "TRACESTATE: foo=1\r\n"), "foo=1");
	ck_assert_str_eq(join(OA_FIELD_tracestate, "TraceState: foo=1\r\n"), "foo=1");
	ck_assert_str_eq(tracestate("foo=1,bar=2,foo=3"), "foo=1,bar=2,foo=3"); /* duplicates are tolerated */
}
END_TEST

START_TEST(propagate_joins_tracestates_in_their_order)
{
	ck_assert_str_eq(join(OA_FIELD_tracestate, "tracestate: foo=1,bar=2\r\nHost: a\r\ntracestate: rojo=1,congo=2\r\n"
						   "TraceState: baz=3\r\n"),
			 "foo=1,bar=2,rojo=1,congo=2,baz=3");
	ck_assert_str_eq(join(OA_FIELD_tracestate, "tracestate: foo=1\r\ntracestate: \r\ntracestate: bar=2\r\n"),
			 "foo=1,bar=2");
}
END_TEST

START_TEST(propagate_drops_an_empty_tracestate)
{
	ck_assert_ptr_null(tracestate(""));
	ck_assert_ptr_null(tracestate(" \t "));
	ck_assert_ptr_null(tracestate(" , ,"));
	ck_assert_ptr_null(join(OA_FIELD_tracestate, "tracestate:\r\ntracestate:\r\n"));
}
END_TEST

START_TEST(propagate_takes_white_space_and_nothing_between_members)
{
	ck_assert_str_eq(tracestate("foo=1 \t , \t bar=2, \t baz=3"), "foo=1,bar=2,baz=3");
	ck_assert_str_eq(tracestate("foo=1,,bar=2, ,"), "foo=1,bar=2");
	ck_assert_str_eq(tracestate("foo= x y"), "foo= x y"); /* leading blanks belong to the value */
}
END_TEST

/* `count` members k0=v,k1=v … */
static const char *members(unsigned count)
{
	static char list[2000];
	size_t len = 0;

	for (unsigned i = 0; i < count; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%sk%u=v", i ? "," : "", i);
	return list;
}

START_TEST(propagate_carries_32_members_and_drops_33)
{
	ck_assert_str_eq(tracestate(members(32)), members(32));
	ck_assert_ptr_null(tracestate(members(33)));
}
END_TEST

static const char *member_of(size_t key, size_t value)
{
	static char list[1200];

	memset(list, 'k', key);
	list[key] = '=';
	memset(list + key + 1, 'v', value);
	list[key + 1 + value] = 0;
	return list;
}

START_TEST(propagate_carries_keys_and_values_of_256_and_drops_257)
{
	ck_assert_ptr_nonnull(tracestate(member_of(256, 1)));
	ck_assert_ptr_null(tracestate(member_of(257, 1)));
	ck_assert_ptr_nonnull(tracestate(member_of(1, 256)));
	ck_assert_ptr_null(tracestate(member_of(1, 257)));
}
END_TEST

START_TEST(propagate_knows_which_characters_a_tracestate_has)
{
	static const char *const good[] = { "foo@=1", "foo@@bar=1", "0foo=1", "foo@bar=1",
					    "foo-_*/bar=1", "foo=!\"#$%&'()*+-./:;<>?@[\\]^_`{|}~" };
	static const char *const bad[] = { "foo=", "foo", "=1", "foo=a=b", "Foo=1", "foO=1", "f oo=1", "foo =1", "foo.=1",
					   "@foo=1", "_foo=1", "-foo=1", "*foo=1", "/foo=1", "foo=1,bar", "foo=\x7f", "foo=a\tb",
					   "foo=\xc3\xa4", "foo=1,FOO=2" };

	for (unsigned i = 0; i < sizeof(good) / sizeof(*good); i++)
		ck_assert_msg(tracestate(good[i]), "%s", good[i]);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!tracestate(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(propagate_never_cuts_a_member)
{
	struct oa_buf out = oa_buf(joined, 9);

	request("tracestate: foo=1,bar=22,baz=3\r\n");
	oa_propagate_join(&head, OA_FIELD_tracestate, &out);
	ck_assert(out.full);
	ck_assert(oa_bytes_eq(oa_buf_bytes(&out), OA_LIT("foo=1")));
}
END_TEST

START_TEST(propagate_joins_baggage_without_looking_into_it)
{
	ck_assert_str_eq(join(OA_FIELD_baggage, "baggage: a=1;p=2, b = x%20y ,c=d=e\r\nBaggage: F=1\r\n"),
			 "a=1;p=2,b = x%20y,c=d=e,F=1");
	ck_assert_ptr_null(join(OA_FIELD_baggage, "baggage: \r\n"));
	ck_assert_ptr_null(join(OA_FIELD_baggage, "Host: a\r\n"));
}
END_TEST

START_TEST(propagate_carries_64_entries_and_8192_bytes_of_baggage)
{
	static char lines[10000];
	size_t len = 0;

	for (unsigned i = 0; i < 64; i++)
		len += (size_t)snprintf(lines + len, sizeof(lines) - len, "%skey%02u=%0120u", i ? "," : "baggage: ", i, i);
	len -= strlen("baggage: ");
	ck_assert_uint_le(len, OA_BAGGAGE_MAX);
	snprintf(lines + len + 9, sizeof(lines) - len - 9, "%0*u\r\n", (int)(OA_BAGGAGE_MAX - len), 7u);
	ck_assert_uint_eq(strlen(join(OA_FIELD_baggage, lines)), OA_BAGGAGE_MAX);
}
END_TEST

/* -- B3 -- */

START_TEST(propagate_reads_b3_with_and_without_a_decision)
{
	ck_assert(extract(B3, "b3: " TRACE "-" SPAN "-1\r\n"));
	assert_ids();
	ck_assert(remote.decided && remote.sampled && !remote.w3c);
	ck_assert(extract(B3, "B3: " TRACE "-" SPAN "-0\r\n"));
	ck_assert(remote.decided && !remote.sampled);
	ck_assert(extract(B3, "b3: " TRACE "-" SPAN "-d\r\n"));
	ck_assert(remote.decided && remote.sampled);
	ck_assert(extract(B3, "b3: " TRACE "-" SPAN "\r\n"));
	ck_assert(!remote.decided);
	ck_assert(extract(B3, "b3: " TRACE "-" SPAN "-1-00000000000000aa\r\n"));
	assert_ids();
}
END_TEST

START_TEST(propagate_pads_a_short_b3_trace_id_on_the_left)
{
	static const uint8_t padded[16] = { [8] = 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c };

	ck_assert(extract(B3, "b3: 8448eb211c80319c-" SPAN "-1\r\n"));
	ck_assert_mem_eq(remote.trace_id, padded, 16);
	ck_assert_uint_eq(remote.flags & 2, 0);
	ck_assert(extract(B3MULTI, "X-B3-TraceId: 8448eb211c80319c\r\nX-B3-SpanId: " SPAN "\r\n"));
	ck_assert_mem_eq(remote.trace_id, padded, 16);
}
END_TEST

START_TEST(propagate_hears_a_b3_denial_without_ids)
{
	ck_assert(!extract(B3, "b3: 0\r\n"));
	ck_assert(remote.decided && !remote.sampled);
	ck_assert(!extract(B3, "b3: d\r\n"));
	ck_assert(remote.decided && remote.sampled);
	ck_assert(!extract(B3MULTI, "X-B3-Sampled: 0\r\n"));
	ck_assert(remote.decided && !remote.sampled);
}
END_TEST

START_TEST(propagate_reads_b3_in_several_headers)
{
	ck_assert(extract(B3MULTI, "X-B3-TraceId: " TRACE "\r\nX-B3-SpanId: " SPAN "\r\nX-B3-Sampled: 1\r\n"));
	assert_ids();
	ck_assert(remote.decided && remote.sampled);
	ck_assert(extract(B3MULTI, "X-B3-TraceId: " TRACE "\r\nX-B3-SpanId: " SPAN "\r\nX-B3-Sampled: false\r\n"));
	ck_assert(remote.decided && !remote.sampled);
	ck_assert(extract(B3MULTI, "X-B3-TraceId: " TRACE "\r\nX-B3-SpanId: " SPAN "\r\nX-B3-Sampled: true\r\n"));
	ck_assert(remote.sampled);
	ck_assert(extract(B3MULTI, "X-B3-TraceId: " TRACE "\r\nX-B3-SpanId: " SPAN "\r\nX-B3-Flags: 1\r\n"));
	ck_assert(remote.decided && remote.sampled);
	ck_assert(extract(B3MULTI, "X-B3-TraceId: " TRACE "\r\nX-B3-SpanId: " SPAN "\r\n"));
	ck_assert(!remote.decided);
}
END_TEST

START_TEST(propagate_prefers_one_b3_header_to_several)
{
	ck_assert(extract(B3, "X-B3-TraceId: 11111111111111111111111111111111\r\nX-B3-SpanId: 1111111111111111\r\n"
			      "b3: " TRACE "-" SPAN "-1\r\n"));
	assert_ids();
	ck_assert(extract(B3, "X-B3-TraceId: " TRACE "\r\nX-B3-SpanId: " SPAN "\r\nX-B3-Sampled: 0\r\nb3: nonsense-1\r\n"));
	assert_ids();
	ck_assert(!remote.sampled);
}
END_TEST

START_TEST(propagate_ignores_b3_ids_that_are_none)
{
	static const char *const bad[] = {
		"b3: 00000000000000000000000000000000-" SPAN "-1",
		"b3: " TRACE "-0000000000000000-1",
		"b3: " TRACE,
		"b3: " TRACE "-",
		"b3: 0af7651916cd43dd8448eb211c80319-" SPAN "-1",
		"b3: " TRACE "-b7ad6b716920333-1",
		"b3: xaf7651916cd43dd8448eb211c80319c-" SPAN "-1",
		"b3: " TRACE "-x7ad6b7169203331-1",
		"X-B3-TraceId: " TRACE,
		"X-B3-SpanId: " SPAN,
		"X-B3-TraceId: 0af7\r\nX-B3-SpanId: " SPAN,
	};
	char line[200];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(line, sizeof(line), "%s\r\n", bad[i]);
		ck_assert_msg(!extract(B3 | B3MULTI, line), "%s", bad[i]);
	}
}
END_TEST

/* -- Jaeger and X-Ray -- */

START_TEST(propagate_reads_jaeger_ids_of_any_length)
{
	static const uint8_t low[16] = { [14] = 0x31, [15] = 0x9c }, one[8] = { [7] = 1 };

	ck_assert(extract(JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0:1\r\n"));
	assert_ids();
	ck_assert(remote.decided && remote.sampled);
	ck_assert(extract(JAEGER, "Uber-Trace-Id: 319c:1:0:0\r\n"));
	ck_assert_mem_eq(remote.trace_id, low, 16);
	ck_assert_mem_eq(remote.parent_id, one, 8);
	ck_assert(remote.decided && !remote.sampled);
	ck_assert(extract(JAEGER, "uber-trace-id: " TRACE ":" SPAN ":00000000000000aa:03\r\n"));
	ck_assert(remote.sampled);
	ck_assert(extract(JAEGER, "uber-trace-id: " TRACE ":" SPAN ":0:8\r\n"));
	ck_assert(!remote.sampled);
}
END_TEST

START_TEST(propagate_reads_a_jaeger_id_that_a_proxy_encoded)
{
	ck_assert(extract(JAEGER, "uber-trace-id: " TRACE "%3A" SPAN "%3a0%3A1\r\n"));
	assert_ids();
}
END_TEST

START_TEST(propagate_ignores_jaeger_ids_that_are_none)
{
	static const char *const bad[] = { "0:" SPAN ":0:1", TRACE ":0:0:1", TRACE ":" SPAN ":0", TRACE ":" SPAN ":0:",
					   TRACE ":" SPAN ":0:001", TRACE ":" SPAN ":0:zz", TRACE "0:" SPAN ":0:1",
					   TRACE ":" SPAN "0:0:1", "::0:1", "x:1:0:1", "" };
	char line[200];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(line, sizeof(line), "uber-trace-id: %s\r\n", bad[i]);
		ck_assert_msg(!extract(JAEGER, line), "%s", bad[i]);
	}
}
END_TEST

START_TEST(propagate_reads_xray_parts_in_any_order)
{
	ck_assert(extract(XRAY, "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN ";Sampled=1\r\n"));
	assert_ids();
	ck_assert(remote.decided && remote.sampled);
	ck_assert(extract(XRAY, "x-amzn-trace-id: Sampled=0; Self=1-2-3; Parent=" SPAN
				" ;Root=1-0af76519-16cd43dd8448eb211c80319c\r\n"));
	assert_ids();
	ck_assert(remote.decided && !remote.sampled);
	ck_assert(extract(XRAY, "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN ";Sampled=?\r\n"));
	ck_assert(!remote.decided);
}
END_TEST

START_TEST(propagate_ignores_xray_ids_that_are_none)
{
	static const char *const bad[] = {
		"Root=1-0af76519-16cd43dd8448eb211c80319c;Sampled=1", /* a load balancer's: no parent */
		"Parent=" SPAN ";Sampled=1",
		"Root=2-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN,
		"Root=1-0af7651-16cd43dd8448eb211c80319c;Parent=" SPAN,
		"Root=1-0af76519-16cd43dd8448eb211c80319;Parent=" SPAN,
		"Root=1-00000000-000000000000000000000000;Parent=" SPAN,
		"Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=0000000000000000",
		"Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad",
		"garbage",
	};
	char line[200];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(line, sizeof(line), "X-Amzn-Trace-Id: %s\r\n", bad[i]);
		ck_assert_msg(!extract(XRAY, line), "%s", bad[i]);
	}
}
END_TEST

/* -- together -- */

#define EVERY_FORMAT \
	"uber-trace-id: 5:5:0:1\r\nx-amzn-trace-id: Root=1-00000006-000000000000000000000006;Parent=0000000000000006\r\n" \
	"x-b3-traceid: 00000000000000000000000000000004\r\nx-b3-spanid: 0000000000000004\r\n" \
	"b3: 00000000000000000000000000000003-0000000000000003-1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\n"

START_TEST(propagate_asks_the_formats_that_are_on_in_a_fixed_order)
{
	static const struct {
		unsigned on;
		uint8_t last;
	} order[] = { { 63, 0x9c }, { 62, 3 }, { B3MULTI | JAEGER | XRAY, 3 }, { JAEGER | XRAY, 5 }, { XRAY, 6 } };

	for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++) {
		ck_assert(extract(order[i].on, EVERY_FORMAT));
		ck_assert_uint_eq(remote.trace_id[15], order[i].last);
	}
	ck_assert(!extract(0, EVERY_FORMAT));
	ck_assert(!extract(BAGGAGE, EVERY_FORMAT));
	ck_assert(!oa_propagate_present(&head));
}
END_TEST

START_TEST(propagate_takes_the_next_format_when_one_is_unreadable)
{
	ck_assert(extract(W3C | B3, "traceparent: 00-nonsense-01\r\nb3: " TRACE "-" SPAN "-0\r\n"));
	assert_ids();
	ck_assert(!remote.w3c);
	ck_assert(!remote.sampled);
}
END_TEST

START_TEST(propagate_sees_a_context_that_it_cannot_read)
{
	static const struct {
		unsigned format;
		const char *line;
	} seen[] = { { W3C, "traceparent: x\r\n" }, { B3, "b3: x\r\n" }, { B3MULTI, "x-b3-traceid: x\r\n" },
		     { JAEGER, "uber-trace-id: x\r\n" }, { XRAY, "x-amzn-trace-id: x\r\n" } };

	for (unsigned i = 0; i < sizeof(seen) / sizeof(*seen); i++) {
		ck_assert(!extract(seen[i].format, seen[i].line));
		ck_assert(oa_propagate_present(&head));
		oa_config.propagators = 0;
		ck_assert(!oa_propagate_present(&head));
	}
}
END_TEST

/* -- writing -- */

static char lines[20000];

static const char *inject(unsigned formats, const struct oa_context *ctx)
{
	struct oa_buf out = oa_buf(lines, sizeof(lines) - 1);

	oa_config.propagators = formats;
	oa_propagate_inject(ctx, &out);
	ck_assert(!out.full);
	lines[out.len] = 0;
	return lines;
}

static struct oa_context context(bool sampled, uint8_t flags)
{
	struct oa_context ctx = { .sampled = sampled, .flags = flags };

	memcpy(ctx.trace_id, trace_id, 16);
	memcpy(ctx.span_id, span_id, 8);
	return ctx;
}

START_TEST(propagate_writes_each_format_as_its_specification_says)
{
	struct oa_context ctx = context(true, 2);

	ck_assert_str_eq(inject(W3C, &ctx), "traceparent: 00-" TRACE "-" SPAN "-03\r\n");
	ck_assert_str_eq(inject(B3, &ctx), "b3: " TRACE "-" SPAN "-1\r\n");
	ck_assert_str_eq(inject(B3MULTI, &ctx),
			 "x-b3-traceid: " TRACE "\r\nx-b3-spanid: " SPAN "\r\nx-b3-sampled: 1\r\n");
	ck_assert_str_eq(inject(JAEGER, &ctx), "uber-trace-id: " TRACE ":" SPAN ":0:1\r\n");
	ck_assert_str_eq(inject(XRAY, &ctx),
			 "X-Amzn-Trace-Id: Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" SPAN ";Sampled=1\r\n");
	ck_assert_str_eq(inject(0, &ctx), "");
	ck_assert_str_eq(inject(BAGGAGE, &ctx), "");
}
END_TEST

START_TEST(propagate_reads_what_it_wrote)
{
	static const unsigned formats[] = { W3C, B3, B3MULTI, JAEGER, XRAY, 63 };

	for (unsigned i = 0; i < sizeof(formats) / sizeof(*formats); i++) {
		for (int sampled = 0; sampled < 2; sampled++) {
			struct oa_context ctx = context(sampled, 0);
			char copy[1000];

			strcpy(copy, inject(formats[i], &ctx));
			ck_assert(extract(formats[i], copy));
			assert_ids();
			ck_assert(remote.decided);
			ck_assert_int_eq(remote.sampled, sampled);
		}
	}
}
END_TEST

START_TEST(propagate_forwards_the_random_flag)
{
	for (uint8_t random = 0; random <= 2; random += 2) {
		struct oa_context ctx = context(false, random);
		char copy[1000];

		strcpy(copy, inject(W3C, &ctx));
		ck_assert(extract(W3C, copy));
		ck_assert_uint_eq(remote.flags, random);
	}
}
END_TEST

START_TEST(propagate_sends_tracestate_with_traceparent_only)
{
	struct oa_context ctx = context(true, 0);

	ctx.tracestate = OA_LIT("foo=1");
	ctx.baggage = OA_LIT("user=me");
	ck_assert_str_eq(inject(W3C | BAGGAGE, &ctx),
			 "traceparent: 00-" TRACE "-" SPAN "-01\r\ntracestate: foo=1\r\nbaggage: user=me\r\n");
	ck_assert_str_eq(inject(B3, &ctx), "b3: " TRACE "-" SPAN "-1\r\n");
	ck_assert_str_eq(inject(BAGGAGE, &ctx), "baggage: user=me\r\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("propagate");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, propagate_reads_a_traceparent);
	tcase_add_test(tc, propagate_takes_the_name_in_any_case);
	tcase_add_test(tc, propagate_takes_white_space_around_the_value);
	tcase_add_test(tc, propagate_starts_anew_when_there_are_two_traceparents);
	tcase_add_test(tc, propagate_reads_what_it_knows_of_a_version_to_come);
	tcase_add_test(tc, propagate_ignores_a_traceparent_that_breaks_a_rule);
	tcase_add_test(tc, propagate_passes_on_the_flags_it_knows_and_no_others);
	tcase_add_test(tc, propagate_tells_where_the_parent_id_stands);
	tcase_add_test(tc, propagate_keeps_a_tracestate_as_it_is);
	tcase_add_test(tc, propagate_joins_tracestates_in_their_order);
	tcase_add_test(tc, propagate_drops_an_empty_tracestate);
	tcase_add_test(tc, propagate_takes_white_space_and_nothing_between_members);
	tcase_add_test(tc, propagate_carries_32_members_and_drops_33);
	tcase_add_test(tc, propagate_carries_keys_and_values_of_256_and_drops_257);
	tcase_add_test(tc, propagate_knows_which_characters_a_tracestate_has);
	tcase_add_test(tc, propagate_never_cuts_a_member);
	tcase_add_test(tc, propagate_joins_baggage_without_looking_into_it);
	tcase_add_test(tc, propagate_carries_64_entries_and_8192_bytes_of_baggage);
	tcase_add_test(tc, propagate_reads_b3_with_and_without_a_decision);
	tcase_add_test(tc, propagate_pads_a_short_b3_trace_id_on_the_left);
	tcase_add_test(tc, propagate_hears_a_b3_denial_without_ids);
	tcase_add_test(tc, propagate_reads_b3_in_several_headers);
	tcase_add_test(tc, propagate_prefers_one_b3_header_to_several);
	tcase_add_test(tc, propagate_ignores_b3_ids_that_are_none);
	tcase_add_test(tc, propagate_reads_jaeger_ids_of_any_length);
	tcase_add_test(tc, propagate_reads_a_jaeger_id_that_a_proxy_encoded);
	tcase_add_test(tc, propagate_ignores_jaeger_ids_that_are_none);
	tcase_add_test(tc, propagate_reads_xray_parts_in_any_order);
	tcase_add_test(tc, propagate_ignores_xray_ids_that_are_none);
	tcase_add_test(tc, propagate_asks_the_formats_that_are_on_in_a_fixed_order);
	tcase_add_test(tc, propagate_takes_the_next_format_when_one_is_unreadable);
	tcase_add_test(tc, propagate_sees_a_context_that_it_cannot_read);
	tcase_add_test(tc, propagate_writes_each_format_as_its_specification_says);
	tcase_add_test(tc, propagate_reads_what_it_wrote);
	tcase_add_test(tc, propagate_forwards_the_random_flag);
	tcase_add_test(tc, propagate_sends_tracestate_with_traceparent_only);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
