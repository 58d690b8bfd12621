#pragma once
/* Sessions of TLS libraries. Each is a connection of its own without a descriptor (struct oa_conn, tls = SESSION),
 * found by the address of the library's object. The plain text that passes through the library's calls goes through
 * the same feeding and injecting code as a socket's bytes do. Which socket carries a session is told by the random
 * number of its ClientHello, which both can see: whatever lies between them (memory BIOs, filters, other
 * threads) does not matter. The socket gives the session its peer, port, times and the request it was opened for.
 * docs/tls.md is the whole story.
 *
 * all: runs on host thread unless said; signal-safe: yes; locks: none held across real calls; heap: no (may mmap);
 * blocks: no; errno: may be clobbered */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conn/conn.h"
#include "conn/exchange.h"
#include "core/stats.h"

#define OA_TLS_PARTIAL 0x1u /* the library may take a part of a write and say so */
#define OA_TLS_MOVING  0x2u /* a repeated write may come from another address */
#define OA_TLS_NOTHING 0x4u /* or as no bytes at all */

/* A session as its library knows it, and what may be asked about it: nothing that changes it, fails loudly or
 * allocates. Each function may be missing (NULL) or not know (0). */
struct oa_tls_source {
	const struct oa_tls_ops *ops;
	const void *lib;         /* the ops' own */
	void *session;           /* the library's object */
};

struct oa_tls_ops {
	unsigned (*modes)(const struct oa_tls_source *src); /* OA_TLS_PARTIAL … */
	bool (*foreign)(const struct oa_tls_source *src); /* no stream of TLS records: left alone */
	bool (*random)(const struct oa_tls_source *src, uint8_t ret[32]); /* of the ClientHello */
	enum oa_role (*role)(const struct oa_tls_source *src);
	bool (*finished)(const struct oa_tls_source *src); /* the handshake */
	uint16_t (*version)(const struct oa_tls_source *src);
	uint16_t (*cipher)(const struct oa_tls_source *src); /* IANA's number */
	struct oa_bytes (*name)(const struct oa_tls_source *src); /* SNI */
	bool (*distrusted)(const struct oa_tls_source *src); /* the peer's certificate was refused */
};

enum oa_tls_result {
	OA_TLS_DONE,
	OA_TLS_AGAIN,  /* the same call must be made again */
	OA_TLS_FAILED, /* for good */
};

/* -- around the library's calls -- */

/* Before a call that hands plain text over or shakes hands. returns the session's connection; gen 0: not observed */
struct oa_ref oa_tls_find(const struct oa_tls_source *src);
/* An explicit handshake call that began at start_ns returned. */
void oa_tls_on_handshake(const struct oa_tls_source *src, struct oa_ref ref, uint64_t start_ns, enum oa_tls_result result);
/* n > 0 bytes of plain text were read. */
void oa_tls_on_read(const struct oa_tls_source *src, struct oa_ref ref, const void *buf, size_t n);
/* Nothing more can be read: the peer said goodbye (err 0), or errno. */
void oa_tls_on_end(const struct oa_tls_source *src, struct oa_ref ref, int err);
/* The host's bytes went out by a call that we do not rewrite. */
void oa_tls_on_sent(const struct oa_tls_source *src, struct oa_ref ref, const void *buf, size_t n);
/* n bytes went out that nobody could look at. */
void oa_tls_on_sent_blind(struct oa_ref ref, size_t n);
/* The host says that it sends no more. */
void oa_tls_on_shutdown(void *session);
/* The library's object is about to be freed, or to be used for another connection. */
void oa_tls_before_free(void *session);
/* This session cannot be followed: counted. */
void oa_tls_give_up(struct oa_ref ref, enum oa_stat reason);

/* Is some library holding a block of ours that it must get again? Also asked after we stood down. */
bool oa_tls_pinned(void);

/* -- writing (tls_write.c) -- */

/* One writing call of the host, on the hook's stack. */
struct oa_tls_write {
	const void *at;  /* what to give to the library now */
	size_t len;
	/* the rest is conn/'s */
	struct oa_ref ref;
	const uint8_t *host;
	size_t host_len, covered; /* the host's bytes, and how many of them the library has taken so far */
	unsigned how; /* OA_TLS_PARTIAL …, once something is pinned */
	uint8_t phase;
	struct iovec iov;
	struct oa_send send;
};

/* returns false: the host's call is to be made as it is, and nobody told. */
bool oa_tls_before_write(const struct oa_tls_source *src, struct oa_ref ref, const void *buf, size_t len,
			 struct oa_tls_write *w);
/* After a call with w->at, w->len. n: bytes taken, when DONE. returns true: one more call is to be made with w->at and
 * w->len; false: *ret_host is what the host gets, 0 for the library's own result */
bool oa_tls_after_write(const struct oa_tls_source *src, struct oa_tls_write *w, size_t n, enum oa_tls_result result,
			int err, size_t *ret_host);

/* -- for the rest of conn/, with the connection's lock held -- */

/* The first bytes of a socket (or of what is inside an outer session or tunnel) that looks like TLS. */
void oa_tls_hello(struct oa_conn *c, bool in, struct oa_bytes bytes);
/* What a record says about its TLS session. */
void oa_tls_describe(const struct oa_conn *c, struct oa_span *s);
/* The socket below a session is closed. */
void oa_tls_socket_closed(struct oa_conn *sock, uint64_t closed_ns);
void oa_tls_conn_freed(struct oa_conn *c);

/* Side thread: counts sockets whose session nobody showed us. all: at exit, without waiting for one. */
void oa_tls_reap(bool all);
void oa_tls_after_fork_child(void);
