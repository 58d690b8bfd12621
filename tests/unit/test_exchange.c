/* One request and its answer, from opening to the record in the ring. */
#include "tests/unit/conn_rig.h"

#include "conn/context.h"

#include <pthread.h>

static struct oa_conn conn;

static uint32_t open_one(enum oa_kind kind)
{
	int64_t index;

	rig_start();
	if (!oa_self)
		ck_assert_int_eq(oa_tree_claim(), 0);
	index = oa_exchange_open(&conn, kind, OA_WHAT_HTTP, 1000);
	ck_assert_int_ge(index, 0);
	return (uint32_t)index;
}

static struct oa_ref ref(uint32_t index)
{
	return (struct oa_ref){ index, atomic_load(&oa_exchange_at(index)->gen) };
}

START_TEST(exchange_when_finished_leaves_its_record_in_the_ring)
{
	uint32_t index;
	const struct oa_span *s;

	conn.local_port = 80;
	conn.peer.family = 4;
	conn.flags = OA_CONN_UNIX;
	index = open_one(OA_KIND_SERVER);
	oa_exchange_set_str(oa_exchange_at(index), OA_STR_TARGET, OA_LIT("/a"));
	oa_exchange_finish(&conn, index, 4000, OA_ERR_TIMEOUT);
	s = rig_next();
	ck_assert_ptr_nonnull(s);
	ck_assert_uint_eq(s->kind, OA_KIND_SERVER);
	ck_assert_uint_eq(s->what, OA_WHAT_HTTP);
	ck_assert_uint_eq(s->start_ns, 1000);
	ck_assert_uint_eq(s->duration_ns, 3000);
	ck_assert_uint_eq(s->error, OA_ERR_TIMEOUT);
	ck_assert_uint_eq(s->local_port, 80);
	ck_assert_uint_eq(s->peer.family, 4);
	ck_assert_uint_eq(s->pid, oa_self->id.pid);
	ck_assert(s->flags & OA_SPAN_UNIX);
	ck_assert(rig_str_is(s, OA_STR_TARGET, "/a"));
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(conn.open, 0);
	ck_assert_uint_eq(conn.first, 0);
}
END_TEST

START_TEST(exchange_that_ends_before_it_began_took_no_time)
{
	oa_exchange_finish(&conn, open_one(OA_KIND_SERVER), 999, OA_ERR_NONE);
	ck_assert_uint_eq(rig_next()->duration_ns, 0);
}
END_TEST

START_TEST(exchange_discarded_leaves_nothing)
{
	uint32_t index = open_one(OA_KIND_CLIENT);

	oa_exchange_discard(&conn, index);
	ck_assert_ptr_null(rig_next());
	ck_assert_uint_eq(conn.open, 0);
	ck_assert_uint_eq(conn.served, 0);
	ck_assert(!(conn.flags & OA_CONN_USED));
}
END_TEST

START_TEST(exchange_name_that_outlived_it_is_noticed)
{
	uint32_t index = open_one(OA_KIND_SERVER), again;
	struct oa_ref name = ref(index);

	ck_assert_ptr_eq(oa_exchange_get(name), oa_exchange_at(index));
	oa_exchange_finish(&conn, index, 2000, OA_ERR_NONE);
	ck_assert_ptr_null(oa_exchange_get(name));
	again = open_one(OA_KIND_SERVER);
	ck_assert_uint_eq(again, index); /* the same memory */
	ck_assert_ptr_null(oa_exchange_get(name));
	ck_assert_ptr_nonnull(oa_exchange_get(ref(again)));
	ck_assert_ptr_null(oa_exchange_get((struct oa_ref){ 0, 0 }));
}
END_TEST

START_TEST(exchange_queue_keeps_its_order_whichever_leaves)
{
	uint32_t a = open_one(OA_KIND_SERVER), b = open_one(OA_KIND_SERVER), c = open_one(OA_KIND_SERVER), d;

	ck_assert_uint_eq(conn.open, 3);
	oa_exchange_discard(&conn, b);
	ck_assert_uint_eq(conn.first, a + 1);
	ck_assert_uint_eq(oa_exchange_at(a)->next, c + 1);
	oa_exchange_discard(&conn, c); /* the last: the next one goes behind a */
	ck_assert_uint_eq(conn.last, a + 1);
	d = open_one(OA_KIND_SERVER);
	ck_assert_uint_eq(oa_exchange_at(a)->next, d + 1);
	oa_exchange_discard(&conn, a);
	ck_assert_uint_eq(conn.first, d + 1);
	oa_exchange_discard(&conn, d);
	ck_assert_uint_eq(conn.first, 0);
	ck_assert_uint_eq(conn.last, 0);
	ck_assert_uint_eq(conn.open, 0);
}
END_TEST

/* A text of `len` bytes that tells its length in every byte. */
static struct oa_bytes text_of(size_t len)
{
	static uint8_t text[32768];

	memset(text, (int)(len % 251), len);
	return oa_bytes(text, len);
}

static bool is_text_of(struct oa_bytes b, size_t len)
{
	return oa_bytes_eq(b, text_of(len));
}

START_TEST(exchange_texts_survive_its_growth)
{
	static const size_t sizes[OA_STR_COUNT] = { 10, 300, 400, 2000, 1, 5000, 0, 3000 };
	const struct oa_span *s;
	uint32_t index = open_one(OA_KIND_SERVER);

	for (unsigned i = 0; i < OA_STR_COUNT; i++)
		oa_exchange_set_str(oa_exchange_at(index), i, text_of(sizes[i]));
	oa_exchange_finish(&conn, index, 2000, OA_ERR_NONE);
	s = rig_next();
	for (unsigned i = 0; i < OA_STR_COUNT; i++)
		ck_assert_msg(is_text_of(oa_span_str(s, i), sizes[i]), "text %u", i);
	ck_assert(!(s->flags & OA_SPAN_TRUNCATED));
	ck_assert_uint_eq(s->start_ns, 1000);
}
END_TEST

START_TEST(exchange_text_that_does_not_fit_is_cut_and_says_so)
{
	const struct oa_span *s;
	uint32_t index = open_one(OA_KIND_SERVER);

	oa_exchange_set_str(oa_exchange_at(index), OA_STR_HOST, text_of(100));
	oa_exchange_set_str(oa_exchange_at(index), OA_STR_TARGET, text_of(20000));
	oa_exchange_finish(&conn, index, 2000, OA_ERR_NONE);
	s = rig_next();
	ck_assert(s->flags & OA_SPAN_TRUNCATED);
	ck_assert(is_text_of(oa_span_str(s, OA_STR_HOST), 100));
	ck_assert_uint_gt(oa_span_str(s, OA_STR_TARGET).len, 0);
	ck_assert_uint_lt(oa_span_str(s, OA_STR_TARGET).len, 20000);
	ck_assert_uint_le(s->bytes, 64 * OA_SLOT_BYTES);
}
END_TEST

START_TEST(exchange_gives_back_every_block_it_used)
{
	for (int i = 0; i < 20000; i++) { /* many times what there is of any class */
		uint32_t index = open_one(OA_KIND_SERVER);
		struct oa_exchange *ex = oa_exchange_at(index);
		int64_t baggage = oa_block_take(2);

		ck_assert_int_ge(baggage, 0);
		ex->baggage = (uint32_t)baggage + 1;
		oa_exchange_set_str(ex, OA_STR_TARGET, text_of(i % 2 ? 1500 : 10000));
		ck_assert_uint_gt(ex->cls, 0);
		if (i % 3)
			oa_exchange_finish(&conn, index, 2000, OA_ERR_NONE);
		else
			oa_exchange_discard(&conn, index);
		while (rig_next())
			;
	}
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_text_pool), 0);
}
END_TEST

START_TEST(exchange_without_a_free_block_keeps_what_fits)
{
	const struct oa_span *s;
	uint32_t index = open_one(OA_KIND_SERVER);

	for (unsigned cls = 0; cls < OA_BLOCK_CLASSES; cls++)
		while (oa_block_take(cls) >= 0)
			;
	oa_exchange_set_str(oa_exchange_at(index), OA_STR_HOST, text_of(50));
	oa_exchange_set_str(oa_exchange_at(index), OA_STR_TARGET, text_of(2000));
	oa_exchange_finish(&conn, index, 2000, OA_ERR_NONE);
	s = rig_next();
	ck_assert(is_text_of(oa_span_str(s, OA_STR_HOST), 50));
	ck_assert(s->flags & OA_SPAN_TRUNCATED);
	ck_assert_uint_gt(oa_stat_sum(OA_STAT_drop_text_pool), 0);
}
END_TEST

START_TEST(exchange_none_left_is_counted)
{
	uint32_t first = open_one(OA_KIND_SERVER);
	unsigned opened = 1;

	while (oa_exchange_open(&conn, OA_KIND_SERVER, OA_WHAT_HTTP, 1) >= 0)
		opened++;
	ck_assert_uint_eq(opened, OA_EXCHANGES_MAX);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_drop_exchange_pool), 1);
	oa_exchange_discard(&conn, first);
	ck_assert_int_ge(oa_exchange_open(&conn, OA_KIND_SERVER, OA_WHAT_HTTP, 1), 0);
}
END_TEST

#define MANY 40 /* more than a thread keeps for itself */

static void *open_and_finish_many(void *arg)
{
	static struct oa_conn own; /* one thread at a time */
	int64_t index[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		index[i] = oa_exchange_open(&own, OA_KIND_SERVER, OA_WHAT_HTTP, 1000);
		ck_assert_int_ge(index[i], 0);
		for (unsigned j = 0; j < i; j++)
			ck_assert_int_ne(index[i], index[j]);
	}
	oa_ctx_watch_thread(); /* from now on it keeps some */
	for (unsigned i = 0; i < MANY; i++)
		oa_exchange_finish(&own, (uint32_t)index[arg ? i : MANY - 1 - i], 2000, OA_ERR_NONE);
	return NULL;
}

START_TEST(exchanges_that_a_thread_keeps_are_others_after_its_end)
{
	uint32_t fresh;
	pthread_t thread;

	(void)open_one(OA_KIND_SERVER);
	ck_assert_int_eq(oa_ctx_init(), 0);
	fresh = atomic_load(&oa_exchange_pool.fresh);
	for (uintptr_t i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_create(&thread, NULL, open_and_finish_many, (void *)(i & 1)), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		ck_assert_uint_eq(atomic_load(&oa_exchange_pool.fresh), fresh + MANY);
	}
	for (unsigned i = 0; i < 3; i++) {
		open_and_finish_many(NULL);
		ck_assert_uint_eq(atomic_load(&oa_exchange_pool.fresh), fresh + MANY);
	}
}
END_TEST

START_TEST(exchange_counts_as_active_from_its_method_to_its_end)
{
	uint32_t a = open_one(OA_KIND_SERVER), b = open_one(OA_KIND_CLIENT), c = open_one(OA_KIND_SERVER);

	oa_exchange_span(oa_exchange_at(a))->method = OA_METHOD_GET;
	oa_exchange_span(oa_exchange_at(b))->method = OA_METHOD_PUT;
	oa_exchange_count_active(oa_exchange_at(a));
	oa_exchange_count_active(oa_exchange_at(b));
	ck_assert_int_eq(oa_self->active_server[OA_METHOD_GET][0], 1);
	ck_assert_int_eq(oa_self->active_client[OA_METHOD_PUT][0], 1);
	oa_exchange_finish(&conn, a, 2000, OA_ERR_NONE);
	oa_exchange_discard(&conn, b);
	oa_exchange_finish(&conn, c, 2000, OA_ERR_NONE); /* was never counted */
	for (unsigned m = 0; m < OA_METHOD_COUNT; m++) {
		ck_assert_int_eq(oa_self->active_server[m][0], 0);
		ck_assert_int_eq(oa_self->active_client[m][0], 0);
	}
}
END_TEST

START_TEST(exchange_on_a_connection_used_before_says_so)
{
	oa_exchange_finish(&conn, open_one(OA_KIND_CLIENT), 2000, OA_ERR_NONE);
	ck_assert(!(rig_next()->flags & OA_SPAN_REUSED));
	oa_exchange_finish(&conn, open_one(OA_KIND_CLIENT), 2000, OA_ERR_NONE);
	ck_assert(rig_next()->flags & OA_SPAN_REUSED);
	ck_assert_uint_eq(conn.served, 2);
}
END_TEST

START_TEST(exchange_with_a_status_and_an_error_is_incomplete)
{
	uint32_t index = open_one(OA_KIND_SERVER);

	oa_exchange_span(oa_exchange_at(index))->flags |= OA_SPAN_HAS_STATUS;
	oa_exchange_finish(&conn, index, 2000, OA_ERR_CONNECTION_CLOSED);
	ck_assert(rig_next()->flags & OA_SPAN_INCOMPLETE);
}
END_TEST

START_TEST(exchange_of_before_a_fork_is_shared_by_both_sides)
{
	uint32_t before = open_one(OA_KIND_SERVER), after;

	ck_assert(!oa_exchange_shared(oa_exchange_at(before)));
	oa_conn_after_fork_parent();
	after = open_one(OA_KIND_SERVER);
	ck_assert(oa_exchange_shared(oa_exchange_at(before)));
	ck_assert(!oa_exchange_shared(oa_exchange_at(after)));
}
END_TEST

START_TEST(exchange_of_the_parent_is_not_taken_off_the_childs_active_count)
{
	uint32_t index = open_one(OA_KIND_SERVER);

	oa_exchange_count_active(oa_exchange_at(index));
	oa_tree_forget();
	oa_conn_after_fork_child();
	ck_assert_int_eq(oa_tree_claim(), 0);
	oa_exchange_finish(&conn, index, 2000, OA_ERR_NONE);
	for (unsigned m = 0; m < OA_METHOD_COUNT; m++)
		ck_assert_int_eq(oa_self->active_server[m][0], 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("exchange");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, exchange_when_finished_leaves_its_record_in_the_ring);
	tcase_add_test(tc, exchange_that_ends_before_it_began_took_no_time);
	tcase_add_test(tc, exchange_discarded_leaves_nothing);
	tcase_add_test(tc, exchange_name_that_outlived_it_is_noticed);
	tcase_add_test(tc, exchange_queue_keeps_its_order_whichever_leaves);
	tcase_add_test(tc, exchange_texts_survive_its_growth);
	tcase_add_test(tc, exchange_text_that_does_not_fit_is_cut_and_says_so);
	tcase_add_test(tc, exchange_gives_back_every_block_it_used);
	tcase_add_test(tc, exchange_without_a_free_block_keeps_what_fits);
	tcase_add_test(tc, exchange_none_left_is_counted);
	tcase_add_test(tc, exchanges_that_a_thread_keeps_are_others_after_its_end);
	tcase_add_test(tc, exchange_counts_as_active_from_its_method_to_its_end);
	tcase_add_test(tc, exchange_on_a_connection_used_before_says_so);
	tcase_add_test(tc, exchange_with_a_status_and_an_error_is_incomplete);
	tcase_add_test(tc, exchange_of_before_a_fork_is_shared_by_both_sides);
	tcase_add_test(tc, exchange_of_the_parent_is_not_taken_off_the_childs_active_count);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
