/* Rings to processors, ours and those of dead processes: pipeline/drain.c and adopt.c. The
 * processors are replaced by one that notes what it sees; batch.h by one that notes what is
 * adopted. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/lead.h"
#include "core/stats.h"
#include "core/sys.h"
#include "core/tree.h"
#include "make_span.h"
#include "pipeline/batch.h"
#include "pipeline/drain.h"
#include "pipeline/processor.h"
#include "sampler/sampler.h"

static struct {
	unsigned count;
	uint64_t sum; /* of req_body, by which the tests number their records */
	uint64_t unix_ns;
	struct oa_proc_id who;
	int result;
} seen;
static struct oa_proc *adopted;

/* What the processors of all processes of a test did. */
static struct shared {
	_Atomic unsigned noted, prepared, counted;
	_Atomic int kill_note, kill_prepare, kill_count; /* so many processes end in the processor */
} *shared;

static uint64_t order; /* of the records, as digits */

static bool is_to_die(_Atomic int *left) { return atomic_load(left) > 0 && atomic_fetch_sub(left, 1) > 0; }

static int note_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	seen.count++;
	seen.sum += span->s.req_body;
	order = order * 10 + span->s.req_body;
	seen.unix_ns = span->s.start_unix_ns;
	seen.who = *who;
	if (is_to_die(&shared->kill_note))
		kill(getpid(), SIGKILL);
	atomic_fetch_add(&shared->noted, 1);
	return seen.result;
}

static unsigned after_count;

static int note_after(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	after_count++;
	return 0;
}

static int count_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	if (is_to_die(&shared->kill_count))
		kill(getpid(), SIGKILL);
	atomic_fetch_add(&shared->counted, 1);
	return 0;
}

static void count_prepare(const struct oa_span *span)
{
	if (is_to_die(&shared->kill_prepare))
		kill(getpid(), SIGKILL);
	atomic_fetch_add(&shared->prepared, 1);
}

static const struct oa_processor count = {
	.name = "count", .prepare = count_prepare, .on_span = count_span, .counts = true
};
static const struct oa_processor note = { .name = "note", .on_span = note_span };
static const struct oa_processor tick_only = { .name = "tick_only" };
static const struct oa_processor after = { .name = "after", .on_span = note_after };
const struct oa_processor *const oa_processors[] = { &tick_only, &note, &after, &count, NULL };

bool oa_batch_can_adopt(void) { return true; }

void oa_batch_adopt(struct oa_proc *p) { adopted = p; }

unsigned oa_batch_waiting(const struct oa_proc *p) { return 0; }

void oa_batch_adopted(struct oa_proc *p)
{
	ck_assert_ptr_eq(adopted, p);
	oa_proc_release(p);
}

static void fresh_in_tree(void)
{
	ck_assert_int_eq(oa_tree_claim(), 0);
	atomic_store(&oa_self->start_ticks, oa_proc_ticks((uint32_t)getpid()));
	shared = oa_sys_map(sizeof(*shared), 1);
	ck_assert_ptr_nonnull(shared);
	memset(&seen, 0, sizeof(seen));
	after_count = 0;
	adopted = NULL;
}

static void fresh(void)
{
	ck_assert_int_eq(oa_tree_map(), 0);
	fresh_in_tree();
}

static void push(struct oa_ring *r, uint64_t number)
{
	make_span(OA_KIND_SERVER)->req_body = number;
	make_str(OA_STR_TARGET, "/a/path/that/makes/the/record/longer/than/one/"
				"slot?and=more&of=it&0123456789=0123456789");
	ck_assert(oa_ring_push(r, &made.s));
}

/* Reserves a record like a thread that is killed before it wrote it. */
static void push_unfinished(struct oa_ring *r, unsigned slots)
{
	atomic_fetch_add(&r->head, slots);
}

START_TEST(every_shard_is_emptied_and_records_get_wall_time)
{
	uint64_t before = oa_unix_now_ns();

	fresh();
	for (unsigned i = 0; i < oa_self->shards; i++)
		push(oa_proc_ring(oa_self, i), 1);
	push(oa_proc_ring(oa_self, 0), 10);
	ck_assert_uint_eq(oa_drain_own(1), oa_self->shards + 1);
	ck_assert_uint_eq(seen.count, oa_self->shards + 1);
	ck_assert_uint_eq(seen.sum, oa_self->shards + 10);
	ck_assert_uint_ge(seen.unix_ns, before - 1000000000);
	ck_assert_uint_le(seen.unix_ns, oa_unix_now_ns() + 1000000000);
	ck_assert_uint_eq(seen.who.pid, (uint32_t)getpid());
	ck_assert_uint_eq(oa_drain_own(1), 0);
}
END_TEST

static void push_ended(unsigned shard, uint64_t digit, uint64_t end_ns)
{
	make_span(OA_KIND_SERVER)->req_body = digit;
	made.s.start_ns = end_ns - 5;
	made.s.duration_ns = 5;
	ck_assert(oa_ring_push(oa_proc_ring(oa_self, shard), &made.s));
}

/* A call's record on one CPU, its request's on another: the tail rule needs them in this order. */
START_TEST(with_the_tail_rule_records_come_in_the_order_in_which_they_ended)
{
	uint64_t now = oa_now_ns();

	fresh();
	if (oa_self->shards < 2)
		return;
	oa_sampler_tail = true;
	order = 0;
	push_ended(0, 2, now + 20);
	push_ended(0, 4, now + 40);
	push_ended(0, 6, now + 60);
	push_ended(1, 1, now + 10);
	push_ended(1, 3, now + 30);
	push_ended(1, 5, now + 50);
	ck_assert_uint_eq(oa_drain_own(now + 45), 4); /* the newest wait for what may not have been written yet */
	ck_assert_uint_eq(order, 1234);
	ck_assert_uint_eq(oa_drain_own(now + 100), 2);
	ck_assert_uint_eq(order, 123456);
	push_ended(1, 9, now + 100000000000); /* broken: not for ever */
	ck_assert_uint_eq(oa_drain_own(now + 100), 1);
}
END_TEST

START_TEST(more_records_than_the_ring_holds_go_around_its_end_intact)
{
	fresh();
	for (unsigned i = 1; i <= 10000; i++) {
		push(oa_proc_ring(oa_self, 0), i);
		if (i % 7 == 0)
			oa_drain_own(1);
	}
	oa_drain_own(1);
	ck_assert_uint_eq(seen.count, 10000);
	ck_assert_uint_eq(seen.sum, 10000ull * 10001 / 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_full), 0);
}
END_TEST

START_TEST(what_a_full_ring_refused_is_counted_once)
{
	struct oa_ring *r;
	unsigned pushed = 0;

	fresh();
	r = oa_proc_ring(oa_self, 0);
	make_span(OA_KIND_SERVER);
	while (oa_ring_push(r, &made.s))
		pushed++;
	ck_assert(!oa_ring_push(r, &made.s));
	ck_assert_uint_eq(oa_drain_own(1), pushed);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_full), 2);
	oa_drain_own(1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_full), 2);
}
END_TEST

START_TEST(a_processor_can_end_the_way_of_a_record)
{
	fresh();
	push(oa_proc_ring(oa_self, 0), 1);
	oa_drain_own(1);
	ck_assert_uint_eq(after_count, 1);
	seen.result = -ECANCELED;
	push(oa_proc_ring(oa_self, 0), 1);
	oa_drain_own(1);
	ck_assert_uint_eq(after_count, 1);
}
END_TEST

START_TEST(a_record_that_cannot_be_is_dropped_and_counted)
{
	fresh();
	make_span(OA_KIND_SERVER);
	made.s.str[OA_STR_HOST] = (struct oa_strref){ 1000, 60000 };
	ck_assert(oa_ring_push(oa_proc_ring(oa_self, 0), &made.s));
	make_span(OA_KIND_SERVER)->method = 200;
	ck_assert(oa_ring_push(oa_proc_ring(oa_self, 0), &made.s));
	make_span(OA_KIND_SERVER)->what = 0;
	ck_assert(oa_ring_push(oa_proc_ring(oa_self, 0), &made.s));
	push(oa_proc_ring(oa_self, 0), 4);
	oa_drain_own(1);
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_uint_eq(seen.sum, 4);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_stalled), 3);
}
END_TEST

START_TEST(a_record_with_any_text_outside_of_it_is_dropped)
{
	fresh();
	for (unsigned i = 0; i < OA_STR_COUNT; i++) {
		make_span(OA_KIND_SERVER);
		made.s.str[i] = (struct oa_strref){ sizeof(made.s) - 1, 1 };
		ck_assert(oa_ring_push(oa_proc_ring(oa_self, 0), &made.s));
		made.s.str[i] = (struct oa_strref){ made.s.bytes, 1 };
		ck_assert(oa_ring_push(oa_proc_ring(oa_self, 0), &made.s));
		made.s.str[i] = (struct oa_strref){ 40000, 40000 };
		ck_assert(oa_ring_push(oa_proc_ring(oa_self, 0), &made.s));
		made.s.str[i] = (struct oa_strref){ 60000, 0 }; /* none */
		ck_assert(oa_ring_push(oa_proc_ring(oa_self, 0), &made.s));
	}
	ck_assert_uint_eq(oa_drain_own(1), OA_STR_COUNT * 4);
	ck_assert_uint_eq(seen.count, OA_STR_COUNT);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_stalled), OA_STR_COUNT * 3);
}
END_TEST

START_TEST(a_ring_that_stays_stalled_is_replaced_and_what_is_behind_saved)
{
	struct oa_ring *r;

	fresh();
	r = oa_proc_ring(oa_self, 0);
	push(r, 1);
	push_unfinished(r, 2);
	push(r, 10);
	push_unfinished(r, 1);
	push_unfinished(r, 3);
	push(r, 100);
	ck_assert_uint_eq(oa_drain_own(1000000000), 1);
	ck_assert_uint_eq(oa_drain_own(2999999999), 0);
	ck_assert_ptr_eq(oa_proc_ring(oa_self, 0), r);
	ck_assert_uint_eq(oa_drain_own(3000000001), 2);
	ck_assert_uint_eq(seen.sum, 111);
	ck_assert_ptr_ne(oa_proc_ring(oa_self, 0), r);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_stalled), 2);
	push(oa_proc_ring(oa_self, 0), 1000);
	ck_assert_uint_eq(oa_drain_own(3000000002), 1);
	ck_assert_uint_eq(seen.sum, 1111);
}
END_TEST

START_TEST(a_ring_that_is_only_slow_is_kept)
{
	struct oa_ring *r;
	uint64_t head;

	fresh();
	r = oa_proc_ring(oa_self, 0);
	for (uint64_t now = 1000000000; now < 9000000000; now += 1900000000) {
		head = atomic_load(&r->head);
		push_unfinished(r, 1);
		oa_drain_own(now);
		/* it is finished late, and the next one begun */
		atomic_store(&r->head, head);
		push(r, 1);
	}
	ck_assert_ptr_eq(oa_proc_ring(oa_self, 0), r);
	oa_drain_own(9000000000);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_stalled), 0);
}
END_TEST

/* A worker that takes a slot, leaves records in it and is killed. */
static struct oa_proc *dead_worker(void (*leave)(void))
{
	struct oa_proc *slot = NULL;
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		oa_tree_forget();
		if (oa_tree_claim() < 0)
			_exit(1);
		atomic_store(&oa_self->start_ticks, oa_proc_ticks((uint32_t)getpid()));
		leave();
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	for (unsigned i = 0; i < OA_PROCS_MAX; i++)
		if (atomic_load(&oa_tree->procs[i].pid) == (uint32_t)pid)
			slot = &oa_tree->procs[i];
	ck_assert_ptr_nonnull(slot);
	return slot;
}

static void leave_records(void)
{
	struct oa_ring *r = oa_proc_ring(oa_self, 0);

	push(r, 1);
	push_unfinished(r, 2);
	push(r, 10);
	push_unfinished(r, 1);
	atomic_store(&oa_self->active_server[OA_METHOD_GET][0], 3);
	atomic_store(&oa_self->usage[OA_USAGE_CPU_USER_US], 500);
	atomic_store(&oa_self->usage[OA_USAGE_RSS_BYTES], 4096);
	oa_stat_inc(OA_STAT_conns_server);
}

static void leave_nothing(void) {}

static void lead(void) { atomic_store(&oa_tree->leader_pid, atomic_load(&oa_self->pid)); }

START_TEST(the_leader_empties_the_rings_of_a_killed_worker_under_its_name)
{
	struct oa_proc *slot;
	uint32_t pid;

	fresh();
	lead();
	slot = dead_worker(leave_records);
	pid = slot->id.pid;
	ck_assert_uint_eq(oa_adopt_tick(), 2);
	ck_assert_uint_eq(seen.sum, 11);
	ck_assert_uint_eq(seen.who.pid, pid);
	ck_assert_ptr_eq(adopted, slot);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_orphans), 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_stalled), 2);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_FREE);
	ck_assert_int_eq(slot->queue_unit, -1);
}
END_TEST

START_TEST(counters_of_the_dead_stay_and_gauges_go)
{
	struct oa_proc *slot;

	fresh();
	lead();
	slot = dead_worker(leave_records);
	oa_adopt_tick();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_conns_server), 1);
	ck_assert_int_eq(atomic_load(&slot->active_server[OA_METHOD_GET][0]), 0);
	ck_assert_uint_eq(atomic_load(&slot->usage[OA_USAGE_CPU_USER_US]), 500);
	ck_assert_uint_eq(atomic_load(&slot->usage[OA_USAGE_RSS_BYTES]), 0);
}
END_TEST

START_TEST(a_worker_that_died_with_nothing_is_no_orphan)
{
	struct oa_proc *slot;

	fresh();
	lead();
	slot = dead_worker(leave_nothing);
	ck_assert_uint_eq(oa_adopt_tick(), 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_orphans), 0);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_FREE);
}
END_TEST

START_TEST(whoever_comes_leads_when_the_leader_is_dead)
{
	struct oa_proc *slot;

	fresh();
	slot = dead_worker(leave_records);
	atomic_store(&oa_tree->leader_pid, slot->id.pid);
	ck_assert_uint_eq(oa_adopt_tick(), 2);
	ck_assert_ptr_eq(adopted, slot);
	ck_assert(oa_lead_has());
}
END_TEST

START_TEST(nobody_adopts_who_gave_the_lead_up)
{
	fresh();
	lead();
	ck_assert_uint_eq(oa_adopt_tick(), 0);
	oa_lead_give();
	(void)dead_worker(leave_records);
	ck_assert_uint_eq(oa_adopt_tick(), 0);
	ck_assert_uint_eq(atomic_load(&oa_tree->leader_pid), 0);
}
END_TEST

static void stay(int fd)
{
	char byte;

	if (oa_tree_claim() == 0)
		atomic_store(&oa_self->start_ticks, oa_proc_ticks((uint32_t)getpid()));
	_exit(read(fd, &byte, 1) != 1);
}

/* As a parent does that has neither slot nor side thread. */
START_TEST(orphans_need_us_only_when_nobody_else_is_there)
{
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert(!oa_adopt_is_wanted());
	(void)dead_worker(leave_nothing);
	ck_assert(oa_adopt_is_wanted());
	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
		stay(fds[0]);
	while (!atomic_load(&oa_tree->procs[1].start_ticks))
		usleep(1000);
	ck_assert(!oa_adopt_is_wanted());
	ck_assert_int_eq(write(fds[1], "", 1), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(oa_adopt_is_wanted());
}
END_TEST

START_TEST(a_worker_killed_while_it_took_its_slot_leaves_it_to_others)
{
	struct oa_proc *slot, *other;
	int units = 0;

	fresh();
	lead();
	slot = dead_worker(leave_records);
	other = dead_worker(leave_records);
	/* The state in between: it has some units, and what the slot says of them is a former owner's. */
	atomic_store(&slot->state, OA_PROC_CLAIMED);
	memcpy(slot->ring_unit, other->ring_unit, sizeof(slot->ring_unit));
	slot->queue_unit = other->queue_unit;
	ck_assert_uint_eq(oa_adopt_tick(), 2); /* the other's */
	ck_assert_ptr_eq(adopted, other);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_FREE);
	ck_assert_uint_eq(atomic_load(&slot->pid), 0);
	for (uint32_t i = 0; i < oa_tree->units; i++)
		units += atomic_load(&oa_tree->unit_owner[i]) == (uint32_t)(slot - oa_tree->procs) + 1;
	ck_assert_int_eq(units, 0);
}
END_TEST

START_TEST(only_the_leader_adopts_and_nobody_who_lives)
{
	struct oa_proc *slot;

	fresh();
	slot = dead_worker(leave_records);
	atomic_store(&oa_tree->leader_pid, (uint32_t)getppid());
	ck_assert_uint_eq(oa_adopt_tick(), 0);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_LIVE);
	lead();
	oa_adopt_tick();
	ck_assert_uint_eq(atomic_load(&oa_self->state), OA_PROC_LIVE);
	ck_assert_ptr_eq(adopted, slot);
}
END_TEST

/* A worker whose side thread reads three records and is killed on the way, if the test says so. */
static void leave_while_draining(void)
{
	push(oa_proc_ring(oa_self, 0), 1);
	push(oa_proc_ring(oa_self, 0), 10);
	push(oa_proc_ring(oa_self, 0), 100);
	oa_drain_own(1);
}

static struct oa_proc *dies_draining(int in_note, int in_count)
{
	fresh();
	atomic_store(&shared->kill_note, in_note);
	atomic_store(&shared->kill_count, in_count);
	return dead_worker(leave_while_draining);
}

START_TEST(a_record_whose_process_died_over_it_is_done_by_the_next)
{
	dies_draining(1, 0);
	lead();
	ck_assert_uint_eq(oa_adopt_tick(), 3);
	ck_assert_uint_eq(atomic_load(&shared->noted), 3);
	ck_assert_uint_eq(atomic_load(&shared->counted), 3);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_died), 0);
}
END_TEST

START_TEST(a_record_whose_process_died_before_it_was_counted_is_counted_by_the_next)
{
	fresh();
	atomic_store(&shared->kill_prepare, 1);
	dead_worker(leave_while_draining);
	lead();
	ck_assert_uint_eq(oa_adopt_tick(), 3);
	ck_assert_uint_eq(atomic_load(&shared->prepared), 3);
	ck_assert_uint_eq(atomic_load(&shared->counted), 3);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_died), 0);
}
END_TEST

START_TEST(a_record_that_may_be_counted_is_not_counted_again)
{
	dies_draining(0, 1);
	lead();
	ck_assert_uint_eq(oa_adopt_tick(), 3);
	ck_assert_uint_eq(atomic_load(&shared->noted), 3);
	ck_assert_uint_eq(atomic_load(&shared->counted), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_died), 1);
}
END_TEST

START_TEST(a_record_that_killed_twice_is_given_up)
{
	struct oa_proc *slot = dies_draining(2, 0);
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		oa_tree_forget();
		if (oa_tree_claim() < 0)
			_exit(1);
		lead();
		oa_adopt_tick(); /* dies over it too */
		_exit(1);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_uint_eq(atomic_load(&slot->state), OA_PROC_ORPHAN);
	lead();
	oa_adopt_tick();
	ck_assert_uint_eq(atomic_load(&shared->noted), 2);
	ck_assert_uint_eq(atomic_load(&shared->counted), 2);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_died), 1);
}
END_TEST

static void leave_in_private_memory(void)
{
	for (unsigned i = 0; i < 8; i++) {
		make_span(OA_KIND_SERVER);
		if (!oa_tree_push(&made.s))
			_exit(1);
		if (i == 2)
			oa_drain_own(1);
	}
}

START_TEST(records_that_die_with_the_memory_of_their_process_are_counted_as_lost)
{
	struct oa_proc *slot;

	ck_assert_int_eq(oa_tree_map(), 0);
	for (unsigned i = 0; i < OA_UNITS; i++)
		atomic_store(&oa_tree->unit_owner[i], 1);
	fresh_in_tree();
	slot = dead_worker(leave_in_private_memory);
	ck_assert_int_eq(slot->ring_unit[0], -1);
	lead();
	oa_adopt_tick();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_died), 5);
}
END_TEST

static void leave_half_popped(void)
{
	struct oa_ring *r = oa_proc_ring(oa_self, 0);
	uint64_t tail;

	leave_while_draining();
	tail = oa_ring_begin(r);
	push(r, 1000);
	oa_drain_own(1);
	atomic_store(&r->tail, tail); /* as if killed in the middle of consuming the last */
}

START_TEST(what_was_done_and_not_yet_consumed_is_no_loss)
{
	fresh();
	dead_worker(leave_half_popped);
	lead();
	ck_assert_uint_eq(oa_adopt_tick(), 0);
	ck_assert_uint_eq(atomic_load(&shared->noted), 4);
	ck_assert_uint_eq(atomic_load(&shared->counted), 4);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_stalled) + oa_stat_sum(OA_STAT_drop_died), 0);
}
END_TEST

START_TEST(exchanges_that_died_with_their_process_are_counted_as_lost)
{
	fresh();
	dead_worker(leave_records); /* with three open */
	lead();
	oa_adopt_tick();
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_died), 3);
}
END_TEST

static struct oa_proc *half_done;

/* A leader that dies in the middle of an adoption. */
static void leave_half_adopted(void)
{
	atomic_store(&half_done->start_ticks, atomic_load(&oa_self->start_ticks));
	atomic_store(&half_done->pid, atomic_load(&oa_self->pid));
	atomic_store(&half_done->state, OA_PROC_ORPHAN);
}

START_TEST(the_next_leader_goes_on_with_what_a_dead_one_had_adopted)
{
	struct oa_proc *leader;
	uint32_t pid;

	fresh();
	half_done = dead_worker(leave_records);
	pid = half_done->id.pid;
	leader = dead_worker(leave_half_adopted);
	ck_assert_ptr_nonnull(leader);
	lead();
	ck_assert_uint_eq(oa_adopt_tick(), 2);
	ck_assert_uint_eq(seen.who.pid, pid);
	ck_assert_uint_eq(atomic_load(&half_done->state), OA_PROC_FREE);
	oa_adopt_tick();
	ck_assert_uint_eq(seen.count, 2);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("drain");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_shard_is_emptied_and_records_get_wall_time);
	tcase_add_test(tc, with_the_tail_rule_records_come_in_the_order_in_which_they_ended);
	tcase_add_test(tc, more_records_than_the_ring_holds_go_around_its_end_intact);
	tcase_add_test(tc, what_a_full_ring_refused_is_counted_once);
	tcase_add_test(tc, a_processor_can_end_the_way_of_a_record);
	tcase_add_test(tc, a_record_that_cannot_be_is_dropped_and_counted);
	tcase_add_test(tc, a_record_with_any_text_outside_of_it_is_dropped);
	tcase_add_test(tc, a_ring_that_stays_stalled_is_replaced_and_what_is_behind_saved);
	tcase_add_test(tc, a_ring_that_is_only_slow_is_kept);
	tcase_add_test(tc, the_leader_empties_the_rings_of_a_killed_worker_under_its_name);
	tcase_add_test(tc, counters_of_the_dead_stay_and_gauges_go);
	tcase_add_test(tc, a_worker_that_died_with_nothing_is_no_orphan);
	tcase_add_test(tc, whoever_comes_leads_when_the_leader_is_dead);
	tcase_add_test(tc, nobody_adopts_who_gave_the_lead_up);
	tcase_add_test(tc, orphans_need_us_only_when_nobody_else_is_there);
	tcase_add_test(tc, a_worker_killed_while_it_took_its_slot_leaves_it_to_others);
	tcase_add_test(tc, only_the_leader_adopts_and_nobody_who_lives);
	tcase_add_test(tc, a_record_whose_process_died_over_it_is_done_by_the_next);
	tcase_add_test(tc, a_record_whose_process_died_before_it_was_counted_is_counted_by_the_next);
	tcase_add_test(tc, a_record_that_may_be_counted_is_not_counted_again);
	tcase_add_test(tc, a_record_that_killed_twice_is_given_up);
	tcase_add_test(tc, records_that_die_with_the_memory_of_their_process_are_counted_as_lost);
	tcase_add_test(tc, what_was_done_and_not_yet_consumed_is_no_loss);
	tcase_add_test(tc, exchanges_that_died_with_their_process_are_counted_as_lost);
	tcase_add_test(tc, the_next_leader_goes_on_with_what_a_dead_one_had_adopted);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
