/* Which rule a request belongs to. Runs while the table may be rewritten: every index is kept within its bounds, a wrong
 * answer is only a request counted in another class. */
#include <emmintrin.h>

#include "core/config.h"
#include "sampler/keep.h"

static struct oa_bytes rule_query(struct oa_bytes target)
{
	const uint8_t *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;

	return mark ? oa_bytes(mark + 1, target.len - (size_t)(mark + 1 - target.ptr)) : (struct oa_bytes){ 0 };
}

static struct oa_bytes rule_number(unsigned n, char buf[8])
{
	size_t at = 8;

	do
		buf[--at] = (char)('0' + n % 10);
	while ((n /= 10) && at);
	return oa_bytes(buf + at, 8 - at);
}

/* An IPv4 address as text; others are not compared. */
static struct oa_bytes rule_peer(const struct oa_addr *a, char buf[16])
{
	size_t len = 0;

	if (!a || a->family != 4)
		return (struct oa_bytes){ 0 };
	for (unsigned i = 0; i < 4; i++) {
		char digits[8];
		struct oa_bytes n = rule_number(a->ip[i], digits);

		if (i)
			buf[len++] = '.';
		memcpy(buf + len, n.ptr, n.len);
		len += n.len;
	}
	return oa_bytes(buf, len);
}

static struct oa_bytes rule_value(const struct oa_rule_cond *cond, const struct oa_sample_request *r, char buf[16])
{
	switch (cond->attr) {
	case OA_RULE_HEADER:
		return r->header ? r->header(r->message, oa_bytes(cond->key, cond->key_len & 63)) :
				   (struct oa_bytes){ 0 };
	case OA_RULE_METHOD:
		return r->method_text;
	case OA_RULE_PATH:
		return oa_path_of(r->target);
	case OA_RULE_QUERY:
		return rule_query(r->target);
	case OA_RULE_SCHEME:
		return r->https ? OA_LIT("https") : OA_LIT("http");
	case OA_RULE_HOST:
		return r->host;
	case OA_RULE_PORT:
		return rule_number(r->port, buf);
	case OA_RULE_USER_AGENT:
		return r->user_agent;
	case OA_RULE_PEER:
		return rule_peer(r->peer, buf);
	case OA_RULE_KIND:
		return r->kind == OA_KIND_SERVER ? OA_LIT("server") : OA_LIT("client");
	default:
		return (struct oa_bytes){ 0 };
	}
}

/* A request without the attribute matches nothing, not even a star. */
static bool rule_cond_holds(const struct oa_rule_cond *cond, const struct oa_sample_request *r)
{
	char buf[16];
	struct oa_bytes value = rule_value(cond, r, buf);

	return value.len && oa_glob_match_bytes(oa_bytes(cond->glob, cond->glob_len & 127), value);
}

static bool rule_matches(const struct oa_rule_table *t, const struct oa_rule *rule, const struct oa_sample_request *r,
			 struct oa_bytes path)
{
	if (rule->methods && !(rule->methods >> r->method & 1))
		return false;
	if (rule->route_len > OA_RULE_ROUTE_MAX ||
	    (rule->route_len && !oa_path_match(oa_bytes(rule->route, rule->route_len), path)))
		return false;
	for (unsigned i = 0; i < rule->conds; i++)
		if (!rule_cond_holds(&t->cond[(rule->cond + i) % OA_RULE_CONDS_MAX], r))
			return false;
	return true;
}

static bool rule_passes(const struct oa_rule_sieve *sieve, __m128i path)
{
	__m128i want = _mm_load_si128((const __m128i *)(const void *)sieve);
	__m128i fits = _mm_or_si128(_mm_cmpeq_epi32(want, path), _mm_cmpeq_epi32(want, _mm_setzero_si128()));

	return _mm_movemask_epi8(fits) == 0xffff;
}

const struct oa_rule *oa_rule_find(const struct oa_rule_table *t, const struct oa_sample_request *r)
{
	struct oa_bytes path = oa_path_of(r->target);
	struct oa_rule_sieve sieve = oa_path_sieve(path, false);
	__m128i have = _mm_load_si128((const __m128i *)(const void *)&sieve);
	unsigned depth = oa_path_slashes(path), count;

	if (depth >= OA_RULE_DEPTHS)
		depth = OA_RULE_DEPTHS - 1;
	count = t->asked_count[depth];
	for (unsigned i = 0; i < count && i < OA_CLASSES_MAX; i++) {
		unsigned index = t->asked[depth][i];

		if (rule_passes(&t->sieve[index], have) && rule_matches(t, &t->rule[index], r, path))
			return &t->rule[index];
	}
	return t->rule;
}
