#pragma once
/* What pushing metrics needs beside the series, in memory that the processes of a tree share: exponential buckets, and what
 * was sent already when the receiver wants differences. Mapped with the tree, only when the settings ask for it. */
#include <stdatomic.h>
#include <stdbool.h>

#include "core/series.h"

#define OA_SERIES_ENTRIES (sizeof(((struct oa_series_table *)0)->entry) / sizeof(struct oa_series))

/* Scale 3: each octave has 8 buckets, 9 % wide. Seconds from 1 us to 4096 s, bytes from 1 to 2 GiB; smaller values are
 * zero, larger ones in the last bucket. */
#define OA_EXP_SCALE   3
#define OA_EXP_BUCKETS 256

struct oa_exp_series {
	_Atomic uint64_t zero;
	_Atomic uint64_t bucket[OA_EXP_BUCKETS];
};

/* By the index of an entry of the series' table; NULL: off. */
extern struct oa_exp_series *oa_exp;

/* Index of the first bucket in OpenTelemetry's counting: bucket i covers (2^(i/8), 2^((i+1)/8)]. */
int oa_exp_offset(unsigned stream);
/* returns 0: zero, else 1 + index of the bucket */
unsigned oa_exp_bucket(unsigned stream, uint64_t value);
/* runs on   side thread; locks: none; heap: no; blocks: no */
void oa_exp_add(unsigned entry, unsigned stream, uint64_t value);

struct oa_pushed_series {
	uint64_t bucket[OA_BOUNDS_MAX + 1];
	uint64_t sum;
};

/* What the receiver has. Written by the leader only; the next leader goes on with it. */
struct oa_pushed {
	struct oa_pushed_series series[OA_SERIES_ENTRIES];
	uint64_t stat[512]; /* counters of our own */
};
/* [0] was accepted, [1] is on its way; NULL: cumulative. */
extern struct oa_pushed *oa_pushed;
extern struct oa_exp_series *oa_exp_pushed; /* the same for oa_exp: first all that was accepted */

/* Maps what the settings ask for. Without memory the settings have no effect.
 * runs on   host thread, once per tree; signal-safe: yes; heap: no */
void oa_series_push_map(void);
