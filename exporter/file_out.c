#include "exporter/file_out.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/sys.h"
#include "exporter/addr_text.h"
#include "exporter/loop.h"

#define FILE_TRIES 4 /* others that rotate at the same moment */

static int file_open(struct oa_file_out *f)
{
	struct stat st;
	long fd = oa_sys4(SYS_openat, AT_FDCWD, f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);

	if (fd < 0)
		return (int)fd;
	f->fd = oa_loop_fd_adopt((int)fd, NULL, NULL);
	if (f->fd < 0)
		return f->fd;
	if (oa_sys2(SYS_fstat, f->fd, &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	oa_loop_fd_close(f->fd);
	return -EINVAL;
}

/* Locked, and still the file of that name. */
static int file_lock(struct oa_file_out *f, struct stat *ret_stat)
{
	for (unsigned i = 0; i < FILE_TRIES; i++) {
		struct stat named;
		long err = oa_loop_fd_check(f->fd) ? 0 : file_open(f);

		if (!err)
			err = oa_sys2(SYS_flock, f->fd, LOCK_EX | LOCK_NB);
		if (err)
			return (int)err;
		if (oa_sys2(SYS_fstat, f->fd, ret_stat) == 0 && oa_sys4(SYS_newfstatat, AT_FDCWD, f->path, &named, 0) == 0 &&
		    named.st_ino == ret_stat->st_ino && named.st_dev == ret_stat->st_dev)
			return 0;
		oa_loop_fd_close(f->fd); /* rotated or removed: the lock goes with it */
	}
	return -EAGAIN;
}

static bool file_name(char to[OA_FILE_PATH_MAX + 12], const char *path, unsigned number)
{
	size_t len = strlen(path);
	char *end = to + len;

	if (len >= OA_FILE_PATH_MAX)
		return false;
	memcpy(to, path, len);
	if (number) {
		*end++ = '.';
		end = oa_decimal(end, number);
	}
	*end = '\0';
	return true;
}

static int file_rotate(struct oa_file_out *f)
{
	char from[OA_FILE_PATH_MAX + 12], to[OA_FILE_PATH_MAX + 12];

	if (!file_name(from, f->path, 0))
		return -ENAMETOOLONG;
	if (!f->keep)
		return (int)oa_sys2(SYS_ftruncate, f->fd, 0);
	for (unsigned i = f->keep; i > 0; i--) { /* those that are not there cannot be moved */
		(void)file_name(from, f->path, i - 1);
		(void)file_name(to, f->path, i);
		(void)oa_sys2(SYS_rename, from, to);
	}
	oa_loop_fd_close(f->fd);
	return 0;
}

static int file_write(struct oa_file_out *f, struct oa_bytes piece, uint64_t size)
{
	size_t done = 0;
	long n = 0;

	while (done < piece.len && (n = oa_sys3(SYS_write, f->fd, piece.ptr + done, piece.len - done)) > 0)
		done += (size_t)n;
	if (done == piece.len)
		return 0;
	(void)oa_sys2(SYS_ftruncate, f->fd, (long)size); /* no half lines */
	return n < 0 ? (int)n : -ENOSPC;
}

int oa_file_append(struct oa_file_out *f, struct oa_bytes piece)
{
	struct stat st;
	int err = file_lock(f, &st);

	if (!err && st.st_size > 0 && (uint64_t)st.st_size + piece.len > f->max_bytes) {
		err = file_rotate(f);
		if (!err)
			err = file_lock(f, &st);
	}
	if (err)
		return err;
	err = file_write(f, piece, (uint64_t)st.st_size);
	(void)oa_sys2(SYS_flock, f->fd, LOCK_UN);
	return err;
}
