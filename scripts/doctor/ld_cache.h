#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Path of a library in /etc/ld.so.cache for this machine. */
bool ld_cache_find(const char *soname, char *ret, size_t cap);
