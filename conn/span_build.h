#pragma once
/* Protocol events of one connection -> exchanges and their records.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/exchange.h"
#include "proto/http1.h"

struct oa_feed {
	struct oa_conn *c;
	enum oa_dir dir;
	uint64_t now_ns; /* 0: not read yet, see oa_feed_now() */
	bool upgraded;   /* set when the rest is no longer the protocol */
};

uint64_t oa_feed_now(struct oa_feed *f);

/* struct oa_sink's functions; ctx is a struct oa_feed. Events here are HTTP/1's; conn/store.h, conn/http2.h and
 * conn/fastcgi.h have the others'. */
oa_event_fn oa_span_on_event;
void oa_span_on_message(void *ctx, const struct oa_http_head *head, uint64_t body_bytes, bool whole);
struct oa_request_note oa_span_request_note(void *ctx);
struct oa_request_note oa_span_stream_note(void *ctx, uint32_t stream);
/* conn/http2.h */
void *oa_http2_memory(void *ctx, void *old, size_t want, size_t *ret_bytes);

/* A request this process is about to send: opens its exchange, decides its parent, sampling and injection.
 * flags        OA_SPAN_* it has from the start
 * ret_result   enum oa_inject_result so far: NONE means "headers may be added", REWRITTEN "replace the id at
 *              remote->span_at"
 * returns exchange index or -1 */
struct oa_remote;
int64_t oa_span_open_client(struct oa_conn *c, const struct oa_http_head *head, enum oa_what what, uint32_t flags,
			    uint64_t now_ns, struct oa_remote *remote, uint8_t *ret_result);

/* The same of what has no HTTP head and carries no context. returns exchange index or -1 */
int64_t oa_span_open_call(struct oa_conn *c, enum oa_what what, uint64_t now_ns);

/* The same of what the program's library does when it likes: nobody is its parent. */
int64_t oa_span_open_apart(struct oa_conn *c, enum oa_what what, uint64_t now_ns);

/* What was prepared was not sent: its connection stands for the work that it was opened for again. */
void oa_span_give_back_work(struct oa_conn *c);

/* A connection attempt that failed. host: whom it was for, when that is known by name. */
void oa_span_connect_failed(struct oa_conn *c, uint64_t start_ns, uint64_t now_ns, enum oa_error error,
			    struct oa_bytes host);

/* Copies ids of a server exchange that may end at any moment on another thread. */
struct oa_parent_ids {
	uint8_t trace_id[16], span_id[8];
	uint32_t shown; /* OA_SHOWN_* */
};
bool oa_span_parent_ids(struct oa_ref ref, struct oa_parent_ids *ret);
