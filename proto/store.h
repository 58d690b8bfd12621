#pragma once
/* Commands and answers of data stores, caches and brokers, as all their parsers report them. A command is one
 * REQUEST, maybe BODY-less bytes nobody reports, and one END; its answer is one RESPONSE or more, and one END; an event
 * that says `whole` is both in one. What says something about the connection without being a command is a NOTE. Slices live as long
 * as the event call.
 *
 * How an answer finds its command:
 *   by order    stream 0: the first command that is open
 *   by stream   OA_STORE_BY_STREAM: the command of that number (correlation id, request id, channel)
 *   by group    OA_STORE_BY_GROUP: the first open command of that group; GROUP_END ends all of the group, answered or
 *               not (PostgreSQL: what the server skipped behind an error gets no answer of its own) */
#include "core/span.h"
#include "proto/proto.h"

#define OA_STORE_TEXT_MAX 4096 /* bytes of query text a command carries; what is behind is not kept */
#define OA_STORE_NAME_MAX 256  /* operation, target, namespace, user, status */

#define OA_STORE_BY_STREAM 0x0001u
#define OA_STORE_BY_GROUP  0x0002u
#define OA_STORE_WHOLE     0x0004u /* command: ends with its group only (a query of several statements) */
#define OA_STORE_LAST      0x0008u /* command: behind its answer the connection is another thing (SUBSCRIBE, TLS) */
#define OA_STORE_NO_REPLY  0x0010u /* command: gets no answer, is over when it is sent */
#define OA_STORE_PREPARE   0x0020u /* command or NOTE: `text` is that of statement `stmt` from now on */
#define OA_STORE_EXECUTE   0x0040u /* command: runs statement `stmt`; no text */
#define OA_STORE_FORGET    0x0080u /* NOTE: statement `stmt` is closed */
#define OA_STORE_SESSION   0x0100u /* NOTE: `user`, `ns`: who talks to what from now on */
#define OA_STORE_CUT       0x0200u /* a text is not whole */
#define OA_STORE_FAILED    0x0400u /* answer: `status` says why */
#define OA_STORE_HAS_ROWS  0x0800u /* answer: `rows` is known */
#define OA_STORE_SQL       0x1000u /* `text` is SQL, literals and all */
#define OA_STORE_HAS_NS    0x2000u /* command: `ns_num` is the namespace (Redis) */
#define OA_STORE_PARAM     0x4000u /* NOTE: parameter `operation` of the command is `text` (FastCGI) */
#define OA_STORE_PARAM_END 0x8000u /* NOTE: all parameters were said: who caused the command can be decided */
#define OA_STORE_PART  0x10000u /* NOTE: of the command, or answer, being told: what follows is about `target`, or what `ns` is
				 * the number of; with HAS_ROWS: `rows` messages, 0 unknown, of its part `ns_num`; with `text`: one of them was
				 * made there */
#define OA_STORE_NAMED 0x20000u /* NOTE: what has the number `ns` is called `target` */
#define OA_STORE_QUIET 0x40000u /* answer: nothing happened, and it is not worth a span; command: nor when who asked hangs up */

/* NOTE: the connection takes commands, and whether a transaction is open on it. */
#define OA_STORE_READY  1u
#define OA_STORE_IN_TX  2u

#define OA_STORE_NEWEST UINT32_MAX /* `stmt`: the one that was prepared last */

/* What the answers of a command end; conn/ keeps it in the exchange and gives it back in oa_request_note.hint. */
struct oa_store_msg {
	uint32_t flags;        /* OA_STORE_* */
	uint8_t system;        /* enum oa_store_system */
	uint8_t pad;
	uint16_t hint;         /* command: what the parser of its answer must know */
	uint16_t status_num;   /* answer: a numeric status, 0 none; NOTE: OA_STORE_READY …, 0 nothing new */
	uint32_t args;         /* command: arguments behind the operation */
	uint32_t batch;        /* command: how many operations it is; 0 and 1: one */
	uint64_t rows;         /* answer: rows, documents, records it brought so far */
	uint64_t stmt;         /* statement's number, or the hash of its name */
	uint32_t ns_num;
	struct oa_bytes operation; /* as sent */
	struct oa_bytes target;    /* collection, topic, queue, script, question */
	struct oa_bytes ns;        /* database, virtual host */
	struct oa_bytes user;
	struct oa_bytes text;      /* raw: leaves the process through pipeline/sql only; of a message that came: its traceparent */
	struct oa_bytes status;    /* "WRONGTYPE", "42P01" */
};

extern const struct oa_proto *const oa_stores[];
