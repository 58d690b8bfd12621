#pragma once
/* Who we are: attributes of this process' resource. Everything is read once, before the host may
 * change its root. The parsers work on texts, so that tests can feed them. */
#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"
#include "exporter/exporter.h"

/* Collects the attributes for oa_resource_attrs(). Anew in every process, because a forked child is
 * its own. */
void oa_resource_open(void);

/* -- resource_list.c: the list under construction -- */
#define OA_RESOURCE_ATTRS_MAX 96
#define OA_RESOURCE_TEXT_MAX  16384

struct oa_resource {
	struct oa_attr attrs[OA_RESOURCE_ATTRS_MAX];
	size_t count;
	char text[OA_RESOURCE_TEXT_MAX];
	size_t text_len;
};

/* Adds or replaces; empty values and what does not fit are left out. The key must stay where it is.
 */
void oa_resource_set(struct oa_resource *r, const char *key, struct oa_bytes value);
/* Adds unless the key is there. */
void oa_resource_default(struct oa_resource *r, const char *key, struct oa_bytes value);
struct oa_bytes oa_resource_get(const struct oa_resource *r, const char *key);
/* Adds all of OTEL_RESOURCE_ATTRIBUTES, percent-decoded, or nothing. returns 0 or -EINVAL */
int oa_resource_parse_env(struct oa_resource *r, const char *list);

/* -- resource_container.c -- */
#define OA_CONTAINER_ID_MAX 64
#define OA_POD_UID_MAX      36
/* From /proc/self/cgroup, else /proc/self/mountinfo. returns false when there is none */
bool oa_resource_container_id(const char *cgroup, const char *mountinfo,
			      char ret_id[OA_CONTAINER_ID_MAX + 1]);
bool oa_resource_pod_uid(const char *cgroup, const char *mountinfo,
			 char ret_uid[OA_POD_UID_MAX + 1]);

/* -- resource_host.c -- */
/* Value of NAME=value or NAME="value" in the manner of os-release, unquoted into buf. */
struct oa_bytes oa_resource_os_release(const char *text, const char *name, char *buf, size_t cap);
/* Name of a user in the text of /etc/passwd. */
struct oa_bytes oa_resource_passwd_name(const char *text, unsigned uid);
/* "amd64" for "x86_64". */
struct oa_bytes oa_resource_arch(const char *machine);
