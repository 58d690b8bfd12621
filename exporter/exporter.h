#pragma once
/* Where finished spans and metrics leave the process. All of it runs on the side thread, which owns one
 * event loop (exporter/loop.c: libevent with its poll backend, curl's multi interface on top), so a slow
 * collector never keeps the rings from being emptied. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/span.h"
#include "core/tree.h"

struct event_base;

/* -- loop.c -- */
/* Creates the loop. returns 0 or -errno. */
int oa_loop_open(void);
/* Serves timers, sockets and transfers; comes back after at most max_wait_ms, earlier only when there was
 * something to do. returns whether there was */
bool oa_loop_turn(unsigned max_wait_ms);
/* A transfer is under way: its answer should be met in the loop. */
bool oa_loop_awaits(void);
/* And nothing but answers is awaited: all requests have gone out. */
bool oa_loop_has_sent(void);
/* In a forked child: forgets (leaks) everything the parent opened without touching it. */
void oa_loop_forget(void);
struct event_base *oa_loop_base(void);

/* -- what an exporter is -- */
struct oa_batch {
	const struct oa_span *const *spans; /* finished records (pipeline/ has set name, route, start_unix_ns) */
	size_t count;
	struct oa_proc_id who;              /* process that made them */
};

/* Called once when a batch is settled: sent, or given up.
 * ok: spans accepted; rejected: refused by the receiver for good (partial success); failed: given up */
typedef void oa_batch_done_fn(void *arg, size_t ok, size_t rejected, size_t failed);

/* Says whether a request with the batch is on its way, so that nobody knows whether it arrived: true when it goes
 * out, false when it has failed (a batch begins so). Should the process be killed meanwhile, the others of the tree send
 * the batch in its place only when no exporter has it on its way. For the batch under way.
 * out: the caller's memory of what it said last, 0 at first */
void oa_wire_set(uint64_t *out, bool on);
/* For pipeline/batch.c: whose batch it is, NULL none; one exporter has delivered it. */
void oa_wire_begin(struct oa_proc *owner);
void oa_wire_arrived(void);

struct oa_exporter {
	const char *name; /* value of OTEL_TRACES_EXPORTER */
	/* Reads its settings. returns 0 or -errno; says one clear line when a setting is bad. */
	int (*open)(void);
	/* Starts sending. The batch is borrowed for the time of the call only (encode, then return); `done` may
	 * be called before it returns. One batch at a time. Owns its retries until deadline_ns (monotonic). */
	void (*send)(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg);
	/* Gives up what is under way: `done` is called with it as failed. */
	void (*cancel)(void);
	/* Child after fork: forget state without touching it. */
	void (*forget)(void);
};

/* By index of the choices of OTEL_TRACES_EXPORTER (exporters.def), NULL at the end. */
extern const struct oa_exporter *const oa_exporters[];

/* -- scrape.c: the metrics endpoint -- */
/* Called about once a second: takes or keeps the leadership of the tree and its port, yields it when the
 * host wants it, writes the service-discovery file. */
void oa_scrape_tick(void);
void oa_scrape_forget(void);
/* At the end of the process: service-discovery file removed, leadership and port given up at once. Does nothing in a
 * child that has not forgotten. runs on any thread; signal-safe: yes; locks: none; heap: no; blocks: no */
void oa_scrape_bye(void);
/* Host is about to bind `port`: if our listener holds it, it is closed before this returns.
 * runs on   host thread; signal-safe: yes; locks: none; heap: no; blocks: at most 50 ms when another process
 *           of the tree holds it */
void oa_scrape_yield(uint16_t port);

/* -- ship.c -- */
/* How many have a batch, but will do nothing with it before until_ns: their receiver is away. */
unsigned oa_ship_pausing(uint64_t until_ns);
/* Whether batches that cannot be sent are kept on disk. */
bool oa_ship_keeps(void);
/* At the end: from now on batches are not sent but kept. */
void oa_ship_end(void);

/* -- metrics_push.c -- */
/* At the end: metrics are pushed once more, if that is wanted of this process. */
void oa_metrics_push_flush(void);
/* Is one under way that may be over by then? */
bool oa_metrics_push_busy(uint64_t until_ns);

/* -- resource, made by pipeline/resource.c -- */
struct oa_attr { const char *key; const char *str; int64_t num; bool is_num; };
/* Attributes of this process' resource, without the per-process ones of struct oa_proc_id (process.pid,
 * service.instance.id, process.creation.time …), which exporters take from batch->who. */
const struct oa_attr *oa_resource_attrs(size_t *ret_count);
