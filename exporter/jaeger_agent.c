#define OA_LOG_DOMAIN "jaeger"
#include "exporter/jaeger_agent.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/sys.h"
#include "exporter/jaeger_thrift.h"
#include "exporter/loop.h"
#include "exporter/resolve.h"

#define AGENT_SPANS_MAX  (OA_JAEGER_PACKET_MAX / 40) /* no span is shorter */
#define AGENT_AGAIN_MS   5
#define AGENT_ADDR_NS    60000000000ull /* then the name is looked up again */
#define AGENT_RESOLVE_NS 1000000000ull

static struct {
	struct oa_addr addr; /* family 0: not known */
	uint64_t addr_until_ns;
	int fd;
	struct event *timer;
	uint32_t seq;
	struct oa_thrift process, span, list, packet;
	/* The batch under way: packets one behind the other, each behind its length and its number of spans. */
	uint8_t *packets;
	size_t len, cap, at;
	bool active;
	size_t sent, failed;
	uint64_t deadline_ns;
	uint64_t out; /* of oa_wire_set() */
	oa_batch_done_fn *done;
	void *arg;
} ag;

struct agent_packet {
	uint32_t len, spans;
};

/* -- packets -- */

static bool agent_keep(const struct oa_thrift *packet, unsigned spans)
{
	struct agent_packet head = { (uint32_t)packet->len, spans };
	size_t more = sizeof(head) + packet->len;

	if (ag.cap - ag.len < more) {
		size_t cap = (ag.cap ? 2 * ag.cap : OA_JAEGER_PACKET_MAX * 2) + more;
		uint8_t *mem = realloc(ag.packets, cap);

		if (!mem)
			return false;
		ag.packets = mem;
		ag.cap = cap;
	}
	memcpy(ag.packets + ag.len, &head, sizeof(head));
	memcpy(ag.packets + ag.len + sizeof(head), packet->mem, packet->len);
	ag.len += more;
	return true;
}

static void agent_finish_packet(unsigned spans)
{
	if (!spans)
		return;
	oa_thrift_reset(&ag.packet, true);
	oa_thrift_oneway(&ag.packet, "emitBatch", ag.seq++);
	oa_thrift_open(&ag.packet);
	oa_thrift_field(&ag.packet, 1, OA_THRIFT_STRUCT);
	oa_thrift_open(&ag.packet);
	oa_thrift_append(&ag.packet, ag.process.mem, ag.process.len);
	ag.packet.last_id[ag.packet.depth - 1] = 1;
	oa_thrift_field_list(&ag.packet, 2, spans);
	oa_thrift_append(&ag.packet, ag.list.mem, ag.list.len);
	oa_thrift_close(&ag.packet);
	oa_thrift_close(&ag.packet);
	if (ag.packet.failed || ag.list.failed || !agent_keep(&ag.packet, spans))
		ag.failed += spans;
	oa_thrift_reset(&ag.list, true);
}

static void agent_encode(const struct oa_batch *batch)
{
	const size_t head = 32; /* of the message and the structs around */
	unsigned spans = 0;

	oa_thrift_reset(&ag.process, true);
	oa_thrift_open(&ag.process);
	oa_jaeger_process(&ag.process, 1, &batch->who);
	oa_thrift_reset(&ag.list, true);
	for (size_t i = 0; i < batch->count; i++) {
		oa_thrift_reset(&ag.span, true);
		oa_jaeger_span(&ag.span, batch->spans[i]);
		if (ag.span.failed || head + ag.process.len + ag.span.len > OA_JAEGER_PACKET_MAX) {
			ag.failed++; /* larger than any packet */
			continue;
		}
		if (head + ag.process.len + ag.list.len + ag.span.len > OA_JAEGER_PACKET_MAX || spans == AGENT_SPANS_MAX) {
			agent_finish_packet(spans);
			spans = 0;
		}
		oa_thrift_append(&ag.list, ag.span.mem, ag.span.len);
		spans++;
	}
	agent_finish_packet(spans);
}

/* -- sending -- */

static void agent_settle(void)
{
	struct agent_packet head;

	for (; ag.at < ag.len; ag.at += sizeof(head) + head.len) {
		memcpy(&head, ag.packets + ag.at, sizeof(head));
		ag.failed += head.spans;
	}
	ag.active = false;
	if (ag.failed)
		oa_info("%u spans could not be sent to the agent", (unsigned)ag.failed);
	oa_stat_inc(ag.failed ? OA_STAT_export_errors : OA_STAT_export_requests);
	ag.done(ag.arg, ag.sent, 0, ag.failed);
}

static long agent_connect(void)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)oa_config.jaeger_agent_port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = v4.sin_port };

	ag.fd = oa_loop_fd_open(ag.addr.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0, NULL, NULL);
	if (ag.fd < 0)
		return ag.fd;
	memcpy(&v4.sin_addr, ag.addr.ip, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, ag.addr.ip, sizeof(v6.sin6_addr));
	if (ag.addr.family == 4)
		return oa_sys3(SYS_connect, ag.fd, &v4, sizeof(v4));
	return oa_sys3(SYS_connect, ag.fd, &v6, sizeof(v6));
}

static long agent_transmit(const uint8_t *packet, size_t len)
{
	long n;

	if (!oa_loop_fd_check(ag.fd) && (n = agent_connect()) < 0)
		return n;
	n = oa_sys6(SYS_sendto, ag.fd, (long)packet, (long)len, MSG_NOSIGNAL, 0, 0);
	if (n == -ECONNREFUSED) /* about an earlier one: this one was not looked at */
		n = oa_sys6(SYS_sendto, ag.fd, (long)packet, (long)len, MSG_NOSIGNAL, 0, 0);
	return n;
}

static bool agent_full(long err) { return err == -EAGAIN || err == -ENOBUFS; }

static void agent_push(void)
{
	const struct timeval again = { 0, AGENT_AGAIN_MS * 1000 };
	struct agent_packet head;

	oa_wire_set(&ag.out, true);
	for (; ag.at < ag.len; ag.at += sizeof(head) + head.len) {
		long n;

		memcpy(&head, ag.packets + ag.at, sizeof(head));
		n = agent_transmit(ag.packets + ag.at + sizeof(head), head.len);
		if (agent_full(n) && oa_now_ns() < ag.deadline_ns && evtimer_add(ag.timer, &again) == 0)
			return;
		if (n == (long)head.len)
			ag.sent += head.spans;
		else
			ag.failed += head.spans;
	}
	agent_settle();
}

static void agent_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	if (ag.active)
		agent_push();
}

static void agent_on_address(void *arg, int ret, const struct oa_addr *addr)
{
	(void)arg;
	if (ret == 0) {
		if (memcmp(&ag.addr, addr, sizeof(*addr)) != 0)
			oa_loop_fd_close(ag.fd);
		ag.addr = *addr;
		ag.addr_until_ns = oa_now_ns() + AGENT_ADDR_NS;
	}
	if (ag.addr.family) /* the one that was is better than none */
		agent_push();
	else
		agent_settle();
}

void oa_jaeger_agent_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	uint64_t now = oa_now_ns(), until = now + AGENT_RESOLVE_NS;
	const char *host = *oa_config.jaeger_agent_host ? oa_config.jaeger_agent_host : "localhost";

	ag.done = done;
	ag.arg = arg;
	ag.deadline_ns = deadline_ns;
	ag.active = true;
	ag.len = ag.at = ag.sent = ag.failed = 0;
	agent_encode(batch);
	if (ag.addr.family && now < ag.addr_until_ns)
		agent_push();
	else
		oa_resolve(host, until < deadline_ns ? until : deadline_ns, agent_on_address, NULL);
}

void oa_jaeger_agent_cancel(void)
{
	if (!ag.active)
		return;
	(void)evtimer_del(ag.timer);
	oa_resolve_cancel();
	agent_settle();
}

int oa_jaeger_agent_open(void)
{
	ag.timer = evtimer_new(oa_loop_base(), agent_on_timer, NULL);
	return ag.timer ? 0 : -ENOMEM;
}

void oa_jaeger_agent_forget(void)
{
	memset(&ag, 0, sizeof(ag));
	oa_resolve_forget();
}
