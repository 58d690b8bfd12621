#include "scripts/library.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef OA_LIBDIR
#define OA_LIBDIR "/usr/local/lib"
#endif

static bool library_try(const char *folder, const char *below, char *ret, size_t cap)
{
	int n = snprintf(ret, cap, "%s%s/libotelauto.so", folder, below);

	return n > 0 && (size_t)n < cap && access(ret, R_OK) == 0;
}

bool library_find(char *ret, size_t cap)
{
	char own[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
	char *slash;

	own[len < 0 ? 0 : len] = '\0';
	slash = strrchr(own, '/');
	if (slash) {
		*slash = '\0';
		if (library_try(own, "", ret, cap))
			return true;
		slash = strrchr(own, '/');
		if (slash) {
			*slash = '\0';
			if (library_try(own, "/lib", ret, cap) ||
			    library_try(own, "/lib/x86_64-linux-gnu", ret, cap) ||
			    library_try(own, "/lib64", ret, cap))
				return true;
		}
	}
	return library_try(OA_LIBDIR, "", ret, cap);
}
