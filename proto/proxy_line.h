#pragma once
/* The header that proxies put in front of a connection's own bytes to say whom they speak for: the PROXY protocol, version 1
 * (one line of text) and 2 (binary). https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt */
#include "core/bytes.h"
#include "core/span.h"

#define OA_PROXY_LINE_BEGIN 107 /* a line is no longer; of version 2 all that is read stands in fewer bytes */

struct oa_proxy_line {
	struct oa_addr client; /* family 0: it names nobody, or nobody with an address (LOCAL, UNKNOWN, AF_UNIX) */
};

/* Can bytes that begin like this be a header? Their first one is asked for. */
static inline bool oa_proxy_line_may_begin(uint8_t first)
{
	return first == 'P' || first == '\r';
}

/* Reads the header that `in` begins with.
 *
 * in        borrowed; the first bytes of a connection, at least one
 * ret       set when there is one
 * returns   its length, which may be more than is there; 0: as far as it goes it is one, and too short to tell
 *           -EPROTO there is none, or none that anybody takes
 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
long oa_proxy_line_parse(struct oa_bytes in, struct oa_proxy_line *ret);
