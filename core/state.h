#pragma once
/* Whether we do anything at all. One word, read by every hook. */
#include <stdatomic.h>
#include <stdbool.h>

enum oa_state {
	OA_STATE_NEW,      /* before the constructor: hooks pass through */
	OA_STATE_OFF,      /* for good: disabled, excluded, secure execution, stood down, second copy */
	OA_STATE_READY,    /* constructor done; nothing tracked yet */
	OA_STATE_ACTIVE,   /* first stream socket seen: pools mapped, connections tracked */
};

extern _Atomic int oa_state;

static inline int oa_state_get(void)
{
	return atomic_load_explicit(&oa_state, memory_order_acquire);
}

/* READY -> ACTIVE through preload/boot.c (set by it): maps the pools, runs modules.def.
 * returns true when active now. runs on host thread, slow path of listen/accept/connect only */
extern bool (*oa_activate_fn)(void);
