#pragma once
/* What this process uses, for the process_* metrics. */
#include <stdint.h>

/* Measures into oa_self->usage, at most once a second; also moves early counts (core/stats.h).
 *
 * now_ns    monotonic
 * runs on   side thread; locks: none; heap: no; blocks: no (reads /proc)
 */
void oa_usage_tick(uint64_t now_ns);

/* Child after fork: the next tick measures at once. signal-safe: yes */
void oa_usage_forget(void);
