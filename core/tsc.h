#pragma once
/* The clock of the hot path: the processor's time stamp counter, mapped to CLOCK_MONOTONIC by the side thread once a second.
 * It is used only where the counter is invariant and the kernel itself takes it for its clock; where it is not, or the
 * side thread did not confirm the mapping for some seconds, or the two clocks came apart (suspend, migration of the
 * virtual machine), time comes from the vDSO as everywhere else. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#include "core/attr.h"
#include "core/clock.h"

struct oa_tsc {
	_Atomic uint32_t seq;    /* odd while the rest is written */
	_Atomic uint32_t unused;
	_Atomic uint64_t ticks, ns; /* the same instant */
	_Atomic uint64_t mult;   /* ns per tick, << 32 */
	_Atomic uint64_t span;   /* ticks from that instant on that this holds for; 0: not in use */
} __attribute__((aligned(64)));

extern struct oa_tsc oa_tsc;

/* By the mapping; *ret_ok: it holds. */
static inline uint64_t oa_tsc_ns_at(uint64_t now, bool *ret_ok)
{
	uint32_t seq = atomic_load_explicit(&oa_tsc.seq, memory_order_acquire);
	uint64_t ticks = now - atomic_load_explicit(&oa_tsc.ticks, memory_order_relaxed);
	uint64_t mult = atomic_load_explicit(&oa_tsc.mult, memory_order_relaxed);
	uint64_t ns = atomic_load_explicit(&oa_tsc.ns, memory_order_relaxed);

	*ret_ok = ticks < atomic_load_explicit(&oa_tsc.span, memory_order_relaxed) && !(seq & 1);
	atomic_thread_fence(memory_order_acquire);
	*ret_ok &= atomic_load_explicit(&oa_tsc.seq, memory_order_relaxed) == seq;
	return ns + (ticks * mult >> 32); /* no overflow: span is less than 2^32 ns */
}

/* Monotonic nanoseconds, as oa_now_ns() to within OA_TSC_ERROR_NS. runs on any thread; signal-safe: yes */
#define OA_TSC_ERROR_NS 1000000u
static inline uint64_t oa_host_now_ns(void)
{
	bool ok;
	uint64_t ns;

	/* Not even read where it is not in use: a program may have given it up. */
	if (OA_UNLIKELY(!atomic_load_explicit(&oa_tsc.span, memory_order_relaxed)))
		return oa_now_ns();
	ns = oa_tsc_ns_at(__rdtsc(), &ok);
	return OA_LIKELY(ok) ? ns : oa_now_ns();
}

/* From one instant to a later one: never less than nothing, should they come from different clocks. */
static inline uint64_t oa_ns_since(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* Compares the two clocks and renews the mapping. runs on side thread, every second, and as long as it is wanted */
void oa_tsc_tick(void);
/* There is no mapping yet, and there could be one. runs on side thread */
bool oa_tsc_wanted(void);

/* Not used any more, by any thread. runs on any thread, when no side thread runs */
void oa_tsc_stop(void);

/* What that makes of one comparison; for tests. */
void oa_tsc_note(uint64_t ticks, uint64_t ns);
