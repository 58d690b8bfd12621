/* One getrusage for what only grows (the kernel sums it over the threads, which /proc/self/status
 * does not do for context switches), /proc/self/stat for sizes and threads, and the number of open
 * descriptors. Whatever cannot be read stays 0 and is then not exported. */
#include "pipeline/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/stats.h"
#include "core/sys.h"
#include "core/tree.h"

#define USAGE_PERIOD_NS 1000000000ull
#define USAGE_SIZE_NS   10000000000ull /* in a process that does nothing */
#define USAGE_STILL_US  1000           /* our own thread's ticks are less */
#define USAGE_PAGE      4096
#define USAGE_FDS_CALLS \
	64 /* of getdents64 with 4 KiB: some 10 000 descriptors; more are not counted */

struct usage_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

static uint64_t usage_last_ns, usage_sized_ns;
static uint64_t usage_former[OA_USAGE_CUMULATIVE]; /* of the processes that had our slot before */

/* What former owners of the slot used stays in the sum, so that it never falls. */
static void usage_take_over(void)
{
	bool shared = oa_tree && oa_self >= oa_tree->procs &&
		      oa_self < oa_tree->procs + OA_PROCS_MAX;

	for (unsigned u = 0; u < OA_USAGE_CUMULATIVE; u++)
		usage_former[u] =
			shared ? atomic_load_explicit(&oa_self->usage[u], memory_order_relaxed) : 0;
}

static void usage_set(enum oa_usage u, uint64_t value)
{
	if (u < OA_USAGE_CUMULATIVE)
		value += usage_former[u];
	atomic_store_explicit(&oa_self->usage[u], value, memory_order_relaxed);
}

static uint64_t usage_us(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

/* returns whether the process may have changed its size since it was asked last: not without a page fault, nor its threads
 * without any time on a processor */
static bool usage_cumulative(void)
{
	static uint64_t faults, cpu_us;
	struct rusage r;
	bool moved;

	if (oa_sys2(SYS_getrusage, RUSAGE_SELF, &r) < 0)
		return true;
	usage_set(OA_USAGE_CPU_USER_US, usage_us(r.ru_utime));
	usage_set(OA_USAGE_CPU_SYSTEM_US, usage_us(r.ru_stime));
	usage_set(OA_USAGE_SWITCH_VOLUNTARY, (uint64_t)r.ru_nvcsw);
	usage_set(OA_USAGE_SWITCH_INVOLUNTARY, (uint64_t)r.ru_nivcsw);
	usage_set(OA_USAGE_FAULT_MAJOR, (uint64_t)r.ru_majflt);
	usage_set(OA_USAGE_FAULT_MINOR, (uint64_t)r.ru_minflt);
	moved = (uint64_t)r.ru_minflt != faults || usage_us(r.ru_utime) + usage_us(r.ru_stime) - cpu_us > USAGE_STILL_US;
	if (moved) {
		faults = (uint64_t)r.ru_minflt;
		cpu_us = usage_us(r.ru_utime) + usage_us(r.ru_stime);
	}
	return moved;
}

/* Numeric field of /proc/self/stat, counted from 1; `p` stands at field 3, behind the command's
 * bracket. */
static uint64_t usage_field(const char *p, unsigned field)
{
	uint64_t value = 0;

	for (unsigned i = 3; i < field && *p; p++)
		i += *p == ' ';
	while (*p >= '0' && *p <= '9')
		value = value * 10 + (uint64_t)(*p++ - '0');
	return value;
}

static void usage_sizes(void)
{
	char buf[1024];
	const char *p;

	if (oa_sys_read_file("/proc/self/stat", buf, sizeof(buf)) <= 0 ||
	    !(p = strrchr(buf, ')')) || !p[1])
		return;
	usage_set(OA_USAGE_THREADS, usage_field(p + 2, 20));
	usage_set(OA_USAGE_VIRTUAL_BYTES, usage_field(p + 2, 23));
	usage_set(OA_USAGE_RSS_BYTES, usage_field(p + 2, 24) * USAGE_PAGE);
}

static uint64_t usage_count_entries(const char *buf, long len)
{
	uint64_t count = 0;

	for (long at = 0; at < len;) {
		const struct usage_dirent *d = (const void *)(buf + at);

		count += d->name[0] != '.';
		at += d->bytes;
	}
	return count;
}

/* Before Linux 6.2 the size of the directory is 0 and its entries have to be counted. */
static uint64_t usage_fds(void)
{
	static char buf[4096] __attribute__((aligned(8)));
	struct stat st;
	uint64_t count = 0;
	long fd, n;

	if (oa_sys4(SYS_newfstatat, AT_FDCWD, "/proc/self/fd", &st, 0) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	fd = oa_sys4(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	for (unsigned i = 0; i < USAGE_FDS_CALLS; i++) {
		n = oa_sys3(SYS_getdents64, fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		count += usage_count_entries(buf, n);
	}
	(void)oa_sys1(SYS_close, fd); /* was only read */
	return count ? count - 1 : 0;
}

void oa_usage_tick(uint64_t now_ns)
{
	if (!oa_self || (usage_last_ns && now_ns - usage_last_ns < USAGE_PERIOD_NS))
		return;
	if (!usage_last_ns)
		usage_take_over();
	usage_last_ns = now_ns;
	if (usage_cumulative() || now_ns - usage_sized_ns >= USAGE_SIZE_NS) {
		usage_sized_ns = now_ns;
		usage_sizes();
	}
	usage_set(OA_USAGE_FDS, usage_fds());
	oa_stat_settle();
}

void oa_usage_forget(void) { usage_last_ns = usage_sized_ns = 0; }
