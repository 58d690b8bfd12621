#pragma once
/* Which process of a tree works for all of it: answers scrapes, takes over what dead ones left. The
 * side threads look once a second whether it lives; the first to see that it does not takes its
 * place. */
#include <stdbool.h>

/* Makes this process the leader unless another one that lives is, or it has given the lead up.
 * returns whether it leads. runs on   side thread (reads /proc) */
bool oa_lead_take(void);

bool oa_lead_has(void);

/* Whether this process ever asked for it: not so in a forked child that has not forgotten its
 * parent's. runs on   any thread; signal-safe: yes */
bool oa_lead_asked(void);

/* At the end of the process: makes room at once, and for good.
 * runs on   any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_lead_give(void);

/* In a forked child: the parent's. Also when the side thread ends and another may come. */
void oa_lead_forget(void);
