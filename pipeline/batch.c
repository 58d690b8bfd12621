/* Groups of sampled spans for the exporters. They leave their queue only when every exporter is
 * done with them. Each source (this process, and dead ones being emptied) has its own, because a
 * batch has one identity. */
#include "pipeline/batch.h"

#include <errno.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/stats.h"
#include "core/sys.h"
#include "exporter/exporter.h"
#include "pipeline/processor.h"
#include "pipeline/queue.h"

#define BATCH_SOURCES   65 /* ourselves and as many dead processes at a time */
#define BATCH_EXPORTERS 8
#define BATCH_PER_TICK \
	8 /* exporters that answer at once do not keep the rings from being emptied */
#define BATCH_LIST_NONE (1u << 31)

struct batch_source {
	struct oa_queue queue; /* queue.proc NULL: free */
	struct oa_proc_id id;
	uint64_t due_ns; /* when its spans are sent if they do not fill a batch before */
	bool complete;   /* dead process: nothing more will come */
};

static struct batch_source batch_sources[BATCH_SOURCES]; /* [0] is this process */
static const struct oa_exporter *batch_exporters[BATCH_EXPORTERS];
static unsigned batch_exporter_count;
static bool batch_wanted = true; /* by the settings */
static const struct oa_span **batch_spans;
static uint32_t batch_max, batch_queue_max;
static uint64_t batch_delay_ns;
static bool batch_flushing, batch_ending;
static unsigned batch_turn; /* source to look at first */

static struct {
	struct batch_source *source; /* NULL: none under way */
	struct oa_queue_take take;
	unsigned pending; /* exporters not done, and one while they are being started */
	size_t cancelled; /* spans given up at the end */
} batch_flight;

static void batch_open_exporters(void)
{
	batch_wanted = !(oa_config.traces_exporter & BATCH_LIST_NONE);
	if (!batch_wanted)
		return;
	for (unsigned i = 0; oa_exporters[i] && batch_exporter_count < BATCH_EXPORTERS; i++)
		if ((oa_config.traces_exporter >> i & 1) &&
		    (!oa_exporters[i]->open || oa_exporters[i]->open() == 0))
			batch_exporters[batch_exporter_count++] = oa_exporters[i];
}

static int batch_open(void)
{
	batch_queue_max = (uint32_t)oa_config.bsp_max_queue_size;
	batch_max = (uint32_t)oa_config.bsp_max_export_batch_size;
	batch_delay_ns = (uint64_t)oa_config.bsp_schedule_delay * 1000000;
	batch_exporter_count = 0;
	batch_open_exporters();
	if (!batch_exporter_count)
		return 0;
	if (!batch_spans)
		batch_spans = oa_sys_map(batch_max * sizeof(*batch_spans), 0);
	if (!batch_spans || !oa_self) {
		batch_exporter_count = 0;
		return -ENOMEM;
	}
	batch_sources[0] = (struct batch_source){ .id = oa_self->id };
	oa_queue_open(&batch_sources[0].queue, batch_queue_max);
	return 0;
}

static struct batch_source *batch_source_of(const struct oa_proc_id *who)
{
	for (unsigned i = 0; i < BATCH_SOURCES; i++)
		if (batch_sources[i].queue.proc && &batch_sources[i].queue.proc->id == who)
			return &batch_sources[i];
	return NULL;
}

static int batch_on_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	struct batch_source *src;

	if (!batch_wanted || !(span->s.flags & OA_SPAN_SAMPLED))
		return 0;
	if (!batch_exporter_count) {
		oa_stat_inc(OA_STAT_drop_export_failed);
		span->s.flags |= OA_SPAN_LOST;
		return 0;
	}
	src = batch_source_of(who);
	if (src && oa_queue_has(&src->queue, &span->s))
		return 0;
	if (!src || src->queue.waiting >= batch_queue_max || !oa_queue_put(&src->queue, &span->s)) {
		oa_stat_inc(OA_STAT_drop_queue_full);
		span->s.flags |= OA_SPAN_LOST;
		return 0;
	}
	if (src->queue.waiting == 1)
		src->due_ns = src == batch_sources ? oa_now_ns() + batch_delay_ns : 0;
	return 0;
}

void oa_batch_put(struct oa_span_buf *span, const struct oa_proc_id *who) { (void)batch_on_span(span, who); }

static void batch_release_source(struct batch_source *src)
{
	struct oa_proc *p = src->queue.proc;

	memset(src, 0, sizeof(*src));
	oa_proc_release(p);
}

static bool batch_has_heir(void)
{
	for (unsigned i = 0; i < OA_PROCS_MAX; i++) {
		struct oa_proc *p = &oa_tree->procs[i];

		if (p != oa_self && atomic_load(&p->state) == OA_PROC_LIVE && !oa_proc_dead(p))
			return true;
	}
	return false;
}

/* Spans given up at the end have arrived, or not, or another process sends them. */
static bool batch_is_left_to_heir(size_t count)
{
	if (!count)
		return false;
	if (atomic_load(&batch_flight.source->queue.proc->wire) == OA_WIRE_OUT) {
		oa_stat_add(OA_STAT_export_unknown, count);
		return false;
	}
	if (batch_flight.source->queue.proc->queue_unit >= 0 && batch_has_heir())
		return true;
	oa_stat_add(OA_STAT_export_failed, count);
	oa_stat_add(OA_STAT_drop_exit, count);
	return false;
}

static void batch_settle(void)
{
	struct batch_source *src = batch_flight.source;

	if (--batch_flight.pending)
		return;
	if (batch_is_left_to_heir(batch_flight.cancelled))
		oa_queue_put_back(&src->queue);
	else
		oa_queue_settle(&src->queue, &batch_flight.take);
	src->due_ns = src == batch_sources ? oa_now_ns() + batch_delay_ns : 0;
	batch_flight.source = NULL;
	oa_wire_begin(NULL);
	if (src->complete && !src->queue.waiting)
		batch_release_source(src);
}

static void batch_done(void *arg, size_t ok, size_t rejected, size_t failed)
{
	(void)arg;
	oa_stat_add(OA_STAT_export_ok, ok);
	oa_stat_add(OA_STAT_export_rejected, rejected);
	oa_stat_add(OA_STAT_drop_export_rejected, rejected);
	if (ok || rejected)
		oa_wire_arrived();
	if (batch_ending && failed > batch_flight.cancelled)
		batch_flight.cancelled = failed;
	if (!batch_ending) {
		oa_stat_add(OA_STAT_export_failed, failed);
		oa_stat_add(OA_STAT_drop_export_failed, failed);
	}
	batch_settle();
}

static void batch_send(struct batch_source *src, uint64_t now_ns)
{
	uint64_t timeout_ns = (uint64_t)oa_config.bsp_export_timeout * 1000000;
	struct oa_batch batch = { .spans = batch_spans, .who = src->id };

	batch_flight.take = oa_queue_take(&src->queue, batch_spans, batch_max);
	batch.count = batch_flight.take.count;
	batch_flight.source = src;
	batch_flight.cancelled = 0;
	oa_wire_begin(src->queue.proc);
	batch_flight.pending = 1;
	for (unsigned i = 0; batch.count && i < batch_exporter_count; i++) {
		batch_flight.pending++;
		batch_exporters[i]->send(&batch, timeout_ns ? now_ns + timeout_ns : UINT64_MAX,
					 batch_done, NULL);
	}
	batch_settle();
}

static bool batch_due(const struct batch_source *src, uint64_t now_ns)
{
	return src->queue.waiting &&
	       (batch_flushing || src->queue.waiting >= batch_max || now_ns >= src->due_ns);
}

/* The next source that has something to send, each in turn. */
static struct batch_source *batch_pick(uint64_t now_ns)
{
	for (unsigned i = 0; i < BATCH_SOURCES; i++) {
		struct batch_source *src = &batch_sources[batch_turn];

		batch_turn = (batch_turn + 1) % BATCH_SOURCES;
		if (batch_due(src, now_ns))
			return src;
	}
	return NULL;
}

static void batch_on_tick(uint64_t now_ns)
{
	for (unsigned i = 0; i < BATCH_PER_TICK && !batch_flight.source; i++) {
		struct batch_source *src = batch_pick(now_ns);

		if (!src)
			break;
		batch_send(src, now_ns);
	}
}

/* A receiver that is away is not asked again before then. */
static bool batch_pauses(uint64_t until_ns)
{
	return batch_flight.source && batch_flight.pending == oa_ship_pausing(until_ns);
}

static bool batch_busy(uint64_t until_ns)
{
	if (batch_pauses(until_ns))
		return false;
	for (unsigned i = 0; i < BATCH_SOURCES; i++)
		if (batch_sources[i].queue.waiting)
			return true;
	return batch_flight.source != NULL;
}

static void batch_flush(void) { batch_flushing = true; }

/* The parent's: its exporters' state, its queue, the dead it was emptying. */
static void batch_forget(void)
{
	for (unsigned i = 0; i < batch_exporter_count; i++)
		if (batch_exporters[i]->forget)
			batch_exporters[i]->forget();
	batch_exporter_count = 0;
	memset(batch_sources, 0, sizeof(batch_sources));
	memset(&batch_flight, 0, sizeof(batch_flight));
	oa_wire_begin(NULL);
	batch_flushing = batch_ending = false;
}

uint64_t oa_batch_due_ns(void)
{
	uint64_t due = UINT64_MAX;

	if (batch_flight.source)
		return due;
	for (unsigned i = 0; i < BATCH_SOURCES; i++) {
		const struct batch_source *src = &batch_sources[i];

		if (src->queue.waiting && (src->queue.waiting >= batch_max || src->due_ns < due))
			due = src->queue.waiting >= batch_max ? 0 : src->due_ns;
	}
	return due;
}

bool oa_batch_queues(void)
{
	uint32_t waiting = 0;

	for (unsigned i = 0; i < BATCH_SOURCES; i++)
		waiting += batch_sources[i].queue.waiting;
	return batch_flight.source && waiting >= batch_flight.take.records + batch_max;
}

static struct batch_source *batch_source_free(void)
{
	for (unsigned i = 1; i < BATCH_SOURCES; i++)
		if (!batch_sources[i].queue.proc)
			return &batch_sources[i];
	return NULL;
}

bool oa_batch_can_adopt(void) { return batch_source_free() != NULL; }

void oa_batch_adopt(struct oa_proc *p)
{
	struct batch_source *src = batch_source_free();

	*src = (struct batch_source){ .id = p->id };
	oa_queue_inherit(&src->queue, p);
}

unsigned oa_batch_waiting(const struct oa_proc *p)
{
	const struct batch_source *src = batch_source_of(&p->id);

	return src ? src->queue.waiting : 0;
}

void oa_batch_adopted(struct oa_proc *p)
{
	struct batch_source *src = batch_source_of(&p->id);

	src->complete = true;
	if (!batch_exporter_count && src->queue.waiting) {
		oa_stat_add(OA_STAT_drop_export_failed, src->queue.waiting);
		src->queue.waiting = 0;
	}
	if (!src->queue.waiting)
		batch_release_source(src);
}

/* With a spool what was not sent goes there: then every batch is settled at once. */
static void batch_keep_all(void)
{
	if (!oa_ship_keeps())
		return;
	oa_ship_end();
	for (unsigned i = 0; i < BATCH_SOURCES; i++)
		while (batch_sources[i].queue.waiting && !batch_flight.source)
			batch_send(&batch_sources[i], oa_now_ns());
}

void oa_batch_end(void)
{
	bool heir = batch_has_heir();

	batch_ending = true;
	for (unsigned i = 0; batch_flight.source && i < batch_exporter_count; i++)
		if (batch_exporters[i]->cancel)
			batch_exporters[i]->cancel();
	batch_keep_all();
	for (unsigned i = 0; i < BATCH_SOURCES; i++)
		if (batch_sources[i].queue.waiting)
			oa_stat_add(OA_STAT_drop_exit,
				    oa_queue_abandon(&batch_sources[i].queue, heir));
}

const struct oa_processor oa_processor_batch = {
	.name = "batch",
	.open = batch_open,
	.on_span = batch_on_span,
	.on_tick = batch_on_tick,
	.busy = batch_busy,
	.flush = batch_flush,
	.forget = batch_forget,
};
