#pragma once
/* Places where another thread may come in between. Libraries built with -Ddelays=true lose their processor there now and
 * then: real programs under one (docs/failure-modes.md has the command) show in minutes what a busy machine shows once in
 * a thousand runs. Nothing in any other build. */
#ifdef OA_DELAYS
#include <time.h>
#include <x86intrin.h>

#include "core/sys.h"

/* One time in `times`, for 0.3 ms and what the kernel adds. runs on any thread; signal-safe: yes; blocks: for so long */
static inline void oa_delay(unsigned times)
{
	static const struct timespec moment = { .tv_nsec = 300000 };
	unsigned random = (unsigned)__rdtsc() * 2654435761u;

	if ((random >> 16) % times == 0)
		oa_sys2(SYS_nanosleep, &moment, NULL);
}
#else
static inline void oa_delay(unsigned times)
{
}
#endif
