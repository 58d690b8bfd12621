#pragma once
/* The `ot` member of tracestate: what OpenTelemetry says there about sampling. Everything else in the list is somebody
 * else's and stays as it is.
 *
 * all: runs on any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "sampler/threshold.h"

#define OA_OT_VALUE_MAX 256 /* by the specification */

struct oa_ot {
	struct oa_bytes value; /* behind "ot=", empty when there is none; borrowed from the list */
	bool broken;           /* by its grammar: nothing of it counts, and it is left as it is */
	bool has_random;
	uint64_t random;       /* rv, when has_random */
	uint64_t threshold;    /* th, OA_TH_NONE when there is none */
};

/* Of a list that oa_tracestate_valid(). Of several members called ot the first one counts. */
void oa_ot_parse(struct oa_bytes list, struct oa_ot *ret_ot);

/* Writes the list again with this th, or without one (OA_TH_NONE). A changed ot comes first, as the W3C wants it;
 * members that no longer fit `out`, or are more than 32, are left out whole: first those of more than 128 bytes, then
 * from the end.
 *
 * ot       of this list
 * out      empty, OA_OT_VALUE_MAX + 3 bytes at least
 * returns  false when ot is broken: then nothing was written, and the list cannot say what was asked for */
bool oa_ot_write(struct oa_bytes list, const struct oa_ot *ot, uint64_t threshold, struct oa_buf *out);
