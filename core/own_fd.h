#pragma once
/* Descriptors that are ours. The host may close any number at any time and get it back for a file of its
 * own, so each use asks first whether the number still stands for the object that we opened. */
#include <stdbool.h>

/* Takes over a new descriptor: moves it to a high number, close on exec, and remembers its identity.
 *
 * fd        a descriptor, or -errno, which is returned as it is
 * returns   the descriptor to use from now on, or -errno (then fd is closed)
 * runs on   side thread; signal-safe: yes; locks: none; heap: no; blocks: no
 */
int oa_own_fd_adopt(int fd);

/* True while fd is ours. A number that the host has taken is forgotten, not closed.
 * runs on   side thread; signal-safe: yes; locks: none; heap: no; blocks: no */
bool oa_own_fd_check(int fd);

/* Closes fd if it is still ours. returns 0 or -EBADF */
int oa_own_fd_close(int fd);

/* In the child after fork: closes the parent's, as far as they are still ours, and forgets them all.
 * runs on   host thread, in the child; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_own_fd_forget(void);
