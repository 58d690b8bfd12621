/* hooks/lib_find.c with a made-up library in two copies: each calling place gets the copy that its own object is linked to,
 * also where RTLD_NEXT finds none; what a library calls by itself is told apart; where there is none, calls fail. The
 * functions of this program stand for the hooks. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn/conn.h"
#include "core/config.h"
#include "core/stats.h"
#include "core/tree.h"
#include "hooks/lib_find.h"

#define CALLER ((uintptr_t)__builtin_return_address(0))

/* What hooks/hook.c and raw.c have otherwise. */
static const uint8_t own_mark = 1;
const volatile uint8_t *oa_hook_fork_mark = &own_mark;
void (*oa_hook_fork_missed)(void);

static long refuse(void) { return -77; }

static void *refusal(unsigned i) { return i < 2 ? (void *)refuse : NULL; }

static struct oa_lib none;
static const struct oa_lib_names made_up = {
	.file = "libmade_up", .count = 3, .none = &none,
	.names = "made_up_read\0made_up_connect\0made_up_missing\0",
	.refusal = refusal,
};
static unsigned told; /* calls that were the program's own */

__attribute__((noinline)) int made_up_read(void *session);
__attribute__((noinline)) int made_up_connect(void *session);

#define HOOK(index, session) \
	({ \
		struct oa_lib_call k = { .lib = oa_lib_of(&made_up, (session), CALLER) }; \
		int got_; \
		told += oa_lib_begin(&k, (session), CALLER); \
		got_ = ((int (*)(void *))k.lib->fn[index])(session); \
		oa_lib_end(&k); \
		got_; \
	})

int made_up_read(void *session) { return HOOK(0, session); }
int made_up_connect(void *session) { return HOOK(1, session); }

struct module {
	int (*read)(void *), (*connect)(void *);
};

static struct module load(const char *name)
{
	char path[512];
	void *handle;
	struct module m;

	snprintf(path, sizeof(path), "%s/%s", getenv("OA_LIB_FIND"), name);
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ck_assert_msg(handle != NULL, "%s", dlerror());
	m.read = (int (*)(void *))dlsym(handle, "module_read");
	m.connect = (int (*)(void *))dlsym(handle, "module_connect");
	return m;
}

static void *fresh_session(void)
{
	static uint64_t sessions[4][64];
	static unsigned count;

	return sessions[count++];
}

START_TEST(each_object_gets_its_own_copy)
{
	struct module a = load("libmodule_a.so"), b = load("libmodule_b.so");
	void *session = fresh_session();

	errno = 66;
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(a.read(session), 1);
		ck_assert_int_eq(b.read(session), 2);
	}
	ck_assert_int_eq(errno, 66);
	ck_assert_ptr_null(dlerror());
}
END_TEST

START_TEST(what_a_library_jumps_to_is_its_own_and_told_once)
{
	struct module a = load("libmodule_a.so"), b = load("libmodule_b.so");
	void *session = fresh_session();

	ck_assert_int_eq(b.connect(session), 2);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(a.connect(session), 1);
	ck_assert_uint_eq(told, 2);
	ck_assert_int_eq(a.read(session), 1);
	ck_assert_uint_eq(told, 3);
	ck_assert_ptr_null(oa_tls.lib_call);
}
END_TEST

START_TEST(a_call_that_never_came_back_is_forgotten)
{
	struct oa_lib_call dead;
	struct module a = load("libmodule_a.so");
	void *session = fresh_session();
	char deep[4096];

	memset(deep, 0, sizeof(deep));
	dead.object = session;
	oa_tls.lib_call = (const void *)((uintptr_t)__builtin_frame_address(0) - 65536); /* below: its frame is gone */
	ck_assert_int_eq(a.read(session), 1);
	ck_assert_uint_eq(told, 1);
	(void)dead;
}
END_TEST

/* This program is linked to neither copy: one that is loaded by its file's name will do, two would be a guess. */
START_TEST(a_caller_without_a_library_gets_the_only_copy_there_is)
{
	load("libmodule_a.so");
	ck_assert_int_eq(made_up_read(fresh_session()), 1);
}
END_TEST

START_TEST(of_two_copies_the_session_tells_which)
{
	struct module a = load("libmodule_a.so"), b = load("libmodule_b.so");
	uintptr_t *session = fresh_session();

	ck_assert_int_eq(a.read(session), 1);
	ck_assert_int_eq(b.read(session), 2);
	for (unsigned i = 0; i < OA_LIBS_MAX; i++)
		if (oa_libs[i].names && ((int (*)(void *))oa_libs[i].fn[0])(NULL) == 2)
			session[1] = (uintptr_t)oa_libs[i].fn[0]; /* points into the second copy */
	ck_assert_int_eq(made_up_read(session), 2);
}
END_TEST

START_TEST(of_two_copies_none_is_guessed)
{
	load("libmodule_a.so");
	load("libmodule_b.so");
	ck_assert_int_eq(made_up_read(fresh_session()), -77);
}
END_TEST

START_TEST(where_there_is_none_the_call_fails)
{
	errno = 66;
	ck_assert_int_eq(made_up_read(fresh_session()), -77);
	ck_assert_int_eq(made_up_connect(NULL), -77);
	ck_assert_int_eq(errno, 66);
	ck_assert_ptr_null(dlerror());
	ck_assert_uint_eq(oa_stat_sum(OA_STAT_tls_library), 2);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hooks");
	TCase *tc = tcase_create("lib_find");
	char *const no_env[] = { NULL };
	SRunner *sr;
	int failed;

	oa_config_read(no_env);
	(void)oa_tree_map();
	(void)oa_conn_init();
	tcase_add_test(tc, each_object_gets_its_own_copy);
	tcase_add_test(tc, what_a_library_jumps_to_is_its_own_and_told_once);
	tcase_add_test(tc, a_call_that_never_came_back_is_forgotten);
	tcase_add_test(tc, a_caller_without_a_library_gets_the_only_copy_there_is);
	tcase_add_test(tc, of_two_copies_the_session_tells_which);
	tcase_add_test(tc, of_two_copies_none_is_guessed);
	tcase_add_test(tc, where_there_is_none_the_call_fails);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
