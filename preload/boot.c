/* Start and end. The constructor finds the real functions and reads settings, nothing else: most programs that
 * inherit LD_PRELOAD never serve or ask anything, and notice us by a few microseconds. The first stream socket that
 * listens, accepts or connects activates the rest. */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "conn/conn.h"
#include "core/attr.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/exclude.h"
#include "core/glibc_floor.h"
#include "core/state.h"
#include "core/stats.h"
#include "core/sys.h"
#include "core/tsc.h"
#include "exporter/exporter.h"
#include "hooks/hook.h"
#include "hooks/real.h"
#include "preload/config_file.h"
#include "preload/fork.h"
#include "preload/module.h"
#include "preload/side_thread.h"

#define BOOT_WAIT_NS 20000000u /* for another thread that activates us; it takes a tenth of a millisecond */
#define BOOT_STOP_MS 500 /* a tenth of that as a rule; a host whose unshare() fails is worse off than one that waits */

/* Marks us for a second copy of ourselves: whoever comes first in the loader's order is the one that works. The
 * value is the version of that agreement. */
extern const int otelauto_loaded;
__attribute__((visibility("default"))) const int otelauto_loaded = 1;

static bool boot_is_second_copy(void)
{
	return oa_floor_is_before_us(OA_START_TEXT("otelauto_loaded"));
}

/* -- activation -- */

/* Name of the executable without its folder. returns NULL when it cannot be told */
static const char *boot_program_name(char *buf, size_t cap)
{
	static const char deleted[] = " (deleted)";
	long n = oa_sys3(SYS_readlink, "/proc/self/exe", buf, cap - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	buf[n] = '\0';
	if ((size_t)n > sizeof(deleted) - 1 && !strcmp(buf + n - (sizeof(deleted) - 1), deleted))
		buf[n - (long)(sizeof(deleted) - 1)] = '\0';
	slash = strrchr(buf, '/');
	return slash ? slash + 1 : buf;
}

static bool boot_is_excluded(void)
{
	char path[256]; /* longer ones are cut by the kernel: cannot be told then */
	const char *name = boot_program_name(path, sizeof(path));

	return name && oa_program_excluded(name);
}

static bool boot_start_modules(void)
{
	for (unsigned i = 0; i < oa_modules_count; i++)
		if (oa_modules[i].init && oa_modules[i].init() < 0)
			return false;
	return oa_fork_init() == 0;
}

/* Another thread is at it: a connection that went by meanwhile would never be seen. Not for ever, because that thread
 * may be the one that our signal handler interrupted. */
static bool boot_wait_for_activation(void)
{
	uint64_t until_ns = oa_now_ns() + BOOT_WAIT_NS;

	while (oa_state_get() == OA_STATE_READY && oa_now_ns() < until_ns)
		(void)oa_sys0(SYS_sched_yield);
	if (oa_state_get() == OA_STATE_READY)
		oa_stat_inc(OA_STAT_untracked_activation);
	return oa_state_get() == OA_STATE_ACTIVE;
}

static bool boot_activate(void)
{
	static _Atomic bool claimed;
	int ready = OA_STATE_READY;
	bool works;

	if (atomic_exchange(&claimed, true))
		return boot_wait_for_activation();
	works = oa_config_file_apply() && !boot_is_excluded() && boot_start_modules();
	if (works)
		oa_conn_want_side_thread = oa_side_thread_want;
	return atomic_compare_exchange_strong(&oa_state, &ready, works ? OA_STATE_ACTIVE : OA_STATE_OFF) && works;
}

/* -- standing down -- */

static void boot_stand_down(void)
{
	int state = OA_STATE_READY;

	if (atomic_compare_exchange_strong(&oa_state, &state, OA_STATE_OFF))
		return;
	if (state != OA_STATE_ACTIVE || !oa_hook_own_process())
		return;
	atomic_store(&oa_state, OA_STATE_OFF);
	oa_stat_inc(OA_STAT_standdown);
	(void)oa_side_thread_stop(BOOT_STOP_MS); /* too slow: then the host's call may fail, as with any thread */
	oa_clock_stop();
	oa_tsc_stop();
}

/* -- constructor, destructor -- */

__attribute__((constructor)) static void boot_begin(void)
{
	int new = OA_STATE_NEW, err = errno;

	oa_real_resolve();
	if (!environ || oa_config_disabled(environ) || getauxval(AT_SECURE) || boot_is_second_copy()) {
		atomic_store(&oa_state, OA_STATE_OFF);
	} else {
		oa_config_read(environ);
		oa_config_file_read(environ);
		oa_activate_fn = boot_activate;
		oa_hook_stand_down = boot_stand_down;
		oa_hook_yield_port = oa_scrape_yield;
		(void)atomic_compare_exchange_strong(&oa_state, &new, OA_STATE_READY);
	}
	errno = err;
}

/* A vfork child has nothing to do here. */
__attribute__((destructor)) static void boot_end(void)
{
	int err = errno;

	if (oa_hook_active() && oa_hook_own_process())
		oa_side_thread_flush((unsigned)oa_config.exit_flush);
	errno = err;
}
