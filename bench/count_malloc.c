/* Counts calls of the heap functions, by side: preloaded after the library, so that it serves
 * everybody's calls, it keeps the counts in the file that COUNT_MALLOC_FILE names: calls by the
 * program's threads, then by the library's. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

extern void *__libc_malloc(size_t size), *__libc_calloc(size_t n, size_t size),
	*__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

static _Atomic uint64_t *counts;

static void count(void)
{
	char name[16] = "";

	if (!counts)
		return;
	(void)prctl(PR_GET_NAME, name);
	atomic_fetch_add(&counts[strcmp(name, "otelauto") == 0], 1);
}

static void __attribute__((constructor)) open_counts(void)
{
	const char *path = getenv("COUNT_MALLOC_FILE");
	long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *mem;

	if (fd < 0)
		return;
	mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	syscall(SYS_close, fd);
	if (mem != MAP_FAILED)
		counts = mem;
}

EXPORT void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size)
{
	count();
	return __libc_calloc(n, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	count();
	return __libc_realloc(p, size);
}

EXPORT void free(void *p)
{
	if (p)
		count();
	__libc_free(p);
}
