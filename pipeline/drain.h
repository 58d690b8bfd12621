#pragma once
/* Takes finished records out of the rings: our own every turn, those of dead processes of the tree
 * while this process leads it. All of it runs on the side thread. */
#include <stdbool.h>
#include <stdint.h>

#include "core/ring.h"
#include "core/tree.h"

/* Empties the rings of this process as far as they were filled when called, and runs the
 * processors. returns   records seen */
unsigned oa_drain_own(uint64_t now_ns);

/* Empties a ring that nobody writes to any more, over records that were never finished.
 *
 * p, shard  whose ring it is, or was
 * returns   records seen */
unsigned oa_drain_abandoned(struct oa_proc *p, unsigned shard, struct oa_ring *r);

/* True when every text, number and name of the record is within its bounds: it comes from memory
 * that a broken process could write to. */
bool oa_drain_valid(const struct oa_span *s);

void oa_drain_forget(void);

/* Looks for processes of the tree that died and takes over what they left: their rings are emptied,
 * their waiting spans exported under their own identity, then the slot is free again. For the
 * leader, every second, and for the last one at its end. returns   records seen */
unsigned oa_adopt_tick(void);

/* Whether dead processes left something and no process of the tree has a side thread.
 * runs on   host thread without a side thread; signal-safe: yes; locks: none; heap: no */
bool oa_adopt_is_wanted(void);
