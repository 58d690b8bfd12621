#pragma once
/* HTTP/2 (RFC 9113) as somebody sees it who reads along. One parser state per direction of a connection, from its
 * first byte: what came before would be missing in the table the headers are compressed with.
 *
 * Header blocks come out in the shape of HTTP/1's, so that whoever reads heads reads both: struct oa_http_head with
 * block = lines "name: value" of the fields that are read downstream, :authority as host, :path as target. */
#include "proto/http1.h"

#define OA_HTTP2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#define OA_HTTP2_END        0x01u /* the message ends with this header block */
#define OA_HTTP2_MALFORMED  0x02u /* :method or :path missing, a field that no message may have */
#define OA_HTTP2_HAS_METHOD 0x04u
#define OA_HTTP2_HAS_PATH   0x08u
#define OA_HTTP2_HAS_STATUS 0x10u
#define OA_HTTP2_AUTHORITY  0x20u

struct oa_http2_head {
	struct oa_http_head http; /* version 20; flags: OA_HTTP_MULTI_PARENT, OA_HTTP_REPEATED */
	struct oa_slice scheme, protocol, content_type, grpc_status, grpc_message, grpc_timeout;
	uint32_t list_bytes;      /* size of all fields as SETTINGS_MAX_HEADER_LIST_SIZE counts it, or a little more */
	uint32_t parent_from, parent_to; /* traceparent in the header block: its whole field, when its table position is
					  * nobody's (literal without indexing); both 0 else */
	uint8_t flags;            /* OA_HTTP2_* */
	uint8_t pad[3];
};

static inline const struct oa_http2_head *oa_http2_head(const struct oa_http_head *h)
{
	return (const struct oa_http2_head *)(const void *)h; /* its first member */
}

/* Events of one message: REQUEST or RESPONSE, BODY, TRAILERS, END, each with its stream. 1xx responses are a RESPONSE
 * alone. RESET ends a stream whoever sent it. Server push is read for its headers' sake and not told. */

/* Tables, before anything is parsed on another thread. lists: comma-separated names that are captured in addition to
 * those of http1_fields.def; they stay the caller's and must stay.
 *
 * runs on   one thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
void oa_http2_init(const char *const *lists, unsigned count);

/* What the sender of this direction allows its peer: payload of a frame, size of a header list (0: any). */
void oa_http2_limits(const void *state, uint32_t *ret_frame, uint32_t *ret_list);

/* Four bytes of the state of the responses that the parser leaves alone. */
uint32_t *oa_http2_spare(void *response_state);

/* Makes a client's state stand where HTTP/1's Upgrade leaves it: stream 1 is that request. */
void oa_http2_upgraded(void *state);

/* A header block in bytes that are about to be sent. */
struct oa_http2_block {
	struct oa_bytes frame;  /* the last frame it stands in, from its header; not the whole if the block is in several */
	uint32_t fields_end;    /* in frame: behind the last field, before padding */
	uint32_t fields_from;   /* in frame: the first field */
	size_t at;              /* offset of frame in all bytes, those before included */
	uint32_t stream;
	bool single;            /* the block is in one frame */
	bool request;           /* a client's, and its stream is new */
	bool promise;           /* of a pushed request: nothing is told of it */
	uint64_t hash;          /* recognises the block */
	const struct oa_http2_head *head; /* NULL: told of in an earlier call and not sent yet */
};
/* returns false to stop */
typedef bool oa_http2_block_fn(void *ctx, const struct oa_http2_block *b);

/* Decodes the header blocks in a direction's next bytes before they are sent. feed() will only say AHEAD of them, once
 * each. A block that is not whole in the bytes ends the walk.
 *
 * before    what feed() was offered and did not take yet; bytes behind it follow
 * returns   0; -EPROTO, -E2BIG, -ENOMEM: the direction cannot be followed any more
 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
struct iovec;
int oa_http2_ahead(void *state, enum oa_dir dir, struct oa_bytes before, const struct iovec *iov, int iovcnt,
		   const struct oa_sink *sink, oa_http2_block_fn *each, void *ctx);

extern const struct oa_proto oa_proto_http2;
