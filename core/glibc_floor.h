#pragma once
/* What keeps libotelauto.so loadable on old versions of glibc; see wraps.def and docs/dependencies.md. */

#include <stdbool.h>
#include <stdint.h>

/* Finds a function in libc, libpthread or libdl as they are loaded now, without importing dlsym(): before
 * glibc 2.34 that name was in libdl, which a program need not have loaded.
 *
 * returns   its address, or NULL
 * runs on   any thread, rarely; signal-safe: no; locks: the loader's, briefly; heap: no; blocks: no
 */
void *oa_floor_find(const char *name);

/* What dlsym(RTLD_NEXT) would find for each of `count` names, in one walk over the objects from this one up to libc.
 *
 * names      one behind the other, each with its NUL
 * table      receives the addresses; what is not found is left as it was
 * ret_found  a bit for each name, zeroed before; may hold some also when this returns false
 * returns    false where only the loader itself can tell
 * runs on    the constructor; signal-safe: no; locks: the loader's, briefly; heap: no; blocks: no
 */
bool oa_floor_find_next(const char *names, unsigned count, void *_Atomic *table, uint64_t *ret_found);

/* Whether an object that the loader put in front of this one defines the name. As above. */
bool oa_floor_is_before_us(const char *name);
