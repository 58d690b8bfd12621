/* Descriptors of the host's are reached through a pidfd of our own process. Where that is not allowed (some containers),
 * /proc tells at least whether they are open. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#include "core/own_fd.h"
#include "core/sys.h"
#include "core/thread.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#define OWN_FD_UNSHARE 2 /* CLOSE_RANGE_UNSHARE */

static _Atomic bool own_table;
static int own_pidfd = -1; /* in our table; the side thread's alone */

bool oa_own_fd_table(void)
{
	long fd;

	if (oa_sys3(SYS_close_range, 0, UINT_MAX, OWN_FD_UNSHARE) < 0)
		return false;
	/* 0 to 2 stay taken: third parties write to them, or take 0 for "none". */
	for (int i = 0; i < 3; i++)
		oa_sys4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
	fd = oa_sys2(SYS_pidfd_open, oa_sys0(SYS_getpid), 0);
	own_pidfd = fd < 0 ? -1 : (int)fd;
	atomic_store(&own_table, true);
	return true;
}

bool oa_own_fd_alone(void)
{
	return oa_tls.guard_sp == OA_GUARD_SIDE_THREAD && atomic_load_explicit(&own_table, memory_order_relaxed);
}

/* "/proc/self/fd/<fd>": self is the process, so the host's table. */
static void own_proc_path(char path[32], int fd)
{
	static const char head[] = "/proc/self/fd/";
	char digits[12];
	unsigned n = 0, at = sizeof(head) - 1;

	__builtin_memcpy(path, head, sizeof(head));
	do
		digits[n++] = (char)('0' + fd % 10);
	while ((fd /= 10));
	while (n)
		path[at++] = digits[--n];
	path[at] = '\0';
}

int oa_host_fd_borrow(int fd)
{
	char path[32], target[8];
	long got;

	if (!oa_own_fd_alone() || fd < 0)
		return fd;
	got = own_pidfd < 0 ? -EPERM : oa_sys3(SYS_pidfd_getfd, own_pidfd, fd, 0);
	if (got >= 0 || got == -EBADF)
		return (int)got;
	own_proc_path(path, fd);
	return oa_sys3(SYS_readlink, path, target, sizeof(target)) == -ENOENT ? -EBADF : -EPERM;
}

void oa_host_fd_return(int borrowed)
{
	/* Its number in our table may well be the one that it has in the host's. */
	if (borrowed >= 0 && oa_own_fd_alone())
		oa_sys1(SYS_close, borrowed);
}

void oa_own_fd_forget(void)
{
	atomic_store(&own_table, false);
	own_pidfd = -1;
}
