/* P1, the in-process pair: this program holds both ends of loopback connections. For each exchange
 * a random bit chooses whether the observed side's calls go through the PLT (and so through a
 * preloaded library) or straight to libc. The figures are medians over rounds of what the first
 * costs more. Without a preload this is the A/A control.
 *
 * pair [--what WHAT] [--conns N] [--threads N] [--requests N] [--rounds N] [--cpu N] [--routes N]
 *   server    read a request, write a response, on accepted connections
 *   client    write a request, read a response, on connected connections (injection included)
 *   tls-server, tls-client  the same inside TLS, by SSL_read and SSL_write
 *   http2-server, http2-client, grpc-server, grpc-client  the same by HTTP/2 in clear text
 *   STORE-server, STORE-client   the same with a command to a store and its answer: those of pair_store.h
 *   pipe      read and write on a pipe
 *   accept    accept4 and close
 *   --routes  asks for that many paths once before it starts, to fill the metrics
 * Prints one JSON object. */
#include "measure.h"
#include "pair_http2.h"
#include "pair_store.h"
#include "pair_tls.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS_MAX  32
#define WORKERS_MAX 8

enum { RAW, PLT, ARMS };
enum { P50, P90, P99, STATS };
static const char *const stat_names[STATS] = { "p50", "p90", "p99" };
static const unsigned stat_percent[STATS] = { 50, 90, 99 };

struct worker;
struct what {
	const char *name;
	void (*open)(struct worker *w, int *ret_client, int *ret_server);
	uint32_t (*exchange)(struct worker *w, const struct measure_libc *k, unsigned conn);
};

struct worker {
	const struct what *what;
	const struct pair_store *store; /* where it is one */
	pthread_t thread;
	int cpu, listener;
	struct sockaddr_in at;
	unsigned conns, requests, rounds;
	int *client, *server;
	uint64_t random;
	double ns_per_tick;
	double stat[STATS][ARMS][ROUNDS_MAX]; /* ns */
	long preempted;                       /* times in all rounds */
};

static void expect(ssize_t n)
{
	if (n <= 0)
		measure_die("exchange");
}

/* -- connections: only the observed side is made by calls that a preloaded library sees -- */

static void open_tcp(struct worker *w, const struct measure_libc *client,
		     const struct measure_libc *server, int *ret_client, int *ret_server)
{
	int one = 1, c = client->socket(AF_INET, SOCK_STREAM, 0);

	if (c < 0 || client->connect(c, (const void *)&w->at, sizeof(w->at)))
		measure_die("connect");
	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret_client = c;
	*ret_server = server->accept4(w->listener, NULL, NULL, 0);
	if (*ret_server < 0)
		measure_die("accept");
}

static void open_server(struct worker *w, int *ret_client, int *ret_server)
{
	open_tcp(w, &measure_raw, &measure_plt, ret_client, ret_server);
}

static void open_client(struct worker *w, int *ret_client, int *ret_server)
{
	open_tcp(w, &measure_plt, &measure_raw, ret_client, ret_server);
}

static void open_tls_server(struct worker *w, int *ret_client, int *ret_server)
{
	open_server(w, ret_client, ret_server);
	pair_tls_open(*ret_client, *ret_server, true);
}

static void open_tls_client(struct worker *w, int *ret_client, int *ret_server)
{
	open_client(w, ret_client, ret_server);
	pair_tls_open(*ret_client, *ret_server, false);
}

static void open_http2_server(struct worker *w, int *ret_client, int *ret_server)
{
	open_server(w, ret_client, ret_server);
	pair_http2_open(*ret_client, *ret_server, true, false);
}

static void open_http2_client(struct worker *w, int *ret_client, int *ret_server)
{
	open_client(w, ret_client, ret_server);
	pair_http2_open(*ret_client, *ret_server, false, false);
}

static void open_grpc_server(struct worker *w, int *ret_client, int *ret_server)
{
	open_server(w, ret_client, ret_server);
	pair_http2_open(*ret_client, *ret_server, true, true);
}

static void open_grpc_client(struct worker *w, int *ret_client, int *ret_server)
{
	open_client(w, ret_client, ret_server);
	pair_http2_open(*ret_client, *ret_server, false, true);
}

/* -- a store: both sides say what comes before the first command -- */

static void pass(const struct pair_bytes *b, ssize_t (*write_)(int, const void *, size_t), int from,
		 ssize_t (*read_)(int, void *, size_t), int to)
{
	char got[1024];

	expect(write_(from, b->bytes, b->len));
	expect(read_(to, got, sizeof(got)));
}

static void open_store(struct worker *w, const struct measure_libc *client, const struct measure_libc *server, int *ret_client,
		       int *ret_server)
{
	open_tcp(w, client, server, ret_client, ret_server);
	for (unsigned i = 0; w->store->opening[i].len; i++) {
		const struct pair_bytes *b = &w->store->opening[i];

		if ((i & 1) == w->store->server_first)
			pass(b, client->write, *ret_client, server->read, *ret_server);
		else
			pass(b, server->write, *ret_server, client->read, *ret_client);
	}
}

static void open_store_server(struct worker *w, int *ret_client, int *ret_server)
{
	open_store(w, &measure_raw, &measure_plt, ret_client, ret_server);
}

static void open_store_client(struct worker *w, int *ret_client, int *ret_server)
{
	open_store(w, &measure_plt, &measure_raw, ret_client, ret_server);
}

static void open_pipe(struct worker *w, int *ret_client, int *ret_server)
{
	int fds[2];

	if (pipe(fds))
		measure_die("pipe");
	*ret_client = fds[1];
	*ret_server = fds[0];
}

/* -- one exchange; each returns the ticks spent in the observed side's calls -- */

static __thread char buf[4096];

static uint32_t serve(struct worker *w, const struct measure_libc *k, unsigned conn, const struct pair_bytes *command,
		      const struct pair_bytes *answer)
{
	int client = w->client[conn], server = w->server[conn];
	uint64_t t0, t1;

	expect(measure_raw.write(client, command->bytes, command->len));
	t0 = __rdtsc();
	expect(k->read(server, buf, sizeof(buf)));
	expect(k->write(server, answer->bytes, answer->len));
	t1 = __rdtsc();
	expect(measure_raw.read(client, buf, sizeof(buf)));
	return (uint32_t)(t1 - t0);
}

static uint32_t ask(struct worker *w, const struct measure_libc *k, unsigned conn, const struct pair_bytes *command,
		    const struct pair_bytes *answer)
{
	int client = w->client[conn], server = w->server[conn];
	uint64_t t0, t1, t2, t3;

	t0 = __rdtsc();
	expect(k->write(client, command->bytes, command->len));
	t1 = __rdtsc();
	expect(measure_raw.read(server, buf, sizeof(buf)));
	expect(measure_raw.write(server, answer->bytes, answer->len));
	t2 = __rdtsc();
	expect(k->read(client, buf, sizeof(buf)));
	t3 = __rdtsc();
	return (uint32_t)(t1 - t0 + t3 - t2);
}

static uint32_t exchange_server(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	const struct pair_bytes request = { measure_request, strlen(measure_request) };

	return serve(w, k, conn, &request, &(struct pair_bytes){ measure_response, measure_response_len });
}

static uint32_t exchange_client(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	const struct pair_bytes request = { measure_request_untraced, strlen(measure_request_untraced) };

	return ask(w, k, conn, &request, &(struct pair_bytes){ measure_response, measure_response_len });
}

static uint32_t exchange_store_server(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return serve(w, k, conn, &w->store->command, &w->store->answer);
}

static uint32_t exchange_store_client(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return ask(w, k, conn, &w->store->command, &w->store->answer);
}

static uint32_t exchange_tls_server(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return pair_tls_server(w->client[conn], w->server[conn], k == &measure_plt);
}

static uint32_t exchange_tls_client(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return pair_tls_client(w->client[conn], w->server[conn], k == &measure_plt);
}

static uint32_t exchange_http2_server(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return pair_http2_server(w->client[conn], w->server[conn], k, false);
}

static uint32_t exchange_http2_client(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return pair_http2_client(w->client[conn], w->server[conn], k, false);
}

static uint32_t exchange_grpc_server(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return pair_http2_server(w->client[conn], w->server[conn], k, true);
}

static uint32_t exchange_grpc_client(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	return pair_http2_client(w->client[conn], w->server[conn], k, true);
}

static uint32_t exchange_pipe(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	uint64_t t0 = __rdtsc();

	expect(k->write(w->client[conn], measure_response, measure_response_len));
	expect(k->read(w->server[conn], buf, sizeof(buf)));
	return (uint32_t)(__rdtsc() - t0);
}

static uint32_t exchange_accept(struct worker *w, const struct measure_libc *k, unsigned conn)
{
	static const struct linger reset = { 1, 0 }; /* no TIME_WAIT: ports would run out */
	int c = measure_raw.socket(AF_INET, SOCK_STREAM, 0), s;
	uint64_t t0, t1;

	if (c < 0 || measure_raw.connect(c, (const void *)&w->at, sizeof(w->at)))
		measure_die("connect");
	setsockopt(c, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	t0 = __rdtsc();
	s = k->accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	k->close(s);
	t1 = __rdtsc();
	if (s < 0)
		measure_die("accept");
	measure_raw.close(c);
	return (uint32_t)(t1 - t0);
}

static const struct what whats[] = {
	{ "server", open_server, exchange_server },
	{ "client", open_client, exchange_client },
	{ "tls-server", open_tls_server, exchange_tls_server },
	{ "tls-client", open_tls_client, exchange_tls_client },
	{ "http2-server", open_http2_server, exchange_http2_server },
	{ "http2-client", open_http2_client, exchange_http2_client },
	{ "grpc-server", open_grpc_server, exchange_grpc_server },
	{ "grpc-client", open_grpc_client, exchange_grpc_client },
	{ "pipe", open_pipe, exchange_pipe },
	{ "accept", NULL, exchange_accept },
};
static const struct what store_whats[] = {
	{ "-server", open_store_server, exchange_store_server },
	{ "-client", open_store_client, exchange_store_client },
};

/* -- rounds -- */

static void note_round(struct worker *w, unsigned round, uint32_t *ticks[], const unsigned n[])
{
	for (unsigned arm = 0; arm < ARMS; arm++) {
		measure_sort_u32(ticks[arm], n[arm]);
		for (unsigned s = 0; s < STATS; s++)
			w->stat[s][arm][round] =
				ticks[arm][(size_t)n[arm] * stat_percent[s] / 100] * w->ns_per_tick;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	uint32_t *ticks[ARMS];
	struct rusage usage;

	measure_pin(w->cpu);
	for (unsigned arm = 0; arm < ARMS; arm++)
		ticks[arm] = calloc(w->requests * 2, sizeof(uint32_t));
	for (unsigned round = 0; round <= w->rounds; round++) {
		unsigned n[ARMS] = { 0, 0 };

		for (unsigned i = 0; i < w->requests * 2; i++) {
			uint64_t r = measure_random(&w->random);
			unsigned arm = r & 1, conn = (unsigned)((r >> 8) % w->conns);

			ticks[arm][n[arm]++] = w->what->exchange(
				w, arm == PLT ? &measure_plt : &measure_raw, conn);
		}
		if (round) /* the first warms up */
			note_round(w, round - 1, ticks, n);
	}
	getrusage(RUSAGE_THREAD, &usage);
	w->preempted = usage.ru_nivcsw;
	return NULL;
}

static void ask_routes(const struct worker *w, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char request[128];
		int len = snprintf(request, sizeof(request),
				   "GET /some/route/%u HTTP/1.1\r\nHost: a\r\n\r\n", i);

		expect(measure_raw.write(w->client[0], request, (size_t)len));
		expect(read(w->server[0], buf, sizeof(buf)));
		expect(write(w->server[0], measure_response, measure_response_len));
		expect(measure_raw.read(w->client[0], buf, sizeof(buf)));
	}
}

/* -- the report -- */

static void print_stat(unsigned stat, const struct worker *w, unsigned workers)
{
	double added[ROUNDS_MAX * WORKERS_MAX], base[ROUNDS_MAX * WORKERS_MAX];
	unsigned n = 0;

	for (unsigned t = 0; t < workers; t++)
		for (unsigned r = 0; r < w[t].rounds; r++, n++) {
			added[n] = w[t].stat[stat][PLT][r] - w[t].stat[stat][RAW][r];
			base[n] = w[t].stat[stat][RAW][r];
		}
	double a = measure_median(added, n), b = measure_median(base, n);

	printf(", \"%s\": {\"added_ns\": %.1f, \"raw_ns\": %.1f, \"ratio\": %.4f}",
	       stat_names[stat], a, b, (b + a) / b);
}

static void print_report(const char *name, const struct worker *w, unsigned workers, double before, double after)
{
	double exchanges = (double)w->requests * 2 * (w->rounds + 1) * workers, preempted = 0;

	for (unsigned t = 0; t < workers; t++)
		preempted += (double)w[t].preempted;
	printf("{\"what\": \"%s\", \"conns\": %u, \"threads\": %u, \"getppid_ns\": %.1f, "
	       "\"anchor_drift\": %.3f, \"preempted\": %.5f",
	       name, w->conns, workers, before, after / before, preempted / exchanges);
	for (unsigned s = 0; s < STATS; s++)
		print_stat(s, w, workers);
	printf("}\n");
}

static void open_worker(struct worker *w)
{
	w->listener = measure_listen(&w->at, 0);
	w->client = calloc(w->conns, sizeof(int));
	w->server = calloc(w->conns, sizeof(int));
	for (unsigned i = 0; w->what->open && i < w->conns; i++)
		w->what->open(w, &w->client[i], &w->server[i]);
}

static void find_what(struct worker *w, const char *name)
{
	const char *side = strrchr(name, '-');

	for (unsigned i = 0; i < MEASURE_COUNT(whats); i++)
		if (!strcmp(whats[i].name, name))
			w->what = &whats[i];
	for (unsigned i = 0; side && !w->what && i < MEASURE_COUNT(store_whats); i++)
		if (!strcmp(store_whats[i].name, side)) {
			w->store = pair_store_find(name, (size_t)(side - name));
			w->what = w->store ? &store_whats[i] : NULL;
		}
}

int main(int argc, char **argv)
{
	static struct worker w[WORKERS_MAX];
	const char *name = measure_option(argc, argv, "--what", "server");
	unsigned workers = (unsigned)measure_number(argc, argv, "--threads", 1);
	int cpu = measure_number(argc, argv, "--cpu", -1);
	struct worker first = { .conns = (unsigned)measure_number(argc, argv, "--conns", 1),
				.requests = (unsigned)measure_number(argc, argv, "--requests",
								     15000),
				.rounds = (unsigned)measure_number(argc, argv, "--rounds", 7) };
	double before;

	find_what(&first, name);
	if (!first.what || !first.conns || !first.requests || !first.rounds ||
	    first.rounds > ROUNDS_MAX || !workers || workers > WORKERS_MAX) {
		fprintf(stderr, "pair: bad arguments, see the head of pair.c\n");
		return 2;
	}
	measure_find_libc();
	measure_raise_fd_limit();
	measure_make_response();
	first.ns_per_tick = measure_ns_per_tick();
	before = measure_anchor_ns(first.ns_per_tick);
	for (unsigned i = 0; i < workers; i++) {
		w[i] = first;
		w[i].random = measure_seed() + i;
		w[i].cpu = cpu < 0 ? -1 : cpu + (int)i;
		open_worker(&w[i]); /* before we are pinned: the library's thread stays free */
	}
	ask_routes(w, (unsigned)measure_number(argc, argv, "--routes", 0));
	for (unsigned i = 0; i < workers; i++)
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			measure_die("pthread_create");
	for (unsigned i = 0; i < workers; i++)
		pthread_join(w[i].thread, NULL);
	print_report(name, w, workers, before, measure_anchor_ns(first.ns_per_tick));
	return 0;
}
