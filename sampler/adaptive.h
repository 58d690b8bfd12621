#pragma once
/* The adaptive sampler's controller: how much of each class is kept, from its traffic, its errors and its weight. Pure
 * arithmetic over the tree's memory; time comes as an argument. docs/sampling.md has the law.
 *
 * all: runs on side thread, one of the tree at a time; locks: none; heap: no; blocks: no */
#include <stdbool.h>
#include <stdint.h>

#include "core/sampling.h"

#define OA_ADAPTIVE_MIN     0.0010001 /* 0.1 %, and a little, so that rounding does not go below */
#define OA_ADAPTIVE_GROWTH  1.25      /* at most, a second */
#define OA_ADAPTIVE_SLACK   0.10      /* changes of less are not made */
#define OA_ADAPTIVE_BURST   1.3       /* a rate this much above the average is believed at once */
#define OA_ADAPTIVE_BOOST   5.0       /* of a class of which OA_ADAPTIVE_ERRORS or more fail */
#define OA_ADAPTIVE_ERRORS  0.10
#define OA_ADAPTIVE_STEP_NS 1000000000ull

/* One step: looks at what was counted since the last one and sets the thresholds.
 * target  traces a second that the tree may keep, errors apart */
void oa_adaptive_step(struct oa_sampling *s, double target, uint64_t now_ns);

/* True when more than twice of what a second may keep has been kept since the last step: time for the next one. */
bool oa_adaptive_flooded(const struct oa_sampling *s, double target, uint64_t now_ns);

/* Of the last minute; 0 when there was next to nothing. */
double oa_adaptive_error_rate(const struct oa_adaptive *a);
