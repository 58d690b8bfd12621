/* One futex word: bit 0 while the side thread is inside, the rest counts threads that fork. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "core/fork_gate.h"
#include "core/sys.h"

#define GATE_INSIDE  1u
#define GATE_FORKING 2u

static _Atomic uint32_t gate;

/* A bounded wait for the word to change. */
static void gate_wait(uint32_t seen, long ms)
{
	struct timespec limit = { 0, ms * 1000000 };

	(void)oa_sys4(SYS_futex, &gate, FUTEX_WAIT_PRIVATE, seen, &limit);
}

static void gate_wake(void)
{
	(void)oa_sys3(SYS_futex, &gate, FUTEX_WAKE_PRIVATE, INT_MAX);
}

void oa_fork_gate_enter(void)
{
	/* A fork takes far less than these; a process that forks without end must not stop us. */
	for (int tries = 0; tries < 10; tries++) {
		uint32_t seen = atomic_load(&gate);

		if (seen < GATE_FORKING && atomic_compare_exchange_strong(&gate, &seen, GATE_INSIDE))
			return;
		gate_wait(seen, 10);
	}
	atomic_fetch_or(&gate, GATE_INSIDE);
}

void oa_fork_gate_leave(void)
{
	if (atomic_fetch_and(&gate, ~GATE_INSIDE) >= GATE_FORKING)
		gate_wake();
}

void oa_fork_gate_close(void)
{
	uint32_t seen = atomic_fetch_add(&gate, GATE_FORKING) + GATE_FORKING;

	/* Each wait may end early because another thread came to fork. */
	for (int tries = 0; (seen & GATE_INSIDE) && tries < 5; tries++) {
		gate_wait(seen, 2);
		seen = atomic_load(&gate);
	}
}

void oa_fork_gate_open(void)
{
	atomic_fetch_sub(&gate, GATE_FORKING);
	gate_wake();
}

void oa_fork_gate_reset(void)
{
	atomic_store(&gate, 0);
}
