#pragma once
/* The one thread of ours. It comes when the process first serves or asks something, runs pipeline/ and exporter/,
 * and is never waited for without a limit. */
#include <stdbool.h>

/* Starts it unless it is there. A failure is retried after a second at the earliest.
 * runs on   host thread, inside a hook; signal-safe: no; heap: libc's own for a thread; errno: may be clobbered */
void oa_side_thread_want(void);

/* Ends it and waits until the kernel no longer counts it. returns false when that took longer than max_ms */
bool oa_side_thread_stop(unsigned max_ms);

/* At the end of the process: has it empty everything towards the collector, also what dead processes of the tree left, and
 * starts it if that is all there is to do. Waits for that at most max_ms. */
void oa_side_thread_flush(unsigned max_ms);

/* Child after fork: it did not come along. */
void oa_side_thread_forget(void);
