#pragma once
/* Calendar dates in UTC, by arithmetic alone. libc's gmtime_r() takes the lock of the time zone, and a
 * host that forks at that moment leaves it locked in the child. */
#include <stdint.h>
#include <time.h>

/* Splits seconds since 1970 into a date. returns 0, or -EOVERFLOW if the year does not fit an int.
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
int oa_civil_from_unix(int64_t seconds, struct tm *ret_date);
