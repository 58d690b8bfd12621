#pragma once
/* OTEL_CONFIG_FILE: OpenTelemetry's declarative configuration. In the constructor the file is read as it is, with the
 * variables it names, because the program may change its environment, its root or its user later; it is parsed when the
 * library is activated, so programs that never touch a stream socket pay for reading a file and no more. */
#include <stdbool.h>
#include <stddef.h>

#include "core/bytes.h"

#define OA_CONFIG_FILE_MAX (64u << 10)

/* Reads the file that the settings name, if any. runs on   the constructor; signal-safe: yes; heap: no */
void oa_config_file_read(char *const envp[]);

/* Parses it and changes the settings. returns false when the file says `disabled: true`.
 * runs on   host thread, at activation, before the side thread is there; heap: the arena; blocks: no */
bool oa_config_file_apply(void);

/* -- the parts -- */
struct cJSON;

/* config_yaml.c: YAML as a tree of objects, arrays, texts and nulls. returns NULL and what is wrong */
struct cJSON *oa_config_yaml(struct oa_bytes text, const char **ret_wrong);

/* config_env.c: puts the variables in the place of ${NAME}, ${env:NAME} and ${NAME:-default}; $$ is a $.
 * returns NULL when a reference is malformed; lies in a buffer until the next call */
const char *oa_config_env_expand(const char *text);
/* Notes the values of what the file names, and OTEL_SERVICE_NAME. */
void oa_config_env_note(struct oa_bytes file, char *const envp[]);

/* The value of a variable that was noted; NULL: it has none. */
const char *oa_config_env_get(const char *name);

/* config_map.c: the tree into settings. returns false when it is switched off */
bool oa_config_map(const struct cJSON *top);
/* Names in the one warning what means nothing here. */
void oa_config_unknown(const char *path);

/* A file has any shape that its writer likes: what is in a list has no name (`string`), and what is no text no `valuestring`.
 * Names are asked for of members only, and texts by cJSON_GetStringValue(). */
/* The first member of an object; NULL: it is none, or empty */
const struct cJSON *oa_config_members(const struct cJSON *node);
/* Whether it is an object, null, or not there. */
bool oa_config_may_be_object(const struct cJSON *node);

/* config_views.c: the list of views; afterwards the limits of a reader, for streams of which no view gives one */
void oa_config_views(const struct cJSON *list);
void oa_config_cardinality(const struct cJSON *limits);

/* config_composite.c: a composite sampler.
 *
 * parent    it is asked only for what has no parent
 * returns   NULL, or which part of it has no place here: then it is not taken
 */
#define OA_CONFIG_RATIO_MAX 32
struct oa_config_composite {
	const char *name; /* "always_on", "always_off", "traceidratio", "rules" */
	bool parent;      /* its parentbased_ form */
	char ratio[OA_CONFIG_RATIO_MAX]; /* as text; of rules: what none of them takes */
	char *rules;      /* for cJSON_free(), or NULL */
};
const char *oa_config_composite(const struct cJSON *node, bool parent, struct oa_config_composite *ret);
