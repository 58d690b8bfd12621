/* Socket addresses as the kernel and as programs hand them over: short, mapped, unnamed. */
#include "conn/peer.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <sys/un.h>

#define UN_HEAD offsetof(struct sockaddr_un, sun_path)

static struct oa_addr of(const void *addr, socklen_t len)
{
	return oa_peer_from(addr, len);
}

static struct sockaddr_in6 in6(const char *text, uint16_t port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	ck_assert_int_eq(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
	return a;
}

static struct sockaddr_in in4(const char *text, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	ck_assert_int_eq(inet_pton(AF_INET, text, &a.sin_addr), 1);
	return a;
}

START_TEST(peer_keeps_address_and_port_of_both_families)
{
	struct sockaddr_in v4 = in4("192.0.2.7", 8080);
	struct sockaddr_in6 v6 = in6("2001:db8::1", 443);
	struct oa_addr a = of(&v4, sizeof(v4)), b = of(&v6, sizeof(v6));

	ck_assert_uint_eq(a.family, 4);
	ck_assert_uint_eq(a.port, 8080);
	ck_assert_mem_eq(a.ip, "\xc0\x00\x02\x07\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	ck_assert_uint_eq(b.family, 6);
	ck_assert_uint_eq(b.port, 443);
	ck_assert_mem_eq(b.ip, &v6.sin6_addr, 16);
}
END_TEST

START_TEST(peer_mapped_address_is_the_ipv4_address_it_stands_for)
{
	struct sockaddr_in v4 = in4("192.0.2.7", 8080);
	struct sockaddr_in6 v6 = in6("::ffff:192.0.2.7", 8080);
	struct oa_addr a = of(&v4, sizeof(v4)), b = of(&v6, sizeof(v6));

	ck_assert_uint_eq(b.family, 4);
	ck_assert(oa_peer_eq(&a, &b));
}
END_TEST

START_TEST(peer_of_a_unix_socket_has_no_number)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/x.sock" };
	struct oa_addr a = of(&un, sizeof(un));

	ck_assert_uint_eq(a.family, 1);
	ck_assert_uint_eq(a.port, 0);
	a = of(&un, sizeof(un.sun_family)); /* what accept() gives for an unnamed one */
	ck_assert_uint_eq(a.family, 1);
}
END_TEST

START_TEST(peer_of_what_is_too_short_or_unknown_is_nothing)
{
	struct sockaddr_in v4 = in4("192.0.2.7", 8080);
	struct sockaddr_in6 v6 = in6("2001:db8::1", 443);
	struct sockaddr other = { .sa_family = AF_PACKET };

	ck_assert_uint_eq(of(NULL, sizeof(v4)).family, 0);
	ck_assert_uint_eq(of(&v4, 0).family, 0);
	ck_assert_uint_eq(of(&v4, 1).family, 0);
	ck_assert_uint_eq(of(&v4, sizeof(v4) - 1).family, 0);
	ck_assert_uint_eq(of(&v6, sizeof(v6) - 1).family, 0);
	ck_assert_uint_eq(of(&other, sizeof(other)).family, 0);
	ck_assert_uint_eq(of(&v4, sizeof(v4) - 1).port, 0);
}
END_TEST

START_TEST(peer_path_ends_at_its_nul_or_where_the_kernel_says)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/run/x.sock" };
	struct sockaddr_un full = { .sun_family = AF_UNIX };
	struct oa_bytes path;

	ck_assert(oa_bytes_eq(oa_peer_path((void *)&un, sizeof(un)), OA_LIT("/run/x.sock")));
	ck_assert(oa_bytes_eq(oa_peer_path((void *)&un, UN_HEAD + 6), OA_LIT("/run/x")));
	memset(full.sun_path, 'p', sizeof(full.sun_path)); /* no room for a NUL: legal */
	path = oa_peer_path((void *)&full, sizeof(full));
	ck_assert_uint_eq(path.len, sizeof(full.sun_path));
}
END_TEST

START_TEST(peer_path_of_an_abstract_name_may_hold_zeros)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "\0a\0b" };
	struct oa_bytes path = oa_peer_path((void *)&un, UN_HEAD + 4);

	ck_assert_uint_eq(path.len, 4);
	ck_assert_mem_eq(path.ptr, "\0a\0b", 4);
}
END_TEST

START_TEST(peer_path_of_what_has_none_is_empty)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in v4 = in4("192.0.2.7", 8080);

	ck_assert_uint_eq(oa_peer_path((void *)&un, UN_HEAD).len, 0);
	ck_assert_uint_eq(oa_peer_path((void *)&v4, sizeof(v4)).len, 0);
	ck_assert_uint_eq(oa_peer_path(NULL, sizeof(un)).len, 0);
}
END_TEST

START_TEST(peer_differs_by_family_port_or_any_byte)
{
	struct sockaddr_in v4 = in4("192.0.2.7", 8080), port = in4("192.0.2.7", 8081), ip = in4("192.0.2.8", 8080);
	struct sockaddr_in6 v6 = in6("2001:db8::1", 443), last = in6("2001:db8::2", 443);
	struct oa_addr a = of(&v4, sizeof(v4)), b = of(&port, sizeof(port)), c = of(&ip, sizeof(ip));
	struct oa_addr d = of(&v6, sizeof(v6)), e = of(&last, sizeof(last)), f = a;

	ck_assert(oa_peer_eq(&a, &f));
	ck_assert(!oa_peer_eq(&a, &b));
	ck_assert(!oa_peer_eq(&a, &c));
	ck_assert(!oa_peer_eq(&d, &e));
	f.family = 6;
	ck_assert(!oa_peer_eq(&a, &f));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conn");
	TCase *tc = tcase_create("peer");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, peer_keeps_address_and_port_of_both_families);
	tcase_add_test(tc, peer_mapped_address_is_the_ipv4_address_it_stands_for);
	tcase_add_test(tc, peer_of_a_unix_socket_has_no_number);
	tcase_add_test(tc, peer_of_what_is_too_short_or_unknown_is_nothing);
	tcase_add_test(tc, peer_path_ends_at_its_nul_or_where_the_kernel_says);
	tcase_add_test(tc, peer_path_of_an_abstract_name_may_hold_zeros);
	tcase_add_test(tc, peer_path_of_what_has_none_is_empty);
	tcase_add_test(tc, peer_differs_by_family_port_or_any_byte);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
