/* Decisions of a class: by threshold, by bucket, or by both. */
#include "sampler/keep.h"

static void ratio_decide(const struct oa_class *c, const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	uint64_t threshold = atomic_load_explicit(&c->threshold, memory_order_relaxed);

	ret->sampled = ask->random >= threshold;
	ret->threshold = ret->sampled ? threshold : OA_TH_NONE;
	ret->tail = threshold != 0;
}

void oa_keep_ratio(const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	ratio_decide(&oa_sampling()->cls[0], ask, ret);
}

/* -- buckets -- */

bool oa_bucket_take(struct oa_bucket *b, uint64_t interval_ns, uint64_t burst_ns, uint64_t now_ns)
{
	uint64_t due = atomic_load_explicit(&b->due_ns, memory_order_relaxed);

	if (!interval_ns)
		return false;
	/* Whoever loses the race so often is one of very many: one trace less is no harm. */
	for (unsigned i = 0; i < 16; i++) {
		uint64_t next = (due > now_ns ? due : now_ns) + interval_ns;

		if (next - now_ns > burst_ns)
			return false;
		if (atomic_compare_exchange_weak_explicit(&b->due_ns, &due, next, memory_order_relaxed,
							  memory_order_relaxed))
			return true;
	}
	return false;
}

static bool rate_take(struct oa_class *c, struct oa_bucket *b, uint64_t now_ns)
{
	return oa_bucket_take(b, atomic_load_explicit(&c->interval_ns, memory_order_relaxed),
			      atomic_load_explicit(&c->burst_ns, memory_order_relaxed), now_ns);
}

static void rate_decide(struct oa_class *c, const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	ret->sampled = rate_take(c, &c->bucket, ask->now_ns);
	ret->tail = true;
}

void oa_keep_rate(const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	rate_decide(&oa_sampling()->cls[0], ask, ret);
}

/* -- rules -- */

/* Requests in no rule share the lower bound by what they look like, so that a busy one does not hide the others. */
static struct oa_bucket *rules_shy_bucket(struct oa_sampling *s, const struct oa_sample_request *r)
{
	struct oa_bytes path = r ? oa_path_of(r->target) : (struct oa_bytes){ 0 };
	uint8_t like[2] = { r ? r->method : 0, (uint8_t)oa_path_slashes(path) };
	const uint8_t *end = path.len > 1 ? memchr(path.ptr + 1, '/', path.len - 1) : NULL;

	path = oa_bytes_cut(path, end ? (size_t)(end - path.ptr) : 32);
	return &s->shy[oa_hash(oa_hash(0, like, sizeof(like)), path.ptr, path.len) % OA_SHY_BUCKETS];
}

static void rules_guaranteed(struct oa_sampling *s, struct oa_class *c, const struct oa_sample_ask *ask,
			     struct oa_decision *ret)
{
	struct oa_bucket *b = c == s->cls ? rules_shy_bucket(s, ask->request) : &c->bucket;
	bool token = rate_take(c, b, ask->now_ns); /* spent on what the probability keeps as well */

	ratio_decide(c, ask, ret);
	if (ret->sampled || !token)
		return;
	ret->sampled = true;
	ret->type = OA_TYPE_LOWERBOUND;
}

/* What the backend wants to hear about the rule. The text may be rewritten under our hands when this thread slept through
 * two polls: then it is not said. */
static void rules_param(const struct oa_sampling *s, uint32_t version, const struct oa_rule *rule, struct oa_decision *ret)
{
	uint8_t len = rule->param_len;

	if (!len || len > sizeof(ret->param) || !ret->sampled)
		return;
	memcpy(ret->param, rule->param, len);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&s->table_version, memory_order_relaxed) - version <= 1)
		ret->param_len = len;
}

void oa_keep_rules(const struct oa_sample_ask *ask, struct oa_decision *ret)
{
	struct oa_sampling *s = oa_sampling();
	uint32_t version = atomic_load_explicit(&s->table_version, memory_order_acquire);
	const struct oa_rule_table *t = &s->table[version & 1];
	const struct oa_rule *rule = t->count && ask->request ? oa_rule_find(t, ask->request) : t->rule;
	struct oa_class *c = &s->cls[rule->cls];

	ret->rule = rule->cls;
	switch (atomic_load_explicit(&c->mode, memory_order_relaxed)) {
	case OA_CLASS_RATE:
		rate_decide(c, ask, ret);
		ret->type = OA_TYPE_RATELIMITING;
		break;
	case OA_CLASS_GUARANTEED:
		ret->type = OA_TYPE_PROBABILISTIC;
		rules_guaranteed(s, c, ask, ret);
		break;
	default:
		ret->type = OA_TYPE_PROBABILISTIC;
		ratio_decide(c, ask, ret);
	}
	rules_param(s, version, rule, ret);
}
