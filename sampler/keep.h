#pragma once
/* How samplers come to a decision; samplers.def puts them together.
 *
 * all: runs on host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
#include "core/tree.h"
#include "sampler/sampler.h"

/* What is shared by the tree; before there is one, a stand-in of this process. */
struct oa_sampling *oa_sampling(void);

void oa_keep_always(const struct oa_sample_ask *ask, struct oa_decision *ret);
void oa_keep_never(const struct oa_sample_ask *ask, struct oa_decision *ret);
/* Class 0 alone. */
void oa_keep_ratio(const struct oa_sample_ask *ask, struct oa_decision *ret);
void oa_keep_rate(const struct oa_sample_ask *ask, struct oa_decision *ret);
/* The class that the rules name. */
void oa_keep_rules(const struct oa_sample_ask *ask, struct oa_decision *ret);

/* Takes a token. */
bool oa_bucket_take(struct oa_bucket *b, uint64_t interval_ns, uint64_t burst_ns, uint64_t now_ns);

/* The rule for a request: the first of the table that it matches, else rule[0]. */
const struct oa_rule *oa_rule_find(const struct oa_rule_table *t, const struct oa_sample_request *request);

/* -- path_match.c -- */
/* A path against a route pattern, as in OTELAUTO_ROUTES: `/users/{id}`, `/users/:id`, `/static/` and a star. */
bool oa_path_match(struct oa_bytes pattern, struct oa_bytes path);
/* Whether a pattern matches paths with more slashes, too: it ends in a star. */
bool oa_path_is_prefix(struct oa_bytes pattern);
unsigned oa_path_slashes(struct oa_bytes path);
/* Hashes of the first segments. pattern: 0 for those that match anything but one text */
struct oa_rule_sieve oa_path_sieve(struct oa_bytes path, bool pattern);
/* The path of a request target, without query and fragment; of an absolute one what is behind the authority. */
struct oa_bytes oa_path_of(struct oa_bytes target);
