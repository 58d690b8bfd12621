#pragma once
/* What gRPC puts around messages, and what its status codes mean. Pure. */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

#define OA_GRPC_PREFIX 5 /* compressed flag, length */

enum oa_grpc_code {
	OA_GRPC_OK, OA_GRPC_CANCELLED, OA_GRPC_UNKNOWN, OA_GRPC_INVALID_ARGUMENT, OA_GRPC_DEADLINE_EXCEEDED,
	OA_GRPC_NOT_FOUND, OA_GRPC_ALREADY_EXISTS, OA_GRPC_PERMISSION_DENIED, OA_GRPC_RESOURCE_EXHAUSTED,
	OA_GRPC_FAILED_PRECONDITION, OA_GRPC_ABORTED, OA_GRPC_OUT_OF_RANGE, OA_GRPC_UNIMPLEMENTED, OA_GRPC_INTERNAL,
	OA_GRPC_UNAVAILABLE, OA_GRPC_DATA_LOSS, OA_GRPC_UNAUTHENTICATED, OA_GRPC_CODES,
};

void oa_grpc_prefix(uint8_t ret_prefix[OA_GRPC_PREFIX], bool compressed, size_t len);

/* The first message of a body. returns false when there is none whole and uncompressed */
bool oa_grpc_message(struct oa_bytes body, struct oa_bytes *ret_message);

/* For an answer without grpc-status. */
enum oa_grpc_code oa_grpc_of_http(unsigned status);

/* grpc-status-details-bin: the pause that RetryInfo asks for in ms, -1 none. */
int64_t oa_grpc_retry_ms(struct oa_bytes details);

/* OTLP's list of codes after which the same request may succeed. */
bool oa_grpc_passes(int code, bool has_retry_info);

/* "UNAVAILABLE" */
const char *oa_grpc_name(int code);
