/* AMQP as conn/ sees it: a published message is over when all of it was sent, a delivered one belongs to nobody. */
#include "tests/unit/conn_rig.h"

#include "core/stats.h"

#define FD   540
#define HTTP 541

struct frames {
	uint8_t at[4000];
	size_t len;
};

static void put(struct frames *f, const void *bytes, size_t len)
{
	memcpy(f->at + f->len, bytes, len);
	f->len += len;
}

static void frame(struct frames *f, uint8_t type, uint8_t channel, const void *content, size_t len)
{
	uint8_t head[7] = { type, 0, channel, 0, 0, (uint8_t)(len >> 8), (uint8_t)len };

	put(f, head, sizeof(head));
	put(f, content, len);
	put(f, "\xce", 1);
}

static void message(struct frames *f, const char *body)
{
	uint8_t head[14] = { 0, 60, 0, 0 };

	head[11] = (uint8_t)strlen(body);
	frame(f, 1, 1, "\0\x3c\0\x28\0\0\4shop\3new\0", 16);
	frame(f, 2, 1, head, sizeof(head));
	if (*body)
		frame(f, 3, 1, body, strlen(body));
}

static void start(void)
{
	static const char hello[] = "AMQP\0\0\x09\x01";
	struct iovec iov = { (void *)(uintptr_t)hello, 8 };

	rig_start();
	rig_connect(FD);
	ck_assert_int_eq(rig_send_iov(FD, &iov, 1, 0, SIZE_MAX, NULL), 8);
}

static void send_from(struct frames *f, size_t at, size_t len, size_t room)
{
	while (len) {
		struct iovec iov = { f->at + at, len };
		ssize_t n = rig_send_iov(FD, &iov, 1, 0, room, NULL);

		ck_assert_int_gt(n, 0);
		at += (size_t)n;
		len -= (size_t)n;
	}
}

static void deliver(void)
{
	struct frames f = { .len = 0 };

	frame(&f, 1, 1, "\0\x3c\0\x3c\3tag\0\0\0\0\0\0\0\1\0\4shop\3new", 26);
	oa_conn_on_received(FD, f.at, f.len, (ssize_t)f.len, 0, 0);
}

static const struct oa_span *expect(const char *operation, const char *target)
{
	const struct oa_span *s = rig_next();
	struct oa_db_texts texts;
	struct oa_db db;

	ck_assert_msg(s != NULL, "no record of %s", operation);
	ck_assert_int_eq(s->kind, OA_KIND_CLIENT);
	ck_assert(oa_span_db(s, &db, &texts));
	ck_assert_int_eq(db.system, OA_STORE_AMQP);
	ck_assert(oa_bytes_eq(texts.operation, oa_bytes_str(operation)));
	ck_assert(oa_bytes_eq(texts.target, oa_bytes_str(target)));
	ck_assert_int_eq(s->error, OA_ERR_NONE);
	return s;
}

/* _i: 0 with a body, 1 without */
START_TEST(amqp_a_message_is_over_with_its_last_byte_wherever_calls_are_cut)
{
	struct frames f = { .len = 0 };

	start();
	message(&f, _i ? "" : "hunter2");
	for (size_t cut = 1; cut < f.len; cut++) {
		send_from(&f, 0, cut, SIZE_MAX);
		if (cut < f.len - 1)
			ck_assert_ptr_null(rig_next());
		send_from(&f, cut, f.len - cut, SIZE_MAX);
		(void)expect("basic.publish", "shop:new");
		ck_assert_ptr_null(rig_next());
	}
	for (size_t room = 1; room < f.len; room++) {
		send_from(&f, 0, f.len, room);
		(void)expect("basic.publish", "shop:new");
		ck_assert_ptr_null(rig_next());
	}
}
END_TEST

START_TEST(amqp_what_the_kernel_did_not_take_was_not_published)
{
	struct frames f = { .len = 0 };
	struct iovec iov;

	start();
	message(&f, "a");
	message(&f, "b");
	iov = (struct iovec){ f.at, f.len };
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(rig_send_iov(FD, &iov, 1, 0, 0, NULL), -1);
	ck_assert_ptr_null(rig_next());
	send_from(&f, 0, f.len, SIZE_MAX);
	(void)expect("basic.publish", "shop:new");
	(void)expect("basic.publish", "shop:new");
	ck_assert_ptr_null(rig_next());
}
END_TEST

START_TEST(amqp_what_is_published_belongs_to_the_request_and_what_is_delivered_does_not)
{
	struct frames f = { .len = 0 };
	uint8_t publish[8], deliver_parent[8], served[8];
	const struct oa_span *s;

	start();
	rig_accept(HTTP, false);
	rig_receive(HTTP, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	message(&f, "a");
	send_from(&f, 0, f.len, SIZE_MAX);
	memcpy(publish, expect("basic.publish", "shop:new")->parent_id, 8);
	deliver();
	memcpy(deliver_parent, expect("basic.deliver", "shop:new")->parent_id, 8);
	rig_respond(HTTP);
	s = rig_next();
	ck_assert(s && s->kind == OA_KIND_SERVER);
	memcpy(served, s->span_id, 8);
	ck_assert_mem_eq(publish, served, 8);
	ck_assert_mem_eq(deliver_parent, "\0\0\0\0\0\0\0\0", 8);
}
END_TEST

START_TEST(amqp_a_broker_is_left_alone)
{
	rig_start();
	rig_accept(FD, false);
	oa_conn_on_received(FD, "AMQP\0\0\x09\x01", 8, 8, 0, 0);
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_opaque_served_store), 1);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("amqp");
	Suite *suite = suite_create("conn");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, amqp_a_message_is_over_with_its_last_byte_wherever_calls_are_cut, 0, 2);
	tcase_add_test(tc, amqp_what_the_kernel_did_not_take_was_not_published);
	tcase_add_test(tc, amqp_what_is_published_belongs_to_the_request_and_what_is_delivered_does_not);
	tcase_add_test(tc, amqp_a_broker_is_left_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
