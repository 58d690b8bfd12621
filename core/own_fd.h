#pragma once
/* The side thread has a descriptor table of its own (Linux 5.9): nothing we open ever takes a number from the host,
 * nothing the host closes is ours, and no child inherits anything. On older kernels it shares the host's table, and
 * exporter/loop_fd.c keeps our numbers high and checked. */
#include <stdbool.h>

/* Called once by the side thread before it opens anything: an empty table of its own. returns false when the kernel
 * cannot: the table stays shared. */
bool oa_own_fd_table(void);

/* A descriptor of the host's as the calling thread can use it: itself, or, on a side thread with its own table, a
 * short-lived copy. returns a number to use until oa_host_fd_return(); -EBADF: the host has no such; another
 * -errno: it has, but it is out of reach */
int oa_host_fd_borrow(int fd);
void oa_host_fd_return(int borrowed);

/* Whether the calling thread is the side thread and nobody else can close or reuse a number of its table. */
bool oa_own_fd_alone(void);

/* Child after fork: there is no side thread yet. */
void oa_own_fd_forget(void);
