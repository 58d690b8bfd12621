/* Which descriptors are ours, by number and identity. Everything else about them is their user's business. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/own_fd.h"
#include "core/sys.h"
#include "exporter/loop.h"

struct loop_fd {
	int fd; /* 0: free */
	dev_t dev;
	ino_t ino;
	oa_loop_lost_fn *lost;
	void *arg;
};

static struct loop_fd loop_fds[OA_LOOP_FDS_MAX];

static struct loop_fd *loop_fd_find(int fd)
{
	for (unsigned i = 0; i < OA_LOOP_FDS_MAX; i++)
		if (loop_fds[i].fd == fd)
			return &loop_fds[i];
	return NULL;
}

static bool loop_fd_ours(const struct loop_fd *f)
{
	struct stat st;

	return oa_own_fd_alone() || (oa_sys2(SYS_fstat, f->fd, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino);
}

/* Programs hand out low numbers and expect them back; select() users need those below 1024. */
static int loop_fd_floor(void)
{
	struct rlimit lim = { 0 };

	if (oa_sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &lim) || lim.rlim_cur >= 1800)
		return 900;
	return lim.rlim_cur / 2 > 3 ? (int)(lim.rlim_cur / 2) : 3;
}

static int loop_fd_set_nonblock(int fd)
{
	long flags = oa_sys2(SYS_fcntl, fd, F_GETFL);

	if (flags < 0)
		return (int)flags;
	return (int)oa_sys3(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}

int oa_loop_fd_adopt(int fd, oa_loop_lost_fn *lost, void *arg)
{
	struct loop_fd *slot = loop_fd_find(0);
	struct stat st;
	long moved = slot ? oa_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, loop_fd_floor()) : -EMFILE;
	long err = 0;

	(void)oa_sys1(SYS_close, fd); /* the low number goes back at once, whatever comes */
	if (moved < 0)
		return (int)moved;
	err = loop_fd_set_nonblock((int)moved);
	if (!err)
		err = oa_sys2(SYS_fstat, moved, &st);
	if (err) {
		(void)oa_sys1(SYS_close, moved);
		return (int)err;
	}
	*slot = (struct loop_fd){ .fd = (int)moved, .dev = st.st_dev, .ino = st.st_ino, .lost = lost, .arg = arg };
	return (int)moved;
}

int oa_loop_fd_open(int domain, int type, int protocol, oa_loop_lost_fn *lost, void *arg)
{
	long fd = oa_sys3(SYS_socket, domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	return fd < 0 ? (int)fd : oa_loop_fd_adopt((int)fd, lost, arg);
}

bool oa_loop_fd_check(int fd)
{
	struct loop_fd *f = fd > 0 ? loop_fd_find(fd) : NULL;

	return f && loop_fd_ours(f);
}

void oa_loop_fd_close(int fd)
{
	struct loop_fd *f = fd > 0 ? loop_fd_find(fd) : NULL;
	struct loop_fd copy;

	if (!f)
		return;
	copy = *f;
	*f = (struct loop_fd){ 0 };
	if (loop_fd_ours(&copy))
		(void)oa_sys1(SYS_close, fd);
}

void oa_loop_fd_verify(void)
{
	for (unsigned i = 0; i < OA_LOOP_FDS_MAX; i++) {
		struct loop_fd f = loop_fds[i];

		if (!f.fd || loop_fd_ours(&f))
			continue;
		loop_fds[i] = (struct loop_fd){ 0 };
		if (f.lost)
			f.lost(f.arg, f.fd);
	}
}

void oa_loop_fd_forget(void)
{
	for (unsigned i = 0; i < OA_LOOP_FDS_MAX; i++)
		if (loop_fds[i].fd)
			oa_loop_fd_close(loop_fds[i].fd);
}
