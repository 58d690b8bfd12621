/* Every word here is written by one side and read by the other; the only waiting is on `side_state` and
 * `side_flushed`, with a limit. The host can wake the thread from a doze (core/doze.h) but not in its loop (that would take a
 * descriptor or a signal), where it never sleeps longer than a stop or a flush may take. */
#include "preload/side_thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

#include "conn/conn.h"
#include "core/arena.h"
#include "core/attr.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/doze.h"
#include "core/fork_gate.h"
#include "core/own_fd.h"
#include "core/stats.h"
#include "core/sys.h"
#include "core/thread.h"
#include "exporter/exporter.h"
#include "pipeline/pipeline.h"

#define SIDE_STACK_BYTES   (256u << 10)
#define SIDE_RETRY_NS      1000000000ull
#define SIDE_BUSY_MS       10
#define SIDE_IDLE_MS       100
#define SIDE_DOZE_MS       800 /* what a scrape may have to wait: less than the second that some give it */
#define SIDE_DOZE_AFTER_NS 2000000000ull /* without anything happening */
#define SIDE_TURN_RECORDS  448 /* a third of what the rings of two processors hold of ordinary records */
#define SIDE_LAST_FLUSH_NS 20000000ull /* what a stop leaves for the last spans */

enum side_state { SIDE_NONE, SIDE_STARTING, SIDE_RUNNING, SIDE_GONE };

static _Atomic uint32_t side_state;
static _Atomic uint32_t side_flush_asked, side_flushed; /* counts */
static _Atomic uint64_t side_flush_until_ns;
static _Atomic bool side_stop;
static _Atomic int32_t side_tid;
static _Atomic uint64_t side_retry_ns;

/* -- the thread -- */

static void side_futex_wake(_Atomic uint32_t *word)
{
	(void)oa_sys3(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static void side_futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t ns)
{
	struct timespec limit = { (time_t)(ns / 1000000000u), (long)(ns % 1000000000u) };

	(void)oa_sys4(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, &limit);
}

/* A real-time host must not get a real-time thread it did not ask for. */
static void side_drop_real_time(void)
{
	struct sched_param normal = { 0 };
	long policy = oa_sys1(SYS_sched_getscheduler, 0);

	if (policy == SCHED_FIFO || policy == SCHED_RR)
		(void)oa_sys3(SYS_sched_setscheduler, 0, SCHED_OTHER, &normal);
}

static void side_answer_flush(void)
{
	uint32_t asked = atomic_load(&side_flush_asked);

	if (asked == atomic_load(&side_flushed))
		return;
	oa_conn_reap(true);
	oa_conn_end_calls();
	oa_pipeline_flush(atomic_load(&side_flush_until_ns));
	oa_scrape_bye();
	atomic_store(&side_flushed, asked);
	side_futex_wake(&side_flushed);
}

/* Busy processes are looked after every 10 ms, earlier when their rings fill faster, idle ones ten times a second and then
 * every 0.8 s. A wait that an answer of the collector cut short says little about how fast they fill. */
struct side_pace {
	unsigned wait_ms;
	bool cut;           /* the last wait was: something happened in it */
	uint64_t last_ns;   /* when the last turn began */
	uint64_t active_ns; /* when something happened last */
};

static unsigned side_longer(const struct side_pace *p, uint64_t now_ns)
{
	if (p->wait_ms < 20)
		return 20;
	if (p->wait_ms < 50)
		return 50;
	return now_ns - p->active_ns < SIDE_DOZE_AFTER_NS ? SIDE_IDLE_MS : SIDE_DOZE_MS;
}

static unsigned side_next_wait_ms(const struct side_pace *p, unsigned seen, uint64_t now_ns)
{
	unsigned was = p->wait_ms;
	uint64_t ms = seen ? (now_ns - p->last_ns) * SIDE_TURN_RECORDS / seen / 1000000 : UINT64_MAX;

	if (!seen && p->cut)
		return was < SIDE_BUSY_MS ? was : SIDE_BUSY_MS;
	if (!seen && was >= SIDE_BUSY_MS)
		return side_longer(p, now_ns);
	ms = ms < 2ull * was ? ms : 2ull * was;
	return ms < 1 ? 1 : ms < SIDE_BUSY_MS ? (unsigned)ms : SIDE_BUSY_MS;
}

static void side_turn(struct side_pace *p, bool no_loop)
{
	uint64_t now_ns = oa_now_ns();
	unsigned seen;

	oa_conn_reap(false);
	oa_conn_count_pools(now_ns);
	seen = oa_pipeline_turn();
	side_answer_flush();
	if (seen || p->cut)
		p->active_ns = now_ns;
	p->wait_ms = side_next_wait_ms(p, seen, now_ns);
	p->last_ns = now_ns;
	if (p->wait_ms >= SIDE_IDLE_MS)
		oa_arena_trim();
	p->cut = oa_pipeline_wait(p->wait_ms);
	if (no_loop)
		side_futex_wait(&side_state, SIDE_RUNNING, p->wait_ms * 1000000ull);
}

static void side_run(void)
{
	struct side_pace pace = { 1, false, oa_now_ns(), oa_now_ns() };
	int opened;

	oa_fork_gate_enter();
	/* Third parties write numbers with printf: never in the host's locale. */
	(void)uselocale(newlocale(LC_ALL_MASK, "C", 0));
	opened = oa_pipeline_open();
	oa_fork_gate_leave();
	oa_config_warn();
	while (!atomic_load(&side_stop))
		side_turn(&pace, opened < 0);
	oa_conn_reap(true);
	oa_pipeline_flush(oa_now_ns() + SIDE_LAST_FLUSH_NS);
	oa_pipeline_forget(); /* closes what is open */
}

static void *side_main(void *arg)
{
	(void)arg;
	oa_tls.guard_sp = OA_GUARD_SIDE_THREAD;
	(void)oa_own_fd_table();
	atomic_store(&side_tid, (int32_t)oa_sys0(SYS_gettid));
	(void)oa_sys2(SYS_prctl, PR_SET_NAME, "otelauto");
	side_drop_real_time();
	atomic_store(&side_state, SIDE_RUNNING);
	side_run();
	atomic_store(&side_state, SIDE_GONE);
	side_futex_wake(&side_state);
	return NULL;
}

/* -- starting it -- */

/* What the host's crash handlers must keep getting. */
static void side_signals(sigset_t *ret_blocked)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };

	sigfillset(ret_blocked);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(ret_blocked, faults[i]);
}

/* stack_bytes: 0 for libc's own choice. */
static int side_create(size_t stack_bytes)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t blocked, before;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return ret;
	if (stack_bytes)
		(void)pthread_attr_setstacksize(&attr, stack_bytes); /* refused: libc's own choice */
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	side_signals(&blocked);
	ret = pthread_sigmask(SIG_SETMASK, &blocked, &before);
	if (!ret) {
		ret = pthread_create(&thread, &attr, side_main, NULL);
		(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	(void)pthread_attr_destroy(&attr);
	return ret;
}

OA_HOT void oa_side_thread_want(void)
{
	uint32_t none = SIDE_NONE;
	int ret;

	if (atomic_load_explicit(&side_state, memory_order_relaxed) != SIDE_NONE)
		return;
	if (atomic_load(&side_retry_ns) && oa_now_ns() < atomic_load(&side_retry_ns))
		return;
	if (!atomic_compare_exchange_strong(&side_state, &none, SIDE_STARTING))
		return;
	ret = side_create(SIDE_STACK_BYTES);
	if (ret == EINVAL) /* the host's thread-local storage alone is larger than that */
		ret = side_create(0);
	if (!ret)
		return;
	oa_stat_inc(OA_STAT_side_thread_failed);
	atomic_store(&side_retry_ns, oa_now_ns() + SIDE_RETRY_NS);
	atomic_store(&side_state, SIDE_NONE);
}

/* -- ending it -- */

/* The thread said good-bye; until the kernel forgot it too, the process counts as multi-threaded. */
static bool side_wait_for_kernel(uint64_t until_ns)
{
	long pid = oa_sys0(SYS_getpid), tid = atomic_load(&side_tid);

	while (oa_sys3(SYS_tgkill, pid, tid, 0) != -ESRCH) {
		struct timespec pause = { 0, 100000 };

		if (oa_now_ns() >= until_ns)
			return false;
		(void)oa_sys2(SYS_nanosleep, &pause, NULL);
	}
	return true;
}

bool oa_side_thread_stop(unsigned max_ms)
{
	uint64_t until_ns = oa_now_ns() + max_ms * 1000000ull, now_ns;
	uint32_t state = atomic_load(&side_state);

	atomic_store(&side_stop, true);
	if (state == SIDE_NONE)
		return true;
	side_futex_wake(&side_state);
	oa_doze_end();
	while ((state = atomic_load(&side_state)) != SIDE_GONE) {
		now_ns = oa_now_ns();
		if (now_ns >= until_ns)
			return false;
		side_futex_wait(&side_state, state, until_ns - now_ns);
	}
	return side_wait_for_kernel(until_ns);
}

void oa_side_thread_flush(unsigned max_ms)
{
	uint64_t now_ns = oa_now_ns(), until_ns = now_ns + max_ms * 1000000ull;
	uint32_t asked, done, state = atomic_load(&side_state);

	if (state == SIDE_NONE && oa_pipeline_has_orphans()) {
		oa_side_thread_want();
		state = atomic_load(&side_state);
	}
	if (state != SIDE_STARTING && state != SIDE_RUNNING)
		return;
	/* The thread gives up a little earlier, so that it can still say what became of the last batch. */
	atomic_store(&side_flush_until_ns, until_ns - max_ms * 250000ull);
	asked = atomic_fetch_add(&side_flush_asked, 1) + 1;
	oa_doze_end();
	while ((done = atomic_load(&side_flushed)) != asked && now_ns < until_ns) {
		side_futex_wait(&side_flushed, done, until_ns - now_ns);
		now_ns = oa_now_ns();
	}
}

void oa_side_thread_forget(void)
{
	oa_own_fd_forget();
	oa_doze_forget();
	atomic_store(&side_state, SIDE_NONE);
	atomic_store(&side_stop, false);
	atomic_store(&side_flushed, atomic_load(&side_flush_asked));
	atomic_store(&side_retry_ns, 0);
}
