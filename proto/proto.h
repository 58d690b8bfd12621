#pragma once
/* What conn/ asks of a protocol parser: bytes of one direction in, events out. Parsers are pure: no fd,
 * clock, heap, globals or logging, and signal-safe. conn/ keeps bytes a parser did not take and offers
 * them again with more behind them, so a parser only ever sees whole units (a header block, a chunk line). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

enum oa_dir { OA_DIR_REQUEST, OA_DIR_RESPONSE };

enum oa_event_type {
	OA_EVENT_REQUEST,  /* a request's header is complete: u.head */
	OA_EVENT_RESPONSE, /* a response's header is complete (1xx too): u.head */
	OA_EVENT_BODY,     /* u.body_bytes of payload (chunk framing not counted) */
	OA_EVENT_END,      /* the message is complete */
	OA_EVENT_UPGRADED, /* the rest of the connection is no longer this protocol */
	/* HTTP/2 only */
	OA_EVENT_TRAILERS, /* fields behind a body: u.head */
	OA_EVENT_AHEAD,    /* a header block that oa_http2_ahead() has told of before: u.hash */
	OA_EVENT_RESET,    /* the stream ends now, in both directions: u.code */
	OA_EVENT_GOAWAY,   /* streams above `stream` will not be served: u.code */
	OA_EVENT_NOTE,      /* stores: said of the connection, no message of its own: u.store */
	OA_EVENT_GROUP_END, /* stores: every command of the group `stream` is over */
};

struct oa_event {
	enum oa_event_type type;
	uint32_t stream; /* 0 where a connection has only one at a time */
	bool whole;      /* REQUEST and RESPONSE of stores: nothing of it follows, and its END is not told */
	union {
		const struct oa_http_head *head;
		const struct oa_store_msg *store;
		uint64_t body_bytes;
		uint64_t hash;
		uint32_t code;
	} u;
	const uint8_t *body; /* BODY of HTTP/2: its bytes; NULL: they were not seen. End of parameters: where that is said */
};

typedef void oa_event_fn(void *ctx, const struct oa_event *ev);

/* UPGRADED, u.code: what follows is TLS, and inside of it the protocol from its beginning. */
#define OA_UPGRADED_TLS 1u

/* Answers a response parser needs about the request it answers. */
struct oa_request_note {
	bool head : 1;    /* HEAD: no body whatever the header says */
	bool connect : 1; /* CONNECT: 2xx turns the connection into a tunnel */
	bool known : 1;   /* false: nothing is known (response without a request we saw) */
	uint16_t hint;    /* stores: struct oa_store_msg.hint of the command */
};
typedef struct oa_request_note oa_request_note_fn(void *ctx);
/* The same of the command an answer by `stream` belongs to. */
typedef struct oa_request_note oa_stream_note_fn(void *ctx, uint32_t stream);

/* A message begins: its head, the bytes of payload that came with it, and whether it is complete with them. */
typedef void oa_message_fn(void *ctx, const struct oa_http_head *head, uint64_t body_bytes, bool whole);

/* Memory that outlives the call. want: bytes, or 0 to give `old` back.
 * returns the memory and how much it is (at least `want`), or NULL when there is none */
typedef void *oa_memory_fn(void *ctx, void *old, size_t want, size_t *ret_bytes);

struct oa_sink {
	oa_event_fn *event;
	oa_request_note_fn *request_note; /* asked once per final response header */
	void *ctx;
	oa_message_fn *message; /* told instead of a head's event, and the BODY and END that follow it at once; NULL:
				 * events */
	oa_memory_fn *memory;             /* for protocols whose state is more than `state` */
	oa_stream_note_fn *stream_note;   /* stores whose answers come by stream */
};

#define OA_PROTO_HTTP    0x1u /* events carry struct oa_http_head */
#define OA_PROTO_STORE   0x2u /* events carry struct oa_store_msg */
#define OA_PROTO_GREETS  0x4u /* the server speaks first: detect() is asked about responses as well */
#define OA_PROTO_GATEWAY 0x20u /* events tell an HTTP request by its parameters, as struct oa_store_msg */
#define OA_PROTO_CLIENT  0x10u /* only of programs that ask: whoever serves it is left alone */
#define OA_PROTO_POOLED  0x40u /* programs keep connections to it in pools; what is open on one tells whether it is used */
#define OA_PROTO_LOGIN   0x80u /* POOLED: takes commands when a NOTE says so, not at once */
#define OA_PROTO_STREAMS 0x8u /* many exchanges at a time: events say which by their stream */

enum oa_detect { OA_DETECT_NO, OA_DETECT_MORE, OA_DETECT_YES };

struct oa_proto {
	const char *name;
	uint16_t state_bytes; /* per direction, zeroed before the first call */
	uint16_t flags;
	/* First bytes of one direction of a connection. MORE: could be, too short to tell. */
	enum oa_detect (*detect)(enum oa_dir dir, struct oa_bytes in);
	/* Feeds bytes of one direction.
	 *
	 * in        borrowed; starts where the last call stopped taking
	 * returns   bytes taken (maybe 0: the rest comes again with more behind it)
	 *           -EPROTO not this protocol any more: the connection is left alone from now on
	 *           -E2BIG  a unit passed its limit: likewise
	 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no; frame <= 512 bytes
	 */
	long (*feed)(void *state, enum oa_dir dir, struct oa_bytes in, const struct oa_sink *sink);
	/* The direction ended (EOF). Emits END when that completes a close-delimited message.
	 * returns 0, or -EPROTO when it ended in the middle of a message */
	int (*close)(void *state, enum oa_dir dir, const struct oa_sink *sink);
	/* `n` bytes of body passed that nobody could look at (sendfile). returns n, or -EPROTO: then the connection is
	 * left alone */
	long (*skip)(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink);
	/* Gives back what the state holds beyond its own bytes (sink->memory); NULL: it holds nothing. */
	void (*release)(void *state, const struct oa_sink *sink);
};

/* All parsers in asking order, NULL at the end (proto/protocols.def). */
extern const struct oa_proto *const oa_protos[];
/* Its place there, from 1 on; 0: it is not among them. */
uint8_t oa_proto_number(const struct oa_proto *p);
