#pragma once
/* The side thread's event loop and the descriptors it owns. Shared by what delivers: http_post.c (through
 * curl) and scrape.c (through evhttp on oa_loop_base()). oa_loop_open, _turn, _forget and _base are in
 * exporter.h.
 *
 * Hosts close descriptors that are not theirs and reuse the numbers (FAILURE-MODES rows 48-50). So ours are
 * moved to high numbers, remembered by identity, and looked at before every turn: one that is no longer ours
 * is forgotten, never closed, written or read. All of it runs on the side thread.
 */
#include <stdbool.h>
#include <stdint.h>

#define OA_LOOP_FDS_MAX 16 /* listener, its connection, each exporter's one or two, name servers' */

/* A descriptor of ours was taken away. `fd` may be somebody else's by now: unhook it from the loop without
 * touching it (bufferevent_setfd(bev, -1), event_del; no close, shutdown, send). Called from within
 * oa_loop_turn(), before any I/O of that turn. */
typedef void oa_loop_lost_fn(void *arg, int fd);

/* Opens a socket: close-on-exec, non-blocking, a high number, registered.
 *
 * lost      may be NULL: then ask oa_loop_fd_check() before each use
 * returns   the descriptor, or -errno (-EMFILE: OA_LOOP_FDS_MAX are open already)
 * runs on   side thread; locks: none; heap: no; blocks: no
 */
int oa_loop_fd_open(int domain, int type, int protocol, oa_loop_lost_fn *lost, void *arg);

/* The same for a descriptor that exists, say from a raw accept4: it is moved, the number given is closed in
 * any case, also when this fails. returns the new number or -errno */
int oa_loop_fd_adopt(int fd, oa_loop_lost_fn *lost, void *arg);

/* True while `fd` is one of ours and still the same file: asked of the kernel where the table is shared. */
bool oa_loop_fd_check(int fd);

/* Forgets the descriptor, and closes it if it is still ours. */
void oa_loop_fd_close(int fd);

/* -- loop_fd.c to loop.c -- */
/* Looks at all of them and calls `lost` for those that are gone. */
void oa_loop_fd_verify(void);
/* Child after fork: closes its copies of those that are still ours, forgets all. */
void oa_loop_fd_forget(void);

/* -- loop_curl.c -- */
#define OA_CURL_LOST (-1)

/* One transfer at a time of one curl easy handle; lives with its owner. */
struct oa_curl_transfer {
	void *easy; /* CURL *, made with oa_curl_own_sockets() */
	/* It ended. code: CURLcode; OA_CURL_LOST: the host took its connection away and the handle was left behind
	 * on purpose: do not touch it again, make a new one. Never called from within oa_curl_start(). */
	void (*done)(struct oa_curl_transfer *t, int code);
	bool talks; /* what it sends waits for what the other end says now and then (HTTP/2) */
	struct oa_curl_transfer *next; /* the loop's own */
};

/* Starts it. returns 0 or -errno */
int oa_curl_start(struct oa_curl_transfer *t);
/* Takes it out before it is done; done is not called. returns false when the handle had to be left behind, as
 * with OA_CURL_LOST */
bool oa_curl_cancel(struct oa_curl_transfer *t);
/* Sets the options of an easy handle that make curl use sockets of ours. */
void oa_curl_own_sockets(void *easy);
void oa_curl_forget(void);
