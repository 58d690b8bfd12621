#pragma once
/* Exchanges inside TLS for pair.c: both ends are OpenSSL's, on loopback, TLS 1.3. */
#include <stdbool.h>
#include <stdint.h>

/* Shakes hands on the two ends of a connection. The observed side's sessions are made by the functions that a preloaded
 * library sees. */
void pair_tls_open(int client, int server, bool observe_server);

/* One exchange; returns the ticks spent in the observed side's calls, by the program's own functions or straight to
 * the library. */
uint32_t pair_tls_server(int client, int server, bool observed);
uint32_t pair_tls_client(int client, int server, bool observed);
