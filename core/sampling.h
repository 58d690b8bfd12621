#pragma once
/* What the processes of a tree decide about sampling together: which class a request belongs to, and what is kept of
 * each class. Host threads read; side threads write, one of the tree at a time (sampler/control.h). It lies in the
 * memory of the tree, zeroed at first. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define OA_CLASSES_MAX     256 /* a byte of the record names them; 0: what no rule names */
#define OA_RULE_DEPTHS     13  /* slashes of a path that are told apart */
#define OA_RULE_ROUTE_MAX  160
#define OA_RULE_NAME_MAX   64
#define OA_RULE_CONDS_MAX  512 /* of all rules together */
#define OA_RULE_PARAM_MAX  28  /* sampler.param as text */
#define OA_ERROR_SECONDS   60  /* of which the error rate is taken */
#define OA_KEEP_WINDOWS    20  /* of a second */
#define OA_SHY_BUCKETS     64  /* of requests in no rule that have a lower bound */

/* What a condition looks at: attributes that are known when a request begins. */
enum oa_rule_attr {
	OA_RULE_HEADER, /* http.request.header.<key> */
	OA_RULE_METHOD, OA_RULE_PATH, OA_RULE_QUERY, OA_RULE_SCHEME, OA_RULE_HOST, OA_RULE_PORT, OA_RULE_USER_AGENT,
	OA_RULE_PEER, OA_RULE_KIND,
	OA_RULE_ATTRS,
};

struct oa_rule_cond {
	uint8_t attr, key_len, glob_len;
	char key[61];   /* of a header, lower case */
	char glob[128]; /* the whole value */
};

struct oa_rule {
	uint8_t cls;
	uint8_t conds;         /* conditions, all of which must hold */
	uint16_t cond;         /* index of the first */
	uint16_t methods;      /* bits by enum oa_method, 0: any */
	uint8_t route_len;     /* 0: any */
	uint8_t param_len;
	char route[OA_RULE_ROUTE_MAX];
	char param[OA_RULE_PARAM_MAX]; /* for sampler.param, as the backend gave it; "" none */
};

/* What the first segments of a path must be, as hashes; 0: anything. Most rules are ruled out by that alone. */
struct oa_rule_sieve {
	uint32_t segment[4];
} __attribute__((aligned(16)));

/* Rules in the order in which they are asked; rule[0] is for what none of them names. */
struct oa_rule_table {
	uint16_t count;                                    /* rules behind rule[0] */
	uint16_t asked_count[OA_RULE_DEPTHS];
	uint8_t asked[OA_RULE_DEPTHS][OA_CLASSES_MAX];     /* rules that a path of so many slashes can match */
	struct oa_rule_sieve sieve[OA_CLASSES_MAX];        /* by rule */
	struct oa_rule rule[OA_CLASSES_MAX];
	struct oa_rule_cond cond[OA_RULE_CONDS_MAX];
};

/* How a class decides. */
enum oa_class_mode {
	OA_CLASS_RATIO,      /* R against the threshold */
	OA_CLASS_RATE,       /* the bucket */
	OA_CLASS_GUARANTEED, /* the threshold, and at least what the bucket gives */
};

/* sampler.type, when the backend wants it said. */
enum oa_sampler_type { OA_TYPE_PROBABILISTIC = 1, OA_TYPE_RATELIMITING, OA_TYPE_LOWERBOUND };

/* A bucket of tokens, as the time at which it would be full of debt (GCRA): one word, one compare-and-swap. */
struct oa_bucket {
	_Atomic uint64_t due_ns;
};

/* The adaptive controller's memory of a class. */
struct oa_adaptive {
	double rate;        /* requests a second, smoothed */
	double weight;      /* of the rule */
	double probability; /* in force; 0: not begun */
	double wanted;      /* what traffic and errors ask for */
	uint64_t seen_then, failed_then, kept_then; /* totals at the last step */
	uint32_t seen[OA_ERROR_SECONDS], failed[OA_ERROR_SECONDS]; /* by second */
};

struct oa_class {
	_Atomic uint64_t threshold;   /* OA_CLASS_RATIO and _GUARANTEED */
	_Atomic uint64_t interval_ns; /* of the bucket: time of one token; 0: no tokens at all */
	_Atomic uint64_t burst_ns;    /* time of a full bucket */
	struct oa_bucket bucket;
	_Atomic uint32_t mode;        /* enum oa_class_mode */
	_Atomic uint32_t used;        /* named by the table in force */
	_Atomic uint32_t fixed;       /* its share is the rule's, not the controller's */
	_Atomic uint64_t seen, failed, kept; /* requests that the class decided about, finished */
	struct oa_adaptive adaptive;
	uint64_t id;                  /* hash of the name: who keeps its state when rules are read again */
	char name[OA_RULE_NAME_MAX];  /* for metrics */
};

/* Why the tail rule kept a trace; the order is that of OTELAUTO_KEEP and of importance. */
enum oa_keep { OA_KEEP_ERROR, OA_KEEP_SLOW, OA_KEEP_RARE, OA_KEEP_COUNT };

struct oa_stratum {
	_Atomic uint64_t threshold; /* 0: all of it */
	_Atomic uint64_t seen;      /* traces, kept or not */
	_Atomic uint64_t kept;      /* that the head had dropped */
	uint64_t seen_then;
	uint32_t window[OA_KEEP_WINDOWS]; /* seen, of the last second */
};

struct oa_sampling {
	_Atomic uint32_t table_version; /* table[version & 1] is in force */
	_Atomic uint32_t writer;        /* pid of who is changing something, 0 nobody */
	_Atomic uint64_t control_ns;    /* when the next step of the controller is due */
	_Atomic uint64_t rules_ns;      /* when the rules are looked at next */
	_Atomic uint64_t step_ns;       /* time of the last step */
	_Atomic uint64_t keep_ns;       /* when the budgets of the tail rule are looked at next */
	uint64_t keep_step;             /* number of the last look */
	_Atomic uint64_t rules_id;      /* of the file whose rules are in force: changes with it; 0 none */
	struct oa_stratum stratum[OA_KEEP_COUNT];
	struct oa_bucket shy[OA_SHY_BUCKETS];
	struct oa_class cls[OA_CLASSES_MAX];
	struct oa_rule_table table[2];
};
