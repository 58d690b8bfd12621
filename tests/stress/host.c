/* A server and its clients in one program, as hostile to a preloaded library as a program may be:
 * threads by the hundred on small stacks, and, in chaos.c, forks, signal handlers that do I/O,
 * cancelled threads, descriptors passed around and closed in ranges, dlopen. Requests and answers
 * follow from their number, so every byte is known. Runs bare, with the library preloaded, or with
 * the library linked in (sanitizers).
 *
 * Usage: host [seconds [clients [stack bytes]]]
 * STRESS_HOLD=file: stays until that file exists. STRESS_WITHOUT=forks,signals,…: leaves kinds of
 * disturbance out. */
#include "tests/stress/host.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

struct host_accounts *host;
_Atomic bool host_over;
struct sockaddr_in host_addr;

#define HEAD_MAX 1500

static int listener;
static _Atomic bool closed; /* the acceptor is to end */
static pthread_attr_t small;

/* -- bytes -- */

static size_t body_len(uint64_t number)
{
	return number % 7 ? number * 2654435761u % 700 : number * 2654435761u % HOST_BODY_MAX;
}

static char body_at(uint64_t number, size_t at)
{
	return (char)('a' + (number * 31 + at * 7) % 26);
}

bool host_send_all(int fd, const void *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		HOST_CHECK((size_t)n <= len - at);
		at += (size_t)n;
	}
	return true;
}

static bool send_body(int fd, uint64_t number)
{
	char piece[1024];
	size_t len = body_len(number);

	for (size_t at = 0; at < len; at += sizeof(piece)) {
		size_t step = len - at < sizeof(piece) ? len - at : sizeof(piece);

		for (size_t i = 0; i < step; i++)
			piece[i] = body_at(number, at + i);
		if (!host_send_all(fd, piece, step))
			return false;
	}
	return true;
}

static ssize_t receive(int fd, void *to, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, to, len, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Reads and checks a body of which `have` bytes are at `first` already. */
static bool receive_body(int fd, uint64_t number, size_t len, const char *first, size_t have)
{
	char piece[HEAD_MAX];

	for (size_t at = 0; at < len;) {
		ssize_t n = (ssize_t)have;

		if (have)
			memcpy(piece, first, have);
		else
			n = receive(fd, piece, len - at < sizeof(piece) ? len - at : sizeof(piece));
		have = 0;
		if (n <= 0)
			return false;
		for (size_t i = 0; i < (size_t)n; i++)
			if (piece[i] != body_at(number, at + i)) {
				HOST_CHECK(!"a byte of a body differs");
				return false;
			}
		at += (size_t)n;
	}
	return true;
}

/* A header block; what came behind it is left at the end of buf. returns its length, 0 at the end
 * of the stream */
static size_t receive_head(int fd, char *buf, size_t cap, size_t *ret_have)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = receive(fd, buf + have, cap - 1 - have);
		char *end;

		if (n <= 0) {
			HOST_CHECK(!have || host_over || errno == ECONNRESET);
			return 0;
		}
		have += (size_t)n;
		buf[have] = '\0';
		end = strstr(buf, "\r\n\r\n");
		if (end) {
			*ret_have = have;
			return (size_t)(end - buf) + 4;
		}
		if (have == cap - 1) {
			HOST_CHECK(!"a header block is too long");
			return 0;
		}
	}
}

/* What the library adds; a program without it never sees one. */
static size_t without_traceparent(char *head, size_t len)
{
	char *at = strstr(head, "traceparent: 00-"), *end = at ? strstr(at, "\r\n") : NULL;

	if (!at || !end || end + 2 > head + len)
		return len;
	HOST_CHECK(end - at == 13 + 55);
	atomic_fetch_add(&host->headers, 1);
	memmove(at, end + 2, (size_t)(head + len - end) - 2);
	return len - (size_t)(end + 2 - at);
}

static int request_head(char *to, size_t cap, const char *path, uint64_t number)
{
	return snprintf(
		to, cap,
		"POST %s HTTP/1.1\r\nHost: stress\r\nX-Number: %lu\r\nContent-Length: %zu\r\n\r\n",
		path, (unsigned long)number, body_len(number));
}

static int response_head(char *to, size_t cap, uint64_t number)
{
	return snprintf(to, cap, "HTTP/1.1 200 OK\r\nX-Number: %lu\r\nContent-Length: %zu\r\n\r\n",
			(unsigned long)number, body_len(number + 1));
}

/* -- client -- */

void host_no_delay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int host_connect(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	while (connect(fd, (const struct sockaddr *)to, sizeof(*to))) {
		if (errno == EINTR || errno == EALREADY) /* the same attempt goes on */
			continue;
		if (errno == EISCONN)
			break;
		close(fd);
		return -1;
	}
	host_no_delay(fd);
	return fd;
}

bool host_call(int fd, const char *path, uint64_t number)
{
	char buf[HEAD_MAX], want[200];
	int len = request_head(buf, sizeof(buf), path, number),
	    want_len = response_head(want, sizeof(want), number);
	size_t head, have;

	if (!host_send_all(fd, buf, (size_t)len) || !send_body(fd, number))
		return false;
	head = receive_head(fd, buf, sizeof(buf), &have);
	if (!head)
		return false;
	HOST_CHECK(head == (size_t)want_len && !memcmp(buf, want, head));
	if (!receive_body(fd, number + 1, body_len(number + 1), buf + head, have - head))
		return false;
	if (!strcmp(path, "/exact"))
		atomic_fetch_add(&host->exact_called, 1);
	return true;
}

static void *client(void *arg)
{
	uint64_t number = (uint64_t)(uintptr_t)arg << 32 | (uint64_t)getpid() << 16;

	while (!host_over) {
		int fd = host_connect(&host_addr);

		HOST_CHECK(fd >= 0);
		for (unsigned i = 0; fd >= 0 && i < 20 && !host_over; i++)
			HOST_CHECK(host_call(fd, "/exact", number++));
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* -- server -- */

static bool serve_one(int fd)
{
	char buf[HEAD_MAX], want[200], path[16];
	size_t have, head = receive_head(fd, buf, sizeof(buf), &have), host_head;
	unsigned long number = 0;
	const char *at;
	int len;

	if (!head)
		return false;
	at = strstr(buf, "X-Number: ");
	HOST_CHECK(at && sscanf(buf, "POST %15s", path) == 1);
	if (!at)
		return false;
	number = strtoul(at + 10, NULL, 10);
	/* The body lies behind the header: checked before the header is put right. */
	if (!receive_body(fd, number, body_len(number), buf + head, have - head))
		return false;
	host_head = without_traceparent(buf, head);
	len = request_head(want, sizeof(want), path, number);
	HOST_CHECK(host_head == (size_t)len && !memcmp(buf, want, host_head));
	len = response_head(buf, sizeof(buf), number);
	if (!strcmp(path, "/exact")) /* before the client can know */
		atomic_fetch_add(&host->exact_served, 1);
	return host_send_all(fd, buf, (size_t)len) && send_body(fd, number + 1);
}

void host_serve(int fd)
{
	while (serve_one(fd))
		;
	close(fd);
}

static void *serve_thread(void *arg)
{
	host_serve((int)(intptr_t)arg);
	return NULL;
}

int host_listen(struct sockaddr_in *ret_addr)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	HOST_CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
		   !listen(fd, 256));
	HOST_CHECK(!getsockname(fd, (struct sockaddr *)&addr, &len));
	*ret_addr = addr;
	return fd;
}

static void *acceptor(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		pthread_t t;

		if (fd < 0 && errno == EINTR)
			continue;
		if (fd < 0 || closed) {
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		host_no_delay(fd);
		atomic_fetch_add(&host->threads, 1);
		if (pthread_create(&t, &small, serve_thread, (void *)(intptr_t)fd))
			close(fd);
		else
			pthread_detach(t);
	}
}

/* -- main -- */

static void hold(void)
{
	const char *file = getenv("STRESS_HOLD");

	fflush(stdout);
	for (unsigned i = 0; file && access(file, F_OK) && i < 6000; i++)
		usleep(10000);
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 5,
		 clients = argc > 2 ? (unsigned)atoi(argv[2]) : 4;
	size_t stack = argc > 3 ? (size_t)atol(argv[3]) : 32768;
	time_t end = time(NULL) + seconds;
	pthread_t accepts, t[64];

	host = mmap(NULL, sizeof(*host), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (host == MAP_FAILED || clients > 64)
		return 2;
	pthread_attr_init(&small);
	if (pthread_attr_setstacksize(&small, stack))
		return 2;
	listener = host_listen(&host_addr);
	pthread_create(&accepts, NULL, acceptor, NULL);
	for (unsigned i = 0; i < clients; i++)
		pthread_create(&t[i], &small, client, (void *)(uintptr_t)(i + 1));
	chaos_start(stack);
	while (time(NULL) < end)
		usleep(50000);
	atomic_store(&host_over, true);
	for (unsigned i = 0; i < clients; i++)
		pthread_join(t[i], NULL);
	chaos_stop();
	atomic_store(&closed, true);
	close(host_connect(&host_addr));
	pthread_join(accepts, NULL);
	HOST_CHECK(host->exact_served == host->exact_called);
	printf("exact %lu chaos %lu signals %lu cancels %lu forks %lu passed %lu ranges %lu loads "
	       "%lu threads %lu headers %lu "
	       "bad %lu\n",
	       (unsigned long)host->exact_called, (unsigned long)host->chaos,
	       (unsigned long)host->signals, (unsigned long)host->cancels,
	       (unsigned long)host->forks, (unsigned long)host->passed, (unsigned long)host->ranges,
	       (unsigned long)host->loads, (unsigned long)host->threads,
	       (unsigned long)host->headers, (unsigned long)host->bad);
	hold();
	return host->bad != 0;
}
