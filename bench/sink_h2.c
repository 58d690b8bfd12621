#include "bench/sink_h2.h"

#include <string.h>

#include "bench/measure.h"

#define H2_PREFACE  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_HEAD     9 /* of a frame: length 3, type 1, flags 1, stream 4 */
#define H2_DATA     0
#define H2_SETTINGS 4
#define H2_PING     6
#define H2_WINDOW   8
#define H2_END      1 /* of a stream, or an acknowledgement */

struct h2_frame {
	size_t len;
	uint8_t type, flags;
	uint32_t stream;
	const uint8_t *body;
};

static void h2_put32(uint8_t *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void h2_head(uint8_t *to, size_t len, uint8_t type, uint8_t flags, uint32_t stream)
{
	h2_put32(to, (uint32_t)len << 8 | type);
	to[4] = flags;
	h2_put32(to + 5, stream);
}

static void h2_send(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *body, size_t len)
{
	uint8_t frame[H2_HEAD + 64];

	h2_head(frame, len, type, flags, stream);
	memcpy(frame + H2_HEAD, body, len);
	(void)measure_write_all(fd, frame, H2_HEAD + len);
}

static void h2_window(int fd, uint32_t more)
{
	uint8_t body[4];

	h2_put32(body, more);
	h2_send(fd, H2_WINDOW, 0, 0, body, sizeof(body));
}

/* Streams may send whatever they like. */
static void h2_hello(int fd)
{
	static const uint8_t initial_window[] = { 0, 4, 0x7f, 0xff, 0xff, 0xff };

	h2_send(fd, H2_SETTINGS, 0, 0, initial_window, sizeof(initial_window));
	h2_window(fd, 0x7fff0000 - 65535);
}

/* Status 200, an empty message, grpc-status 0; in one piece, as servers do. */
static void h2_answer(int fd, uint32_t stream)
{
	static const char head[] = "\x88\x0f\x10\x10" "application/grpc", message[5], tail[] = "\x00\x0bgrpc-status\x01" "0";
	uint8_t all[3 * H2_HEAD + sizeof(head) + sizeof(message) + sizeof(tail)], *to = all;

	h2_head(to, sizeof(head) - 1, 1, 4, stream);
	memcpy(to + H2_HEAD, head, sizeof(head) - 1);
	to += H2_HEAD + sizeof(head) - 1;
	h2_head(to, sizeof(message), H2_DATA, 0, stream);
	memcpy(to + H2_HEAD, message, sizeof(message));
	to += H2_HEAD + sizeof(message);
	h2_head(to, sizeof(tail) - 1, 1, 4 | H2_END, stream);
	memcpy(to + H2_HEAD, tail, sizeof(tail) - 1);
	to += H2_HEAD + sizeof(tail) - 1;
	(void)measure_write_all(fd, all, (size_t)(to - all));
}

static void h2_frame(int fd, const struct h2_frame *f, struct sink_h2 *counts)
{
	if (f->type == H2_SETTINGS && !(f->flags & H2_END))
		h2_send(fd, H2_SETTINGS, H2_END, 0, "", 0);
	if (f->type == H2_PING && !(f->flags & H2_END) && f->len == 8)
		h2_send(fd, H2_PING, H2_END, 0, f->body, 8);
	if (f->type != H2_DATA)
		return;
	counts->bytes += f->len;
	if (!(f->flags & H2_END))
		return;
	counts->posts++;
	h2_answer(fd, f->stream);
}

bool sink_h2_is(const uint8_t *mem, size_t len)
{
	return len >= 4 && memcmp(mem, H2_PREFACE, 4) == 0;
}

size_t sink_h2_take(int fd, const uint8_t *mem, size_t len, struct sink_h2 *counts)
{
	size_t at = 0;
	uint64_t before = counts->bytes;

	if (sink_h2_is(mem, len)) {
		if (len < sizeof(H2_PREFACE) - 1)
			return 0;
		h2_hello(fd);
		at = sizeof(H2_PREFACE) - 1;
	}
	while (len - at >= H2_HEAD) {
		const uint8_t *p = mem + at;
		struct h2_frame f = { (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2], p[3], p[4],
				      (uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8],
				      p + H2_HEAD };

		if (len - at - H2_HEAD < f.len)
			break;
		h2_frame(fd, &f, counts);
		at += H2_HEAD + f.len;
	}
	if (counts->bytes > before)
		h2_window(fd, (uint32_t)(counts->bytes - before));
	return at;
}
