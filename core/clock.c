/* Clocks through the C library itself (glibc_floor.c), which reads them from the vDSO: no system call. */
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "core/attr.h"
#include "core/clock.h"

static _Atomic int64_t clock_offset; /* unix = monotonic + offset */

static _Atomic bool clock_stopped;

void oa_clock_stop(void)
{
	atomic_store(&clock_stopped, true);
}

static uint64_t clock_read(clockid_t id)
{
	struct timespec ts;

	if (OA_UNLIKELY(atomic_load_explicit(&clock_stopped, memory_order_relaxed)))
		return 1;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t oa_now_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t oa_unix_now_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

void oa_clock_anchor(void)
{
	atomic_store_explicit(&clock_offset, (int64_t)(oa_unix_now_ns() - oa_now_ns()), memory_order_relaxed);
}

uint64_t oa_unix_from_mono(uint64_t mono_ns)
{
	int64_t offset = atomic_load_explicit(&clock_offset, memory_order_relaxed);

	if (!offset) {
		oa_clock_anchor();
		offset = atomic_load_explicit(&clock_offset, memory_order_relaxed);
	}
	return mono_ns + (uint64_t)offset;
}
