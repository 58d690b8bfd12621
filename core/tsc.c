/* Keeps the mapping continuous: an error found is worked off within the next second, not jumped over, so a duration is
 * never negative and at worst wrong by a thousandth. */
#include "core/tsc.h"

#include <cpuid.h>
#include <string.h>

#include "core/sys.h"

#define TSC_SPAN_NS   3000000000u /* a mapping holds so long unless it is renewed */
#define TSC_GAP_NS    200000000u  /* at least so long between two comparisons, to tell the rate */
#define TSC_FIRST_NS  50000000u   /* the same for the first rate, which holds for a second or so */
#define TSC_WINDOW    30000u      /* ticks that a comparison may take; longer ones were interrupted */
#define TSC_JUMPS_MAX 8           /* after so many we leave it alone */
#define TSC_RECHECK   16          /* comparisons between two looks at what the kernel uses */

struct oa_tsc oa_tsc;

static uint64_t tsc_last_ticks, tsc_last_ns; /* last comparison; 0: none */
static unsigned tsc_jumps, tsc_ticks_seen;
static bool tsc_usable;

static void tsc_publish(uint64_t ticks, uint64_t ns, uint64_t mult, uint64_t span)
{
	uint32_t seq = atomic_load_explicit(&oa_tsc.seq, memory_order_relaxed);

	atomic_store_explicit(&oa_tsc.seq, seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&oa_tsc.ticks, ticks, memory_order_relaxed);
	atomic_store_explicit(&oa_tsc.ns, ns, memory_order_relaxed);
	atomic_store_explicit(&oa_tsc.mult, mult, memory_order_relaxed);
	atomic_store_explicit(&oa_tsc.span, span, memory_order_relaxed);
	atomic_store_explicit(&oa_tsc.seq, seq + 2, memory_order_release);
}

void oa_tsc_stop(void)
{
	tsc_publish(0, 0, 0, 0);
}

static bool tsc_is_on(void)
{
	return atomic_load_explicit(&oa_tsc.span, memory_order_relaxed) != 0;
}

/* Where the mapping, still in use, says we are; it may have run out meanwhile. */
static uint64_t tsc_mapped(uint64_t ticks)
{
	unsigned __int128 gone = (unsigned __int128)(ticks - oa_tsc.ticks) * oa_tsc.mult;

	return oa_tsc.ns + (uint64_t)(gone >> 32);
}

/* ns per tick << 32 since the last comparison; 0: makes no sense. */
static uint64_t tsc_rate(uint64_t ticks, uint64_t ns)
{
	uint64_t gone = ticks - tsc_last_ticks, took = ns - tsc_last_ns;
	unsigned __int128 rate;

	if (!gone || gone >> 62 || took >> 62)
		return 0;
	rate = ((unsigned __int128)took << 32) / gone;
	return rate < (1ull << 32) / 10 || rate > (10ull << 32) ? 0 : (uint64_t)rate; /* 100 MHz to 10 GHz */
}

static void tsc_start_over(uint64_t ticks, uint64_t ns)
{
	tsc_last_ticks = ticks;
	tsc_last_ns = ns;
	if (tsc_is_on())
		oa_tsc_stop();
}

static void tsc_jumped(uint64_t ticks, uint64_t ns)
{
	tsc_jumps++;
	tsc_start_over(ticks, ns);
}

void oa_tsc_note(uint64_t ticks, uint64_t ns)
{
	uint64_t rate, from = ns;
	int64_t error = 0;

	if (tsc_jumps >= TSC_JUMPS_MAX)
		return;
	if (!tsc_last_ns) {
		tsc_start_over(ticks, ns);
		return;
	}
	if (ns - tsc_last_ns < (tsc_is_on() ? TSC_GAP_NS : TSC_FIRST_NS))
		return;
	rate = tsc_rate(ticks, ns);
	if (tsc_is_on()) {
		from = tsc_mapped(ticks);
		error = (int64_t)(from - ns);
		if (error > (int64_t)OA_TSC_ERROR_NS || -error > (int64_t)OA_TSC_ERROR_NS)
			rate = 0;
	}
	if (!rate) {
		tsc_jumped(ticks, ns);
		return;
	}
	tsc_last_ticks = ticks;
	tsc_last_ns = ns;
	/* A thousandth of the rate is a millisecond per second. */
	rate -= (uint64_t)((__int128)rate * error / 1000000000);
	tsc_publish(ticks, from, rate, ((uint64_t)TSC_SPAN_NS << 32) / rate);
}

static bool tsc_invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1u << 8;
}

static bool tsc_kernel_uses_it(void)
{
	char name[16];

	return oa_sys_read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", name,
				sizeof(name)) == 4 &&
	       !memcmp(name, "tsc\n", 4);
}

/* One look at both clocks, at most TSC_WINDOW apart. */
static bool tsc_compare(uint64_t *ret_ticks, uint64_t *ret_ns)
{
	uint64_t best = TSC_WINDOW;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t before = __rdtsc(), ns = oa_now_ns(), took = __rdtsc() - before;

		if (took >= best)
			continue;
		best = took;
		*ret_ticks = before + took / 2;
		*ret_ns = ns;
	}
	return best < TSC_WINDOW;
}

bool oa_tsc_wanted(void)
{
	return tsc_usable && !tsc_is_on() && tsc_jumps < TSC_JUMPS_MAX;
}

void oa_tsc_tick(void)
{
	uint64_t ticks, ns;

	if (tsc_ticks_seen++ % TSC_RECHECK == 0)
		tsc_usable = tsc_kernel_uses_it() && tsc_invariant();
	if (!tsc_usable) {
		if (tsc_is_on())
			oa_tsc_stop();
		return;
	}
	if (tsc_compare(&ticks, &ns))
		oa_tsc_note(ticks, ns);
}
