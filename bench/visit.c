/* P2, the client of interleaved servers: visits them in a fresh random order per block, asks each
 * of them some requests, forgets the first of these (they pay for the switch) and compares the
 * medians.
 *
 * visit --ports P,P,… [--kind http|http2|grpc|redis] [--path /] [--conns N] [--blocks N] [--requests N]
 * [--discard N] [--cpu N] [--tls 1] With several connections all of them have a request under way; a sample
 * is the time of one such wave over their number. The first port is what the others are compared
 * with. Prints one JSON object. */
#include "measure.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVERS_MAX 8
#define CONNS_MAX   64
#define BLOCK_MAX   64

#define HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* SETTINGS, and a window for the whole connection as large as there is; a stream's is enough for its page. */
#define HTTP2_FRAMES  "\0\0\0\4\0\0\0\0\0" "\0\0\4\10\0\0\0\0\0\x7f\xff\0\0"
#define HTTP2_HEAD    9
#define HTTP2_HEADERS 1

static struct server {
	unsigned port;
	int fd[CONNS_MAX];
	SSL *tls[CONNS_MAX]; /* NULL: in clear text */
	uint32_t stream[CONNS_MAX]; /* HTTP/2: of the last request */
	char rest[CONNS_MAX][256];  /* gRPC: read, but not of the last answer */
	size_t rest_len[CONNS_MAX];
	size_t reply_len;
	uint32_t *ns; /* every sample kept */
	size_t n;
	double *block; /* median of each block */
} servers[SERVERS_MAX];
static unsigned server_count, conns, blocks, requests, discard;
static char request[1024], reply[65536];
static size_t request_len;
static size_t request_data; /* gRPC: where its second frame begins */
static bool http2;

static int dial(unsigned port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0 || connect(fd, (void *)&at, sizeof(at)))
		measure_die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static SSL *secure(SSL_CTX *ctx, int fd)
{
	SSL *tls = ctx ? SSL_new(ctx) : NULL;

	if (tls && http2)
		SSL_set_alpn_protos(tls, (const unsigned char *)"\2h2", 3);
	if (tls && (SSL_set_fd(tls, fd) != 1 || SSL_connect(tls) != 1))
		measure_die("TLS");
	return tls;
}

/* Which of the copies let go, and when, tells the library's fault from the server's. */
static void lost(const struct server *s, unsigned conn, const char *what)
{
	fprintf(stderr, "visit: %s copy %d, port %u, connection %u, stream %u: ", what, (int)(s - servers), s->port, conn,
		s->stream[conn]);
	if (s->tls[conn])
		ERR_print_errors_fp(stderr);
	measure_die(what);
}

static bool say_bytes(const struct server *s, unsigned conn, const char *bytes, size_t len)
{
	if (s->tls[conn])
		return SSL_write(s->tls[conn], bytes, (int)len) == (int)len;
	return measure_write_all(s->fd[conn], bytes, len);
}

static bool say(struct server *s, unsigned conn)
{
	if (http2) {
		uint32_t stream = htonl(s->stream[conn] += s->stream[conn] ? 2 : 1);

		memcpy(request + 5, &stream, sizeof(stream));
		if (request_data)
			memcpy(request + request_data + 5, &stream, sizeof(stream));
	}
	return say_bytes(s, conn, request, request_len);
}

static ssize_t hear(const struct server *s, unsigned conn, char *to, size_t room)
{
	return s->tls[conn] ? SSL_read(s->tls[conn], to, (int)room) : read(s->fd[conn], to, room);
}

/* Up to the frame that ends a stream. */
static size_t http2_reply_length(size_t have)
{
	const unsigned char *p = (const unsigned char *)reply;

	for (size_t at = 0; at + HTTP2_HEAD <= have;) {
		const unsigned char *head = p + at;

		at += HTTP2_HEAD + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
		if (head[3] <= HTTP2_HEADERS && head[4] & 1)
			return at <= have ? at : 0;
	}
	return 0;
}

/* Servers of gRPC say other things between their answers, which differ in length: what comes behind one is kept. */
static bool hear_stream(struct server *s, unsigned conn)
{
	size_t have = s->rest_len[conn], whole;

	memcpy(reply, s->rest[conn], have);
	while (!(whole = http2_reply_length(have))) {
		ssize_t n = hear(s, conn, reply + have, sizeof(reply) - have);

		if (n <= 0)
			return false;
		have += (size_t)n;
	}
	s->rest_len[conn] = have - whole;
	if (s->rest_len[conn] > sizeof(s->rest[conn]))
		return false;
	memcpy(s->rest[conn], reply + whole, have - whole);
	return true;
}

static bool hear_all(struct server *s, unsigned conn)
{
	ssize_t n;

	if (http2) /* a date is a byte longer or shorter at times */
		return hear_stream(s, conn);
	if (!s->tls[conn])
		return measure_read_all(s->fd[conn], reply, s->reply_len);
	for (size_t have = 0; have < s->reply_len; have += (size_t)n)
		if ((n = hear(s, conn, reply + have, s->reply_len - have)) <= 0)
			return false;
	return true;
}

/* Length of the first complete reply in `reply`, 0 when it is not complete. */
static size_t reply_length(size_t have)
{
	const char *end, *length;
	size_t whole;

	reply[have] = '\0';
	if (reply[0] == '$') /* $<bytes>\r\n<bytes>\r\n */
		end = strstr(reply, "\r\n"), length = reply + 1;
	else
		end = strstr(reply, "\r\n\r\n"), length = strcasestr(reply, "\r\nContent-Length:");
	if (!end || !length)
		return 0;
	whole = (size_t)(end - reply);
	whole += reply[0] == '$'
			 ? 4 + strtoul(length, NULL, 10)
			 : 4 + strtoul(length + sizeof("\r\nContent-Length:") - 1, NULL, 10);
	return whole <= have ? whole : 0;
}

static void learn_reply(struct server *s, unsigned conn)
{
	size_t have = 0;

	if (http2) {
		if (!say(s, conn) || !hear_stream(s, conn))
			lost(s, conn, "HTTP/2");
		return;
	}

	if (!say(s, conn))
		lost(s, conn, "write");
	while (!(s->reply_len = reply_length(have))) {
		ssize_t n = hear(s, conn, reply + have, sizeof(reply) - 1 - have);

		if (n <= 0)
			lost(s, conn, "read");
		have += (size_t)n;
	}
	if (have != s->reply_len || (reply[0] == 'H' && strncmp(reply + 9, "200", 3) != 0)) {
		fprintf(stderr, "visit: port %u said %.*s\n", s->port, (int)have, reply);
		exit(2);
	}
}

/* One request on every connection; ns per request. */
static uint32_t wave(struct server *s)
{
	uint64_t start = measure_now_ns();

	for (unsigned i = 0; i < conns; i++)
		if (!say(s, i))
			lost(s, i, "write");
	for (unsigned i = 0; i < conns; i++)
		if (!hear_all(s, i))
			lost(s, i, "read");
	return (uint32_t)((measure_now_ns() - start) / conns);
}

static void visit(struct server *s, unsigned block, bool keep)
{
	double kept[BLOCK_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < requests; i++) {
		uint32_t ns = wave(s);

		if (i < discard)
			continue;
		kept[n++] = ns;
		if (keep)
			s->ns[s->n++] = ns;
	}
	if (keep)
		s->block[block] = measure_median(kept, n);
}

static void print_server(struct server *s, double base)
{
	double *diff = calloc(blocks, sizeof(double)), median, p99;

	for (unsigned b = 0; b < blocks; b++)
		diff[b] = s->block[b] - servers[0].block[b];
	measure_sort_u32(s->ns, s->n);
	median = s->ns[s->n / 2];
	p99 = s->ns[s->n * 99 / 100];
	printf("{\"median_ns\": %.0f, \"p99_ns\": %.0f, \"ratio\": %.4f, \"added_ns\": %.0f}",
	       median, p99, median / (base ? base : median), measure_median(diff, blocks));
	free(diff);
}

/* The first reply comes with what a server says once. */
static void greet(struct server *s, unsigned conn)
{
	static const char greeting[] = HTTP2_PREFACE HTTP2_FRAMES;

	if (!say_bytes(s, conn, greeting, sizeof(greeting) - 1))
		lost(s, conn, "write");
	learn_reply(s, conn);
}

/* GET in one frame without entries of the table; say() puts the stream in. */
static void make_http2_request(const char *path)
{
	static const char head[] = "\0\0\0\1\5\0\0\0\0" "\x82\x87\x01\x0b" "localhost:1" "\x04";
	size_t len = strlen(path);

	memcpy(request, head, sizeof(head) - 1);
	request_len = sizeof(head) - 1;
	request[request_len++] = (char)len;
	memcpy(request + request_len, path, len);
	request_len += len;
	request[2] = (char)(request_len - HTTP2_HEAD);
}

/* A unary call of the greeter in tests/hosts/programs: its text is 16 bytes. */
static void make_grpc_request(void)
{
	static const char head[] = "\0\0\0\1\4\0\0\0\0" "\x83\x86\x01\x0b" "localhost:1" "\x04\x13" "/demo.Greeter/Hello"
				   "\x00\x0c" "content-type\x10" "application/grpc" "\x00\x02" "te\x08" "trailers";
	static const char data[] = "\0\0\x17\0\1\0\0\0\0" "\0\0\0\0\x12" "\x0a\x10" "0123456789abcdef";

	memcpy(request, head, sizeof(head) - 1);
	request[2] = (char)(sizeof(head) - 1 - HTTP2_HEAD);
	request_data = sizeof(head) - 1;
	memcpy(request + request_data, data, sizeof(data) - 1);
	request_len = request_data + sizeof(data) - 1;
}

static void open_servers(const char *ports, bool tls)
{
	SSL_CTX *ctx = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
	char *end;

	for (const char *p = ports; *p && server_count < SERVERS_MAX; p = *end ? end + 1 : end) {
		struct server *s = &servers[server_count++];

		s->port = (unsigned)strtoul(p, &end, 10);
		for (unsigned i = 0; i < conns; i++)
			s->fd[i] = dial(s->port), s->tls[i] = secure(ctx, s->fd[i]);
		s->ns = calloc((size_t)blocks * requests, sizeof(*s->ns));
		s->block = calloc(blocks, sizeof(*s->block));
		for (unsigned i = 0; http2 && i < conns; i++)
			greet(s, i);
		learn_reply(s, 0);
	}
}

int main(int argc, char **argv)
{
	const char *kind = measure_option(argc, argv, "--kind", "http");
	uint64_t random = measure_seed();
	unsigned order[SERVERS_MAX];
	double ns_per_tick = measure_ns_per_tick(), before, base;

	conns = (unsigned)measure_number(argc, argv, "--conns", 1);
	blocks = (unsigned)measure_number(argc, argv, "--blocks", 1000);
	requests = (unsigned)measure_number(argc, argv, "--requests", 14);
	discard = (unsigned)measure_number(argc, argv, "--discard", 4);
	if (!conns || conns > CONNS_MAX || !blocks || requests > BLOCK_MAX || discard >= requests) {
		fprintf(stderr, "visit: bad arguments, see the head of visit.c\n");
		return 2;
	}
	measure_pin(measure_number(argc, argv, "--cpu", -1));
	http2 = !strcmp(kind, "http2") || !strcmp(kind, "grpc");
	if (!strcmp(kind, "grpc"))
		make_grpc_request();
	else if (http2)
		make_http2_request(measure_option(argc, argv, "--path", "/"));
	else if (!strcmp(kind, "redis"))
		strcpy(request, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
	else
		snprintf(request, sizeof(request), "GET %s%s",
			 measure_option(argc, argv, "--path", "/"),
			 strstr(measure_request, " HTTP/1.1\r\n"));
	request_len = http2 ? request_len : strlen(request);
	open_servers(measure_option(argc, argv, "--ports", ""), measure_number(argc, argv, "--tls", 0));
	before = measure_anchor_ns(ns_per_tick);
	for (unsigned i = 0; i < server_count; i++)
		order[i] = i;
	for (unsigned b = 0; b < blocks + blocks / 20; b++) { /* the first twentieth warms up */
		bool keep = b >= blocks / 20;

		measure_shuffle(order, server_count, &random);
		for (unsigned i = 0; i < server_count; i++)
			visit(&servers[order[i]], b - blocks / 20, keep);
	}
	printf("{\"conns\": %u, \"getppid_ns\": %.1f, \"anchor_drift\": %.3f, \"servers\": [",
	       conns, before, measure_anchor_ns(ns_per_tick) / before);
	for (unsigned i = 0; i < server_count; i++) {
		printf(i ? ", " : "");
		base = i ? servers[0].ns[servers[0].n / 2] : 0; /* sorted by now */
		print_server(&servers[i], base);
	}
	printf("]}\n");
	return 0;
}
