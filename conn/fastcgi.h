#pragma once
/* Requests by FastCGI, served or made: they are HTTP's, told in parameters.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/conn.h"
#include "conn/span_build.h"
#include "proto/fastcgi.h"

oa_event_fn oa_fastcgi_on_event;

/* Is what a client connection is about to send by FastCGI? */
bool oa_fastcgi_asks(const struct oa_conn *c, const struct oa_send *s);
/* Opens the exchange of a request whose parameters are in these bytes, and has its context put among them. */
void oa_fastcgi_prepare(struct oa_conn *c, struct oa_send *s);

/* The connection is over, or left alone. */
void oa_fastcgi_release(struct oa_conn *c);
