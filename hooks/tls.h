#pragma once
/* What the hooks of TLS libraries share. A process may have several copies of such a library, some of them loaded where
 * RTLD_NEXT does not look (Python's ssl). So the real function is found for each calling place: the library that the
 * object there is linked to. */
#include "conn/tls.h"
#include "hooks/hook.h"

#define OA_TLS_FUNCTIONS 32

/* The functions of one sort of library, in the order of its .def file. */
struct oa_tls_names {
	const char *file;            /* what the names of its files begin with */
	unsigned count;              /* of names */
	const char *name[OA_TLS_FUNCTIONS];
	void *refusal[OA_TLS_FUNCTIONS];
	struct oa_tls_lib *none;     /* stands for a library that is not there: its hooked functions fail */
};

/* One loaded copy. fn[i] is NULL where it lacks a function that is only asked. */
struct oa_tls_lib {
	const struct oa_tls_names *names;
	uintptr_t from, to;          /* its image */
	void *fn[OA_TLS_FUNCTIONS];
};

#define OA_TLS_LIBS 16 /* copies in one process */
extern struct oa_tls_lib oa_tls_libs[OA_TLS_LIBS];

/* The copy that the code at `caller` means. Never NULL: where none is found its functions fail.
 *
 * runs on   host thread; the first time for each calling place it takes the loader's lock and may allocate
 *           with the host's allocator; then locks: none; heap: no; errno, dlerror(): kept
 */
const struct oa_tls_lib *oa_tls_lib_slow(const struct oa_tls_names *names, const void *session, uintptr_t caller);

/* -- calling places seen so far -- */

#define OA_TLS_PLACES 512

struct oa_tls_place {
	_Atomic uint64_t word;     /* the address, in 48 bits, and above it the number of its library + 1 */
	_Atomic uint32_t code;     /* the bytes before it: another object may come to lie there */
};
extern struct oa_tls_place oa_tls_places[OA_TLS_PLACES];

static inline uint32_t oa_tls_code(uintptr_t caller)
{
	uint32_t code;

	__builtin_memcpy(&code, (const void *)(caller - sizeof(code)), sizeof(code));
	return code;
}

static inline struct oa_tls_place *oa_tls_place(uintptr_t caller)
{
	return &oa_tls_places[(caller ^ caller >> 9) % OA_TLS_PLACES];
}

static inline const struct oa_tls_lib *oa_tls_lib(const struct oa_tls_names *names, const void *session, uintptr_t caller)
{
	struct oa_tls_place *p = oa_tls_place(caller);
	uint64_t word = atomic_load_explicit(&p->word, memory_order_acquire);

	if (__builtin_expect((word & 0xffffffffffff) == caller && word >> 48 &&
				     atomic_load_explicit(&p->code, memory_order_relaxed) == oa_tls_code(caller) &&
				     oa_tls_libs[(word >> 48) - 1].names == names, 1))
		return &oa_tls_libs[(word >> 48) - 1];
	return oa_tls_lib_slow(names, session, caller);
}

/* -- one call -- */

/* A call that is under way, in its hook's frame. A library's functions call each other through the same names, some by a
 * jump, so that their caller seems to be our own hook: such a call belongs to the same copy, and was told
 * already when it is about the same session. Where it lies on the stack tells, as with the guard, whether a longjmp
 * left it behind. */
struct oa_tls_call {
	const struct oa_tls_lib *lib;
	struct oa_tls_source src;
	struct oa_ref ref;       /* gen 0: not observed */
	const void *outer;
};

void oa_tls_begin(struct oa_tls_call *k, const struct oa_tls_ops *ops, void *session, uintptr_t caller);

/* The same for calls that end a session, or say nothing of its bytes. returns whether it is the program's own call */
bool oa_tls_begin_plain(struct oa_tls_call *k, void *session, uintptr_t caller);

/* Whether the library itself called, or one of its functions by a jump out of a hook of ours. */
bool oa_tls_from_inside(const struct oa_tls_call *k, uintptr_t caller);

static inline void oa_tls_end(struct oa_tls_call *k)
{
	oa_tls.tls_call = k->outer;
}

/* After each call with what oa_tls_before_write() gave: must be made whatever the guard says, because what the host is told
 * of its bytes is at stake. As oa_tls_after_write(); errno is kept. */
bool oa_tls_told(struct oa_tls_call *k, struct oa_tls_write *w, size_t taken, enum oa_tls_result result, int err,
		 size_t *ret_host);

/* The program frees the library's object, or uses it for another connection. */
void oa_tls_session_ends(void *session);

/* err when it is that of a connection that broke, else 0. */
int oa_tls_broken(int err);
