#pragma once
/* Time. Durations and ordering use CLOCK_MONOTONIC, read through the vDSO without a system call; wall
 * time is one anchor taken by the side thread. Tests replace oa_clock_fn. */
#include <stdint.h>

/* Monotonic nanoseconds. runs on any thread; signal-safe: yes */
uint64_t oa_now_ns(void);
/* From now on all clocks stand still, in all threads: reading one may be deadly (prctl PR_SET_TSC). For stand-downs, after
 * which nobody looks at a time. */
void oa_clock_stop(void);

/* CLOCK_REALTIME nanoseconds. */
uint64_t oa_unix_now_ns(void);

/* Wall time of a monotonic instant, by the anchor taken last (side thread takes one every second). */
uint64_t oa_unix_from_mono(uint64_t mono_ns);
void oa_clock_anchor(void);
