/* AMQP as conn/ sees it: a published message is over when all of it was sent, a delivered one belongs to nobody. */
#include "tests/unit/conn_rig.h"

#include "conn/messages.h"
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

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* A message of no bytes, with that header, behind that method; at most `step` bytes at a time. */
static void bring(const void *method, size_t method_len, const char *header, size_t step)
{
	struct frames f = { .len = 0 };
	uint8_t content[128] = { 0, 60, [12] = 0x20 };
	size_t len = 18, text = strlen(TRACE);

	content[17] = (uint8_t)(1 + strlen(header) + 5 + text);
	content[len++] = (uint8_t)strlen(header);
	memcpy(content + len, header, strlen(header));
	len += strlen(header);
	memcpy(content + len, "S\0\0\0", 4);
	content[len + 4] = (uint8_t)text;
	memcpy(content + len + 5, TRACE, text);
	frame(&f, 1, 1, method, method_len);
	frame(&f, 2, 1, content, len + 5 + text);
	for (size_t at = 0; at < f.len; at += step) {
		size_t n = f.len - at < step ? f.len - at : step;

		oa_conn_on_received(FD, f.at + at, n, (ssize_t)n, 0, 0);
	}
}

static void deliver(const char *header, size_t step)
{
	bring("\0\x3c\0\x3c\3tag\0\0\0\0\0\0\0\1\0\4shop\3new", 26, header, step);
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
	deliver("h", SIZE_MAX);
	memcpy(deliver_parent, expect("basic.deliver", "shop:new")->parent_id, 8);
	rig_respond(HTTP);
	s = rig_next();
	ck_assert(s && s->kind == OA_KIND_SERVER);
	memcpy(served, s->span_id, 8);
	ck_assert_mem_eq(publish, served, 8);
	ck_assert_mem_eq(deliver_parent, "\0\0\0\0\0\0\0\0", 8);
}
END_TEST

/* _i: bytes at a time */
START_TEST(amqp_a_delivery_is_linked_to_where_its_message_was_made)
{
	static const uint8_t trace[] = { 0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
					 0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31 };
	const struct oa_span *s;
	struct oa_bytes links;

	start();
	deliver("traceparent", (size_t)_i);
	s = expect("basic.deliver", "shop:new");
	links = oa_span_str(s, OA_STR_LINKS);
	ck_assert_uint_eq(links.len, sizeof(struct oa_link));
	ck_assert_mem_eq(links.ptr, trace, sizeof(trace));
	ck_assert(!oa_span_has_parent(s) && memcmp(s->trace_id, trace, 16));
	deliver("tracepart", (size_t)_i);
	ck_assert_uint_eq(oa_span_str(expect("basic.deliver", "shop:new"), OA_STR_LINKS).len, 0);
	ck_assert_ptr_null(rig_next());
}
END_TEST

/* Of a loop that has read two requests: its span is linked to both, and to where the message was made. */
START_TEST(amqp_a_message_that_is_fetched_for_one_of_several_is_linked_to_all_it_may_belong_to)
{
	static const uint8_t made[] = { 0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31 };
	struct frames f = { .len = 0 };
	uint8_t served[2][8];
	struct oa_bytes links;
	struct oa_link link[3];
	const struct oa_span *s;

	start();
	oa_conn_on_epoll_fd(600);
	oa_conn_before_wait(OA_WAIT_LOOP, 600, 60000, false);
	oa_conn_after_wait(OA_WAIT_LOOP, 600, 60000, 1);
	for (int i = 0; i < 2; i++) {
		rig_accept(HTTP + i, true);
		rig_receive(HTTP + i, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	}
	frame(&f, 1, 1, "\0\x3c\0\x46\0\0\3new\0", 11);
	send_from(&f, 0, f.len, SIZE_MAX);
	bring("\0\x3c\0\x47\0\0\0\0\0\0\0\1\0\4shop\3new\0\0\0\0", 26, "traceparent", SIZE_MAX);
	s = rig_next();
	ck_assert(s && s->kind == OA_KIND_CLIENT && s->evidence == OA_EV_AMBIGUOUS);
	links = oa_span_str(s, OA_STR_LINKS);
	ck_assert_uint_eq(links.len, sizeof(link));
	memcpy(link, links.ptr, sizeof(link));
	ck_assert_mem_eq(link[2].span_id, made, sizeof(made));
	for (int i = 0; i < 2; i++) {
		rig_respond(HTTP + i);
		s = rig_next();
		ck_assert(s && s->kind == OA_KIND_SERVER);
		memcpy(served[i], s->span_id, 8);
	}
	ck_assert((!memcmp(link[0].span_id, served[0], 8) && !memcmp(link[1].span_id, served[1], 8)) ||
		  (!memcmp(link[0].span_id, served[1], 8) && !memcmp(link[1].span_id, served[0], 8)));
}
END_TEST

START_TEST(amqp_a_message_that_is_made_names_its_span_and_belongs_to_the_request)
{
	char context[OA_TRACEPARENT + 1] = "", hex[17] = "";
	uint8_t made[8], parent[8], served[8];
	const struct oa_span *s;

	rig_start();
	rig_accept(HTTP, false);
	rig_receive(HTTP, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert(oa_message_create(OA_STORE_AMQP, OA_LIT("shop"), OA_LIT("new"), context));
	s = expect("create", "shop:new");
	memcpy(made, s->span_id, 8);
	memcpy(parent, s->parent_id, 8);
	oa_hex(hex, made, 8);
	ck_assert_mem_eq(context + 36, hex, 16);
	ck_assert_str_eq(context + 52, "-03");
	rig_respond(HTTP);
	s = rig_next();
	ck_assert(s && s->kind == OA_KIND_SERVER);
	memcpy(served, s->span_id, 8);
	ck_assert_mem_eq(parent, served, 8);
	ck_assert_ptr_null(rig_next());
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
	tcase_add_test(tc, amqp_a_message_that_is_fetched_for_one_of_several_is_linked_to_all_it_may_belong_to);
	tcase_add_loop_test(tc, amqp_a_delivery_is_linked_to_where_its_message_was_made, 1, 150);
	tcase_add_test(tc, amqp_a_message_that_is_made_names_its_span_and_belongs_to_the_request);
	tcase_add_test(tc, amqp_a_broker_is_left_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
