#pragma once
/* Entry point of the right side, called by preload/side_thread.c and nobody else. */
#include <stdbool.h>
#include <stdint.h>

/* Opens resource, processors, exporters, loop. returns 0 or -errno (then nothing is exported,
 * metrics stay). */
int oa_pipeline_open(void);
/* One turn: empties the rings (orphans' too when leading), runs ticks and the loop; waits at most
 * max_wait_ms. returns   records seen: 0 lets the caller wait longer next time */
unsigned oa_pipeline_turn(unsigned max_wait_ms);
/* Empties everything into the exporters until done or deadline_ns. Counts what is left as dropped.
 */
void oa_pipeline_flush(uint64_t deadline_ns);
/* Whether dead processes of the tree left something that nobody else will send. For a process
 * without a side thread. */
bool oa_pipeline_has_orphans(void);
/* Child after fork. */
void oa_pipeline_forget(void);
