/* Jaeger's answers, and what comes of them. */
#include "pipeline/jaeger_strategy.h"

#include "sampler/keep.h"
#include "sampler/rules.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct oa_jaeger_strategy got;

static const char *json(const char *text) { return oa_jaeger_parse_json(oa_bytes_str(text), &got); }

#define OPERATIONS \
	"{\"strategyType\":\"PROBABILISTIC\",\"operationSampling\":{\"defaultSamplingProbability\":0.001," \
	"\"defaultLowerBoundTracesPerSecond\":0.016666666666666666,\"perOperationStrategies\":[" \
	"{\"operation\":\"GET /users/{id}\",\"probabilisticSampling\":{\"samplingRate\":0.123456789}}," \
	"{\"operation\":\"GET /users/me\",\"probabilisticSampling\":{\"samplingRate\":0.5}}," \
	"{\"operation\":\"GET\",\"probabilisticSampling\":{\"samplingRate\":0.25}}," \
	"{\"operation\":\"db query\",\"probabilisticSampling\":{\"samplingRate\":1}}," \
	"{\"operation\":\"POST /zero\",\"probabilisticSampling\":{}}]}}"

START_TEST(answer_in_json_is_read)
{
	ck_assert_ptr_null(json("{\"strategyType\":\"PROBABILISTIC\",\"probabilisticSampling\":{\"samplingRate\":0.4}}"));
	ck_assert_double_eq(got.probability, 0.4);
	ck_assert_ptr_null(json("{\"probabilisticSampling\":{}}")); /* proto3 leaves zeros out */
	ck_assert_double_eq(got.probability, 0);
	ck_assert_ptr_null(json("{\"strategyType\":\"RATE_LIMITING\",\"rateLimitingSampling\":{\"maxTracesPerSecond\":7}}"));
	ck_assert(got.by_rate);
	ck_assert_double_eq(got.rate, 7);
	ck_assert_ptr_null(json(OPERATIONS));
	ck_assert(!got.by_rate);
	ck_assert_uint_eq(got.count, 5);
	ck_assert_double_eq(got.probability, 0.001);
	ck_assert_double_eq(got.rate, 0.016666666666666666);
	ck_assert_str_eq(got.operation[0].name, "GET /users/{id}");
	ck_assert_double_eq(got.operation[4].probability, 0);
	/* operationSampling wins over what stands beside it */
	ck_assert_ptr_null(json("{\"probabilisticSampling\":{\"samplingRate\":1},\"operationSampling\":{\"defaultSamplingProbability\":0.2}}"));
	ck_assert_double_eq(got.probability, 0.2);
}
END_TEST

START_TEST(answer_that_is_none_is_refused)
{
	static const char *const bad[] = { "", "no", "[]", "{}", "{\"strategyType\":0}", "{\"probabilisticSampling\":1}", "{\"a\":" };

	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(json(bad[i]), "%s", bad[i]);
	ck_assert_ptr_null(json("{\"probabilisticSampling\":{\"samplingRate\":7}}"));
	ck_assert_double_eq(got.probability, 1);
}
END_TEST

/* Bytes as protoc --encode makes them. */
static const struct {
	const char *bytes;
	size_t len;
	bool by_rate;
	double probability, rate;
	unsigned count;
} messages[] = {
	{ "\x12\x09\x09\0\0\0\0\0\0\xe0\x3f", 11, false, 0.5, 0, 0 },
	{ "\x08\x01\x1a\x02\x08\x07", 6, true, 0, 7, 0 },
	{ "\x12\0", 2, false, 0, 0, 0 },
	{ "\x22\x21\x09\0\0\0\0\0\0\xd0\x3f\x11\0\0\0\0\0\0\xc0\x3f\x1a\x0d\x0a\x06GET /a\x12\x03\x09\x01\x02", 35, false, 0, 0, 9 },
	{ "\x22\x25\x09\0\0\0\0\0\0\xd0\x3f\x11\0\0\0\0\0\0\xc0\x3f\x1a\x11\x0a\x04GET \x12\x09\x09\0\0\0\0\0\0\xe0\x3f", 39, false,
	  0.25, 0.125, 1 },
};

START_TEST(answer_in_protobuf_is_read)
{
	const char *wrong = oa_jaeger_parse_grpc(oa_bytes(messages[_i].bytes, messages[_i].len), &got);

	if (messages[_i].count == 9) { /* cut inside: nothing is made up */
		ck_assert_uint_le(got.count, 1);
		return;
	}
	ck_assert_ptr_null(wrong);
	ck_assert_int_eq(got.by_rate, messages[_i].by_rate);
	ck_assert_double_eq(got.probability, messages[_i].probability);
	ck_assert_double_eq(got.rate, messages[_i].rate);
	ck_assert_uint_eq(got.count, messages[_i].count);
}
END_TEST

START_TEST(protobuf_cut_anywhere_is_survived)
{
	for (size_t len = 0; len < messages[4].len; len++) {
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, messages[4].bytes, len);
		(void)oa_jaeger_parse_grpc(oa_bytes(copy, len), &got);
		ck_assert_uint_le(got.count, 1);
		free(copy);
	}
}
END_TEST

static struct oa_decision decide(enum oa_kind kind, const char *method, const char *target, uint64_t random, uint64_t now_ns)
{
	struct oa_sample_request r = { .kind = kind, .method_text = oa_bytes_str(method), .target = oa_bytes_str(target) };
	struct oa_sample_ask ask = { .random = random, .now_ns = now_ns, .request = &r };
	struct oa_decision d = { .threshold = OA_TH_NONE };

	r.method = oa_method_parse(r.method_text);
	oa_keep_rules(&ask, &d);
	return d;
}

#define ALWAYS (OA_TH_RANGE - 1)

static void is(struct oa_decision d, unsigned type, const char *param)
{
	ck_assert(d.sampled);
	ck_assert_uint_eq(d.type, type);
	ck_assert_uint_eq(d.param_len, strlen(param));
	ck_assert_mem_eq(d.param, param, d.param_len);
}

START_TEST(operations_have_their_own_probability_and_say_it_exactly)
{
	ck_assert_ptr_null(json(OPERATIONS));
	ck_assert(oa_jaeger_publish(&got, 3));
	is(decide(OA_KIND_SERVER, "GET", "/users/77", ALWAYS, 1), OA_TYPE_PROBABILISTIC, "0.123456789");
	is(decide(OA_KIND_SERVER, "GET", "/users/me", ALWAYS, 1), OA_TYPE_PROBABILISTIC, "0.5");
	is(decide(OA_KIND_CLIENT, "GET", "/users/me", ALWAYS, 1), OA_TYPE_PROBABILISTIC, "0.25");
	is(decide(OA_KIND_SERVER, "PUT", "/new", ALWAYS, 1), OA_TYPE_PROBABILISTIC, "0.001");
	ck_assert_uint_eq(decide(OA_KIND_SERVER, "GET", "/users/me", ALWAYS, 1).threshold, oa_th_of(0.5));
}
END_TEST

START_TEST(every_operation_gets_its_lower_bound_and_no_more)
{
	uint64_t minute = 60000000000;
	unsigned low = 0;

	ck_assert_ptr_null(json(OPERATIONS));
	ck_assert(oa_jaeger_publish(&got, 3));
	/* R = 0 is kept by no probability below 1. */
	is(decide(OA_KIND_SERVER, "POST", "/zero", 0, minute), OA_TYPE_LOWERBOUND, "0");
	ck_assert_uint_eq(decide(OA_KIND_SERVER, "GET", "/users/me", 0, minute).threshold, OA_TH_NONE);
	for (uint64_t t = minute + 1; t < 11 * minute; t += minute / 100)
		low += decide(OA_KIND_SERVER, "POST", "/zero", 0, t).sampled;
	ck_assert_uint_ge(low, 9);
	ck_assert_uint_le(low, 11);
	/* A token is spent on what the probability keeps, too. */
	is(decide(OA_KIND_SERVER, "GET", "/users/8", ALWAYS, 20 * minute), OA_TYPE_PROBABILISTIC, "0.123456789");
	ck_assert(!decide(OA_KIND_SERVER, "GET", "/users/8", 0, 20 * minute).sampled);
	/* Operations nobody named do not hide each other. */
	is(decide(OA_KIND_SERVER, "GET", "/a/1", 0, 20 * minute), OA_TYPE_LOWERBOUND, "0.001");
	is(decide(OA_KIND_SERVER, "GET", "/b/1", 0, 20 * minute), OA_TYPE_LOWERBOUND, "0.001");
	ck_assert(!decide(OA_KIND_SERVER, "GET", "/a/2", 0, 20 * minute).sampled);
}
END_TEST

START_TEST(rate_is_the_rate)
{
	unsigned kept = 0;

	ck_assert_ptr_null(json("{\"rateLimitingSampling\":{\"maxTracesPerSecond\":3}}"));
	ck_assert(oa_jaeger_publish(&got, 4));
	is(decide(OA_KIND_SERVER, "GET", "/", 0, 1), OA_TYPE_RATELIMITING, "3");
	for (unsigned i = 0; i < 1000; i++)
		kept += decide(OA_KIND_SERVER, "GET", "/", ALWAYS, 1 + i * 10000000ull).sampled;
	ck_assert_uint_ge(kept, 29);
	ck_assert_uint_le(kept, 32);
}
END_TEST

START_TEST(more_operations_than_fit_are_counted)
{
	static char text[80000];
	size_t len = (size_t)sprintf(text, "{\"operationSampling\":{\"perOperationStrategies\":[");

	for (unsigned i = 0; i < 300; i++)
		len += (size_t)sprintf(text + len, "%s{\"operation\":\"GET /op/%u\",\"probabilisticSampling\":{\"samplingRate\":1}}",
				       i ? "," : "", i);
	sprintf(text + len, "]}}");
	ck_assert_ptr_null(json(text));
	ck_assert_uint_eq(got.count, 255);
	ck_assert_uint_eq(got.skipped, 45);
	ck_assert(oa_jaeger_publish(&got, 5));
	ck_assert(decide(OA_KIND_SERVER, "GET", "/op/0", 0, 1).sampled);
	ck_assert(!decide(OA_KIND_SERVER, "GET", "/op/299", 0, 1).sampled);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pipeline");
	TCase *tc = tcase_create("jaeger_strategy");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, answer_in_json_is_read);
	tcase_add_test(tc, answer_that_is_none_is_refused);
	tcase_add_loop_test(tc, answer_in_protobuf_is_read, 0, sizeof(messages) / sizeof(*messages));
	tcase_add_test(tc, protobuf_cut_anywhere_is_survived);
	tcase_add_test(tc, operations_have_their_own_probability_and_say_it_exactly);
	tcase_add_test(tc, every_operation_gets_its_lower_bound_and_no_more);
	tcase_add_test(tc, rate_is_the_rate);
	tcase_add_test(tc, more_operations_than_fit_are_counted);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
