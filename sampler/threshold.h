#pragma once
/* Consistent probability sampling (OpenTelemetry, W3C Trace Context level 2): 56 random bits of a trace, R, against a
 * rejection threshold, T. A trace is kept when R >= T, so the same trace meets the same fate everywhere, and a higher
 * probability keeps a superset. The other way round, T says how many traces one that was kept stands for.
 *
 * all: runs on any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

#define OA_TH_RANGE  ((uint64_t)1 << 56)
#define OA_TH_NEVER  OA_TH_RANGE  /* keeps nothing */
#define OA_TH_NONE   UINT64_MAX   /* kept for a reason that has no probability */
#define OA_TH_DIGITS 14

/* R of a trace that does not carry its own: the right-most seven bytes of its id. */
static inline uint64_t oa_th_random(const uint8_t trace_id[16])
{
	uint64_t r;

	memcpy(&r, trace_id + 8, 8);
	return __builtin_bswap64(r) & (OA_TH_RANGE - 1);
}

/* T of a probability from 0 to 1, rounded to what oa_th_text() writes in few digits: four, and one more for each
 * leading f. */
uint64_t oa_th_of(double probability);

/* The probability of a T. */
double oa_th_probability(uint64_t threshold);

/* Hex as in `th:`: fourteen digits without the zeros at the end, never none. returns their number; 0 when T is no
 * threshold */
unsigned oa_th_text(uint64_t threshold, char ret_text[OA_TH_DIGITS]);

/* The value of `th:`, 1 to 14 digits. returns false when it is none */
bool oa_th_parse(struct oa_bytes text, uint64_t *ret_threshold);
/* The value of `rv:`, exactly 14 digits. */
bool oa_th_parse_random(struct oa_bytes text, uint64_t *ret_random);
