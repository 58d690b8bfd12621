#pragma once
/* All per-thread state that lives in thread-local storage: one struct of at most 64 bytes, initial-exec, so
 * that no wrapper ever meets __tls_get_addr. Context state that is larger sits in conn/'s pool, by index. */
#include <stdbool.h>
#include <stdint.h>

#include "core/delay.h"

struct oa_tls {
	uintptr_t guard_sp;   /* 0: outside; else the frame that entered, see below */
	uint32_t thread_idx;  /* conn/context_thread.c: index + 1 of the thread's context state, 0 none */
	uint32_t fork_gen;    /* generation the two fields around were made for */
	uint64_t rng[2];      /* core/id.c; all zero: seed first */
	uintptr_t send_sp;    /* 0: none; else where the bookkeeping of the sending call stands that this thread is in */
	uint32_t send_conn, send_gen; /* and its connection */
	const void *lib_call; /* hooks/lib_find.h: the call of such a library that this thread is in */
	struct oa_ctx_thread *context; /* conn/context_thread.c: what thread_idx names */
};

extern __thread struct oa_tls oa_tls __attribute__((tls_model("initial-exec")));

/* The library's own thread: never observed, for life. */
#define OA_GUARD_SIDE_THREAD ((uintptr_t)1)

/* With the position: it was found stale. This thread may still be in the middle of what it holds a lock for. */
#define OA_GUARD_OVER ((uintptr_t)2)

/* Re-entry guard. It keeps the stack position of the frame that entered instead of a depth count: a longjmp,
 * an exception or a cancelled thread that skipped oa_guard_leave() leaves a position below the current frame,
 * which tells that it is stale. (On an alternate signal stack or a coroutine's stack the comparison may call a
 * live entry stale; then we observe a nested call, which the connection's own lock turns into a no-op.) */
struct oa_guard {
	bool on;
	int err;
};

bool oa_guard_stale(uintptr_t entered, uintptr_t now);

static inline struct oa_guard oa_guard_enter(int err)
{
	uintptr_t now = (uintptr_t)__builtin_frame_address(0);
	uintptr_t was = oa_tls.guard_sp;

	if (__builtin_expect(was != 0, 0)) {
		if (!oa_guard_stale(was, now))
			return (struct oa_guard){ false, err };
		now |= OA_GUARD_OVER;
	}
	oa_tls.guard_sp = now;
	oa_delay(30);
	return (struct oa_guard){ true, err };
}

static inline void oa_guard_leave(struct oa_guard *g)
{
	if (g->on)
		oa_tls.guard_sp = 0;
}

/* Enters whatever was entered before. returns what oa_guard_restore() wants */
static inline __attribute__((always_inline)) uintptr_t oa_guard_force(void)
{
	uintptr_t was = oa_tls.guard_sp;

	oa_tls.guard_sp = (uintptr_t)__builtin_frame_address(0) | (was ? OA_GUARD_OVER : 0);
	oa_delay(30);
	return was;
}

static inline void oa_guard_restore(uintptr_t was)
{
	oa_tls.guard_sp = was;
}

/* Could this very thread be who is waited for? */
static inline bool oa_guard_is_over(void)
{
	return oa_tls.guard_sp & OA_GUARD_OVER;
}
