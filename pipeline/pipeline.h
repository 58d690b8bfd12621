#pragma once
/* Entry point of the right side, called by preload/side_thread.c and nobody else. */
#include <stdbool.h>
#include <stdint.h>

/* Opens resource, processors, exporters, loop. returns 0 or -errno (then nothing is exported,
 * metrics stay). */
int oa_pipeline_open(void);
/* One turn: empties the rings (orphans' too when leading) and runs ticks. returns records seen */
unsigned oa_pipeline_turn(void);
/* Between turns: serves the exporters, in their loop or dozing (core/doze.h), for max_wait_ms at most.
 * returns whether anything happened: a timer, a socket, a transfer had something to do, or the thread was woken */
bool oa_pipeline_wait(unsigned max_wait_ms);
/* Empties everything into the exporters until done or deadline_ns. Counts what is left as dropped.
 */
void oa_pipeline_flush(uint64_t deadline_ns);
/* Whether dead processes of the tree left something that nobody else will send. For a process
 * without a side thread. */
bool oa_pipeline_has_orphans(void);
/* Child after fork. */
void oa_pipeline_forget(void);
