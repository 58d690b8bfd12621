#pragma once
/* The memory a pre-fork tree of processes shares: an anonymous mapping made at activation, before the
 * first fork. It holds one slot per process, the metric series of the whole tree (so one scrape shows
 * every worker and nothing goes backwards when one exits), and the rings (so the spans of a worker that
 * was killed are not lost). Everything in it is atomic words; nothing is ever locked across processes. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/db_pools.h"
#include "core/limits.h"
#include "core/ring.h"
#include "core/sampling.h"
#include "core/series.h"
#include "core/stats.h"

enum oa_proc_state {
	OA_PROC_FREE,
	OA_PROC_CLAIMED, /* being set up */
	OA_PROC_LIVE,
	OA_PROC_ORPHAN,  /* its process is gone, its rings are being emptied by the leader */
};

/* Spans handed to the exporters: may be sent again; may have arrived; done with. */
enum oa_wire { OA_WIRE_WAITS, OA_WIRE_OUT, OA_WIRE_SETTLED };

/* Who a batch of spans comes from: the process that made them, dead or alive. */
struct oa_proc_id {
	uint32_t pid;
	uint32_t ppid;
	uint64_t start_unix_ns;   /* of the process */
	uint8_t instance_id[16];  /* service.instance.id, UUID v4 */
};

/* One process. Counters stay when the process goes and the next owner of the slot counts on, so sums
 * over all slots never fall; gauges (active) are only meant for LIVE slots and are zeroed at claim. */
struct oa_proc {
	_Atomic uint32_t state; /* enum oa_proc_state */
	_Atomic uint32_t pid;   /* 0: free; set before anything else, and cleared last */
	_Atomic uint64_t start_ticks; /* field 22 of /proc/<pid>/stat: tells a reused pid */
	struct oa_proc_id id;
	int16_t ring_unit[OA_SHARDS_MAX / 2]; /* index of its units, -1 none; two shards a unit */
	int16_t queue_unit;                   /* whole, or the second half of ring_unit[0] when units were scarce */
	bool shares_unit;
	uint16_t shards;
	_Atomic uint32_t wakes;               /* core/doze.h: counts what wakes its side thread */
	/* For whoever adopts what this process leaves; written by its side thread, later by the adopter's. */
	_Atomic uint64_t taking[OA_SHARDS_MAX]; /* record being taken from a ring: pipeline/drain.c */
	_Atomic uint64_t flight_end; /* spans of the queue before this position were handed to the exporters; 0 none */
	_Atomic uint32_t wire;       /* enum oa_wire: what became of these */
	_Atomic uint32_t unsaved;    /* spans waiting in a queue that dies with the process */
	_Atomic uint32_t held;       /* sampled spans that wait for their request to end, in memory that dies with it, too */
	_Atomic uint64_t held_bytes; /* of all that wait so */
	_Atomic uint32_t queued, queue_max, in_flight; /* spans: in the queue, its bound, handed to the exporters */
	_Atomic uint64_t pushed_private, taken_private; /* records that went through rings that die with the process */
	_Atomic uint64_t stat[OA_STAT_COUNT]; /* core/stats.def */
	_Atomic int64_t active_server[OA_METHOD_COUNT][2]; /* open server exchanges; [1] = https */
	_Atomic int64_t active_client[OA_METHOD_COUNT][2];
	_Atomic uint32_t db_pool[OA_DB_POOLS][OA_DB_USE_COUNT]; /* connections, counted by its side thread every second */
	/* Written by the owner's side thread every second; the cumulative ones include the slot's former owners. */
	_Atomic uint64_t usage[OA_USAGE_COUNT];
};

struct oa_tree {
	uint64_t magic;
	uint64_t created_unix_ns;
	_Atomic uint32_t leader_pid;      /* core/lead.h; 0 none */
	_Atomic uint64_t leader_ticks;
	_Atomic uint32_t port;            /* port of the endpoint, once bound: kept by later leaders */
	_Atomic uint32_t yield_port;      /* a process of the tree wants this port for itself */
	_Atomic uint64_t warned[OA_WARNED_MAX]; /* hashes of the warnings given; 0 free */
	uint32_t units;                   /* how many ring units were mapped */
	_Atomic uint32_t claims;          /* slots taken so far */
	_Atomic uint32_t unit_owner[OA_UNITS]; /* index+1 of the owning proc slot, 0 free */
	struct oa_proc procs[OA_PROCS_MAX];
	/* Whose metrics are pushed: stays when the leader changes. Written by the leader. */
	_Atomic uint32_t metrics_id_set;
	uint8_t metrics_id[16];
	_Atomic uint64_t pushed_unix_ns; /* until when the receiver has differences; 0 never */
	struct oa_series_table series;
	struct oa_db_pool db_pools[OA_DB_POOLS];
	struct oa_sampling sampling;
	/* the units follow, page-aligned: oa_tree_unit() */
};

/* The mapping, NULL before activation. One for life, inherited by forked children. */
extern struct oa_tree *oa_tree;

/* This process' slot; NULL until claimed (first exchange of the process) or when all are taken, in
 * which case a private one is used: oa_self is never NULL after oa_tree_claim(). */
extern struct oa_proc *_Atomic oa_self;

/* Maps the tree: with all units, else fewer, else without (private rings).
 * returns 0 or -errno (no memory at all: the library stays inert).
 * runs on   host thread, once per tree; signal-safe: yes; heap: no */
int oa_tree_map(void);

/* Takes a slot for this process and its rings. Idempotent; several threads may call it.
 * runs on   host thread or side thread; signal-safe: yes; locks: none (bounded CAS); heap: no (may mmap) */
int oa_tree_claim(void);

/* Forgets the inherited slot (in the child after fork). */
void oa_tree_forget(void);

/* Whether this warning is the first of its text in the tree: its processes have the same to say. False also when there
 * were OA_WARNED_MAX others. */
bool oa_tree_first_warning(struct oa_bytes text);

/* True when the process of the slot no longer exists (pid gone or reused).
 * runs on   side thread (reads /proc) */
bool oa_proc_dead(const struct oa_proc *p);

/* Start time of a live process in clock ticks since boot, 0 unknown. The side thread stores its own in
 * oa_self->start_ticks. */
uint64_t oa_proc_ticks(uint32_t pid);

/* Ring of shard `i` of a slot, NULL when it has none. Own slot: private fall-back ring included. */
struct oa_ring *oa_proc_ring(struct oa_proc *p, unsigned i);

/* Queue of finished spans of a slot, NULL when it has none. */
struct oa_ring *oa_proc_queue(struct oa_proc *p);

/* Slots or ring units are running out, and more were taken than when this was asked last: dead processes should be emptied
 * without delay.
 * runs on   side thread */
bool oa_tree_runs_out(void);

/* Gives a dead slot back: units freed, counters kept. The caller has emptied its rings.
 * runs on   side thread of the leader */
void oa_proc_release(struct oa_proc *p);

/* Replaces the ring of one of our own shards whose oldest record never got finished (its producer was killed or
 * jumped away): a new private ring takes over, the old one stays mapped. returns 0 or -ENOMEM.
 * runs on   side thread */
int oa_tree_retire_ring(unsigned shard);

/* Pushes one record to the ring of the CPU this thread runs on.
 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
bool oa_tree_push(const struct oa_span *rec);
