#pragma once
/* What the http1 files share among themselves: the state of a direction, what a header block says about
 * framing, and the steps of reading one. docs/http1.md says what is tolerated and what is refused. */
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
	uint64_t left;   /* bytes of body or chunk data still to come; the chunk size while it is read */
	uint32_t seen;   /* bytes looked at: of the header block that is not whole yet, of a chunk line, of trailers */
	uint8_t phase;   /* enum http1_phase */
	uint8_t blanks;  /* empty lines skipped before this request */
	uint8_t line_ok; /* the start line of the header block that is not whole yet was checked */
	uint8_t dead_errno;
};

enum http1_coding { HTTP1_NO_CODING, HTTP1_CHUNKED, HTTP1_OTHER_CODING };

/* A header block being read: where, into what, and what its fields said about framing so far. */
struct http1_reading {
	struct oa_bytes in; /* begins with the start line */
	struct oa_http_head *head;
	uint64_t length;
	uint32_t seen; /* bit per enum oa_http_field: had one */
	bool has_length, had_chunked, expect, close, keep_alive, upgrade, bare_lf;
	uint8_t coding; /* enum http1_coding */
};

/* -- http1_line.c -- */

/* Reads a start line into `h`, offsets from in.ptr.
 * returns its length with the line end; 0 incomplete; -EPROTO; -E2BIG */
long oa_http1_start_line(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h);
/* Length of an empty line at the start of `in`: 1, 2; 0 none; -EAGAIN: a CR and nothing behind it yet; -EPROTO */
int oa_http1_blank(struct oa_bytes in);
/* Decides when the start line is whole, or as soon as it cannot become one. */
enum oa_detect oa_http1_detect(enum oa_dir dir, struct oa_bytes in);

/* -- http1_scan_sse2.c, http1_scan_avx2.c: http1_scan.h compiled twice -- */

/* Reads the header lines that start at r->in.ptr[from]. returns offset behind the blank line; 0 incomplete; -EPROTO */
typedef long http1_scan_fn(struct http1_reading *r, size_t from);
http1_scan_fn oa_http1_scan_sse2, oa_http1_scan_avx2;
extern bool oa_http1_wide; /* the processor has AVX2 */

/* -- http1_framing.c -- */

/* Takes the value of a field that decides framing (HTTP1_* of http1_names.h). returns 0 or -EPROTO */
int oa_http1_take(struct http1_reading *r, unsigned id, struct oa_bytes value);
/* Turns what was taken into flags and length of r->head. returns 0 or -EPROTO */
int oa_http1_frame(const struct http1_reading *r, enum oa_dir dir);
/* The header announces a body that is not sent: HEAD, 204, 304, 2xx to CONNECT. */
void oa_http1_no_body(struct oa_http_head *h);

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

/* One header block at in.ptr[0], no empty lines before it. returns like oa_http1_parse_head */
long oa_http1_block(struct oa_bytes in, enum oa_dir dir, struct oa_http_head *h);
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
