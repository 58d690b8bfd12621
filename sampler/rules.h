#pragma once
/* Writing what core/sampling.h keeps: the one way for the rules file, the configuration file and a remote backend. A
 * table is put together in the copy that is not in force, then takes over as a whole; classes keep their state by their
 * names.
 *
 * all: runs on side thread; locks: none (one writer of the tree at a time, by trying); heap: no; blocks: no */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/sampling.h"

#define OA_RULE_CONDS_EACH 8

/* One rule: what a request must look like, and what is kept of such. */
struct oa_rule_spec {
	struct oa_bytes name;    /* for metrics and for its state; empty: made from the method and the route */
	struct oa_bytes method;  /* comma list, empty: any */
	struct oa_bytes route;   /* a pattern as in OTELAUTO_ROUTES, empty: any */
	struct {
		struct oa_bytes attr, glob; /* "http.request.header.x-debug", "1" */
	} cond[OA_RULE_CONDS_EACH];
	unsigned conds;
	double ratio;            /* probability; negative: not said */
	double rate;             /* traces a second: of its own, or with `ratio` at least so many; negative: not said */
	double weight;           /* for adaptive, against other rules */
	struct oa_bytes param;   /* exact text for sampler.param, empty: none */
};
#define OA_RULE_SPEC ((struct oa_rule_spec){ .ratio = -1, .rate = -1, .weight = 1 })

struct oa_rules_draft {
	struct oa_sampling *s;
	struct oa_rule_table *table;
	unsigned conds;
	struct {
		uint64_t id;
		double ratio, rate, weight;
		char name[OA_RULE_NAME_MAX];
	} cls[OA_CLASSES_MAX];   /* by rule */
};

/* The state of the tree, or of this process when there is no tree. */
struct oa_sampling *oa_sampling(void);

/* Takes a turn at something that the processes of a tree do one at a time. returns true for the one that is to do it */
bool oa_sampling_turn(_Atomic uint64_t *due_ns, uint64_t now_ns, uint64_t period_ns);

/* Begins a table with nothing but the rule for the rest. returns false when another process is at it: try again later */
bool oa_rules_begin(struct oa_rules_draft *d, const struct oa_rule_spec *rest);

/* Adds a rule behind the others. returns NULL, or what is wrong with it */
const char *oa_rules_add(struct oa_rules_draft *d, const struct oa_rule_spec *rule);

/* Puts it in force. id: of its source, see oa_sampling.rules_id */
void oa_rules_commit(struct oa_rules_draft *d, uint64_t id);
void oa_rules_abandon(struct oa_rules_draft *d);
