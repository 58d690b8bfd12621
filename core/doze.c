#include "core/doze.h"

#include <limits.h>
#include <linux/futex.h>
#include <time.h>

#include "core/attr.h"
#include "core/sys.h"

#define DOZE_RING_PART 4 /* of a ring that is full when it is time to wake: the rest fills while the thread gets up */

_Atomic uint32_t oa_dozing;
static uint32_t doze_seen; /* of oa_self->wakes */

/* No FUTEX_PRIVATE_FLAG: the word is in shared memory. */
static void doze_wake(struct oa_proc *p)
{
	atomic_fetch_add(&p->wakes, 1);
	(void)oa_sys3(SYS_futex, &p->wakes, FUTEX_WAKE, INT_MAX);
}

bool oa_doze_briefly(unsigned ms)
{
	struct timespec limit = { ms / 1000, (ms % 1000) * 1000000l };
	struct oa_proc *self = atomic_load(&oa_self);
	uint32_t before = doze_seen;

	(void)oa_sys4(SYS_futex, &self->wakes, FUTEX_WAIT, doze_seen, &limit);
	doze_seen = atomic_load(&self->wakes);
	return doze_seen != before;
}

bool oa_doze(unsigned ms)
{
	bool woken;

	atomic_store(&oa_dozing, 1);
	woken = oa_doze_briefly(ms);
	atomic_store(&oa_dozing, 0);
	return woken;
}

void oa_doze_end(void)
{
	struct oa_proc *self = atomic_load(&oa_self);

	if (self)
		doze_wake(self);
}

void oa_doze_end_of(uint32_t pid)
{
	struct oa_proc *self = atomic_load(&oa_self);

	if (self && self->id.pid == pid) { /* its slot may be none of the tree's */
		doze_wake(self);
		return;
	}
	for (unsigned i = 0; oa_tree && i < OA_PROCS_MAX; i++)
		if (atomic_load(&oa_tree->procs[i].pid) == pid)
			doze_wake(&oa_tree->procs[i]);
}

OA_COLD void oa_doze_look(const struct oa_ring *r)
{
	if (oa_ring_used(r) >= r->slots / DOZE_RING_PART && atomic_exchange(&oa_dozing, 0))
		oa_doze_end();
}

void oa_doze_forget(void)
{
	atomic_store(&oa_dozing, 0);
	doze_seen = 0;
}
