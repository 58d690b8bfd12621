#pragma once
/* Finds the functions of libraries that programs may have in several copies, some of them loaded where RTLD_NEXT does not
 * look (Python's ssl). So the real function is found for each calling place: the library that the object there is
 * linked to. */
#include "hooks/hook.h"

#define OA_LIB_FUNCTIONS 32

/* The functions of one sort of library, in the order of its .def file. */
struct oa_lib_names {
	const char *file;            /* what the names of its files begin with */
	unsigned count;              /* of names */
	const char *names;           /* each with its end: one pointer for the loader to relocate */
	void *(*refusal)(unsigned i); /* what stands for a function that is not there; NULL: nothing */
	struct oa_lib *none;     /* stands for a library that is not there: its hooked functions fail */
};

/* One loaded copy. fn[i] is NULL where it lacks a function that is only asked. */
struct oa_lib {
	const struct oa_lib_names *names;
	uintptr_t from, to;          /* its image */
	void *fn[OA_LIB_FUNCTIONS];
};

#define OA_LIBS_MAX 16 /* copies in one process */
extern struct oa_lib oa_libs[OA_LIBS_MAX];

/* The copy that the code at `caller` means; object: what the call is about, NULL when it does not point into its library. Never NULL: where none is found its functions fail.
 *
 * runs on   host thread; the first time for each calling place it takes the loader's lock and may allocate
 *           with the host's allocator; then locks: none; heap: no; errno, dlerror(): kept
 */
const struct oa_lib *oa_lib_slow(const struct oa_lib_names *names, const void *object, uintptr_t caller);

/* -- calling places seen so far -- */

#define OA_LIB_PLACES 512

struct oa_lib_place {
	_Atomic uint64_t word;     /* the address, in 48 bits, and above it the number of its library + 1 */
	_Atomic uint32_t code;     /* the bytes before it: another object may come to lie there */
};
extern struct oa_lib_place oa_lib_places[OA_LIB_PLACES];

static inline uint32_t oa_lib_code(uintptr_t caller)
{
	uint32_t code;

	__builtin_memcpy(&code, (const void *)(caller - sizeof(code)), sizeof(code));
	return code;
}

static inline struct oa_lib_place *oa_lib_place(uintptr_t caller)
{
	return &oa_lib_places[(caller ^ caller >> 9) % OA_LIB_PLACES];
}

static inline const struct oa_lib *oa_lib_of(const struct oa_lib_names *names, const void *object, uintptr_t caller)
{
	struct oa_lib_place *p = oa_lib_place(caller);
	uint64_t word = atomic_load_explicit(&p->word, memory_order_acquire);

	if (__builtin_expect((word & 0xffffffffffff) == caller && word >> 48 &&
				     atomic_load_explicit(&p->code, memory_order_relaxed) == oa_lib_code(caller) &&
				     oa_libs[(word >> 48) - 1].names == names, 1))
		return &oa_libs[(word >> 48) - 1];
	return oa_lib_slow(names, object, caller);
}

/* -- one call -- */

/* A call that is under way, in its hook's frame. A library's functions call each other through the same names, some by a
 * jump, so that their caller seems to be our own hook: such a call belongs to the same copy, and was told
 * already when it is about the same object. Where it lies on the stack tells, as with the guard, whether a longjmp
 * left it behind. */
struct oa_lib_call {
	const struct oa_lib *lib;
	const void *object;
	const void *outer;
};

/* lib is set. returns whether it is the program's own call */
bool oa_lib_begin(struct oa_lib_call *k, const void *object, uintptr_t caller);

/* Whether the library itself called, or one of its functions by a jump out of a hook of ours. */
bool oa_lib_from_inside(const struct oa_lib_call *k, uintptr_t caller);

static inline void oa_lib_end(struct oa_lib_call *k)
{
	oa_tls.lib_call = k->outer;
}
