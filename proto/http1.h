#pragma once
/* HTTP/1.x messages (RFC 9112) as conn/ sees them: one parsed header block, with the fields somebody
 * downstream reads. Slices point into the block that was fed and live as long as the event call. */
#include "core/limits.h"
#include "core/span.h"
#include "proto/proto.h"

struct oa_slice {
	uint32_t off, len; /* from oa_http_head.block.ptr; len 0: absent or empty */
};

/* Header fields kept by position. One line per field: enum name, lower-case name. */
enum oa_http_field {
#define OA_FIELD(id, name) OA_FIELD_##id,
#include "proto/http1_fields.def"
#undef OA_FIELD
	OA_FIELD_COUNT,
};

#define OA_HTTP_CHUNKED       0x001u
#define OA_HTTP_HAS_LENGTH    0x002u
#define OA_HTTP_KEEP_ALIVE    0x004u /* by version and Connection */
#define OA_HTTP_UPGRADE       0x008u /* request: Upgrade, and Connection names it / response: 101 */
#define OA_HTTP_UNTIL_CLOSE   0x010u /* response body ends with the connection */
#define OA_HTTP_MULTI_PARENT  0x020u /* more than one traceparent field */
#define OA_HTTP_NO_BODY       0x040u
#define OA_HTTP_EXPECT        0x080u /* Expect: 100-continue */
#define OA_HTTP_REPEATED      0x100u /* a field of http1_fields.def but traceparent came twice (tracestate, baggage,
				      * x-forwarded-for …: walk with oa_http1_line_next) */
#define OA_HTTP_AMBIGUOUS     0x200u /* Transfer-Encoding beside Content-Length or in HTTP/1.0: two readers may see two
				      * lengths (RFC 9112 6.1); parsed by Transfer-Encoding, better not written to */

struct oa_http_head {
	struct oa_bytes block;  /* from the first byte of the start line to behind the blank line */
	uint32_t blank_off;     /* offset of the blank line: where headers are inserted */
	uint16_t status;        /* responses */
	uint16_t flags;         /* OA_HTTP_* */
	uint8_t method;         /* enum oa_method, requests */
	uint8_t version;        /* 10, 11 */
	uint8_t nl;             /* 2: lines end in CRLF, 1: at least one bare LF */
	uint8_t pad;
	struct oa_slice method_text, target;
	uint64_t length;        /* Content-Length, when OA_HTTP_HAS_LENGTH (maybe of a body that HEAD leaves out) */
	struct oa_slice field[OA_FIELD_COUNT]; /* first occurrence, OWS trimmed */
};

static inline struct oa_bytes oa_http_slice(const struct oa_http_head *h, struct oa_slice s)
{
	return oa_bytes(h->block.ptr + s.off, s.len);
}

static inline struct oa_bytes oa_http_field(const struct oa_http_head *h, enum oa_http_field f)
{
	return oa_http_slice(h, h->field[f]);
}

/* Events of one message: REQUEST or RESPONSE, then any number of BODY, then END. A 1xx response other than 101
 * is its RESPONSE event alone. After 101, and after 2xx to CONNECT, come END and UPGRADED and feed() returns there:
 * what follows in `in` is the tunnel's; feed() takes later bytes of that direction whole, without events. The
 * other direction is not told: conn/ stops feeding it. request_note is asked before a final RESPONSE event. */

/* Chooses the fastest code this processor has. At activation, before anything is parsed on another thread;
 * everything works without, slower.
 *
 * runs on   one thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
void oa_http1_init(void);

/* Parses one complete header block at the start of `in`. For conn/inject, which must look at a request
 * before it is sent, and for feed() itself. Empty lines before a request are skipped: block.ptr is the start
 * line. What a response's framing is without its request is in the flags (HEAD and CONNECT are feed()'s).
 *
 * ret_head  set when the result is > 0, else undefined
 * returns   bytes up to and with the blank line; 0: incomplete; -EPROTO; -E2BIG
 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
long oa_http1_parse_head(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *ret_head);

/* Walks every header line of a parsed block: *pos starts at 0. name as sent, value trimmed (obs-fold
 * lines are part of the value as sent). Lines without a colon are left out. returns false at the end. */
bool oa_http1_line_next(const struct oa_http_head *h, size_t *pos, struct oa_bytes *ret_name,
			struct oa_bytes *ret_value);

/* Takes `n` bytes that did not pass through memory (sendfile, splice) as body bytes of a direction.
 * returns like feed: bytes taken (all of them within one body), -EPROTO when a header or chunk line was due */
long oa_http1_skip(void *state, enum oa_dir dir, uint64_t n, const struct oa_sink *sink);

/* Takes a request's head that oa_http1_parse_head() has read: what feed() would do with exactly the bytes of
 * head->block, without reading them again. Empty lines before it are the caller's to leave out or feed.
 *
 * head      its block need be there only as long as this call
 * returns   head->block.len; -EPROTO when the direction stands in the middle of something: nothing was done
 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
long oa_http1_accept_head(void *state, const struct oa_http_head *head, const struct oa_sink *sink);

/* True when the direction stands at a message boundary: the next byte starts a new message. */
bool oa_http1_at_boundary(const void *state);

extern const struct oa_proto oa_proto_http1;
