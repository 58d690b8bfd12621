/* The shared table of metric series. A slot goes free -> being claimed -> ready, and a writer that
 * finds one being claimed for too long gives it up for good: its owner was killed, or will see that
 * it lost the slot and look again. Ready and given-up slots never change, so whoever claims a free
 * slot has seen that no earlier slot of the probe sequence holds its labels, nor ever will: there
 * are no duplicates. */
#include "core/series.h"

#include "core/attr.h"
#include "core/series_push.h"
#include "core/sys.h"

enum { SERIES_FREE, SERIES_CLAIMED, SERIES_READY, SERIES_GIVEN_UP };

#define SERIES_SLOTS (sizeof(((struct oa_series_table *)0)->entry) / sizeof(struct oa_series))
/* Behind them: one overflow series per stream. */
#define SERIES_HASHED (SERIES_SLOTS - OA_METRIC_STREAMS_MAX)
#define SERIES_SPINS  20 /* rounds of 100 pauses: some 50 us */

/* clang-format off */
/* Buckets of the semantic conventions, here in milliseconds. */
#define SERIES_SECONDS(X) \
	X(5) X(10) X(25) X(50) X(75) X(100) X(250) X(500) X(750) X(1000) X(2500) X(5000) X(7500) X(10000)
#define SERIES_DB_SECONDS(X) X(1) X(5) X(10) X(50) X(100) X(500) X(1000) X(5000) X(10000)
/* None are advised for sizes: empty bodies, then powers of four from 128 bytes to 2 GiB. */
#define SERIES_SIZES(X) \
	X(0) X(128) X(512) X(2048) X(8192) X(32768) X(131072) X(524288) X(2097152) X(8388608) \
	X(33554432) X(134217728) X(536870912) X(2147483648)
/* clang-format on */

#define MS_TO_S(x)  x / 1000.0,
#define MS_TO_NS(x) x * 1000000ull,
#define SAME(x)     x,
static const double series_bounds_seconds[] = { SERIES_SECONDS(MS_TO_S) };
static const uint64_t series_limits_seconds[] = { SERIES_SECONDS(MS_TO_NS) };
static const double series_bounds_db_seconds[] = { SERIES_DB_SECONDS(MS_TO_S) };
static const uint64_t series_limits_db_seconds[] = { SERIES_DB_SECONDS(MS_TO_NS) };
static const double series_bounds_sizes[] = { SERIES_SIZES(SAME) };
static const uint64_t series_limits_sizes[] = { SERIES_SIZES(SAME) };
static const double series_bounds_none[] = {};
static const uint64_t series_limits_none[] = {};
_Static_assert(sizeof(series_limits_seconds) / 8 < OA_EXEMPLARS_MAX, "each bucket of ours has its exemplar");
_Static_assert(sizeof(series_limits_sizes) / 8 < OA_EXEMPLARS_MAX, "each bucket of ours has its exemplar");
_Static_assert(OA_LABEL_COUNT <= 32, "labels_dropped has a bit for each");

OA_START_DATA struct oa_stream oa_streams[OA_METRIC_STREAMS_MAX] = {
#define OA_INSTRUMENT(id, name_, unit_, of, help_) \
	{ .name = name_, \
	  .unit = unit_, \
	  .help = help_, \
	  .bounds = series_bounds_##of, \
	  .limits = series_limits_##of, \
	  .bounds_count = sizeof(series_limits_##of) / 8, \
	  .kind = sizeof(series_limits_##of) ? OA_STREAM_HISTOGRAM : OA_STREAM_SUM, \
	  .source = OA_INS_##id },
#include "core/instruments.def"
#undef OA_INSTRUMENT
};
unsigned oa_streams_count = OA_INS_COUNT;

static bool series_take(_Atomic uint32_t *count, uint32_t limit)
{
	uint32_t used = atomic_load_explicit(count, memory_order_relaxed);

	do
		if (used >= limit)
			return false;
	while (!atomic_compare_exchange_weak_explicit(count, &used, used + 1,
						      memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void series_give(_Atomic uint32_t *count) { atomic_fetch_sub_explicit(count, 1, memory_order_relaxed); }

static bool series_reserve(struct oa_series_table *t, unsigned limit, unsigned stream)
{
	unsigned own = oa_streams[stream].series_max;

	if (own && !series_take(&t->used_by[stream], own - 1))
		return false;
	if (series_take(&t->used, limit))
		return true;
	if (own)
		series_give(&t->used_by[stream]);
	return false;
}

static void series_unreserve_of_stream(struct oa_series_table *t, unsigned stream)
{
	if (oa_streams[stream].series_max)
		series_give(&t->used_by[stream]);
}

static bool series_move(struct oa_series *s, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(&s->state, &from, to, memory_order_acq_rel,
						       memory_order_acquire);
}

/* State of a slot once nobody is writing to it. */
static uint32_t series_settled(struct oa_series_table *t, struct oa_series *s)
{
	for (unsigned round = 0; round <= SERIES_SPINS; round++) {
		uint32_t state = atomic_load_explicit(&s->state, memory_order_acquire);

		if (state != SERIES_CLAIMED)
			return state;
		for (unsigned i = 0; i < 100; i++)
			__builtin_ia32_pause();
		oa_sys0(SYS_sched_yield);
	}
	if (series_move(s, SERIES_CLAIMED, SERIES_GIVEN_UP))
		series_give(&t->used); /* of which stream it was to be only its writer knows */
	return atomic_load_explicit(&s->state, memory_order_acquire);
}

static bool series_is(const struct oa_series *s, uint64_t hash, unsigned stream,
		      const struct oa_label_set *labels)
{
	return s->hash == hash && s->stream == stream && s->labels_len == labels->len &&
	       memcmp(s->labels, labels->bytes, labels->len) == 0;
}

static bool series_claim(struct oa_series_table *t, struct oa_series *s, uint64_t hash,
			 unsigned stream, const struct oa_label_set *labels)
{
	if (!series_move(s, SERIES_FREE, SERIES_CLAIMED)) {
		series_give(&t->used);
		series_unreserve_of_stream(t, stream);
		return false;
	}
	s->hash = hash;
	s->stream = (uint16_t)stream;
	s->labels_len = labels->len;
	memcpy(s->labels, labels->bytes, labels->len);
	if (series_move(s, SERIES_CLAIMED, SERIES_READY))
		return true;
	series_unreserve_of_stream(t, stream); /* whoever took it gave back the rest */
	return false;
}

static struct oa_series *series_get(struct oa_series_table *t, unsigned limit, unsigned stream,
				    const struct oa_label_set *labels)
{
	uint64_t hash = oa_hash(stream + 1, labels->bytes, labels->len);
	size_t at = hash % SERIES_HASHED;

	if (labels->overflow)
		return NULL;
	if (limit > OA_SERIES_MAX)
		limit = OA_SERIES_MAX;
	for (size_t probe = 0; probe < SERIES_HASHED;) {
		struct oa_series *s = &t->entry[at];

		switch (series_settled(t, s)) {
		case SERIES_FREE:
			if (!series_reserve(t, limit, stream))
				return NULL;
			if (series_claim(t, s, hash, stream, labels))
				return s;
			continue; /* somebody was faster: look at the same slot again */
		case SERIES_READY:
			if (series_is(s, hash, stream, labels))
				return s;
		}
		at = at + 1 == SERIES_HASHED ? 0 : at + 1;
		probe++;
	}
	return NULL;
}

/* A frame of its own for the labels that are left. */
static __attribute__((noinline)) struct oa_series *series_get_fewer(struct oa_series_table *t, unsigned limit, unsigned stream,
								   const struct oa_label_set *labels)
{
	struct oa_label_set fewer;

	oa_label_drop(&fewer, labels, oa_streams[stream].labels_dropped);
	return series_get(t, limit, stream, &fewer);
}

struct oa_series *oa_series_get(struct oa_series_table *t, unsigned limit, unsigned stream,
				const struct oa_label_set *labels)
{
	if (__builtin_expect(oa_streams[stream].labels_dropped != 0, 0))
		return series_get_fewer(t, limit, stream, labels);
	return series_get(t, limit, stream, labels);
}

/* Exemplars are copied by words so that a reader which meets a writer reads nonsense, not undefined
 * behaviour; it sees by `seq` that it has to throw it away. A writer that was killed in between
 * leaves `seq` odd: that bucket has no exemplar from then on. */
#define EXEMPLAR_WORDS ((sizeof(struct oa_exemplar) - sizeof(uint32_t)) / sizeof(uint32_t))
typedef uint32_t exemplar_word __attribute__((may_alias));

/* Nobody looks as often as requests come: one in this time is as good as the next. */
#define EXEMPLAR_NS 1000000

static bool exemplar_is_old(const struct oa_exemplar *e, uint64_t unix_ns)
{
	return !atomic_load_explicit(&e->seq, memory_order_relaxed) ||
	       unix_ns - __atomic_load_n(&e->unix_ns, __ATOMIC_RELAXED) >= EXEMPLAR_NS; /* also when a clock went back */
}

static void exemplar_write(struct oa_exemplar *e, const struct oa_series_place *p, const uint8_t *trace_id, const uint8_t *span_id,
			   uint64_t unix_ns)
{
	struct oa_exemplar from = { .bucket = p->bucket, .value = p->value, .unix_ns = unix_ns };
	uint32_t seq = atomic_load_explicit(&e->seq, memory_order_relaxed);
	exemplar_word *to = (exemplar_word *)e + 1;

	memcpy(from.trace_id, trace_id, sizeof(from.trace_id));
	memcpy(from.span_id, span_id, sizeof(from.span_id));
	if (seq & 1 || !atomic_compare_exchange_strong_explicit(
			       &e->seq, &seq, seq + 1, memory_order_acquire, memory_order_relaxed))
		return;
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < EXEMPLAR_WORDS; i++)
		__atomic_store_n(to + i, ((const exemplar_word *)&from + 1)[i], __ATOMIC_RELAXED);
	atomic_store_explicit(&e->seq, seq + 2, memory_order_release);
}

bool oa_series_exemplar(const struct oa_series *s, unsigned bucket,
			struct oa_exemplar *ret_exemplar)
{
	const struct oa_exemplar *e = &s->exemplar[bucket % OA_EXEMPLARS_MAX];
	uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);
	struct oa_exemplar copy;

	if (!seq || seq & 1)
		return false;
	for (size_t i = 0; i < EXEMPLAR_WORDS; i++)
		((exemplar_word *)&copy + 1)[i] = __atomic_load_n((const exemplar_word *)e + 1 + i,
								  __ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&e->seq, memory_order_relaxed) != seq || copy.bucket != bucket)
		return false;
	memcpy((exemplar_word *)ret_exemplar + 1, (exemplar_word *)&copy + 1,
	       EXEMPLAR_WORDS * sizeof(uint32_t));
	return true;
}

static unsigned series_bucket(unsigned stream, uint64_t value)
{
	const struct oa_stream *info = &oa_streams[stream];
	unsigned i = 0;

	while (i < info->bounds_count && value > info->limits[i])
		i++;
	return i;
}

struct oa_series_place oa_series_touch(struct oa_series_table *t, struct oa_series *s, unsigned stream, uint64_t value)
{
	struct oa_series_place p = { s, stream, series_bucket(stream, value), value };
	struct oa_exemplar *e;

	if (!s)
		s = &t->entry[SERIES_HASHED + stream];
	/* What is not zero was written before. */
	if (!atomic_load_explicit(&s->bucket[p.bucket], memory_order_relaxed))
		atomic_fetch_add_explicit(&s->bucket[p.bucket], 0, memory_order_relaxed);
	e = &s->exemplar[p.bucket % OA_EXEMPLARS_MAX];
	if (!atomic_load_explicit(&e->seq, memory_order_relaxed))
		atomic_fetch_add_explicit(&e->seq, 0, memory_order_relaxed);
	return p;
}

void oa_series_add(struct oa_series_table *t, const struct oa_series_place *p, const uint8_t *trace_id, const uint8_t *span_id,
		   uint64_t unix_ns)
{
	struct oa_series *s = p->series;
	struct oa_exemplar *e;

	if (!s) {
		s = &t->entry[SERIES_HASHED + p->stream];
		atomic_fetch_add_explicit(&t->overflowed, 1, memory_order_relaxed);
	}
	if (oa_exp && oa_streams[p->stream].kind == OA_STREAM_EXPONENTIAL)
		oa_exp_add((unsigned)(s - t->entry), p->stream, p->value);
	atomic_fetch_add_explicit(&s->sum, p->value, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->bucket[p->bucket], 1, memory_order_relaxed);
	e = &s->exemplar[p->bucket % OA_EXEMPLARS_MAX];
	if (trace_id && span_id && exemplar_is_old(e, unix_ns))
		exemplar_write(e, p, trace_id, span_id, unix_ns);
}

void oa_series_record(struct oa_series_table *t, unsigned limit, enum oa_instrument ins,
		      const struct oa_label_set *labels, uint64_t value, const uint8_t *trace_id,
		      const uint8_t *span_id, uint64_t unix_ns)
{
	for (unsigned stream = ins; stream < oa_streams_count; stream = oa_stream_after(ins, stream)) {
		struct oa_series_place p = { .stream = stream, .bucket = series_bucket(stream, value), .value = value };

		if (oa_streams[stream].kind == OA_STREAM_DROPPED)
			return; /* then there are no others */
		p.series = oa_series_get(t, limit, stream, labels);
		oa_series_add(t, &p, trace_id, span_id, unix_ns);
	}
}

static bool series_used(const struct oa_series *s)
{
	for (unsigned i = 0; i <= OA_BOUNDS_MAX; i++)
		if (atomic_load_explicit(&s->bucket[i], memory_order_relaxed))
			return true;
	return false;
}

const struct oa_series *oa_series_next(const struct oa_series_table *t, unsigned *pos)
{
	while (*pos < SERIES_SLOTS) {
		unsigned at = (*pos)++;
		const struct oa_series *s = &t->entry[at];

		if (at < SERIES_HASHED &&
		    atomic_load_explicit(&s->state, memory_order_acquire) != SERIES_READY)
			continue;
		if (series_used(s))
			return s;
	}
	return NULL;
}

unsigned oa_series_stream(const struct oa_series_table *t, const struct oa_series *s)
{
	size_t at = (size_t)(s - t->entry);

	return at < SERIES_HASHED ? s->stream : (unsigned)(at - SERIES_HASHED);
}

struct oa_bytes oa_series_labels(const struct oa_series_table *t, const struct oa_series *s)
{
	static const uint8_t overflow[] = { OA_LABEL_overflow, 0, 4, 0, 't', 'r', 'u', 'e' };

	if ((size_t)(s - t->entry) < SERIES_HASHED)
		return oa_bytes(s->labels, s->labels_len);
	return oa_bytes(overflow, sizeof(overflow));
}
