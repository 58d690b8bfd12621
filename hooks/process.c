/* Programs that lock themselves in: prctl, unshare, setns. Our thread would stay outside the sandbox, make unshare
 * fail, or be killed by a filter; so everything of ours stops before the real call is made. */
#include "hooks/hook.h"

#include <sched.h>
#include <stdarg.h>
#include <sys/prctl.h>

static void process_stand_down(void)
{
	int err = errno;

	if (oa_state_get() == OA_STATE_NEW)
		atomic_store(&oa_state, OA_STATE_OFF); /* a constructor that ran before ours */
	else if (oa_hook_awake() && oa_hook_stand_down)
		oa_hook_stand_down();
	errno = err;
}

OA_EXPORT int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list list;

	va_start(list, option);
	for (unsigned i = 0; i < 4; i++)
		arg[i] = va_arg(list, unsigned long);
	va_end(list);
	if (option == PR_SET_SECCOMP || option == PR_SET_NO_NEW_PRIVS)
		process_stand_down();
	return OA_REAL(prctl)(option, arg[0], arg[1], arg[2], arg[3]);
}

OA_EXPORT int unshare(int flags)
{
	process_stand_down();
	return OA_REAL(unshare)(flags);
}

OA_EXPORT int setns(int fd, int type)
{
	process_stand_down();
	return OA_REAL(setns)(fd, type);
}
