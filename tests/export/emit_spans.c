/* Feeds made-up records through an exporter, with the settings of the environment, in the loop of the side thread and
 * linked as libotelauto.so is (--wrap). Prints what became of them as one line of JSON.
 *
 * emit_spans EXPORTER BATCHES SPANS DEADLINE_MS [OPTION…]
 *   bad       texts that are not UTF-8, and random ones
 *   steal     between two batches: closes all descriptors from 3 on, as daemons do, and puts sockets of the host's on
 *             the numbers; at the end they must be as they were
 *   midway    the same while the first request waits for its answer
 *   late      the loop stands still until the deadline of the first batch is over
 *   cancel    gives the first batch up while it waits
 *   drain     at the end waits until nothing lies in the spool any more
 *   end       ends as a process does: what cannot be sent at once goes to the spool
 *   fork      a child exports too, after forgetting
 *   cpu       adds the processor time of encoding and sending, per span: median and least of 200 batches
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/id.h"
#include "core/stats.h"
#include "core/sys.h"
#include "exporter/exporter.h"
#include "exporter/spool.h"
#include "pipeline/resource.h"
#include "tests/unit/otlp_oracle.h"

#define SPANS_MAX 2048
#define THEFTS_MAX 64
#define CPU_BATCHES 200

static struct oa_span_buf bufs[SPANS_MAX];
static const struct oa_span *spans[SPANS_MAX];
static size_t total_ok, total_rejected, total_failed, calls;
static struct oa_proc wire; /* what an heir would see */
static unsigned wire_at_end;
static bool settled, bad;
static const struct oa_exporter *exporter;
static struct { int fd, other; } thefts[THEFTS_MAX];
static unsigned theft_count;

static void on_done(void *arg, size_t ok, size_t rejected, size_t failed)
{
	total_ok += ok;
	total_rejected += rejected;
	total_failed += failed;
	calls++;
	wire_at_end = atomic_load(&wire.wire);
	settled = true;
}

/* -- records -- */

static void set(struct oa_span_buf *b, enum oa_str which, const char *text)
{
	(void)oa_span_set_str(&b->s, sizeof(*b), which, oa_bytes_str(text));
}

static void add_header(struct oa_span_buf *b, uint8_t direction, const char *name, const char *value)
{
	struct oa_bytes old = oa_span_str(&b->s, OA_STR_HEADERS);
	uint8_t text[1024];
	uint16_t len = (uint16_t)strlen(value);
	size_t n = old.len;

	memcpy(text, old.ptr, n);
	text[n++] = direction;
	text[n++] = (uint8_t)strlen(name);
	memcpy(text + n, &len, 2);
	memcpy(text + n + 2, name, strlen(name));
	memcpy(text + n + 2 + strlen(name), value, len);
	(void)oa_span_set_str(&b->s, sizeof(*b), OA_STR_HEADERS, oa_bytes(text, n + 2 + strlen(name) + len));
}

static void make_server(struct oa_span_buf *b)
{
	b->s.peer = (struct oa_addr){ .family = 4, .port = 40404, .ip = { 192, 0, 2, 7 } };
	b->s.local_port = 8080;
	set(b, OA_STR_NAME, "GET /users/{id}");
	set(b, OA_STR_ROUTE, "/users/{id}");
	set(b, OA_STR_PATH, "/users/17");
	set(b, OA_STR_QUERY, "full=1&token=REDACTED");
	set(b, OA_STR_HOST, "shop.example:8080");
	set(b, OA_STR_USER_AGENT, "probe/1.0");
	b->s.flags |= OA_SPAN_HAS_RESP_BODY | OA_SPAN_PARENT_REMOTE | OA_SPAN_RANDOM;
	oa_id_span(b->s.parent_id);
	set(b, OA_STR_TRACESTATE, "vendor=1,other=abc");
	b->s.resp_body = 5120;
}

static void make_forwarded(struct oa_span_buf *b)
{
	make_server(b);
	set(b, OA_STR_FWD_FOR, "\"[2001:db8::9]:4711\"");
	set(b, OA_STR_FWD_PROTO, "HTTPS");
	set(b, OA_STR_FWD_HOST, "public.example");
	b->s.method = OA_METHOD_OTHER;
	set(b, OA_STR_METHOD, "PURGE");
	b->s.status = 503;
	add_header(b, 0, "x-tenant", "blue");
	add_header(b, 1, "set-thing", "a");
	add_header(b, 0, "x-tenant", "gr\xc3\xbcn");
}

static void make_client(struct oa_span_buf *b)
{
	struct oa_link links[2];

	b->s.kind = OA_KIND_CLIENT;
	b->s.peer = (struct oa_addr){ .family = 6, .port = 443, .ip = { 0x20, 1, 0x0d, 0xb8, [15] = 1 } };
	set(b, OA_STR_NAME, "POST");
	b->s.method = OA_METHOD_POST;
	set(b, OA_STR_HOST, "api.example");
	set(b, OA_STR_PATH, "/v2/items");
	set(b, OA_STR_QUERY, "q=x");
	b->s.flags |= OA_SPAN_HTTPS | OA_SPAN_HAS_REQ_BODY;
	b->s.req_body = 0;
	b->s.status = 404;
	b->s.resend = 2;
	b->s.dns_us = 1500;
	b->s.connect_us = 300;
	b->s.evidence = OA_EV_AMBIGUOUS;
	random_bytes((uint8_t *)links, sizeof(links));
	(void)oa_span_set_str(&b->s, sizeof(*b), OA_STR_LINKS, oa_bytes(links, sizeof(links)));
}

static void make_unix_client(struct oa_span_buf *b)
{
	b->s.kind = OA_KIND_CLIENT;
	b->s.flags = OA_SPAN_SAMPLED | OA_SPAN_UNIX;
	b->s.peer.family = 1;
	set(b, OA_STR_NAME, "GET");
	set(b, OA_STR_PEER_PATH, "/run/app.sock");
	set(b, OA_STR_PATH, "/info");
	b->s.error = OA_ERR_ECONNRESET;
}

static void make_tunnel(struct oa_span_buf *b)
{
	make_server(b);
	b->s.what = OA_WHAT_TUNNEL;
	set(b, OA_STR_NAME, "websocket");
	set(b, OA_STR_UPGRADE, "websocket");
	b->s.req_body = 10;
	b->s.resp_body = 1ull << 40;
}

static void make_connect(struct oa_span_buf *b)
{
	b->s.kind = OA_KIND_CLIENT;
	b->s.what = OA_WHAT_CONNECT;
	b->s.flags = OA_SPAN_SAMPLED;
	b->s.peer = (struct oa_addr){ .family = 4, .port = 5432, .ip = { 127, 0, 0, 1 } };
	b->s.error = OA_ERR_ECONNREFUSED;
	set(b, OA_STR_NAME, "connect");
}

static void make_proxied(struct oa_span_buf *b)
{
	make_client(b);
	b->s.flags &= ~OA_SPAN_HTTPS;
	set(b, OA_STR_TARGET, "http://REDACTED:REDACTED@far.example:81/x?sig=REDACTED");
	set(b, OA_STR_HOST, "far.example:81");
	b->s.status = 200;
}

static void make_record(unsigned index)
{
	static void (*const makers[])(struct oa_span_buf *) = {
		make_server, make_forwarded, make_client, make_unix_client, make_tunnel, make_connect, make_proxied,
	};
	struct oa_span_buf *b = &bufs[index];

	memset(b, 0, sizeof(b->s));
	b->s.bytes = sizeof(b->s);
	if (bad) {
		random_span(b);
		set(b, OA_STR_NAME, "caf\xe9 \xff\xfe");
		b->s.kind = (uint8_t)(1 + index % 3);
	} else {
		b->s.kind = OA_KIND_SERVER;
		b->s.what = OA_WHAT_HTTP;
		b->s.method = OA_METHOD_GET;
		b->s.version = 11;
		b->s.flags = OA_SPAN_SAMPLED | OA_SPAN_HAS_STATUS;
		b->s.status = 200;
		makers[index % (sizeof(makers) / sizeof(makers[0]))](b);
	}
	b->s.flags |= OA_SPAN_SAMPLED;
	oa_id_trace(b->s.trace_id);
	oa_id_span(b->s.span_id);
	b->s.start_unix_ns = oa_unix_now_ns();
	b->s.duration_ns = index * 1000;
	spans[index] = &b->s;
}

/* -- what hosts do -- */

static void take_number(int fd)
{
	int pair[2];

	if (oa_sys4(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
		return;
	(void)oa_sys3(SYS_dup3, pair[0], fd, 0);
	if (pair[0] != fd)
		(void)oa_sys1(SYS_close, pair[0]);
	(void)oa_sys6(SYS_sendto, pair[1], (long)"host", 4, 0, 0, 0);
	thefts[theft_count].fd = fd;
	thefts[theft_count++].other = pair[1];
}

static bool is_hosts(int fd)
{
	for (unsigned i = 0; i < theft_count; i++)
		if (thefts[i].fd == fd)
			return true;
	return false;
}

static void steal(void)
{
	for (int fd = 900; fd < 4096 && theft_count < THEFTS_MAX; fd++)
		if (oa_sys2(SYS_fcntl, fd, F_GETFD) >= 0 && !is_hosts(fd))
			take_number(fd); /* dup3 closes what was there */
}

/* How many of the host's sockets are still open, have lost nothing and got nothing. */
static unsigned unharmed(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < theft_count; i++) {
		char buf[16];
		long got = oa_sys3(SYS_read, thefts[i].other, buf, sizeof(buf));

		count += got == -EAGAIN && oa_sys3(SYS_read, thefts[i].fd, buf, sizeof(buf)) == 4 && !memcmp(buf, "host", 4);
	}
	return count;
}

/* -- sending -- */

static void pass_ms(unsigned ms)
{
	uint64_t until = oa_now_ns() + ms * 1000000ull;

	while (!settled && oa_now_ns() < until)
		oa_loop_turn(5);
}

static void send_batch(unsigned count, uint64_t deadline_ms)
{
	struct oa_batch batch = { .spans = spans, .count = count,
				  .who = { .pid = (uint32_t)getpid(), .start_unix_ns = oa_unix_now_ns() } };

	oa_id_trace(batch.who.instance_id);
	for (unsigned i = 0; i < count; i++)
		make_record(i);
	settled = false;
	atomic_store(&wire.wire, OA_WIRE_WAITS);
	oa_wire_begin(&wire);
	exporter->send(&batch, deadline_ms ? oa_now_ns() + deadline_ms * 1000000ull : UINT64_MAX, on_done, NULL);
	/* The exporter must not look at them any more. */
	memset(bufs, 0xee, sizeof(bufs[0]) * count);
}

static void wait_settled(void)
{
	while (!settled)
		oa_loop_turn(100);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t cpu_of_batch(unsigned count, uint64_t deadline_ms)
{
	struct oa_batch batch = { .spans = spans, .count = count, .who = { .pid = 1 } };
	uint64_t start;

	for (unsigned i = 0; i < count; i++)
		make_record(i);
	settled = false;
	start = cpu_ns();
	exporter->send(&batch, oa_now_ns() + deadline_ms * 1000000ull, on_done, NULL);
	wait_settled();
	return (cpu_ns() - start) / count;
}

static void say(const char *more)
{
	char line[1024], fds[256] = "";
	size_t n = 0;
	bool inherit = false;

	for (long fd = 3; fd < 4096; fd++) {
		long flags = oa_sys2(SYS_fcntl, fd, F_GETFD);

		if (flags >= 0 && n < 200) {
			n += (size_t)snprintf(fds + n, sizeof(fds) - n, "%s%ld", n ? "," : "", fd);
			inherit |= !(flags & FD_CLOEXEC);
		}
	}
	n = (size_t)snprintf(line, sizeof(line),
			     "{\"ok\":%zu,\"rejected\":%zu,\"failed\":%zu,\"calls\":%zu,\"requests\":%lu,\"retries\":%lu,"
			     "\"errors\":%lu,\"fds\":[%s],\"inherit\":%d,\"stolen\":%u,\"unharmed\":%u,\"wire\":%u,\"arena\":%zu%s}\n",
			     total_ok, total_rejected, total_failed, calls, oa_stat_sum(OA_STAT_export_requests),
			     oa_stat_sum(OA_STAT_export_retries), oa_stat_sum(OA_STAT_export_errors), fds, inherit, theft_count,
			     unharmed(), wire_at_end,
			     oa_arena_used_bytes(), more);
	(void)oa_sys3(SYS_write, 1, line, n);
}

static bool start(const char *name)
{
	oa_resource_open();
	if (oa_loop_open())
		return false;
	for (unsigned i = 0; oa_exporters[i]; i++)
		if (strcmp(oa_exporters[i]->name, name) == 0)
			exporter = oa_exporters[i];
	return exporter && exporter->open() == 0;
}

static void in_child(const char *name, unsigned count, uint64_t deadline_ms)
{
	pid_t pid = fork();
	int status;

	if (pid) {
		(void)waitpid(pid, &status, 0);
		return;
	}
	exporter->forget();
	oa_loop_forget();
	oa_arena_forget();
	oa_id_reseed();
	say(",\"child\":1");
	if (start(name)) {
		send_batch(count, deadline_ms);
		wait_settled();
	}
	say(",\"child\":2");
	_exit(0);
}

static void drain(void)
{
	uint64_t until = oa_now_ns() + 20000000000ull, bytes, spans_left, files = 1;

	while (files && oa_now_ns() < until) {
		oa_loop_turn(20);
		oa_spool_fill(&bytes, &spans_left, &files);
	}
}

static void say_spool(char *more, size_t cap)
{
	uint64_t bytes, left, files;

	oa_spool_fill(&bytes, &left, &files);
	(void)snprintf(more, cap,
		       ",\"spool\":{\"written\":%lu,\"sent\":%lu,\"refused\":%lu,\"unknown\":%lu,\"no_room\":%lu,"
		       "\"bytes\":%lu,\"left\":%lu,\"files\":%lu}",
		       oa_stat_sum(OA_STAT_spool_written), oa_stat_sum(OA_STAT_spool_sent), oa_stat_sum(OA_STAT_spool_refused),
		       oa_stat_sum(OA_STAT_spool_unknown), oa_stat_sum(OA_STAT_spool_full), bytes, left, files);
}

static bool has_option(int argc, char **argv, const char *name)
{
	for (int i = 5; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return false;
}

static void run_batch(int argc, char **argv, unsigned batch, unsigned count, uint64_t deadline_ms)
{
	if (batch && has_option(argc, argv, "steal"))
		steal();
	if (batch && has_option(argc, argv, "end"))
		oa_ship_end();
	send_batch(count, deadline_ms);
	if (!batch && has_option(argc, argv, "midway")) {
		pass_ms(300);
		steal();
	}
	if (!batch && has_option(argc, argv, "cancel")) {
		pass_ms(300);
		exporter->cancel();
	}
	if (!batch && has_option(argc, argv, "late")) {
		pass_ms(100);
		(void)oa_sys2(SYS_nanosleep, (&(struct timespec){ (time_t)(deadline_ms / 1000), 500000000 }), NULL);
	}
	wait_settled();
}

int main(int argc, char **argv)
{
	unsigned batches = argc > 4 ? (unsigned)atoi(argv[2]) : 0, count = argc > 4 ? (unsigned)atoi(argv[3]) : 0;
	uint64_t deadline_ms = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	char more[320] = "";

	if (argc < 5 || count > SPANS_MAX)
		return 2;
	bad = has_option(argc, argv, "bad");
	oa_config_read(environ);
	oa_config_warn();
	if (!start(argv[1])) {
		say(",\"open\":0");
		return 0;
	}
	for (unsigned i = 0; i < batches; i++)
		run_batch(argc, argv, i, count, deadline_ms);
	if (has_option(argc, argv, "fork"))
		in_child(argv[1], count, deadline_ms);
	if (has_option(argc, argv, "cpu")) {
		static uint64_t ns[CPU_BATCHES];

		for (unsigned i = 0; i < CPU_BATCHES; i++)
			ns[i] = cpu_of_batch(count, deadline_ms);
		qsort(ns, CPU_BATCHES, sizeof(ns[0]), by_value);
		(void)snprintf(more, sizeof(more), ",\"cpu_ns\":%lu,\"cpu_least_ns\":%lu", ns[CPU_BATCHES / 2], ns[0]);
	}
	if (has_option(argc, argv, "drain"))
		drain();
	if (!more[0])
		say_spool(more, sizeof(more));
	say(more);
	return 0;
}
