/* P1, the in-process pair: this program holds both ends of loopback connections. For each request a random bit
 * chooses whether the observed side's calls go through the PLT (and so through a preloaded library) or straight
 * to libc. Medians of both arms, over rounds; resolution 10 to 20 ns. Without a preload it is the A/A control.
 *
 * usage: pair [--what server|client|plain|accept] [--conns N] [--threads N] [--requests N] [--rounds N] [--cpu N]
 *   server  read a request, write a response, on accepted connections
 *   client  write a request, read a response, on connected connections (injection included)
 *   plain   read and write on a socketpair nobody tracks
 *   accept  accept4 and close
 * prints one JSON object */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static const char request[] =
	"GET /api/items/12345?expand=owner&limit=20 HTTP/1.1\r\n"
	"Host: shop.example.com:8080\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
	"Accept: application/json, text/plain, */*\r\n"
	"Accept-Language: en-US,en;q=0.9\r\n"
	"Accept-Encoding: gzip, deflate\r\n"
	"Connection: keep-alive\r\n"
	"X-Request-Start: t=1700000000.123\r\n"
	"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
	"\r\n";
static const char request_untraced[] =
	"GET /api/items/12345?expand=owner&limit=20 HTTP/1.1\r\n"
	"Host: shop.example.com:8080\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n"
	"Accept: application/json, text/plain, */*\r\n"
	"Accept-Language: en-US,en;q=0.9\r\n"
	"Accept-Encoding: gzip, deflate\r\n"
	"Connection: keep-alive\r\n"
	"X-Request-Start: t=1700000000.123\r\n"
	"\r\n";
static char response[1024];
static size_t response_len;

struct calls {
	ssize_t (*read)(int, void *, size_t);
	ssize_t (*write)(int, const void *, size_t);
	int (*accept4)(int, struct sockaddr *, socklen_t *, int);
	int (*close)(int);
};
static struct calls raw, plt = { read, write, accept4, close };

static struct {
	const char *what;
	int conns, threads, requests, rounds, cpu;
} opt = { "server", 1, 1, 15000, 7, -1 };

struct arm {
	uint32_t *ticks;
	size_t n;
};

struct worker {
	pthread_t thread;
	int cpu;
	int listener;
	int *client, *server;
	uint64_t rng;
	double ns_per_tick;
	double median[2][32], p99[2][32], p90[2][32];
};

static uint64_t next_random(struct worker *w)
{
	uint64_t z = (w->rng += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double ns_per_tick(void)
{
	struct timespec a, b;
	uint64_t t0, t1;

	clock_gettime(CLOCK_MONOTONIC, &a);
	t0 = __rdtsc();
	do
		clock_gettime(CLOCK_MONOTONIC, &b);
	while ((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec < 50000000);
	t1 = __rdtsc();
	return (double)((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec) / (double)(t1 - t0);
}

/* The run's yardstick: the cheapest system call. */
static double anchor_ns(double scale)
{
	static uint32_t t[2001];

	for (int i = 0; i < 2001; i++) {
		uint64_t a = __rdtsc();

		for (int k = 0; k < 8; k++)
			syscall(SYS_getppid);
		t[i] = (uint32_t)((__rdtsc() - a) / 8);
	}
	qsort(t, 2001, sizeof(*t), compare);
	return t[1000] * scale;
}

static void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int open_listener(struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	memset(at, 0, sizeof(*at));
	at->sin_family = AF_INET;
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) || bind(fd, (void *)at, len) ||
	    listen(fd, 4096) || getsockname(fd, (void *)at, &len))
		die("listener");
	return fd;
}

/* Both ends. Only the observed side is made by calls the preload sees. */
static void open_pair(const struct sockaddr_in *at, int listener, int *ret_client, int *ret_server)
{
	int (*raw_connect)(int, const struct sockaddr *, socklen_t) =
		(int (*)(int, const struct sockaddr *, socklen_t))dlsym(dlopen("libc.so.6", RTLD_LAZY), "connect");
	bool client_seen = !strcmp(opt.what, "client");
	int one = 1, c;

	if (!strcmp(opt.what, "plain")) {
		int fd[2];

		if (syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, fd))
			die("socketpair");
		*ret_client = fd[0];
		*ret_server = fd[1];
		return;
	}
	c = socket(AF_INET, SOCK_STREAM, 0);
	if (c < 0 || (client_seen ? connect : raw_connect)(c, (const void *)at, sizeof(*at)))
		die("connect");
	setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*ret_client = c;
	*ret_server = (client_seen ? raw : plt).accept4(listener, NULL, NULL, 0);
	if (*ret_server < 0)
		die("accept");
}

static void expect(ssize_t n, const char *what)
{
	if (n <= 0)
		die(what);
}

/* One exchange; returns ticks spent in the observed side's two calls. */
static uint32_t exchange(const struct calls *k, int client, int server, bool client_seen)
{
	static __thread char buf[4096];
	uint64_t t0, t1, t2, t3;

	if (client_seen) {
		t0 = __rdtsc();
		expect(k->write(client, request_untraced, sizeof(request_untraced) - 1), "write");
		t1 = __rdtsc();
		expect(raw.read(server, buf, sizeof(buf)), "read");
		expect(raw.write(server, response, response_len), "write");
		t2 = __rdtsc();
		expect(k->read(client, buf, sizeof(buf)), "read");
		t3 = __rdtsc();
	} else {
		expect(raw.write(client, request, sizeof(request) - 1), "write");
		t0 = __rdtsc();
		expect(k->read(server, buf, sizeof(buf)), "read");
		t1 = __rdtsc();
		t2 = t1;
		expect(k->write(server, response, response_len), "write");
		t3 = __rdtsc();
		expect(raw.read(client, buf, sizeof(buf)), "read");
	}
	return (uint32_t)(t1 - t0 + t3 - t2);
}

static uint32_t accept_close(const struct calls *k, const struct sockaddr_in *at, int listener)
{
	int (*raw_connect)(int, const struct sockaddr *, socklen_t) =
		(int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_DEFAULT, "connect");
	static int (*connect_)(int, const struct sockaddr *, socklen_t);
	struct linger hard = { 1, 0 };
	uint64_t t0, t1;
	int c, s;

	if (!connect_)
		connect_ = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(dlopen("libc.so.6", RTLD_LAZY),
										  "connect");
	(void)raw_connect;
	c = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	if (c < 0 || connect_(c, (const void *)at, sizeof(*at)))
		die("connect");
	setsockopt(c, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	t0 = __rdtsc();
	s = k->accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	k->close(s);
	t1 = __rdtsc();
	if (s < 0)
		die("accept");
	syscall(SYS_close, c);
	return (uint32_t)(t1 - t0);
}

static void finish_arm(struct arm *a, double scale, double *ret_median, double *ret_p90, double *ret_p99)
{
	qsort(a->ticks, a->n, sizeof(*a->ticks), compare);
	*ret_median = a->ticks[a->n / 2] * scale;
	*ret_p90 = a->ticks[a->n * 9 / 10] * scale;
	*ret_p99 = a->ticks[a->n * 99 / 100] * scale;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct sockaddr_in at;
	bool client_seen = !strcmp(opt.what, "client"), accepts = !strcmp(opt.what, "accept");
	struct arm arm[2] = { { calloc((size_t)opt.requests * 2 + 16, 4), 0 }, { calloc((size_t)opt.requests * 2 + 16, 4), 0 } };

	pin(w->cpu);
	w->listener = open_listener(&at);
	w->client = calloc((size_t)opt.conns, sizeof(int));
	w->server = calloc((size_t)opt.conns, sizeof(int));
	for (int i = 0; !accepts && i < opt.conns; i++)
		open_pair(&at, w->listener, &w->client[i], &w->server[i]);
	w->ns_per_tick = ns_per_tick();
	for (int round = -1; round < opt.rounds; round++) {
		arm[0].n = arm[1].n = 0;
		for (int i = 0; i < opt.requests * 2; i++) {
			uint64_t r = next_random(w);
			int which = r & 1, c = (int)((r >> 8) % (uint64_t)opt.conns);
			const struct calls *k = which ? &plt : &raw;
			uint32_t t = accepts ? accept_close(k, &at, w->listener) :
					       exchange(k, w->client[c], w->server[c], client_seen);

			arm[which].ticks[arm[which].n++] = t;
		}
		if (round < 0)
			continue;
		for (int k = 0; k < 2; k++)
			finish_arm(&arm[k], w->ns_per_tick, &w->median[k][round], &w->p90[k][round], &w->p99[k][round]);
	}
	return NULL;
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median_of(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare_double);
	return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void print_stat(const char *name, struct worker *w, double (*of)[32][2])
{
	double diff[32 * 8], base[32 * 8];
	int n = 0;

	(void)of;
	for (int t = 0; t < opt.threads; t++)
		for (int r = 0; r < opt.rounds; r++, n++) {
			double (*m)[32] = !strcmp(name, "p50") ? w[t].median : !strcmp(name, "p90") ? w[t].p90 : w[t].p99;

			diff[n] = m[1][r] - m[0][r];
			base[n] = m[0][r];
		}
	double d = median_of(diff, n), b = median_of(base, n);

	printf("\"%s\": {\"added_ns\": %.0f, \"raw_ns\": %.0f, \"ratio\": %.4f}", name, d, b, (b + d) / b);
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char *name = argv[i], *value = argv[i + 1];

		if (!strcmp(name, "--what"))
			opt.what = value;
		else if (!strcmp(name, "--conns"))
			opt.conns = atoi(value);
		else if (!strcmp(name, "--threads"))
			opt.threads = atoi(value);
		else if (!strcmp(name, "--requests"))
			opt.requests = atoi(value);
		else if (!strcmp(name, "--rounds"))
			opt.rounds = atoi(value);
		else if (!strcmp(name, "--cpu"))
			opt.cpu = atoi(value);
		else {
			fprintf(stderr, "pair: unknown option %s\n", name);
			exit(2);
		}
	}
	if (opt.rounds < 1 || opt.rounds > 32 || opt.threads < 1 || opt.threads > 8 || opt.conns < 1) {
		fprintf(stderr, "pair: rounds 1-32, threads 1-8, conns >= 1\n");
		exit(2);
	}
}

static void raise_fd_limit(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

int main(int argc, char **argv)
{
	static struct worker w[8];
	void *libc = dlopen("libc.so.6", RTLD_LAZY);
	double before, after;

	parse(argc, argv);
	raise_fd_limit();
	raw = (struct calls){ (ssize_t(*)(int, void *, size_t))dlsym(libc, "read"),
			      (ssize_t(*)(int, const void *, size_t))dlsym(libc, "write"),
			      (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(libc, "accept4"),
			      (int (*)(int))dlsym(libc, "close") };
	response_len = (size_t)sprintf(response, "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
				       "Content-Type: application/json\r\nContent-Length: 700\r\n"
				       "Connection: keep-alive\r\n\r\n");
	memset(response + response_len, 'x', 700);
	response_len += 700;
	before = anchor_ns(ns_per_tick());
	for (int i = 0; i < opt.threads; i++) {
		w[i].rng = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid() * 7919u + (uint64_t)i;
		w[i].cpu = opt.cpu < 0 ? -1 : opt.cpu + i;
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (int i = 0; i < opt.threads; i++)
		pthread_join(w[i].thread, NULL);
	after = anchor_ns(ns_per_tick());
	printf("{\"what\": \"%s\", \"conns\": %d, \"threads\": %d, \"getppid_ns\": %.0f, \"getppid_drift\": %.3f, ", opt.what,
	       opt.conns, opt.threads, before, after / before);
	print_stat("p50", w, NULL);
	printf(", ");
	print_stat("p90", w, NULL);
	printf(", ");
	print_stat("p99", w, NULL);
	printf("}\n");
	return 0;
}
