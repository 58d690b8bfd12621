/* The `ot` member of tracestate, among members of others. */
#include "sampler/ot_state.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[4096];

/* The list with this th: a number, 'x' to take it out; "!" when it cannot. */
static const char *with(const char *list, const char *th, size_t room)
{
	struct oa_bytes in = oa_bytes_str(list);
	struct oa_buf out = oa_buf(text, room);
	uint64_t threshold = OA_TH_NONE;
	struct oa_ot ot;

	if (*th != 'x')
		ck_assert(oa_th_parse(oa_bytes_str(th), &threshold));
	oa_ot_parse(in, &ot);
	if (!oa_ot_write(in, &ot, threshold, &out))
		return "!";
	text[out.len] = 0;
	return text;
}

static const struct {
	const char *list, *th, *want;
} edits[] = {
	{ "", "8", "ot=th:8" },
	{ "", "0", "ot=th:0" },
	{ "", "x", "" },
	{ "ot=th:4", "x", "" },
	{ "a=1", "fd70a", "ot=th:fd70a,a=1" },
	{ "a=1,b=2", "x", "a=1,b=2" },
	{ "a=1,ot=th:c,b=2", "8", "ot=th:8,a=1,b=2" },
	{ "a=1,ot=th:c;rv:0123456789abcd,b=2", "x", "ot=rv:0123456789abcd,a=1,b=2" },
	{ "ot=rv:0123456789abcd;zz:some,thing=1", "8", "ot=th:8;rv:0123456789abcd;zz:some,thing=1" },
	{ "a=1 , ot=zz:1;th:c ,b=2", "8", "ot=th:8;zz:1,a=1,b=2" },
	{ "ot=th:c,ot=th:4", "8", "ot=th:8" },
	{ "ott=th:c,o=1", "8", "ot=th:8,ott=th:c,o=1" },
	/* broken: not ours to repair */
	{ "ot=th:GG,a=1", "8", "!" },
	{ "ot=th:c;th:8", "x", "!" },
	{ "ot=rv:12", "8", "!" },
	{ "ot=Th:8", "8", "!" },
	{ "ot=nocolon;:x", "8", "!" },
};

START_TEST(ot_is_changed_and_others_stay)
{
	ck_assert_str_eq(with(edits[_i].list, edits[_i].th, sizeof(text) - 1), edits[_i].want);
}
END_TEST

START_TEST(ot_is_read)
{
	struct oa_ot ot;

	oa_ot_parse(oa_bytes_str("a=1,ot=zz:9;rv:0123456789abcd;th:c,b=2"), &ot);
	ck_assert(!ot.broken && ot.has_random);
	ck_assert_uint_eq(ot.random, 0x0123456789abcd);
	ck_assert_uint_eq(ot.threshold, 0xc0000000000000);
	oa_ot_parse(oa_bytes_str("a=1"), &ot);
	ck_assert(!ot.broken && !ot.has_random);
	ck_assert_uint_eq(ot.threshold, OA_TH_NONE);
	oa_ot_parse(oa_bytes_str("ot=th:;rv:0123456789abcd"), &ot);
	ck_assert(ot.broken && !ot.has_random);
	ck_assert_uint_eq(ot.threshold, OA_TH_NONE);
}
END_TEST

START_TEST(ot_of_more_than_256_bytes_is_left_alone)
{
	char list[300];

	snprintf(list, sizeof(list), "ot=zz:%0254d", 1);
	ck_assert_str_eq(with(list, "8", sizeof(text) - 1), "!");
	snprintf(list, sizeof(list), "ot=zz:%0250d", 1); /* valid, without room for a th */
	ck_assert_str_eq(with(list, "8", sizeof(text) - 1), list);
}
END_TEST

START_TEST(a_thirty_third_member_goes_from_the_end)
{
	char list[400] = "", want[400] = "ot=th:8", one[16];

	for (unsigned i = 0; i < 32; i++) {
		snprintf(one, sizeof(one), "%sk%u=v", i ? "," : "", i);
		strcat(list, one);
		if (i < 31)
			strcat(want, ","), strcat(want, one + (i ? 1 : 0));
	}
	ck_assert_str_eq(with(list, "8", sizeof(text) - 1), want);
	ck_assert_str_eq(with(list, "x", sizeof(text) - 1), list);
}
END_TEST

START_TEST(without_room_the_long_members_go_first)
{
	char list[1024], want[1024];

	snprintf(list, sizeof(list), "a=1,long=%0200d,b=2,c=%0100d,d=4", 1, 2);
	snprintf(want, sizeof(want), "ot=th:8,a=1,b=2,c=%0100d,d=4", 2);
	ck_assert_str_eq(with(list, "8", 300), want);
	snprintf(list, sizeof(list), "a=1,c=%0120d,d=%0120d,e=%0120d,f=6", 1, 2, 3);
	snprintf(want, sizeof(want), "ot=th:8,a=1,c=%0120d,d=%0120d", 1, 2);
	ck_assert_str_eq(with(list, "8", 300), want);
}
END_TEST

START_TEST(any_list_comes_back_whole_or_shorter)
{
	static const char *const parts[] = { "a=1", "ot=th:c", "ot=rv:0123456789abcd", "bb=x", "ot=q:1", " c=2 ", "" };

	srand(7);
	for (unsigned n = 0; n < 20000; n++) {
		char list[512] = "";
		struct oa_ot ot;

		for (unsigned i = 0, k = (unsigned)rand() % 9; i < k; i++) {
			strcat(list, parts[rand() % 7]);
			if (rand() % 5)
				strcat(list, ",");
		}
		if (!strcmp(with(list, n & 1 ? "fd70a" : "x", 300), "!"))
			continue;
		oa_ot_parse(oa_bytes_str(text), &ot);
		ck_assert(!ot.broken);
		ck_assert_int_eq(ot.threshold == OA_TH_NONE, !(n & 1));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sampler");
	TCase *tc = tcase_create("ot_state");
	SRunner *sr;
	int failed;

	tcase_add_loop_test(tc, ot_is_changed_and_others_stay, 0, sizeof(edits) / sizeof(*edits));
	tcase_add_test(tc, ot_is_read);
	tcase_add_test(tc, ot_of_more_than_256_bytes_is_left_alone);
	tcase_add_test(tc, a_thirty_third_member_goes_from_the_end);
	tcase_add_test(tc, without_room_the_long_members_go_first);
	tcase_add_test(tc, any_list_comes_back_whole_or_shorter);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
