#pragma once
/* PROXY headers (proto/proxy_line.h): at most one stands in front of what a connection speaks. It is passed over when it
 * comes in and when it goes out; on the connection that it came in, the client that it names is remembered.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no (mmap per chunk); blocks: no */
#include "conn/exchange.h"
#include "proto/proxy_line.h"

/* c->proxied: else index + 1 of the client's address. */
#define OA_PROXIED_NOBODY  0xffffu /* there was one, and nobody is to be remembered */
#define OA_PROXIED_SENDING 0xfffeu /* one is about to be sent, with something behind it */

/* The header in front of a client's first bytes; in: received (true) or sent.
 * returns its length: it is noted, and not to be parsed; 0: it may be one, and more of it is needed; -EPROTO: there is none */
long oa_proxied_take(struct oa_conn *c, bool in, struct oa_bytes first);

/* The same of bytes that are about to be sent.
 * returns its length: something stands behind it; -EAGAIN: nothing does; 0: there is none */
struct iovec;
long oa_proxied_ahead(struct oa_conn *c, const struct iovec *iov, int iovcnt);

/* The client that it named, a struct oa_addr; empty: nobody. */
struct oa_bytes oa_proxied_client(const struct oa_conn *c);
/* A session inside TLS has the client of the socket that carries it. */
void oa_proxied_copy(struct oa_conn *to, const struct oa_conn *from);
void oa_proxied_forget(struct oa_conn *c);
