#include "core/series_push.h"

#include "core/config.h"
#include "core/stats.h"
#include "core/sys.h"

#define EXP_PER_OCTAVE 8

_Static_assert(OA_STAT_COUNT <= sizeof(oa_pushed->stat) / sizeof(uint64_t), "struct oa_pushed has room");

struct oa_exp_series *oa_exp, *oa_exp_pushed;
struct oa_pushed *oa_pushed;

static uint64_t exp_limits[2][OA_EXP_BUCKETS]; /* upper bounds as recorded: seconds, bytes */

static bool exp_is_seconds(unsigned stream) { return oa_streams[stream].unit[0] == 's'; }

int oa_exp_offset(unsigned stream) { return exp_is_seconds(stream) ? -20 * EXP_PER_OCTAVE : -EXP_PER_OCTAVE; }

/* 2^(index/8) */
static double exp_bound(int index)
{
	static const double part[EXP_PER_OCTAVE] = { 1.0, 1.0905077326652577, 1.189207115002721, 1.2968395546510096,
						     1.4142135623730951, 1.5422108254079407, 1.681792830507429,
						     1.8340080864093424 };
	int octave = (index - (index & (EXP_PER_OCTAVE - 1))) / EXP_PER_OCTAVE;
	double bound = part[index & (EXP_PER_OCTAVE - 1)];

	return octave >= 0 ? bound * (double)(1ull << octave) : bound / (double)(1ull << -octave);
}

static const uint64_t *exp_limits_of(unsigned stream)
{
	uint64_t *limits = exp_limits[!exp_is_seconds(stream)];
	double unit = exp_is_seconds(stream) ? 1e9 : 1;

	for (int i = 0; !limits[OA_EXP_BUCKETS - 1] && i < OA_EXP_BUCKETS; i++)
		limits[i] = (uint64_t)(exp_bound(oa_exp_offset(stream) + i + 1) * unit);
	return limits;
}

unsigned oa_exp_bucket(unsigned stream, uint64_t value)
{
	const uint64_t *limits = exp_limits_of(stream);
	uint64_t lowest = (uint64_t)(exp_bound(oa_exp_offset(stream)) * (exp_is_seconds(stream) ? 1e9 : 1));
	unsigned low = 0, high = OA_EXP_BUCKETS - 1;

	if (value <= lowest)
		return 0;
	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (value <= limits[mid])
			high = mid;
		else
			low = mid + 1;
	}
	return 1 + low;
}

void oa_exp_add(unsigned entry, unsigned stream, uint64_t value)
{
	unsigned bucket = oa_exp_bucket(stream, value);

	atomic_fetch_add_explicit(bucket ? &oa_exp[entry].bucket[bucket - 1] : &oa_exp[entry].zero, 1, memory_order_relaxed);
}

/* What the settings make of histograms of which no view says anything. returns whether any is exponential */
static bool exp_choose(void)
{
	bool any = false;

	for (unsigned i = 0; i < oa_streams_count; i++) {
		struct oa_stream *s = &oa_streams[i];

		if (s->kind == OA_STREAM_HISTOGRAM && !s->kind_is_asked_for && oa_config.metrics_histogram == 1)
			s->kind = OA_STREAM_EXPONENTIAL;
		any |= s->kind == OA_STREAM_EXPONENTIAL;
	}
	return any;
}

void oa_series_push_map(void)
{
	bool push = oa_config.metrics_exporter >> 1 & 1 && !(oa_config.metrics_exporter >> 31);
	bool delta = push && oa_config.metrics_temporality != 0;

	if (push && exp_choose())
		oa_exp = oa_sys_map(sizeof(*oa_exp) * OA_SERIES_ENTRIES, 1);
	if (delta)
		oa_pushed = oa_sys_map(2 * sizeof(*oa_pushed), 1);
	if (delta && oa_exp)
		oa_exp_pushed = oa_sys_map(2 * sizeof(*oa_exp) * OA_SERIES_ENTRIES, 1);
}
