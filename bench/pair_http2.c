#include "pair_http2.h"

#include <stdlib.h>
#include <string.h>

#define FDS_MAX  65536
#define PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define DYNAMIC  62 /* index of the youngest entry of a table */

enum { DATA, HEADERS, SETTINGS = 4 };
enum { END_STREAM = 1, END_HEADERS = 4 };

struct field {
	const char *name, *value;
};

static const struct field get[] = {
	{ ":method", "GET" },
	{ ":scheme", "http" },
	{ ":path", "/api/v1/orders/10483/items?limit=50" },
	{ ":authority", "shop.example.com" },
	{ "user-agent", "Mozilla/5.0 (X11; Linux x86_64) bench/1.0" },
	{ "accept", "text/html,application/xhtml+xml" },
	{ "accept-encoding", "gzip, deflate, br" },
	{ "cookie", "session=0123456789abcdef0123456789abcdef" },
	{ "cache-control", "no-cache" },
};
static const struct field call[] = {
	{ ":method", "POST" },
	{ ":scheme", "http" },
	{ ":path", "/demo.Greeter/Hello" },
	{ ":authority", "127.0.0.1:50051" },
	{ "te", "trailers" },
	{ "content-type", "application/grpc" },
	{ "user-agent", "grpc-c++/1.51.1 grpc-c/29.0.0 (linux; chttp2)" },
	{ "grpc-accept-encoding", "identity, deflate, gzip" },
};
static const struct field parent = {
	"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
};
static const struct field page[] = {
	{ ":status", "200" },
	{ "content-type", "application/json" },
	{ "content-length", "600" },
	{ "server", "bench/1.0" },
};
static const struct field answer[] = { { ":status", "200" }, { "content-type", "application/grpc" } };
static const struct field trailers[] = { { "grpc-status", "0" } };

/* -- bytes -- */

struct bytes {
	unsigned char ptr[2048];
	size_t len;
};

static void put(struct bytes *b, const void *from, size_t len)
{
	if (len > sizeof(b->ptr) - b->len)
		measure_die("too long");
	memcpy(b->ptr + b->len, from, len);
	b->len += len;
}

static void put_byte(struct bytes *b, unsigned c)
{
	put(b, &(unsigned char){ (unsigned char)c }, 1);
}

/* kind: 0x40 a literal that both tables keep, 0 one that they do not */
static void put_literal(struct bytes *b, const struct field *f, unsigned kind)
{
	put_byte(b, kind);
	put_byte(b, (unsigned)strlen(f->name));
	put(b, f->name, strlen(f->name));
	put_byte(b, (unsigned)strlen(f->value));
	put(b, f->value, strlen(f->value));
}

static void put_frame_head(unsigned char *to, size_t len, unsigned type, unsigned flags, uint32_t stream)
{
	const unsigned char head[9] = { (unsigned char)(len >> 16), (unsigned char)(len >> 8), (unsigned char)len,
					(unsigned char)type, (unsigned char)flags, (unsigned char)(stream >> 24),
					(unsigned char)(stream >> 16), (unsigned char)(stream >> 8),
					(unsigned char)stream };

	memcpy(to, head, sizeof(head));
}

static size_t put_frame(struct bytes *b)
{
	static const unsigned char none[9];

	put(b, none, sizeof(none));
	return b->len;
}

static void end_frame(struct bytes *b, size_t from, unsigned type, unsigned flags, uint32_t stream)
{
	put_frame_head(b->ptr + from - 9, b->len - from, type, flags, stream);
}

/* The fields of a block: into the tables, or by their places in them. later: entries younger than these */
static void put_fields(struct bytes *b, const struct field *f, unsigned count, bool first, unsigned later)
{
	for (unsigned i = 0; i < count; i++) {
		if (first)
			put_literal(b, &f[i], 0x40);
		else
			put_byte(b, 0x80u | (DYNAMIC + later + count - 1 - i));
	}
}

static void put_data(struct bytes *b, bool grpc, unsigned flags, uint32_t stream)
{
	unsigned char body[600] = { 0 };
	size_t from = put_frame(b), len = grpc ? 5 + 30 : sizeof(body);

	body[4] = 30; /* length of the message */
	put(b, body, len);
	end_frame(b, from, DATA, flags, stream);
}

static void put_block(struct bytes *b, const struct field *f, unsigned count, bool first, unsigned later, bool traced,
		      unsigned flags, uint32_t stream)
{
	size_t from = put_frame(b);

	put_fields(b, f, count, first, later);
	if (traced)
		put_literal(b, &parent, 0);
	end_frame(b, from, HEADERS, END_HEADERS | flags, stream);
}

static void make_request(struct bytes *b, bool grpc, bool first, bool traced, uint32_t stream)
{
	if (!grpc) {
		put_block(b, get, MEASURE_COUNT(get), first, 0, traced, END_STREAM, stream);
		return;
	}
	put_block(b, call, MEASURE_COUNT(call), first, 0, traced, 0, stream);
	put_data(b, true, END_STREAM, stream);
}

static void make_response(struct bytes *b, bool grpc, bool first, uint32_t stream)
{
	if (!grpc) {
		put_block(b, page, MEASURE_COUNT(page), first, 0, false, 0, stream);
		put_data(b, false, END_STREAM, stream);
		return;
	}
	put_block(b, answer, MEASURE_COUNT(answer), first, MEASURE_COUNT(trailers), false, 0, stream);
	put_data(b, true, 0, stream);
	put_block(b, trailers, MEASURE_COUNT(trailers), first, 0, false, END_STREAM, stream);
}

/* -- the two sides -- */

static uint32_t streams[FDS_MAX]; /* last of a connection, by the client's descriptor */
static __thread char buf[4096];

static void expect(ssize_t n)
{
	if (n <= 0)
		measure_die("exchange of HTTP/2");
}

static void move(const struct measure_libc *from, int writer, const struct measure_libc *to, int reader,
		 const struct bytes *b)
{
	expect(from->write(writer, b->ptr, b->len));
	for (size_t got = 0; got < b->len;) {
		ssize_t n = to->read(reader, buf, sizeof(buf));

		expect(n);
		got += (size_t)n;
	}
}

void pair_http2_open(int client, int server, bool observe_server, bool grpc)
{
	const struct measure_libc *c = observe_server ? &measure_raw : &measure_plt;
	const struct measure_libc *s = observe_server ? &measure_plt : &measure_raw;
	struct bytes ask = { .len = 0 }, tell = { .len = 0 };

	put(&ask, PREFACE, sizeof(PREFACE) - 1);
	end_frame(&ask, put_frame(&ask), SETTINGS, 0, 0);
	make_request(&ask, grpc, true, false, 1);
	end_frame(&tell, put_frame(&tell), SETTINGS, 0, 0);
	make_response(&tell, grpc, true, 1);
	move(c, client, s, server, &ask);
	move(s, server, c, client, &tell);
	streams[client] = 1;
}

static void make_exchange(int client, bool grpc, bool traced, struct bytes *ask, struct bytes *tell)
{
	uint32_t stream = streams[client] += 2;

	ask->len = tell->len = 0;
	make_request(ask, grpc, false, traced, stream);
	make_response(tell, grpc, false, stream);
}

uint32_t pair_http2_server(int client, int server, const struct measure_libc *k, bool grpc)
{
	static __thread struct bytes ask, tell;
	uint64_t t0, t1;

	make_exchange(client, grpc, true, &ask, &tell);
	expect(measure_raw.write(client, ask.ptr, ask.len));
	t0 = __rdtsc();
	expect(k->read(server, buf, sizeof(buf)));
	expect(k->write(server, tell.ptr, tell.len));
	t1 = __rdtsc();
	expect(measure_raw.read(client, buf, sizeof(buf)));
	return (uint32_t)(t1 - t0);
}

uint32_t pair_http2_client(int client, int server, const struct measure_libc *k, bool grpc)
{
	static __thread struct bytes ask, tell;
	uint64_t t0, t1, t2, t3;

	make_exchange(client, grpc, false, &ask, &tell);
	t0 = __rdtsc();
	expect(k->write(client, ask.ptr, ask.len));
	t1 = __rdtsc();
	expect(measure_raw.read(server, buf, sizeof(buf)));
	expect(measure_raw.write(server, tell.ptr, tell.len));
	t2 = __rdtsc();
	expect(k->read(client, buf, sizeof(buf)));
	t3 = __rdtsc();
	return (uint32_t)(t1 - t0 + t3 - t2);
}
