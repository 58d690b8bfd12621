#pragma once
/* Spans of one process that wait for export. They are in its ring in shared memory, so that those
 * of a killed worker survive it, and in a private one behind that when the settings ask for more
 * than it holds. What is taken for an export stays until it is settled; how that stands is noted
 * for an heir. Side thread only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ring.h"
#include "core/tree.h"

struct oa_queue {
	struct oa_proc *proc;
	struct oa_ring *ring;  /* NULL: takes nothing */
	struct oa_ring *spill; /* private: what does not fit the ring, behind it; NULL none */
	uint32_t waiting;      /* records in both */
	uint32_t spilled;      /* of these in spill */
	uint8_t last[8];       /* inherited: span id of the last record; zero none */
};

/* Our own, empty. max: spans that may wait */
void oa_queue_open(struct oa_queue *q, uint32_t max);

/* That of a dead process: counts what is in it, without what was delivered or may have been. */
void oa_queue_inherit(struct oa_queue *q, struct oa_proc *p);

/* Adds a copy without the bytes that no text refers to. returns false when it does not fit */
bool oa_queue_put(struct oa_queue *q, const struct oa_span *s);

/* A record that a process died over is given to its heir once more (drain.c), when it may have been
 * queued already: then it is the last one that was inherited. */
bool oa_queue_has(const struct oa_queue *q, const struct oa_span *s);

/* What is taken from a queue at one time. */
struct oa_queue_take {
	uint64_t end;     /* position behind it */
	uint32_t records; /* also those that cannot be, which are not among the spans */
	size_t count;     /* spans */
};

/* Takes up to `max` spans, which stay valid until oa_queue_settle(). */
struct oa_queue_take oa_queue_take(struct oa_queue *q, const struct oa_span **ret_spans,
				   size_t max);

/* What was taken is done with. */
void oa_queue_settle(struct oa_queue *q, const struct oa_queue_take *take);

/* What was taken waits as before. */
void oa_queue_put_back(struct oa_queue *q);

/* Forgets what waits, at the end; with an heir only what it cannot see. returns how many spans */
uint32_t oa_queue_abandon(struct oa_queue *q, bool heir);
