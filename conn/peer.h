#pragma once
/* Socket addresses -> struct oa_addr. */
#include <stdbool.h>
#include <sys/socket.h>

#include "core/span.h"

/* returns a zeroed address for families we do not know or a length that is too short */
struct oa_addr oa_peer_from(const struct sockaddr *addr, socklen_t len);

/* Path of an AF_UNIX address, abstract names with a leading '@' replaced by the caller; empty when unnamed. */
struct oa_bytes oa_peer_path(const struct sockaddr *addr, socklen_t len);

bool oa_peer_eq(const struct oa_addr *a, const struct oa_addr *b);
