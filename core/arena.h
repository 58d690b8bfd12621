#pragma once
/* The side thread's private heap: what malloc() is for the third parties linked into us.
 *
 * Memory comes from mmap(), never from the host's allocator, and is bounded by OA_ARENA_MAX: beyond it
 * callers get NULL. One thread at a time; no locks. A host thread may allocate during start, before the
 * side thread exists. Pointers that are not from here are ignored by oa_arena_free(). */
#include <stddef.h>

/* 16-byte aligned memory, or NULL (errno = ENOMEM). A size of 0 gives a unique pointer.
 * runs on   side thread; signal-safe: no; locks: none; heap: no; blocks: no */
void *oa_arena_alloc(size_t bytes);

/* Like realloc(): NULL leaves the old block as it was. */
void *oa_arena_resize(void *block, size_t bytes);

/* Gives a block back; NULL is fine. Large blocks go back to the kernel, some of them with oa_arena_trim() only. */
void oa_arena_free(void *block);

/* For when there is nothing to do: large blocks that were kept to be used again go back to the kernel. */
void oa_arena_trim(void);

/* Starts anew with nothing allocated. For the child after fork: the parent's side thread may have been
 * in the middle of a change. Old blocks stay readable for ever; freeing one does nothing.
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_arena_forget(void);

/* Bytes taken from the kernel, and the part of them that is handed out now. */
size_t oa_arena_mapped_bytes(void);
size_t oa_arena_used_bytes(void);
