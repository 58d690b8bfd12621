#pragma once
/* What a collector answers. */
#include "core/bytes.h"

struct oa_otlp_answer {
	uint64_t rejected;  /* spans refused for good */
	char message[160];  /* the collector's words, cut, printable; "" */
};

/* The body of a 200: partial success. Whatever is no such message counts as full success: the status said so. */
void oa_otlp_read_success(struct oa_bytes body, struct oa_otlp_answer *ret_answer);

/* The body of an error: google.rpc.Status, if it is one. */
void oa_otlp_read_error(struct oa_bytes body, struct oa_otlp_answer *ret_answer);
