#pragma once
/* Name lookups of the last seconds, by the addresses they gave. */
#include <stdint.h>

#include "core/span.h"

/* Time a lookup of this address took, in microseconds, if it ended within the last two seconds before start_ns; given
 * once. 0: none. runs on   host thread; signal-safe: yes; locks: none */
uint32_t oa_lookup_take(const struct oa_addr *addr, uint64_t start_ns);
