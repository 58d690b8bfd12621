/* Finds the real functions: what comes after us in the loader's order (RTLD_NEXT), so that other preloaded
 * libraries keep working and a program gets the function it would have got without us; where that finds
 * nothing, as when we were loaded late, libc itself. docs/hooks.md tells why this order.
 *
 * Names that this libc lacks are never asked of dlsym(): a failing dlsym() allocates. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/glibc_floor.h"
#include "hooks/real.h"

void *_Atomic oa_real_table[OA_SYM_COUNT];

enum real_state { REAL_NONE, REAL_RUNNING, REAL_DONE };
static _Atomic int real_state;

enum { REQUIRED, OPTIONAL };
static const struct {
	const char *name;
	bool optional;
} real_names[OA_SYM_COUNT] = {
#define OA_SYM(name, need, standin) { #name, (need) == OPTIONAL },
#include "hooks/libc.def"
#undef OA_SYM
};

/* Ends a call that no function can serve. Only names without a system call of their own get here, and only
 * when no libc is loaded that has them. */
static long real_missing(void)
{
	errno = ENOSYS;
	return -1;
}

static void *real_find(enum oa_sym sym)
{
	const char *name = real_names[sym].name;
	void *found = NULL;

	if (!real_names[sym].optional || oa_floor_find(name))
		found = dlsym(RTLD_NEXT, name);
	if (!found)
		found = oa_floor_find(name);
	if (!found)
		found = oa_raw(sym);
	return found ? found : (void *)real_missing;
}

void oa_real_resolve(void)
{
	int none = REAL_NONE, err = errno;

	if (!atomic_compare_exchange_strong(&real_state, &none, REAL_RUNNING))
		return;
	for (unsigned i = 0; i < OA_SYM_COUNT; i++)
		atomic_store_explicit(&oa_real_table[i], real_find(i), memory_order_release);
	atomic_store_explicit(&real_state, REAL_DONE, memory_order_release);
	errno = err;
}

/* Nobody waits here: the one who fills the table may hold the loader's lock, be interrupted by us, or be in a
 * constructor that waits for this very thread. */
void *oa_real_slow(enum oa_sym sym)
{
	void *real;

	oa_real_resolve();
	real = atomic_load_explicit(&oa_real_table[sym], memory_order_acquire);
	if (!real)
		real = oa_raw(sym);
	if (!real)
		real = oa_floor_find(real_names[sym].name);
	return real ? real : (void *)real_missing;
}
