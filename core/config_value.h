#pragma once
/* Texts of settings into values, by the rules of the OpenTelemetry specification: whole value or
 * nothing, no locale. All take a trimmed text; all may run anywhere, without heap and system calls.
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

#define OA_LIST_NONE (1u << 31)

/* Without white space at both ends. */
struct oa_bytes oa_value_trim(const char *text);

/* Only `true` and `false`. lenient: also 1/0, yes/no, on/off. returns false: neither, *ret
 * untouched */
bool oa_value_bool(struct oa_bytes text, bool lenient, bool *ret);

/* Decimal digits only. */
bool oa_value_int(struct oa_bytes text, int64_t min, int64_t max, int64_t *ret);

/* 0 to max: digits, a point, an exponent. */
bool oa_value_number(struct oa_bytes text, double max, double *ret);
/* 0 to 1. */
bool oa_value_ratio(struct oa_bytes text, double *ret);

/* Index in "a|b|c", case-insensitive, or -1. */
int oa_value_choice(struct oa_bytes text, const char *choices);

/* Cuts the next comma-separated item off *list, trimmed. returns false at the end */
bool oa_value_next_item(struct oa_bytes *list, struct oa_bytes *ret_item);
