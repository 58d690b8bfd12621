#include "core/lead.h"

#include <stdatomic.h>

#include "core/sys.h"
#include "core/tree.h"

static uint32_t lead_pid; /* 0: never asked for in this process */
static _Atomic bool lead_given;

static bool lead_is_dead(uint32_t pid, uint64_t ticks)
{
	static struct oa_proc probe;

	atomic_store(&probe.pid, pid);
	atomic_store(&probe.start_ticks, ticks);
	return oa_proc_dead(&probe);
}

/* The start time is taken out before the pid changes and put in after it: whoever looks in between
 * knows only the pid, and a pid that lives is believed. So a new leader is never taken for its
 * predecessor's reused pid. */
bool oa_lead_take(void)
{
	uint64_t ticks;
	uint32_t pid;

	if (!oa_tree || atomic_load(&lead_given))
		return false;
	if (!lead_pid)
		lead_pid = (uint32_t)oa_sys0(SYS_getpid);
	ticks = atomic_load(&oa_tree->leader_ticks);
	pid = atomic_load(&oa_tree->leader_pid);
	if (pid == lead_pid)
		return true;
	if (pid && !lead_is_dead(pid, ticks))
		return false;
	if (ticks && !atomic_compare_exchange_strong(&oa_tree->leader_ticks, &ticks, 0))
		return false;
	if (!atomic_compare_exchange_strong(&oa_tree->leader_pid, &pid, lead_pid))
		return false;
	atomic_store(&oa_tree->leader_ticks, oa_proc_ticks(lead_pid));
	return true;
}

bool oa_lead_has(void)
{
	return oa_tree && lead_pid && atomic_load(&oa_tree->leader_pid) == lead_pid;
}

bool oa_lead_asked(void)
{
	return oa_tree && lead_pid && lead_pid == (uint32_t)oa_sys0(SYS_getpid);
}

void oa_lead_give(void)
{
	uint32_t pid = lead_pid;

	if (!oa_lead_asked())
		return;
	atomic_store(&lead_given, true);
	atomic_compare_exchange_strong(&oa_tree->leader_pid, &pid, 0);
}

void oa_lead_forget(void)
{
	lead_pid = 0;
	atomic_store(&lead_given, false);
}
