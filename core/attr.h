#pragma once
/* Where code goes. The paths of ordinary exchanges, from the hook through the parser to the ring, are in one piece
 * (.text.hot); whatever is not taken every time is kept out of it, because cold lines and pages of code are most of
 * what we cost a program whose caches the kernel, or another process, has just used. */
#define OA_HOT         __attribute__((hot))
#define OA_COLD        __attribute__((cold, noinline))
#define OA_INLINE      static inline __attribute__((always_inline))
#define OA_NOINLINE    __attribute__((noinline))
#define OA_FLATTEN     __attribute__((flatten)) /* with all it calls in one: the rest of its callees say that they are cold */
/* Variables that the loader relocates or the constructor writes lie together: each page of them becomes the process's own in
 * every program that starts. */
#define OA_START_DATA  __attribute__((section("oa_start_data")))
/* What else the constructor needs of the file: few pages of it to map. */
#define OA_START_CODE  __attribute__((section(".text.startup")))
#define OA_START_CONST __attribute__((section("oa_start_const")))
#define OA_START_TEXT(text) ({ OA_START_CONST static const char text_[] = text; text_; })
/* Reads what another thread may be writing, and finds out: by a generation, or a count of changes. */
#define OA_UNSYNCED    __attribute__((noinline, no_sanitize("thread")))
#define OA_LIKELY(x)   __builtin_expect(!!(x), 1)
#define OA_UNLIKELY(x) __builtin_expect(!!(x), 0)
