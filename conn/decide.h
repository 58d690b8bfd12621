#pragma once
/* Whether an exchange is sampled, and what its tracestate says about that: asks sampler/, and keeps the lists of others
 * as they are.
 *
 * all: runs on host thread with the connection's lock held; signal-safe: yes; heap: no; blocks: no */
#include "conn/exchange.h"
#include "conn/propagate.h"

/* Ids are set; the message brought a context, or none (remote->valid is false): a server's request, or one that the
 * program itself gave a context to. */
void oa_decide(struct oa_exchange *ex, const struct oa_http_head *h, const struct oa_remote *remote);

/* A trace that begins with a call. h: NULL when there is no message, for an attempt to connect that failed */
void oa_decide_root(struct oa_exchange *ex, const struct oa_http_head *h);

/* A call made for a server exchange of ours, whose decision this is, with its tracestate. */
void oa_decide_child(struct oa_exchange *ex, struct oa_ref parent, uint32_t shown);
