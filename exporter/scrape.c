/* Who answers scrapes for a process tree: one process, the leader (core/lead.h). A new one takes the
 * same port. The leader gives a port up at once when the host wants it, in whichever process of the
 * tree. */
#include "exporter/scrape.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/doze.h"
#include "core/lead.h"
#include "core/stats.h"
#include "core/sys.h"
#include "core/tree.h"
#include "exporter/exporter.h"
#include "exporter/metrics_push.h"
#include "exporter/prom_text.h"

#define OA_LOG_DOMAIN "scrape"
#include "core/log.h"

#define SCRAPE_PORTS      100 /* tried from the configured one upwards */
#define SCRAPE_SAME_TRIES 5   /* ticks to insist on the port of a leader that died */
#define SCRAPE_AVOID_MAX  8   /* ports the host took from us */
#define SCRAPE_YIELD_NS   50000000ull

static struct oa_scrape_addr scrape_addr;
static bool scrape_ready;
static unsigned scrape_misses;
static uint16_t scrape_avoid[SCRAPE_AVOID_MAX];
static unsigned scrape_avoid_count;

/* The listener. A host thread that yields looks at it: the identity is written before the number.
 */
static _Atomic int scrape_fd; /* 0 none */
static _Atomic dev_t scrape_dev;
static _Atomic ino_t scrape_ino;

/* -- the port -- */

static void scrape_close(void)
{
	int fd = atomic_exchange(&scrape_fd, 0);

	oa_scrape_http_stop();
	if (fd)
		oa_loop_fd_close(fd);
}

static void scrape_on_lost(void *arg, int fd)
{
	(void)arg, (void)fd;
	scrape_close(); /* the next tick opens it again */
}

static int scrape_try(unsigned port)
{
	struct stat st;
	int fd, err;

	for (unsigned i = 0; i < scrape_avoid_count; i++)
		if (port && port == scrape_avoid[i])
			return -EADDRINUSE;
	fd = oa_scrape_listen(&scrape_addr, port, scrape_on_lost, &port);
	if (fd < 0)
		return fd;
	err = (int)oa_sys2(SYS_fstat, fd, &st);
	if (!err)
		err = oa_scrape_http_start(fd);
	if (err) {
		oa_loop_fd_close(fd);
		return err;
	}
	scrape_dev = st.st_dev;
	scrape_ino = st.st_ino;
	atomic_store(&oa_tree->port, port);
	atomic_store(&scrape_fd, fd);
	scrape_misses = 0;
	oa_info("metrics on port %u", port);
	return 0;
}

static int scrape_search(void)
{
	unsigned first = (unsigned)oa_config.prometheus_port;
	int err = scrape_try(first);

	for (unsigned i = 1;
	     first && err == -EADDRINUSE && i < SCRAPE_PORTS && first + i <= UINT16_MAX; i++)
		err = scrape_try(first + i);
	return err;
}

static void scrape_open(void)
{
	unsigned port = atomic_load(&oa_tree->port);
	int err = port ? scrape_try(port) : -EADDRINUSE;

	/* A dying leader may hold it for a moment. */
	if (err && (!port || scrape_misses >= SCRAPE_SAME_TRIES))
		err = scrape_search();
	if (!err)
		return;
	scrape_misses++;
	oa_stat_inc(OA_STAT_listen_failures);
	oa_info("no port for the metrics endpoint: errno %d", -err);
}

/* -- giving the port up -- */

/* No FUTEX_PRIVATE_FLAG: the word is in shared memory. */
static void scrape_futex(int op, uint32_t value, const struct timespec *timeout)
{
	(void)oa_sys6(SYS_futex, (long)&oa_tree->yield_port, op, value, (long)timeout, 0,
		      0); /* looked at again */
}

void oa_scrape_look_at_yield(void)
{
	uint32_t wanted = oa_tree ? atomic_load(&oa_tree->yield_port) : 0;

	if (!wanted || !oa_lead_has())
		return;
	if (wanted == atomic_load(&oa_tree->port)) {
		scrape_avoid[scrape_avoid_count++ % SCRAPE_AVOID_MAX] = (uint16_t)wanted;
		if (scrape_avoid_count > SCRAPE_AVOID_MAX)
			scrape_avoid_count = SCRAPE_AVOID_MAX;
		scrape_close();
		atomic_store(&oa_tree->port, 0);
	}
	atomic_store(&oa_tree->yield_port, 0);
	scrape_futex(FUTEX_WAKE, INT32_MAX, NULL);
}

void oa_scrape_on_listener_error(void)
{
	oa_scrape_look_at_yield();
	/* Shut down for an end that has come, or no descriptors left to accept with: it would be
	 * ready for ever. */
	scrape_close();
}

/* A listener that is shut down wakes the poll() of its side thread; closing it would not, and the
 * port would stay taken until that poll() ends. */
static bool scrape_wake_own(void)
{
	int fd = atomic_load(&scrape_fd);
	struct stat st;

	if (!fd || oa_sys2(SYS_fstat, fd, &st) || st.st_dev != scrape_dev || st.st_ino != scrape_ino)
		return false; /* the side thread has a table of its own */
	(void)oa_sys2(SYS_shutdown, fd, SHUT_RDWR); /* fails when it was shut down before */
	return true;
}

/* Out of reach, in another process or in a table of its own: a connection wakes it. */
static void scrape_wake_other(uint16_t port)
{
	struct oa_scrape_addr to;
	long fd;

	(void)oa_scrape_addr_parse(&to,
				   oa_config.prometheus_host); /* falls back as the leader did */
	to.v4.sin_port = htons(port);
	fd = oa_sys3(SYS_socket, to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)oa_sys3(SYS_connect, fd, &to.sa, to.len); /* what matters is the attempt */
	(void)oa_sys1(SYS_close, fd);
}

void oa_scrape_yield(uint16_t port)
{
	uint64_t now = oa_now_ns(), until = now + SCRAPE_YIELD_NS;
	uint32_t leader;

	if (!oa_tree || !port || atomic_load(&oa_tree->port) != port)
		return;
	leader = atomic_load(&oa_tree->leader_pid);
	if (!leader || oa_sys2(SYS_kill, leader, 0) == -ESRCH)
		return;
	atomic_store(&oa_tree->yield_port, port);
	oa_doze_end_of(leader);
	if (leader != (uint32_t)oa_sys0(SYS_getpid) || !scrape_wake_own())
		scrape_wake_other(port);
	/* When time is up the wish stays: the host may try again. */
	for (; now < until && atomic_load(&oa_tree->yield_port) == port; now = oa_now_ns()) {
		struct timespec left = { 0, (long)(until - now) };

		scrape_futex(FUTEX_WAIT, port, &left);
	}
}

/* -- entry points -- */

static void scrape_set_up(void)
{
	if (scrape_ready)
		return;
	if (oa_scrape_addr_parse(&scrape_addr, oa_config.prometheus_host) < 0)
		oa_warn("OTEL_EXPORTER_PROMETHEUS_HOST=%.64s is no IP address: using 127.0.0.1",
			oa_config.prometheus_host);
	scrape_ready = true;
}

void oa_scrape_tick(void)
{
	char target[INET6_ADDRSTRLEN + 16];

	if (!oa_loop_base() || !oa_config.metrics_exporter || oa_config.metrics_exporter >> 31)
		return;
	if (!(oa_config.metrics_exporter & 1)) { /* only pushed */
		if (oa_lead_take())
			oa_metrics_push_tick(oa_now_ns());
		return;
	}
	scrape_set_up();
	if (!oa_lead_take()) {
		if (atomic_load(&scrape_fd))
			scrape_close();
		return;
	}
	oa_metrics_push_tick(oa_now_ns());
	oa_scrape_look_at_yield();
	if (!atomic_load(&scrape_fd))
		scrape_open();
	if (!atomic_load(&scrape_fd))
		return;
	oa_scrape_target(target, sizeof(target), &scrape_addr, atomic_load(&oa_tree->port));
	oa_scrape_sd_update(target, oa_now_ns());
}

void oa_scrape_forget(void)
{
	int fd;

	oa_scrape_bye(); /* when this is no child but the end of our side thread: others may take
			    over */
	fd = atomic_exchange(&scrape_fd, 0);
	if (fd)
		oa_loop_fd_close(fd);
	oa_lead_forget();
	scrape_ready = false;
	scrape_misses = 0;
	oa_scrape_http_forget();
	oa_scrape_sd_forget();
	oa_prom_forget();
	oa_metrics_push_forget();
}

void oa_scrape_bye(void)
{
	if (!oa_lead_asked())
		return;
	oa_scrape_sd_remove();
	(void)scrape_wake_own();
	oa_lead_give();
}
