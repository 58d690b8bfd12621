#pragma once
/* What every hook file needs: OA_EXPORT, OA_REAL and OA_OBSERVE, and the few questions hooks ask before they tell
 * conn/ what happened. A hook makes the host's call exactly once, with the host's own arguments, and
 * returns its result and errno; it observes in between only if we are on and not already inside a hook.
 *
 * Included first: fortified and 64-bit-file headers would turn the names we define into others. */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conn/conn.h"
#include "conn/fd_table.h"
#include "core/attr.h"
#include "core/state.h"
#include "core/thread.h"
#include "hooks/real.h"

#define OA_EXPORT __attribute__((visibility("default"), noinline))
#define OA_SLOW   __attribute__((noinline)) static /* own stack frame: the untracked path has none */

/* The real function, typed by the system's header. */
#define OA_REAL(name) ((__typeof__(&name))oa_real_get(OA_SYM_##name, OA_HAS_STANDIN_##name))

/* -- set by preload/ -- */

/* Byte that becomes 0 in a child made without fork() (MADV_WIPEONFORK). */
extern const volatile uint8_t *oa_hook_fork_mark;
/* Makes up for the fork handlers that such a child never ran. */
extern void (*oa_hook_fork_missed)(void);
/* Process that the memory belongs to; 0 before activation. A vfork child finds its parent's. */
extern _Atomic int32_t oa_hook_pid;
/* The host is about to sandbox itself: everything of ours stops before this returns. */
extern void (*oa_hook_stand_down)(void);
/* The host is about to bind a TCP port: gives it up if it is our endpoint's. */
extern void (*oa_hook_yield_port)(uint16_t port);

/* -- observing -- */

static inline __attribute__((always_inline)) struct oa_guard oa_hook_enter(bool even_when_off)
{
	int err = errno;

	if (!even_when_off && oa_state_get() != OA_STATE_ACTIVE)
		return (struct oa_guard){ false, err };
	if (OA_UNLIKELY(!*oa_hook_fork_mark))
		oa_hook_fork_missed();
	return oa_guard_enter(err);
}

static inline void oa_hook_leave(struct oa_guard *g)
{
	if (!g->on)
		return;
	oa_guard_leave(g);
	errno = g->err;
}

/* No cleanup attribute: it would bring an unwinder of our own into the host. So the block is left at its end. */
#define OA_HOOK_BLOCK(enter) \
	for (struct oa_guard g_ = (enter), *once_ = &g_; once_ && g_.on; once_ = NULL, oa_hook_leave(&g_))

/* Runs its block if we are on and this thread is not inside a hook already; inside, errno is still the real
 * call's, and afterwards it is again. Do not return, break or goto out of it. */
#define OA_OBSERVE() OA_HOOK_BLOCK(oa_hook_enter(false))
/* The same after we stood down too: for what must go on then, such as forgetting a descriptor that is
 * closed and sending the rest of a header that a short write cut. Only with tracked descriptors. */
#define OA_OBSERVE_ALWAYS() OA_HOOK_BLOCK(oa_hook_enter(true))

/* -- questions -- */

/* Is anything to be told at all, or could this call be what starts us? Neither: make the real call. */
static inline bool oa_hook_awake(void)
{
	int state = oa_state_get();

	return state == OA_STATE_ACTIVE || state == OA_STATE_READY;
}

static inline bool oa_hook_active(void)
{
	return oa_state_get() == OA_STATE_ACTIVE;
}

/* Is on now, after activating us if need be. Only for calls that concern a stream socket. */
bool oa_hook_start(void);

/* False in a vfork child, which runs in its parent's memory. One system call: tracked descriptors only. */
bool oa_hook_own_process(void);

static inline enum oa_fd_kind oa_hook_kind(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);

	return slot ? (enum oa_fd_kind)atomic_load_explicit(&slot->kind, memory_order_relaxed) : OA_FD_NONE;
}

/* Is it a connection that conn/ must hear of before bytes go out? After we stood down only one that was open then: a
 * number that came back would have to be asked for, which a sandbox may not allow. */
static inline bool oa_hook_may_owe(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd);

	return slot && atomic_load_explicit(&slot->kind, memory_order_relaxed) == OA_FD_CONN &&
	       (oa_hook_active() || !(atomic_load_explicit(&slot->flags, memory_order_relaxed) & OA_FD_CLOSING));
}

/* May `len` bytes at `at` be read at all? The kernel answers EFAULT to pointers we must not follow; this tells
 * the obvious ones (docs/hooks.md has the rest). */
static inline bool oa_hook_plausible(const void *at, size_t len)
{
	uintptr_t a = (uintptr_t)at;

	return a >= 0x10000 && a < 0x7ffffffff000 && len <= 0x7ffff000 && len <= 0x7ffffffff000 - a;
}

/* The same for every entry of an array, and their sum; no entry at all is not plausible. */
bool oa_hook_plausible_iov(const struct iovec *iov, size_t count);
/* Of an entry that can be read. */
static inline bool oa_hook_plausible_one(const struct iovec *iov)
{
	return iov->iov_len && oa_hook_plausible(iov->iov_base, iov->iov_len);
}

/* -- what is known of descriptors the table has nothing about (note.c) -- */

enum oa_note {
	OA_NOTE_UNKNOWN,
	OA_NOTE_STREAM, /* stream socket, made before activation or not used yet */
	OA_NOTE_OTHER,  /* other socket */
	OA_NOTE_WAKE,   /* eventfd, pipe … */
};

/* Remembers what a descriptor is until the table can. runs on host thread; signal-safe: yes */
void oa_note_set(int fd, enum oa_note what);
void oa_note_forget_range(unsigned first, unsigned last);
/* Tells conn/ about what was noted before it was there. At activation, inside the guard. */
void oa_note_replay(void);

/* Is it a stream socket? May ask the kernel about a descriptor that we saw nobody make. */
bool oa_hook_is_stream(int fd);
