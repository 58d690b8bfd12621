/* Detects who we are. What cannot be found is left out; the user's words (OTEL_RESOURCE_ATTRIBUTES,
 * OTEL_SERVICE_NAME) win over what was detected, but for what this library says about itself. */
#define OA_LOG_DOMAIN "resource"
#include "pipeline/resource.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "core/config.h"
#include "core/detected.h"
#include "core/log.h"
#include "core/sys.h"

#define RESOURCE_FILE_MAX (256u << 10)
#define RESOURCE_PATH_MAX 1024
#define RESOURCE_SA       "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

static struct oa_resource resource;
static char *resource_file[2]; /* while detecting: two files at a time */

static const char *resource_read(unsigned which, const char *path)
{
	if (oa_sys_read_file(path, resource_file[which], RESOURCE_FILE_MAX) < 0)
		resource_file[which][0] = '\0';
	return resource_file[which];
}

static void resource_set_line(const char *key, const char *text)
{
	oa_resource_default(&resource, key, oa_bytes_trim(oa_bytes(text, strcspn(text, "\n"))));
}

static bool resource_exists(const char *path)
{
	return oa_sys4(SYS_faccessat, AT_FDCWD, path, 0, 0) == 0;
}

static void resource_executable(void)
{
	char path[RESOURCE_PATH_MAX];
	long len = oa_sys4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof(path) - 1);
	static const char deleted[] = " (deleted)";
	char *slash;

	if (len <= 0)
		return;
	if (len > (long)sizeof(deleted) &&
	    memcmp(path + len - sizeof(deleted) + 1, deleted, sizeof(deleted) - 1) == 0)
		len -= (long)sizeof(deleted) - 1; /* replaced by an upgrade */
	path[len] = '\0';
	slash = strrchr(path, '/');
	oa_resource_default(&resource, "process.executable.path", oa_bytes_str(path));
	oa_resource_default(&resource, "process.executable.name",
			    oa_bytes_str(slash ? slash + 1 : path));
}

/* argv[0]; a program that put a title there ("nginx: master process") is called by its path. */
static void resource_command(void)
{
	const char *command = resource_read(0, "/proc/self/cmdline");

	if (*command && !strchr(command, ' '))
		oa_resource_default(&resource, "process.command", oa_bytes_str(command));
	oa_resource_default(&resource, "process.command",
			    oa_resource_get(&resource, "process.executable.path"));
}

static void resource_owner(void)
{
	unsigned uid = (unsigned)oa_sys0(SYS_geteuid), left = uid;
	struct oa_bytes name = oa_resource_passwd_name(resource_read(0, "/etc/passwd"), uid);
	char digits[12];
	size_t at = sizeof(digits);

	oa_resource_default(&resource, "process.owner", name);
	do
		digits[--at] = (char)('0' + left % 10);
	while ((left /= 10));
	oa_resource_default(&resource, "process.owner", oa_bytes(digits + at, sizeof(digits) - at));
}

static void resource_os(const char *kernel)
{
	static const char *const names[][2] = {
		{ "os.name", "NAME" },
		{ "os.version", "VERSION_ID" },
		{ "os.description", "PRETTY_NAME" },
		{ "os.build_id", "BUILD_ID" },
	};
	const char *text = resource_read(0, "/etc/os-release");
	char buf[256];

	if (!*text)
		text = resource_read(0, "/usr/lib/os-release");
	oa_resource_default(&resource, "os.type", OA_LIT("linux"));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		oa_resource_default(&resource, names[i][0],
				    oa_resource_os_release(text, names[i][1], buf, sizeof(buf)));
	oa_resource_default(&resource, "os.build_id", oa_bytes_str(kernel));
}

static void resource_host(void)
{
	struct utsname name;

	if (oa_sys1(SYS_uname, &name) < 0)
		memset(&name, 0, sizeof(name));
	oa_resource_default(&resource, "host.name", oa_bytes_str(name.nodename));
	oa_resource_default(&resource, "host.arch", oa_resource_arch(name.machine));
	resource_os(name.release);
}

/* Outside of containers only: there the file is the image's, the same for all that run it. */
static void resource_host_id(bool contained)
{
	if (contained || resource_exists("/.dockerenv") || resource_exists("/run/.containerenv"))
		return;
	resource_set_line("host.id", resource_read(0, "/etc/machine-id"));
	resource_set_line("host.id", resource_read(0, "/var/lib/dbus/machine-id"));
}

/* The variables' names are everybody's (other systems have a NODE_NAME too), so they count only in
 * a pod. */
static void resource_pod(const char *uid)
{
	const char *namespace = resource_read(0, RESOURCE_SA);

	if (!*uid && !*namespace)
		return;
	oa_resource_default(&resource, "k8s.pod.uid", oa_bytes_str(uid));
	oa_resource_default(&resource, "k8s.pod.uid", oa_bytes_str(oa_config.pod_uid));
	oa_resource_default(&resource, "k8s.pod.name", oa_bytes_str(oa_config.pod_name));
	oa_resource_default(&resource, "k8s.node.name", oa_bytes_str(oa_config.node_name));
	resource_set_line("k8s.namespace.name", namespace);
	oa_resource_default(&resource, "k8s.namespace.name", oa_bytes_str(oa_config.pod_namespace));
}

static void resource_container(void)
{
	const char *cgroup = resource_read(0, "/proc/self/cgroup");
	const char *mounts = resource_read(1, "/proc/self/mountinfo");
	char id[OA_CONTAINER_ID_MAX + 1] = "", uid[OA_POD_UID_MAX + 1] = "";
	bool contained = oa_resource_container_id(cgroup, mounts, id);

	contained |= oa_resource_pod_uid(cgroup, mounts, uid);
	oa_resource_default(&resource, "container.id", oa_bytes_str(id));
	resource_pod(uid);
	resource_host_id(contained);
}

/* Exporters add these from the identity of the process that made the spans. */
static void resource_drop_own_keys(void)
{
	static const char *const own[] = { "service.instance.id", "process.pid",
					   "process.parent_pid", "process.creation.time" };
	size_t kept = 0;

	for (size_t i = 0; i < resource.count; i++) {
		bool drop = false;

		for (size_t k = 0; k < sizeof(own) / sizeof(*own); k++)
			drop |= strcmp(resource.attrs[i].key, own[k]) == 0;
		if (drop)
			oa_info("OTEL_RESOURCE_ATTRIBUTES: %s is left out, every process has its "
				"own",
				resource.attrs[i].key);
		else
			resource.attrs[kept++] = resource.attrs[i];
	}
	resource.count = kept;
}

static void resource_set_ours(void)
{
	oa_resource_set(&resource, "telemetry.sdk.name", OA_LIT("otelauto"));
	oa_resource_set(&resource, "telemetry.sdk.language", OA_LIT("c"));
	oa_resource_set(&resource, "telemetry.sdk.version", OA_LIT(OA_VERSION));
	oa_resource_set(&resource, "telemetry.distro.name", OA_LIT("otelauto"));
	oa_resource_set(&resource, "telemetry.distro.version", OA_LIT(OA_VERSION));
}

static void resource_detect(void)
{
	resource_executable();
	oa_resource_default(&resource, "service.name",
			    oa_resource_get(&resource, "process.executable.name"));
	oa_resource_default(&resource, "service.name", OA_LIT("unknown_service"));
	resource_command();
	resource_owner();
	resource_host();
	resource_container();
}

/* given: how many were there before anything was found out */
static void resource_drop_unwanted(size_t given)
{
	size_t kept = given;

	for (size_t i = given; i < resource.count; i++)
		if (!strcmp(resource.attrs[i].key, "service.name") || oa_detected_is_wanted(resource.attrs[i].key))
			resource.attrs[kept++] = resource.attrs[i];
	resource.count = kept;
}

void oa_resource_open(void)
{
	char *files = oa_sys_map(2 * RESOURCE_FILE_MAX, 0);
	size_t given;

	memset(&resource, 0, sizeof(resource));
	if (oa_resource_parse_env(&resource, oa_config.resource_attributes) < 0)
		oa_warn("OTEL_RESOURCE_ATTRIBUTES is not `key=value,…` with percent-encoding: "
			"ignoring all of it");
	resource_drop_own_keys();
	oa_resource_set(&resource, "service.name", oa_bytes_str(oa_config.service_name));
	given = resource.count;
	if (files) {
		resource_file[0] = files;
		resource_file[1] = files + RESOURCE_FILE_MAX;
		resource_detect();
		(void)oa_sys2(SYS_munmap, files, 2 * RESOURCE_FILE_MAX);
	}
	resource_drop_unwanted(given);
	resource_set_ours();
}

const struct oa_attr *oa_resource_attrs(size_t *ret_count)
{
	*ret_count = resource.count;
	return resource.attrs;
}
