/* A tree of processes that come, record and go, some of them killed at any instruction; the parent
 * adopts what they leave. What must hold: records come whole and once; those of processes that
 * ended by themselves come all; slots and units go round; counters never fall.
 *
 * Usage: tree [seconds [processes]] */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/id.h"
#include "core/stats.h"
#include "core/tree.h"

#define WORKERS_MAX 24
#define THREADS     3
#define RECORDS     200 /* of each thread: fewer than a ring holds, so that none is dropped */

/* Written by the worker, read by the parent after its end. */
struct account {
	_Atomic uint64_t begun, done;
};

static struct account *accounts; /* shared */
static struct worker {
	pid_t pid;
	unsigned account;
	bool killed;
} workers[WORKERS_MAX];

static uint64_t seen_of_all, lives, kills, stat_before;
static unsigned bad;

static void *record(void *arg)
{
	struct account *a = arg;
	struct oa_span_buf b;

	for (unsigned i = 0; i < RECORDS; i++) {
		uint64_t number = atomic_fetch_add(&a->begun, 1);

		memset(&b.s, 0, sizeof(b.s));
		b.s.start_ns = number;
		b.s.duration_ns = ~number;
		b.s.bytes = sizeof(b.s);
		if (oa_tree_push(&b.s))
			atomic_fetch_add(&a->done, 1);
		oa_stat_inc(OA_STAT_scrapes);
	}
	return NULL;
}

static void work(struct account *a, bool wait_for_the_end)
{
	pthread_t t[THREADS];

	oa_tree_forget();
	oa_stat_forget();
	oa_id_reseed();
	for (unsigned i = 0; i < THREADS; i++) {
		while (oa_tree_claim() == -EAGAIN)
			;
		if (pthread_create(&t[i], NULL, record, a))
			_exit(2);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	if (wait_for_the_end)
		pause();
	_exit(0);
}

static struct oa_proc *slot_of(pid_t pid)
{
	for (unsigned i = 0; i < OA_PROCS_MAX; i++) {
		struct oa_proc *p = &oa_tree->procs[i];

		if (atomic_load(&p->pid) == (uint32_t)pid)
			return p;
	}
	return NULL;
}

/* A ring whose last producer may have been killed in the middle. */
static uint64_t take_all(struct oa_ring *r)
{
	static struct oa_span_buf scratch;
	const struct oa_span *s;
	uint64_t n = 0;

	while (oa_ring_used(r)) {
		s = oa_ring_peek(r, &scratch);
		if (s) {
			bad += s->duration_ns != ~s->start_ns || s->bytes != sizeof(*s);
			n++;
		}
		oa_ring_pop(r);
	}
	return n;
}

static void adopt(struct worker *w, int status)
{
	struct account *a = &accounts[w->account];
	struct oa_proc *p = slot_of(w->pid);
	uint64_t n = 0;

	if (!w->killed && status)
		bad++;
	if (p && !oa_proc_dead(p))
		bad++;
	for (unsigned i = 0; p && atomic_load(&p->state) == OA_PROC_LIVE && i < p->shards; i++)
		n += take_all(oa_proc_ring(p, i));
	if (n < a->done || n > a->begun || (!w->killed && n != THREADS * RECORDS)) {
		printf("process %d: %lu begun, %lu done, %lu seen, killed %d\n", w->pid,
		       (unsigned long)a->begun, (unsigned long)a->done, (unsigned long)n,
		       w->killed);
		bad++;
	}
	if (p)
		oa_proc_release(p);
	seen_of_all += n;
	w->pid = 0;
}

static void start(struct worker *w, unsigned account)
{
	bool kill_it = lives++ % 2;

	memset(&accounts[account], 0, sizeof(*accounts));
	w->account = account;
	w->killed = false;
	fflush(stdout);
	w->pid = fork();
	if (!w->pid)
		work(&accounts[account], kill_it);
	if (!kill_it)
		return;
	usleep((useconds_t)(lives * 7919 % 3000));
	kill(w->pid, SIGKILL);
	w->killed = true;
	kills++;
}

static void reap(unsigned count)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);
	uint64_t stat;

	for (unsigned i = 0; i < count; i++)
		if (workers[i].pid == pid)
			adopt(&workers[i], status);
	stat = oa_stat_sum(OA_STAT_scrapes);
	bad += stat < stat_before;
	stat_before = stat;
}

static void check_all_is_free(void)
{
	for (unsigned i = 0; i < OA_PROCS_MAX; i++)
		bad += &oa_tree->procs[i] != oa_self &&
		       atomic_load(&oa_tree->procs[i].state) != OA_PROC_FREE;
	for (unsigned i = 0; i < oa_tree->units; i++) {
		uint32_t owner = atomic_load(&oa_tree->unit_owner[i]);

		bad += owner && &oa_tree->procs[owner - 1] != oa_self;
	}
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 10;
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 4;
	time_t end = time(NULL) + seconds;

	alarm(seconds * 4 + 60);
	accounts = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (accounts == MAP_FAILED || count > WORKERS_MAX || oa_tree_map() || oa_tree_claim())
		return 2;
	for (unsigned i = 0; i < count; i++)
		start(&workers[i], i);
	while (time(NULL) < end) {
		reap(count);
		for (unsigned i = 0; i < count; i++)
			if (!workers[i].pid)
				start(&workers[i], i);
	}
	for (unsigned i = 0; i < count; i++)
		reap(count);
	check_all_is_free();
	printf("%lu processes, %lu killed, %lu records\n", (unsigned long)lives,
	       (unsigned long)kills, (unsigned long)seen_of_all);
	if (bad)
		printf("FAIL: %u times\n", bad);
	return bad != 0;
}
