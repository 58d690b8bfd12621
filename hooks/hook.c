/* The slow sides of hook.h, and what preload/ sets. */
#include "hooks/hook.h"

#include <limits.h>
#include <sys/socket.h>

#include "core/attr.h"
#include "core/sys.h"

static const uint8_t hook_own_mark = 1;

OA_START_DATA const volatile uint8_t *oa_hook_fork_mark = &hook_own_mark;
_Atomic int32_t oa_hook_pid;
void (*oa_hook_fork_missed)(void);
OA_START_DATA void (*oa_hook_stand_down)(void);
OA_START_DATA void (*oa_hook_yield_port)(uint16_t port);

bool oa_hook_start(void)
{
	int state = oa_state_get();

	if (state == OA_STATE_READY && oa_activate_fn) {
		int err = errno;
		struct oa_guard g = oa_guard_enter(err);

		if (!g.on)
			return false;
		state = oa_activate_fn() ? OA_STATE_ACTIVE : OA_STATE_OFF;
		if (state == OA_STATE_ACTIVE)
			oa_note_replay();
		oa_guard_leave(&g);
		errno = err;
	}
	return state == OA_STATE_ACTIVE;
}

bool oa_hook_own_process(void)
{
	int32_t pid = atomic_load_explicit(&oa_hook_pid, memory_order_relaxed);

	/* Off may mean that a seccomp filter is in place. */
	return !oa_hook_active() || !pid || pid == oa_sys0(SYS_getpid);
}

OA_HOT bool oa_hook_plausible_iov(const struct iovec *iov, size_t count)
{
	size_t total = 0;

	if (count == 0 || count > IOV_MAX || !oa_hook_plausible(iov, count * sizeof(*iov)))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (iov[i].iov_len && !oa_hook_plausible(iov[i].iov_base, iov[i].iov_len))
			return false;
		total += iov[i].iov_len;
	}
	return total && total <= 0x7ffff000;
}
