#pragma once
/* Text of a scrape under construction: a growing buffer, numbers without libc (no locale, no
 * rounding: what we export are integers and decimal fractions of integers), and the head of a
 * metric family. Side thread only. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/bytes.h"

struct oa_prom_out {
	char *mem;
	size_t len, cap;
	bool openmetrics; /* else text 0.0.4 */
	bool failed;      /* no memory: the text is not whole */
	bool dropped;     /* a view says that nothing from family_at on is to be shown */
	size_t family_at;
};

bool oa_prom_grow(struct oa_prom_out *o, size_t more);

/* Room for `more` bytes at the end, NULL when there is no memory. */
static inline char *oa_prom_room(struct oa_prom_out *o, size_t more)
{
	if (__builtin_expect(o->cap - o->len < more, 0) && !oa_prom_grow(o, more))
		return NULL;
	return o->mem + o->len;
}

static inline void oa_prom_bytes(struct oa_prom_out *o, const void *ptr, size_t len)
{
	char *to = oa_prom_room(o, len);

	if (!to)
		return;
	memcpy(to, ptr, len);
	o->len += len;
}

static inline void oa_prom_str(struct oa_prom_out *o, const char *s)
{
	oa_prom_bytes(o, s, strlen(s));
}

#define oa_prom_lit(o, s) oa_prom_bytes((o), (s), sizeof(s) - 1)

/* Longest text of the number functions. */
#define OA_PROM_NUM_MAX 40

/* Each writes at most OA_PROM_NUM_MAX characters without terminator and returns the end. */
char *oa_prom_uint(char *to, uint64_t value);
/* value / 10^scale as a decimal fraction, without trailing zeros: (1500000, 9) is 0.0015. scale <=
 * 18 */
char *oa_prom_fixed(char *to, uint64_t value, unsigned scale);
/* The same as Go prints a float64, which is what bucket bounds look like everywhere: 0.005,
 * 1, 2.097152e+06; OpenMetrics wants 1.0 instead of 1. */
char *oa_prom_bound(char *to, uint64_t value, unsigned scale, bool openmetrics);

void oa_prom_put_uint(struct oa_prom_out *o, uint64_t value);
void oa_prom_put_fixed(struct oa_prom_out *o, uint64_t value, unsigned scale);

/* A label value between its quotes. */
void oa_prom_label_value(struct oa_prom_out *o, struct oa_bytes value);

enum oa_prom_type { OA_PROM_COUNTER, OA_PROM_GAUGE, OA_PROM_HISTOGRAM, OA_PROM_INFO };

/* HELP, TYPE and, for OpenMetrics, UNIT.
 *
 * name  of the family, without _total or _info
 * unit  "seconds", "bytes": the name ends in it; or NULL
 */
void oa_prom_family(struct oa_prom_out *o, const char *name, enum oa_prom_type type,
		    const char *unit, const char *help);
/* The same of what has no series: by a view it may have another description, or may not be shown. Its samples are written in
 * any case, and taken back by the next family, or oa_prom_families_end(). */
void oa_prom_observed(struct oa_prom_out *o, const char *name, enum oa_prom_type type,
		      const char *unit, const char *help);
void oa_prom_families_end(struct oa_prom_out *o);
