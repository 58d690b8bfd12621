/* Finds the real functions: what comes after us in the loader's order (RTLD_NEXT), so that other preloaded
 * libraries keep working and a program gets the function it would have got without us; where that finds
 * nothing, as when we were loaded late, libc itself. docs/hooks.md tells why this order.
 *
 * Names that this libc lacks are never asked of dlsym(): a failing dlsym() allocates. */
#include "hooks/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/glibc_floor.h"

enum { REQUIRED, OPTIONAL };
static const struct {
	const char *name;
	bool optional;
} real_names[OA_SYM_COUNT] = {
#define OA_SYM(name, need, standin) { #name, (need) == OPTIONAL },
#include "hooks/libc.def"
#undef OA_SYM
};

static void *real_find(enum oa_sym sym)
{
	const char *name = real_names[sym].name;
	void *found = NULL;

	if (!real_names[sym].optional || oa_floor_find(name))
		found = dlsym(RTLD_NEXT, name);
	return found ? found : oa_floor_find(name);
}

void oa_real_resolve(void)
{
	int err = errno;

	for (unsigned i = 0; i < OA_SYM_COUNT; i++) {
		void *found = real_find(i);

		if (found)
			atomic_store_explicit(&oa_real_table[i], found, memory_order_release);
	}
	errno = err;
}

/* Ends a call that nothing can serve: no libc is loaded that has the name. */
static long real_missing(void)
{
	errno = ENOSYS;
	return -1;
}

void *oa_real_slow(enum oa_sym sym)
{
	void *found = oa_floor_find(real_names[sym].name);

	return found ? found : (void *)real_missing;
}
