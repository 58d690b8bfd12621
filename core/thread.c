/* The one thread-local object of the library. */
#include "core/thread.h"

__thread struct oa_tls oa_tls __attribute__((tls_model("initial-exec")));

bool oa_guard_stale(uintptr_t entered, uintptr_t now)
{
	/* Stacks grow down: a live entry is above us. One below us, or of this very frame, belongs to frames that
	 * are gone. */
	return entered != OA_GUARD_SIDE_THREAD && (entered & ~OA_GUARD_OVER) <= now;
}
