#pragma once
/* Exchanges of HTTP/2 in clear text for pair.c: a GET with nine fields, or a unary gRPC call. All but one field stand in the
 * tables that the first exchange filled, so that calls which go past the library do not change them. */
#include <stdbool.h>
#include <stdint.h>

#include "measure.h"

/* Begins the protocol on a connection, both ways; the observed side by calls that a preloaded library sees. */
void pair_http2_open(int client, int server, bool observe_server, bool grpc);

/* One exchange; returns the ticks spent in the observed side's calls. */
uint32_t pair_http2_server(int client, int server, const struct measure_libc *k, bool grpc);
uint32_t pair_http2_client(int client, int server, const struct measure_libc *k, bool grpc);
