#pragma once
/* One name's address by c-ares, without waiting: /etc/hosts and the name servers of resolv.conf. Addresses and localhost
 * are known at once. Side thread only. */
#include <stdbool.h>
#include <stdint.h>

#include "core/span.h"

/* ret 0: *addr is it, without port; -errno: there is none, or not by the deadline */
typedef void oa_resolve_fn(void *arg, int ret, const struct oa_addr *addr);

/* done may be called before this returns. One at a time: a second call gets -EBUSY. */
void oa_resolve(const char *host, uint64_t deadline_ns, oa_resolve_fn *done, void *arg);
/* done is not called. */
void oa_resolve_cancel(void);
void oa_resolve_forget(void);
