#pragma once
/* fd -> what we know of it. Two levels: a static array of chunk pointers, chunks of 1024 slots mapped when the
 * first descriptor of their range is tracked. An untracked descriptor costs two loads and a branch. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

enum oa_fd_kind {
	OA_FD_NONE,     /* nothing known, or closed */
	OA_FD_WAKE,     /* eventfd, pipe, timerfd, datagram socket …: only its reads matter, to context */
	OA_FD_EPOLL,    /* aux: whether a listener is in it, and its waiting thread */
	OA_FD_STREAM,   /* stream socket, not connected yet */
	OA_FD_LISTENER, /* aux: port */
	OA_FD_CONN,     /* conn: index of its struct oa_conn */
};

#define OA_FD_CLOSING 0x1u /* close() was seen; final once the number is reused or the side thread looked */
#define OA_FD_DEAF    0x2u /* CONN: its bytes are TLS's, nothing is added to them, and what is inside is seen elsewhere or not at all */

/* Eight bytes, so that a whole slot is taken over by one exchange. */
struct oa_fd {
	_Atomic uint8_t kind;   /* enum oa_fd_kind */
	_Atomic uint8_t flags;  /* OA_FD_* */
	_Atomic uint16_t aux;
	_Atomic uint32_t conn;  /* CONN: index in the connection pool; EPOLL: the thread that waits on it */
} __attribute__((aligned(8)));

union oa_fd_word {
	struct {
		uint8_t kind, flags;
		uint16_t aux;
		uint32_t conn;
	};
	uint64_t word;
};

/* Kind and flags in one load. */
static inline uint16_t oa_fd_state(const struct oa_fd *slot)
{
	return atomic_load_explicit((const _Atomic uint16_t *)(const void *)slot, memory_order_relaxed);
}

#define OA_FD_STATE(kind, flags) ((kind) | (flags) << 8)
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the kind is the lower byte");

static inline _Atomic uint64_t *oa_fd_word(struct oa_fd *slot)
{
	return (_Atomic uint64_t *)(void *)slot;
}

extern struct oa_fd *_Atomic oa_fd_chunks[OA_FDS_MAX / OA_FD_CHUNK];

/* Slot of a descriptor when its chunk exists, else NULL. runs on any thread; signal-safe: yes */
static inline struct oa_fd *oa_fd_peek(int fd)
{
	if (__builtin_expect((unsigned)fd >= OA_FDS_MAX, 0))
		return NULL;
	struct oa_fd *chunk = atomic_load_explicit(&oa_fd_chunks[(unsigned)fd / OA_FD_CHUNK], memory_order_acquire);

	return chunk ? &chunk[(unsigned)fd % OA_FD_CHUNK] : NULL;
}

/* True when something is known of this descriptor. */
static inline bool oa_fd_tracked(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);

	return __builtin_expect(slot && atomic_load_explicit(&slot->kind, memory_order_relaxed) != OA_FD_NONE, 0);
}

/* True when bytes received on it concern us. The hot check of every hook that receives. */
static inline bool oa_fd_is_heard(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);
	uint16_t state = slot ? oa_fd_state(slot) : 0;

	return __builtin_expect(state && state != OA_FD_STATE(OA_FD_CONN, OA_FD_DEAF), 0);
}

/* The same for bytes sent: only connections'. */
static inline bool oa_fd_is_conn(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);

	return __builtin_expect(slot && (oa_fd_state(slot) & ~OA_FD_STATE(0, OA_FD_CLOSING)) == OA_FD_CONN, 0);
}

/* Slot of a descriptor, its chunk mapped if need be; NULL: too high or no memory. */
struct oa_fd *oa_fd_get(int fd);

/* First tracked slot with number >= fd and <= last, or -1. For close_range. */
int oa_fd_next(int fd, int last);
