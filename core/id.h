#pragma once
/* Trace and span ids: a per-thread xoshiro256++ seeded from the kernel's random source, reseeded after
 * fork. Never zero. */
#include <stdint.h>

/* runs on   any thread; signal-safe: yes; locks: none; heap: no; one getrandom per thread and fork */
void oa_id_trace(uint8_t ret_id[16]);
void oa_id_span(uint8_t ret_id[8]);
uint64_t oa_id_random(void);

/* Makes every thread seed anew (child after fork). */
void oa_id_reseed(void);

/* Lower-case hex, no terminator: 2*len characters. */
void oa_hex(char *ret_text, const uint8_t *bytes, unsigned len);

/* Strict lower-case hex of exactly 2*len characters. returns 0 or -EINVAL */
int oa_unhex(uint8_t *ret_bytes, const uint8_t *text, unsigned len);
