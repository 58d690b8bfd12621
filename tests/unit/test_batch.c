/* Waiting spans and their export: pipeline/batch.c with two exporters made for the test. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/config.h"
#include "core/stats.h"
#include "core/tree.h"
#include "exporter/exporter.h"
#include "make_span.h"
#include "pipeline/batch.h"
#include "pipeline/processor.h"

#define LONG_PATH \
	"/a/path/that/is/long/enough/for/a/second/slot/0123456789/0123456789/0123456789/" \
	"0123456789"
#define LATER 1000000000000ull /* further than any schedule delay here */

extern const struct oa_processor oa_processor_batch;

struct fake {
	unsigned sends, spans;
	uint64_t sum; /* of req_body, by which the tests number their records */
	uint64_t deadline_ns;
	struct oa_proc_id who;
	oa_batch_done_fn *done; /* of what is under way */
	void *arg;
	size_t count;
	uint64_t out; /* of oa_wire_set() */
	bool at_once; /* settles inside send() */
	int open;     /* what open() gives */
};
static struct fake fakes[2];

static void fake_finish(struct fake *f, size_t ok, size_t rejected, size_t failed)
{
	oa_batch_done_fn *done = f->done;

	ck_assert_ptr_nonnull(done);
	f->done = NULL;
	done(f->arg, ok, rejected, failed);
}

static void fake_send(struct fake *f, const struct oa_batch *batch, uint64_t deadline_ns,
		      oa_batch_done_fn *done, void *arg)
{
	ck_assert_ptr_null(f->done);
	ck_assert_uint_gt(batch->count, 0);
	for (size_t i = 0; i < batch->count; i++) {
		f->sum += batch->spans[i]->req_body;
		check_str(batch->spans[i], OA_STR_PATH, LONG_PATH);
	}
	f->sends++;
	f->spans += (unsigned)batch->count;
	f->count = batch->count;
	f->who = batch->who;
	f->deadline_ns = deadline_ns;
	f->done = done;
	f->arg = arg;
	oa_wire_set(&f->out, true);
	if (f->at_once)
		fake_finish(f, batch->count, 0, 0);
}

static void fake_cancel(struct fake *f)
{
	if (f->done)
		fake_finish(f, 0, 0, f->count);
}

#define FAKE(i) \
	static int open_##i(void) { return fakes[i].open; } \
	static void send_##i(const struct oa_batch *b, uint64_t deadline, oa_batch_done_fn *done, \
			     void *arg) \
	{ \
		fake_send(&fakes[i], b, deadline, done, arg); \
	} \
	static void cancel_##i(void) { fake_cancel(&fakes[i]); } \
	static const struct oa_exporter exporter_##i = { \
		.name = "fake", .open = open_##i, .send = send_##i, .cancel = cancel_##i \
	};
FAKE(0)
FAKE(1)

const struct oa_exporter *const oa_exporters[] = { &exporter_0, &exporter_1, NULL };

static void fresh(uint32_t exporters, int64_t queue, int64_t batch)
{
	memset(fakes, 0, sizeof(fakes));
	oa_config.traces_exporter = exporters;
	oa_config.bsp_max_queue_size = queue;
	oa_config.bsp_max_export_batch_size = batch;
	oa_config.bsp_schedule_delay = 5000;
	oa_config.bsp_export_timeout = 1000;
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_tree_claim(), 0);
	atomic_store(&oa_self->start_ticks, oa_proc_ticks((uint32_t)getpid()));
	ck_assert_int_eq(oa_processor_batch.open(), 0);
}

static void add_for(const struct oa_proc_id *who, uint64_t number)
{
	make_span(OA_KIND_SERVER)->req_body = number;
	memcpy(made.s.span_id, &number, sizeof(made.s.span_id));
	make_str(OA_STR_TARGET, "/secret");
	made.s.str[OA_STR_TARGET] = (struct oa_strref){ 0 };
	make_str(OA_STR_PATH, LONG_PATH);
	ck_assert_int_eq(oa_processor_batch.on_span(&made, who), 0);
}

static void add(uint64_t number) { add_for(&oa_self->id, number); }

static void tick(uint64_t now_ns) { oa_processor_batch.on_tick(now_ns); }

START_TEST(spans_wait_for_a_full_batch)
{
	fresh(1, 100, 3);
	add(1);
	add(10);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sends, 0);
	ck_assert(oa_processor_batch.busy(UINT64_MAX));
	add(100);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sends, 1);
	ck_assert_uint_eq(fakes[0].sum, 111);
	ck_assert_uint_eq(fakes[0].who.pid, (uint32_t)getpid());
	ck_assert_uint_eq(fakes[1].sends, 0);
	fake_finish(&fakes[0], 3, 0, 0);
	ck_assert(!oa_processor_batch.busy(UINT64_MAX));
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_ok), 3);
}
END_TEST

START_TEST(or_for_the_schedule_delay)
{
	uint64_t before = oa_now_ns();

	fresh(1, 100, 3);
	ck_assert_uint_eq(oa_batch_due_ns(), UINT64_MAX);
	add(1);
	ck_assert_uint_ge(oa_batch_due_ns(), before + 5000000000);
	ck_assert_uint_le(oa_batch_due_ns(), oa_now_ns() + 5000000000);
	tick(oa_batch_due_ns() - 1);
	ck_assert_uint_eq(fakes[0].sends, 0);
	tick(oa_batch_due_ns());
	ck_assert_uint_eq(fakes[0].sends, 1);
	ck_assert_uint_eq(oa_batch_due_ns(), UINT64_MAX);
}
END_TEST

START_TEST(an_export_has_the_deadline_of_the_setting)
{
	fresh(1, 100, 1);
	add(1);
	tick(5);
	ck_assert_uint_eq(fakes[0].deadline_ns, 1000000005);
	fake_finish(&fakes[0], 1, 0, 0);
	oa_config.bsp_export_timeout = 0;
	add(1);
	tick(5);
	ck_assert_uint_eq(fakes[0].deadline_ns, UINT64_MAX);
}
END_TEST

START_TEST(one_export_at_a_time_and_the_next_when_all_are_done)
{
	fresh(3, 100, 2);
	for (unsigned i = 0; i < 5; i++)
		add(1);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].spans + fakes[1].spans, 4);
	fake_finish(&fakes[1], 2, 0, 0);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[1].sends, 1);
	ck_assert_uint_eq(oa_ring_used(oa_proc_queue(oa_self)), 10);
	fake_finish(&fakes[0], 2, 0, 0);
	ck_assert_uint_eq(oa_ring_used(oa_proc_queue(oa_self)), 6);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sends, 2);
	ck_assert_uint_eq(fakes[1].sends, 2);
}
END_TEST

START_TEST(an_exporter_that_answers_at_once_gets_batch_after_batch)
{
	fresh(1, 100, 2);
	fakes[0].at_once = true;
	for (unsigned i = 0; i < 7; i++)
		add(1);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].spans, 6);
	oa_processor_batch.flush();
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].spans, 7);
	ck_assert(!oa_processor_batch.busy(UINT64_MAX));
}
END_TEST

START_TEST(more_spans_than_the_ring_holds_go_through_it_in_order)
{
	uint64_t sum = 0;

	fresh(1, 50, 10);
	fakes[0].at_once = true;
	for (unsigned i = 1; i <= 5000; i++) {
		add(i);
		sum += i;
		if (i % 13 == 0)
			tick(oa_now_ns());
	}
	tick(LATER * 1000);
	ck_assert_uint_eq(fakes[0].spans, 5000);
	ck_assert_uint_eq(fakes[0].sum, sum);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_queue_full), 0);
}
END_TEST

START_TEST(a_full_queue_drops_the_newest_and_counts_it)
{
	fresh(1, 4, 2);
	for (unsigned i = 0; i < 4; i++)
		add(1);
	add(1000);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_queue_full), 1);
	fakes[0].at_once = true;
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sum, 4);
}
END_TEST

START_TEST(a_queue_larger_than_the_shared_piece_holds_what_was_asked_for)
{
	fresh(1, 6000, 512);
	for (unsigned i = 0; i < 6001; i++)
		add(1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_queue_full), 1);
	ck_assert_uint_eq(oa_ring_used(oa_proc_queue(oa_self)), OA_QUEUE_SLOTS);
}
END_TEST

START_TEST(spans_that_did_not_fit_the_shared_piece_move_up_in_order)
{
	uint64_t sum = 0;

	fresh(1, 20000, 100);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 1; i <= 15000; i++)
			add(i);
		sum += 15000ull * 15001 / 2;
		ck_assert_uint_eq(atomic_load(&oa_self->unsaved), 15000 - OA_QUEUE_SLOTS / 2);
		while (oa_processor_batch.busy(UINT64_MAX)) {
			uint64_t before = fakes[0].sum;
			unsigned first = fakes[0].spans % 15000 + 1;

			tick(LATER);
			ck_assert_uint_eq(fakes[0].sum - before, 100ull * first + 99 * 100 / 2);
			add(20000 + round); /* to the end */
			sum += 20000 + round;
			fake_finish(&fakes[0], 100, 0, 0);
			if (fakes[0].spans % 15000 == 0)
				break;
		}
		oa_processor_batch.flush();
		fakes[0].at_once = true;
		for (unsigned i = 0; i < 100; i++)
			tick(LATER);
		fakes[0].at_once = false;
		ck_assert_uint_eq(fakes[0].sum, sum);
		fakes[0].spans = 0;
	}
	ck_assert_uint_eq(atomic_load(&oa_self->unsaved), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_queue_full), 0);
}
END_TEST

START_TEST(unsampled_spans_and_no_exporter_leave_the_queue_empty)
{
	fresh(1u << 31, 100, 1);
	add(1);
	ck_assert(!oa_processor_batch.busy(UINT64_MAX));
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_export_failed), 0);
	oa_processor_batch.forget();
	oa_config.traces_exporter = 1;
	ck_assert_int_eq(oa_processor_batch.open(), 0);
	make_span(OA_KIND_SERVER)->flags &= ~OA_SPAN_SAMPLED;
	oa_processor_batch.on_span(&made, &oa_self->id);
	ck_assert(!oa_processor_batch.busy(UINT64_MAX));
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_queue_full), 0);
}
END_TEST

START_TEST(an_exporter_that_cannot_open_does_not_stop_the_other)
{
	oa_processor_batch.forget();
	fresh(3, 100, 1);
	oa_processor_batch.forget();
	fakes[0].open = -1;
	ck_assert_int_eq(oa_processor_batch.open(), 0);
	add(1);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sends, 0);
	ck_assert_uint_eq(fakes[1].sends, 1);
}
END_TEST

START_TEST(spans_that_no_exporter_takes_are_counted)
{
	fresh(1, 100, 1);
	oa_processor_batch.forget();
	fakes[0].open = -1;
	ck_assert_int_eq(oa_processor_batch.open(), 0);
	add(1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_export_failed), 1);
}
END_TEST

START_TEST(what_became_of_spans_is_counted)
{
	fresh(1, 100, 6);
	for (unsigned i = 0; i < 6; i++)
		add(1);
	tick(oa_now_ns());
	fake_finish(&fakes[0], 3, 2, 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_ok), 3);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_rejected), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_failed), 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_export_rejected), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_export_failed), 1);
}
END_TEST

START_TEST(bytes_that_no_text_refers_to_are_not_queued)
{
	const struct oa_span *s;
	struct oa_span_buf scratch;
	struct oa_ring *q;

	fresh(1, 100, 6);
	add(1);
	q = oa_proc_queue(oa_self);
	s = oa_ring_peek(q, &scratch);
	ck_assert_ptr_nonnull(s);
	ck_assert_ptr_null(memmem(s, s->bytes, "/secret", 7));
	check_str(s, OA_STR_PATH, LONG_PATH);
}
END_TEST

START_TEST(at_the_end_what_is_under_way_and_what_waits_is_lost_and_counted)
{
	fresh(1, 100, 2);
	for (unsigned i = 0; i < 5; i++)
		add(1);
	oa_processor_batch.flush();
	tick(oa_now_ns());
	oa_batch_end();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exit), 3);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_unknown), 2); /* they may have arrived */
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_failed), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_export_failed), 0);
	ck_assert(!oa_processor_batch.busy(UINT64_MAX));
}
END_TEST

START_TEST(what_waited_for_the_next_attempt_at_the_end_is_lost_and_counted)
{
	fresh(1, 100, 2);
	add(1);
	add(1);
	tick(oa_now_ns());
	oa_wire_set(&fakes[0].out, false);
	oa_batch_end();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exit), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_failed), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_unknown), 0);
	ck_assert(!oa_processor_batch.busy(UINT64_MAX));
}
END_TEST

START_TEST(what_one_exporter_delivered_is_never_as_if_it_had_not_been)
{
	fresh(3, 100, 2);
	add(1);
	add(1);
	tick(oa_now_ns());
	fake_finish(&fakes[0], 2, 0, 0);
	oa_wire_set(&fakes[1].out, false); /* the other one tries again later */
	ck_assert_uint_eq(atomic_load(&oa_self->wire), OA_WIRE_OUT);
	oa_batch_end();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_ok), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_unknown), 2);
}
END_TEST

START_TEST(what_is_on_its_way_by_one_exporter_is_so_whatever_the_other_one_says)
{
	fresh(3, 100, 2);
	add(1);
	add(1);
	tick(oa_now_ns());
	oa_wire_set(&fakes[1].out, false); /* could not connect */
	ck_assert_uint_eq(atomic_load(&oa_self->wire), OA_WIRE_OUT);
	oa_wire_set(&fakes[1].out, true);
	oa_wire_set(&fakes[1].out, false);
	oa_wire_set(&fakes[1].out, false);
	ck_assert_uint_eq(atomic_load(&oa_self->wire), OA_WIRE_OUT);
	oa_wire_set(&fakes[0].out, false);
	ck_assert_uint_eq(atomic_load(&oa_self->wire), OA_WIRE_WAITS);
	fake_finish(&fakes[0], 0, 0, 2);
	fake_finish(&fakes[1], 0, 0, 2);
	add(1);
	add(1);
	tick(oa_now_ns());
	ck_assert_uint_eq(atomic_load(&oa_self->wire), OA_WIRE_OUT); /* the next one begins anew */
}
END_TEST

/* -- several processes -- */

static pid_t worker(void (*act)(int fd), int *ret_fd)
{
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		oa_processor_batch.forget();
		oa_tree_forget();
		if (oa_tree_claim() < 0 || oa_processor_batch.open() < 0)
			_exit(1);
		atomic_store(&oa_self->start_ticks, oa_proc_ticks((uint32_t)getpid()));
		act(fds[1]);
		kill(getpid(), SIGKILL);
	}
	close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

static struct oa_proc *slot_of(pid_t pid)
{
	for (unsigned i = 0; i < OA_PROCS_MAX; i++)
		if (atomic_load(&oa_tree->procs[i].pid) == (uint32_t)pid)
			return &oa_tree->procs[i];
	ck_abort_msg("no slot");
}

static void queue_three(int fd)
{
	add(1);
	add(10);
	add(100);
	/* and is killed in the middle of a fourth */
	atomic_fetch_add(&oa_proc_queue(oa_self)->head, 2);
}

static void queue_one_and_stay(int fd)
{
	add(1000);
	if (write(fd, "", 1) == 1)
		pause();
}

/* Killed while it took a delivered span off its queue. */
static void queue_three_deliver_one(int fd)
{
	struct oa_ring *q;

	queue_three(fd);
	q = oa_proc_queue(oa_self);
	memset(q->mem, 0, 4);
}

static struct oa_proc *dead_worker(void (*act)(int fd))
{
	int fd, status;
	pid_t pid = worker(act, &fd);
	struct oa_proc *slot;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	close(fd);
	slot = slot_of(pid);
	atomic_store(&slot->state, OA_PROC_ORPHAN); /* pipeline/adopt.c does */
	return slot;
}

START_TEST(the_queue_of_a_dead_process_is_exported_under_its_identity)
{
	struct oa_proc *slot;
	struct oa_proc_id id;

	fresh(1, 100, 2);
	slot = dead_worker(queue_three);
	id = slot->id;
	ck_assert(oa_batch_can_adopt());
	oa_batch_adopt(slot);
	add_for(&slot->id, 1000); /* from one of its rings */
	oa_batch_adopted(slot);
	fakes[0].at_once = true;
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sum, 1111);
	ck_assert_mem_eq(&fakes[0].who, &id, sizeof(id));
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_FREE);
	ck_assert(!oa_processor_batch.busy(UINT64_MAX));
}
END_TEST

START_TEST(a_process_killed_while_it_took_spans_off_its_queue_loses_none_behind)
{
	struct oa_proc *slot;

	fresh(1, 100, 10);
	slot = dead_worker(queue_three_deliver_one);
	oa_batch_adopt(slot);
	oa_batch_adopted(slot);
	fakes[0].at_once = true;
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sum, 110);
}
END_TEST

static void queue_two(int fd)
{
	add(1);
	add(10);
}

/* pipeline/drain.c gives the record that was being processed to the next process. */
START_TEST(a_span_that_was_queued_when_its_process_died_is_not_queued_again)
{
	struct oa_proc *slot;

	fresh(1, 100, 10);
	slot = dead_worker(queue_two);
	oa_batch_adopt(slot);
	add_for(&slot->id, 10);
	add_for(&slot->id, 100);
	oa_batch_adopted(slot);
	fakes[0].at_once = true;
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].sum, 111);
	ck_assert_uint_eq(fakes[0].spans, 3);
}
END_TEST

static void queue_two_send_one(int fd)
{
	oa_config.bsp_max_export_batch_size = 1;
	queue_two(fd);
	tick(LATER);
}

static void queue_two_retry_one(int fd)
{
	queue_two_send_one(fd);
	oa_wire_set(&fakes[0].out, false); /* exporter/http_post.c, between two attempts */
}

static void queue_two_deliver_both(int fd)
{
	queue_two_send_one(fd);
	fake_finish(&fakes[0], 1, 0, 0);
	tick(LATER);
	fake_finish(&fakes[0], 1, 0, 0);
	add(100);
}

static void check_inherited(void (*act)(int fd), uint64_t sum, unsigned lost)
{
	struct oa_proc *slot;

	fresh(1, 100, 1);
	slot = dead_worker(act);
	oa_batch_adopt(slot);
	oa_batch_adopted(slot);
	fakes[0].at_once = true;
	tick(LATER);
	ck_assert_uint_eq(fakes[0].sum, sum);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_unknown), lost);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_FREE);
}

START_TEST(spans_that_may_have_arrived_when_their_process_died_are_lost_not_doubled)
{
	check_inherited(queue_two_send_one, 10, 1);
}
END_TEST

START_TEST(spans_that_waited_for_the_next_attempt_are_sent_by_the_heir)
{
	check_inherited(queue_two_retry_one, 11, 0);
}
END_TEST

START_TEST(spans_that_were_delivered_are_not_sent_by_the_heir)
{
	check_inherited(queue_two_deliver_both, 100, 0);
}
END_TEST

static void queue_many(int fd)
{
	for (unsigned i = 1; i <= 3000; i++)
		add(i);
}

START_TEST(of_a_large_queue_what_is_in_the_shared_piece_survives)
{
	struct oa_proc *slot;
	unsigned kept = OA_QUEUE_SLOTS / 2;

	fresh(1, 100000, 5000);
	slot = dead_worker(queue_many);
	ck_assert_uint_eq(atomic_load(&slot->unsaved), 3000 - kept); /* pipeline/adopt.c counts them */
	oa_batch_adopt(slot);
	oa_batch_adopted(slot);
	fakes[0].at_once = true;
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].spans, kept);
	ck_assert_uint_eq(fakes[0].sum, (uint64_t)kept * (kept + 1) / 2);
}
END_TEST

START_TEST(a_slot_is_released_only_when_its_queue_is_empty)
{
	struct oa_proc *slot;

	fresh(1, 100, 2);
	slot = dead_worker(queue_three);
	oa_batch_adopt(slot);
	oa_batch_adopted(slot);
	tick(oa_now_ns());
	ck_assert_uint_eq(fakes[0].spans, 2);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_ORPHAN);
	fake_finish(&fakes[0], 2, 0, 0);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_ORPHAN);
	tick(oa_now_ns());
	fake_finish(&fakes[0], 1, 0, 0);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_FREE);
}
END_TEST

START_TEST(without_an_exporter_a_dead_process_is_released_at_once)
{
	struct oa_proc *slot;

	fresh(1, 100, 2);
	slot = dead_worker(queue_three);
	oa_processor_batch.forget();
	oa_batch_adopt(slot);
	oa_batch_adopted(slot);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_FREE);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_export_failed), 3);
}
END_TEST

START_TEST(at_the_end_a_living_process_of_the_tree_inherits_what_waits)
{
	int fd, status;
	pid_t pid;
	char byte;

	fresh(1, 100, 10);
	pid = worker(queue_one_and_stay, &fd);
	ck_assert_int_eq(read(fd, &byte, 1), 1);
	add(1);
	oa_batch_end();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exit), 0);
	ck_assert_uint_eq(oa_ring_used(oa_proc_queue(oa_self)), 2);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	oa_batch_end();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exit), 1);
}
END_TEST

/* Of three spans two are on their way, to be tried again later or not. */
static void end_with_heir(bool out, unsigned unknown, unsigned left)
{
	int fd, status;
	pid_t pid;
	char byte;

	fresh(1, 100, 2);
	pid = worker(queue_one_and_stay, &fd);
	ck_assert_int_eq(read(fd, &byte, 1), 1);
	add(1);
	add(1);
	add(1);
	tick(oa_now_ns());
	oa_wire_set(&fakes[0].out, out);
	oa_batch_end();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_export_unknown), unknown);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exit), 0);
	ck_assert_uint_eq(oa_ring_used(oa_proc_queue(oa_self)), 2 * left);
	ck_assert_uint_eq(atomic_load(&oa_self->flight_end), 0);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

START_TEST(at_the_end_a_batch_that_waits_for_its_next_attempt_is_left_to_the_heir)
{
	end_with_heir(false, 0, 3);
}
END_TEST

START_TEST(at_the_end_a_batch_on_its_way_is_not_left_to_the_heir) { end_with_heir(true, 2, 1); }
END_TEST

START_TEST(only_so_many_dead_are_taken_on_at_a_time)
{
	static struct oa_proc procs[99];
	unsigned n = 0;

	fresh(1, 100, 10);
	while (oa_batch_can_adopt() && n < 99) {
		procs[n].queue_unit = -1;
		oa_batch_adopt(&procs[n++]);
	}
	ck_assert_uint_eq(n, 64);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("batch");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, spans_wait_for_a_full_batch);
	tcase_add_test(tc, or_for_the_schedule_delay);
	tcase_add_test(tc, an_export_has_the_deadline_of_the_setting);
	tcase_add_test(tc, one_export_at_a_time_and_the_next_when_all_are_done);
	tcase_add_test(tc, an_exporter_that_answers_at_once_gets_batch_after_batch);
	tcase_add_test(tc, more_spans_than_the_ring_holds_go_through_it_in_order);
	tcase_add_test(tc, a_full_queue_drops_the_newest_and_counts_it);
	tcase_add_test(tc, a_queue_larger_than_the_shared_piece_holds_what_was_asked_for);
	tcase_add_test(tc, spans_that_did_not_fit_the_shared_piece_move_up_in_order);
	tcase_add_test(tc, unsampled_spans_and_no_exporter_leave_the_queue_empty);
	tcase_add_test(tc, an_exporter_that_cannot_open_does_not_stop_the_other);
	tcase_add_test(tc, spans_that_no_exporter_takes_are_counted);
	tcase_add_test(tc, what_became_of_spans_is_counted);
	tcase_add_test(tc, bytes_that_no_text_refers_to_are_not_queued);
	tcase_add_test(tc, at_the_end_what_is_under_way_and_what_waits_is_lost_and_counted);
	tcase_add_test(tc, what_waited_for_the_next_attempt_at_the_end_is_lost_and_counted);
	tcase_add_test(tc, what_one_exporter_delivered_is_never_as_if_it_had_not_been);
	tcase_add_test(tc, what_is_on_its_way_by_one_exporter_is_so_whatever_the_other_one_says);
	tcase_add_test(tc, the_queue_of_a_dead_process_is_exported_under_its_identity);
	tcase_add_test(tc, a_process_killed_while_it_took_spans_off_its_queue_loses_none_behind);
	tcase_add_test(tc, a_span_that_was_queued_when_its_process_died_is_not_queued_again);
	tcase_add_test(tc, spans_that_may_have_arrived_when_their_process_died_are_lost_not_doubled);
	tcase_add_test(tc, spans_that_waited_for_the_next_attempt_are_sent_by_the_heir);
	tcase_add_test(tc, spans_that_were_delivered_are_not_sent_by_the_heir);
	tcase_add_test(tc, of_a_large_queue_what_is_in_the_shared_piece_survives);
	tcase_add_test(tc, a_slot_is_released_only_when_its_queue_is_empty);
	tcase_add_test(tc, without_an_exporter_a_dead_process_is_released_at_once);
	tcase_add_test(tc, at_the_end_a_living_process_of_the_tree_inherits_what_waits);
	tcase_add_test(tc, at_the_end_a_batch_that_waits_for_its_next_attempt_is_left_to_the_heir);
	tcase_add_test(tc, at_the_end_a_batch_on_its_way_is_not_left_to_the_heir);
	tcase_add_test(tc, only_so_many_dead_are_taken_on_at_a_time);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
