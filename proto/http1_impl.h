#pragma once
/* What the http1 files share among themselves: the state of a direction, what a header block says about
 * framing, and the steps of reading one. docs/http1.md says what is tolerated and what is refused. */
#include <errno.h>

#include "proto/http1.h"

#define HTTP1_METHOD_MAX 32 /* longest registered method: UPDATEREDIRECTREF, 17 */
#define HTTP1_BLANKS_MAX 8  /* empty lines before a request; old clients send one too many after a body */

enum http1_phase {
	HTTP1_START, /* a start line is due */
	HTTP1_LENGTH,
	HTTP1_UNTIL_CLOSE,
	HTTP1_CHUNK_FIRST, /* the first digit of a chunk size is due */
	HTTP1_CHUNK_SIZE,
	HTTP1_CHUNK_PAD, /* blanks behind the size */
	HTTP1_CHUNK_EXT,
	HTTP1_CHUNK_LF, /* CR seen */
	HTTP1_CHUNK_DATA,
	HTTP1_DATA_END, /* the line end behind chunk data is due */
	HTTP1_DATA_LF,
	HTTP1_TRAILER, /* start of a trailer line */
	HTTP1_TRAILER_TEXT,
	HTTP1_TRAILER_LF,
	HTTP1_TRAILER_LAST, /* CR of the last, empty line seen */
	HTTP1_TUNNEL,
	HTTP1_DEAD,
};

struct http1_state {
	uint64_t left; /* bytes of body or chunk data still to come; the chunk size while it is read */
	union {
		struct {
			uint32_t seen;   /* bytes looked at: of a header block not whole yet, a chunk line, trailers */
			uint8_t phase;   /* enum http1_phase */
			uint8_t blanks;  /* empty lines skipped before this request */
			uint8_t line_ok; /* the start line of the header block that is not whole yet was checked */
			uint8_t dead_errno;
		};
		uint64_t place; /* all of these; 0: a message is due and nothing of it came yet */
	};
};

/* What the lines of a header block said so far, as bits of one word: flags of the head (OA_HTTP_*) below, above them
 * what http1_frame() makes flags of. */
#define HTTP1_CLOSE       0x010000u /* Connection: close, and so on */
#define HTTP1_UPGRADE     0x020000u
#define HTTP1_CODED       0x040000u /* has a Transfer-Encoding; OA_HTTP_CHUNKED: the last coding is chunked */
#define HTTP1_HAD_CHUNKED 0x080000u
#define HTTP1_CONTINUE    0x100000u /* Expect: 100-continue */
#define HTTP1_BAD         0x200000u /* refused */

#define HTTP1_HOT         __attribute__((hot))            /* on the way of ordinary messages; kept together */
#define HTTP1_COLD        __attribute__((cold, noinline)) /* off it */
#define HTTP1_LIKELY(x)   __builtin_expect(!!(x), 1)
#define HTTP1_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* -- http1_line.c -- */

/* Reads a start line into `h`, offsets from in.ptr.
 * returns its length with the line end; 0 incomplete; -EPROTO; -E2BIG */
long oa_http1_start_line(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h);
/* Length of an empty line at the start of `in`: 1, 2; 0 none; -EAGAIN: a CR and nothing behind it yet; -EPROTO */
int oa_http1_blank(struct oa_bytes in);
/* Decides when the start line is whole, or as soon as it cannot become one. */
enum oa_detect oa_http1_detect(enum oa_dir dir, struct oa_bytes in);

/* -- http1_fast_sse2.c, http1_fast_avx2.c: http1_fast.h compiled twice -- */

/* One header block at in.ptr[0], of at most OA_HTTP_HEADER_MAX bytes. returns like oa_http1_parse_head */
typedef long http1_block_fn(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h);
http1_block_fn oa_http1_fast_sse2, oa_http1_fast_avx2;

/* -- http1_names.c -- */

enum http1_vectors { HTTP1_NONE, HTTP1_SSE2, HTTP1_AVX2 };
extern uint8_t oa_http1_vectors; /* enum http1_vectors; HTTP1_NONE before init */

/* -- http1_framing.c -- */

/* Takes the value of a field that decides framing (HTTP1_* of http1_names.h). returns `saw` with what it says */
uint32_t oa_http1_take(struct oa_http_head *h, uint32_t saw, unsigned id, struct oa_bytes value);
/* http1_frame() when there is more than a length. */
uint32_t oa_http1_settle(const struct oa_http_head *h, enum oa_dir dir, uint32_t saw);

/* What `saw` is before the first line. */
static inline uint32_t http1_saw_nothing(enum oa_dir dir, unsigned version)
{
	return (dir == OA_DIR_REQUEST ? OA_HTTP_NO_BODY : OA_HTTP_UNTIL_CLOSE) |
	       (version == 11 ? OA_HTTP_KEEP_ALIVE : 0);
}

static inline uint32_t http1_saw_length(uint32_t saw)
{
	return (saw & ~(OA_HTTP_NO_BODY | OA_HTTP_UNTIL_CLOSE)) | OA_HTTP_HAS_LENGTH;
}

/* The header announces a body that is not sent: HEAD, 204, 304, 2xx to CONNECT. */
static inline void http1_no_body(struct oa_http_head *h)
{
	h->flags = (uint16_t)((h->flags & ~(OA_HTTP_CHUNKED | OA_HTTP_UNTIL_CLOSE)) | OA_HTTP_NO_BODY);
}

/* Turns what the lines said into h->flags. returns false: refused */
static inline bool http1_frame(struct oa_http_head *h, enum oa_dir dir, uint32_t saw)
{
	if (HTTP1_UNLIKELY(saw & (HTTP1_CLOSE | HTTP1_UPGRADE | HTTP1_CODED | HTTP1_CONTINUE | HTTP1_BAD))) {
		saw = oa_http1_settle(h, dir, saw);
		if (saw & HTTP1_BAD)
			return false;
	}
	h->flags = (uint16_t)saw;
	if (dir == OA_DIR_REQUEST || HTTP1_LIKELY(h->status == 200))
		return true;
	if (h->status == 101)
		h->flags |= OA_HTTP_UPGRADE;
	if (h->status < 200 || h->status == 204 || h->status == 304)
		http1_no_body(h);
	return true;
}

/* Without OWS and the line ends of folds at both ends. */
static inline struct oa_bytes http1_trim(struct oa_bytes b)
{
	while (b.len && (b.ptr[0] == ' ' || (uint8_t)(b.ptr[0] - '\t') < 5)) {
		b.ptr++;
		b.len--;
	}
	while (b.len && (b.ptr[b.len - 1] == ' ' || (uint8_t)(b.ptr[b.len - 1] - '\t') < 5))
		b.len--;
	return b;
}

/* -- http1_head.c -- */

/* oa_http1_fast_*() for any block: byte by byte, all that docs/http1.md tells. */
HTTP1_COLD http1_block_fn oa_http1_plain;
/* Blocks that are shorter than the vectors. */
HTTP1_COLD http1_block_fn oa_http1_short;
/* The fast one without AVX2. */
HTTP1_COLD http1_block_fn oa_http1_block_narrow;

/* http1_trim() of [from, end). */
HTTP1_COLD struct oa_bytes oa_http1_trim(const uint8_t *from, const uint8_t *end);

/* One header block at in.ptr[0], no empty lines before it. returns like oa_http1_parse_head */
static inline long http1_block(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h)
{
	in = oa_bytes_cut(in, OA_HTTP_HEADER_MAX);
	if (HTTP1_LIKELY(__atomic_load_n(&oa_http1_vectors, __ATOMIC_ACQUIRE) == HTTP1_AVX2))
		return oa_http1_fast_avx2(in, dir, h);
	return oa_http1_block_narrow(in, dir, h);
}

/* The block is not whole, or something is wrong with it. Looks at bytes once, however they arrive.
 * returns length of the block when it is whole (however wrong); 0 wait; -EPROTO; -E2BIG */
long oa_http1_wait(struct http1_state *st, enum oa_dir dir, struct oa_bytes in);

/* -- http1_body.c -- */

/* Everything behind a header block. Reports the payload in one BODY event per call, and END.
 * returns bytes taken, at least one; -EPROTO; -E2BIG */
long oa_http1_body(struct http1_state *st, struct oa_bytes in, const struct oa_sink *sink);
/* Takes up to `len` bytes of payload where payload is due. returns how many */
uint64_t oa_http1_take_data(struct http1_state *st, uint64_t len);
void oa_http1_report(const struct oa_sink *sink, uint64_t body, bool end);
