#pragma once
/* What keeps libotelauto.so loadable on old versions of glibc; see wraps.def and docs/dependencies.md. */

/* Finds a function in libc, libpthread or libdl as they are loaded now, without importing dlsym(): before
 * glibc 2.34 that name was in libdl, which a program need not have loaded.
 *
 * returns   its address, or NULL
 * runs on   any thread, rarely; signal-safe: no; locks: the loader's, briefly; heap: no; blocks: no
 */
void *oa_floor_find(const char *name);
