#pragma once
/* What side threads do for the samplers: count by class, read the rules again when their file changed, move the
 * thresholds. One process of the tree does each when it is due. Side thread only. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* -- rules_file.c -- */
/* Reads OTELAUTO_SAMPLING_RULES when it is due and has changed. */
void oa_rules_file_tick(uint64_t now_ns);
void oa_rules_file_forget(void);
