/* The parsers of stores against tests/data/<name>: recorded connections (rec_*: one direction from its first byte) and
 * made ones. OA_WRITE_EVENTS=1 writes the .events that are missing, to be read before they are kept. */
#include <check.h>
#include <dirent.h>

#include "tests/fuzz/store_check.h"

#define FILES_MAX 400
#define BYTES_MAX (1 << 20)

struct file {
	char name[80];
	struct oa_bytes bytes;
};

static struct file files[FILES_MAX];
static int file_count;
static struct store_check check;
static uint16_t hints[256];

static char *path_of(const char *dir, const char *proto, const char *name, const char *ending)
{
	const char *here = __FILE__, *slash = strrchr(here, '/');
	char *path;

	ck_assert_int_gt(asprintf(&path, "%.*s/../%s/%s/%s%s", slash ? (int)(slash - here) : 1, slash ? here : ".", dir,
				  proto, name, ending), 0);
	return path;
}

static struct oa_bytes file_read(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t len;

	if (!f)
		return (struct oa_bytes){ 0 };
	data = malloc(BYTES_MAX + 1);
	len = fread(data, 1, BYTES_MAX, f);
	data[len] = 0;
	fclose(f);
	data = realloc(data, len + 1);
	return oa_bytes(data, len);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static void files_drop(void)
{
	for (int i = 0; i < file_count; i++)
		free((void *)files[i].bytes.ptr);
	file_count = 0;
}

/* Every file of tests/<dir>/<proto> whose name ends in `ending`, in order of names. */
static void files_load(const char *dir, const char *proto, const char *ending)
{
	char *path = path_of(dir, proto, "", "");
	DIR *d = opendir(path);
	struct dirent *entry;

	ck_assert_msg(d != NULL, "cannot open %s", path);
	free(path);
	files_drop();
	while ((entry = readdir(d))) {
		size_t len = strlen(entry->d_name), cut = strlen(ending);

		if (entry->d_name[0] == '.' || len <= cut || strcmp(entry->d_name + len - cut, ending))
			continue;
		ck_assert_int_lt(file_count, FILES_MAX);
		snprintf(files[file_count++].name, sizeof(files[0].name), "%.*s", (int)(len - cut), entry->d_name);
	}
	closedir(d);
	qsort(files, (size_t)file_count, sizeof(files[0]), by_name);
	for (int i = 0; i < file_count; i++) {
		path = path_of(dir, proto, files[i].name, ending);
		files[i].bytes = file_read(path);
		free(path);
	}
}

/* Takes the lines that begin with '@' from an .events file. returns the rest */
static const char *take_directives(struct store_play *p, const char *text)
{
	p->feed.dir = OA_DIR_REQUEST;
	p->feed.eof = false;
	p->hints = hints;
	p->hint_count = 0;
	p->ordered = false;
	for (; *text == '@'; text = strchr(text, '\n') + 1) {
		if (!strncmp(text, "@response\n", 10))
			p->feed.dir = OA_DIR_RESPONSE;
		else if (!strncmp(text, "@eof\n", 5))
			p->feed.eof = true;
		else if (!strncmp(text, "@ordered\n", 9))
			p->ordered = true;
		else if (!strncmp(text, "@hints ", 7))
			for (const char *n = text + 6; *n == ' '; n += strcspn(n + 1, " \n") + 1)
				hints[p->hint_count++ & 255] = (uint16_t)atoi(n + 1);
		else
			ck_assert_msg(!strncmp(text, "@request\n", 9), "unknown directive %.20s", text);
	}
	return text;
}

/* The hints of the commands in name.client.in, for name.server.in: by number of the group or stream, or in order. */
static void hints_of_client(const struct oa_proto *proto, const char *name, char *ret_line)
{
	struct store_play p = { .feed.proto = proto };
	char client[80], *path, *at = ret_line + sprintf(ret_line, "@hints");
	/* One at a time on each channel, and one channel. */
	bool ordered = !strcmp(proto->name, "amqp");
	const char *line;
	struct oa_bytes in;
	unsigned next = 0;

	snprintf(client, sizeof(client), "%.*s.client", (int)strlen(name) - 7, name);
	path = path_of("data", proto->name, client, ".in");
	in = file_read(path);
	free(path);
	if (in.ptr) {
		feed_guard_init(&p.guard, BYTES_MAX);
		store_play_once(&p, in, feed_cut_whole, NULL);
		for (line = p.feed.text.ptr; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
			const char *hash = strchr(line, '#'), *end = strchr(line, '\n'), *hint = strstr(line, " hint ");
			unsigned stream;

			if (strncmp(line, "REQUEST", 7))
				continue;
			stream = hash && hash < end && !ordered ? (unsigned)atoi(hash + 1) : next;
			if (ordered && strstr(line, " no-reply ") && strstr(line, " no-reply ") < end)
				continue;
			if (stream > 200 || stream < next)
				continue;
			for (; next < stream; next++)
				at += sprintf(at, " 0");
			at += sprintf(at, " %d", hint && hint < end ? atoi(hint + 6) : 0);
			next++;
		}
		feed_text_free(&p.feed.text);
		feed_guard_fini(&p.guard);
		free((void *)in.ptr);
	}
	sprintf(at, "%s\n", next ? "" : " 0");
}

/* A file of directives alone is filled; one that is missing gets them by its name: a response's ends in .server. */
static void write_events(const char *proto, const struct file *f, struct oa_bytes directives)
{
	char *path = path_of("data", proto, f->name, ".events");
	size_t len = strlen(f->name);
	bool response = len > 7 && !strcmp(f->name + len - 7, ".server");
	FILE *out = fopen(path, "w");
	char line[4096], directive[4200];
	const char *head = "@request\n@eof\n";

	if (response) {
		hints_of_client(check.play.feed.proto, f->name, line);
		sprintf(directive, "@response\n%s%s@eof\n", strcmp(check.play.feed.proto->name, "amqp") ? "" : "@ordered\n",
			line);
		head = directive;
	}

	if (directives.len)
		head = (const char *)directives.ptr;
	(void)take_directives(&check.play, head);
	store_play_once(&check.play, f->bytes, feed_cut_whole, NULL);
	fprintf(out, "%s%s", head, check.play.feed.text.ptr);
	fclose(out);
	free(path);
}

static bool has_events(struct oa_bytes file)
{
	const char *text = (const char *)file.ptr;

	return text && *take_directives(&check.play, text);
}

static void check_file(const struct oa_proto *proto, const struct file *f)
{
	char *path = path_of("data", proto->name, f->name, ".events");
	struct oa_bytes events = file_read(path);
	struct feed_text whole;
	const char *expected, *wrong;

	if (!has_events(events) && getenv("OA_WRITE_EVENTS")) {
		write_events(proto->name, f, events);
		free((void *)events.ptr);
		events = file_read(path);
	}
	ck_assert_msg(events.ptr != NULL, "%s is missing", path);
	expected = take_directives(&check.play, (const char *)events.ptr);
	wrong = store_play_all(&check.play, f->bytes, &whole);
	ck_assert_msg(!wrong, "%s/%s, %s:\n%s-- but whole:\n%s", proto->name, f->name, wrong, check.play.feed.text.ptr,
		      whole.ptr);
	ck_assert_msg(!strcmp(whole.ptr, expected), "%s/%s:\n%s-- but expected:\n%s", proto->name, f->name, whole.ptr,
		      expected);
	feed_text_free(&whole);
	free((void *)events.ptr);
	free(path);
}

static const struct oa_proto *choose(int i)
{
	store_check_init(&check, oa_stores[i], BYTES_MAX);
	return oa_stores[i];
}

static void stop(void)
{
	files_drop();
	store_check_fini(&check);
}

START_TEST(samples_give_their_events_however_they_are_cut)
{
	const struct oa_proto *proto = choose(_i);

	files_load("data", proto->name, ".in");
	ck_assert_int_gt(file_count, 0);
	for (int i = 0; i < file_count; i++)
		check_file(proto, &files[i]);
}
END_TEST

START_TEST(mutated_samples_give_the_same_events_however_they_are_cut)
{
	static uint8_t bytes[8192];
	const struct oa_proto *proto = choose(_i);
	uint64_t seed = 7;

	files_load("data", proto->name, ".in");
	for (int i = 0; i < file_count; i++) {
		for (int round = 0; round < 60; round++) {
			size_t len = files[i].bytes.len < sizeof(bytes) - 4 ? files[i].bytes.len : sizeof(bytes) - 4;
			const char *wrong;

			memcpy(bytes + 4, files[i].bytes.ptr, len);
			memset(bytes, round, 4);
			for (int n = 0; n < 1 + round % 4 && len; n++) {
				seed = seed * 6364136223846793005ull + 1442695040888963407ull;
				bytes[4 + (seed >> 20) % len] = (uint8_t)(seed >> 56);
			}
			wrong = store_check_sample(&check, bytes, len + 4);
			ck_assert_msg(!wrong, "%s/%s, round %d, %s:\n%s-- but whole:\n%s", proto->name, files[i].name,
				      round, wrong, check.play.feed.text.ptr, check.whole.ptr);
		}
	}
}
END_TEST

START_TEST(fuzz_corpus_gives_the_same_events_however_it_is_cut)
{
	const struct oa_proto *proto = choose(_i);

	files_load("fuzz/corpus", proto->name, "");
	for (int i = 0; i < file_count; i++) {
		const char *wrong = store_check_sample(&check, files[i].bytes.ptr, files[i].bytes.len);

		ck_assert_msg(!wrong, "%s/%s, %s", proto->name, files[i].name, wrong);
	}
}
END_TEST

static bool is_server(const char *name)
{
	return strstr(name, ".server") != NULL;
}

START_TEST(recorded_connections_are_taken_by_their_own)
{
	const struct oa_proto *proto = choose(_i);
	unsigned taken = 0;

	files_load("data", proto->name, ".in");
	for (int i = 0; i < file_count; i++) {
		enum oa_dir dir = is_server(files[i].name) ? OA_DIR_RESPONSE : OA_DIR_REQUEST;
		bool first = dir == (proto->flags & OA_PROTO_GREETS ? OA_DIR_RESPONSE : OA_DIR_REQUEST);
		enum oa_detect whole = proto->detect(dir, files[i].bytes);

		if (strncmp(files[i].name, "rec_", 4))
			continue;
		if (!first)
			continue;
		ck_assert_msg(whole == OA_DETECT_YES, "%s/%s", proto->name, files[i].name);
		for (size_t len = 0; len < files[i].bytes.len && len < 600; len++) {
			uint8_t *at = check.play.guard.end - len;

			memcpy(at, files[i].bytes.ptr, len);
			ck_assert_msg(proto->detect(dir, oa_bytes(at, len)) != OA_DETECT_NO, "%s/%s, first %zu bytes",
				      proto->name, files[i].name, len);
		}
		taken++;
	}
	ck_assert_uint_gt(taken, 0);
}
END_TEST

START_TEST(after_an_error_everything_is_that_error)
{
	const struct oa_proto *proto = choose(_i);
	uint64_t state[4] = { 0 };
	const struct oa_sink sink = { .event = store_play_event, .request_note = store_play_note, .ctx = &check.play,
				      .stream_note = store_play_stream_note };
	long n = 0;

	for (int i = 0; i < 100 && n >= 0; i++)
		n = proto->feed(state, OA_DIR_RESPONSE, oa_bytes("\x01\xff\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 40), &sink);
	if (n < 0) {
		ck_assert_int_eq(proto->feed(state, OA_DIR_RESPONSE, OA_LIT("+OK\r\n"), &sink), n);
		ck_assert_int_eq(proto->close(state, OA_DIR_RESPONSE, &sink), n);
	}
}
END_TEST

static int store_count(void)
{
	int n = 0;

	while (oa_stores[n])
		n++;
	return n;
}

int main(void)
{
	TCase *tc = tcase_create("stores");
	Suite *suite = suite_create("proto");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, NULL, stop);
	tcase_add_loop_test(tc, samples_give_their_events_however_they_are_cut, 0, store_count());
	tcase_add_loop_test(tc, mutated_samples_give_the_same_events_however_they_are_cut, 0, store_count());
	tcase_add_loop_test(tc, fuzz_corpus_gives_the_same_events_however_it_is_cut, 0, store_count());
	tcase_add_loop_test(tc, recorded_connections_are_taken_by_their_own, 0, store_count());
	tcase_add_loop_test(tc, after_an_error_everything_is_that_error, 0, store_count());
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
