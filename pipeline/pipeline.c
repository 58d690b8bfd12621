/* One turn of the side thread: rings, ticks, the exporters' loop. */
#include "pipeline/pipeline.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "core/clock.h"
#include "core/doze.h"
#include "core/tsc.h"
#include "core/stats.h"
#include "core/sys.h"
#include "core/tree.h"
#include "exporter/exporter.h"
#include "pipeline/batch.h"
#include "pipeline/drain.h"
#include "pipeline/processor.h"
#include "pipeline/resource.h"
#include "pipeline/usage.h"

#define PIPELINE_SECOND_NS 1000000000ull
#define PIPELINE_DOZE_MS   20
#define PIPELINE_NAP_MS    10  /* how often the rings are looked at while there are records */
#define PIPELINE_FAST_MS   7   /* rings that fill within a shorter time than this are looked at as often as possible */
#define PIPELINE_LOOP_MS   100 /* what a stop or a flush may have to wait for the thread */

static bool pipeline_has_loop;
static uint64_t pipeline_second_ns; /* when the work of every second is due; 0 at the start */

static int pipeline_open_processors(void)
{
	int ret = 0;

	for (const struct oa_processor *const *p = oa_processors; *p; p++) {
		int r = (*p)->open ? (*p)->open() : 0;

		if (r < 0)
			ret = r;
	}
	return ret;
}

/* A host thread may be taking the slot just now; it needs microseconds, unless it was stopped. */
static int pipeline_claim(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int ret = oa_tree_claim();

	for (unsigned i = 0; ret == -EAGAIN && i < 1000; i++) {
		(void)oa_sys2(SYS_nanosleep, &pause, NULL);
		ret = oa_tree_claim();
	}
	return ret;
}

int oa_pipeline_open(void)
{
	int ret = pipeline_claim();

	if (ret < 0)
		return ret;
	atomic_store(&oa_self->start_ticks, oa_proc_ticks(oa_self->id.pid));
	oa_stat_settle();
	oa_clock_anchor();
	oa_tsc_tick();
	oa_resource_open();
	ret = oa_loop_open();
	pipeline_has_loop = ret == 0;
	pipeline_second_ns = 0;
	return ret < 0 ? ret : pipeline_open_processors();
}

/* Who forks for each connection leaves many dead: then a second is long. */
static unsigned pipeline_adopt(bool due) { return due || oa_tree_runs_out() ? oa_adopt_tick() : 0; }

static unsigned pipeline_every_second(uint64_t now_ns)
{
	bool first = !pipeline_second_ns;

	if (now_ns < pipeline_second_ns) {
		if (oa_tsc_wanted())
			oa_tsc_tick();
		return pipeline_adopt(false);
	}
	pipeline_second_ns = now_ns + PIPELINE_SECOND_NS;
	oa_clock_anchor();
	oa_tsc_tick();
	if (pipeline_has_loop)
		oa_scrape_tick();
	/* Many processes live for less than a second: they should not die with what others left. */
	return pipeline_adopt(!first);
}

static void pipeline_tick(void)
{
	for (const struct oa_processor *const *p = oa_processors; *p; p++)
		if ((*p)->on_tick)
			(*p)->on_tick(oa_now_ns());
}

/* No longer than until the next thing that is due. */
static unsigned pipeline_wait_ms(unsigned max_wait_ms, uint64_t now_ns)
{
	uint64_t due = oa_batch_due_ns();
	uint64_t left_ms = due > now_ns ? (due - now_ns + 999999) / 1000000 : 0;

	return left_ms < max_wait_ms ? (unsigned)left_ms : max_wait_ms;
}

/* A wake-up for the answer to a batch costs some thirty spans: it can wait for the next look at the rings, unless the next batch
 * waits for it or records come so fast that an early look is welcome. */
static bool pipeline_may_nap(void) { return oa_loop_has_sent() && !oa_batch_queues(); }

/* Nobody can wake the thread in its loop, so it is there only for what comes soon or is awaited. */
bool oa_pipeline_wait(unsigned max_wait_ms)
{
	unsigned ms = pipeline_wait_ms(max_wait_ms, oa_now_ns());
	bool woken = false;

	if (!pipeline_has_loop || !oa_self)
		return false;
	if (ms >= PIPELINE_DOZE_MS && !oa_loop_awaits()) {
		woken = oa_doze(ms);
		ms = 0;
	} else if (ms >= PIPELINE_FAST_MS && ms <= PIPELINE_NAP_MS && oa_loop_awaits()) {
		woken = oa_loop_turn(0); /* what was begun goes out */
		if (pipeline_may_nap()) {
			woken |= oa_doze_briefly(ms);
			ms = 0;
		}
	}
	return oa_loop_turn(ms < PIPELINE_LOOP_MS ? ms : PIPELINE_LOOP_MS) || woken;
}

unsigned oa_pipeline_turn(void)
{
	uint64_t now_ns = oa_now_ns();
	unsigned seen;

	if (!oa_self)
		return 0;
	seen = oa_drain_own(now_ns);
	seen += pipeline_every_second(now_ns);
	oa_usage_tick(now_ns);
	pipeline_tick();
	return seen;
}

static bool pipeline_busy(uint64_t until_ns)
{
	for (const struct oa_processor *const *p = oa_processors; *p; p++)
		if ((*p)->busy && (*p)->busy(until_ns))
			return true;
	return oa_metrics_push_busy(until_ns);
}

void oa_pipeline_flush(uint64_t deadline_ns)
{
	uint64_t now_ns = oa_now_ns();

	if (!oa_self)
		return;
	oa_drain_own(now_ns);
	for (const struct oa_processor *const *p = oa_processors; *p; p++)
		if ((*p)->flush)
			(*p)->flush();
	(void)oa_adopt_tick();
	oa_metrics_push_flush();
	while (pipeline_has_loop && now_ns < deadline_ns) {
		pipeline_tick();
		if (!pipeline_busy(deadline_ns))
			(void)oa_adopt_tick(); /* only so many at a time */
		if (!pipeline_busy(deadline_ns))
			break;
		oa_loop_turn(deadline_ns - now_ns < 5000000 ? 1 : 5);
		now_ns = oa_now_ns();
	}
	oa_batch_end();
}

bool oa_pipeline_has_orphans(void) { return oa_adopt_is_wanted(); }

void oa_pipeline_forget(void)
{
	for (const struct oa_processor *const *p = oa_processors; *p; p++)
		if ((*p)->forget)
			(*p)->forget();
	oa_drain_forget();
	oa_usage_forget();
	oa_scrape_forget();
	oa_loop_forget();
	pipeline_has_loop = false;
}
