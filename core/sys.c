#include "core/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

long oa_sys_read_file(const char *path, char *buf, size_t cap)
{
	long fd, n = 0;
	size_t used = 0;

	if (cap == 0)
		return -EINVAL;
	fd = oa_sys4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	while (used < cap - 1) {
		n = oa_sys3(SYS_read, fd, buf + used, cap - 1 - used);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
	}
	(void)oa_sys1(SYS_close, fd); /* nothing was written: no error to lose */
	if (n < 0 && used == 0)
		return n;
	buf[used] = '\0';
	return (long)used;
}

void *oa_sys_map(size_t bytes, int shared)
{
	int flags = MAP_ANONYMOUS | MAP_NORESERVE | (shared ? MAP_SHARED : MAP_PRIVATE);
	long addr = oa_sys6(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, flags, -1, 0);

	return addr < 0 && addr > -4096 ? NULL : (void *)addr;
}
