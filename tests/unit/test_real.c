/* hooks/real.c and raw.c: what the table holds, and what serves calls before it is filled. Linked against the hook
 * files' tables, not against the hooks. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/glibc_floor.h"
#include "hooks/real.h"

static const char *const names[] = {
#define OA_SYM(name, need, standin) #name,
#include "hooks/libc.def"
#undef OA_SYM
};

/* Those of TLS libraries; they are found by hooks/lib_find.c. */
static const char *const tls_names[] = {
#define OA_LIB_HOOK(name, refusal) #name,
#define OA_LIB_ASK(name)
#include "hooks/openssl.def"
#include "hooks/gnutls.def"
#include "hooks/sqlite.def"
#include "hooks/rabbitmq.def"
#include "hooks/rdkafka.def"
#undef OA_LIB_HOOK
#undef OA_LIB_ASK
};
#define TLS_NAMES (sizeof(tls_names) / sizeof(tls_names[0]))

enum { REQUIRED, OPTIONAL };
static const int needs[] = {
#define OA_SYM(name, need, standin) need,
#include "hooks/libc.def"
#undef OA_SYM
};

/* As the table is before it is filled; each test runs in a process of its own. */
#define RAW(name) ((__typeof__(&name))oa_real_table[OA_SYM_##name])

START_TEST(every_required_name_is_in_this_libc)
{
	for (unsigned i = 0; i < OA_SYM_COUNT; i++)
		ck_assert_msg(needs[i] == OPTIONAL || oa_floor_find(names[i]), "%s", names[i]);
}
END_TEST

START_TEST(resolved_functions_are_those_the_program_would_call)
{
	oa_real_resolve();
	for (unsigned i = 0; i < OA_SYM_COUNT; i++) {
		void *next = dlsym(RTLD_DEFAULT, names[i]);

		if (next)
			ck_assert_msg(oa_real_table[i] == next, "%s", names[i]);
		ck_assert_ptr_nonnull(oa_real_table[i]);
	}
}
END_TEST

START_TEST(resolving_again_changes_nothing)
{
	void *before;

	oa_real_resolve();
	before = oa_real_table[OA_SYM_read];
	errno = 77;
	oa_real_resolve();
	ck_assert_ptr_eq(before, oa_real_table[OA_SYM_read]);
	ck_assert_int_eq(errno, 77);
}
END_TEST

START_TEST(all_but_name_lookups_have_a_stand_in)
{
	for (unsigned i = 0; i < OA_SYM_COUNT; i++) {
		bool lookup = !strncmp(names[i], "get", 3) && strcmp(names[i], "getsockopt");

		ck_assert_msg(!oa_real_table[i] == lookup, "%s", names[i]);
	}
}
END_TEST

START_TEST(stand_ins_do_what_the_functions_do)
{
	int p[2], s[2], fd;
	char buf[8];
	struct pollfd pfd;
	struct epoll_event ev = { .events = EPOLLIN };
	struct timespec none = { 0, 0 };
	struct timespec some = { 0, 1000 };
	fd_set set;

	ck_assert_int_eq(RAW(pipe)(p), 0);
	ck_assert_int_eq(RAW(write)(p[1], "abc", 3), 3);
	ck_assert_int_eq(RAW(read)(p[0], buf, sizeof(buf)), 3);
	ck_assert_int_eq(RAW(socketpair)(AF_UNIX, SOCK_STREAM, 0, s), 0);
	ck_assert_int_eq(RAW(send)(s[0], "hello", 5, MSG_NOSIGNAL), 5);
	ck_assert_int_eq(RAW(recv)(s[1], buf, 5, MSG_PEEK), 5);
	ck_assert_int_eq(RAW(recvfrom)(s[1], buf, 5, 0, NULL, NULL), 5);
	ck_assert_mem_eq(buf, "hello", 5);
	pfd = (struct pollfd){ .fd = s[1], .events = POLLIN };
	ck_assert_int_eq(RAW(poll)(&pfd, 1, 0), 0);
	ck_assert_int_eq(RAW(ppoll)(&pfd, 1, &some, NULL), 0);
	ck_assert_int_eq(some.tv_nsec, 1000);
	fd = RAW(epoll_create1)(0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(RAW(epoll_ctl)(fd, EPOLL_CTL_ADD, s[1], &ev), 0);
	ck_assert_int_eq(RAW(epoll_wait)(fd, &ev, 1, 0), 0);
	ck_assert_int_eq(RAW(epoll_pwait)(fd, &ev, 1, 0, NULL), 0);
	FD_ZERO(&set);
	FD_SET(s[1], &set);
	ck_assert_int_eq(RAW(pselect)(s[1] + 1, &set, NULL, NULL, &none, NULL), 0);
	ck_assert_int_eq(RAW(fcntl)(s[1], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(RAW(recv)(s[1], buf, 5, 0), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(RAW(close)(fd), 0);
	ck_assert_int_eq(RAW(close)(fd), -1);
	ck_assert_int_eq(errno, EBADF);
}
END_TEST

START_TEST(name_lookups_are_found_before_the_table_is_filled)
{
	ck_assert_ptr_null(oa_real_table[OA_SYM_getaddrinfo]);
	ck_assert_ptr_eq(oa_real_get(OA_SYM_getaddrinfo, OA_HAS_STANDIN_getaddrinfo),
			 dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "getaddrinfo"));
}
END_TEST

/* Version script and table name the same functions. */
START_TEST(what_is_exported_is_what_is_hooked)
{
	const char *path = getenv("OA_EXPORTS_MAP");
	char text[8192], want[64];
	FILE *f = fopen(path ? path : "preload/exports.map", "r");
	size_t n, lines = 0;

	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	for (unsigned i = 0; i < OA_SYM_COUNT; i++) {
		snprintf(want, sizeof(want), "\t%s;\n", names[i]);
		ck_assert_msg(strstr(text, want), "%s", names[i]);
	}
	for (unsigned i = 0; i < TLS_NAMES; i++) {
		snprintf(want, sizeof(want), "\t%s;\n", tls_names[i]);
		ck_assert_msg(strstr(text, want), "%s", tls_names[i]);
	}
	for (const char *at = strstr(text, "global:"); (at = strstr(at, "\n\t")); at++)
		lines++;
	ck_assert_uint_eq(lines, OA_SYM_COUNT + TLS_NAMES + 2); /* otelauto_loaded, * */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("real");
	TCase *c = tcase_create("real");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, c);
	tcase_add_test(c, all_but_name_lookups_have_a_stand_in);
	tcase_add_test(c, stand_ins_do_what_the_functions_do);
	tcase_add_test(c, every_required_name_is_in_this_libc);
	tcase_add_test(c, resolved_functions_are_those_the_program_would_call);
	tcase_add_test(c, resolving_again_changes_nothing);
	tcase_add_test(c, name_lookups_are_found_before_the_table_is_filled);
	tcase_add_test(c, what_is_exported_is_what_is_hooked);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
