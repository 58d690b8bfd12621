#pragma once
/* The two things conn/ keeps: a connection (one socket, whatever number it has) and an exchange (one request and
 * its response on it). Both live in pools and are named by index and generation; a name that outlived its
 * object is noticed. The future record of an exchange (struct oa_span, texts behind it) grows inside it, or in a
 * larger block when that is too small, and is pushed to the ring as it is. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn/pool.h"
#include "core/attr.h"
#include "core/span.h"
#include "proto/proto.h"

#define OA_PROTO_STATE_BYTES 32 /* of each direction; a protocol that needs more keeps a pool */

struct oa_ref {
	uint32_t index, gen; /* gen 0: no object */
};

/* In one word, for what other threads look at. */
static inline uint64_t oa_ref_pack(struct oa_ref r)
{
	return (uint64_t)r.index << 32 | r.gen;
}

static inline struct oa_ref oa_ref_unpack(uint64_t v)
{
	return (struct oa_ref){ (uint32_t)(v >> 32), (uint32_t)v };
}

enum oa_role { OA_ROLE_UNKNOWN, OA_ROLE_SERVER, OA_ROLE_CLIENT };

enum oa_conn_state {
	OA_CONN_CONNECTING,
	OA_CONN_NEW,    /* no byte seen */
	OA_CONN_HTTP,   /* parsed by proto */
	OA_CONN_TUNNEL, /* after Upgrade or CONNECT: bytes are counted for one session span */
	OA_CONN_OPAQUE, /* left alone for good */
};

#define OA_CONN_NONBLOCK 0x01u
#define OA_CONN_UNIX     0x02u
#define OA_CONN_USED     0x04u /* had an exchange */
#define OA_CONN_EOF_IN   0x08u
#define OA_CONN_WORKING  0x10u /* its opening counts as work of `bound` */
#define OA_CONN_COUNTED  0x20u /* in the stats as opaque already */
#define OA_CONN_SENDING  0x80u /* HTTP/2 client: a thread is in a call that sends requests */

/* What a connection has to do with TLS. */
enum oa_conn_tls {
	OA_TLS_NONE,
	OA_TLS_HELLO,   /* its first bytes look like TLS: the rest of them is awaited */
	OA_TLS_BELOW,   /* it carries TLS; conn/tls_hello.c knows whether a session was found for it */
	OA_TLS_SESSION, /* it is what is inside: a session of a TLS library, no descriptor of its own */
};

struct oa_conn {
	uint32_t pool_next;      /* the pool's */
	/* Read without the lock, by threads whose descriptor may mean something else by now. */
	_Atomic uint32_t gen;    /* odd while it is a connection */
	_Atomic uint16_t lock;
	_Atomic uint16_t contended; /* two threads met in it: opaque from now on */
	_Atomic uint16_t refs;   /* descriptors that mean it (dup) */
	_Atomic uint8_t role, state;
	_Atomic uint32_t stash;  /* block + 1: our bytes a short write left over */
	_Atomic uint32_t out_seq;
	_Atomic uint64_t closed_ns; /* time of close(), while the slot is closing; client before that: when connect() began, 0 not known */
	_Atomic uint32_t index;  /* its own: the same in each of its lives */
	/* The rest belongs to whoever has the lock. */
	uint8_t flags, proto;    /* proto: index in oa_protos + 1 */
	union {
		uint16_t local_port; /* server */
		uint16_t home;       /* client: oa_exchange_home of the process that used it last */
	};
	uint16_t open;           /* exchanges in the queue */
	uint16_t served;         /* exchanges so far, saturating */
	struct oa_addr peer;
	uint32_t first, last;    /* queue of exchanges, index + 1 */
	uint32_t carry[2];       /* block + 1: bytes the parser has not taken yet, by enum oa_dir */
	struct oa_ref bound;     /* client: the server exchange this connection was opened for, or oa_ctx_opener()'s note */
	uint8_t stash_cls;
	uint8_t answered;        /* requests of the call being fed whose exchanges are over already; HTTP/2: some are
				  * OA_EX_ANSWERED */
	union {
		uint16_t stash_off;
		uint16_t bound_at; /* client, before its first use: see oa_ctx_opener() */
	};
	uint16_t stash_len;
	uint16_t stash_skip;     /* host bytes they replace */
	uint16_t peer_path_len;
	uint8_t tls;             /* enum oa_conn_tls */
	uint8_t user;            /* HTTP/2 client: the thread that sends on it, see conn/context_pick.c */
	uint16_t peer_path;      /* block + 1: AF_UNIX path */
	uint16_t proxied;        /* of a PROXY header, see conn/proxied.h; 0 none */
	uint32_t dns_us;
	uint32_t session;        /* TLS_SESSION: index + 1 of its struct oa_tls_session */
	struct oa_ref other;     /* TLS: the session of a socket, the socket of a session; gen 0: none */
	union {
		uint64_t connect_ns; /* CONNECTING: start of connect() */
		struct {             /* later */
			uint32_t connect_us; /* how long it took, see oa_conn_connect_us() */
			uint32_t store;      /* stores: index + 1 of what conn/store_session.c remembers */
		};
	};
	uint8_t pstate[2][OA_PROTO_STATE_BYTES] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct oa_conn) == 3 * 64, "whole cache lines, and at most 256 bytes per idle connection");

static inline uint32_t oa_conn_connect_us(const struct oa_conn *c)
{
	return c->state == OA_CONN_CONNECTING ? 0 : c->connect_us;
}

/* Some look at it without the lock. */
static inline void oa_conn_set_proto(struct oa_conn *c, uint8_t proto)
{
	__atomic_store_n(&c->proto, proto, __ATOMIC_RELAXED);
}

static inline void oa_conn_set_state(struct oa_conn *c, enum oa_conn_state state)
{
	atomic_store_explicit(&c->state, (uint8_t)state, memory_order_relaxed);
}

/* Flags change under the connection's lock only, by oa_exchange_flag(). */
#define OA_EX_PREPARED  0x01u /* request not accepted by the kernel yet */
#define OA_EX_REQ_DONE  0x02u
#define OA_EX_RESPONDED 0x04u /* final status seen */
#define OA_EX_ACTIVE    0x08u /* counted in the active gauge */
#define OA_EX_HEAD      0x10u
#define OA_EX_CONNECT   0x20u
#define OA_EX_ANSWERED  0x40u /* over since duration_ns; HTTP/2 client: but for what the sending thread has to say of the
			       * request; stores: but for more of the same batch */
#define OA_EX_SILENT    0x100u /* stores: gets no answer */
#define OA_EX_POLL      0x400u /* stores: waits for something to happen, and may be given up at any time */
#define OA_EX_QUIET     0x200u /* stores: nothing happened, it is not to be told */
#define OA_EX_NONBLOCK  0x80u /* server: read from a non-blocking socket */

#define OA_EXCHANGE_TEXT 464 /* record bytes an exchange holds itself: enough for a usual GET */

#define OA_SHOWN_SAMPLED 0x1u
#define OA_SHOWN_RANDOM  0x2u
#define OA_SHOWN_STATE   0x4u /* it has a tracestate */
#define OA_SHOWN_BAGGAGE 0x10u /* it has baggage */
#define OA_SHOWN_TAIL    0x20u /* OA_SPAN_TAIL */

struct oa_exchange {
	uint32_t pool_next;
	_Atomic uint32_t gen;       /* even: free */
	/* Threads that have nothing but its name look at these, at any time; then they ask for gen again. */
	_Atomic uint64_t ids[3];    /* server: trace id and span id, by oa_exchange_show() */
	_Atomic uint64_t owner;     /* server: struct oa_ref of the context state of the thread that read it */
	_Atomic uint32_t shown;     /* OA_SHOWN_* */
	_Atomic uint32_t conn;      /* index of its connection */
	_Atomic uint32_t flags;     /* OA_EX_* */
	_Atomic uint32_t pending;   /* server: outgoing work under way for it */
	_Atomic uint32_t touch_wait; /* server: owner's wait count when last touched */
	_Atomic uint8_t loose;      /* server: may go on for reasons we cannot see (docs/context.md) */
	/* The rest belongs to whoever has the connection's lock. */
	uint8_t cls;                /* class of the block; 0: the record is in first[] */
	uint8_t active_method;      /* what the active gauge was counted under */
	uint8_t looked_at;          /* HTTP/2 client: low byte of the send that it was prepared for last */
	uint32_t next, prev;        /* in the connection's queue, index + 1; */
	uint32_t stream;            /* HTTP/2; stores whose answers do not just come in order; 0 none */
	uint32_t block;             /* index of the block, when cls > 0 */
	struct oa_span *span;       /* its record: first[], or a block */
	uint16_t fork_gen;          /* forks of this process and its parents when it was opened */
	uint16_t home;              /* generation of the process that counts it */
	uint32_t baggage;           /* block + 1 of class 2, 0 none */
	uint32_t baggage_len;       /* HTTP/2 client: recognises its header block instead; stores: the command's hint */
	union {
		struct oa_ref parent;   /* client: the server exchange it was made for */
		uint32_t ahead;         /* HTTP/2 server: header blocks of the response that were decoded before they
					 * were sent, by exclusive or of their hashes */
	};
	uint8_t first[OA_EXCHANGE_TEXT] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct oa_exchange) == 9 * 64, "whole cache lines");

static inline void oa_exchange_flag(struct oa_exchange *ex, uint32_t set, uint32_t clear)
{
	uint32_t was = atomic_load_explicit(&ex->flags, memory_order_relaxed);

	atomic_store_explicit(&ex->flags, (was & ~clear) | set, memory_order_relaxed);
}

#define OA_CONN_CHUNK_SHIFT     9
#define OA_EXCHANGE_CHUNK_SHIFT 8
extern struct oa_pool oa_conn_pool, oa_exchange_pool;

static inline struct oa_conn *oa_conn_at(uint32_t index)
{
	return oa_pool_at_of(&oa_conn_pool, index, sizeof(struct oa_conn), OA_CONN_CHUNK_SHIFT);
}

static inline struct oa_exchange *oa_exchange_at(uint32_t index)
{
	return oa_pool_at_of(&oa_exchange_pool, index, sizeof(struct oa_exchange), OA_EXCHANGE_CHUNK_SHIFT);
}

/* The exchange a reference names, or NULL when it ended. Another thread may end it right after. */
static inline struct oa_exchange *oa_exchange_get(struct oa_ref ref)
{
	struct oa_exchange *ex;

	if (!ref.gen)
		return NULL;
	ex = oa_exchange_at(ref.index);
	return atomic_load_explicit(&ex->gen, memory_order_acquire) == ref.gen ? ex : NULL;
}

/* Blocks in classes: 512 bytes, 2 KiB, 16 KiB for texts and records; 36 KiB for a header block that comes in pieces. */
#define OA_BLOCK_CLASSES 4
#define OA_BLOCK_RECORD  2 /* the largest a record may stand in */
extern const uint32_t oa_block_bytes[OA_BLOCK_CLASSES];
/* returns index or -1; counted as drop_text_pool */
int64_t oa_block_take(unsigned cls);
void oa_block_give(unsigned cls, uint32_t index);
uint8_t *oa_block_at(unsigned cls, uint32_t index);

/* -- exchange.c -- */

/* A fresh exchange of a connection, linked at the end of its queue; its record zeroed, start time set.
 * returns index or -1 (counted). The connection's lock is held. */
int64_t oa_exchange_open(struct oa_conn *c, enum oa_kind kind, enum oa_what what, uint64_t now_ns);
/* Its record. Moves when a text makes it grow. */
static inline struct oa_span *oa_exchange_span(const struct oa_exchange *ex)
{
	return ex->span;
}
/* Sets a text of the record, growing the block; cut and flagged when there is no room left. */
void oa_exchange_set_str(struct oa_exchange *ex, enum oa_str which, struct oa_bytes text);
/* Room in its record for a text of `len` bytes, which the caller writes at once; NULL: for oa_exchange_set_str(). */
static inline uint8_t *oa_exchange_text_room(struct oa_exchange *ex, enum oa_str which, size_t len)
{
	struct oa_span *s = ex->span;
	uint16_t at = s->bytes;

	if (OA_UNLIKELY(ex->cls || at + len > OA_EXCHANGE_TEXT))
		return NULL;
	s->str[which] = (struct oa_strref){ at, (uint16_t)len };
	s->bytes = (uint16_t)(at + len);
	return (uint8_t *)s + at;
}
/* Server: shows its ids to threads that make calls for it. Before anybody has its name. */
void oa_exchange_show(struct oa_exchange *ex);
/* Counts it in http.*.active_requests until it ends; its method is set. */
void oa_exchange_count_active(struct oa_exchange *ex);
/* Finishes: record to the ring, context released, object freed. It must be unlinked or first in its queue.
 * error: OA_ERR_NONE when all is well */
void oa_exchange_finish(struct oa_conn *c, uint32_t index, uint64_t now_ns, enum oa_error error);
/* Frees without a record: a prepared request the kernel did not take. */
void oa_exchange_discard(struct oa_conn *c, uint32_t index);

/* Counts forks (both sides) and child generations, see struct oa_exchange. */
extern _Atomic uint16_t oa_exchange_fork_gen, oa_exchange_home;

/* The process forked after it was opened: another process may be the one that answers. */
static inline bool oa_exchange_shared(const struct oa_exchange *ex)
{
	return ex->fork_gen != oa_exchange_fork_gen;
}
