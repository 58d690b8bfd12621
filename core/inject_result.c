/* Names of core/inject_result.def. */
#include "core/inject_result.h"

const char *oa_inject_name(enum oa_inject_result r)
{
	static const char *const names[OA_INJECT_COUNT] = {
#define OA_INJECT(id, name, help) [OA_INJECT_##id] = name,
#include "core/inject_result.def"
#undef OA_INJECT
	};

	return (unsigned)r < OA_INJECT_COUNT ? names[r] : names[OA_INJECT_NONE];
}
