/* The table of streams against a plain array, while streams come and go. */
#include "tests/unit/h2_rig.h"

#include "conn/feed.h"
#include "conn/streams.h"

#define FD 581
#define IDS 20000u /* odd numbers up to this many */

static uint32_t model[IDS], open_ids[OA_STREAMS_MAX];

static struct oa_conn *start(void)
{
	static const char begin[] = H2_PREFACE H2_SETTINGS;
	struct oa_fd *slot;

	rig_start();
	rig_accept(FD, false);
	h2_receive(FD, begin, sizeof(begin) - 1);
	slot = oa_fd_peek(FD);
	ck_assert_ptr_nonnull(slot);
	return oa_conn_at(slot->conn);
}

static void assert_all(const struct oa_conn *c, uint32_t ids)
{
	for (uint32_t i = 0; i < ids; i++) {
		uint32_t index = UINT32_MAX;

		oa_stream_find(c, 2 * i + 1, &index); /* no exchange stands at the numbers we made up */
		ck_assert_uint_eq(index, model[i] ? model[i] - 1 : UINT32_MAX);
	}
}

/* Ids go up by one or a few, as a client's do; which one ends is chance. */
START_TEST(streams_are_found_while_others_come_and_go)
{
	static const unsigned most_open[] = { 1, 7, 100, 1000, OA_STREAMS_MAX };
	struct oa_conn *c = start();
	unsigned most = most_open[_i];
	uint32_t used = 0, next = 0;

	srand(42 + (unsigned)_i);
	for (unsigned step = 0; step < 30000 && next < IDS; step++) {
		if (used < most && (used == 0 || rand() % 5 < 3)) {
			ck_assert(oa_stream_add(c, 2 * next + 1, next % 5000));
			model[next] = next % 5000 + 1;
			open_ids[used++] = next;
			next += 1 + (uint32_t)(rand() % 8 == 0) * (uint32_t)(rand() % 50);
		} else {
			uint32_t at = (uint32_t)rand() % used, id = open_ids[at];

			oa_stream_remove(c, 2 * id + 1);
			oa_stream_remove(c, 2 * id + 1); /* twice is none */
			model[id] = 0;
			open_ids[at] = open_ids[--used];
		}
		if (step % 3000 == 0)
			assert_all(c, next < IDS ? next : IDS);
	}
	assert_all(c, next < IDS ? next : IDS);
	oa_streams_free(c);
	memset(model, 0, sizeof(model));
	assert_all(c, 100);
}
END_TEST

START_TEST(streams_have_room_for_as_many_as_are_followed_and_say_when_it_is_over)
{
	struct oa_conn *c = start();
	uint32_t i;

	for (i = 0; i < OA_STREAMS_MAX; i++)
		ck_assert(oa_stream_add(c, 2 * i + 1, i));
	for (; i < 2 * OA_STREAMS_MAX && oa_stream_add(c, 2 * i + 1, i); i++)
		;
	ck_assert_uint_lt(i, 2 * OA_STREAMS_MAX);
	oa_streams_free(c);
	ck_assert(oa_stream_add(c, 1, 1));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("streams");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, streams_are_found_while_others_come_and_go, 0, 5);
	tcase_add_test(tc, streams_have_room_for_as_many_as_are_followed_and_say_when_it_is_over);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
