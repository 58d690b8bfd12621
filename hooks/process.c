/* Programs that lock themselves in: prctl, unshare, setns. Our thread would stay outside the sandbox, make unshare
 * fail, or be killed by a filter; so everything of ours stops before the real call is made. */
#include "hooks/hook.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
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

/* No new privileges alone are no sandbox (HAProxy asks for that at every start). libseccomp asks for it right before it
 * installs a filter by the bare system call, which nobody can see. */
static bool process_is_libseccomp(const void *caller)
{
	Dl_info object;

	return dladdr(caller, &object) && object.dli_fname && strstr(object.dli_fname, "libseccomp");
}

OA_EXPORT int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list list;

	va_start(list, option);
	for (unsigned i = 0; i < 4; i++)
		arg[i] = va_arg(list, unsigned long);
	va_end(list);
	/* Without the time stamp counter no clock can be read: not ours, and not the vDSO's. */
	if (option == PR_SET_SECCOMP || (option == PR_SET_TSC && arg[0] == PR_TSC_SIGSEGV) ||
	    (option == PR_SET_NO_NEW_PRIVS && process_is_libseccomp(__builtin_return_address(0))))
		process_stand_down();
	return OA_REAL(prctl)(option, arg[0], arg[1], arg[2], arg[3]);
}

/* Namespaces are refused to processes with several threads. Tables of the calling thread alone are not our business. */
OA_EXPORT int unshare(int flags)
{
	if (flags & ~(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM))
		process_stand_down();
	return OA_REAL(unshare)(flags);
}

OA_EXPORT int setns(int fd, int type)
{
	process_stand_down();
	return OA_REAL(setns)(fd, type);
}
