#pragma once
/* POSTs bodies to one URL, one at a time, with retries: what OTLP over HTTP and gRPC and their like deliver with. Built on
 * curl in the loop; never waits. It reads files only when opened. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "exporter/endpoint.h"

#define OA_POST_CONNECT_MS 1000

#define OA_USER_AGENT      "otelauto/" OA_VERSION
#define OA_OTLP_USER_AGENT OA_USER_AGENT " OTel-OTLP-Exporter-C/" OA_VERSION

struct oa_post_config {
	const char *what;              /* "OTLP traces", for messages */
	const struct oa_endpoint *to;
	uint64_t timeout_ms;           /* one request; 0: none but the deadline */
	bool grpc;                     /* over HTTP/2, framed, judged by grpc-status */
	bool once;                     /* never repeats by itself */
	bool get;                      /* asks instead: GET, without a body */
	bool aside;                    /* no spans: not counted, and no news about the batch under way */
	const char *const *headers;    /* lines for curl, NULL at the end: Content-Type and those of the user */
	const char *user_agent;        /* a literal */
	const char *ca_file;           /* PEM; "" or NULL: the system's bundle */
	const char *cert_file, *key_file; /* PEM; "" or NULL: none */
};

enum oa_post_end {
	OA_POST_OK,     /* a 2xx answer */
	OA_POST_FAILED, /* a final answer that is none, or no answer until the deadline */
};

struct oa_post_result {
	enum oa_post_end end;
	bool passes;          /* FAILED, but the same request may succeed later */
	uint64_t pause_ms;    /* passes: not before that, as the receiver said or we choose */
	unsigned status;      /* HTTP's, of the last answer, 0 none */
	struct oa_bytes body; /* of the last answer, borrowed for the call; may be cut when the connection broke. gRPC: the
			       * message, empty when it failed */
	const char *why;      /* for messages: what went wrong with the last attempt */
	const char *said;     /* the receiver's own words, printable; gRPC only, else "" */
};

typedef void oa_post_done_fn(void *arg, const struct oa_post_result *result);

struct oa_post;

/* Reads the files and prepares curl. Says one line when something is wrong.
 * ret_post  set on success; lives until the process ends or forks
 * returns   0 or -errno */
int oa_post_open(const struct oa_post_config *config, struct oa_post **ret_post);

/* Sends `body`, which must stay until done is called, once, maybe before this returns. Repeats (retry.h) after 429,
 * 502, 503, 504, after the gRPC codes that pass, and when there was no answer, as long as the next attempt begins before
 * deadline_ns (UINT64_MAX: none). Counts every request in otelauto_export_requests.
 *
 * gzip   body is compressed: Content-Encoding or grpc-encoding is sent */
void oa_post_send(struct oa_post *p, struct oa_bytes body, bool gzip, uint64_t deadline_ns, oa_post_done_fn *done,
		  void *arg);

/* Gives up what is under way; done is not called. */
void oa_post_cancel(struct oa_post *p);
bool oa_post_busy(const struct oa_post *p);
/* Is it busy, but will do nothing before until_ns? */
bool oa_post_pauses(const struct oa_post *p, uint64_t until_ns);
