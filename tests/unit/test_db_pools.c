/* Numbers of pools of connections, and what pools are called. */
#include "core/db_pools.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "exporter/db_pools.h"

static struct oa_db_pool pools[OA_DB_POOLS];

static struct oa_db_pool_key key_of(uint16_t port, const char *ns)
{
	struct oa_db_pool_key key;

	memset(&key, 0, sizeof(key));
	key.addr = (struct oa_addr){ .family = 4, .port = port, .ip = { 192, 0, 2, 1 } };
	key.ns_len = (uint8_t)strlen(ns);
	memcpy(key.ns, ns, strlen(ns));
	return key;
}

static unsigned number(uint16_t port, const char *ns)
{
	struct oa_db_pool_key key = key_of(port, ns);

	return oa_db_pool_get(pools, &key);
}

START_TEST(a_pool_keeps_its_number_and_what_finds_none_is_0)
{
	memset(pools, 0, sizeof(pools));
	ck_assert_uint_eq(number(1, "a"), 1);
	ck_assert_uint_eq(number(1, "b"), 2);
	ck_assert_uint_eq(number(2, "a"), 3);
	ck_assert_uint_eq(number(1, "b"), 2);
	for (uint16_t port = 100; port < 100 + OA_DB_POOLS - 4; port++)
		ck_assert_uint_eq(number(port, ""), port - 100u + 4);
	ck_assert_uint_eq(number(7, "one too many"), 0);
	ck_assert_uint_eq(number(1, "a"), 1);
	ck_assert_ptr_null(oa_db_pool_at(pools, 0));
	ck_assert_uint_eq(oa_db_pool_at(pools, 2)->ns[0], 'b');
}
END_TEST

/* Its number is lost, and nobody waits for it. */
START_TEST(one_that_a_killed_process_was_claiming_is_passed_over)
{
	memset(pools, 0, sizeof(pools));
	pools[1].state = 1;
	ck_assert_uint_eq(number(1, "a"), 2);
	ck_assert_uint_eq(number(1, "a"), 2);
	ck_assert_ptr_null(oa_db_pool_at(pools, 1));
}
END_TEST

static const char *name_of(struct oa_addr addr, const char *path, const char *ns)
{
	static char text[OA_DB_POOL_TEXT_MAX + 1];
	struct oa_bytes name = oa_db_pool_name(text, &addr, oa_bytes_str(path), oa_bytes_str(ns));

	text[name.len] = '\0';
	return text;
}

START_TEST(a_pool_is_called_by_its_address_and_database)
{
	struct oa_addr v4 = { .family = 4, .port = 5432, .ip = { 192, 0, 2, 1 } };
	struct oa_addr v6 = { .family = 6, .port = 3306, .ip = { [15] = 1 } };
	char long_path[200], long_ns[100];

	ck_assert_str_eq(name_of(v4, "", "shop"), "192.0.2.1:5432/shop");
	ck_assert_str_eq(name_of(v4, "", ""), "192.0.2.1:5432");
	ck_assert_str_eq(name_of(v6, "", "shop"), "[::1]:3306/shop");
	ck_assert_str_eq(name_of((struct oa_addr){ .family = 1 }, "/run/mysqld/mysqld.sock", "shop"), "/run/mysqld/mysqld.sock/shop");
	ck_assert_str_eq(name_of((struct oa_addr){ 0 }, "", ""), "unknown");
	memset(long_path, 'p', sizeof(long_path) - 1);
	memset(long_ns, 'n', sizeof(long_ns) - 1);
	long_path[sizeof(long_path) - 1] = long_ns[sizeof(long_ns) - 1] = '\0';
	ck_assert_uint_eq(strlen(name_of(v4, long_path, long_ns)), OA_DB_PATH_MAX + 1 + OA_DB_NAME_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("core");
	TCase *tc = tcase_create("db_pools");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, a_pool_keeps_its_number_and_what_finds_none_is_0);
	tcase_add_test(tc, one_that_a_killed_process_was_claiming_is_passed_over);
	tcase_add_test(tc, a_pool_is_called_by_its_address_and_database);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
