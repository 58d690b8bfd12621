#pragma once
/* Certificates for addresses. mbedTLS 2.28 compares names only, so `https://10.0.0.5` would never be trusted; this adds
 * the comparison with the iPAddress names of the certificate (RFC 9525 section 6.4). */
#include <stdint.h>

struct oa_tls_address {
	uint8_t len; /* 4, 16; 0: the host is a name */
	uint8_t ip[16];
};

/* host: without brackets. */
void oa_tls_address_parse(struct oa_tls_address *ret, const char *host);

/* Makes an easy handle accept a certificate that is right but for the name, when it has this address. address: stays with
 * the handle. returns a CURLcode */
int oa_tls_address_set(void *easy, const struct oa_tls_address *address);
