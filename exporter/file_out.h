#pragma once
/* A file that grows by whole pieces and is rotated by size: file -> file.1 -> file.2 … Several processes may write to
 * the same one; each holds its lock for the time of a piece. Side thread only. */
#include <stdint.h>

#include "core/bytes.h"

#define OA_FILE_PATH_MAX 1024

struct oa_file_out {
	const char *path;
	uint64_t max_bytes; /* a file does not grow beyond, unless one piece is larger */
	unsigned keep;      /* rotated files that stay */
	int fd;
};

/* Appends all of it or nothing.
 *
 * returns 0; -EAGAIN: another process is at it just now; -errno: ENOSPC and what open() says
 */
int oa_file_append(struct oa_file_out *f, struct oa_bytes piece);
