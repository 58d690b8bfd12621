#include <check.h>

#include "proto/http2_impl.h"
#include "tests/fuzz/http2_check.h"
#include "tests/unit/samples.h"

static struct http2_check check;
static struct samples samples;

static void start(void)
{
	http2_check_init(&check);
}

static void stop(void)
{
	http2_check_fini(&check);
}

/* The first line of an .events file says which direction it is. returns the rest */
static const char *take_direction(const char *text)
{
	check.feed.dir = strncmp(text, "@response\n", 10) ? OA_DIR_REQUEST : OA_DIR_RESPONSE;
	ck_assert(!strncmp(text, "@request\n", 9) || check.feed.dir == OA_DIR_RESPONSE);
	return strchr(text, '\n') + 1;
}

static void plays_as_written(const struct sample *s)
{
	struct oa_bytes events = samples_read("data/http2", s->name, ".events");
	const char *expected = take_direction((const char *)events.ptr), *differs;
	struct feed_text whole;

	differs = feed_play_all(&check.feed, &check.guard, s->bytes, &whole);
	ck_assert_msg(!strcmp(whole.ptr, expected), "%s gives\n%s-- but expected is\n%s", s->name, whole.ptr, expected);
	ck_assert_msg(!differs, "%s, %s, gives\n%s-- but whole\n%s", s->name, differs, check.feed.text.ptr, whole.ptr);
	feed_text_free(&whole);
	free((void *)(uintptr_t)events.ptr);
}

START_TEST(samples_give_their_events_however_they_are_cut)
{
	samples_load(&samples, "data/http2", ".in");
	ck_assert_int_ge(samples.count, 60);
	for (int i = 0; i < samples.count; i++)
		plays_as_written(&samples.at[i]);
	samples_free(&samples);
}
END_TEST

/* -- header blocks looked at before they go out -- */

/* What was said of blocks that feed() has not come to yet. */
static struct {
	struct feed_text text[512];
	uint64_t hash[512];
	bool request[512];
	unsigned from, to;
	int stop_after;
	enum oa_dir dir;
} ahead;

static enum oa_event_type ahead_type(const struct oa_http2_block *b)
{
	if (ahead.dir == OA_DIR_REQUEST)
		return b->request ? OA_EVENT_REQUEST : OA_EVENT_TRAILERS;
	ck_assert(!b->request);
	return b->head->flags & OA_HTTP2_HAS_STATUS ? OA_EVENT_RESPONSE : OA_EVENT_TRAILERS;
}

static bool ahead_each(void *ctx, const struct oa_http2_block *b)
{
	unsigned at = ahead.to;
	struct oa_http2_head h;

	if (!b->head) { /* again: it must be the one we know */
		for (at = ahead.from; at < ahead.to && ahead.hash[at % 512] != b->hash; at++)
			;
		ck_assert_uint_lt(at, ahead.to);
		return true;
	}
	h = *b->head;
	ck_assert_uint_le(b->fields_from, b->fields_end);
	ck_assert_uint_le(b->fields_end, b->frame.len);
	if (b->single && h.parent_to)
		ck_assert_uint_le(b->fields_from + h.parent_to, b->fields_end);
	ahead.text[at % 512].len = 0;
	feed_put(&ahead.text[at % 512], "", 0);
	if (!b->promise)
		http2_print_head(&ahead.text[at % 512], ahead_type(b), b->stream, &h);
	ahead.hash[at % 512] = b->hash;
	ahead.to++;
	return --ahead.stop_after > 0;
}

static void ahead_event(void *ctx, const struct oa_event *ev)
{
	const struct oa_sink *sink = ctx;
	struct feed *f = sink->ctx;

	if (ev->type != OA_EVENT_AHEAD) {
		sink->event(sink->ctx, ev);
		return;
	}
	ck_assert_uint_lt(ahead.from, ahead.to);
	ck_assert(ahead.hash[ahead.from % 512] == ev->u.hash);
	feed_flush_body(f);
	feed_puts(&f->text, ahead.text[ahead.from++ % 512].ptr);
}

static void *ahead_memory(void *ctx, void *old, size_t want, size_t *ret_bytes)
{
	return feed_memory(NULL, old, want, ret_bytes);
}

/* What conn/ does with the bytes of its own side: looked at in as many buffers as there are, then fed, maybe not all of
 * them. */
static long feed_looked_at(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	static uint64_t seed = 7;
	struct oa_sink own = { .event = ahead_event, .ctx = (void *)(uintptr_t)sink, .memory = ahead_memory };
	const struct http2_state *st = state;
	struct iovec iov[64];
	int n = 0;
	size_t at = 0;
	bool whole = st->phase != HTTP2_DEAD && (st->phase != HTTP2_START || dir == OA_DIR_RESPONSE || in.len >= 24);

	for (; at < in.len && n < 63; n++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		iov[n].iov_base = (void *)(uintptr_t)(in.ptr + at);
		iov[n].iov_len = (seed >> 60) & 1 ? (seed >> 33) % 40 : (seed >> 33) % 3000;
		if (iov[n].iov_len > in.len - at)
			iov[n].iov_len = in.len - at;
		at += iov[n].iov_len;
	}
	iov[n++] = (struct iovec){ (void *)(uintptr_t)(in.ptr + at), in.len - at };
	ahead.stop_after = 1 + (int)((seed >> 33) % 9);
	if (whole)
		(void)oa_http2_ahead(state, dir, oa_bytes(NULL, 0), iov, n, &own, ahead_each, NULL);
	return oa_proto_http2.feed(state, dir, in, &own);
}

START_TEST(samples_give_their_events_when_their_blocks_were_looked_at_before)
{
	static struct oa_proto proto;
	uint64_t seed = 1;

	proto = oa_proto_http2;
	proto.feed = feed_looked_at;
	samples_load(&samples, "data/http2", ".in");
	for (int i = 0; i < samples.count; i++) {
		struct oa_bytes events = samples_read("data/http2", samples.at[i].name, ".events");
		const char *expected = take_direction((const char *)events.ptr);

		/* Blocks that cannot be read are found before the ones in front of them go by. */
		ahead.dir = check.feed.dir;
		if (!strstr(expected, "EPROTO") && !strstr(expected, "E2BIG"))
			for (int round = 0; round < 50; round++) {
				check.feed.proto = &proto;
				ahead.from = ahead.to = 0;
				feed_play(&check.feed, &check.guard, samples.at[i].bytes,
					  round ? feed_cut_random : feed_cut_whole, &seed);
				ck_assert_str_eq(check.feed.text.ptr, expected);
			}
		check.feed.proto = &oa_proto_http2;
		free((void *)(uintptr_t)events.ptr);
	}
	samples_free(&samples);
	for (unsigned i = 0; i < 512; i++)
		feed_text_free(&ahead.text[i]);
}
END_TEST

/* -- against libnghttp2 -- */

static void agrees_with_reference(const char *name, struct oa_bytes in, uint64_t seed)
{
	const char *differs = http2_check_stream(&check, in, seed);
	struct feed_text shown = { 0 };

	if (!differs)
		return;
	feed_put_escaped(&shown, in);
	ck_abort_msg("%s, %s:\n%s\ngives\n%s-- but the reference says\n%s", name, differs, shown.ptr,
		     check.feed.text.ptr, check.expected.ptr);
}

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static unsigned random_below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 20) % n);
}

/* Changes a few bytes, with a liking for those that mean something. */
static size_t mutate(uint8_t *p, size_t len)
{
	static const uint8_t liked[] = { 0, 1, 2, 3, 4, 5, 8, 9, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0x82, 0xbe, 0xff, 0x1f };

	for (unsigned n = 1 + random_below(4); n && len > 2; n--) {
		size_t at = random_below((unsigned)len);

		switch (random_below(4)) {
		case 0:
			p[at] ^= (uint8_t)(1u << random_below(8));
			break;
		case 1:
			p[at] = liked[random_below(sizeof(liked))];
			break;
		case 2:
			memmove(p + at, p + at + 1, --len - at);
			break;
		case 3:
			memmove(p + at + 1, p + at, len++ - at);
			p[at] = liked[random_below(sizeof(liked))];
			break;
		}
	}
	return len;
}

START_TEST(mutated_samples_agree_with_libnghttp2)
{
	static uint8_t copy[HTTP2_CHECK_MAX];

	samples_load(&samples, "data/http2", ".in");
	for (int i = 0; i < samples.count; i++) {
		struct oa_bytes in = samples.at[i].bytes, events = samples_read("data/http2", samples.at[i].name, ".events");

		take_direction((const char *)events.ptr);
		agrees_with_reference(samples.at[i].name, in, (uint64_t)i);
		for (int round = 0; round < (in.len > 4096 ? 20 : 300); round++) {
			memcpy(copy, in.ptr, in.len);
			agrees_with_reference(samples.at[i].name, oa_bytes(copy, mutate(copy, in.len)), (uint64_t)round);
		}
		free((void *)(uintptr_t)events.ptr);
	}
	samples_free(&samples);
}
END_TEST

START_TEST(fuzz_corpus_agrees_with_libnghttp2)
{
	samples_load(&samples, "fuzz/corpus/http2", "");
	ck_assert_int_gt(samples.count, 0);
	for (int i = 0; i < samples.count; i++) {
		const char *differs = http2_check_sample(&check, samples.at[i].bytes.ptr, samples.at[i].bytes.len);

		ck_assert_msg(!differs, "%s, %s, gives\n%s-- but the reference says\n%s", samples.at[i].name, differs,
			      check.feed.text.ptr, check.expected.ptr);
	}
	samples_free(&samples);
}
END_TEST

/* -- a long connection with everything headers can be -- */

struct mirror {
	nghttp2_hd_deflater *deflater;
	uint64_t state[8];
	struct feed_text got, want;
	size_t held, held_max;
};

static void *mirror_memory(void *ctx, void *old, size_t want, size_t *ret_bytes)
{
	struct mirror *m = ctx;
	size_t *block = old ? (size_t *)old - 2 : NULL;

	if (block)
		m->held -= block[0];
	free(block);
	if (!want)
		return NULL;
	block = malloc(want + 2 * sizeof(size_t));
	block[0] = want;
	m->held += want;
	*ret_bytes = want;
	return block + 2;
}

static void mirror_event(void *ctx, const struct oa_event *ev)
{
	struct mirror *m = ctx;

	if (ev->type == OA_EVENT_REQUEST)
		http2_print(&m->got, ev);
}

static nghttp2_nv nv(const char *name, const char *value, uint8_t flags)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), flags };
}

/* A frame with a request of random fields; the text it must give. returns its length */
static size_t mirror_frame(struct mirror *m, uint32_t stream, uint8_t *to)
{
	static const char *const names[] = { "user-agent", "accept", "x-request-id", "cookie", "baggage", "x-custom-thing",
					     "traceparent", "content-type", "etag", "authorization", "x-b3-traceid" };
	static char values[12][1200];
	bool used[11] = { false };
	nghttp2_nv fields[20];
	struct http2_shown s = { .type = OA_EVENT_REQUEST, .stream = stream, .end = true, .method = OA_METHOD_GET };
	unsigned count = 0, extra = random_below(8);
	ssize_t len;

	snprintf(values[11], sizeof(values[11]), "/p/%u/%u", random_below(50), random_below(3) ? 0 : random_below(100000));
	fields[count++] = nv(":method", "GET", 0);
	fields[count++] = nv(":scheme", "http", 0);
	fields[count++] = nv(":path", values[11], random_below(2) ? NGHTTP2_NV_FLAG_NO_INDEX : 0);
	fields[count++] = nv(":authority", random_below(9) ? "a.example" : "b.example", 0);
	s.text[HTTP2_TEXT_SCHEME] = OA_LIT("http");
	s.text[HTTP2_TEXT_TARGET] = oa_bytes_str(values[11]);
	s.text[OA_FIELD_host] = oa_bytes_str((char *)fields[3].value);
	while (extra--) {
		unsigned i = random_below(11), n = random_below(20) ? 1 + random_below(60) : random_below(1100);
		int kept = ref2_index(oa_bytes_str(names[i]));
		uint8_t flags = random_below(3) ? 0 : NGHTTP2_NV_FLAG_NO_INDEX;

		if (used[i])
			continue;
		used[i] = true;
		for (unsigned k = 0; k < n; k++)
			values[i][k] = (char)(random_below(4) ? 'a' + (char)random_below(3) : ' ' + (char)random_below(95));
		values[i][n] = 0;
		fields[count++] = nv(names[i], values[i], flags);
		if (kept >= 0)
			s.text[kept] = oa_bytes_str(values[i]);
	}
	if (!random_below(500))
		nghttp2_hd_deflate_change_table_size(m->deflater, random_below(3) ? random_below(6000) : 4096);
	len = nghttp2_hd_deflate_hd(m->deflater, to + 9, 16000, fields, count);
	ck_assert_int_gt(len, 0);
	memcpy(to, (uint8_t[]){ 0, (uint8_t)(len >> 8), (uint8_t)len, 1, 5, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
				(uint8_t)(stream >> 8), (uint8_t)stream }, 9);
	m->want.len = 0;
	/* Where a traceparent stands plainly is the encoder's choice. */
	http2_show(&m->want, &s);
	return (size_t)len + 9;
}

static void without(char *text, const char *word)
{
	char *at = strstr(text, word);

	if (at)
		memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

START_TEST(headers_stay_exact_over_100000_mixed_requests)
{
	static const uint8_t begin[] = OA_HTTP2_PREFACE "\0\0\0\4\0\0\0\0";
	static uint8_t frame[20000];
	static struct mirror m;
	struct oa_sink sink = { .event = mirror_event, .ctx = &m, .memory = mirror_memory };

	ck_assert_int_eq(nghttp2_hd_deflate_new(&m.deflater, 6000), 0);
	ck_assert_int_eq(oa_proto_http2.feed(m.state, OA_DIR_REQUEST, oa_bytes(begin, sizeof(begin)), &sink), sizeof(begin));
	for (uint32_t i = 0; i < 100000; i++) {
		size_t len = mirror_frame(&m, 2 * i + 1, frame);

		m.got.len = 0;
		ck_assert_int_eq(oa_proto_http2.feed(m.state, OA_DIR_REQUEST, oa_bytes(frame, len), &sink), (long)len);
		without(m.got.ptr, " plain-parent");
		ck_assert_str_eq(m.got.ptr, m.want.ptr);
		m.held_max = m.held > m.held_max ? m.held : m.held_max;
	}
	ck_assert_uint_le(m.held_max, 6000 + 1024); /* between blocks only the table is held */
	oa_proto_http2.release(m.state, &sink);
	ck_assert_uint_eq(m.held, 0);
	nghttp2_hd_deflate_del(m.deflater);
	feed_text_free(&m.got);
	feed_text_free(&m.want);
}
END_TEST

/* -- detection -- */

static const struct { enum oa_dir dir; struct oa_bytes in; enum oa_detect answer; } detections[] = {
#define CASE(dir, text, answer) { OA_DIR_##dir, OA_LIT(text), OA_DETECT_##answer }
	CASE(REQUEST, OA_HTTP2_PREFACE, YES),
	CASE(REQUEST, OA_HTTP2_PREFACE "\0\0\0", YES),
	CASE(REQUEST, "", MORE),
	CASE(REQUEST, "P", MORE),
	CASE(REQUEST, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", MORE),
	CASE(REQUEST, "POST / HTTP/1.1\r\n", NO),
	CASE(REQUEST, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", NO),
	CASE(REQUEST, "PRI * HTTP/2.0\n", NO),
	CASE(REQUEST, "\0\0\0\4\0\0\0\0\0", NO),
	CASE(RESPONSE, "", MORE),
	CASE(RESPONSE, "\0\0\0\4\0\0\0\0", MORE),
	CASE(RESPONSE, "\0\0\0\4\0\0\0\0\0", YES),
	CASE(RESPONSE, "\0\0\x12\4\0\0\0\0\0\0\3", YES),
	CASE(RESPONSE, "\0\0\x11\4\0\0\0\0\0", NO),
	CASE(RESPONSE, "\0\0\0\4\1\0\0\0\0", NO),
	CASE(RESPONSE, "\0\0\0\4\0\0\0\0\1", NO),
	CASE(RESPONSE, "\0\0\0\1\0\0\0\0\1", NO),
	CASE(RESPONSE, "J\0\0\0\n8.0.36", NO),
	CASE(RESPONSE, "HTTP/1.1 200 OK\r\n", NO),
	CASE(RESPONSE, "220 mail ESMTP\r\n", NO),
#undef CASE
};

START_TEST(detection_is_strict_and_decides_early)
{
	typeof(detections[0]) *d = &detections[_i];
	uint8_t *at = check.guard.end - d->in.len;

	memcpy(at, d->in.ptr, d->in.len);
	ck_assert_int_eq(oa_proto_http2.detect(d->dir, oa_bytes(at, d->in.len)), d->answer);
	for (size_t len = 0; len < d->in.len; len++) {
		enum oa_detect early = oa_proto_http2.detect(d->dir, oa_bytes(d->in.ptr, len));

		if (early != OA_DETECT_MORE)
			ck_assert_int_eq(early, d->answer);
	}
}
END_TEST

/* -- fields somebody wants captured -- */

static void captured_event(void *ctx, const struct oa_event *ev)
{
	struct feed_text *t = ctx;
	struct oa_bytes name, value;
	size_t pos = 0;

	if (ev->type != OA_EVENT_REQUEST)
		return;
	while (oa_http1_line_next(ev->u.head, &pos, &name, &value)) {
		if (!name.len)
			continue;
		feed_put(t, name.ptr, name.len);
		feed_puts(t, "=");
		feed_put(t, value.ptr, value.len);
		feed_puts(t, ";");
	}
}

static void *captured_memory(void *ctx, void *old, size_t want, size_t *ret_bytes)
{
	return feed_memory(NULL, old, want, ret_bytes);
}

START_TEST(captured_fields_are_there_with_their_names_each_time)
{
	static const char *const lists[] = { "accept , X-Mine", NULL };
	static const uint8_t in[] = OA_HTTP2_PREFACE
		"\0\0\0\4\0\0\0\0\0"
		/* :method GET, :scheme http, :path /, :authority a indexed, x-mine: 1 and accept: b and x-other: c indexed */
		"\0\0\x1e\1\5\0\0\0\1\x82\x86\x84\x41\1a\x40\6x-mine\1" "1\x53\1" "b\x40\7x-other\1" "c"
		/* all of them by index, x-mine with another value */
		"\0\0\x0b\1\5\0\0\0\3\x82\x86\x84\xc1\x7f\1\1" "2\xc1\xc0\xbf";
	struct oa_sink sink = { .event = captured_event, .memory = captured_memory };
	struct feed_text t = { 0 };
	uint64_t state[8] = { 0 };

	oa_http2_init(lists, 2);
	sink.ctx = &t;
	ck_assert_int_eq(oa_proto_http2.feed(state, OA_DIR_REQUEST, oa_bytes(in, sizeof(in) - 1), &sink), sizeof(in) - 1);
	ck_assert_str_eq(t.ptr, "host=a;x-mine=1;accept=b;host=a;x-mine=2;x-mine=1;accept=b;");
	oa_proto_http2.release(state, &sink);
	feed_text_free(&t);
	oa_http2_init(NULL, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("http2");
	TCase *c = tcase_create("http2");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(c, start, stop);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, samples_give_their_events_however_they_are_cut);
	tcase_add_test(c, samples_give_their_events_when_their_blocks_were_looked_at_before);
	tcase_add_test(c, mutated_samples_agree_with_libnghttp2);
	tcase_add_test(c, fuzz_corpus_agrees_with_libnghttp2);
	tcase_add_test(c, headers_stay_exact_over_100000_mixed_requests);
	tcase_add_loop_test(c, detection_is_strict_and_decides_early, 0, sizeof(detections) / sizeof(detections[0]));
	tcase_add_test(c, captured_fields_are_there_with_their_names_each_time);
	suite_add_tcase(s, c);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
