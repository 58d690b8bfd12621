#pragma once
/* HTTP/2 over the rig of conn/: frames to send and receive, and what went over the wire. */
#include "tests/unit/conn_rig.h"

#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
/* Frames as constants: LEN, TYPE, FLAGS and STREAM as they stand on the wire. */
#define H2_FRAME(len, type, flags, stream) "\0\0" len type flags "\0\0\0" stream
#define H2_SETTINGS H2_FRAME("\0", "\4", "\0", "\0")

struct h2_bytes {
	uint8_t bytes[200000];
	size_t len;
};

static struct h2_bytes h2_wire;

static inline void h2_put(struct h2_bytes *b, const void *bytes, size_t len)
{
	ck_assert_uint_le(b->len + len, sizeof(b->bytes));
	memcpy(b->bytes + b->len, bytes, len);
	b->len += len;
}

static inline void h2_put_frame(struct h2_bytes *b, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t len)
{
	const uint8_t head[9] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, (uint8_t)(stream >> 24),
				  (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream };

	h2_put(b, head, sizeof(head));
	h2_put(b, payload, len);
}

/* A field that goes into no table. */
static inline void h2_put_field(struct h2_bytes *block, const char *name, const char *value)
{
	const uint8_t name_len = (uint8_t)strlen(name), value_len = (uint8_t)strlen(value);

	ck_assert(name_len < 127 && value_len < 127);
	h2_put(block, "", 1);
	h2_put(block, &name_len, 1);
	h2_put(block, name, name_len);
	h2_put(block, &value_len, 1);
	h2_put(block, value, value_len);
}

static inline size_t h2_frame_len(const uint8_t *p)
{
	return 9 + ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]);
}

static inline void h2_receive(int fd, const void *bytes, size_t len)
{
	oa_conn_on_received(fd, bytes, len, (ssize_t)len, 0, 0);
}

/* Appends to h2_wire. The kernel takes at most `room` bytes of what it is given; 0: EAGAIN. returns what the host is told */
static inline ssize_t h2_say(int fd, const void *bytes, size_t len, size_t room)
{
	struct iovec host = { (void *)(uintptr_t)bytes, len };
	struct oa_send s;
	size_t took = 0;

	oa_conn_before_send(fd, &host, 1, 0, &s);
	for (int i = 0; i < (s.rewrite ? s.iovcnt : 1); i++) {
		const struct iovec *v = s.rewrite ? &s.iov[i] : &host;
		size_t n = v->iov_len < room - took ? v->iov_len : room - took;

		h2_put(&h2_wire, v->iov_base, n);
		took += n;
	}
	if (!s.watched)
		return room ? (ssize_t)took : -1;
	return oa_conn_after_send(&s, room ? (ssize_t)took : -1, room ? 0 : EAGAIN);
}

/* All of it, in as many calls as it takes; the first one may find little room. */
static inline void h2_say_all(int fd, const void *bytes, size_t len, size_t first_room)
{
	ssize_t n = h2_say(fd, bytes, len, first_room);

	for (size_t at = n > 0 ? (size_t)n : 0; at < len; at += (size_t)n) {
		n = h2_say(fd, (const uint8_t *)bytes + at, len - at, SIZE_MAX);
		ck_assert_int_gt(n, 0);
	}
}
