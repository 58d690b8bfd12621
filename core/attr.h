#pragma once
/* Where code goes. The path of an ordinary exchange, from the hook through the parser to the ring, is in one piece
 * (.text.hot); whatever is not taken every time is kept out of it, because cold lines of code are most of what
 * we cost a program whose caches the kernel has just used. */
#define OA_HOT         __attribute__((hot))
#define OA_COLD        __attribute__((cold, noinline))
#define OA_INLINE      static inline __attribute__((always_inline))
#define OA_NOINLINE    __attribute__((noinline))
#define OA_FLATTEN     __attribute__((flatten)) /* with all it calls in one: the rest of its callees say that they are cold */
/* Reads what another thread may be writing, and finds out: by a generation, or a count of changes. */
#define OA_UNSYNCED    __attribute__((noinline, no_sanitize("thread")))
#define OA_LIKELY(x)   __builtin_expect(!!(x), 1)
#define OA_UNLIKELY(x) __builtin_expect(!!(x), 0)
