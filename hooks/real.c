/* Finds the real functions: what comes after us in the loader's order (RTLD_NEXT), so that other preloaded
 * libraries keep working and a program gets the function it would have got without us; where that finds
 * nothing, as when we were loaded late, libc itself. docs/hooks.md tells why this order. The walk that finds them all
 * at once takes a fifth of the time of as many dlsym(); that is asked where an object on the way is unusual.
 *
 * Names that this libc lacks are never asked of dlsym(): a failing dlsym() allocates. */
#include "hooks/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/attr.h"
#include "core/glibc_floor.h"

enum { REQUIRED, OPTIONAL };

OA_START_CONST static const char real_names[] =
#define OA_SYM(name, need, standin) #name "\0"
#include "hooks/libc.def"
#undef OA_SYM
	;
OA_START_CONST static const uint8_t real_optional[OA_SYM_COUNT] = {
#define OA_SYM(name, need, standin) (need) == OPTIONAL,
#include "hooks/libc.def"
#undef OA_SYM
};

static const char *real_name(enum oa_sym sym)
{
	const char *name = real_names;

	while (sym-- > 0)
		name += strlen(name) + 1;
	return name;
}

/* One that the walk did not find: rare. */
static void real_find(enum oa_sym sym, bool ask_loader)
{
	const char *name = real_name(sym);
	void *found = NULL;

	if (ask_loader && (!real_optional[sym] || oa_floor_find(name)))
		found = dlsym(RTLD_NEXT, name);
	if (!found)
		found = oa_floor_find(name);
	if (found)
		atomic_store_explicit(&oa_real_table[sym], found, memory_order_release);
}

OA_START_CODE void oa_real_resolve(void)
{
	uint64_t found[(OA_SYM_COUNT + 63) / 64] = { 0 };
	int err = errno;
	bool sure = oa_floor_find_next(real_names, OA_SYM_COUNT, oa_real_table, found);

	for (unsigned i = 0; i < OA_SYM_COUNT; i++)
		if (!sure || !(found[i / 64] >> (i % 64) & 1))
			real_find(i, !sure);
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
	void *found = oa_floor_find(real_name(sym));

	return found ? found : (void *)real_missing;
}
