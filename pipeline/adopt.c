/* What dead processes of the tree left in shared memory. `pid` and `start_ticks` of a slot name who
 * is in charge of it: its process, and after its death whoever adopted it. So an adopter that dies
 * in the middle is itself found dead, and the next leader goes on where it stopped. */
#define OA_LOG_DOMAIN "adopt"
#include "core/lead.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/sys.h"
#include "pipeline/batch.h"
#include "pipeline/drain.h"
#include "pipeline/processor.h"

/* Takes charge of a slot. Two leaders at the same time (one stopped, the other taking over) are
 * told apart by the compare-and-swap. */
static bool adopt_claim(struct oa_proc *p, uint32_t dead_pid)
{
	uint32_t self = atomic_load(&oa_self->pid);

	atomic_store(&p->start_ticks, 0);
	if (!atomic_compare_exchange_strong(&p->pid, &dead_pid, self))
		return false;
	atomic_store(&p->start_ticks, atomic_load(&oa_self->start_ticks));
	return true;
}

/* Takes a gauge back to 0. returns what it was */
static uint64_t adopt_gauge(_Atomic int64_t *gauge)
{
	int64_t was = atomic_exchange(gauge, 0);

	return was > 0 ? (uint64_t)was : 0;
}

/* Exchanges that were open have no record and never will, and what waited in private memory is
 * gone. */
static void adopt_numbers(struct oa_proc *p)
{
	uint64_t lost = atomic_exchange(&p->unsaved, 0) + atomic_exchange(&p->held, 0) + atomic_exchange(&p->pushed_private, 0) -
			atomic_exchange(&p->taken_private, 0);

	for (unsigned m = 0; m < OA_METHOD_COUNT; m++)
		for (unsigned tls = 0; tls < 2; tls++)
			lost += adopt_gauge(&p->active_server[m][tls]) +
				adopt_gauge(&p->active_client[m][tls]);
	oa_stat_add(OA_STAT_drop_died, lost);
	for (unsigned i = OA_USAGE_CUMULATIVE; i < OA_USAGE_COUNT; i++)
		atomic_store(&p->usage[i], 0); /* what only grows stays: the next owner counts on */
}

static bool adopt_has_telemetry(struct oa_proc *p)
{
	struct oa_ring *queue = oa_proc_queue(p);
	bool any = queue && oa_ring_used(queue);

	for (unsigned i = 0; i < p->shards; i++) {
		struct oa_ring *r = oa_proc_ring(p, i);

		any |= r && oa_ring_used(r);
	}
	return any;
}

static unsigned adopt_one(struct oa_proc *p)
{
	unsigned seen = 0;

	atomic_store(&p->state, OA_PROC_ORPHAN);
	adopt_numbers(p);
	if (adopt_has_telemetry(p))
		oa_stat_inc(OA_STAT_orphans);
	oa_batch_adopt(p);
	for (unsigned i = 0; i < p->shards; i++) {
		struct oa_ring *r = oa_proc_ring(p, i);

		if (r)
			seen += oa_drain_abandoned(p, i, r);
	}
	oa_dbg("process %u of slot %d died: %u records, %u spans waiting in queue %d", p->id.pid,
	       (int)(p - oa_tree->procs), seen, oa_batch_waiting(p), p->queue_unit);
	for (const struct oa_processor *const *proc = oa_processors; *proc; proc++)
		if ((*proc)->adopted)
			(*proc)->adopted(&p->id);
	oa_batch_adopted(p);
	return seen;
}

/* It had recorded something, or could have; one killed while it took the slot, or while it gave one
 * back, had not, and what the slot says besides its pid may be another's. */
static bool adopt_was_at_work(const struct oa_proc *p)
{
	uint32_t state = atomic_load(&p->state);

	return state == OA_PROC_LIVE || state == OA_PROC_ORPHAN;
}

/* A slot whose process is gone, or its adopter. */
static bool adopt_is_left(const struct oa_proc *p)
{
	uint32_t pid = atomic_load(&p->pid);

	return pid && p != oa_self && (!oa_self || pid != atomic_load(&oa_self->pid)) &&
	       oa_proc_dead(p);
}

unsigned oa_adopt_tick(void)
{
	unsigned seen = 0;

	if (!oa_self || !oa_lead_take())
		return 0;
	for (unsigned i = 0; i < OA_PROCS_MAX && oa_batch_can_adopt(); i++) {
		struct oa_proc *p = &oa_tree->procs[i];
		uint32_t pid = atomic_load(&p->pid);

		if (!adopt_is_left(p) || !adopt_claim(p, pid))
			continue;
		if (adopt_was_at_work(p))
			seen += adopt_one(p);
		else
			oa_proc_release(p);
	}
	return seen;
}

bool oa_adopt_is_wanted(void)
{
	bool left = false;

	for (unsigned i = 0; oa_tree && i < OA_PROCS_MAX; i++) {
		const struct oa_proc *p = &oa_tree->procs[i];

		if (!adopt_was_at_work(p))
			continue;
		if (!adopt_is_left(p))
			return false; /* somebody lives who does it, or the one after */
		left = true;
	}
	return left;
}
