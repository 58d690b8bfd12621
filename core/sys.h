#pragma once
/* Raw system calls for our own work: they cannot meet a hook, ours or another library's, and need no
 * newer glibc. Results are -errno on failure and errno is left alone. */
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#if !defined(__x86_64__)
#error "only x86_64 so far: add the syscall sequence of this architecture"
#endif

static inline long oa_sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define oa_sys0(n)             oa_sys6((n), 0, 0, 0, 0, 0, 0)
#define oa_sys1(n, a)          oa_sys6((n), (long)(a), 0, 0, 0, 0, 0)
#define oa_sys2(n, a, b)       oa_sys6((n), (long)(a), (long)(b), 0, 0, 0, 0)
#define oa_sys3(n, a, b, c)    oa_sys6((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define oa_sys4(n, a, b, c, d) oa_sys6((n), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define oa_sys5(n, a, b, c, d, e) oa_sys6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* Whole small file (say under /proc) into buf, NUL-terminated. returns bytes or -errno */
long oa_sys_read_file(const char *path, char *buf, size_t cap);

/* Anonymous mapping; NULL on failure. */
void *oa_sys_map(size_t bytes, int shared);
