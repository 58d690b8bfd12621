/* Whether an exchange is sampled, and what its tracestate and that of the calls made for it say about it. */
#include "tests/unit/conn_rig.h"

#include "core/clock.h"
#include "sampler/sampler.h"

#define IN 510
#define OUT 520
#define TRACE "0af7651916cd43dd8448eb211c80319c" /* R 0x48eb211c80319c */
#define SPAN "b7ad6b7169203331"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static char wire[40000];

static void start(const char *sampler, const char *arg)
{
	static char a[64], b[64];
	char *const env[] = { a, b, NULL };

	rig_start();
	snprintf(a, sizeof(a), "OTEL_TRACES_SAMPLER=%s", sampler);
	snprintf(b, sizeof(b), "OTEL_TRACES_SAMPLER_ARG=%s", arg);
	oa_config_read(env);
	ck_assert_int_eq(oa_sampler_init(), 0);
}

/* One request with this context, for which one call is made. */
struct seen {
	bool sampled, texts;
	char server[600], client[600]; /* tracestate of the records */
	char call[600];                /* that of the call, "" none */
};

static void text_of(char *ret, const struct oa_span *s)
{
	struct oa_bytes t = oa_span_str(s, OA_STR_TRACESTATE);

	memcpy(ret, t.ptr, t.len);
	ret[t.len] = 0;
}

static struct seen request(const char *flags, const char *tracestate)
{
	char text[1200];
	const struct oa_span *s;
	struct seen seen = { 0 };
	char *at;

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s%s%s%s%s%s\r\n", flags ? "traceparent: 00-" TRACE "-" SPAN "-" : "",
		 flags ? flags : "", flags ? "\r\n" : "", tracestate ? "tracestate: " : "", tracestate ? tracestate : "",
		 tracestate ? "\r\n" : "");
	rig_accept(IN, false);
	rig_connect(OUT);
	rig_receive(IN, text);
	wire[0] = 0;
	rig_send(OUT, "GET /out HTTP/1.1\r\n\r\n", SIZE_MAX, wire);
	rig_receive(OUT, OK);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	text_of(seen.client, s);
	rig_respond(IN);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	seen.sampled = s->flags & OA_SPAN_SAMPLED;
	seen.texts = s->flags & OA_SPAN_TEXTS;
	text_of(seen.server, s);
	at = strstr(wire, "\r\ntracestate: ");
	if (at)
		sscanf(at, "\r\ntracestate: %599[^\r]", seen.call);
	ck_assert_ptr_nonnull(strstr(wire, seen.sampled ? "-01\r\n" : "-00\r\n"));
	return seen;
}

/* R of TRACE is 0x48eb…: kept by th:4, not by th:5. */
static const struct {
	const char *sampler, *arg, *flags, *in;
	bool sampled;
	const char *out; /* of the server's record, and of the call */
} cases[] = {
	{ "parentbased_always_on", "", "01", NULL, true, "" },
	{ "parentbased_always_on", "", "01", "a=1", true, "a=1" },
	/* the caller's weight goes on, as it came */
	{ "parentbased_always_on", "", "01", "a=1,ot=th:4;zz:1", true, "a=1,ot=th:4;zz:1" },
	{ "parentbased_traceidratio", "0.0001", "01", "ot=th:4", true, "ot=th:4" },
	/* it kept what it says it would not have kept: nobody knows what this stands for */
	{ "parentbased_always_on", "", "01", "ot=th:5,a=1", true, "a=1" },
	{ "parentbased_always_on", "", "01", "ot=th:5;rv:50000000000000,a=1", true, "ot=th:5;rv:50000000000000,a=1" },
	{ "parentbased_always_on", "", "01", "ot=th:4;rv:30000000000000", true, "ot=rv:30000000000000" },
	{ "parentbased_always_on", "", "00", "ot=th:4,a=1", false, "a=1" },
	/* decisions of our own */
	{ "traceidratio", "1", "00", "ot=th:c,a=1", true, "ot=th:0,a=1" },
	{ "traceidratio", "0.75", "00", NULL, true, "ot=th:4" },
	{ "traceidratio", "0.75", "01", "ot=zz:1;th:0", true, "ot=th:4;zz:1" },
	{ "traceidratio", "0.5", "01", "ot=th:0,a=1", false, "a=1" },
	{ "traceidratio", "0.5", "01", "a=1,ot=rv:90000000000000", true, "ot=th:8;rv:90000000000000,a=1" },
	{ "traceidratio", "0.5", "01", "a=1,ot=th:0;rv:10000000000000", false, "ot=rv:10000000000000,a=1" },
	{ "always_on", "", "00", "ot=th:4,a=1", true, "a=1" },
	{ "rate_limiting", "100", "01", "ot=th:0,a=1", true, "a=1" },
	/* what is broken stays */
	{ "traceidratio", "1", "01", "ot=th:X,a=1", true, "ot=th:X,a=1" },
	{ "traceidratio", "0.75", "01", "A=broken", true, "ot=th:4" },
};

START_TEST(tracestate_says_what_was_decided_and_carries_the_rest)
{
	struct seen seen;

	start(cases[_i].sampler, cases[_i].arg);
	seen = request(cases[_i].flags, cases[_i].in);
	ck_assert_int_eq(seen.sampled, cases[_i].sampled);
	ck_assert_str_eq(seen.server, cases[_i].out);
	ck_assert_str_eq(seen.call, cases[_i].out);
	ck_assert_str_eq(seen.client, seen.texts ? cases[_i].out : "");
}
END_TEST

START_TEST(tracestate_of_a_trace_that_begins_here_has_the_threshold_when_it_is_kept)
{
	unsigned kept = 0;

	start("parentbased_traceidratio", "0.5");
	for (unsigned i = 0; i < 200; i++) {
		char text[] = "GET / HTTP/1.1\r\n\r\n";
		const struct oa_span *s;
		struct oa_bytes state;

		rig_accept(IN, false);
		rig_receive(IN, text);
		rig_respond(IN);
		s = rig_next();
		state = oa_span_str(s, OA_STR_TRACESTATE);
		ck_assert_int_eq(!!(s->flags & OA_SPAN_SAMPLED), oa_th_random(s->trace_id) >= oa_th_of(0.5));
		ck_assert(oa_bytes_eq(state, s->flags & OA_SPAN_SAMPLED ? OA_LIT("ot=th:8") : OA_LIT("")));
		ck_assert(s->flags & OA_SPAN_OWN_DECISION);
		kept += s->flags & OA_SPAN_SAMPLED;
	}
	ck_assert_uint_gt(kept, 50);
	ck_assert_uint_lt(kept, 150);
}
END_TEST

START_TEST(tracestate_of_a_call_that_begins_a_trace_goes_out_with_it)
{
	const struct oa_span *s;

	start("traceidratio", "1");
	rig_connect(OUT);
	wire[0] = 0;
	rig_send(OUT, "GET /out HTTP/1.1\r\n\r\n", SIZE_MAX, wire);
	ck_assert_ptr_nonnull(strstr(wire, "\r\ntracestate: ot=th:0\r\n"));
	rig_receive(OUT, OK);
	s = rig_next();
	ck_assert(rig_str_is(s, OA_STR_TRACESTATE, "ot=th:0"));
	ck_assert(s->flags & OA_SPAN_OWN_DECISION);
}
END_TEST

/* Baggage needs the larger block; the list must not be there twice. */
START_TEST(tracestate_goes_on_beside_baggage)
{
	start("traceidratio", "1");
	rig_accept(IN, false);
	rig_connect(OUT);
	rig_receive(IN, "GET / HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\ntracestate: a=1\r\nbaggage: k=v\r\n\r\n");
	wire[0] = 0;
	rig_send(OUT, "GET /out HTTP/1.1\r\n\r\n", SIZE_MAX, wire);
	ck_assert_ptr_nonnull(strstr(wire, "\r\ntracestate: ot=th:0,a=1\r\nbaggage: k=v\r\n"));
	ck_assert_ptr_null(strstr(strstr(wire, "tracestate") + 1, "tracestate"));
}
END_TEST

START_TEST(tracestate_of_any_length_goes_on)
{
	char list[1100];

	start("traceidratio", "1");
	for (unsigned len = 20; len < 250; len += 13) {
		char want[1200];
		struct seen seen;

		snprintf(list, sizeof(list), "a=%0*d", (int)len, 7);
		snprintf(want, sizeof(want), "ot=th:0,%s", list);
		seen = request("01", list);
		ck_assert_str_eq(seen.call, want);
		ck_assert_str_eq(seen.server, want);
	}
}
END_TEST

START_TEST(a_program_that_traces_by_itself_keeps_its_weight)
{
	const struct oa_span *s;

	start("parentbased_traceidratio", "0.1");
	rig_connect(OUT);
	rig_send(OUT, "GET /out HTTP/1.1\r\ntraceparent: 00-" TRACE "-" SPAN "-01\r\ntracestate: ot=th:4\r\n\r\n", SIZE_MAX, wire);
	rig_receive(OUT, OK);
	s = rig_next();
	ck_assert(s->flags & OA_SPAN_SAMPLED);
	ck_assert(!(s->flags & OA_SPAN_OWN_DECISION));
	ck_assert(rig_str_is(s, OA_STR_TRACESTATE, "ot=th:4"));
}
END_TEST

static const struct {
	const char *sampler, *arg, *keep, *remote, *flags;
	bool tail;
} tails[] = {
	{ "traceidratio", "0", "", "", NULL, true },
	{ "parentbased_traceidratio", "0.01", "error", "", NULL, true },
	{ "traceidratio", "0", "none", "true", NULL, false },
	{ "traceidratio", "1", "", "", NULL, false }, /* there is nothing it could add */
	{ "rate_limiting", "0", "", "", NULL, true },
	{ "always_off", "", "", "true", NULL, false },
	{ "always_on", "", "", "true", NULL, false },
	{ "parentbased_always_on", "", "", "", "00", false },
	{ "parentbased_always_on", "", "", "true", "00", true },
	{ "parentbased_always_on", "", "", "true", "01", false },
	{ "parentbased_traceidratio", "0", "", "", "00", false },
};

/* Texts are only kept for records that may be exported. */
START_TEST(tail_rule_may_keep_what_we_dropped_and_more_when_told)
{
	const struct oa_span *s;
	char text[300];

	start(tails[_i].sampler, tails[_i].arg);
	oa_config.keep = strcmp(tails[_i].keep, "none") ? 7 : 1u << 31;
	oa_config.keep_remote = !strcmp(tails[_i].remote, "true");
	ck_assert_int_eq(oa_sampler_init(), 0);
	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nUser-Agent: me\r\n%s%s%s\r\n",
		 tails[_i].flags ? "traceparent: 00-" TRACE "-" SPAN "-" : "", tails[_i].flags ? tails[_i].flags : "",
		 tails[_i].flags ? "\r\n" : "");
	rig_accept(IN, false);
	rig_connect(OUT);
	rig_receive(IN, text);
	rig_send(OUT, "GET /out HTTP/1.1\r\n\r\n", SIZE_MAX, wire);
	rig_receive(OUT, OK);
	s = rig_next();
	ck_assert_int_eq(!!(s->flags & OA_SPAN_TAIL), tails[_i].tail);
	rig_respond(IN);
	s = rig_next();
	ck_assert_int_eq(!!(s->flags & OA_SPAN_TAIL), tails[_i].tail);
	ck_assert(rig_str_is(s, OA_STR_USER_AGENT, s->flags & OA_SPAN_TEXTS ? "me" : ""));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("decide");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, tracestate_says_what_was_decided_and_carries_the_rest, 0, sizeof(cases) / sizeof(*cases));
	tcase_add_loop_test(tc, tail_rule_may_keep_what_we_dropped_and_more_when_told, 0, sizeof(tails) / sizeof(*tails));
	tcase_add_test(tc, tracestate_of_a_trace_that_begins_here_has_the_threshold_when_it_is_kept);
	tcase_add_test(tc, tracestate_of_a_call_that_begins_a_trace_goes_out_with_it);
	tcase_add_test(tc, tracestate_goes_on_beside_baggage);
	tcase_add_test(tc, tracestate_of_any_length_goes_on);
	tcase_add_test(tc, a_program_that_traces_by_itself_keeps_its_weight);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
