#pragma once
/* The finished record: what a host thread leaves in the ring for one exchange, and what the exporters
 * read. A fixed head without pointers, then `text`: the pieces named by `str[]`, packed. Processors on
 * the side thread add texts (name, route) and rewrite some (query redaction); see pipeline/. */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/limits.h"

enum oa_kind { OA_KIND_INTERNAL = 1, OA_KIND_SERVER = 2, OA_KIND_CLIENT = 3 }; /* OTLP's numbers */

/* What sort of exchange it was. */
enum oa_what {
	OA_WHAT_HTTP = 1,    /* one HTTP request and its response */
	OA_WHAT_TUNNEL = 2,  /* what followed a CONNECT or an Upgrade: byte counts only */
	OA_WHAT_CONNECT = 3, /* a connection attempt that failed */
	OA_WHAT_RPC = 4,     /* one gRPC call: status is the call's, not HTTP's */
	OA_WHAT_DB = 5,      /* one command to a data store, cache or broker, and its answer */
};

enum oa_method {
	OA_METHOD_OTHER, OA_METHOD_CONNECT, OA_METHOD_DELETE, OA_METHOD_GET, OA_METHOD_HEAD, OA_METHOD_OPTIONS,
	OA_METHOD_PATCH, OA_METHOD_POST, OA_METHOD_PUT, OA_METHOD_TRACE, OA_METHOD_QUERY, OA_METHOD_COUNT,
};

#define OA_SPAN_SAMPLED       0x0001u /* export it; metrics are made in any case */
#define OA_SPAN_PARENT_REMOTE 0x0002u /* parent came in a message from another process */
#define OA_SPAN_RANDOM        0x0004u /* W3C level 2 random flag */
#define OA_SPAN_TRUNCATED     0x0008u /* a text was cut at its limit */
#define OA_SPAN_INJECTED      0x0010u /* our context header went out with this request */
#define OA_SPAN_REWRITTEN     0x0020u /* a traceparent passed through by the host was rewritten in place */
#define OA_SPAN_FOREIGN       0x0040u /* the host set its own traceparent; left alone */
#define OA_SPAN_HTTPS         0x0080u /* inside TLS */
#define OA_SPAN_UNIX          0x0100u /* over an AF_UNIX socket; client: OA_STR_PEER_PATH is the path */
#define OA_SPAN_REUSED        0x0200u /* not the first exchange on its connection */
#define OA_SPAN_INCOMPLETE    0x0400u /* the body was cut short */
#define OA_SPAN_HAS_STATUS    0x0800u
#define OA_SPAN_HAS_REQ_BODY  0x1000u /* req_body is known (also when 0) */
#define OA_SPAN_HAS_RESP_BODY 0x2000u
#define OA_SPAN_OWN_DECISION  0x01000000u /* our sampler decided, not the caller: `rule` is the class it did so for */
#define OA_SPAN_TAIL          0x02000000u /* the local tail rule may keep it, or change what it stands for */
#define OA_SPAN_HELD          0x04000000u /* side thread: its copy waits for its local root (pipeline/keep.c) */
#define OA_SPAN_LOST          0x08000000u /* side thread: sampled, and there was no room for it in the queue */
/* Its texts may be wanted. */
#define OA_SPAN_TEXTS         (OA_SPAN_SAMPLED | OA_SPAN_TAIL)

enum oa_str {
	OA_STR_METHOD,      /* as sent, only when the method is OA_METHOD_OTHER */
	OA_STR_TARGET,      /* request target as sent, cut at OA_TARGET_TEXT_MAX */
	OA_STR_HOST,        /* Host header */
	OA_STR_USER_AGENT,
	OA_STR_FWD_FOR,     /* first hop of Forwarded / X-Forwarded-For */
	OA_STR_FWD_PROTO,   /* Forwarded proto= / X-Forwarded-Proto */
	OA_STR_FWD_HOST,    /* Forwarded host= / X-Forwarded-Host */
	OA_STR_TRACESTATE,
	OA_STR_PEER_PATH,   /* client: AF_UNIX path */
	OA_STR_PROXIED = OA_STR_PEER_PATH, /* server: struct oa_addr of the client that a PROXY header named */
	OA_STR_LINKS,       /* packed struct oa_link, at most OA_LINKS_MAX, or OA_MESSAGE_LINKS_MAX */
	OA_STR_HEADERS,     /* captured: repeated { u8 0 request | 1 response, u8 name length, u16 value length
			     * (host order), name in lower case, value } */
	OA_STR_UPGRADE,     /* protocol of an Upgrade ("websocket"), or "connect" */
	OA_STR_SAMPLER,     /* u8 enum oa_sampler_type, then sampler.param */
	OA_STR_RPC,         /* begins with struct oa_rpc */
	OA_STR_DB = OA_STR_RPC, /* begins with struct oa_db; its texts follow */
	OA_STR_NAME,        /* side thread: span name */
	OA_STR_ROUTE,       /* side thread: http.route */
	OA_STR_DB_SUMMARY = OA_STR_ROUTE, /* side thread: db.query.summary */
	OA_STR_PATH,        /* side thread: url.path */
	OA_STR_DB_NAMESPACE = OA_STR_PATH, /* a store's database, where it has a name */
	OA_STR_MSG_CLIENT = OA_STR_PATH,   /* what a broker's client calls itself */
	OA_STR_QUERY,       /* side thread: url.query, redacted */
	OA_STR_DB_TEXT = OA_STR_QUERY, /* of a query as it was sent; pipeline/sql.c makes it what may leave the process */
	OA_STR_MSG_GROUP = OA_STR_QUERY, /* the group of consumers that a broker is asked about */
	OA_STR_COUNT,
};

/* Of a gRPC call. */
struct oa_rpc {
	uint64_t timeout_ns;  /* the deadline it was given, 0 none */
	uint32_t messages[2]; /* complete ones: of the client, of the server */
	uint32_t unseen;      /* some payload passed that nobody could look at */
	uint32_t pad;
};

enum oa_store_system {
	OA_STORE_REDIS = 1, OA_STORE_MEMCACHED, OA_STORE_POSTGRESQL, OA_STORE_MYSQL, OA_STORE_FASTCGI, OA_STORE_MONGODB,
	OA_STORE_KAFKA, OA_STORE_AMQP, OA_STORE_DNS, OA_STORE_SQLITE, OA_STORE_SYSTEM_COUNT,
};

#define OA_DB_HAS_ROWS 0x01u
#define OA_DB_HAS_NS   0x02u /* `ns` is the database's number */
#define OA_DB_FAILED   0x04u
#define OA_DB_OTHER    0x08u /* conn/: another topic than the one that is named follows */
#define OA_DB_USES     0x10u /* conn/: is about the database of all that follows */
#define OA_DB_WHOLE    0x20u /* conn/: several statements, each with an answer */
#define OA_DB_EXECUTE  0x40u /* conn/: may be run several times in a row, as one batch */
#define OA_DB_NAMED    0x80u /* conn/: the target has brought something, and stays */
#define OA_DB_ANSWER   (OA_DB_HAS_ROWS | OA_DB_HAS_NS | OA_DB_FAILED) /* what others than conn/ may look at */

#define OA_DB_ESCAPES       1u /* a backslash in a string is one */
#define OA_DB_NO_ESCAPES    2u
#define OA_DB_ESCAPES_MIXED 3u /* it has changed on this connection */

#define OA_DB_NAME_MAX 64 /* operation, target: longer ones are cut */

/* Of a command to a store. */
struct oa_db {
	uint64_t rows;
	uint32_t args;        /* behind the operation */
	uint32_t ns;          /* number of the database; of a topic's partition */
	uint32_t batch;       /* operations it is, 0 and 1: one; messages it carries */
	uint16_t status_num;
	uint8_t system;       /* enum oa_store_system */
	uint8_t flags;        /* OA_DB_* */
	uint8_t operation, target, status; /* lengths of the texts behind it, in this order */
	uint8_t escapes;      /* OA_DB_ESCAPES …: how strings in the text are to be read; 0 not known */
	uint32_t done;        /* conn/: operations that were answered */
};

struct oa_link {
	uint8_t trace_id[16];
	uint8_t span_id[8];
};

/* error.type values that are not a status code: error.def has the names. */
enum oa_error {
	OA_ERR_NONE,
#define OA_ERROR(id, name, help) OA_ERR_##id,
#include "core/error.def"
#undef OA_ERROR
	OA_ERR_COUNT,
};

/* Which rule of docs/context.md gave the parent; exported as otelauto_parent_total{evidence=…}. */
enum oa_evidence {
	OA_EV_ROOT,        /* no candidate at all: nothing was being served */
	OA_EV_REMOTE,      /* server side: the peer sent a context */
	OA_EV_MESSAGE,     /* the outgoing message carried a context */
	OA_EV_BOUND,       /* the connection belongs to a known exchange */
	OA_EV_TURN,        /* same turn of the loop / same thread */
	OA_EV_ONLY,        /* the only open exchange */
	OA_EV_FINGERPRINT, /* the only candidate that matches the outgoing request */
	OA_EV_AMBIGUOUS,   /* several candidates: no parent, links instead */
	OA_EV_COUNT,
};

struct oa_addr {
	uint8_t family;    /* 0 unknown, 4, 6, 1 = unix */
	uint8_t pad;
	uint16_t port;     /* host order; 0 for unix */
	uint8_t ip[16];    /* network order; IPv4 in the first four bytes; v4-mapped is stored as IPv4 */
};

struct oa_strref {
	uint16_t off, len; /* off is from the start of struct oa_span */
};

struct oa_span {
	uint32_t seq;         /* the ring's own: publication word, leave alone */
	uint16_t bytes;       /* head and text */
	uint8_t kind;         /* enum oa_kind */
	uint8_t what;         /* enum oa_what */
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint8_t parent_id[8]; /* zero: root */
	uint64_t start_ns;    /* CLOCK_MONOTONIC; exporters see unix time after pipeline/ (OA_SPAN has start_unix_ns) */
	uint64_t duration_ns;
	uint64_t start_unix_ns; /* 0 in the ring; set by the side thread */
	uint32_t flags;       /* OA_SPAN_* */
	uint16_t status;      /* HTTP status code */
	uint8_t method;       /* enum oa_method */
	uint8_t version;      /* 10, 11, 20; 0 unknown */
	uint8_t error;        /* enum oa_error */
	uint8_t evidence;     /* enum oa_evidence */
	uint8_t inject;       /* enum oa_inject_result (core/inject_result.h): why or why not */
	uint8_t resend;       /* http.request.resend_count, 0 = first */
	uint32_t pid;
	union {
		uint64_t req_body; /* payload bytes; for tunnels: bytes sent by the client */
		uint64_t made_ns;  /* stores: how long it took until the connection took commands; 0: not its first, or not known */
	};
	uint64_t resp_body;   /* the same of the server */
	uint32_t dns_us, connect_us;  /* 0 unknown; on the first exchange of a client connection */
	uint32_t tls_us;              /* the handshake's; 0 unknown; on the first exchange inside TLS */
	uint16_t tls_version;         /* as on the wire, 0x0304 is TLS 1.3; 0 unknown */
	uint16_t tls_cipher;          /* IANA's number of the cipher suite; 0 unknown */
	struct oa_addr peer;  /* the other end of the socket */
	uint16_t local_port;  /* server side: the port that was listened on; 0 unknown */
	uint8_t rule;         /* class of its sampling decision (core/sampling.h) */
	uint8_t keep;         /* side thread: enum oa_keep + 1, why the tail rule kept it; 0 it did not */
	struct oa_strref str[OA_STR_COUNT];
	uint8_t text[];
};

/* Side-thread scratch: a record with room for the texts processors add. */
struct oa_span_buf {
	union {
		struct oa_span s;
		uint8_t raw[64 * OA_SLOT_BYTES];
	};
};

static inline struct oa_bytes oa_span_str(const struct oa_span *s, enum oa_str which)
{
	return oa_bytes((const uint8_t *)s + s->str[which].off, s->str[which].len);
}

static inline bool oa_span_has_parent(const struct oa_span *s)
{
	uint64_t id;

	memcpy(&id, s->parent_id, 8);
	return id != 0;
}

/* What was asked of a store. returns false when the record holds none; the texts point into it */
struct oa_db_texts {
	struct oa_bytes operation, target, status;
};
bool oa_span_db(const struct oa_span *s, struct oa_db *ret, struct oa_db_texts *ret_texts);

/* Sets one text of a record that has `cap` bytes in all (replacing it leaves the old bytes unused).
 *
 * returns   0; -ENOSPC: the text was cut to what fits and OA_SPAN_TRUNCATED set
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
int oa_span_set_str(struct oa_span *s, size_t cap, enum oa_str which, struct oa_bytes text);

/* A copy, but for its seq, without the bytes that no text refers to, when those are more than a few. Texts that share bytes are written twice; what does not fit is cut. */
void oa_span_pack(const struct oa_span *s, struct oa_span_buf *ret_copy);

/* "ECONNRESET" for OA_ERR_ECONNRESET; "" for OA_ERR_NONE. */
const char *oa_error_name(enum oa_error e);

/* errno of a socket call -> enum oa_error; OA_ERR_OTHER when it has no own name. */
enum oa_error oa_error_from_errno(int err);

/* "GET"; OA_METHOD_OTHER -> "_OTHER" (semantic conventions 1.44.0). */
const char *oa_method_name(enum oa_method m);

/* Case-sensitive, as HTTP is. Unknown -> OA_METHOD_OTHER. */
enum oa_method oa_method_parse(struct oa_bytes name);

/* -- known_methods.c: what OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS makes of methods; right side -- */
/* http.request.method: the method itself when it is known, else "_OTHER". */
struct oa_bytes oa_span_method(const struct oa_span *s);
/* As it came over the wire. */
struct oa_bytes oa_span_method_sent(const struct oa_span *s);
/* The same as oa_span_method() for the name of a method. */
struct oa_bytes oa_method_exported(struct oa_bytes name);
static inline bool oa_method_is_other(struct oa_bytes exported)
{
	return oa_bytes_eq(exported, OA_LIT("_OTHER"));
}

/* "turn" for OA_EV_TURN. */
const char *oa_evidence_name(enum oa_evidence e);
