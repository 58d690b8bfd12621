#pragma once
/* Keeps fork() out of the few places where the side thread is inside libc code that takes a lock fork does not
 * reset (the loader's, the time zone's): a child made at that moment would wait for it for ever. Waits are
 * bounded on both sides; the rest of the risk is the host's, as without us. */

/* Side thread, around such code; not nested, not around anything that waits. */
void oa_fork_gate_enter(void);
void oa_fork_gate_leave(void);

/* Around fork: waits at most 10 ms for the side thread to leave, keeps it from entering meanwhile.
 * runs on   fork handlers; locks: none; heap: no; blocks: at most 10 ms */
void oa_fork_gate_close(void);
void oa_fork_gate_open(void);
/* In the child there is no side thread. */
void oa_fork_gate_reset(void);
