#pragma once
/* gzip by zlib, level 1: higher levels take twice the time for a tenth less (PERFORMANCE.md). The state is kept
 * between calls. runs on side thread; heap: the arena */
#include "core/bytes.h"

/* Compresses `in`. ret_out: borrowed until the next call. returns 0 or -ENOMEM */
int oa_gzip(struct oa_bytes in, struct oa_bytes *ret_out);

/* Child after fork. */
void oa_gzip_forget(void);
