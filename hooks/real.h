#pragma once
/* The real functions behind the hooks. One table, filled in one go by the constructor or by the first hook
 * that runs before it; afterwards a hook reads one pointer. */
#include <stdatomic.h>

enum oa_sym {
#define OA_SYM(name, need, standin) OA_SYM_##name,
#include "hooks/libc.def"
#undef OA_SYM
	OA_SYM_COUNT,
};

extern void *_Atomic oa_real_table[OA_SYM_COUNT];

/* Fills the table. Idempotent; a second caller, or one that the first caller's search runs into, returns at
 * once and is served by oa_real_slow().
 *
 * runs on   any thread; signal-safe: as far as the loader is, so it is called by the constructor, not lazily,
 *           wherever possible; locks: the loader's; heap: no; blocks: no; errno: kept
 */
void oa_real_resolve(void);

/* The real function while the table is empty: fills it, or gives the stand-in. Never NULL. */
void *oa_real_slow(enum oa_sym sym);

/* Stand-in of a name, NULL when it has none (raw.c). */
void *oa_raw(enum oa_sym sym);

static inline void *oa_real_get(enum oa_sym sym)
{
	void *real = atomic_load_explicit(&oa_real_table[sym], memory_order_relaxed);

	return __builtin_expect(!!real, 1) ? real : oa_real_slow(sym);
}
