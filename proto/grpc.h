#pragma once
/* What gRPC puts on top of HTTP/2: messages with a length in front, a status behind them, a deadline.
 *
 * all: runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include "core/bytes.h"

/* One direction of a call. Zeroed before the first byte. */
struct oa_grpc {
	uint32_t left; /* bytes of the message still to come; its length while that is read */
	uint8_t got;   /* bytes of the length prefix that came; 0: a message is due or under way */
	uint8_t state; /* enum in grpc.c */
};

/* Takes payload bytes, cut anywhere. returns messages that ended with them */
uint32_t oa_grpc_feed(struct oa_grpc *g, struct oa_bytes in);

/* application/grpc, with or without +proto and parameters; not application/grpc-web */
bool oa_grpc_content_type(struct oa_bytes value);

/* grpc-timeout in nanoseconds; 0: there is none, or it is none */
uint64_t oa_grpc_timeout_ns(struct oa_bytes value);

/* grpc-status: 0 to 16; a number beyond counts as UNKNOWN (2). -1: there is none, or it is none */
int oa_grpc_status(struct oa_bytes value);

/* What a client makes of an answer without a grpc-status. */
unsigned oa_grpc_status_of_http(unsigned http_status);
unsigned oa_grpc_status_of_reset(uint32_t http2_error);
