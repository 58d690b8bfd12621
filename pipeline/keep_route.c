/* How long the requests of a route take, and how many there are. A fixed table; what does not fit shares an entry that is
 * never rare. */
#include "exporter/span_attrs.h"
#include "pipeline/keep.h"
#include "pipeline/route.h"

#define ROUTES        512
#define ROUTE_PROBES  16
#define BUCKETS       240 /* eight to an octave, from a microsecond to a quarter of an hour */
#define BUCKET_FIRST  10  /* 2^10 ns */
#define ROUTE_ENOUGH  100 /* fewer tell nothing about the slowest hundredth */
#define ROUTE_MANY    8192 /* then the older half counts half */
#define ROUTE_AGAIN   32  /* requests between two looks at p99 */
#define MINUTE_NS     60000000000ull

struct route {
	uint64_t hash; /* 0: free */
	uint64_t minute, p99_ns;
	uint32_t count[2]; /* requests of even and odd minutes */
	uint32_t total, look;
	uint16_t bucket[BUCKETS];
};

static struct route routes[ROUTES + 1]; /* the last one is shared */

static uint64_t route_hash(const struct oa_span *s)
{
	uint8_t what[2] = { s->kind, s->method };
	struct oa_bytes route = oa_span_str(s, OA_STR_ROUTE), host = { 0 };
	uint64_t hash = oa_hash(0, what, sizeof(what));

	if (s->kind == OA_KIND_CLIENT)
		host = oa_span_str(s, OA_STR_HOST);
	hash = oa_hash(hash, route.ptr, route.len);
	return oa_hash(hash, host.ptr, host.len) | 1;
}

static struct route *route_get(const struct oa_span *s)
{
	uint64_t hash = route_hash(s);

	for (unsigned i = 0; i < ROUTE_PROBES; i++) {
		struct route *r = &routes[(hash + i) % ROUTES];

		if (!r->hash)
			r->hash = hash;
		if (r->hash == hash)
			return r;
	}
	return &routes[ROUTES];
}

/* -- how many -- */

static unsigned route_lately(struct route *r, uint64_t now_ns)
{
	uint64_t minute = now_ns / MINUTE_NS;

	if (r->minute != minute) {
		if (r->minute + 1 != minute)
			r->count[~minute & 1] = 0;
		r->count[minute & 1] = 0;
		r->minute = minute;
	}
	return r->count[0] + r->count[1];
}

/* -- how long -- */

static unsigned route_bucket(uint64_t ns)
{
	unsigned octave, index;

	if (ns < 1u << BUCKET_FIRST)
		return 0;
	octave = 63 - (unsigned)__builtin_clzll(ns);
	index = (octave - BUCKET_FIRST) * 8 + (unsigned)(ns >> (octave - 3) & 7);
	return index < BUCKETS ? index : BUCKETS - 1;
}

/* The largest duration that still falls into a bucket. */
static uint64_t route_bound(unsigned bucket)
{
	unsigned octave = BUCKET_FIRST + bucket / 8;

	return ((uint64_t)(8 + bucket % 8 + 1) << (octave - 3)) - 1;
}

static void route_find_p99(struct route *r)
{
	uint32_t left = r->total / 100; /* may be longer */

	for (unsigned i = BUCKETS; i-- > 0;) {
		if (r->bucket[i] > left) {
			r->p99_ns = route_bound(i);
			return;
		}
		left -= r->bucket[i];
	}
}

static void route_halve(struct route *r)
{
	r->total = 0;
	for (unsigned i = 0; i < BUCKETS; i++)
		r->total += r->bucket[i] /= 2;
}

static void route_add(struct route *r, uint64_t ns)
{
	r->bucket[route_bucket(ns)]++;
	if (++r->total >= ROUTE_MANY)
		route_halve(r);
	if (r->total >= ROUTE_ENOUGH && ++r->look >= ROUTE_AGAIN) {
		r->look = 0;
		route_find_p99(r);
	}
}

struct oa_keep_usual oa_keep_route(const struct oa_span *root, uint64_t now_ns)
{
	struct route *r = route_get(root);
	struct oa_keep_usual usual = { r->p99_ns, route_lately(r, now_ns) };

	if (r == &routes[ROUTES])
		usual.lately = UINT32_MAX;
	r->count[r->minute & 1]++;
	route_add(r, root->duration_ns);
	return usual;
}

void oa_keep_route_forget(void) { memset(routes, 0, sizeof(routes)); }
