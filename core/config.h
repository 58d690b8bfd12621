#pragma once
/* Settings. config.def is the one table: it makes this struct, the parser, the warnings, the table
 * in README.md and docs/settings.md. Read once in the constructor from the environment (nginx
 * clears it in its workers; getenv is not safe later); immutable afterwards. No heap: texts live in
 * a fixed pool, and warnings wait there until something may be printed (activation). */
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"

struct oa_config {
#define OA_SET_GROUP(title)
#define OA_SET_NUM(field, env, def, min, max, unit, help) int64_t field;
#define OA_SET_BOOL(field, env, help)                     bool field;
#define OA_SET_RATIO(field, env, def, help)               double field;
#define OA_SET_STR(field, env, def, help)                 const char *field;
#define OA_SET_ENUM(field, env, def, choices, help)       int field;
#define OA_SET_LIST(field, env, def, choices, help)       uint32_t field;
#include "core/config.def"
#undef OA_SET_GROUP
#undef OA_SET_NUM
#undef OA_SET_BOOL
#undef OA_SET_RATIO
#undef OA_SET_STR
#undef OA_SET_ENUM
#undef OA_SET_LIST
};

extern struct oa_config oa_config;

/* Reads the environment (envp-style array of NAME=value).
 * runs on   the constructor; signal-safe: yes; heap: no; no system calls */
void oa_config_read(char *const envp[]);

/* What a configuration file says of one setting, under the name of its variable. Texts are copied; wrong values leave the
 * setting as it is, with a warning. returns false when there is no such setting
 * runs on   activation; signal-safe: yes; heap: no; no system calls */
bool oa_config_override(const char *name, struct oa_bytes text);
/* After the last of them. */
void oa_config_settle(void);

/* What is to be said of the configuration file: why it cannot be used, or which keys mean nothing here. "" nothing. */
#define OA_CONFIG_FILE_SAYS_MAX 896 /* a line of the log has room for it */
extern char oa_config_file_says[OA_CONFIG_FILE_SAYS_MAX];

/* True when a kill switch is set; looks at nothing else. */
bool oa_config_disabled(char *const envp[]);

/* Says the collected warnings, once, through core/log. runs on   side thread */
void oa_config_warn(void);

/* Prints the table. form: "md" (docs/settings.md and the README table) or "txt". Used by tools
 * only. */
void oa_config_print_table(int fd, const char *form);

/* Globs of the OTELAUTO_* lists: `*` any run, `?` one character, anything else itself.
 * list   comma separated, blanks around items do not count
 * runs on   any thread; signal-safe: yes; heap: no */
bool oa_glob_match_bytes(struct oa_bytes pattern, struct oa_bytes text);
bool oa_glob_match(const char *pattern, const char *text);
bool oa_glob_list_match(const char *list, const char *name);
