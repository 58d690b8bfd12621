#pragma once
/* POSTs bodies to one URL, one at a time, with retries: what OTLP/HTTP and its like deliver with. Built on curl in the
 * loop; never waits. It reads files only when opened. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "exporter/endpoint.h"

#define OA_POST_RESPONSE_MAX (4u << 20) /* OTLP's suggestion; a longer answer is a failure that is not repeated */
#define OA_POST_CONNECT_MS   1000

struct oa_post_config {
	const char *what;              /* "OTLP traces", for messages */
	const struct oa_endpoint *to;
	uint64_t timeout_ms;           /* one request; 0: none but the deadline */
	const char *const *headers;    /* lines for curl, NULL at the end: Content-Type and those of the user */
	const char *ca_file;           /* PEM; "" or NULL: the system's bundle */
	const char *cert_file, *key_file; /* PEM; "" or NULL: none */
};

enum oa_post_end {
	OA_POST_OK,     /* a 2xx answer */
	OA_POST_FAILED, /* a final answer that is none, or no answer until the deadline */
};

struct oa_post_result {
	enum oa_post_end end;
	unsigned status;      /* of the last answer, 0 none */
	struct oa_bytes body; /* of the last answer, borrowed for the call; may be cut when the connection broke */
	const char *why;      /* for messages: what went wrong with the last attempt */
};

typedef void oa_post_done_fn(void *arg, const struct oa_post_result *result);

struct oa_post;

/* Reads the files and prepares curl. Says one line when something is wrong.
 * ret_post  set on success; lives until the process ends or forks
 * returns   0 or -errno */
int oa_post_open(const struct oa_post_config *config, struct oa_post **ret_post);

/* Sends `body`, which must stay until done is called, once, maybe before this returns. Repeats (retry.h) after 429,
 * 502, 503, 504 and when there was no answer, as long as the next attempt begins before deadline_ns (UINT64_MAX:
 * none). Counts every request in otelauto_export_requests.
 *
 * gzip   body is compressed: Content-Encoding is sent */
void oa_post_send(struct oa_post *p, struct oa_bytes body, bool gzip, uint64_t deadline_ns, oa_post_done_fn *done,
		  void *arg);

/* Gives up what is under way; done is not called. */
void oa_post_cancel(struct oa_post *p);
