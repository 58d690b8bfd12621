/* A collector for the measurements: takes posts over HTTP/1.1 and gRPC as fast as it can and counts the spans of
 * OTLP/HTTP (not those of compressed posts, nor of JSON). Every line on stdin is answered by its counts so far; the end of
 * stdin ends it.
 *
 * sink [--mode ok|hang] [--cpu N]: prints its port first; hang: reads nothing and answers nothing
 */
#include "measure.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/sink_h2.h"

#define CONNS_MAX 64
#define POST_MAX  (4u << 20)

struct conn {
	uint8_t *mem;
	size_t len;
	bool h2;
};

static struct pollfd fds[2 + CONNS_MAX];
static struct conn conns[2 + CONNS_MAX];
static unsigned fd_count = 2; /* stdin and the listener */
static uint64_t posts, spans, bytes, broken;

/* -- protobuf: counts field 2 (spans) of field 2 (scope_spans) of field 1 (resource_spans) -- */

static uint64_t read_varint(const uint8_t **p, const uint8_t *end)
{
	uint64_t v = 0;

	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t byte = *(*p)++;

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	broken++;
	return 0;
}

static void count_spans(const uint8_t *p, const uint8_t *end, unsigned depth)
{
	static const uint64_t wanted[] = { 1 << 3 | 2, 2 << 3 | 2, 2 << 3 | 2 };

	while (p < end) {
		uint64_t tag = read_varint(&p, end), len;

		if ((tag & 7) != 2) { /* on these levels there are only messages and strings */
			broken++;
			return;
		}
		len = read_varint(&p, end);
		if (len > (size_t)(end - p)) {
			broken++;
			return;
		}
		if (tag == wanted[depth]) {
			if (depth == 2)
				spans++;
			else
				count_spans(p, p + len, depth + 1);
		}
		p += len;
	}
}

/* -- HTTP -- */

/* Takes one post off the front of `c`; false when it is not all there. */
static bool take_post(struct conn *c, int fd)
{
	static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Type: "
				    "application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
	uint8_t *end = memmem(c->mem, c->len, "\r\n\r\n", 4);
	const char *length;
	size_t head, body;

	if (!end)
		return false;
	*end = '\0';
	head = (size_t)(end - c->mem) + 4;
	length = strcasestr((char *)c->mem, "\r\nContent-Length:");
	body = length ? strtoul(length + sizeof("\r\nContent-Length:") - 1, NULL, 10) : 0;
	if (head + body > c->len) {
		*end = '\r';
		return false;
	}
	posts++;
	bytes += body;
	if (strcasestr((char *)c->mem, "\r\nContent-Type: application/x-protobuf") &&
	    !strcasestr((char *)c->mem, "\r\nContent-Encoding:"))
		count_spans(c->mem + head, c->mem + head + body, 0);
	c->len -= head + body;
	memmove(c->mem, c->mem + head + body, c->len);
	(void)measure_write_all(fd, reply, sizeof(reply) - 1);
	return true;
}

static void hang_up(unsigned i)
{
	close(fds[i].fd);
	free(conns[i].mem);
	fds[i] = fds[--fd_count];
	conns[i] = conns[fd_count];
}

static void take_frames(struct conn *c, int fd)
{
	struct sink_h2 counts = { 0 };
	size_t taken = sink_h2_take(fd, c->mem, c->len, &counts);

	posts += counts.posts;
	bytes += counts.bytes;
	c->len -= taken;
	memmove(c->mem, c->mem + taken, c->len);
}

static bool receive(unsigned i)
{
	struct conn *c = &conns[i];
	ssize_t n = read(fds[i].fd, c->mem + c->len, POST_MAX - c->len);

	if (n <= 0)
		return false;
	c->len += (size_t)n;
	c->h2 |= sink_h2_is(c->mem, c->len);
	if (c->h2)
		take_frames(c, fds[i].fd);
	else
		while (take_post(c, fds[i].fd))
			;
	return c->len < POST_MAX;
}

static void take_connection(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0 || fd_count == MEASURE_COUNT(fds)) {
		close(fd);
		return;
	}
	fds[fd_count] = (struct pollfd){ .fd = fd, .events = POLLIN };
	conns[fd_count++] = (struct conn){ .mem = malloc(POST_MAX) };
}

static bool answer_driver(void)
{
	char line[256];

	if (read(0, line, sizeof(line)) <= 0)
		return false;
	printf("{\"posts\": %lu, \"spans\": %lu, \"bytes\": %lu, \"broken\": %lu}\n", posts, spans,
	       bytes, broken);
	fflush(stdout);
	return true;
}

int main(int argc, char **argv)
{
	bool hang = !strcmp(measure_option(argc, argv, "--mode", "ok"), "hang");
	struct sockaddr_in at;

	fds[0] = (struct pollfd){ .fd = 0, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = measure_listen(&at, 0), .events = hang ? 0 : POLLIN };
	measure_pin(measure_number(argc, argv, "--cpu", -1));
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
	while (poll(fds, fd_count, -1) >= 0) {
		for (unsigned i = fd_count; i-- > 2;)
			if (fds[i].revents && !receive(i))
				hang_up(i);
		if (fds[1].revents)
			take_connection(fds[1].fd);
		if (fds[0].revents && !answer_driver())
			return 0;
	}
	return 2;
}
