#pragma once
/* Append-only buffer with a fixed end. What does not fit is left out whole and `full` is set. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/bytes.h"

struct oa_buf {
	uint8_t *ptr;
	size_t len, cap;
	bool full;
};

static inline struct oa_buf oa_buf(void *ptr, size_t cap)
{
	return (struct oa_buf){ ptr, 0, cap, false };
}

static inline bool oa_buf_put(struct oa_buf *b, struct oa_bytes text)
{
	if (text.len > b->cap - b->len) {
		b->full = true;
		return false;
	}
	if (text.len) /* its pointer may be NULL otherwise */
		memcpy(b->ptr + b->len, text.ptr, text.len);
	b->len += text.len;
	return true;
}

static inline struct oa_bytes oa_buf_bytes(const struct oa_buf *b)
{
	return oa_bytes(b->ptr, b->len);
}
