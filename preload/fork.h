#pragma once
/* fork, and the ways around it. */

/* Registers the fork handlers and notes whose memory this is. At activation, once per tree of processes.
 * returns 0 or -errno */
int oa_fork_init(void);
