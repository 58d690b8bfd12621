#pragma once
/* Finished spans on their way to the exporters; see batch.c. */
#include <stdbool.h>
#include <stdint.h>

#include "core/span.h"
#include "core/tree.h"

/* Queues a sampled span that comes later than its record did. */
void oa_batch_put(struct oa_span_buf *span, const struct oa_proc_id *who);

/* When the next export is due, monotonic; UINT64_MAX: none waiting, or one under way. */
uint64_t oa_batch_due_ns(void);

/* The next batch is whole, and waits for the one under way. */
bool oa_batch_queues(void);

/* Room for one more dead process whose spans are exported under its own identity. */
bool oa_batch_can_adopt(void);
/* From now on spans of &p->id go to its own queue, behind those already waiting there. */
void oa_batch_adopt(struct oa_proc *p);
unsigned oa_batch_waiting(const struct oa_proc *p);
/* All of its records were seen: the slot is released once its queue is empty. */
void oa_batch_adopted(struct oa_proc *p);

/* Ends for good: gives up the export under way and counts what is left as lost at exit, unless
 * another process of the tree can still pick it up. */
void oa_batch_end(void);
