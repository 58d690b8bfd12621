#include <check.h>
#include <dirent.h>
#include <stdlib.h>

#include "proto/http1_impl.h"
#include "proto/http1_names.h"
#include "tests/fuzz/http1_check.h"
#include "tests/unit/feed.h"

#define FILES_MAX 400

static struct http1_check check;

struct file {
	char name[64];
	struct oa_bytes bytes;
};

static struct file files[FILES_MAX];
static int file_count;

/* Beside this source file; tests run where its path, as the compiler was told it, holds. To be freed. */
static char *path_of(const char *dir, const char *name, const char *ending)
{
	const char *here = __FILE__, *slash = strrchr(here, '/');
	char *path;

	ck_assert_int_gt(asprintf(&path, "%.*s/../%s/%s%s", slash ? (int)(slash - here) : 1, slash ? here : ".", dir,
				  name, ending), 0);
	return path;
}

static struct oa_bytes file_read(const char *dir, const char *name, const char *ending)
{
	char *path = path_of(dir, name, ending);
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t len;

	ck_assert_msg(f != NULL, "cannot open %s", path);
	data = malloc(HTTP1_CHECK_MAX + 1);
	len = fread(data, 1, HTTP1_CHECK_MAX, f);
	data[len] = 0;
	fclose(f);
	free(path);
	return oa_bytes(data, len);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* Every file of tests/<dir> whose name ends in `ending`, in order of names. */
static void files_load(const char *dir, const char *ending)
{
	char *path = path_of(dir, "", "");
	struct dirent *entry;
	DIR *d = opendir(path);

	ck_assert_msg(d != NULL, "cannot open %s", path);
	file_count = 0;
	while ((entry = readdir(d))) {
		size_t len = strlen(entry->d_name), cut = strlen(ending);

		if (entry->d_name[0] == '.' || len <= cut || strcmp(entry->d_name + len - cut, ending))
			continue;
		ck_assert_int_lt(file_count, FILES_MAX);
		snprintf(files[file_count++].name, sizeof(files[0].name), "%.*s", (int)(len - cut), entry->d_name);
	}
	closedir(d);
	free(path);
	qsort(files, (size_t)file_count, sizeof(files[0]), by_name);
	for (int i = 0; i < file_count; i++)
		files[i].bytes = file_read(dir, files[i].name, ending);
}

/* "@notes get head connect unknown": what the responses answer; the last one holds for all that follow. */
static void take_notes(const char *line)
{
	static const struct { const char *word; struct oa_request_note note; } words[] = {
		{ " get", { .known = true } },
		{ " head", { .known = true, .head = true } },
		{ " connect", { .known = true, .connect = true } },
		{ " unknown", { .known = false } },
	};
	unsigned n = 0;

	while (*line && *line != '\n') {
		size_t w = 0;

		while (strncmp(line, words[w].word, strlen(words[w].word)))
			ck_assert_uint_lt(++w, 4);
		ck_assert_uint_lt(n, 4);
		check.notes[n++] = words[w].note;
		line += strlen(words[w].word);
	}
	for (; n < 4; n++)
		check.notes[n] = check.notes[n - 1];
}

/* Takes the lines that begin with '@' from an .events file. returns the rest */
static const char *take_directives(const char *text)
{
	check.feed.dir = OA_DIR_REQUEST;
	check.feed.eof = false;
	memset(check.notes, 0, sizeof(check.notes));
	for (; *text == '@'; text = strchr(text, '\n') + 1) {
		if (!strncmp(text, "@response\n", 10))
			check.feed.dir = OA_DIR_RESPONSE;
		else if (!strncmp(text, "@eof\n", 5))
			check.feed.eof = true;
		else if (!strncmp(text, "@notes ", 7))
			take_notes(text + 6);
		else
			ck_assert(!strncmp(text, "@request\n", 9));
	}
	return text;
}

static struct oa_bytes events_of(const struct file *f)
{
	return file_read("data/http1", f->name, ".events");
}

static void plays_as_written(const struct file *f)
{
	struct oa_bytes events = events_of(f);
	const char *expected = take_directives((const char *)events.ptr), *differs;
	struct feed_text whole;

	differs = feed_play_all(&check.feed, &check.guard, f->bytes, &whole);
	ck_assert_msg(!strcmp(whole.ptr, expected), "%s gives\n%s-- but expected is\n%s", f->name, whole.ptr, expected);
	ck_assert_msg(!differs, "%s, %s, gives\n%s-- but whole\n%s", f->name, differs, check.feed.text.ptr, whole.ptr);
	feed_text_free(&whole);
	free((void *)(uintptr_t)events.ptr);
}

static void start(void)
{
	http1_check_init(&check);
}

static void stop(void)
{
	http1_check_fini(&check);
}

START_TEST(samples_give_their_events_however_they_are_cut)
{
	files_load("data/http1", ".in");
	ck_assert_int_ge(file_count, 60);
	for (int i = 0; i < file_count; i++)
		plays_as_written(&files[i]);
}
END_TEST

START_TEST(samples_give_their_events_with_16_byte_vectors)
{
	oa_http1_vectors = HTTP1_SSE2;
	files_load("data/http1", ".in");
	for (int i = 0; i < file_count; i++)
		plays_as_written(&files[i]);
}
END_TEST

START_TEST(samples_give_their_events_before_init)
{
	oa_http1_vectors = HTTP1_NONE;
	files_load("data/http1", ".in");
	for (int i = 0; i < file_count; i++)
		plays_as_written(&files[i]);
}
END_TEST

/* What conn/ does with requests that it read before they went out. */
static long feed_heads_read_before(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink)
{
	struct oa_http_head h;
	size_t at = 0, blanks;
	long n;

	while (at < in.len) {
		struct oa_bytes rest = oa_bytes(in.ptr + at, in.len - at);

		n = dir == OA_DIR_REQUEST && oa_http1_at_boundary(state) ? oa_http1_parse_head(rest, dir, &h) : 0;
		if (n <= 0) {
			n = oa_proto_http1.feed(state, dir, rest, sink);
			return n < 0 ? n : (long)at + n;
		}
		blanks = (size_t)n - h.block.len;
		if (blanks && oa_proto_http1.feed(state, dir, oa_bytes(rest.ptr, blanks), sink) != (long)blanks)
			return -EPROTO;
		ck_assert_int_eq(oa_http1_accept_head(state, &h, sink), (long)h.block.len);
		at += (size_t)n;
	}
	return (long)at;
}

START_TEST(samples_give_their_events_when_heads_were_read_before)
{
	static struct oa_proto proto;

	proto = oa_proto_http1;
	proto.feed = feed_heads_read_before;
	check.feed.proto = &proto;
	files_load("data/http1", ".in");
	for (int i = 0; i < file_count; i++)
		plays_as_written(&files[i]);
}
END_TEST

static void agrees_with_reference(const char *name, struct oa_bytes in, uint64_t seed)
{
	const char *differs = http1_check_stream(&check, in, seed);
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
	static const char liked[] = "\r\n\n\r \t:,;0159aAfFxX\"\0\x01\x7f\x80GHcCtT-";

	for (unsigned n = 1 + random_below(4); n && len > 2; n--) {
		size_t at = random_below((unsigned)len), from = random_below((unsigned)len);
		size_t piece = 1 + random_below(16);

		switch (random_below(5)) {
		case 0:
			p[at] ^= (uint8_t)(1u << random_below(8));
			break;
		case 1:
			p[at] = (uint8_t)liked[random_below(sizeof(liked) - 1)];
			break;
		case 2:
			memmove(p + at, p + at + 1, --len - at);
			break;
		case 3:
			memmove(p + at + 1, p + at, len++ - at);
			p[at] = (uint8_t)liked[random_below(sizeof(liked) - 1)];
			break;
		case 4:
			piece = piece < len - at ? piece : len - at;
			piece = piece < len - from ? piece : len - from;
			memmove(p + at, p + from, piece);
			break;
		}
	}
	return len;
}

START_TEST(mutated_samples_agree_with_the_reference_parser)
{
	static uint8_t copy[HTTP1_CHECK_MAX + 8];

	files_load("data/http1", ".in");
	for (int i = 0; i < file_count; i++) {
		struct oa_bytes events = events_of(&files[i]);

		take_directives((const char *)events.ptr);
		agrees_with_reference(files[i].name, files[i].bytes, (uint64_t)i);
		for (int round = 0; round < (files[i].bytes.len > 4096 ? 10 : 300); round++) {
			memcpy(copy, files[i].bytes.ptr, files[i].bytes.len);
			agrees_with_reference(files[i].name, oa_bytes(copy, mutate(copy, files[i].bytes.len)),
					      (uint64_t)round);
		}
		free((void *)(uintptr_t)events.ptr);
	}
}
END_TEST

START_TEST(fuzz_corpus_agrees_with_the_reference_parser)
{
	files_load("fuzz/corpus/http1", "");
	ck_assert_int_gt(file_count, 0);
	for (int i = 0; i < file_count; i++) {
		const char *differs = http1_check_sample(&check, files[i].bytes.ptr, files[i].bytes.len);

		ck_assert_msg(!differs, "%s, %s, gives\n%s-- but the reference says\n%s", files[i].name, differs,
			      check.feed.text.ptr, check.expected.ptr);
	}
}
END_TEST

static const struct { enum oa_dir dir; struct oa_bytes in; enum oa_detect answer; } detections[] = {
#define CASE(dir, text, answer) { OA_DIR_##dir, OA_LIT(text), OA_DETECT_##answer }
	CASE(REQUEST, "GET / HTTP/1.1\r\n", YES),
	CASE(REQUEST, "GET / HTTP/1.0\n", YES),
	CASE(REQUEST, "\r\n\r\nPOST /x HTTP/1.1\r\nHost: a", YES),
	CASE(REQUEST, "OPTIONS * HTTP/1.1\r\n", YES),
	CASE(REQUEST, "CONNECT a.example:443 HTTP/1.1\r\n", YES),
	CASE(REQUEST, "GET http://a.example/b HTTP/1.1\r\n", YES),
	CASE(REQUEST, "VERSION-CONTROL /x HTTP/1.1\r\n", YES),
	CASE(REQUEST, "", MORE),
	CASE(REQUEST, "\r", MORE),
	CASE(REQUEST, "G", MORE),
	CASE(REQUEST, "GET", MORE),
	CASE(REQUEST, "GET ", MORE),
	CASE(REQUEST, "GET /a/b?c", MORE),
	CASE(REQUEST, "GET /a HTT", MORE),
	CASE(REQUEST, "GET /a HTTP/1.1", MORE),
	CASE(REQUEST, "GET /a HTTP/1.1\r", MORE),
	CASE(REQUEST, "\x16\x03\x01\x02", NO),
	CASE(REQUEST, "\x16", NO),
	CASE(REQUEST, " GET / HTTP/1.1\r\n", NO),
	CASE(REQUEST, "\rGET / HTTP/1.1\r\n", NO),
	CASE(REQUEST, "GET  / HTTP/1.1\r\n", NO),
	CASE(REQUEST, "GET /  HTTP/1.1\r\n", NO),
	CASE(REQUEST, "GET / HTTP/1.1 \r\n", NO),
	CASE(REQUEST, "GET / HTTP/1.11\r\n", NO),
	CASE(REQUEST, "GET / HTTP/2.0\r\n", NO),
	CASE(REQUEST, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO),
	CASE(REQUEST, "GET / HTTP/1.2\r\n", NO),
	CASE(REQUEST, "GET / http/1.1\r\n", NO),
	CASE(REQUEST, "GET /\r\n", NO),
	CASE(REQUEST, "GET\r\n", NO),
	CASE(REQUEST, "GET /a\0b HTTP/1.1\r\n", NO),
	CASE(REQUEST, "GET /a\x7f HTTP/1.1\r\n", NO),
	CASE(REQUEST, "GET\t/ HTTP/1.1\r\n", NO),
	CASE(REQUEST, "G@T / HTTP/1.1\r\n", NO),
	CASE(REQUEST, "*1\r\n$4\r\nPING\r\n", NO),
	CASE(REQUEST, "set key 0 0 5\r\n", NO),
	CASE(REQUEST, "EHLO a.example\r\n", NO),
	CASE(REQUEST, "DESCRIBE rtsp://a/b RTSP/1.0\r\n", NO),
	CASE(REQUEST, "SSH-2.0-OpenSSH_9.2p1 Debian\r\n", NO),
	CASE(REQUEST, "HTTP/1.1 200 OK\r\n", NO),
	CASE(REQUEST, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", NO),
	CASE(REQUEST, "\n\n\n\n\n\n\n\n\n", NO),
	CASE(RESPONSE, "HTTP/1.1 200 OK\r\n", YES),
	CASE(RESPONSE, "HTTP/1.0 404 \r\n", YES),
	CASE(RESPONSE, "HTTP/1.1 200\r\n", YES),
	CASE(RESPONSE, "HTTP/1.1 999 caf\xe9\n", YES),
	CASE(RESPONSE, "", MORE),
	CASE(RESPONSE, "HTT", MORE),
	CASE(RESPONSE, "HTTP/1.1 20", MORE),
	CASE(RESPONSE, "HTTP/1.1 200", MORE),
	CASE(RESPONSE, "HTTP/1.1 200 OK", MORE),
	CASE(RESPONSE, "\r\nHTTP/1.1 200 OK\r\n", NO),
	CASE(RESPONSE, "HTTP/1.1  200 OK\r\n", NO),
	CASE(RESPONSE, "HTTP/1.1 2000 OK\r\n", NO),
	CASE(RESPONSE, "HTTP/1.1 099 OK\r\n", NO),
	CASE(RESPONSE, "HTTP/1.1 2x0 OK\r\n", NO),
	CASE(RESPONSE, "HTTP/1.1 200 O\0K\r\n", NO),
	CASE(RESPONSE, "HTTP/2 200\r\n", NO),
	CASE(RESPONSE, "ICY 200 OK\r\n", NO),
	CASE(RESPONSE, "\x15\x03", NO),
#undef CASE
};

START_TEST(detection_is_strict_and_decides_early)
{
	const uint8_t *at;
	typeof(detections[0]) *d = &detections[_i];

	at = check.guard.end - d->in.len;
	memcpy(check.guard.end - d->in.len, d->in.ptr, d->in.len);
	ck_assert_int_eq(oa_proto_http1.detect(d->dir, oa_bytes(at, d->in.len)), d->answer);
}
END_TEST

START_TEST(detection_of_a_prefix_is_never_the_contrary_of_the_whole)
{
	typeof(detections[0]) *d = &detections[_i];

	for (size_t len = 0; len < d->in.len; len++) {
		enum oa_detect early = oa_proto_http1.detect(d->dir, oa_bytes(d->in.ptr, len));

		if (early != OA_DETECT_MORE)
			ck_assert_int_eq(early, d->answer);
		if (d->answer == OA_DETECT_MORE)
			ck_assert_int_eq(early, OA_DETECT_MORE);
	}
}
END_TEST

START_TEST(detection_gives_up_on_endless_lines)
{
	static uint8_t line[OA_HTTP_LINE_MAX + 64];

	memset(line, 'a', sizeof(line));
	memcpy(line, "GET /", 5);
	ck_assert_int_eq(oa_proto_http1.detect(OA_DIR_REQUEST, oa_bytes(line, OA_HTTP_LINE_MAX)), OA_DETECT_MORE);
	ck_assert_int_eq(oa_proto_http1.detect(OA_DIR_REQUEST, oa_bytes(line, sizeof(line))), OA_DETECT_NO);
	memcpy(line, "HTTP/1.1 200 ", 13);
	ck_assert_int_eq(oa_proto_http1.detect(OA_DIR_RESPONSE, oa_bytes(line, sizeof(line))), OA_DETECT_NO);
}
END_TEST

enum {
#define OA_PROTO(name) PROTO_##name,
#include "proto/protocols.def"
#undef OA_PROTO
	PROTO_COUNT,
};

START_TEST(the_table_of_protocols_ends_and_has_http1)
{
	ck_assert_ptr_eq(oa_protos[PROTO_http1], &oa_proto_http1);
	ck_assert(oa_protos[PROTO_COUNT] == NULL);
	ck_assert_uint_le(oa_proto_http1.state_bytes, 64);
}
END_TEST

static long parse(const char *text, enum oa_dir dir, struct oa_http_head *h)
{
	size_t len = strlen(text);

	memcpy(check.guard.end - len, text, len);
	return oa_http1_parse_head(oa_bytes(check.guard.end - len, len), dir, h);
}

START_TEST(every_name_is_found_in_any_case_before_init_and_after)
{
	char text[100];
	struct oa_http_head h;

	if (_i < HTTP1_AVX2)
		oa_http1_vectors = (uint8_t)_i;
	for (unsigned id = 0; id < OA_FIELD_COUNT; id++) {
		int at = sprintf(text, "GET / HTTP/1.1\r\n");

		for (size_t i = 0; i < oa_http1_texts[id].len; i++) {
			int c = oa_http1_texts[id].text[i];

			ck_assert(c && strchr("abcdefghijklmnopqrstuvwxyz0123456789-", c) != NULL);
			text[at++] = (char)(i % 2 ? c : toupper(c));
		}
		sprintf(text + at, ":  \t value \r\n\r\n");
		ck_assert_int_gt(parse(text, OA_DIR_REQUEST, &h), 0);
		for (unsigned other = 0; other < OA_FIELD_COUNT; other++)
			ck_assert_uint_eq(h.field[other].len, other == id ? 5 : 0);
		ck_assert(oa_bytes_eq(oa_http_field(&h, id), OA_LIT("value")));
		text[at - 1] ^= 1;
		ck_assert_int_gt(parse(text, OA_DIR_REQUEST, &h), 0);
		ck_assert_uint_eq(h.field[id].len, 0);
		text[at - 1] ^= 1;
		text[at + 1] = text[at];
		text[at] = ' ';
		ck_assert_int_eq(parse(text, OA_DIR_REQUEST, &h), -EPROTO);
	}
}
END_TEST

START_TEST(a_head_tells_where_it_ends_and_where_headers_go)
{
	struct oa_http_head h;

	ck_assert_int_eq(parse("\r\nGET /a HTTP/1.1\r\nHost: b\r\n\r\nGET", OA_DIR_REQUEST, &h), 30);
	ck_assert_uint_eq(h.block.len, 28);
	ck_assert_uint_eq(h.blank_off, 26);
	ck_assert_uint_eq(h.nl, 2);
	ck_assert(oa_bytes_eq(h.block, OA_LIT("GET /a HTTP/1.1\r\nHost: b\r\n\r\n")));
	ck_assert_int_eq(parse("GET /a HTTP/1.1\nHost: b\r\n\n", OA_DIR_REQUEST, &h), 26);
	ck_assert_uint_eq(h.nl, 1);
	ck_assert_uint_eq(h.blank_off, 25);
	ck_assert_int_eq(parse("GET /a HTTP/1.1\r\nHost: b\r\n", OA_DIR_REQUEST, &h), 0);
	ck_assert_int_eq(parse("\r\n\r", OA_DIR_REQUEST, &h), 0);
	ck_assert_int_eq(parse("", OA_DIR_REQUEST, &h), 0);
	ck_assert_int_eq(parse("GET /a\r\n\r\n", OA_DIR_REQUEST, &h), -EPROTO);
}
END_TEST

START_TEST(a_head_without_end_is_too_big)
{
	static char text[OA_HTTP_HEADER_MAX + 100];
	struct oa_http_head h;

	memset(text, 'a', sizeof(text) - 1);
	memcpy(text, "GET / HTTP/1.1\r\n", 16);
	ck_assert_int_eq(oa_http1_parse_head(oa_bytes(text, OA_HTTP_HEADER_MAX - 1), OA_DIR_REQUEST, &h), 0);
	ck_assert_int_eq(oa_http1_parse_head(oa_bytes(text, OA_HTTP_HEADER_MAX), OA_DIR_REQUEST, &h), -E2BIG);
	memcpy(text + OA_HTTP_HEADER_MAX - 4, "\r\n\r\n", 4);
	ck_assert_int_eq(oa_http1_parse_head(oa_bytes(text, sizeof(text)), OA_DIR_REQUEST, &h), OA_HTTP_HEADER_MAX);
}
END_TEST

START_TEST(a_response_head_alone_has_the_framing_it_says)
{
	struct oa_http_head h;

	ck_assert_int_gt(parse("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", OA_DIR_RESPONSE, &h), 0);
	ck_assert_uint_eq(h.flags, OA_HTTP_HAS_LENGTH | OA_HTTP_KEEP_ALIVE);
	ck_assert_uint_eq(h.length, 7);
	ck_assert_int_gt(parse("HTTP/1.1 204 No\r\n\r\n", OA_DIR_RESPONSE, &h), 0);
	ck_assert_uint_eq(h.flags, OA_HTTP_NO_BODY | OA_HTTP_KEEP_ALIVE);
}
END_TEST

START_TEST(header_lines_are_walked_as_sent)
{
	struct oa_http_head h;
	struct oa_bytes name, value;
	size_t pos = 0;

	parse("GET /a:b HTTP/1.1\r\nHost:  c \r\nno colon\r\nX-Fold: 1,\r\n\t2\r\nEmpty:\n\r\nnot: this",
	      OA_DIR_REQUEST, &h);
	ck_assert(oa_http1_line_next(&h, &pos, &name, &value));
	ck_assert(oa_bytes_eq(name, OA_LIT("Host")) && oa_bytes_eq(value, OA_LIT("c")));
	ck_assert(oa_http1_line_next(&h, &pos, &name, &value));
	ck_assert(oa_bytes_eq(name, OA_LIT("X-Fold")) && oa_bytes_eq(value, OA_LIT("1,\r\n\t2")));
	ck_assert(oa_http1_line_next(&h, &pos, &name, &value));
	ck_assert(oa_bytes_eq(name, OA_LIT("Empty")) && value.len == 0);
	ck_assert(!oa_http1_line_next(&h, &pos, &name, &value));
	ck_assert(!oa_http1_line_next(&h, &pos, &name, &value));
	parse("GET / HTTP/1.1\r\n\r\n", OA_DIR_REQUEST, &h);
	pos = 0;
	ck_assert(!oa_http1_line_next(&h, &pos, &name, &value));
}
END_TEST

static uint64_t state[8];
static const struct oa_sink sink = { feed_on_event, feed_on_note, &check.feed, NULL, NULL, NULL };

static long feed_text_now(const char *text, enum oa_dir dir)
{
	return oa_proto_http1.feed(state, dir, oa_bytes_str(text), &sink);
}

static const char *events(void)
{
	feed_flush_body(&check.feed);
	return check.feed.text.ptr ? check.feed.text.ptr : "";
}

static void print_short(struct feed_text *t, const struct oa_event *ev)
{
	feed_puts(t, ev->type == OA_EVENT_REQUEST ? "REQUEST\n" : "RESPONSE\n");
}

START_TEST(bytes_that_did_not_pass_through_memory_count_as_body)
{
	check.feed.print = print_short;
	feed_text_now("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc", OA_DIR_RESPONSE);
	ck_assert(!oa_http1_at_boundary(state));
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, 900, &sink), 900);
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, 0, &sink), 0);
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, 97, &sink), 97);
	ck_assert(oa_http1_at_boundary(state));
	ck_assert_str_eq(events(), "RESPONSE\nBODY 1000\nEND\n");
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, 1, &sink), -EPROTO);
	ck_assert_int_eq(feed_text_now("HTTP/1.1 200 OK\r\n\r\n", OA_DIR_RESPONSE), -EPROTO);
	ck_assert_str_eq(events(), "RESPONSE\nBODY 1000\nEND\n");
}
END_TEST

START_TEST(skipped_bytes_fill_chunks_and_bodies_until_close)
{
	check.feed.print = print_short;
	feed_text_now("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n", OA_DIR_RESPONSE);
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, 16, &sink), 16);
	ck_assert_int_eq(feed_text_now("\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", OA_DIR_RESPONSE), 26);
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, 1ull << 40, &sink), 1ll << 40);
	ck_assert_int_eq(oa_proto_http1.close(state, OA_DIR_RESPONSE, &sink), 0);
	ck_assert_str_eq(events(), "RESPONSE\nBODY 16\nEND\nRESPONSE\nBODY 1099511627776\nEND\n");
}
END_TEST

START_TEST(skipping_past_a_body_or_where_a_line_is_due_is_a_surprise)
{
	static const struct { const char *before; uint64_t n; } cases[] = {
		{ "", 1 },
		{ "HTTP/1.1 2", 1 },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 6 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 6 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde", 1 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 1 },
	};

	check.feed.print = print_short;
	feed_text_now(cases[_i].before, OA_DIR_RESPONSE);
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, cases[_i].n, &sink), -EPROTO);
	ck_assert_int_eq(oa_proto_http1.close(state, OA_DIR_RESPONSE, &sink), -EPROTO);
}
END_TEST

START_TEST(a_tunnel_takes_everything_and_says_nothing)
{
	check.feed.print = print_short;
	ck_assert_int_eq(feed_text_now("HTTP/1.1 101 Up\r\n\r\n\x81\x05hello", OA_DIR_RESPONSE), 19);
	ck_assert_str_eq(events(), "RESPONSE\nEND\nUPGRADED\n");
	ck_assert_uint_eq(check.feed.noted, 0);
	ck_assert(!oa_http1_at_boundary(state));
	ck_assert_int_eq(feed_text_now("\x81\x05hello", OA_DIR_RESPONSE), 7);
	ck_assert_int_eq(oa_http1_skip(state, OA_DIR_RESPONSE, 50, &sink), 50);
	ck_assert_int_eq(oa_proto_http1.close(state, OA_DIR_RESPONSE, &sink), 0);
	ck_assert_str_eq(events(), "RESPONSE\nEND\nUPGRADED\n");
}
END_TEST

START_TEST(a_half_header_block_is_no_boundary)
{
	check.feed.print = print_short;
	ck_assert(oa_http1_at_boundary(state));
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\nHo", OA_DIR_REQUEST), 0);
	ck_assert(!oa_http1_at_boundary(state));
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\nHost: a\r\n\r\n", OA_DIR_REQUEST), 27);
	ck_assert(oa_http1_at_boundary(state));
	ck_assert_int_eq(feed_text_now("\r\n", OA_DIR_REQUEST), 2);
	ck_assert(oa_http1_at_boundary(state));
	ck_assert_str_eq(events(), "REQUEST\nEND\n");
}
END_TEST

START_TEST(a_head_read_before_is_only_taken_at_a_boundary)
{
	struct oa_http_head h;

	check.feed.print = print_short;
	ck_assert_int_eq(parse("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", OA_DIR_REQUEST, &h), 38);
	ck_assert_int_eq(oa_http1_accept_head(state, &h, &sink), 38);
	ck_assert_int_eq(oa_http1_accept_head(state, &h, &sink), -EPROTO);
	ck_assert_int_eq(feed_text_now("ab", OA_DIR_REQUEST), 2);
	ck_assert_int_eq(oa_http1_accept_head(state, &h, &sink), -EPROTO);
	ck_assert_int_eq(feed_text_now("c\r\n", OA_DIR_REQUEST), 3);
	ck_assert_int_eq(oa_http1_accept_head(state, &h, &sink), 38);
	ck_assert_int_eq(feed_text_now("abc", OA_DIR_REQUEST), 3);
	ck_assert_int_eq(feed_text_now("GET", OA_DIR_REQUEST), 0);
	ck_assert_int_eq(oa_http1_accept_head(state, &h, &sink), -EPROTO);
	ck_assert_str_eq(events(), "REQUEST\nBODY 3\nEND\nREQUEST\nBODY 3\nEND\n");
}
END_TEST

/* Changing them in between is not allowed to callers; it shows who looks. */
START_TEST(bytes_already_looked_at_are_not_looked_at_again_while_waiting)
{
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\nHost: a\r\n", OA_DIR_REQUEST), 0);
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\nHo\x01t: a\r\nB", OA_DIR_REQUEST), 0);
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\nHo\x01t: a\r\nB: c\r\n", OA_DIR_REQUEST), 0);
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\nHo\x01t: a\r\nB: c\r\n\r\n", OA_DIR_REQUEST), -EPROTO);
}
END_TEST

START_TEST(after_an_error_everything_is_that_error)
{
	check.feed.print = print_short;
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\n\r\nbroken\r\n\r\n", OA_DIR_REQUEST), -EPROTO);
	ck_assert_int_eq(feed_text_now("GET / HTTP/1.1\r\n\r\n", OA_DIR_REQUEST), -EPROTO);
	ck_assert_int_eq(oa_proto_http1.close(state, OA_DIR_REQUEST, &sink), -EPROTO);
	ck_assert(!oa_http1_at_boundary(state));
	ck_assert_str_eq(events(), "REQUEST\nEND\n");
}
END_TEST

int main(void)
{
	TCase *samples = tcase_create("samples"), *tc = tcase_create("http1");
	Suite *suite = suite_create("proto");
	int count = sizeof(detections) / sizeof(detections[0]), failed;
	SRunner *runner;

	tcase_set_timeout(samples, 300);
	tcase_add_checked_fixture(samples, start, stop);
	tcase_add_test(samples, samples_give_their_events_however_they_are_cut);
	tcase_add_test(samples, samples_give_their_events_with_16_byte_vectors);
	tcase_add_test(samples, samples_give_their_events_before_init);
	tcase_add_test(samples, samples_give_their_events_when_heads_were_read_before);
	tcase_add_test(samples, mutated_samples_agree_with_the_reference_parser);
	tcase_add_test(samples, fuzz_corpus_agrees_with_the_reference_parser);
	suite_add_tcase(suite, samples);
	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_loop_test(tc, detection_is_strict_and_decides_early, 0, count);
	tcase_add_loop_test(tc, detection_of_a_prefix_is_never_the_contrary_of_the_whole, 0, count);
	tcase_add_test(tc, detection_gives_up_on_endless_lines);
	tcase_add_test(tc, the_table_of_protocols_ends_and_has_http1);
	tcase_add_loop_test(tc, every_name_is_found_in_any_case_before_init_and_after, 0, HTTP1_AVX2 + 1);
	tcase_add_test(tc, a_head_tells_where_it_ends_and_where_headers_go);
	tcase_add_test(tc, a_head_without_end_is_too_big);
	tcase_add_test(tc, a_response_head_alone_has_the_framing_it_says);
	tcase_add_test(tc, header_lines_are_walked_as_sent);
	tcase_add_test(tc, bytes_that_did_not_pass_through_memory_count_as_body);
	tcase_add_test(tc, skipped_bytes_fill_chunks_and_bodies_until_close);
	tcase_add_loop_test(tc, skipping_past_a_body_or_where_a_line_is_due_is_a_surprise, 0, 7);
	tcase_add_test(tc, a_tunnel_takes_everything_and_says_nothing);
	tcase_add_test(tc, a_half_header_block_is_no_boundary);
	tcase_add_test(tc, a_head_read_before_is_only_taken_at_a_boundary);
	tcase_add_test(tc, bytes_already_looked_at_are_not_looked_at_again_while_waiting);
	tcase_add_test(tc, after_an_error_everything_is_that_error);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
