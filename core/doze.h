#pragma once
/* How our thread sleeps while nothing happens, and how it is woken from that: by a host thread whose spans would not fit the
 * rings until it wakes by itself, and for the few things that cannot wait (the end of the process, a port to be given up). While it
 * has answers to wait for it sleeps in the exporters' loop instead, where nobody can wake it. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/ring.h"
#include "core/tree.h"

/* Our thread is asleep here. One load per record on the hot path. */
extern _Atomic uint32_t oa_dozing;

/* Sleeps for ms, or until woken. What was to wake it since the last time counts too: then it comes back at once.
 * returns   whether it was woken
 * runs on   side thread, after oa_tree_claim() */
bool oa_doze(unsigned ms);

/* A short one, that no host thread ends because of its records. */
bool oa_doze_briefly(unsigned ms);

/* Ends a doze of this process's thread, or the next one when it does not sleep now.
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_doze_end(void);

/* The same for the thread of a process of the tree, this one or another. */
void oa_doze_end_of(uint32_t pid);

/* A record was put into this ring while our thread dozes: wakes it when a quarter of the ring is full, once.
 * runs on   any thread; signal-safe: yes */
void oa_doze_look(const struct oa_ring *r);

/* In a forked child, and when the thread ends: nobody dozes. */
void oa_doze_forget(void);
