#pragma once
/* Between the files of conn/ that know TLS. */
#include "conn/tls.h"

#define OA_TLS_KNOWN  0x01u /* version and cipher are set */
#define OA_TLS_FAILED_ONCE 0x02u

/* What a session's connection does not hold itself. Belongs to whoever has the connection's lock. */
struct oa_tls_session {
	uint32_t pool_next;
	uint32_t pin;            /* block of tls_write.c: (index * 4 + class) + 1 */
	_Atomic uint64_t key;    /* of its ClientHello; 0: not known */
	_Atomic uint64_t mark;   /* a part of the random number that it was made of */
	uint64_t begin_ns;       /* first handshake call */
	void *session;
	uint32_t handshake_us;
	uint16_t version, cipher;
	uint8_t flags;
	bool waiting;            /* the library must be given the host's own bytes again; the writing call's, like pin */
};

extern struct oa_pool oa_tls_pool;

static inline struct oa_tls_session *oa_tls_of(const struct oa_conn *c)
{
	return oa_pool_at(&oa_tls_pool, c->session - 1);
}

/* The connection of a reference, locked; NULL: over, opaque or busy. */
struct oa_conn *oa_tls_enter(struct oa_ref ref);
/* Finds the socket below and reads what can be told now. Locked. */
void oa_tls_learn(const struct oa_tls_source *src, struct oa_conn *c);
/* The handshake failed for good. */
void oa_tls_handshake_failed(const struct oa_tls_source *src, struct oa_conn *c);

/* tls_write.c */
void oa_tls_drop_pin(struct oa_tls_session *s);

/* tls_hello.c */
uint64_t oa_tls_key(const uint8_t random[32]);
/* The connection that carried the ClientHello with this key, from the client or to the server, forgotten by this; gen 0: none. */
struct oa_ref oa_tls_claim(uint64_t key, enum oa_role role);
/* The same without claiming it. */
bool oa_tls_hello_known(uint64_t key);
