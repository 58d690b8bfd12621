/* The table of one library's functions. The file that includes this says before it:
 *
 *   OA_LIB_LIST    its .def file: OA_LIB_HOOK(name, what it fails with when no library is found), OA_LIB_ASK(name)
 *   OA_LIB_FILE    what the names of the library's files begin with
 *
 * It gets FN_<name>, and FN(lib, name): the function of one copy, NULL where that lacks one that is only asked. */
#include "hooks/lib_find.h"

/* Where the hook returns to: only the hook itself can ask. */
#define CALLER ((uintptr_t)__builtin_extract_return_addr(__builtin_return_address(0)))

enum {
#define OA_LIB_HOOK(name, refusal) FN_##name,
#define OA_LIB_ASK(name) FN_##name,
#include OA_LIB_LIST
#undef OA_LIB_HOOK
#undef OA_LIB_ASK
	FN_COUNT
};
_Static_assert(FN_COUNT <= OA_LIB_FUNCTIONS, "room for all of them");

#define OA_LIB_HOOK(name, value) static long refuse_##name(void) { return value; }
#define OA_LIB_ASK(name)
#include OA_LIB_LIST
#undef OA_LIB_HOOK
#undef OA_LIB_ASK

static void *lib_refusal(unsigned i)
{
	switch (i) {
#define OA_LIB_HOOK(name, value) case FN_##name: return (void *)refuse_##name;
#define OA_LIB_ASK(name)
#include OA_LIB_LIST
#undef OA_LIB_HOOK
#undef OA_LIB_ASK
	}
	return NULL;
}

static struct oa_lib no_library;
static const struct oa_lib_names lib_names = {
	.file = OA_LIB_FILE, .count = FN_COUNT, .none = &no_library,
	.refusal = lib_refusal,
	.names =
#define OA_LIB_HOOK(name, value) #name "\0"
#define OA_LIB_ASK(name) #name "\0"
#include OA_LIB_LIST
#undef OA_LIB_HOOK
#undef OA_LIB_ASK
};

#define FN(lib, name) ((__typeof__(&name))((const struct oa_lib *)(lib))->fn[FN_##name])
#define ASK(src, name, otherwise, ...) \
	(FN((src)->lib, name) ? FN((src)->lib, name)((src)->session __VA_OPT__(,) __VA_ARGS__) : (otherwise))
