#pragma once
/* What a collector answers, in the encoding of the request. */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

#define OA_OTLP_TEXT_MAX 160

/* The body of a success: partial success. Whatever is no such message counts as full success: the status said so.
 *
 * ret_text  the collector's words, cut, printable; "" none
 * returns   how many spans or data points were refused for good
 */
uint64_t oa_otlp_read_success(struct oa_bytes body, bool json, char ret_text[OA_OTLP_TEXT_MAX]);

/* The body of an error: google.rpc.Status, if it is one. */
void oa_otlp_read_error(struct oa_bytes body, bool json, char ret_text[OA_OTLP_TEXT_MAX]);
