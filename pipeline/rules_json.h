#pragma once
/* Sampling rules as JSON (docs/sampling.md) into sampler/rules.h. Side thread only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

enum oa_rules_end {
	OA_RULES_DONE,
	OA_RULES_WRONG, /* `why` says what; what was in force stays */
	OA_RULES_LATER, /* another process of the tree is at it */
};

/* Puts rules in force. ratio: of what no rule names, when they do not say it; negative: the controller's */
enum oa_rules_end oa_rules_apply(const struct cJSON *root, double ratio, uint64_t id, char *why, size_t why_cap);

/* The same for a text. */
enum oa_rules_end oa_rules_read(const char *text, size_t len, double ratio, uint64_t id, char *why, size_t why_cap);
