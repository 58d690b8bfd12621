#pragma once
/* When to try a failed request again. Pure. */
#include <stdint.h>

#include "core/bytes.h"

#define OA_RETRY_FIRST_MS 500   /* OTLP names no figures; these are between those of the SDKs */
#define OA_RETRY_LAST_MS  30000 /* longest pause that we choose ourselves */

/* Pause before attempt number `attempt` (1: the first repetition): doubles, and is between half and all of that at
 * random, so that many processes do not come back at the same moment. */
uint64_t oa_retry_pause_ms(unsigned attempt, uint64_t random);

/* Retry-After: seconds, or a date in any of HTTP's three formats (RFC 9110, 5.6.7).
 *
 * now_s     unix time
 * returns   milliseconds to wait, 0 when that date is over; -1: not understood
 */
int64_t oa_retry_after_ms(struct oa_bytes text, int64_t now_s);
