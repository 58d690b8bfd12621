/* The shared memory of a tree of processes: who has which slot, and what stays when one goes. */
#include "core/tree.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct oa_span_buf rec, scratch;

static void start(void)
{
	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(oa_tree_claim(), 0);
}

static void push(uint64_t number)
{
	memset(&rec, 0, sizeof(rec.s));
	rec.s.bytes = sizeof(rec.s);
	rec.s.start_ns = number;
	ck_assert(oa_tree_push(&rec.s));
}

/* Number of the next record of this process, 0 none. */
static uint64_t pop(struct oa_proc *p)
{
	for (unsigned i = 0; i < p->shards; i++) {
		struct oa_ring *r = oa_proc_ring(p, i);
		const struct oa_span *s = r ? oa_ring_peek(r, &scratch) : NULL;
		uint64_t number = s ? s->start_ns : 0;

		if (s)
			oa_ring_pop(r);
		if (number)
			return number;
	}
	return 0;
}

/* All units belong to somebody else. */
static void take_all_units(void)
{
	for (uint32_t i = 0; i < oa_tree->units; i++)
		atomic_store(&oa_tree->unit_owner[i], OA_PROCS_MAX);
}

/* Runs f in a child; returns its exit status. Its assertions fail the test by a status other than 0. */
static int in_child(int (*f)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		oa_tree_forget();
		_exit(f());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(tree_without_memory_records_nothing_and_breaks_nothing)
{
	memset(&rec, 0, sizeof(rec.s));
	rec.s.bytes = sizeof(rec.s);
	ck_assert_int_eq(oa_tree_claim(), -ENOMEM);
	ck_assert_ptr_null(oa_self);
	ck_assert(!oa_tree_push(&rec.s));
}
END_TEST

START_TEST(tree_slot_is_claimed_once_and_names_its_process)
{
	struct oa_proc *first;

	start();
	first = oa_self;
	ck_assert_int_eq(oa_tree_claim(), 0);
	ck_assert_ptr_eq(oa_self, first);
	ck_assert_ptr_eq(first, &oa_tree->procs[0]);
	ck_assert_uint_eq(atomic_load(&first->state), OA_PROC_LIVE);
	ck_assert_uint_eq(first->id.pid, (uint32_t)getpid());
	ck_assert_uint_eq(first->id.ppid, (uint32_t)getppid());
	ck_assert_uint_eq(first->id.instance_id[6] >> 4, 4); /* UUID version and variant */
	ck_assert_uint_eq(first->id.instance_id[8] >> 6, 2);
	ck_assert_uint_ge(first->shards, 1);
}
END_TEST

static pthread_barrier_t together;

static void *claim(void *arg)
{
	int err;

	(void)arg;
	pthread_barrier_wait(&together);
	do
		err = oa_tree_claim();
	while (err == -EAGAIN); /* another thread is at it */
	return (void *)(intptr_t)err;
}

START_TEST(tree_threads_that_claim_at_once_share_one_slot)
{
	pthread_t t[4];
	void *err;

	ck_assert_int_eq(oa_tree_map(), 0);
	pthread_barrier_init(&together, NULL, 4);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, claim, NULL), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &err);
		ck_assert_ptr_null(err);
	}
	ck_assert_ptr_eq(oa_self, &oa_tree->procs[0]);
	ck_assert_uint_eq(atomic_load(&oa_tree->procs[1].state), OA_PROC_FREE);
}
END_TEST

/* Each thread has something to say at once; only one of them takes the slot. */
static void *claim_and_push(void *arg)
{
	struct oa_span own = { .bytes = sizeof(own) };

	pthread_barrier_wait(arg);
	if (!oa_self)
		(void)oa_tree_claim();
	return (void *)(uintptr_t)oa_tree_push(&own);
}

START_TEST(tree_threads_that_speak_while_another_claims_lose_nothing)
{
	pthread_barrier_t all;
	pthread_t t[8];

	ck_assert_int_eq(oa_tree_map(), 0);
	ck_assert_int_eq(pthread_barrier_init(&all, NULL, 8), 0);
	oa_stat_inc(OA_STAT_scrapes); /* before there is a slot */
	for (unsigned i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, claim_and_push, &all), 0);
	for (unsigned i = 0; i < 8; i++) {
		void *in;

		ck_assert_int_eq(pthread_join(t[i], &in), 0);
		ck_assert_ptr_nonnull(in);
	}
	ck_assert_uint_eq(oa_self->stat[OA_STAT_scrapes], 1);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_full), 0);
}
END_TEST

START_TEST(tree_records_come_back_from_the_rings_of_the_process)
{
	start();
	for (uint64_t i = 1; i <= 20; i++)
		push(i);
	for (unsigned got = 0; got < 20; got++)
		ck_assert_uint_ne(pop(oa_self), 0);
	ck_assert_uint_eq(pop(oa_self), 0);
	ck_assert_ptr_null(oa_proc_ring(oa_self, oa_self->shards));
	ck_assert_ptr_nonnull(oa_proc_queue(oa_self));
}
END_TEST

START_TEST(tree_record_that_finds_its_ring_full_goes_to_another_one)
{
	uint64_t pushed = 0, sum = 0, number;

	start();
	ck_assert_uint_ge(oa_self->shards, 2);
	memset(&rec, 0, sizeof(rec.s));
	rec.s.bytes = OA_SLOT_BYTES;
	for (rec.s.start_ns = 1; oa_tree_push(&rec.s); rec.s.start_ns++)
		pushed++;
	ck_assert_uint_eq(pushed, oa_self->shards * OA_RING_SLOTS);
	number = 0;
	for (unsigned i = 0; i < oa_self->shards; i++)
		number += atomic_load(&oa_proc_ring(oa_self, i)->dropped);
	ck_assert_uint_eq(number, 1); /* the one that found no place at all */
	while ((number = pop(oa_self)))
		sum += number;
	ck_assert_uint_eq(sum, pushed * (pushed + 1) / 2);
	push(1);
	ck_assert_uint_eq(pop(oa_self), 1);
}
END_TEST

static int child_claims(void)
{
	if (oa_tree_claim() || oa_self == &oa_tree->procs[0] || oa_self->id.ppid != (uint32_t)getppid())
		return 1;
	if (pop(oa_self)) /* a record of the parent's */
		return 2;
	push(2);
	if (pop(oa_self) != 2)
		return 3;
	push(3);
	oa_self->stat[OA_STAT_scrapes] = 5;
	oa_self->active_server[OA_METHOD_GET][0] = 4;
	return 0;
}

START_TEST(tree_child_has_a_slot_and_rings_of_its_own)
{
	start();
	push(1);
	ck_assert_int_eq(in_child(child_claims), 0);
	ck_assert_uint_eq(pop(oa_self), 1);
	ck_assert_uint_eq(pop(oa_self), 0);
}
END_TEST

START_TEST(tree_records_of_a_child_that_died_are_still_there_for_another)
{
	struct oa_proc *p;

	start();
	ck_assert_int_eq(in_child(child_claims), 0);
	p = &oa_tree->procs[1];
	ck_assert_uint_eq(atomic_load(&p->state), OA_PROC_LIVE);
	ck_assert(oa_proc_dead(p));
	ck_assert_uint_eq(pop(p), 3);
}
END_TEST

START_TEST(tree_slot_given_back_keeps_its_counters_and_loses_its_gauges)
{
	struct oa_proc *p;

	start();
	ck_assert_int_eq(in_child(child_claims), 0);
	p = &oa_tree->procs[1];
	oa_proc_release(p);
	ck_assert_uint_eq(atomic_load(&p->state), OA_PROC_FREE);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes), 5);
	ck_assert_int_eq(in_child(child_claims), 0);
	ck_assert_uint_eq(atomic_load(&p->state), OA_PROC_LIVE);
	oa_proc_release(p);
	oa_tree_forget();
	atomic_store(&oa_tree->procs[0].state, OA_PROC_LIVE);
	ck_assert_int_eq(oa_tree_claim(), 0);
	ck_assert_ptr_eq(oa_self, p);
	ck_assert_uint_eq(oa_self->stat[OA_STAT_scrapes], 5);
	ck_assert_int_eq(oa_self->active_server[OA_METHOD_GET][0], 0);
	ck_assert_uint_eq(pop(oa_self), 0);
}
END_TEST

START_TEST(tree_units_go_round_however_often_children_come_and_go)
{
	start();
	for (int i = 0; i < 2 * OA_UNITS; i++) {
		ck_assert_int_eq(in_child(child_claims), 0);
		ck_assert_int_ge(oa_tree->procs[1].ring_unit[0], 0);
		oa_proc_release(&oa_tree->procs[1]);
	}
}
END_TEST

START_TEST(tree_with_few_free_units_gives_each_process_one)
{
	start();
	for (unsigned i = 0; i < OA_UNITS; i++)
		if (i != 17 && !atomic_load(&oa_tree->unit_owner[i]))
			atomic_store(&oa_tree->unit_owner[i], 99);
	ck_assert(oa_tree_runs_out());
	ck_assert_int_eq(in_child(child_claims), 0);
	ck_assert_int_eq(oa_tree->procs[1].ring_unit[0], 17);
	ck_assert_int_eq(oa_tree->procs[1].queue_unit, 17);
	ck_assert_uint_eq(oa_tree->procs[1].shards, 1);
	ck_assert_uint_eq(pop(&oa_tree->procs[1]), 3);
	ck_assert_ptr_ne(oa_proc_queue(&oa_tree->procs[1]), oa_proc_ring(&oa_tree->procs[1], 0));
	oa_proc_release(&oa_tree->procs[1]);
	ck_assert_uint_eq(atomic_load(&oa_tree->unit_owner[17]), 0);
}
END_TEST

START_TEST(tree_runs_out_when_half_its_slots_are_taken_and_more_come)
{
	start();
	ck_assert(!oa_tree_runs_out());
	for (unsigned i = 1; i <= OA_PROCS_MAX / 2; i++)
		atomic_store(&oa_tree->procs[i].state, OA_PROC_LIVE);
	ck_assert(!oa_tree_runs_out()); /* those that are there stay */
	ck_assert_int_eq(in_child(child_claims), 0);
	ck_assert(oa_tree_runs_out());
	ck_assert(!oa_tree_runs_out());
	ck_assert_int_eq(in_child(child_claims), 0);
	ck_assert(oa_tree_runs_out());
}
END_TEST

static int child_without_units(void)
{
	int bad = child_claims();

	return bad ? bad : oa_self->ring_unit[0] >= 0 ? 9 : 0;
}

START_TEST(tree_without_free_units_uses_rings_of_the_process_alone)
{
	ck_assert_int_eq(oa_tree_map(), 0);
	take_all_units();
	ck_assert_int_eq(oa_tree_claim(), 0);
	ck_assert_int_eq(oa_self->ring_unit[0], -1);
	push(1);
	ck_assert_int_eq(in_child(child_without_units), 0);
	ck_assert_uint_eq(pop(oa_self), 1);
	ck_assert_ptr_nonnull(oa_proc_queue(oa_self));
	ck_assert_ptr_null(oa_proc_queue(&oa_tree->procs[1])); /* another's are out of reach */
	ck_assert_uint_eq(pop(&oa_tree->procs[1]), 0);
}
END_TEST

START_TEST(tree_with_every_slot_taken_still_records)
{
	ck_assert_int_eq(oa_tree_map(), 0);
	for (unsigned i = 0; i < OA_PROCS_MAX; i++)
		atomic_store(&oa_tree->procs[i].state, OA_PROC_LIVE);
	ck_assert_int_eq(oa_tree_claim(), 0);
	ck_assert_ptr_nonnull(oa_self);
	oa_stat_inc(OA_STAT_scrapes);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_scrapes), 1);
	push(1);
	ck_assert_uint_eq(pop(oa_self), 1);
	push(4);
	ck_assert_int_eq(in_child(child_claims), 0);
	ck_assert_uint_eq(pop(oa_self), 4);
}
END_TEST

START_TEST(tree_without_memory_for_its_rings_drops_records_and_counts_them)
{
	struct rlimit was, none;

	ck_assert_int_eq(oa_tree_map(), 0);
	take_all_units();
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &was), 0);
	none = (struct rlimit){ 0, was.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
	oa_tree_claim();
	setrlimit(RLIMIT_AS, &was);
	memset(&rec, 0, sizeof(rec.s));
	rec.s.bytes = sizeof(rec.s);
	ck_assert(!oa_tree_push(&rec.s));
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_ring_full), 1);
}
END_TEST

START_TEST(tree_tells_the_living_from_the_dead)
{
	struct oa_proc p = { 0 };
	pid_t pid;

	atomic_store(&p.pid, (uint32_t)getpid());
	ck_assert(!oa_proc_dead(&p));
	atomic_store(&p.start_ticks, oa_proc_ticks((uint32_t)getpid()));
	ck_assert_uint_ne(p.start_ticks, 0);
	ck_assert(!oa_proc_dead(&p));
	p.start_ticks++; /* the number belongs to another process now */
	ck_assert(oa_proc_dead(&p));

	pid = fork();
	if (!pid)
		_exit(0);
	atomic_store(&p.pid, (uint32_t)pid);
	p.start_ticks = 0;
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	ck_assert(oa_proc_dead(&p)); /* not waited for yet */
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(oa_proc_dead(&p));
	ck_assert_uint_eq(oa_proc_ticks((uint32_t)pid), 0);
}
END_TEST

/* Every shard's ring has a record that its producer never finished. */
static void stall_all(void)
{
	for (unsigned i = 0; i < oa_self->shards; i++)
		oa_proc_ring(oa_self, i)->head++;
}

static int main_ended[2], may_end[2];

static void *outlive_main(void *arg)
{
	char path[64], state = 0, buf[256], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
	while (state != 'Z' && (f = fopen(path, "r"))) {
		buf[fread(buf, 1, sizeof(buf) - 1, f)] = 0;
		fclose(f);
		p = strrchr(buf, ')');
		state = p ? p[2] : 0;
	}
	ck_assert_int_eq(write(main_ended[1], "x", 1), 1);
	(void)!read(may_end[0], buf, 1);
	_exit(0);
}

START_TEST(tree_process_lives_on_after_its_main_thread)
{
	struct oa_proc p = { 0 };
	pthread_t t;
	pid_t pid;
	char c;

	start();
	ck_assert_int_eq(pipe(main_ended), 0);
	ck_assert_int_eq(pipe(may_end), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		pthread_create(&t, NULL, outlive_main, NULL);
		pthread_exit(NULL);
	}
	ck_assert_int_eq(read(main_ended[0], &c, 1), 1);
	atomic_store(&p.pid, (uint32_t)pid);
	ck_assert(!oa_proc_dead(&p));
	ck_assert_int_eq(write(may_end[1], "x", 1), 1);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(oa_proc_dead(&p));
}
END_TEST

START_TEST(tree_ring_that_is_stuck_is_replaced)
{
	start();
	stall_all();
	push(1);
	ck_assert_uint_eq(pop(oa_self), 0);
	for (unsigned i = 0; i < oa_self->shards; i++)
		ck_assert_int_eq(oa_tree_retire_ring(i), 0);
	push(2);
	ck_assert_uint_eq(pop(oa_self), 2);
	ck_assert_uint_eq(pop(oa_self), 0);
}
END_TEST

START_TEST(tree_child_of_a_process_with_a_replaced_ring_shares_none_of_its_rings)
{
	start();
	for (unsigned i = 0; i < oa_self->shards; i++)
		ck_assert_int_eq(oa_tree_retire_ring(i), 0);
	push(1);
	take_all_units();
	ck_assert_int_eq(in_child(child_claims), 0);
	ck_assert_uint_eq(pop(oa_self), 1);
	ck_assert_uint_eq(pop(oa_self), 0);
}
END_TEST

START_TEST(tree_child_does_not_share_the_other_half_of_a_unit_whose_ring_was_replaced)
{
	start();
	if (oa_self->shards < 2)
		return; /* one CPU: there is no other half */
	ck_assert_int_eq(oa_tree_retire_ring(0), 0);
	take_all_units();
	for (int i = 0; i < 64; i++)
		push(1);
	ck_assert_int_eq(in_child(child_claims), 0);
	for (int i = 0; i < 64; i++)
		ck_assert_uint_eq(pop(oa_self), 1);
	ck_assert_uint_eq(pop(oa_self), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("tree");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, tree_without_memory_records_nothing_and_breaks_nothing);
	tcase_add_test(tc, tree_slot_is_claimed_once_and_names_its_process);
	tcase_add_test(tc, tree_threads_that_claim_at_once_share_one_slot);
	tcase_add_loop_test(tc, tree_threads_that_speak_while_another_claims_lose_nothing, 0, 50);
	tcase_add_test(tc, tree_records_come_back_from_the_rings_of_the_process);
	tcase_add_test(tc, tree_record_that_finds_its_ring_full_goes_to_another_one);
	tcase_add_test(tc, tree_child_has_a_slot_and_rings_of_its_own);
	tcase_add_test(tc, tree_records_of_a_child_that_died_are_still_there_for_another);
	tcase_add_test(tc, tree_slot_given_back_keeps_its_counters_and_loses_its_gauges);
	tcase_add_test(tc, tree_units_go_round_however_often_children_come_and_go);
	tcase_add_test(tc, tree_with_few_free_units_gives_each_process_one);
	tcase_add_test(tc, tree_runs_out_when_half_its_slots_are_taken_and_more_come);
	tcase_add_test(tc, tree_without_free_units_uses_rings_of_the_process_alone);
	tcase_add_test(tc, tree_with_every_slot_taken_still_records);
	tcase_add_test(tc, tree_without_memory_for_its_rings_drops_records_and_counts_them);
	tcase_add_test(tc, tree_tells_the_living_from_the_dead);
	tcase_add_test(tc, tree_process_lives_on_after_its_main_thread);
	tcase_add_test(tc, tree_ring_that_is_stuck_is_replaced);
	tcase_add_test(tc, tree_child_of_a_process_with_a_replaced_ring_shares_none_of_its_rings);
	tcase_add_test(tc, tree_child_does_not_share_the_other_half_of_a_unit_whose_ring_was_replaced);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
