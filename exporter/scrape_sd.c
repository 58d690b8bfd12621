/* The service-discovery file: one target with its labels, in place of the old one in a single step.
 * It is read by Prometheus (file_sd_configs), maybe by one that serves many containers which share
 * the directory: a file is only taken for a leftover when it was written in this boot and this pid
 * namespace. */
#include "exporter/scrape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "core/config.h"
#include "core/sys.h"
#include "exporter/exporter.h"

#define OA_LOG_DOMAIN "scrape"
#include "core/log.h"

#define SD_PREFIX    "otelauto-"
#define SD_SUFFIX    ".json"
#define SD_PERIOD_NS 60000000000ull
#define SD_PATH_MAX  512
#define SD_NAME_MAX  64 /* of the service, in the file's name */
#define SD_FILE_MAX  2048
#define SD_ORIGIN    "__otelauto_origin"

struct sd_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

static char sd_path[SD_PATH_MAX];
static _Atomic bool sd_written; /* sd_path is ours */
static char sd_target[128];     /* what it says */
static char sd_origin[96];
static uint64_t sd_looked_ns;

static const char *sd_service(void)
{
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(attrs[i].key, "service.name") == 0 && attrs[i].str && *attrs[i].str)
			return attrs[i].str;
	return "unknown";
}

/* Characters that are safe in a file's name stay. */
static void sd_file_name(char *ret_name, size_t cap, uint32_t pid)
{
	char service[SD_NAME_MAX + 1];
	const char *from = sd_service();
	size_t len = 0;

	for (; *from && len < SD_NAME_MAX; from++) {
		uint8_t c = (uint8_t)*from;
		bool keep = (uint8_t)(oa_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10 ||
			    c == '.' || c == '_';

		service[len++] = keep ? (char)c : '_';
	}
	service[len] = '\0';
	snprintf(ret_name, cap, SD_PREFIX "%s-%u" SD_SUFFIX, service, pid);
}

/* Boot and pid namespace: where a pid means the same process. */
static void sd_find_origin(void)
{
	char boot[64] = "", ns[32] = "";

	if (oa_sys_read_file("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) > 0)
		boot[strcspn(boot, "\n")] = '\0';
	if (oa_sys4(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/pid", ns, sizeof(ns) - 1) <= 0)
		ns[0] = '\0';
	snprintf(sd_origin, sizeof(sd_origin), "%s/%s", boot, ns);
}

static char *sd_make_text(const char *target, uint32_t pid)
{
	cJSON *list = cJSON_CreateArray(), *entry = cJSON_CreateObject(), *targets, *labels;
	char *text = NULL, number[16];

	snprintf(number, sizeof(number), "%u", pid);
	if (!cJSON_AddItemToArray(list, entry)) {
		cJSON_Delete(entry);
		cJSON_Delete(list);
		return NULL;
	}
	targets = cJSON_AddArrayToObject(entry, "targets");
	labels = cJSON_AddObjectToObject(entry, "labels");
	if (cJSON_AddItemToArray(targets, cJSON_CreateString(target)) &&
	    cJSON_AddStringToObject(labels, "service_name", sd_service()) &&
	    cJSON_AddStringToObject(labels, "pid", number) &&
	    cJSON_AddStringToObject(labels, SD_ORIGIN, sd_origin))
		text = cJSON_PrintUnformatted(list);
	cJSON_Delete(list);
	return text;
}

static long sd_write_file(const char *path, const char *text)
{
	long fd = oa_sys4(SYS_openat, AT_FDCWD, path,
			  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	long len = (long)strlen(text), done, err;

	if (fd < 0)
		return fd;
	done = oa_sys3(SYS_write, fd, text, len);
	err = oa_sys1(SYS_close, fd);
	if (done != len)
		return done < 0 ? done : -ENOSPC;
	return err;
}

static long sd_write(const char *target, uint32_t pid)
{
	char name[SD_NAME_MAX + 32], path[SD_PATH_MAX], fresh[SD_PATH_MAX];
	char *text = sd_make_text(target, pid);
	long err = -ENAMETOOLONG;

	sd_file_name(name, sizeof(name), pid);
	if (!text)
		return -ENOMEM;
	if (snprintf(path, sizeof(path), "%s/%s", oa_config.sd_dir, name) < (int)sizeof(path) &&
	    snprintf(fresh, sizeof(fresh), "%s/.%s.new", oa_config.sd_dir, name) <
		    (int)sizeof(fresh)) {
		err = sd_write_file(fresh, text);
		if (!err)
			err = oa_sys2(SYS_rename, fresh, path);
		if (err)
			(void)oa_sys1(SYS_unlink, fresh); /* it may not exist */
	}
	cJSON_free(text);
	if (err)
		return err;
	memcpy(sd_path, path, sizeof(sd_path));
	atomic_store(&sd_written, true);
	return 0;
}

/* The pid in a file name of ours, 0 for other names. */
static uint32_t sd_pid_of(const char *name)
{
	const char *dash = strrchr(name, '-'), *p;
	uint32_t pid = 0;

	if (strncmp(name, SD_PREFIX, sizeof(SD_PREFIX) - 1) != 0 || !dash)
		return 0;
	for (p = dash + 1; *p >= '0' && *p <= '9' && pid < 100000000; p++)
		pid = pid * 10 + (uint32_t)(*p - '0');
	return strcmp(p, SD_SUFFIX) == 0 ? pid : 0;
}

static void sd_remove_if_stale(const char *name)
{
	char path[SD_PATH_MAX], text[SD_FILE_MAX];
	uint32_t pid = sd_pid_of(name);

	if (!pid || oa_sys2(SYS_kill, pid, 0) != -ESRCH ||
	    snprintf(path, sizeof(path), "%s/%s", oa_config.sd_dir, name) >= (int)sizeof(path))
		return;
	if (oa_sys_read_file(path, text, sizeof(text)) > 0 && strstr(text, SD_ORIGIN) &&
	    strstr(text, sd_origin))
		(void)oa_sys1(SYS_unlink, path); /* another leader may have been faster */
}

static void sd_remove_stale(void)
{
	static char buf[4096] __attribute__((aligned(8)));
	long fd = oa_sys4(SYS_openat, AT_FDCWD, oa_config.sd_dir,
			  O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0),
	     len;

	if (fd < 0)
		return;
	while ((len = oa_sys3(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
		for (long at = 0; at < len;) {
			const struct sd_dirent *d = (const void *)(buf + at);

			sd_remove_if_stale(d->name);
			at += d->bytes;
		}
	(void)oa_sys1(SYS_close, fd); /* was only read */
}

void oa_scrape_sd_update(const char *target, uint64_t now_ns)
{
	bool look = !sd_looked_ns || now_ns - sd_looked_ns >= SD_PERIOD_NS;
	bool there = strcmp(target, sd_target) == 0;
	uint32_t pid = (uint32_t)oa_sys0(SYS_getpid);
	long err;

	if (!*oa_config.sd_dir || (there && !look))
		return;
	if (!*sd_origin)
		sd_find_origin();
	if (look) {
		sd_looked_ns = now_ns;
		sd_remove_stale();
	}
	if (there && oa_sys4(SYS_faccessat, AT_FDCWD, sd_path, 0, 0) == 0)
		return;
	err = sd_write(target, pid);
	if (err)
		oa_warn("OTELAUTO_SD_DIR: cannot write to %s: errno %ld", oa_config.sd_dir, -err);
	/* Also after a failure: the next try is with the next look. */
	snprintf(sd_target, sizeof(sd_target), "%s", target);
}

void oa_scrape_sd_remove(void)
{
	if (!atomic_exchange(&sd_written, false))
		return;
	(void)oa_sys1(SYS_unlink, sd_path); /* its directory may be gone */
}

void oa_scrape_sd_forget(void)
{
	atomic_store(&sd_written, false);
	sd_target[0] = '\0';
	sd_looked_ns = 0;
}
