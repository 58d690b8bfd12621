#pragma once
/* OTEL_EXPORTER_OTLP_HEADERS: `k1=v1,k2=v2`, as W3C baggage without metadata, values percent-encoded. Pure. */
#include <stddef.h>

#define OA_HEADER_LINE_MAX 8192

/* Makes the next member a header line for curl: "key: value", or "key;" for an empty value.
 *
 * pos      where to go on; moved behind the member
 * ret_line set when the result is 1
 * returns  1; 0 at the end; -EINVAL: this member is malformed or not ours to set (body framing): go on with the next
 */
int oa_header_list_next(const char **pos, char ret_line[OA_HEADER_LINE_MAX]);
