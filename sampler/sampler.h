#pragma once
/* The head decision: made once per trace, on the host thread, from the trace id, the parent and what is known of the
 * request. Whatever can change lies in oa_sampling (core/sampling.h), where side threads rewrite it; a host thread
 * loads and compares. docs/sampling.md says what each sampler does. */
#include <stdbool.h>
#include <stdint.h>

#include "core/sampling.h"
#include "core/span.h"
#include "sampler/ot_state.h"
#include "sampler/threshold.h"

/* What is known of a request when its trace begins. */
struct oa_sample_request {
	uint8_t kind;            /* enum oa_kind */
	uint8_t method;          /* enum oa_method */
	bool https;
	uint16_t port;           /* server: the local one; client: the peer's */
	struct oa_bytes method_text, target, host, user_agent;
	const struct oa_addr *peer;
	/* First value of a header; empty when it is not there. name: lower case */
	struct oa_bytes (*header)(const void *message, struct oa_bytes name);
	const void *message;
};

struct oa_sample_ask {
	uint64_t random;         /* R of the trace */
	uint64_t now_ns;
	bool has_parent;         /* an incoming context that decided */
	bool parent_sampled;
	const struct oa_sample_request *request; /* NULL: nothing is known */
};

struct oa_decision {
	bool sampled;
	bool ours;               /* not the parent's */
	bool tail;               /* the local tail rule may have a say later */
	uint8_t rule;            /* class that decided, when ours */
	uint8_t type;            /* enum oa_sampler_type, 0: not said */
	uint8_t param_len;
	uint64_t threshold;      /* T when sampled by it; OA_TH_NONE: of unknown weight, or not sampled */
	char param[OA_RULE_PARAM_MAX];
};

struct oa_sampler {
	const char *name;        /* value of OTEL_TRACES_SAMPLER */
	/* Decides for a trace that begins here, or for any when `parents` is false.
	 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: no */
	void (*decide)(const struct oa_sample_ask *ask, struct oa_decision *ret);
	bool parents;            /* the caller's decision comes first */
	enum oa_sampler_arg {
		OA_ARG_NONE, OA_ARG_RATIO, OA_ARG_RATE, OA_ARG_TARGET, OA_ARG_REMOTE,
	} arg;                   /* what OTEL_TRACES_SAMPLER_ARG is for it */
};

/* By index of the choices of OTEL_TRACES_SAMPLER (samplers.def). */
extern const struct oa_sampler *const oa_samplers[];

/* Applies the configured sampler. */
void oa_sample(const struct oa_sample_ask *ask, struct oa_decision *ret);

/* Reads OTEL_TRACES_SAMPLER_ARG and sets class 0 by it. At activation, before the first request, once per tree.
 * returns 0 */
int oa_sampler_init(void);

/* What the tail rule is allowed: OTELAUTO_KEEP and OTELAUTO_KEEP_REMOTE, put together by oa_sampler_init(). */
extern bool oa_sampler_tail, oa_sampler_tail_remote;

/* The configured sampler wants to know about requests. */
extern bool oa_sampler_asks;
