/* Prints what encoding one span costs, by our encoder and by protobuf-c on the same spans (medians). PERFORMANCE.md goal
 * 23 wants at most 0.3 times the time of protobuf-c; no test: times are no verdict on a shared machine. */
#include <stdio.h>
#include <time.h>

#include "core/config.h"
#include "exporter/otlp_pb.h"
#include "tests/unit/otlp_oracle.h"

#define ROUNDS 301
#define SPANS 512

static struct oa_span_buf buf;
static uint8_t *out;
static Oa__Otlp__Span *tree;

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void set(enum oa_str which, const char *text)
{
	(void)oa_span_set_str(&buf.s, sizeof(buf), which, oa_bytes_str(text));
}

/* An ordinary server span: thirteen attributes, a name, a remote parent. */
static void make_typical(void)
{
	struct oa_span *s = &buf.s;

	memset(s, 0, sizeof(*s));
	s->bytes = sizeof(*s);
	s->kind = OA_KIND_SERVER;
	s->what = OA_WHAT_HTTP;
	random_bytes(s->trace_id, 40);
	s->start_unix_ns = 1700000000000000000ull;
	s->duration_ns = 1234567;
	s->flags = OA_SPAN_SAMPLED | OA_SPAN_HAS_STATUS | OA_SPAN_PARENT_REMOTE | OA_SPAN_HAS_RESP_BODY;
	s->status = 200;
	s->method = OA_METHOD_GET;
	s->version = 11;
	s->resp_body = 5120;
	s->peer = (struct oa_addr){ .family = 4, .port = 40404, .ip = { 10, 1, 2, 3 } };
	set(OA_STR_NAME, "GET /users/{id}/orders");
	set(OA_STR_ROUTE, "/users/{id}/orders");
	set(OA_STR_PATH, "/users/12345/orders");
	set(OA_STR_QUERY, "page=2&sort=date");
	set(OA_STR_HOST, "shop.example.com:8080");
	set(OA_STR_USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0");
}

static size_t by_hand(void)
{
	uint8_t *end = out;

	for (unsigned i = 0; i < SPANS; i++)
		end = oa_otlp_pb_span(end, &buf.s);
	return (size_t)(end - out);
}

/* The tree is there already: this is only the packing, protobuf-c at its best. */
static size_t by_protobuf_c(void)
{
	size_t len = 0;

	for (unsigned i = 0; i < SPANS; i++) {
		len += oa__otlp__span__get_packed_size(tree);
		len += oa__otlp__span__pack(tree, out + len);
	}
	return len;
}

/* With the tree built for each span, as an exporter has to. */
static size_t by_protobuf_c_tree(void)
{
	size_t len = 0;

	for (unsigned i = 0; i < SPANS; i++) {
		Oa__Otlp__Span *span = oracle_span(&buf.s);

		(void)oa__otlp__span__get_packed_size(span);
		len += oa__otlp__span__pack(span, out + len);
		oa__otlp__span__free_unpacked(span, NULL);
	}
	return len;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_ns(size_t (*encode)(void))
{
	static double ns[ROUNDS];

	for (unsigned i = 0; i < ROUNDS; i++) {
		double start = now_ns();

		(void)encode();
		ns[i] = (now_ns() - start) / SPANS;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), compare);
	return ns[ROUNDS / 2];
}

int main(void)
{
	double hand, pack, whole;

	oa_config_read((char *[]){ NULL });
	out = malloc(8u << 20);
	make_typical();
	tree = oracle_span(&buf.s);
	hand = median_ns(by_hand);
	pack = median_ns(by_protobuf_c);
	whole = median_ns(by_protobuf_c_tree);
	printf("%zu bytes, %zu attributes per span\n", by_hand() / SPANS, tree->n_attributes);
	printf("our encoder              %6.0f ns/span\n", hand);
	printf("protobuf-c, packing      %6.0f ns/span, ours is %.2f of it\n", pack, hand / pack);
	printf("protobuf-c, from record  %6.0f ns/span, ours is %.2f of it\n", whole, hand / whole);
	return 0;
}
