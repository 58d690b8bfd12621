#pragma once
/* Names of TLS versions and cipher suites, as OpenTelemetry's conventions write them.
 *
 * all: runs on any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include <stdint.h>

#include "core/bytes.h"

/* "1.3" for 0x0304; empty for what is no TLS version. */
struct oa_bytes oa_tls_version_name(uint16_t version);

/* "TLS_AES_128_GCM_SHA256" for 0x1301. One without a name here is written as its number into buf: "0x00FF". */
struct oa_bytes oa_cipher_name(uint16_t number, char buf[8]);

/* The other way, by IANA's name; 0 when it is not here. */
uint16_t oa_cipher_number(struct oa_bytes name);
