/* How long the lookup of an address took: told once, to the connect that follows it. */
#include "conn/conn.h"
#include "conn/lookup.h"
#include "conn/peer.h"
#include "core/clock.h"
#include "core/config.h"
#include "core/tree.h"

#include <arpa/inet.h>
#include <check.h>
#include <netdb.h>
#include <netinet/in.h>

static struct sockaddr_in at[16];
static struct addrinfo info[16];

/* `count` answers 192.0.2.<first>, … as getaddrinfo() chains them. */
static struct addrinfo *answers(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		at[i] = (struct sockaddr_in){ .sin_family = AF_INET };
		at[i].sin_addr.s_addr = htonl(0xc0000200u + first + i);
		info[i] = (struct addrinfo){ .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&at[i],
					     .ai_addrlen = sizeof(at[i]), .ai_next = i + 1 < count ? &info[i + 1] : NULL };
	}
	return info;
}

static uint32_t take(unsigned last, uint16_t port, uint64_t start_ns)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct oa_addr addr;

	a.sin_addr.s_addr = htonl(0xc0000200u + last);
	addr = oa_peer_from((struct sockaddr *)&a, sizeof(a));
	return oa_lookup_take(&addr, start_ns);
}

START_TEST(lookup_time_goes_to_the_next_connect_whatever_its_port_and_only_once)
{
	oa_conn_on_lookup(answers(1, 1), 5000000);
	ck_assert_uint_eq(take(2, 80, oa_now_ns()), 0);
	ck_assert_uint_eq(take(1, 8080, oa_now_ns()), 5000);
	ck_assert_uint_eq(take(1, 8080, oa_now_ns()), 0);
}
END_TEST

START_TEST(lookup_time_counts_for_every_address_of_the_answer)
{
	oa_conn_on_lookup(answers(1, 3), 7000);
	ck_assert_uint_eq(take(3, 80, oa_now_ns()), 7);
	ck_assert_uint_eq(take(1, 80, oa_now_ns()), 7);
	ck_assert_uint_eq(take(2, 80, oa_now_ns()), 7);
}
END_TEST

START_TEST(lookup_time_is_forgotten_after_two_seconds)
{
	oa_conn_on_lookup(answers(1, 1), 5000000);
	ck_assert_uint_eq(take(1, 80, oa_now_ns() + 2500000000u), 0);
	oa_conn_on_lookup(answers(1, 1), 5000000);
	ck_assert_uint_eq(take(1, 80, oa_now_ns() + 1000000000u), 5000);
}
END_TEST

START_TEST(lookup_from_a_cache_took_a_microsecond_not_none)
{
	oa_conn_on_lookup(answers(1, 1), 10);
	ck_assert_uint_eq(take(1, 80, oa_now_ns()), 1);
}
END_TEST

START_TEST(lookup_that_took_longer_than_the_field_holds_stays_at_its_end)
{
	oa_conn_on_lookup(answers(1, 1), UINT64_MAX / 2);
	ck_assert_uint_eq(take(1, 80, oa_now_ns()), UINT32_MAX);
}
END_TEST

START_TEST(lookup_of_anything_but_an_ip_address_is_nothing)
{
	struct oa_addr unix_addr = { .family = 1 }, none = { 0 };
	struct addrinfo odd = { .ai_family = AF_UNIX };

	oa_conn_on_lookup(NULL, 1000);
	oa_conn_on_lookup(&odd, 1000);
	ck_assert_uint_eq(oa_lookup_take(&unix_addr, oa_now_ns()), 0);
	ck_assert_uint_eq(oa_lookup_take(&none, oa_now_ns()), 0);
}
END_TEST

START_TEST(lookup_reads_no_more_than_eight_answers)
{
	oa_conn_on_lookup(answers(1, 16), 5000);
	ck_assert_uint_eq(take(8, 80, oa_now_ns()), 5);
	ck_assert_uint_eq(take(9, 80, oa_now_ns()), 0);
}
END_TEST

static uint64_t measured(const char *name, const char *error, uint64_t *ret_count)
{
	const struct oa_series *s;
	uint64_t sum = 0;
	unsigned pos = 0;

	*ret_count = 0;
	while ((s = oa_series_next(&oa_tree->series, &pos)) != NULL) {
		struct oa_bytes packed = oa_series_labels(&oa_tree->series, s), value;
		enum oa_label label;
		unsigned walk = 0, right = 0, labels = 0;

		for (; oa_label_next(packed.ptr, (unsigned)packed.len, &walk, &label, &value); labels++)
			right += oa_bytes_eq(value, oa_bytes_str(label == OA_LABEL_dns_name ? name : error ? error : ""));
		if (right != (error ? 2u : 1u) || labels != right)
			continue;
		sum += atomic_load(&s->sum);
		for (unsigned i = 0; i <= OA_BOUNDS_MAX; i++)
			*ret_count += atomic_load(&s->bucket[i]);
	}
	return sum;
}

START_TEST(lookups_are_measured_by_name_and_by_what_went_wrong)
{
	uint64_t count;

	oa_config.series_limit = 100;
	oa_conn_measure_lookup("nobody.looks", 5, NULL); /* not mapped: nothing to write to */
	ck_assert_int_eq(oa_tree_map(), 0);
	oa_conn_measure_lookup("db.example", 5, NULL);
	oa_conn_measure_lookup("db.example", 7, NULL);
	oa_conn_measure_lookup("db.example", 100, "host_not_found");
	ck_assert_uint_eq(measured("db.example", NULL, &count), 12);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(measured("db.example", "host_not_found", &count), 100);
	ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(lookup_of_an_address_is_none)
{
	uint64_t count;

	oa_config.series_limit = 100;
	ck_assert_int_eq(oa_tree_map(), 0);
	oa_conn_measure_lookup("127.0.0.1", 5, NULL);
	oa_conn_measure_lookup("fe80::1", 5, NULL);
	oa_conn_measure_lookup("", 5, NULL);
	oa_conn_measure_lookup("1.example", 5, NULL);
	ck_assert_uint_eq(measured("127.0.0.1", NULL, &count) + measured("fe80::1", NULL, &count) + measured("", NULL, &count), 0);
	ck_assert_uint_eq(measured("1.example", NULL, &count), 5);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("lookup");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, lookup_time_goes_to_the_next_connect_whatever_its_port_and_only_once);
	tcase_add_test(tc, lookup_time_counts_for_every_address_of_the_answer);
	tcase_add_test(tc, lookup_time_is_forgotten_after_two_seconds);
	tcase_add_test(tc, lookup_from_a_cache_took_a_microsecond_not_none);
	tcase_add_test(tc, lookup_that_took_longer_than_the_field_holds_stays_at_its_end);
	tcase_add_test(tc, lookup_of_anything_but_an_ip_address_is_nothing);
	tcase_add_test(tc, lookup_reads_no_more_than_eight_answers);
	tcase_add_test(tc, lookups_are_measured_by_name_and_by_what_went_wrong);
	tcase_add_test(tc, lookup_of_an_address_is_none);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
