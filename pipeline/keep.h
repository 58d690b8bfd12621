#pragma once
/* The local tail rule: what the head sampler dropped is kept all the same when it ends in error, is slow, or is of a route
 * that is hardly ever asked for. docs/sampling.md. All of it runs on the side thread. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/sampling.h"
#include "core/span.h"
#include "core/tree.h"

/* -- keep_route.c: what is usual for a route -- */

struct oa_keep_usual {
	uint64_t p99_ns; /* 99 of 100 were not longer; 0: not enough seen */
	unsigned lately; /* requests in this minute and the last one, without this one */
};

/* Looks a local root up and counts it. */
struct oa_keep_usual oa_keep_route(const struct oa_span *root, uint64_t now_ns);
void oa_keep_route_forget(void);

/* -- keep_budget.c: how much of each reason -- */

/* Notes that a trace has this reason, kept or not. */
void oa_keep_seen(enum oa_keep reason);
/* T of the reason just now. */
uint64_t oa_keep_threshold(enum oa_keep reason);
/* Moves the thresholds of the tree, when it is due. */
void oa_keep_budget_tick(uint64_t now_ns);

/* -- keep_store.c: records that wait for their local root -- */

struct oa_keep_trace {
	uint8_t id[16];
	const struct oa_proc_id *who; /* who made its records */
	uint64_t since_ns;
	uint64_t random;              /* R */
	uint32_t first, last;         /* records, slot + 1 */
	uint16_t count;
	bool failed;                  /* one of them did */
	uint32_t hash_next, older, newer; /* trace + 1 */
};

/* returns 0 or -ENOMEM: then nothing is held */
int oa_keep_store_open(size_t bytes);
void oa_keep_store_forget(void);

/* The trace, NULL when nothing of it is held. */
struct oa_keep_trace *oa_keep_find(const uint8_t trace_id[16]);
/* The trace, made if need be; NULL when there is no room. */
struct oa_keep_trace *oa_keep_begin(const uint8_t trace_id[16], const struct oa_proc_id *who, uint64_t now_ns);
/* Holds a copy. returns false when there is no room for it */
bool oa_keep_hold(struct oa_keep_trace *t, const struct oa_span *s);
/* Takes the oldest record of a trace into `ret`. returns false when there is none left */
bool oa_keep_take(struct oa_keep_trace *t, struct oa_span_buf *ret);
/* Forgets a trace, and what it holds. */
void oa_keep_end(struct oa_keep_trace *t);
/* The one that has waited longest, NULL when there is none. */
struct oa_keep_trace *oa_keep_oldest(void);
/* The next one of the same maker, from *pos = 0 on. */
struct oa_keep_trace *oa_keep_of(const struct oa_proc_id *who, uint32_t *pos);
size_t oa_keep_bytes(void);
