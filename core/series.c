/* The shared table of metric series. A slot goes free -> being claimed -> ready, and a writer that
 * finds one being claimed for too long gives it up for good: its owner was killed, or will see that
 * it lost the slot and look again. Ready and given-up slots never change, so whoever claims a free
 * slot has seen that no earlier slot of the probe sequence holds its labels, nor ever will: there
 * are no duplicates. */
#include "core/series.h"

#include "core/series_push.h"
#include "core/sys.h"

enum { SERIES_FREE, SERIES_CLAIMED, SERIES_READY, SERIES_GIVEN_UP };

#define SERIES_SLOTS (sizeof(((struct oa_series_table *)0)->entry) / sizeof(struct oa_series))
/* Behind them: one overflow series per instrument. */
#define SERIES_HASHED (SERIES_SLOTS - OA_INS_COUNT)
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
_Static_assert(sizeof(series_limits_seconds) / 8 <= OA_BOUNDS_MAX, "struct oa_series holds them");
_Static_assert(sizeof(series_limits_sizes) / 8 <= OA_BOUNDS_MAX, "struct oa_series holds them");

const struct oa_instrument_info oa_instruments[OA_INS_COUNT] = {
#define OA_INSTRUMENT(id, name, unit, bounds, help) \
	{ name, \
	  unit, \
	  help, \
	  series_bounds_##bounds, \
	  series_limits_##bounds, \
	  sizeof(series_limits_##bounds) / 8 },
#include "core/instruments.def"
#undef OA_INSTRUMENT
};

static bool series_reserve(struct oa_series_table *t, unsigned limit)
{
	uint32_t used = atomic_load_explicit(&t->used, memory_order_relaxed);

	do
		if (used >= limit)
			return false;
	while (!atomic_compare_exchange_weak_explicit(&t->used, &used, used + 1,
						      memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void series_unreserve(struct oa_series_table *t)
{
	atomic_fetch_sub_explicit(&t->used, 1, memory_order_relaxed);
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
		series_unreserve(t);
	return atomic_load_explicit(&s->state, memory_order_acquire);
}

static bool series_is(const struct oa_series *s, uint64_t hash, enum oa_instrument ins,
		      const struct oa_label_set *labels)
{
	return s->hash == hash && s->instrument == ins && s->labels_len == labels->len &&
	       memcmp(s->labels, labels->bytes, labels->len) == 0;
}

static bool series_claim(struct oa_series_table *t, struct oa_series *s, uint64_t hash,
			 enum oa_instrument ins, const struct oa_label_set *labels)
{
	if (!series_move(s, SERIES_FREE, SERIES_CLAIMED)) {
		series_unreserve(t);
		return false;
	}
	s->hash = hash;
	s->instrument = (uint16_t)ins;
	s->labels_len = labels->len;
	memcpy(s->labels, labels->bytes, labels->len);
	return series_move(s, SERIES_CLAIMED, SERIES_READY);
}

struct oa_series *oa_series_get(struct oa_series_table *t, unsigned limit, enum oa_instrument ins,
				const struct oa_label_set *labels)
{
	uint64_t hash = oa_hash(ins + 1, labels->bytes, labels->len);
	size_t at = hash % SERIES_HASHED;

	if (labels->overflow)
		return NULL;
	if (limit > OA_SERIES_MAX)
		limit = OA_SERIES_MAX;
	for (size_t probe = 0; probe < SERIES_HASHED;) {
		struct oa_series *s = &t->entry[at];

		switch (series_settled(t, s)) {
		case SERIES_FREE:
			if (!series_reserve(t, limit))
				return NULL;
			if (series_claim(t, s, hash, ins, labels))
				return s;
			continue; /* somebody was faster: look at the same slot again */
		case SERIES_READY:
			if (series_is(s, hash, ins, labels))
				return s;
		}
		at = at + 1 == SERIES_HASHED ? 0 : at + 1;
		probe++;
	}
	return NULL;
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

static void exemplar_write(struct oa_exemplar *e, uint64_t value, const uint8_t *trace_id, const uint8_t *span_id, uint64_t unix_ns)
{
	struct oa_exemplar from = { .value = value, .unix_ns = unix_ns };
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
	const struct oa_exemplar *e = &s->exemplar[bucket];
	uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);
	struct oa_exemplar copy;

	if (!seq || seq & 1)
		return false;
	for (size_t i = 0; i < EXEMPLAR_WORDS; i++)
		((exemplar_word *)&copy + 1)[i] = __atomic_load_n((const exemplar_word *)e + 1 + i,
								  __ATOMIC_RELAXED);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&e->seq, memory_order_relaxed) != seq)
		return false;
	memcpy((exemplar_word *)ret_exemplar + 1, (exemplar_word *)&copy + 1,
	       EXEMPLAR_WORDS * sizeof(uint32_t));
	return true;
}

static unsigned series_bucket(enum oa_instrument ins, uint64_t value)
{
	const struct oa_instrument_info *info = &oa_instruments[ins];
	unsigned i = 0;

	while (i < info->bounds_count && value > info->limits[i])
		i++;
	return i;
}

struct oa_series_place oa_series_touch(struct oa_series_table *t, struct oa_series *s, enum oa_instrument ins, uint64_t value)
{
	struct oa_series_place p = { s, ins, series_bucket(ins, value), value };

	if (!s)
		s = &t->entry[SERIES_HASHED + ins];
	/* What is not zero was written before. */
	if (!atomic_load_explicit(&s->bucket[p.bucket], memory_order_relaxed))
		atomic_fetch_add_explicit(&s->bucket[p.bucket], 0, memory_order_relaxed);
	if (!atomic_load_explicit(&s->exemplar[p.bucket].seq, memory_order_relaxed))
		atomic_fetch_add_explicit(&s->exemplar[p.bucket].seq, 0, memory_order_relaxed);
	return p;
}

void oa_series_add(struct oa_series_table *t, const struct oa_series_place *p, const uint8_t *trace_id, const uint8_t *span_id,
		   uint64_t unix_ns)
{
	struct oa_series *s = p->series;

	if (!s) {
		s = &t->entry[SERIES_HASHED + p->ins];
		atomic_fetch_add_explicit(&t->overflowed, 1, memory_order_relaxed);
	}
	if (oa_exp && oa_instruments[p->ins].bounds_count)
		oa_exp_add((unsigned)(s - t->entry), p->ins, p->value);
	atomic_fetch_add_explicit(&s->sum, p->value, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->bucket[p->bucket], 1, memory_order_relaxed);
	if (trace_id && span_id && exemplar_is_old(&s->exemplar[p->bucket], unix_ns))
		exemplar_write(&s->exemplar[p->bucket], p->value, trace_id, span_id, unix_ns);
}

void oa_series_record(struct oa_series_table *t, unsigned limit, enum oa_instrument ins,
		      const struct oa_label_set *labels, uint64_t value, const uint8_t *trace_id,
		      const uint8_t *span_id, uint64_t unix_ns)
{
	struct oa_series *s = oa_series_get(t, limit, ins, labels);
	struct oa_series_place p = { s, ins, series_bucket(ins, value), value };

	oa_series_add(t, &p, trace_id, span_id, unix_ns);
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

enum oa_instrument oa_series_instrument(const struct oa_series_table *t, const struct oa_series *s)
{
	size_t at = (size_t)(s - t->entry);

	return at < SERIES_HASHED ? s->instrument : at - SERIES_HASHED;
}

struct oa_bytes oa_series_labels(const struct oa_series_table *t, const struct oa_series *s)
{
	static const uint8_t overflow[] = { OA_LABEL_overflow, 0, 4, 0, 't', 'r', 'u', 'e' };

	if ((size_t)(s - t->entry) < SERIES_HASHED)
		return oa_bytes(s->labels, s->labels_len);
	return oa_bytes(overflow, sizeof(overflow));
}
