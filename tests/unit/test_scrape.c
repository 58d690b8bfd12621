/* The metrics endpoint: what it answers, whom it lets wait, who serves it and when it gives its port up. Clients are
 * sockets of the test itself; the loop is turned until what is waited for is there. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/lead.h"
#include "core/tree.h"
#include "exporter/exporter.h"
#include "exporter/scrape.h"
#include "tests/unit/lsan.h"

#define PATIENCE_NS 10000000000ull

static struct oa_attr attrs[] = { { "service.name", "the/shop", 0, false } };

const struct oa_attr *oa_resource_attrs(size_t *ret_count)
{
	*ret_count = 1;
	return attrs;
}

/* -- sockets of the "host" and of clients -- */

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* A host without SO_REUSEADDR: the strictest. returns the descriptor or -errno */
static int host_binds(unsigned port)
{
	struct sockaddr_in addr = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 5) == 0)
		return fd;
	close(fd);
	return -errno;
}

static unsigned free_port(void)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int fd = host_binds(0);

	ck_assert_int_ge(fd, 0);
	getsockname(fd, (struct sockaddr *)&addr, &len);
	close(fd);
	return ntohs(addr.sin_port);
}

static int client_connects(unsigned port)
{
	struct sockaddr_in addr = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_msg(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "port %u: %s", port, strerror(errno));
	return fd;
}

static void client_sends(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

struct response {
	char text[1 << 20];
	size_t len;
	bool ended;
	int status;
	char *body;
};

static struct response answer;

static bool response_whole(struct response *r)
{
	char *end = strstr(r->text, "\r\n\r\n"), *length = strstr(r->text, "Content-Length: ");

	if (!end)
		return false;
	r->body = end + 4;
	r->status = atoi(r->text + 9);
	return length && length < end && r->text + r->len >= r->body + atoi(length + 16);
}

static void client_reads(int fd, struct response *r)
{
	ssize_t n;

	while ((n = recv(fd, r->text + r->len, sizeof(r->text) - 1 - r->len, MSG_DONTWAIT)) > 0)
		r->len += (size_t)n;
	r->text[r->len] = '\0';
	r->ended = n == 0 || (n < 0 && errno != EAGAIN);
}

/* Turns the loop until the client has a whole answer or its connection ended. */
static struct response *client_waits(int fd)
{
	uint64_t until = oa_now_ns() + PATIENCE_NS;

	memset(&answer, 0, sizeof(answer));
	do {
		ck_assert_msg(oa_now_ns() < until, "no answer, only:\n%s", answer.text);
		oa_loop_turn(10);
		client_reads(fd, &answer);
	} while (!response_whole(&answer) && !answer.ended);
	return &answer;
}

static struct response *fetch(const char *request)
{
	int fd = client_connects(oa_tree->port);

	client_sends(fd, request);
	client_waits(fd);
	close(fd);
	return &answer;
}

#define ck_assert_has(text, part) ck_assert_msg(strstr((text), (part)), "no <%s> in:\n%s", (part), (text))

/* -- set-up -- */

static void use_settings(void)
{
	oa_config.metrics_exporter = 1;
	oa_config.prometheus_host = "127.0.0.1";
	oa_config.prometheus_port = free_port();
	oa_config.sd_dir = "";
	ck_assert_int_eq(oa_tree_map(), 0);
}

static void setup(void)
{
	use_settings();
	ck_assert_int_eq(oa_tree_claim(), 0);
	ck_assert_int_eq(oa_loop_open(), 0);
}

static void lead(void)
{
	oa_scrape_tick();
	ck_assert(oa_lead_has());
	ck_assert_uint_ne(oa_tree->port, 0);
}

/* Another process of the tree, which leads and serves until it is killed. */
static pid_t start_leader(void)
{
	uint64_t until = oa_now_ns() + PATIENCE_NS;
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		oa_tree_claim();
		oa_loop_open();
		for (;;) {
			oa_scrape_tick();
			oa_loop_turn(1000);
		}
	}
	while (!oa_tree->port)
		ck_assert_uint_lt(oa_now_ns(), until);
	ck_assert_uint_eq(oa_tree->leader_pid, (uint32_t)child);
	return child;
}

static void kill_child(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* -- what it answers -- */

START_TEST(metrics_are_answered_on_the_configured_port)
{
	struct response *r;

	lead();
	ck_assert_uint_eq(oa_tree->port, (unsigned)oa_config.prometheus_port);
	r = fetch("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(r->status, 200);
	ck_assert_has(r->text, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	ck_assert_has(r->body, "\notelauto_scrapes_total 1\n");
	ck_assert_has(r->body, "target_info{service_name=\"the/shop\"} 1\n");
	r = fetch("GET /metrics?x=y HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n");
	ck_assert_has(r->text, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8;");
	ck_assert_has(r->body, "\notelauto_scrapes_total 2\n");
	ck_assert_has(r->body, "# EOF\n");
}
END_TEST

START_TEST(health_is_json)
{
	cJSON *j;

	lead();
	j = cJSON_Parse(fetch("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")->body);
	ck_assert_str_eq(cJSON_GetObjectItem(j, "status")->valuestring, "ok");
	ck_assert_str_eq(cJSON_GetObjectItem(j, "version")->valuestring, OA_VERSION);
	ck_assert_int_eq(cJSON_GetObjectItem(j, "pid")->valueint, getpid());
	ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(j, "leader")));
	cJSON_Delete(j);
}
END_TEST

START_TEST(other_paths_and_methods_are_refused)
{
	lead();
	ck_assert_int_eq(fetch("GET / HTTP/1.1\r\nHost: x\r\n\r\n")->status, 404);
	ck_assert_int_eq(fetch("GET /metrics/ HTTP/1.1\r\nHost: x\r\n\r\n")->status, 404);
	ck_assert_int_eq(fetch("DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n")->status, 405);
	ck_assert_has(answer.text, "Allow: GET, HEAD\r\n");
	ck_assert_int_eq(fetch("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")->status, 405);
}
END_TEST

START_TEST(head_has_the_length_and_no_body)
{
	int fd;

	lead();
	fd = client_connects(oa_tree->port);
	client_sends(fd, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	memset(&answer, 0, sizeof(answer));
	while (!answer.ended) { /* until the server's patience ends: so a body would have come */
		oa_loop_turn(10);
		client_reads(fd, &answer);
	}
	ck_assert_has(answer.text, "HTTP/1.1 200 OK\r\n");
	ck_assert_int_gt(atoi(strstr(answer.text, "Content-Length: ") + 16), 1000);
	ck_assert_str_eq(strstr(answer.text, "\r\n\r\n"), "\r\n\r\n");
	close(fd);
}
END_TEST

START_TEST(old_and_closing_clients_get_their_answer_too)
{
	lead();
	ck_assert_int_eq(fetch("GET /metrics HTTP/1.0\r\n\r\n")->status, 200);
	ck_assert_int_eq(fetch("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")->status, 200);
	ck_assert_has(answer.text, "Connection: close");
}
END_TEST

START_TEST(what_is_not_http_or_too_long_is_refused_and_counted)
{
	static char request[4096];
	int n = snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ");

	lead();
	memset(request + n, 'a', 3000);
	strcpy(request + n + 3000, "\r\n\r\n");
	ck_assert_int_ne(fetch(request)->status, 200);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes_refused), 1);
	ck_assert_int_ne(fetch("\x16\x03\x01 hello\r\n\r\n")->status, 200);
	ck_assert_int_eq(fetch("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes), 0);
}
END_TEST

START_TEST(the_format_is_the_acceptable_one_with_the_highest_weight)
{
	static const struct {
		const char *accept, *type;
	} cases[] = {
#define OM   "application/openmetrics-text"
#define U8   "; charset=utf-8"
#define OLD  "text/plain; version=0.0.4" U8
		{ "", OLD },
		{ "*/*", OLD },
		{ "text/html, image/gif", OLD },
		{ "text/plain", OLD },
		{ OM ";version=1.0.0;escaping=allow-utf-8;q=0.6," OM ";version=0.0.1;q=0.5,"
		  "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		  OM "; version=1.0.0" U8 "; escaping=allow-utf-8" },
		{ OM "; version=1.0.0", OM "; version=1.0.0" U8 "; escaping=underscores" },
		{ OM "; version=\"1.0.0\"; escaping=values", OM "; version=1.0.0" U8 "; escaping=values" },
		{ OM "; version=1.0.0; escaping=dots", OM "; version=1.0.0" U8 "; escaping=dots" },
		{ OM "; version=1.0.0; escaping=bogus", OM "; version=1.0.0" U8 "; escaping=underscores" },
		{ OM, OM "; version=0.0.1" U8 },
		{ OM "; version=2.0.0", OLD },
		{ OM "; version=2.0.0," OM ";version=0.0.1;q=0.1", OM "; version=0.0.1" U8 },
		{ "text/plain;version=1.0.0;escaping=dots", "text/plain; version=1.0.0" U8 "; escaping=dots" },
		{ "text/plain;q=0.3," OM ";version=1.0.0;q=0.31", OM "; version=1.0.0" U8 "; escaping=underscores" },
		{ "text/plain;q=0.5," OM ";version=1.0.0;q=0.5", OLD },
		{ OM ";version=1.0.0;q=0, */*;q=0.001", OLD },
		{ OM ";version=1.0.0;q=0", OLD },
		{ "Text/Plain;Version=0.0.4;Q=0.2, APPLICATION/OpenMetrics-Text;version=1.0.0;q=0.1", OLD },
		{ "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
		  "text/plain;version=0.0.4;q=0.1", OLD },
		{ ",;=,;;q=,\"", OLD },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct oa_scrape_format f = oa_scrape_negotiate(oa_bytes_str(cases[i].accept));

		ck_assert_msg(strcmp(f.content_type, cases[i].type) == 0, "%s: %s", cases[i].accept, f.content_type);
		ck_assert_int_eq(f.openmetrics, strstr(f.content_type, "openmetrics") != NULL);
	}
}
END_TEST

/* -- limits -- */

START_TEST(one_connection_at_a_time_others_wait)
{
	struct response second = { .len = 0 };
	uint64_t before;
	int a, b;

	lead();
	a = client_connects(oa_tree->port);
	client_sends(a, "GET /met");
	for (unsigned i = 0; i < 3; i++)
		oa_loop_turn(1);
	b = client_connects(oa_tree->port);
	client_sends(b, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	for (unsigned i = 0; i < 5; i++)
		oa_loop_turn(1);
	client_reads(b, &second);
	ck_assert_uint_eq(second.len, 0);
	client_sends(a, "rics HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(client_waits(a)->status, 200);
	before = oa_stat_sum(OA_STAT_scrapes);
	close(a);
	ck_assert_int_eq(client_waits(b)->status, 200);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes), before + 1);
	close(b);
}
END_TEST

START_TEST(a_slow_client_is_cut_off_and_counted)
{
	uint64_t until = oa_now_ns() + PATIENCE_NS;
	unsigned sent = 0;
	int fd;

	lead();
	fd = client_connects(oa_tree->port);
	memset(&answer, 0, sizeof(answer));
	while (!answer.ended) {
		ck_assert_uint_lt(oa_now_ns(), until);
		if (sent++ < 1000) /* one byte at a time; fewer than are refused for their number */
			(void)send(fd, "a", 1, MSG_NOSIGNAL);
		oa_loop_turn(10);
		client_reads(fd, &answer);
	}
	ck_assert_uint_eq(answer.len, 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes_refused), 1);
	close(fd);
	ck_assert_int_eq(fetch("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
}
END_TEST

START_TEST(a_client_that_says_nothing_and_leaves_is_in_nobodys_way)
{
	lead();
	for (unsigned i = 0; i < 6; i++) /* fewer than the backlog: nobody turns the loop meanwhile */
		close(client_connects(oa_tree->port));
	ck_assert_int_eq(fetch("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes_refused), 0);
}
END_TEST

START_TEST(low_descriptors_are_left_to_the_host)
{
	int probe = dup(0), fd;

	close(probe);
	lead();
	fd = client_connects(oa_tree->port);
	ck_assert_int_eq(fd, probe);
	client_sends(fd, "GET /met");
	for (unsigned i = 0; i < 3; i++)
		oa_loop_turn(1);
	ck_assert_int_eq(dup(0), probe + 1);
	for (unsigned i = 0; i < 3; i++)
		oa_loop_turn(1);
	close(probe + 1);
	client_sends(fd, "rics HTTP/1.1\r\nHost: x\r\n\r\n");
	ck_assert_int_eq(client_waits(fd)->status, 200);
	close(fd);
}
END_TEST

/* -- the port -- */

START_TEST(a_port_that_is_taken_means_the_next_one)
{
	int host = host_binds((unsigned)oa_config.prometheus_port);

	ck_assert_int_ge(host, 0);
	lead();
	ck_assert_uint_gt(oa_tree->port, (unsigned)oa_config.prometheus_port);
	ck_assert_uint_lt(oa_tree->port, (unsigned)oa_config.prometheus_port + 100);
	ck_assert_int_eq(fetch("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
	close(host);
}
END_TEST

START_TEST(port_zero_means_any)
{
	oa_config.prometheus_port = 0;
	lead();
	ck_assert_int_eq(fetch("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
}
END_TEST

START_TEST(no_exporter_no_port)
{
	oa_config.metrics_exporter = 1u << 31;
	oa_scrape_tick();
	ck_assert_uint_eq(oa_tree->port, 0);
	ck_assert_uint_eq(oa_tree->leader_pid, 0);
}
END_TEST

START_TEST(an_answered_scrape_leaves_the_port_free_for_a_host_that_does_not_reuse_addresses)
{
	unsigned port;

	lsan_forgets_on_purpose();
	lead();
	port = oa_tree->port;
	ck_assert_int_eq(fetch("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")->status, 200);
	oa_loop_turn(10);
	oa_scrape_forget();
	ck_assert_int_ge(host_binds(port), 0);
}
END_TEST

START_TEST(connections_that_linger_do_not_keep_the_port_from_us)
{
	unsigned port;

	lsan_forgets_on_purpose();
	lead();
	port = oa_tree->port;
	ck_assert_int_eq(fetch("GET /metrics HTTP/1.0\r\n\r\n")->status, 200); /* here we close first */
	oa_scrape_forget();
	ck_assert_int_eq(host_binds(port), -EADDRINUSE);
	oa_tree->port = 0;
	lead();
	ck_assert_uint_eq(oa_tree->port, port);
}
END_TEST

START_TEST(addresses_are_numbers_or_localhost)
{
	static const struct {
		const char *host, *target;
		int err;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1:1", 0 }, { "localhost", "127.0.0.1:1", 0 }, { "", "127.0.0.1:1", 0 },
		{ "0.0.0.0", "127.0.0.1:1", 0 }, { "10.1.2.3", "10.1.2.3:1", 0 }, { "::", "[::1]:1", 0 },
		{ "[::1]", "[::1]:1", 0 }, { "2001:db8::1", "[2001:db8::1]:1", 0 },
		{ "example.org", "127.0.0.1:1", -EINVAL }, { "[]", "127.0.0.1:1", -EINVAL },
		{ "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20", "127.0.0.1:1", -EINVAL },
	};
	struct oa_scrape_addr addr;
	char text[80];

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_int_eq(oa_scrape_addr_parse(&addr, cases[i].host), cases[i].err);
		oa_scrape_target(text, sizeof(text), &addr, 1);
		ck_assert_str_eq(text, cases[i].target);
	}
}
END_TEST

/* -- who serves -- */

START_TEST(a_follower_takes_over_the_port_of_a_leader_that_was_killed)
{
	pid_t leader = start_leader();
	unsigned port = oa_tree->port;

	oa_scrape_tick();
	ck_assert(!oa_lead_has());
	kill_child(leader);
	lead();
	ck_assert_uint_eq(oa_tree->port, port);
	ck_assert_int_eq(fetch("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
}
END_TEST

START_TEST(a_leader_nobody_waits_for_is_dead_too)
{
	pid_t leader = start_leader();
	siginfo_t info;

	kill(leader, SIGKILL);
	waitid(P_PID, (id_t)leader, &info, WEXITED | WNOWAIT); /* a zombie now */
	lead();
	waitpid(leader, NULL, 0);
}
END_TEST

START_TEST(a_reused_pid_is_not_the_leader)
{
	oa_tree->leader_pid = (uint32_t)getppid();
	oa_tree->leader_ticks = 1;
	lead();
}
END_TEST

START_TEST(of_many_followers_one_takes_over)
{
	pid_t leader = start_leader(), followers[4];
	/* Words of a slot that nobody has. */
	_Atomic uint64_t *ready = &oa_tree->procs[OA_PROCS_MAX - 1].usage[0], *go = ready + 1, *done = ready + 2;
	uint64_t until = oa_now_ns() + PATIENCE_NS;
	unsigned leading = 0;
	int status;

	for (unsigned i = 0; i < 4; i++) {
		followers[i] = fork();
		if (followers[i])
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		oa_tree_forget();
		oa_loop_forget();
		oa_loop_open();
		atomic_fetch_add(ready, 1);
		while (!atomic_load(go))
			;
		for (unsigned k = 0; k < 20; k++)
			oa_scrape_tick();
		status = oa_lead_has();
		atomic_fetch_add(done, 1);
		while (atomic_load(done) < 4) /* one that exits could be followed by the next */
			;
		_exit(status);
	}
	while (atomic_load(ready) < 4)
		ck_assert_uint_lt(oa_now_ns(), until);
	kill_child(leader);
	atomic_store(go, 1);
	for (unsigned i = 0; i < 4; i++) {
		waitpid(followers[i], &status, 0);
		leading += WEXITSTATUS(status) == 1;
	}
	ck_assert_uint_eq(leading, 1);
}
END_TEST

START_TEST(a_leader_that_was_replaced_steps_down)
{
	unsigned port;

	lead();
	port = oa_tree->port;
	oa_tree->leader_pid = (uint32_t)getppid();
	oa_tree->leader_ticks = 0;
	oa_scrape_tick();
	ck_assert(!oa_lead_has());
	ck_assert_int_ge(host_binds(port), 0);
}
END_TEST

START_TEST(a_leader_whose_side_thread_ends_makes_room)
{
	unsigned port;

	lsan_forgets_on_purpose();
	lead();
	port = oa_tree->port;
	oa_scrape_forget();
	ck_assert_uint_eq(oa_tree->leader_pid, 0);
	ck_assert_int_ge(host_binds(port), 0);
}
END_TEST

START_TEST(a_forked_child_keeps_nothing_of_the_listener)
{
	int to_parent[2], to_child[2];
	unsigned port;
	pid_t child;
	char c;

	lsan_forgets_on_purpose();
	lead();
	port = oa_tree->port;
	ck_assert_int_eq(pipe(to_parent), 0);
	ck_assert_int_eq(pipe(to_child), 0);
	child = fork();
	if (child == 0) {
		oa_scrape_forget();
		oa_loop_forget();
		oa_tree_forget();
		c = write(to_parent[1], "x", 1) == 1;
		_exit(read(to_child[0], &c, 1) != 1);
	}
	ck_assert_int_eq(read(to_parent[0], &c, 1), 1);
	oa_scrape_forget(); /* the parent's own end of it */
	ck_assert_int_ge(host_binds(port), 0);
	ck_assert_int_eq(write(to_child[1], "x", 1), 1);
	waitpid(child, NULL, 0);
}
END_TEST

/* -- giving it up -- */

static _Atomic int stop;

static void *side_thread(void *arg)
{
	for (uint64_t next = 0; !stop;) {
		if (oa_now_ns() >= next) {
			oa_scrape_tick();
			next = oa_now_ns() + 1000000000;
		}
		oa_loop_turn(1000); /* asleep: only what yield does wakes it */
	}
	return arg;
}

static void wait_for_port(void)
{
	uint64_t until = oa_now_ns() + PATIENCE_NS;

	while (!oa_tree->port)
		ck_assert_uint_lt(oa_now_ns(), until);
}

START_TEST(the_host_gets_our_port_when_it_binds_it)
{
	pthread_t thread;
	unsigned port;
	int host;

	pthread_create(&thread, NULL, side_thread, NULL);
	wait_for_port();
	port = oa_tree->port;
	oa_scrape_yield((uint16_t)(port + 1));
	ck_assert_uint_eq(oa_tree->port, port);
	oa_scrape_yield((uint16_t)port);
	host = host_binds(port);
	ck_assert_msg(host >= 0, "bind: %s", strerror(-host));
	wait_for_port();
	ck_assert_uint_ne(oa_tree->port, port);
	close(host);
	oa_scrape_yield((uint16_t)oa_tree->port);
	wait_for_port();
	ck_assert_uint_ne(oa_tree->port, port); /* never again, also when it is free */
}
END_TEST

START_TEST(the_host_gets_our_port_in_the_middle_of_a_scrape)
{
	pthread_t thread;
	unsigned port;
	int client, host;

	pthread_create(&thread, NULL, side_thread, NULL);
	wait_for_port();
	port = oa_tree->port;
	client = client_connects(port);
	client_sends(client, "GET /met");
	while (fcntl(900, F_GETFD) < 0 || fcntl(901, F_GETFD) < 0)
		; /* until it is accepted */
	oa_scrape_yield((uint16_t)port);
	host = host_binds(port);
	ck_assert_msg(host >= 0, "bind: %s", strerror(-host));
}
END_TEST

START_TEST(the_host_gets_the_port_that_another_process_of_the_tree_serves)
{
	pid_t leader = start_leader();
	unsigned port = oa_tree->port;
	int host;

	oa_scrape_yield((uint16_t)port);
	host = host_binds(port);
	ck_assert_msg(host >= 0, "bind: %s", strerror(-host));
	wait_for_port();
	ck_assert_uint_ne(oa_tree->port, port);
	kill_child(leader);
}
END_TEST

START_TEST(nobody_is_waited_for_when_the_leader_is_dead)
{
	pid_t leader = start_leader();
	unsigned port = oa_tree->port;

	kill_child(leader);
	oa_scrape_yield((uint16_t)port);
	ck_assert_uint_eq(oa_tree->yield_port, 0);
	ck_assert_int_ge(host_binds(port), 0);
}
END_TEST

/* The descriptor of the listener: the only one of ours. */
static int listener_number(void)
{
	for (int fd = 60; fd < 2000; fd++)
		if (oa_loop_fd_check(fd))
			return fd;
	return -1;
}

START_TEST(a_listener_that_the_host_closed_comes_back_and_its_number_is_left_alone)
{
	char text[8] = "";
	int pipefd[2], number;
	unsigned port;

	lead();
	port = oa_tree->port;
	number = listener_number();
	ck_assert_int_ge(number, 60);
	ck_assert_int_eq(pipe(pipefd), 0);
	ck_assert_int_eq(dup2(pipefd[0], number), number);
	oa_loop_turn(1);
	oa_scrape_tick();
	ck_assert_uint_eq(oa_tree->port, port);
	ck_assert_int_ne(listener_number(), number);
	ck_assert_int_eq(fetch("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
	ck_assert_int_eq(write(pipefd[1], "still", 5), 5);
	ck_assert_int_eq(read(number, text, sizeof(text)), 5);
}
END_TEST

START_TEST(a_connection_that_the_host_closed_is_left_alone_too)
{
	int pipefd[2], client, number, listener;
	char text[8] = "";

	lead();
	listener = listener_number();
	client = client_connects(oa_tree->port);
	client_sends(client, "GET /met");
	for (unsigned i = 0; i < 3; i++)
		oa_loop_turn(1);
	for (number = listener + 1; !oa_loop_fd_check(number); number++)
		ck_assert_int_lt(number, 2000);
	ck_assert_int_eq(pipe(pipefd), 0);
	ck_assert_int_eq(dup2(pipefd[1], number), number);
	ck_assert_int_eq(fetch("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
	ck_assert_int_eq(write(number, "still", 5), 5);
	ck_assert_int_eq(read(pipefd[0], text, sizeof(text)), 5);
	close(client);
}
END_TEST

/* -- service discovery -- */

static char sd_dir[] = "/tmp/otelauto-sd-XXXXXX";

static void sd_path(char *ret_path, size_t cap, const char *service, int pid)
{
	snprintf(ret_path, cap, "%s/otelauto-%s-%d.json", sd_dir, service, pid);
}

static cJSON *sd_read(const char *path)
{
	static char text[4096];
	FILE *f = fopen(path, "r");
	size_t n;

	ck_assert_msg(f, "%s: %s", path, strerror(errno));
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return cJSON_Parse(text);
}

static void sd_copy_as_dead(const char *from, const char *to, bool ours)
{
	char text[4096] = "[]";
	FILE *f = fopen(from, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);

	fclose(f);
	f = fopen(to, "w");
	fwrite(text, 1, ours ? n : n / 2, f);
	fclose(f);
}

static pid_t dead_pid(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	return child;
}

START_TEST(the_discovery_file_names_the_target_and_goes_at_the_end)
{
	char path[256], target[64];
	cJSON *list, *entry, *labels;

	oa_config.sd_dir = mkdtemp(sd_dir);
	lead();
	sd_path(path, sizeof(path), "the_shop", getpid());
	list = sd_read(path);
	ck_assert_int_eq(cJSON_GetArraySize(list), 1);
	entry = cJSON_GetArrayItem(list, 0);
	labels = cJSON_GetObjectItem(entry, "labels");
	snprintf(target, sizeof(target), "127.0.0.1:%u", oa_tree->port);
	ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(entry, "targets")), 1);
	ck_assert_str_eq(cJSON_GetArrayItem(cJSON_GetObjectItem(entry, "targets"), 0)->valuestring, target);
	ck_assert_str_eq(cJSON_GetObjectItem(labels, "service_name")->valuestring, "the/shop");
	ck_assert_int_eq(atoi(cJSON_GetObjectItem(labels, "pid")->valuestring), getpid());
	cJSON_Delete(list);
	oa_scrape_bye();
	ck_assert_int_lt(access(path, F_OK), 0);
	ck_assert_uint_eq(oa_tree->leader_pid, 0);
	oa_scrape_tick();
	ck_assert_uint_eq(oa_tree->leader_pid, 0);
	ck_assert_int_eq(rmdir(sd_dir), 0); /* nothing else was left in it */
}
END_TEST

START_TEST(the_next_leader_removes_the_file_of_the_dead_one_and_no_other)
{
	char path[256], dead[256], foreign[256], other[256];
	pid_t leader;
	uint64_t until;

	oa_config.sd_dir = mkdtemp(sd_dir);
	leader = start_leader();
	sd_path(path, sizeof(path), "the_shop", leader);
	for (until = oa_now_ns() + PATIENCE_NS; access(path, F_OK) < 0;)
		ck_assert_uint_lt(oa_now_ns(), until);
	sd_path(dead, sizeof(dead), "other-service", dead_pid());
	sd_copy_as_dead(path, dead, true);
	sd_path(foreign, sizeof(foreign), "else", dead_pid()); /* of another pid namespace, say */
	sd_copy_as_dead(path, foreign, false);
	snprintf(other, sizeof(other), "%s/targets.json", sd_dir);
	sd_copy_as_dead(path, other, true);
	kill_child(leader);
	lead();
	ck_assert_int_lt(access(path, F_OK), 0);
	ck_assert_int_lt(access(dead, F_OK), 0);
	ck_assert_int_eq(access(foreign, F_OK), 0);
	ck_assert_int_eq(access(other, F_OK), 0);
	sd_path(path, sizeof(path), "the_shop", getpid());
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink(foreign);
	unlink(other);
	oa_scrape_bye();
	ck_assert_int_eq(rmdir(sd_dir), 0);
}
END_TEST

START_TEST(a_child_that_was_forked_takes_nothing_from_its_parent)
{
	char path[256];
	pid_t child;

	oa_config.sd_dir = mkdtemp(sd_dir);
	lead();
	sd_path(path, sizeof(path), "the_shop", getpid());
	child = fork();
	if (child == 0) {
		oa_scrape_bye();
		_exit(0);
	}
	waitpid(child, NULL, 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert(oa_lead_has());
	ck_assert_int_eq(fetch("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")->status, 200);
	oa_scrape_bye();
	rmdir(sd_dir);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("scrape");
	TCase *http = tcase_create("http"), *port = tcase_create("port"), *tree = tcase_create("tree");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(http, 60);
	tcase_set_timeout(port, 60);
	tcase_set_timeout(tree, 60);
	tcase_add_checked_fixture(http, setup, NULL);
	tcase_add_checked_fixture(port, setup, NULL);
	tcase_add_checked_fixture(tree, setup, NULL);
	tcase_add_test(http, metrics_are_answered_on_the_configured_port);
	tcase_add_test(http, health_is_json);
	tcase_add_test(http, other_paths_and_methods_are_refused);
	tcase_add_test(http, head_has_the_length_and_no_body);
	tcase_add_test(http, old_and_closing_clients_get_their_answer_too);
	tcase_add_test(http, what_is_not_http_or_too_long_is_refused_and_counted);
	tcase_add_test(http, the_format_is_the_acceptable_one_with_the_highest_weight);
	tcase_add_test(http, one_connection_at_a_time_others_wait);
	tcase_add_test(http, a_slow_client_is_cut_off_and_counted);
	tcase_add_test(http, a_client_that_says_nothing_and_leaves_is_in_nobodys_way);
	tcase_add_test(http, low_descriptors_are_left_to_the_host);
	suite_add_tcase(s, http);
	tcase_add_test(port, a_port_that_is_taken_means_the_next_one);
	tcase_add_test(port, port_zero_means_any);
	tcase_add_test(port, no_exporter_no_port);
	tcase_add_test(port, an_answered_scrape_leaves_the_port_free_for_a_host_that_does_not_reuse_addresses);
	tcase_add_test(port, connections_that_linger_do_not_keep_the_port_from_us);
	tcase_add_test(port, addresses_are_numbers_or_localhost);
	tcase_add_test(port, the_host_gets_our_port_when_it_binds_it);
	tcase_add_test(port, the_host_gets_our_port_in_the_middle_of_a_scrape);
	tcase_add_test(port, the_host_gets_the_port_that_another_process_of_the_tree_serves);
	tcase_add_test(port, nobody_is_waited_for_when_the_leader_is_dead);
	tcase_add_test(port, a_listener_that_the_host_closed_comes_back_and_its_number_is_left_alone);
	tcase_add_test(port, a_connection_that_the_host_closed_is_left_alone_too);
	suite_add_tcase(s, port);
	tcase_add_test(tree, a_follower_takes_over_the_port_of_a_leader_that_was_killed);
	tcase_add_test(tree, a_leader_nobody_waits_for_is_dead_too);
	tcase_add_test(tree, a_reused_pid_is_not_the_leader);
	tcase_add_test(tree, of_many_followers_one_takes_over);
	tcase_add_test(tree, a_leader_that_was_replaced_steps_down);
	tcase_add_test(tree, a_leader_whose_side_thread_ends_makes_room);
	tcase_add_test(tree, a_forked_child_keeps_nothing_of_the_listener);
	tcase_add_test(tree, the_discovery_file_names_the_target_and_goes_at_the_end);
	tcase_add_test(tree, the_next_leader_removes_the_file_of_the_dead_one_and_no_other);
	tcase_add_test(tree, a_child_that_was_forked_takes_nothing_from_its_parent);
	suite_add_tcase(s, tree);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
