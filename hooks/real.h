#pragma once
/* The real functions behind the hooks. One table: stand-ins (raw.c) until the constructor has filled it with what
 * the program would have called without us; a hook reads one pointer. */
#include <stdatomic.h>

enum oa_sym {
#define OA_SYM(name, need, standin) OA_SYM_##name,
#include "hooks/libc.def"
#undef OA_SYM
	OA_SYM_COUNT,
};

/* Whether a name has a stand-in, as a constant: its entry is never NULL then. */
enum {
#define OA_STANDIN_SYS(nr) 1
#define OA_STANDIN_OWN     1
#define OA_STANDIN_NONE    0
#define OA_SYM(name, need, standin) OA_HAS_STANDIN_##name = OA_STANDIN_##standin,
#include "hooks/libc.def"
#undef OA_SYM
};

extern void *_Atomic oa_real_table[OA_SYM_COUNT];

/* Fills the table, all at once. Idempotent.
 *
 * runs on   the constructor; signal-safe: no; locks: the loader's; heap: no; blocks: no; errno: kept
 */
void oa_real_resolve(void);

/* A name that has no stand-in, before the table is filled. Never NULL. */
void *oa_real_slow(enum oa_sym sym);

static inline void *oa_real_get(enum oa_sym sym, int has_standin)
{
	void *real = atomic_load_explicit(&oa_real_table[sym], memory_order_relaxed);

	return has_standin || real ? real : oa_real_slow(sym);
}
