#pragma once
/* The answer to one request, as curl hands it over piece by piece: the body, and of the headers and trailers what
 * decides. Side thread only. */
#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"

#define OA_ANSWER_MAX (4u << 20) /* OTLP's suggestion; a longer one is a failure that is not repeated */

struct oa_answer {
	uint8_t *body;
	size_t len, cap;
	bool too_long;
	bool head;              /* its header is complete */
	char retry_after[64];
	int grpc_status;        /* -1: none came */
	char grpc_message[160]; /* percent-decoded, cut, printable */
	char grpc_details[1024]; /* base64, "" when it is longer */
};

/* Before a request; also when another header comes, because the one before was only 1xx. */
void oa_answer_reset(struct oa_answer *a);
/* returns false when that is too much, or more than there is memory for */
bool oa_answer_add(struct oa_answer *a, const void *data, size_t len);
/* One line of a header or trailer, with its end. */
void oa_answer_line(struct oa_answer *a, const char *line, size_t len);
/* A large buffer is given back. */
void oa_answer_trim(struct oa_answer *a);
