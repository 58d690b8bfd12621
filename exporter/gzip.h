#pragma once
/* gzip by zlib, level 1: higher levels take twice the time for a tenth less (PERFORMANCE.md). The state is kept
 * between calls. runs on side thread; heap: the arena */
#include "core/bytes.h"

struct oa_gzip_buf {
	uint8_t *mem; /* grows; the owner's to free */
	size_t bytes;
};

/* Compresses `in`. ret_out: lies in buf, until the next call with it. returns 0 or -ENOMEM */
int oa_gzip(struct oa_gzip_buf *buf, struct oa_bytes in, struct oa_bytes *ret_out);

/* Child after fork. */
void oa_gzip_forget(void);
