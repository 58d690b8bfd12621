#pragma once
/* The samplers jaeger_remote and parentbased_jaeger_remote: asks a Jaeger collector what to keep. One process of a tree asks
 * for all of it. Side thread only. */
#include <stdint.h>

void oa_jaeger_remote_open(void);
void oa_jaeger_remote_tick(uint64_t now_ns);
void oa_jaeger_remote_forget(void);
