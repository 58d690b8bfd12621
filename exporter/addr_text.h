#pragma once
/* Addresses as text, and text that names a host and a port. */
#include "core/bytes.h"
#include "core/span.h"

#define OA_ADDR_TEXT_MAX 48

/* "192.0.2.1", "2001:db8::1" (RFC 5952), nothing for other families. returns the length */
size_t oa_addr_text(char ret_text[OA_ADDR_TEXT_MAX], const struct oa_addr *addr);

/* Splits "host", "host:port", "[2001:db8::1]:port", "user@host:port"; quotes around it all are dropped. An IPv6
 * address may come without brackets, then there is no port.
 *
 * ret_host  without brackets and user; empty when there is none
 * ret_port  0 when there is none, or none that is a number from 1 to 65535
 */
void oa_authority_split(struct oa_bytes text, struct oa_bytes *ret_host, unsigned *ret_port);

/* Decimal digits of a number. returns the end */
char *oa_decimal(char *out, uint64_t value);
