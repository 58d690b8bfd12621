/* Maps the shared memory of a process tree and hands out its slots and ring units. */
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#include "core/attr.h"
#include "core/clock.h"
#include "core/doze.h"
#include "core/id.h"
#include "core/series_push.h"
#include "core/sys.h"
#include "core/tree.h"

#define CLAIM_YIELDS 10000 /* some milliseconds at least */

#define TREE_MAGIC 0x31306f7475616f74ull /* "toauto01" */
#define TREE_HEAD_BYTES ((sizeof(struct oa_tree) + 4095) & ~(size_t)4095)

struct oa_tree *oa_tree;
struct oa_proc *_Atomic oa_self;

static struct oa_proc tree_private_proc;
static struct oa_ring *tree_private_ring[OA_SHARDS_MAX];
static struct oa_ring *tree_private_queue;
static struct oa_ring *_Atomic tree_rings[OA_SHARDS_MAX]; /* own slot's, for the hot path */
static _Atomic unsigned tree_shards;
static _Atomic int tree_claim_state; /* 0 no, 1 under way, 2 done */

int oa_tree_map(void)
{
	static const uint32_t tries[] = { OA_UNITS, OA_UNITS / 4, 0 };

	for (unsigned i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		struct oa_tree *t = oa_sys_map(TREE_HEAD_BYTES + (size_t)tries[i] * OA_UNIT_BYTES, 1);

		if (!t)
			continue;
		t->magic = TREE_MAGIC;
		t->created_unix_ns = oa_unix_now_ns();
		t->units = tries[i];
		oa_tree = t;
		oa_series_push_map();
		return 0;
	}
	return -ENOMEM;
}

static struct oa_ring *tree_unit_ring(int unit, unsigned half)
{
	uint8_t *base = (uint8_t *)oa_tree + TREE_HEAD_BYTES + (size_t)unit * OA_UNIT_BYTES;

	return (struct oa_ring *)(void *)(base + half * (OA_UNIT_BYTES / 2));
}

static bool tree_is_shared(const struct oa_ring *r)
{
	const uint8_t *at = (const void *)r, *from = (const void *)oa_tree;

	return oa_tree && at >= from && at < from + TREE_HEAD_BYTES + (size_t)oa_tree->units * OA_UNIT_BYTES;
}

static int tree_unit_take(unsigned owner)
{
	for (uint32_t i = 0; i < oa_tree->units; i++) {
		uint32_t want = 0;

		if (atomic_compare_exchange_strong(&oa_tree->unit_owner[i], &want, owner + 1))
			return (int)i;
	}
	return -1;
}

static void tree_unit_free(int unit)
{
	if (unit < 0)
		return;
	/* The next owner expects zeroed rings; this also gives the memory back. */
	oa_sys3(SYS_madvise, tree_unit_ring(unit, 0), OA_UNIT_BYTES, MADV_REMOVE);
	atomic_store(&oa_tree->unit_owner[unit], 0);
}

/* CPUs this process may use, by its own affinity; one system call. */
static unsigned tree_cpu_count(void)
{
	unsigned long mask[16] = { 0 };
	long bytes = oa_sys3(SYS_sched_getaffinity, 0, sizeof(mask), mask);
	unsigned count = 0;

	for (long i = 0; i < bytes / (long)sizeof(long); i++)
		count += (unsigned)__builtin_popcountl(mask[i]);
	return count ? count : 1;
}

static void tree_uuid4(uint8_t id[16])
{
	oa_id_trace(id);
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

static struct oa_ring *tree_ring_private(struct oa_ring **slot, uint32_t slots)
{
	struct oa_ring *r = *slot;

	if (!r)
		r = oa_sys_map(OA_RING_BYTES(slots), 0);
	if (r) {
		/* After fork it is a copy of the parent's: start empty, by fresh zero pages. */
		oa_sys3(SYS_madvise, r, OA_RING_BYTES(slots), MADV_DONTNEED);
		oa_ring_init(r, slots);
		r->is_private = 1;
	}
	*slot = r;
	return r;
}

static unsigned tree_units_free(void)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < oa_tree->units; i++)
		count += !atomic_load_explicit(&oa_tree->unit_owner[i], memory_order_relaxed);
	return count;
}

static bool tree_is_scarce(void)
{
	unsigned slots = 0;

	for (unsigned i = 0; i < OA_PROCS_MAX; i++)
		slots += atomic_load_explicit(&oa_tree->procs[i].state, memory_order_relaxed) == OA_PROC_FREE;
	return slots < OA_PROCS_MAX / 2 || tree_units_free() < oa_tree->units / 2;
}

bool oa_tree_runs_out(void)
{
	static uint32_t seen;
	uint32_t claims = oa_tree ? atomic_load_explicit(&oa_tree->claims, memory_order_relaxed) : seen;

	if (claims == seen)
		return false;
	seen = claims; /* what was enough stays enough until the next one */
	return tree_is_scarce();
}

/* One unit for all: a ring and a queue. */
static void tree_rings_lean(struct oa_proc *p, unsigned owner)
{
	int unit = tree_unit_take(owner);

	if (unit < 0)
		return;
	p->shards = 1;
	p->shares_unit = true;
	p->ring_unit[0] = p->queue_unit = (int16_t)unit;
	oa_ring_init(tree_unit_ring(unit, 0), OA_RING_SLOTS);
	oa_ring_init(tree_unit_ring(unit, 1), OA_RING_SLOTS);
}

static void tree_rings_shared(struct oa_proc *p, unsigned owner)
{
	/* Servers that fork for each connection have many processes, and each has little to say. */
	if (tree_units_free() < oa_tree->units / 2 + p->shards / 2 + 1) {
		tree_rings_lean(p, owner);
		return;
	}
	for (unsigned i = 0; i < p->shards; i += 2) {
		int unit = p->ring_unit[i / 2] = (int16_t)tree_unit_take(owner);

		if (unit >= 0) {
			oa_ring_init(tree_unit_ring(unit, 0), OA_RING_SLOTS);
			oa_ring_init(tree_unit_ring(unit, 1), OA_RING_SLOTS);
		}
	}
	p->queue_unit = (int16_t)tree_unit_take(owner);
	if (p->queue_unit >= 0)
		oa_ring_init(tree_unit_ring(p->queue_unit, 0), OA_QUEUE_SLOTS);
}

/* The pid comes first: a process that is killed in here leaves a slot that names it. */
static struct oa_proc *tree_slot_take(unsigned *ret_index)
{
	uint32_t pid = (uint32_t)oa_sys0(SYS_getpid);

	for (unsigned i = 0; i < OA_PROCS_MAX; i++) {
		struct oa_proc *p = &oa_tree->procs[i];
		uint32_t nobody = 0, want = OA_PROC_FREE;

		if (atomic_load(&p->state) != OA_PROC_FREE || !atomic_compare_exchange_strong(&p->pid, &nobody, pid))
			continue;
		atomic_store(&p->start_ticks, 0); /* the side thread learns it */
		if (atomic_compare_exchange_strong(&p->state, &want, OA_PROC_CLAIMED)) {
			*ret_index = i;
			return p;
		}
		atomic_store(&p->pid, 0);
	}
	return NULL;
}

static void tree_proc_setup(struct oa_proc *p)
{
	uint32_t pid = (uint32_t)oa_sys0(SYS_getpid);
	unsigned cpus = tree_cpu_count();

	p->id = (struct oa_proc_id){ .pid = pid, .ppid = (uint32_t)oa_sys0(SYS_getppid),
				     .start_unix_ns = oa_unix_now_ns() };
	tree_uuid4(p->id.instance_id);
	atomic_store(&p->pid, pid);
	/* A unit has room for two: with one processor the second is where the first one's overflow goes. */
	p->shards = (uint16_t)(cpus < 2 ? 2 : cpus < OA_SHARDS_MAX ? cpus : OA_SHARDS_MAX);
	memset(p->ring_unit, 0xff, sizeof(p->ring_unit));
	p->queue_unit = -1;
	p->shares_unit = false;
	atomic_store(&p->pushed_private, 0);
	atomic_store(&p->taken_private, 0);
	memset((void *)p->taking, 0, sizeof(p->taking));
	atomic_store(&p->flight_end, 0);
	atomic_store(&p->wire, OA_WIRE_WAITS);
	atomic_store(&p->queued, 0);
	atomic_store(&p->queue_max, 0);
	atomic_store(&p->in_flight, 0);
	atomic_store(&p->unsaved, 0);
	atomic_store(&p->held, 0);
	atomic_store(&p->held_bytes, 0);
	memset((void *)p->active_server, 0, sizeof(p->active_server));
	memset((void *)p->active_client, 0, sizeof(p->active_client));
	memset((void *)p->db_pool, 0, sizeof(p->db_pool));
}

struct oa_ring *oa_proc_ring(struct oa_proc *p, unsigned i)
{
	if (i >= p->shards)
		return NULL;
	if (p->ring_unit[i / 2] >= 0)
		return tree_unit_ring(p->ring_unit[i / 2], i & 1);
	return p == oa_self ? tree_private_ring[i] : NULL;
}

struct oa_ring *oa_proc_queue(struct oa_proc *p)
{
	if (p->queue_unit >= 0)
		return tree_unit_ring(p->queue_unit, p->shares_unit);
	return p == oa_self ? tree_private_queue : NULL;
}

/* Every shard has a ring after this, or the process records nothing. */
static void tree_cache_rings(struct oa_proc *p)
{
	bool all = true;

	for (unsigned i = 0; i < p->shards; i++) {
		struct oa_ring *r = p->ring_unit[i / 2] >= 0 ? tree_unit_ring(p->ring_unit[i / 2], i & 1) :
							       tree_ring_private(&tree_private_ring[i], OA_RING_SLOTS);

		tree_rings[i] = r;
		all = all && r;
	}
	if (p->queue_unit < 0)
		tree_ring_private(&tree_private_queue, OA_QUEUE_SLOTS);
	tree_shards = all ? p->shards : 0;
}

int oa_tree_claim(void)
{
	int want = 0;
	unsigned index = 0;
	struct oa_proc *p;

	if (atomic_load_explicit(&tree_claim_state, memory_order_acquire) == 2)
		return 0;
	if (!oa_tree)
		return -ENOMEM;
	if (!atomic_compare_exchange_strong(&tree_claim_state, &want, 1))
		return want == 2 ? 0 : -EAGAIN;
	atomic_fetch_add_explicit(&oa_tree->claims, 1, memory_order_relaxed);
	p = tree_slot_take(&index);
	if (!p) {
		p = &tree_private_proc; /* in a forked child it holds the parent's numbers */
		memset((void *)p->stat, 0, sizeof(p->stat));
		memset((void *)p->usage, 0, sizeof(p->usage));
		atomic_store(&p->state, OA_PROC_CLAIMED);
	}
	tree_proc_setup(p);
	if (p != &tree_private_proc)
		tree_rings_shared(p, index);
	tree_cache_rings(p);
	atomic_store_explicit(&oa_self, p, memory_order_release);
	atomic_store(&p->state, OA_PROC_LIVE);
	atomic_store_explicit(&tree_claim_state, 2, memory_order_release);
	oa_stat_settle(); /* it may be over before its side thread gets to it */
	return 0;
}

void oa_tree_forget(void)
{
	/* The other half of a unit that oa_tree_retire_ring() gave up is the parent's still. */
	for (unsigned i = 0; i < OA_SHARDS_MAX; i++)
		if (tree_is_shared(tree_private_ring[i]))
			tree_private_ring[i] = NULL;
	oa_self = NULL;
	tree_shards = 0;
	atomic_store(&tree_claim_state, 0);
}

int oa_tree_retire_ring(unsigned shard)
{
	struct oa_ring *r = oa_sys_map(OA_RING_BYTES(OA_RING_SLOTS), 0);

	if (!r)
		return -ENOMEM;
	oa_ring_init(r, OA_RING_SLOTS);
	r->is_private = 1;
	tree_private_ring[shard] = r;
	/* Both shards of the unit become private: a unit is given back whole. */
	if (oa_self->ring_unit[shard / 2] >= 0) {
		struct oa_ring *twin = tree_unit_ring(oa_self->ring_unit[shard / 2], (shard & 1) ^ 1);

		if (!oa_self->shares_unit)
			tree_private_ring[shard ^ 1] = twin;
		oa_self->ring_unit[shard / 2] = -1; /* the unit itself leaks: a producer may still write to it */
	}
	atomic_store_explicit(&tree_rings[shard], r, memory_order_release);
	return 0;
}

/* Counted before it is in: should the process be killed, what it did not take out is lost. */
static OA_COLD bool tree_push_private(struct oa_ring *r, const struct oa_span *rec)
{
	struct oa_proc *self = atomic_load_explicit(&oa_self, memory_order_relaxed);
	bool in;

	atomic_fetch_add_explicit(&self->pushed_private, 1, memory_order_relaxed);
	in = oa_ring_try_push(r, rec);
	if (!in)
		atomic_fetch_sub_explicit(&self->pushed_private, 1, memory_order_relaxed);
	return in;
}

/* Another thread is taking a slot for this process: it needs microseconds, unless it is put off its processor. Not for ever,
 * because it may be the one that our signal handler interrupted. */
static bool tree_wait_for_claim(void)
{
	for (unsigned i = 0; i < CLAIM_YIELDS; i++) {
		if (atomic_load_explicit(&tree_shards, memory_order_acquire))
			return true;
		if (atomic_load_explicit(&tree_claim_state, memory_order_relaxed) != 1)
			return false;
		(void)oa_sys0(SYS_sched_yield);
	}
	return false;
}

static OA_COLD bool tree_push_early(const struct oa_span *rec)
{
	if (tree_wait_for_claim())
		return oa_tree_push(rec);
	oa_stat_inc(OA_STAT_drop_ring_full);
	return false;
}

static OA_COLD unsigned tree_shard_of(int cpu, unsigned shards)
{
	return cpu < 0 ? 0 : (unsigned)cpu % shards;
}

/* The rings of a process are one store: when one is full, because its processor does all the work or because our thread was
 * put off, the others have room. */
static OA_COLD bool tree_push_elsewhere(const struct oa_span *rec, unsigned full, unsigned shards)
{
	for (unsigned i = 0; i < shards; i++) {
		struct oa_ring *r = atomic_load_explicit(&tree_rings[(full + i) % shards], memory_order_acquire);

		if (r->is_private ? !tree_push_private(r, rec) : !oa_ring_try_push(r, rec))
			continue;
		if (atomic_load_explicit(&oa_dozing, memory_order_relaxed))
			oa_doze_look(r);
		return true;
	}
	oa_ring_drop(atomic_load_explicit(&tree_rings[full], memory_order_acquire));
	return false;
}

OA_HOT bool oa_tree_push(const struct oa_span *rec)
{
	unsigned shards = atomic_load_explicit(&tree_shards, memory_order_acquire), shard;
	struct oa_ring *r;

	if (OA_UNLIKELY(!shards))
		return tree_push_early(rec);
	shard = (unsigned)sched_getcpu();
	if (OA_UNLIKELY(shard >= shards))
		shard = tree_shard_of((int)shard, shards);
	r = atomic_load_explicit(&tree_rings[shard], memory_order_acquire);
	if (OA_UNLIKELY(r->is_private || !oa_ring_try_push(r, rec)))
		return tree_push_elsewhere(rec, shard, shards);
	if (OA_UNLIKELY(atomic_load_explicit(&oa_dozing, memory_order_relaxed)))
		oa_doze_look(r);
	return true;
}

bool oa_tree_first_warning(struct oa_bytes text)
{
	uint64_t hash = oa_hash(0, text.ptr, text.len) | 1;

	for (unsigned i = 0; i < OA_WARNED_MAX; i++) {
		uint64_t there = 0;

		if (atomic_compare_exchange_strong(&oa_tree->warned[i], &there, hash))
			return true;
		if (there == hash)
			return false;
	}
	return false;
}

void oa_proc_release(struct oa_proc *p)
{
	uint32_t owner = (uint32_t)(p - oa_tree->procs) + 1;

	/* By owner, not by what the slot says: its process may have been killed before it said so. */
	for (uint32_t i = 0; i < oa_tree->units; i++)
		if (atomic_load(&oa_tree->unit_owner[i]) == owner)
			tree_unit_free((int)i);
	memset(p->ring_unit, 0xff, sizeof(p->ring_unit));
	p->queue_unit = -1;
	atomic_store(&p->state, OA_PROC_FREE);
	atomic_store(&p->pid, 0);
}
