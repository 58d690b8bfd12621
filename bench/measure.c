#include "measure.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HEADERS \
	"GET /api/items/12345?expand=owner&limit=20 HTTP/1.1\r\n" \
	"Host: shop.example.com:8080\r\n" \
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n" \
	"Accept: application/json, text/plain, */*\r\n" \
	"Accept-Language: en-US,en;q=0.9\r\n" \
	"Accept-Encoding: gzip, deflate\r\n" \
	"Connection: keep-alive\r\n" \
	"X-Request-Start: t=1700000000.123\r\n"

const char measure_request[] = HEADERS
	"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
const char measure_request_untraced[] = HEADERS "\r\n";
char measure_response[1024];
size_t measure_response_len;

struct measure_libc measure_raw, measure_plt = { read, write, socket, connect, accept4, close };

void measure_die(const char *what)
{
	perror(what);
	exit(2);
}

void measure_find_libc(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY);

	*(void **)&measure_raw.read = dlsym(libc, "read");
	*(void **)&measure_raw.write = dlsym(libc, "write");
	*(void **)&measure_raw.socket = dlsym(libc, "socket");
	*(void **)&measure_raw.connect = dlsym(libc, "connect");
	*(void **)&measure_raw.accept4 = dlsym(libc, "accept4");
	*(void **)&measure_raw.close = dlsym(libc, "close");
}

void measure_make_response(void)
{
	static const char head[] = "HTTP/1.1 200 OK\r\n"
				   "Server: bench\r\n"
				   "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
				   "Content-Type: application/json\r\n"
				   "Content-Length: 700\r\n"
				   "Connection: keep-alive\r\n\r\n";

	memcpy(measure_response, head, sizeof(head) - 1);
	memset(measure_response + sizeof(head) - 1, 'x', 700);
	measure_response_len = sizeof(head) - 1 + 700;
}

/* -- time -- */

uint64_t measure_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double measure_ns_per_tick(void)
{
	uint64_t t0 = measure_now_ns(), c0 = __rdtsc(), t1;

	do
		t1 = measure_now_ns();
	while (t1 - t0 < 50000000);
	return (double)(t1 - t0) / (double)(__rdtsc() - c0);
}

double measure_anchor_ns(double ns_per_tick)
{
	enum { BATCHES = 2001, CALLS = 8 };
	static uint32_t ticks[BATCHES];

	for (int i = 0; i < BATCHES; i++) {
		uint64_t start = __rdtsc();

		for (int k = 0; k < CALLS; k++)
			syscall(SYS_getppid);
		ticks[i] = (uint32_t)((__rdtsc() - start) / CALLS);
	}
	measure_sort_u32(ticks, BATCHES);
	return ticks[BATCHES / 2] * ns_per_tick;
}

void measure_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		measure_die("sched_setaffinity");
}

void measure_raise_fd_limit(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

/* -- numbers -- */

uint64_t measure_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t measure_seed(void) { return measure_now_ns() * 1000003u + (uint64_t)getpid() * 7919u; }

void measure_shuffle(unsigned *v, unsigned n, uint64_t *state)
{
	for (unsigned i = n; i > 1; i--) {
		unsigned k = (unsigned)(measure_random(state) % i), other = v[k];

		v[k] = v[i - 1];
		v[i - 1] = other;
	}
}

static int measure_by_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure_by_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

double measure_median(double *v, size_t n)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), measure_by_double);
	return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

void measure_sort_u32(uint32_t *v, size_t n) { qsort(v, n, sizeof(*v), measure_by_u32); }

/* -- sockets -- */

int measure_listen(struct sockaddr_in *ret_at, unsigned port)
{
	socklen_t len = sizeof(*ret_at);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	memset(ret_at, 0, sizeof(*ret_at));
	ret_at->sin_family = AF_INET;
	ret_at->sin_port = htons((uint16_t)port);
	ret_at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (void *)ret_at, len) || listen(fd, 4096) ||
	    getsockname(fd, (void *)ret_at, &len))
		measure_die("listener");
	return fd;
}

bool measure_write_all(int fd, const void *from, size_t len)
{
	for (const char *p = from; len;) {
		ssize_t n = write(fd, p, len);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

bool measure_read_all(int fd, void *to, size_t len)
{
	for (char *p = to; len;) {
		ssize_t n = read(fd, p, len);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* -- command line -- */

const char *measure_option(int argc, char **argv, const char *name, const char *otherwise)
{
	for (int i = 1; i + 1 < argc; i += 2)
		if (!strcmp(argv[i], name))
			otherwise = argv[i + 1];
	return otherwise;
}

int measure_number(int argc, char **argv, const char *name, int otherwise)
{
	const char *text = measure_option(argc, argv, name, NULL);

	return text ? atoi(text) : otherwise;
}
