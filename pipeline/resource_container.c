/* Container id and pod uid from the names that container runtimes give to control groups and
 * mounts. */
#include "pipeline/resource.h"

static bool container_hex(uint8_t c) { return (uint8_t)(c - '0') < 10 || (uint8_t)(c - 'a') < 6; }

static size_t container_hex_len(struct oa_bytes t)
{
	size_t n = 0;

	while (n < t.len && container_hex(t.ptr[n]))
		n++;
	return n;
}

static struct oa_bytes container_from(struct oa_bytes t, size_t at)
{
	return oa_bytes(t.ptr + at, t.len - at);
}

static bool container_next_line(const char **text, struct oa_bytes *ret_line)
{
	size_t n;

	if (!**text)
		return false;
	n = strcspn(*text, "\n");
	*ret_line = oa_bytes(*text, n);
	*text += n + ((*text)[n] == '\n');
	return true;
}

/* Position just behind the last `sep`, 0 when there is none. */
static size_t container_behind_last(struct oa_bytes t, const char *seps)
{
	size_t at = t.len;

	while (at && !strchr(seps, t.ptr[at - 1] ? t.ptr[at - 1] : 'x'))
		at--;
	return at;
}

static bool container_keep(char ret_id[OA_CONTAINER_ID_MAX + 1], struct oa_bytes id)
{
	memcpy(ret_id, id.ptr, id.len);
	ret_id[id.len] = '\0';
	return true;
}

/* ECS: 32 hex digits of the task, `-`, digits. */
static bool container_is_ecs(struct oa_bytes t)
{
	if (t.len < 34 || t.len > OA_CONTAINER_ID_MAX || container_hex_len(t) != 32 ||
	    t.ptr[32] != '-')
		return false;
	for (size_t i = 33; i < t.len; i++)
		if ((uint8_t)(t.ptr[i] - '0') >= 10)
			return false;
	return true;
}

/* `4:cpu:/docker/<id>`, `0::/system.slice/docker-<id>.scope`, `…:cri-containerd:<id>`. */
static bool container_id_of_cgroup(struct oa_bytes line, char *ret_id)
{
	struct oa_bytes name = container_from(line, container_behind_last(line, "/"));

	if (name.len == line.len)
		return false;
	if (container_is_ecs(name))
		return container_keep(ret_id, name);
	if (name.len > 6 && memcmp(name.ptr + name.len - 6, ".scope", 6) == 0)
		name.len -= 6;
	name = container_from(name, container_behind_last(name, "-:"));
	return name.len == OA_CONTAINER_ID_MAX && container_hex_len(name) == name.len &&
	       container_keep(ret_id, name);
}

/* The 64 hex digits behind `marker` in a line of mountinfo. */
static bool container_id_behind(struct oa_bytes line, struct oa_bytes marker, char *ret_id)
{
	for (size_t i = 0; i + marker.len + OA_CONTAINER_ID_MAX <= line.len; i++) {
		struct oa_bytes id = container_from(line, i + marker.len);

		if (memcmp(line.ptr + i, marker.ptr, marker.len) == 0 &&
		    container_hex_len(id) == OA_CONTAINER_ID_MAX)
			return container_keep(ret_id, oa_bytes_cut(id, OA_CONTAINER_ID_MAX));
	}
	return false;
}

/* Most telling first. Under CRI the sandbox's id comes first and the container's last. */
static bool container_id_of_mounts(const char *mountinfo, char *ret_id)
{
	static const char *const markers[] = { "/crio-", "cri-containerd:", "containers/" };

	for (size_t m = 0; m < sizeof(markers) / sizeof(*markers); m++) {
		const char *text = mountinfo;
		struct oa_bytes line;
		bool found = false;

		while (container_next_line(&text, &line))
			found |= container_id_behind(line, oa_bytes_str(markers[m]), ret_id);
		if (found)
			return true;
	}
	return false;
}

bool oa_resource_container_id(const char *cgroup, const char *mountinfo,
			      char ret_id[OA_CONTAINER_ID_MAX + 1])
{
	struct oa_bytes line;

	while (container_next_line(&cgroup, &line))
		if (container_id_of_cgroup(line, ret_id))
			return true;
	return container_id_of_mounts(mountinfo, ret_id);
}

/* A UUID as such or with `_` for `-`; the API server's static pods have 32 hex digits. */
static size_t container_uid_len(struct oa_bytes t, char *ret_uid)
{
	size_t n = 0, hex = 0;

	while (n < t.len && n < OA_POD_UID_MAX &&
	       (container_hex(t.ptr[n]) || t.ptr[n] == '-' || t.ptr[n] == '_')) {
		hex += container_hex(t.ptr[n]);
		ret_uid[n] = t.ptr[n] == '_' ? '-' : (char)t.ptr[n];
		n++;
	}
	ret_uid[n] = '\0';
	return hex == 32 && (n == 36 || n == 32) ? n : 0;
}

static bool container_uid_behind(struct oa_bytes line, struct oa_bytes marker, char *ret_uid)
{
	char uid[OA_POD_UID_MAX + 1];

	for (size_t i = 0; i + marker.len < line.len; i++) {
		if (memcmp(line.ptr + i, marker.ptr, marker.len) != 0)
			continue;
		if (container_uid_len(container_from(line, i + marker.len), uid)) {
			strcpy(ret_uid, uid);
			return true;
		}
	}
	return false;
}

bool oa_resource_pod_uid(const char *cgroup, const char *mountinfo,
			 char ret_uid[OA_POD_UID_MAX + 1])
{
	struct oa_bytes line;

	while (container_next_line(&cgroup, &line))
		if (container_uid_behind(line, OA_LIT("/pod"), ret_uid) ||
		    container_uid_behind(line, OA_LIT("-pod"), ret_uid))
			return true;
	while (container_next_line(&mountinfo, &line))
		if (container_uid_behind(line, OA_LIT("/kubelet/pods/"), ret_uid))
			return true;
	return false;
}
