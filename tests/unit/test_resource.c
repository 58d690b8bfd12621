/* Who we are: the parsers of pipeline/resource*.c on texts, and the whole on this machine. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/config.h"
#include "pipeline/resource.h"

#define ID_A "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"
#define ID_B "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
#define UID  "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
#define UID_ "3f2504e0_4f89_11d3_9a0c_0305e82c3301"

static void check_id(const char *cgroup, const char *mountinfo, const char *expected)
{
	char id[OA_CONTAINER_ID_MAX + 1] = "";

	ck_assert_int_eq(oa_resource_container_id(cgroup, mountinfo, id), *expected != '\0');
	ck_assert_str_eq(id, expected);
}

static void check_uid(const char *cgroup, const char *mountinfo, const char *expected)
{
	char uid[OA_POD_UID_MAX + 1] = "";

	ck_assert_int_eq(oa_resource_pod_uid(cgroup, mountinfo, uid), *expected != '\0');
	ck_assert_str_eq(uid, expected);
}

START_TEST(container_ids_are_found_in_version_1_groups)
{
	check_id("12:pids:/docker/" ID_A "\n11:cpu,cpuacct:/docker/" ID_A
		 "\n1:name=systemd:/docker/" ID_A "\n",
		 "", ID_A);
	check_id("4:memory:/kubepods/besteffort/pod" UID "/" ID_A "\n", "", ID_A);
	check_id("4:memory:/kubepods.slice/kubepods-burstable.slice/"
		 "kubepods-burstable-pod" UID_ ".slice/cri-containerd-" ID_A ".scope\n",
		 "", ID_A);
	check_id("4:memory:/system.slice/containerd.service/kubepods-pod" UID_
		 ".slice:cri-containerd:" ID_A "\n",
		 "", ID_A);
	check_id("4:memory:/machine.slice/libpod-" ID_A ".scope\n", "", ID_A);
	check_id("4:memory:/kubepods/pod" UID "/crio-" ID_A ".scope\n", "", ID_A);
	check_id("9:perf_event:/ecs/task/0123456789abcdef0123456789abcdef-1234567890\n", "",
		 "0123456789abcdef0123456789abcdef-1234567890");
}
END_TEST

START_TEST(container_ids_are_found_in_version_2_groups)
{
	check_id("0::/system.slice/docker-" ID_A ".scope\n", "", ID_A);
	check_id("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID_A
		 ".scope",
		 "", ID_A);
}
END_TEST

START_TEST(names_that_only_look_like_container_ids_are_none)
{
	check_id("0::/\n", "", "");
	check_id("", "", "");
	check_id("0::/user.slice/user-1000.slice/session-3.scope\n", "", "");
	check_id("0::/docker/" ID_A "0\n", "", "");
	check_id("0::/docker/0F"
		 "1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0\n",
		 "", "");
	check_id("0::/system.slice/0123456789abcdef0123456789abcdef-12x\n", "", "");
	check_id("0::/\n",
		 "34 30 254:1 /lib/containers/short /etc/hosts rw - ext4 /dev/vda1 rw\n",
		 "");
}
END_TEST

START_TEST(container_ids_are_found_in_mounts)
{
	check_id("0::/\n",
		 "1 2 0:58 / / rw - overlay overlay "
		 "rw,lowerdir=/var/lib/docker/overlay2/l/X\n"
		 "3 1 254:1 /var/lib/docker/containers/" ID_A
		 "/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw\n"
		 "4 1 254:1 /var/lib/docker/containers/" ID_A
		 "/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n",
		 ID_A);
	check_id("0::/\n",
		 "5 1 0:24 /containers/storage/overlay-containers/" ID_A
		 "/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n",
		 ID_A);
	check_id("0::/\n",
		 "6 1 0:31 /kubepods.slice/crio-" ID_A
		 ".scope /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
		 ID_A);
	check_id("0::/\n",
		 "6 1 0:31 /system.slice:cri-containerd:" ID_A
		 " /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
		 ID_A);
}
END_TEST

START_TEST(the_containers_mount_comes_after_the_sandboxes)
{
	check_id("0::/\n",
		 "5 1 254:1 /var/lib/containers/" ID_A
		 "/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"
		 "6 1 254:1 /var/lib/containers/" ID_B "/run /run rw - ext4 /dev/vda1 rw\n",
		 ID_B);
}
END_TEST

START_TEST(pod_uids_are_found_in_groups_and_mounts)
{
	check_uid("4:memory:/kubepods/besteffort/pod" UID "/" ID_A "\n", "", UID);
	check_uid("4:memory:/kubepods/pod" UID "/" ID_A "\n", "", UID);
	check_uid("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
		  ".slice/crio-" ID_A ".scope\n",
		  "", UID);
	check_uid("0::/kubepods.slice/kubepods-pod" UID_ ".slice/x\n", "", UID);
	check_uid("0::/\n",
		  "7 1 254:1 /var/lib/kubelet/pods/" UID
		  "/etc-hosts /etc/hosts rw - ext4 /dev/vda1 rw\n",
		  UID);
	check_uid("0::/kubepods/pod0123456789abcdef0123456789abcdef/x\n", "",
		  "0123456789abcdef0123456789abcdef");
}
END_TEST

START_TEST(names_that_only_look_like_pods_are_none)
{
	check_uid("0::/machine.slice/libpod-" ID_A ".scope\n", "", "");
	check_uid("0::/podman/podcast\n", "", "");
	check_uid("0::/pod------------------------------------/x\n", "", "");
	check_uid("0::/pod3f2504e0-4f89\n",
		  "7 1 254:1 /kubelet/pods/x /etc/hosts rw - ext4 /dev/vda1 rw", "");
}
END_TEST

static int parse_env(struct oa_resource *r, const char *list)
{
	memset(r, 0, sizeof(*r));
	return oa_resource_parse_env(r, list);
}

static void check_attr(const struct oa_resource *r, const char *key, const char *expected)
{
	struct oa_bytes value = oa_resource_get(r, key);

	ck_assert_msg(value.len == strlen(expected) && memcmp(value.ptr, expected, value.len) == 0,
		      "%s is \"%.*s\"", key, (int)value.len, (const char *)value.ptr);
}

START_TEST(the_variable_is_decoded_and_later_values_win)
{
	static struct oa_resource r;

	ck_assert_int_eq(parse_env(&r, " a = 1 ,b=x%2Cy%3D%20z,c=%C3%A9, a=2,d=,e=x=y,"),
			 0);
	check_attr(&r, "a", "2");
	check_attr(&r, "b", "x,y= z");
	check_attr(&r, "c", "\xc3\xa9");
	check_attr(&r, "d", "");
	check_attr(&r, "e", "x=y");
	ck_assert_uint_eq(r.count, 5);
}
END_TEST

START_TEST(any_error_discards_the_whole_variable)
{
	static const char *const bad[] = { "a=1,b=%2",  "a=1,b=%zz", "a=1,b",
					   "a=1,=2",    "a=%ff,b=1", "a=%c0%80",
					   "a=1,b=%00", "%=1",       "a=%ed%a0%80" };
	static struct oa_resource r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_int_lt(parse_env(&r, bad[i]), 0);
		ck_assert_uint_eq(r.count, 0);
		ck_assert_uint_eq(r.text_len, 0);
	}
}
END_TEST

START_TEST(too_much_is_an_error_not_an_overflow)
{
	static struct oa_resource r;
	static char list[OA_RESOURCE_TEXT_MAX + 100];

	memset(list, 'x', sizeof(list) - 1);
	list[1] = '=';
	ck_assert_int_lt(parse_env(&r, list), 0);
	for (size_t i = 0; i + 4 < sizeof(list); i += 4) {
		list[i] = (char)('A' + i / 4 % 26);
		list[i + 1] = (char)('A' + i / 104 % 26);
		list[i + 2] = '=';
		list[i + 3] = ',';
	}
	ck_assert_int_lt(parse_env(&r, list), 0);
	ck_assert_uint_eq(r.count, 0);
}
END_TEST

START_TEST(os_release_values_are_unquoted)
{
	static const char text[] = "NAME=\"Debian "
				   "GNU/"
				   "Linux\"\nVERSION_ID='12'\nID=debian\nX="
				   "\"a\\\"b\"\nPRETTY_NAME=\nLONG=abcdef";
	char buf[16];

	ck_assert(oa_bytes_eq(oa_resource_os_release(text, "NAME", buf, sizeof(buf)),
			      OA_LIT("Debian GNU/Linux")));
	ck_assert(oa_bytes_eq(oa_resource_os_release(text, "VERSION_ID", buf, sizeof(buf)),
			      OA_LIT("12")));
	ck_assert(oa_bytes_eq(oa_resource_os_release(text, "ID", buf, sizeof(buf)),
			      OA_LIT("debian")));
	ck_assert(oa_bytes_eq(oa_resource_os_release(text, "X", buf, sizeof(buf)),
			      OA_LIT("a\"b")));
	ck_assert(oa_bytes_eq(oa_resource_os_release(text, "LONG", buf, 3), OA_LIT("abc")));
	ck_assert_uint_eq(oa_resource_os_release(text, "PRETTY_NAME", buf, sizeof(buf)).len,
			  0);
	ck_assert_uint_eq(oa_resource_os_release(text, "BUILD_ID", buf, sizeof(buf)).len,
			  0);
}
END_TEST

START_TEST(the_owner_is_looked_up_by_number)
{
	static const char text[] =
		"root:x:0:0:root:/root:/bin/"
		"sh\nbroken\nalso:broken:\nnobody:*:65534:65534::/:/x\nlast:x:7:7";

	ck_assert(oa_bytes_eq(oa_resource_passwd_name(text, 0), OA_LIT("root")));
	ck_assert(oa_bytes_eq(oa_resource_passwd_name(text, 65534), OA_LIT("nobody")));
	ck_assert(oa_bytes_eq(oa_resource_passwd_name(text, 7), OA_LIT("last")));
	ck_assert_uint_eq(oa_resource_passwd_name(text, 6).len, 0);
	ck_assert_uint_eq(oa_resource_passwd_name("", 0).len, 0);
}
END_TEST

/* -- the whole -- */

static const char *attr(const char *key)
{
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);
	const char *found = NULL;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(attrs[i].key, key) != 0)
			continue;
		ck_assert_ptr_null(found);
		found = attrs[i].str;
	}
	return found;
}

static void open_with(const char *service, const char *attributes)
{
	oa_config.service_name = service;
	oa_config.resource_attributes = attributes;
	oa_config.pod_name = oa_config.pod_uid = oa_config.pod_namespace = oa_config.node_name = "";
	oa_resource_open();
}

START_TEST(this_process_is_described)
{
	struct utsname name;

	ck_assert_int_eq(uname(&name), 0);
	open_with("", "");
	ck_assert_str_eq(attr("service.name"), program_invocation_short_name);
	ck_assert_str_eq(attr("process.executable.name"), program_invocation_short_name);
	ck_assert_int_eq(access(attr("process.executable.path"), X_OK), 0);
	ck_assert_ptr_nonnull(
		strstr(attr("process.command"), program_invocation_short_name));
	ck_assert_ptr_nonnull(attr("process.owner"));
	ck_assert_str_eq(attr("host.name"), name.nodename);
	ck_assert_str_eq(attr("host.arch"), "amd64");
	ck_assert_str_eq(attr("os.type"), "linux");
	ck_assert_str_eq(attr("telemetry.sdk.name"), "otelauto");
	ck_assert_str_eq(attr("telemetry.sdk.language"), "c");
	ck_assert_str_eq(attr("telemetry.sdk.version"), OA_VERSION);
	ck_assert_str_eq(attr("telemetry.distro.name"), "otelauto");
}
END_TEST

START_TEST(the_users_words_win_but_for_what_we_say_of_ourselves)
{
	open_with("", "service.name=env,os.type=plan9,telemetry.sdk.name=fake,team=a");
	ck_assert_str_eq(attr("service.name"), "env");
	ck_assert_str_eq(attr("os.type"), "plan9");
	ck_assert_str_eq(attr("team"), "a");
	ck_assert_str_eq(attr("telemetry.sdk.name"), "otelauto");
	open_with("named", "service.name=env");
	ck_assert_str_eq(attr("service.name"), "named");
	ck_assert_ptr_null(attr("team"));
}
END_TEST

START_TEST(keys_that_every_process_has_for_itself_are_left_to_the_exporters)
{
	open_with("", "service.instance.id=x,process.pid=1,team=a,process.creation.time=0");
	ck_assert_ptr_null(attr("service.instance.id"));
	ck_assert_ptr_null(attr("process.pid"));
	ck_assert_ptr_null(attr("process.creation.time"));
	ck_assert_str_eq(attr("team"), "a");
}
END_TEST

START_TEST(a_variable_with_an_error_changes_nothing)
{
	open_with("", "service.name=env,b=%zz");
	ck_assert_str_eq(attr("service.name"), program_invocation_short_name);
}
END_TEST

START_TEST(what_is_found_out_can_be_left_out_and_what_is_said_cannot)
{
	oa_config.resource_detectors = 1u << 1; /* host */
	oa_config.resource_exclude = "host.name,service.*";
	open_with("", "process.owner=me,team=a");
	oa_config.resource_detectors = 0;
	oa_config.resource_exclude = NULL;
	ck_assert_ptr_null(attr("process.executable.name"));
	ck_assert_ptr_null(attr("process.command"));
	ck_assert_ptr_null(attr("host.name"));
	ck_assert_str_eq(attr("host.arch"), "amd64");
	ck_assert_str_eq(attr("os.type"), "linux");
	ck_assert_str_eq(attr("process.owner"), "me");
	ck_assert_str_eq(attr("team"), "a");
	ck_assert_str_eq(attr("service.name"), program_invocation_short_name);
	ck_assert_str_eq(attr("telemetry.sdk.name"), "otelauto");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("resource");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, what_is_found_out_can_be_left_out_and_what_is_said_cannot);
	tcase_add_test(tc, container_ids_are_found_in_version_1_groups);
	tcase_add_test(tc, container_ids_are_found_in_version_2_groups);
	tcase_add_test(tc, names_that_only_look_like_container_ids_are_none);
	tcase_add_test(tc, container_ids_are_found_in_mounts);
	tcase_add_test(tc, the_containers_mount_comes_after_the_sandboxes);
	tcase_add_test(tc, pod_uids_are_found_in_groups_and_mounts);
	tcase_add_test(tc, names_that_only_look_like_pods_are_none);
	tcase_add_test(tc, the_variable_is_decoded_and_later_values_win);
	tcase_add_test(tc, any_error_discards_the_whole_variable);
	tcase_add_test(tc, too_much_is_an_error_not_an_overflow);
	tcase_add_test(tc, os_release_values_are_unquoted);
	tcase_add_test(tc, the_owner_is_looked_up_by_number);
	tcase_add_test(tc, this_process_is_described);
	tcase_add_test(tc, the_users_words_win_but_for_what_we_say_of_ourselves);
	tcase_add_test(tc, keys_that_every_process_has_for_itself_are_left_to_the_exporters);
	tcase_add_test(tc, a_variable_with_an_error_changes_nothing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
