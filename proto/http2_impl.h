#pragma once
/* What the http2 files share: the state of a direction and the frames in it. */
#include "proto/hpack.h"

enum http2_type {
	HTTP2_DATA, HTTP2_HEADERS, HTTP2_PRIORITY, HTTP2_RST_STREAM, HTTP2_SETTINGS, HTTP2_PUSH_PROMISE, HTTP2_PING,
	HTTP2_GOAWAY, HTTP2_WINDOW_UPDATE, HTTP2_CONTINUATION,
};

#define HTTP2_END_STREAM  0x01u
#define HTTP2_ACK         0x01u
#define HTTP2_END_HEADERS 0x04u
#define HTTP2_PADDED      0x08u
#define HTTP2_HAS_PRIO    0x20u

#define HTTP2_FRAME_HEAD  9u
#define HTTP2_FRAME_SIZE  16384u /* what every peer accepts */

enum http2_phase {
	HTTP2_START,    /* nothing came yet */
	HTTP2_SETTINGS_DUE, /* the first frame */
	HTTP2_FRAME,    /* a frame header is due */
	HTTP2_PAYLOAD,  /* of DATA */
	HTTP2_SKIP,     /* what is left of a frame */
	HTTP2_DEAD,
};

struct http2_state {
	uint64_t table : 48;      /* struct hpack_table *, see http2_table() */
	uint64_t ahead : 16;      /* header blocks that were decoded before they came by */
	uint32_t table_max;
	uint32_t left : 24;       /* PAYLOAD, SKIP: bytes still to come, without padding; DEAD: the error */
	uint32_t phase : 8;
	uint32_t stream : 31;     /* PAYLOAD: whose */
	uint32_t end : 1;         /* PAYLOAD: the message ends with this frame */
	union {
		uint32_t last_stream; /* requests: highest a client has opened */
		uint32_t spare;       /* responses: oa_http2_spare() */
	};
	uint32_t max_frame : 24;  /* SETTINGS of this direction's sender */
	uint32_t padding : 8;     /* PAYLOAD: behind it */
	uint32_t max_list;        /* SETTINGS; 0: none */
};

static inline struct hpack_table *http2_table(const struct http2_state *st)
{
	return (struct hpack_table *)(uintptr_t)st->table;
}

struct http2_frame {
	uint32_t len, stream;
	uint8_t type, flags;
};

static inline uint32_t http2_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline struct http2_frame http2_frame(const uint8_t *p)
{
	return (struct http2_frame){ .len = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2], .type = p[3],
				     .flags = p[4], .stream = http2_be32(p + 5) & 0x7fffffff };
}

/* The fields in the payload of HEADERS, PUSH_PROMISE or CONTINUATION, between what comes before and padding.
 * returns 0, -EPROTO */
int oa_http2_fragment(const struct http2_frame *f, struct oa_bytes payload, struct oa_bytes *ret);

static inline bool http2_begins_block(uint8_t type)
{
	return type == HTTP2_HEADERS || type == HTTP2_PUSH_PROMISE;
}

/* -- http2_block.c -- */

/* A whole header block at the start of `in`: its frames one behind the other.
 * returns its length, 0: incomplete, -EPROTO, -E2BIG */
long oa_http2_block_len(struct oa_bytes in, struct http2_frame first);

/* Decodes it and says so, or says that it was decoded before. returns 0, -EPROTO, -E2BIG, -ENOMEM */
int oa_http2_block_take(struct http2_state *st, enum oa_dir dir, struct oa_bytes in, struct http2_frame first,
			const struct oa_sink *sink);

/* The same for blocks that are not sent yet. */
struct http2_look {
	struct oa_http2_block block; /* in: at, request */
	uint16_t known;              /* so many blocks were told of before */
	bool go_on;                  /* out */
	oa_http2_block_fn *each;
	void *ctx;
};
int oa_http2_block_look(struct http2_state *st, struct oa_bytes in, struct http2_frame first,
			const struct oa_sink *sink, struct http2_look *look);

/* -- http2.c -- */

/* What a state is before the first frame. */
void oa_http2_begin(struct http2_state *st);
