/* The two-level descriptor table. Chunks are never unmapped. */
#include <stddef.h>

#include "conn/fd_table.h"
#include "core/attr.h"
#include "core/sys.h"

struct oa_fd *_Atomic oa_fd_chunks[OA_FDS_MAX / OA_FD_CHUNK];

static struct oa_fd *fd_map_chunk(unsigned i)
{
	struct oa_fd *none = NULL, *mem = oa_sys_map(sizeof(struct oa_fd) * OA_FD_CHUNK, 0);

	if (!mem)
		return NULL;
	if (atomic_compare_exchange_strong(&oa_fd_chunks[i], &none, mem))
		return mem;
	oa_sys2(SYS_munmap, mem, sizeof(struct oa_fd) * OA_FD_CHUNK);
	return none;
}

OA_HOT struct oa_fd *oa_fd_get(int fd)
{
	struct oa_fd *slot = oa_fd_peek(fd), *chunk;

	if (slot || (unsigned)fd >= OA_FDS_MAX)
		return slot;
	chunk = fd_map_chunk((unsigned)fd / OA_FD_CHUNK);
	return chunk ? &chunk[(unsigned)fd % OA_FD_CHUNK] : NULL;
}

int oa_fd_next(int fd, int last)
{
	if (fd < 0)
		return -1;
	if (last >= OA_FDS_MAX || last < 0)
		last = OA_FDS_MAX - 1;
	while (fd <= last) {
		struct oa_fd *slot = oa_fd_peek(fd);

		if (!slot) {
			fd = (fd / OA_FD_CHUNK + 1) * OA_FD_CHUNK;
			continue;
		}
		if (atomic_load_explicit(&slot->kind, memory_order_relaxed) != OA_FD_NONE)
			return fd;
		fd++;
	}
	return -1;
}
