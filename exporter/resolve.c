#include "exporter/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <ares.h>
#include <event2/event.h>

#include "core/clock.h"
#include "exporter/exporter.h"

#define RESOLVE_LOOK_MS 10

static const struct timeval resolve_pause = { 0, RESOLVE_LOOK_MS * 1000 };

static struct {
	ares_channel channel; /* NULL: nothing under way */
	struct event *timer;
	uint64_t deadline_ns;
	oa_resolve_fn *done;
	void *arg;
	bool answered;
	int ret;
	struct oa_addr addr;
} rs;

static bool resolve_known(const char *host, struct oa_addr *ret)
{
	*ret = (struct oa_addr){ .family = 4 };
	if (oa_bytes_ieq(oa_bytes_str(host), OA_LIT("localhost")))
		return inet_pton(AF_INET, "127.0.0.1", ret->ip) == 1;
	if (inet_pton(AF_INET, host, ret->ip) == 1)
		return true;
	ret->family = 6;
	return inet_pton(AF_INET6, host, ret->ip) == 1;
}

static void resolve_on_host(void *arg, int status, int timeouts, struct hostent *host)
{
	(void)arg, (void)timeouts;
	if (rs.answered || status == ARES_EDESTRUCTION)
		return;
	rs.answered = true;
	rs.ret = -EHOSTUNREACH;
	if (status != ARES_SUCCESS || !host || !host->h_addr_list[0])
		return;
	rs.ret = 0;
	rs.addr = (struct oa_addr){ .family = host->h_addrtype == AF_INET ? 4 : 6 };
	memcpy(rs.addr.ip, host->h_addr_list[0], host->h_addrtype == AF_INET ? 4 : 16);
}

static void resolve_close(void)
{
	if (rs.timer)
		(void)evtimer_del(rs.timer);
	if (rs.channel)
		ares_destroy(rs.channel);
	rs.channel = NULL;
}

/* Its sockets do not block: all of them are simply tried. */
static void resolve_look(void)
{
	ares_socket_t socks[ARES_GETSOCK_MAXNUM];
	int mask = ares_getsock(rs.channel, socks, ARES_GETSOCK_MAXNUM);

	for (int i = 0; i < ARES_GETSOCK_MAXNUM && !rs.answered; i++)
		ares_process_fd(rs.channel, ARES_GETSOCK_READABLE(mask, i) ? socks[i] : ARES_SOCKET_BAD,
				ARES_GETSOCK_WRITABLE(mask, i) ? socks[i] : ARES_SOCKET_BAD);
}

static void resolve_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	if (!rs.channel)
		return;
	resolve_look();
	if (!rs.answered && oa_now_ns() < rs.deadline_ns && evtimer_add(rs.timer, &resolve_pause) == 0)
		return;
	resolve_close();
	rs.done(rs.arg, rs.answered ? rs.ret : -ETIMEDOUT, &rs.addr);
}

static int resolve_start(const char *host)
{
	struct ares_options options = { .timeout = 500, .tries = 2 };
	const struct timeval at_once = { 0, 0 };

	if (!rs.timer)
		rs.timer = evtimer_new(oa_loop_base(), resolve_on_timer, NULL);
	if (!rs.timer || ares_init_options(&rs.channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) != ARES_SUCCESS) {
		rs.channel = NULL;
		return -ENOMEM;
	}
	ares_gethostbyname(rs.channel, host, AF_UNSPEC, resolve_on_host, NULL);
	return evtimer_add(rs.timer, &at_once) ? -ENOMEM : 0;
}

void oa_resolve(const char *host, uint64_t deadline_ns, oa_resolve_fn *done, void *arg)
{
	struct oa_addr addr;
	int err;

	if (resolve_known(host, &addr)) {
		done(arg, 0, &addr);
		return;
	}
	if (rs.channel) {
		done(arg, -EBUSY, NULL);
		return;
	}
	rs = (__typeof__(rs)){ .timer = rs.timer, .deadline_ns = deadline_ns, .done = done, .arg = arg };
	err = resolve_start(host);
	if (!err)
		return;
	resolve_close();
	done(arg, err, NULL);
}

void oa_resolve_cancel(void) { resolve_close(); }

void oa_resolve_forget(void) { rs = (__typeof__(rs)){ 0 }; }
