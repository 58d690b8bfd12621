/* A handful of numbers with device and inode. Only the side thread changes the table; a forked child has
 * no side thread when it clears its copy. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "core/own_fd.h"
#include "core/limits.h"
#include "core/sys.h"

struct own_fd {
	int fd; /* 0: free entry */
	dev_t dev;
	ino_t ino;
};

static struct own_fd own_fds[OA_OWN_FDS_MAX];

static struct own_fd *own_fd_find(int fd)
{
	for (unsigned i = 0; i < OA_OWN_FDS_MAX; i++)
		if (own_fds[i].fd == fd)
			return &own_fds[i];
	return NULL;
}

/* Hosts count on low numbers being free; with a small RLIMIT_NOFILE we take what there is, but never
 * one of the three that have a meaning. */
static int own_fd_raise(int fd)
{
	static const int floors[] = { 900, 200, 60, 3 };

	for (unsigned i = 0; i < sizeof(floors) / sizeof(floors[0]); i++) {
		int high = (int)oa_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, floors[i]);

		if (high >= 0) {
			oa_sys1(SYS_close, fd);
			return high;
		}
	}
	oa_sys1(SYS_close, fd);
	return -EMFILE;
}

int oa_own_fd_adopt(int fd)
{
	struct own_fd *entry;
	struct stat st;

	if (fd < 0)
		return fd;
	fd = own_fd_raise(fd);
	if (fd < 0)
		return fd;
	entry = own_fd_find(0);
	if (!entry || oa_sys2(SYS_fstat, fd, &st) < 0) {
		oa_sys1(SYS_close, fd);
		return -EMFILE;
	}
	*entry = (struct own_fd){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino };
	return fd;
}

static bool own_fd_intact(const struct own_fd *entry)
{
	struct stat st;

	return oa_sys2(SYS_fstat, entry->fd, &st) == 0 && st.st_dev == entry->dev && st.st_ino == entry->ino;
}

bool oa_own_fd_check(int fd)
{
	struct own_fd *entry = fd > 0 ? own_fd_find(fd) : NULL;

	if (!entry)
		return false;
	if (own_fd_intact(entry))
		return true;
	entry->fd = 0;
	return false;
}

int oa_own_fd_close(int fd)
{
	if (!oa_own_fd_check(fd))
		return -EBADF;
	own_fd_find(fd)->fd = 0;
	return (int)oa_sys1(SYS_close, fd);
}

void oa_own_fd_forget(void)
{
	for (unsigned i = 0; i < OA_OWN_FDS_MAX; i++)
		if (own_fds[i].fd)
			oa_own_fd_close(own_fds[i].fd);
}
