#pragma once
/* Jaeger's answer to a sampler that asks what to do: JSON over HTTP, or jaeger.api_v2.SamplingStrategyResponse over gRPC.
 * Side thread only. */
#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"
#include "core/sampling.h"

#define OA_JAEGER_NAME_MAX (OA_RULE_ROUTE_MAX + 16)

struct oa_jaeger_operation {
	char name[OA_JAEGER_NAME_MAX]; /* "GET /users/{id}" */
	double probability;
};

struct oa_jaeger_strategy {
	bool by_rate;              /* `rate` traces a second, nothing else */
	double rate;               /* by operation: at least so many a second of each */
	double probability;        /* of all, or of operations that are not listed */
	unsigned count, skipped;   /* operations; those that were too long or too many */
	struct oa_jaeger_operation operation[OA_CLASSES_MAX - 1];
};

/* returns NULL, or what is wrong with the answer */
const char *oa_jaeger_parse_json(struct oa_bytes body, struct oa_jaeger_strategy *ret);
const char *oa_jaeger_parse_grpc(struct oa_bytes message, struct oa_jaeger_strategy *ret);

/* Puts it in force for the tree. id: of the answer, see oa_sampling.rules_id. returns false when another process is at it */
bool oa_jaeger_publish(const struct oa_jaeger_strategy *s, uint64_t id);
