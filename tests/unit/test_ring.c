#include "core/ring.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

static struct oa_ring *ring;
static struct oa_span_buf rec, scratch;

static void ring_new(uint32_t slots)
{
	ring = aligned_alloc(64, OA_RING_BYTES(slots));
	memset(ring, 0, OA_RING_BYTES(slots));
	oa_ring_init(ring, slots);
}

static bool push(uint64_t number, size_t bytes)
{
	memset(rec.raw, (int)(number & 0x7f), bytes);
	rec.s.bytes = (uint16_t)bytes;
	rec.s.start_ns = number;
	return oa_ring_push(ring, &rec.s);
}

START_TEST(ring_gives_records_back_in_order_whatever_their_size)
{
	ring_new(64);
	for (uint64_t round = 0; round < 500; round++) {
		size_t bytes = sizeof(struct oa_span) + round * 37 % 3000;
		const struct oa_span *s;

		ck_assert(push(round, bytes));
		ck_assert(push(round + 1, 300));
		s = oa_ring_peek(ring, &scratch);
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->start_ns, round);
		ck_assert_uint_eq(s->bytes, bytes);
		ck_assert_uint_eq(((const uint8_t *)s)[bytes - 1], round & 0x7f);
		oa_ring_pop(ring);
		ck_assert_uint_eq(oa_ring_peek(ring, &scratch)->start_ns, round + 1);
		oa_ring_pop(ring);
		ck_assert_ptr_null(oa_ring_peek(ring, &scratch));
	}
}
END_TEST

START_TEST(ring_when_full_drops_the_newest_and_counts_it)
{
	ring_new(8);
	for (uint64_t i = 0; i < 8; i++)
		ck_assert(push(i, sizeof(struct oa_span)));
	ck_assert(!push(8, sizeof(struct oa_span)));
	ck_assert(!push(9, sizeof(struct oa_span)));
	ck_assert_uint_eq(ring->dropped, 2);
	for (uint64_t i = 0; i < 8; i++) {
		ck_assert_uint_eq(oa_ring_peek(ring, &scratch)->start_ns, i);
		oa_ring_pop(ring);
	}
	ck_assert(push(10, sizeof(struct oa_span)));
	ck_assert_uint_eq(oa_ring_peek(ring, &scratch)->start_ns, 10);
}
END_TEST

START_TEST(ring_takes_records_written_in_place)
{
	struct oa_span_buf *place;
	unsigned in_place = 0;

	ring_new(256);
	for (uint64_t i = 0; i < 2000; i++) {
		size_t bytes = sizeof(struct oa_span) + i * 37 % 3000;
		const struct oa_span *s;

		place = oa_ring_reserve(ring);
		in_place += place != NULL;
		if (place) {
			memset(place->raw + sizeof(rec.s.seq), (int)(i & 0x7f), sizeof(*place) - sizeof(rec.s.seq));
			place->s.bytes = (uint16_t)bytes;
			ck_assert_ptr_null(oa_ring_peek(ring, &scratch));
			oa_ring_commit(ring, place);
		} else {
			ck_assert(push(i, bytes));
		}
		s = oa_ring_peek(ring, &scratch);
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->bytes, bytes);
		ck_assert_uint_eq(((const uint8_t *)s)[bytes - 1], i & 0x7f);
		oa_ring_pop(ring);
	}
	ck_assert_uint_gt(in_place, 1000);
	while (push(1, OA_SLOT_BYTES))
		;
	ck_assert_ptr_null(oa_ring_reserve(ring));
}
END_TEST

START_TEST(ring_walks_ahead_without_consuming)
{
	uint64_t pos;

	ring_new(16);
	for (uint64_t i = 0; i < 5; i++)
		push(i, 400);
	pos = oa_ring_begin(ring);
	for (uint64_t i = 0; i < 5; i++)
		ck_assert_uint_eq(oa_ring_next(ring, &pos, &scratch)->start_ns, i);
	ck_assert_ptr_null(oa_ring_next(ring, &pos, &scratch));
	ck_assert_uint_eq(oa_ring_used(ring), 10);
	oa_ring_pop_to(ring, pos);
	ck_assert_uint_eq(oa_ring_used(ring), 0);
}
END_TEST

START_TEST(ring_with_an_unfinished_record_is_stalled_not_wrong)
{
	ring_new(16);
	push(1, sizeof(struct oa_span));
	oa_ring_pop(ring);
	ring->head++; /* a producer reserved a slot and was killed */
	push(2, sizeof(struct oa_span));
	ck_assert_ptr_null(oa_ring_peek(ring, &scratch));
	ck_assert(oa_ring_stalled(ring));
}
END_TEST

/* Memory that another process of the tree wrote to: no length it can make up may lead out of the ring or the copy. */
START_TEST(ring_takes_a_record_of_impossible_length_for_an_unfinished_one)
{
	static const uint16_t lengths[] = { 0, 1, sizeof(struct oa_span) - 1, 64 * OA_SLOT_BYTES + 1, UINT16_MAX };
	struct oa_span *s;

	ring_new(128);
	for (unsigned i = 0; i < 100; i++) {
		push(i, sizeof(struct oa_span));
		oa_ring_pop(ring);
	}
	push(7, 64 * OA_SLOT_BYTES); /* wraps around the end */
	s = (struct oa_span *)(void *)(ring->mem + 100 % 128 * OA_SLOT_BYTES);
	ck_assert_uint_eq(oa_ring_peek(ring, &scratch)->start_ns, 7);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		s->bytes = lengths[i];
		ck_assert_ptr_null(oa_ring_peek(ring, &scratch));
		ck_assert(oa_ring_stalled(ring));
	}
	s->bytes = 64 * OA_SLOT_BYTES;
	ck_assert_ptr_nonnull(oa_ring_peek(ring, &scratch));
	ck_assert(!oa_ring_stalled(ring));
}
END_TEST

#define PRODUCERS 4
#define EACH 20000

static void *produce(void *arg)
{
	struct oa_span_buf own;
	uintptr_t who = (uintptr_t)arg;

	for (uint64_t i = 0; i < EACH;) {
		size_t bytes = sizeof(struct oa_span) + (i * 7 + who) % 600;

		memset(own.raw, (int)who, bytes);
		own.s.bytes = (uint16_t)bytes;
		own.s.start_ns = i;
		if (oa_ring_push(ring, &own.s))
			i++;
	}
	return NULL;
}

START_TEST(ring_keeps_the_records_of_many_producers_whole_and_each_ones_order)
{
	pthread_t t[PRODUCERS];
	uint64_t next[PRODUCERS] = { 0 }, seen = 0;
	static struct oa_span_buf want;

	ring_new(256);
	for (uintptr_t i = 0; i < PRODUCERS; i++)
		pthread_create(&t[i], NULL, produce, (void *)i);
	while (seen < PRODUCERS * EACH) {
		const struct oa_span *s = oa_ring_peek(ring, &scratch);
		unsigned who;

		if (!s)
			continue;
		who = s->kind;
		ck_assert_uint_lt(who, PRODUCERS);
		ck_assert_uint_eq(s->start_ns, next[who]++);
		memset(want.raw, (int)who, s->bytes);
		ck_assert(!memcmp((const uint8_t *)s + offsetof(struct oa_span, duration_ns),
				  want.raw + offsetof(struct oa_span, duration_ns),
				  s->bytes - offsetof(struct oa_span, duration_ns)));
		oa_ring_pop(ring);
		seen++;
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(t[i], NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("ring");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, ring_gives_records_back_in_order_whatever_their_size);
	tcase_add_test(tc, ring_when_full_drops_the_newest_and_counts_it);
	tcase_add_test(tc, ring_walks_ahead_without_consuming);
	tcase_add_test(tc, ring_takes_records_written_in_place);
	tcase_add_test(tc, ring_with_an_unfinished_record_is_stalled_not_wrong);
	tcase_add_test(tc, ring_takes_a_record_of_impossible_length_for_an_unfinished_one);
	tcase_add_test(tc, ring_keeps_the_records_of_many_producers_whole_and_each_ones_order);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
