#pragma once
/* What the connection to a data store remembers from one command to the next: the database it talks to and the texts of
 * the statements that were prepared on it. All of it is bounded: of a connection, and of the process. What has no room is
 * forgotten, and counted as drop_text_pool; a command then has less to say, and never another's text.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no (maps pools); blocks: no */
#include "conn/exchange.h"

/* The database from now on; empty: not known. */
void oa_session_use(struct oa_conn *c, struct oa_bytes ns);
struct oa_bytes oa_session_ns(const struct oa_conn *c);
/* The database when the command that is open has succeeded. */
void oa_session_will_use(struct oa_conn *c, struct oa_bytes ns);
void oa_session_used(struct oa_conn *c);

/* Statement `id` is this text from now on. cut: the text is not whole */
void oa_session_prepare(struct oa_conn *c, uint64_t id, struct oa_bytes text, bool cut);
/* Its text; empty when it is not known. */
struct oa_bytes oa_session_statement(const struct oa_conn *c, uint64_t id, bool *ret_cut);
void oa_session_forget(struct oa_conn *c, uint64_t id);

/* The statement that the newest command runs; 0 none. */
void oa_session_set_running(struct oa_conn *c, uint64_t id);
uint64_t oa_session_running(const struct oa_conn *c);

/* How strings in queries are to be read: OA_DB_ESCAPES …, 0 not known. */
void oa_session_set_escapes(struct oa_conn *c, uint8_t escapes);
uint8_t oa_session_escapes(const struct oa_conn *c);

/* The group whose commands the server passes over from here on; 0 none. */
void oa_session_set_failed(struct oa_conn *c, uint32_t group);
uint32_t oa_session_failed(const struct oa_conn *c);

/* The connection takes commands (OA_STORE_READY …). made_ns: how long it took until it did, 0 not known; kept the first time */
void oa_session_set_ready(struct oa_conn *c, uint8_t ready, uint64_t made_ns);
uint64_t oa_session_made_ns(const struct oa_conn *c);

/* What a thread may ask that has no lock: whether its connection is the same one still is to be looked at afterwards.
 *
 * name      index + 1 as in struct oa_conn
 * returns   OA_STORE_READY …; 0: it takes no commands yet, or something is just changing
 * runs on   side thread
 */
unsigned oa_session_peek(uint32_t name, uint8_t ret_ns[OA_DB_NAME_MAX], uint8_t *ret_ns_len);

/* The connection is over, or left alone. */
void oa_session_release(struct oa_conn *c);
