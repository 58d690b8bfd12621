/* One ring under many producers and its consumer. Every record says who made it and which it is;
 * its bytes follow from that. What must hold: a record that was taken arrives once, whole, and in
 * its producer's order; the others are counted as dropped.
 *
 * Usage: ring [seconds [threads]] */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/ring.h"
#include "core/sys.h"

#define THREADS_MAX 32
#define SLOTS       256 /* small: it wraps and fills all the time */

static struct oa_ring *ring;
static _Atomic bool stop;
static _Atomic uint64_t accepted[THREADS_MAX], refused;
static uint64_t taken[THREADS_MAX], next_number[THREADS_MAX];
static unsigned bad;

static uint16_t text_len(uint64_t number) { return (uint16_t)(number * 2654435761u % 1500); }

static void fill(struct oa_span_buf *b, unsigned who, uint64_t number)
{
	memset(&b->s, 0, sizeof(b->s));
	b->s.start_ns = number;
	b->s.pid = who;
	b->s.bytes = (uint16_t)(sizeof(b->s) + text_len(number));
	memset(b->raw + sizeof(b->s), (int)(number + who) & 0xff, text_len(number));
}

static void *produce(void *arg)
{
	unsigned who = (unsigned)(uintptr_t)arg;
	struct oa_span_buf b;

	for (uint64_t number = 1; !atomic_load_explicit(&stop, memory_order_relaxed); number++) {
		fill(&b, who, number);
		if (oa_ring_push(ring, &b.s)) {
			atomic_fetch_add_explicit(&accepted[who], 1, memory_order_relaxed);
		} else {
			atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
			sched_yield();
		}
	}
	return NULL;
}

static void look_at(const struct oa_span *s)
{
	static struct oa_span_buf want;

	if (s->pid >= THREADS_MAX || s->start_ns < next_number[s->pid]) {
		bad++;
		return;
	}
	fill(&want, s->pid, s->start_ns);
	if (s->bytes != want.s.bytes ||
	    memcmp((const uint8_t *)s + sizeof(s->seq), want.raw + sizeof(s->seq),
		   s->bytes - sizeof(s->seq)))
		bad++;
	next_number[s->pid] = s->start_ns + 1;
	taken[s->pid]++;
}

/* By turns one by one, and in batches that are given back when they have been looked at. */
static void take_some(void)
{
	static struct oa_span_buf scratch;
	const struct oa_span *s;
	uint64_t pos;

	for (unsigned i = 0; i < 50 && (s = oa_ring_peek(ring, &scratch)); i++) {
		look_at(s);
		oa_ring_pop(ring);
	}
	pos = oa_ring_begin(ring);
	for (unsigned i = 0; i < 50 && (s = oa_ring_next(ring, &pos, &scratch)); i++)
		look_at(s);
	oa_ring_pop_to(ring, pos);
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 10;
	unsigned count = argc > 2 ? (unsigned)atoi(argv[2]) : 4;
	pthread_t t[THREADS_MAX];
	uint64_t in = 0, out = 0;
	time_t end = time(NULL) + seconds;

	alarm(seconds * 4 + 60);
	ring = oa_sys_map(OA_RING_BYTES(SLOTS), 0);
	if (!ring || count > THREADS_MAX)
		return 2;
	oa_ring_init(ring, SLOTS);
	for (unsigned i = 0; i < count; i++)
		pthread_create(&t[i], NULL, produce, (void *)(uintptr_t)i);
	while (time(NULL) < end)
		take_some();
	atomic_store(&stop, true);
	for (unsigned i = 0; i < count; i++)
		pthread_join(t[i], NULL);
	while (oa_ring_used(ring) && !oa_ring_stalled(ring))
		take_some();
	for (unsigned i = 0; i < count; i++) {
		in += accepted[i];
		out += taken[i];
		bad += accepted[i] != taken[i];
	}
	bad += oa_ring_used(ring) != 0 || atomic_load(&ring->dropped) != refused;
	printf("%lu pushed, %lu taken, %lu refused\n", (unsigned long)in, (unsigned long)out,
	       (unsigned long)refused);
	if (bad)
		printf("FAIL: %u records or counts are wrong\n", bad);
	return bad != 0;
}
