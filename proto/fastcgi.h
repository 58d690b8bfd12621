#pragma once
/* FastCGI, for conn/fastcgi_client.c, which looks at requests before they are sent.
 *
 * all: runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include "proto/proto.h"

/* The direction does not stand in the middle of a parameter, nor in front of one. */
bool oa_fastcgi_is_between(const void *state);

extern const struct oa_proto oa_proto_fastcgi;
