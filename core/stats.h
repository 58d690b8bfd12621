#pragma once
/* Our own counters and process usage fields; also exported as otelauto_* metrics. Counting is one
 * relaxed add on the process' own slot of the tree; before there is a slot it goes to a private one. */
#include <stdatomic.h>
#include <stdint.h>

enum oa_stat {
#define OA_STAT(id, metric, label, value, help) OA_STAT_##id,
#include "core/stats.def"
#undef OA_STAT
	OA_STAT_COUNT,
};

struct oa_stat_info {
	const char *metric; /* "otelauto_drops": exported with _total */
	const char *label;  /* "reason" or "" */
	const char *value;  /* "ring_full" or "" */
	const char *help;
};
struct oa_stat_info oa_stat_info(enum oa_stat s);

/* Resource use of one process, cumulative first. */
enum oa_usage {
	OA_USAGE_CPU_USER_US, OA_USAGE_CPU_SYSTEM_US, OA_USAGE_SWITCH_VOLUNTARY, OA_USAGE_SWITCH_INVOLUNTARY,
	OA_USAGE_FAULT_MAJOR, OA_USAGE_FAULT_MINOR,
	OA_USAGE_CUMULATIVE, /* those above survive their process */
	OA_USAGE_RSS_BYTES = OA_USAGE_CUMULATIVE, OA_USAGE_VIRTUAL_BYTES, OA_USAGE_THREADS, OA_USAGE_FDS,
	OA_USAGE_COUNT,
};

/* runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_stat_add(enum oa_stat s, uint64_t n);
#define oa_stat_inc(s) oa_stat_add((s), 1)
/* Makes sure of the counter's memory, so that counting cannot fail for want of any. */
void oa_stat_touch(enum oa_stat s);

/* Sum over all processes of the tree, dead ones included. */
uint64_t oa_stat_sum(enum oa_stat s);

/* Moves what was counted before this process had its slot into it. runs on side thread, every second */
void oa_stat_settle(void);

/* Drops what the parent had not moved yet (in the child after fork). signal-safe: yes */
void oa_stat_forget(void);
