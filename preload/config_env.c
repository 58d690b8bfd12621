/* Environment variables in a configuration file. Their values are kept from the constructor on. */
#include <string.h>

#include "preload/config_file.h"

#define ENV_TEXT_MAX  16384
#define ENV_NAMES_MAX 64
#define ENV_OUT_MAX   8192

static char env_text[ENV_TEXT_MAX]; /* NAME=value\0 one behind the other */
static size_t env_used;
static unsigned env_count;

static bool env_name_char(char c, bool first)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (!first && c >= '0' && c <= '9');
}

static size_t env_name_len(const char *p, const char *end)
{
	size_t len = 0;

	while (p + len < end && env_name_char(p[len], !len))
		len++;
	return len;
}

static const char *env_get(const char *name, size_t len)
{
	for (const char *p = env_text; p < env_text + env_used; p += strlen(p) + 1)
		if (!strncmp(p, name, len) && p[len] == '=')
			return p + len + 1;
	return NULL;
}

static void env_keep(const char *name, size_t len, char *const envp[])
{
	if (env_get(name, len) || env_count == ENV_NAMES_MAX)
		return;
	for (; *envp; envp++) {
		size_t all = strlen(*envp) + 1;

		if (strncmp(*envp, name, len) != 0 || (*envp)[len] != '=')
			continue;
		if (all > ENV_TEXT_MAX - env_used)
			return;
		memcpy(env_text + env_used, *envp, all);
		env_used += all;
		env_count++;
		return;
	}
}

/* Behind "${": the name, after "env:" when that is there. */
static const char *env_name_of(const char *p, const char *end)
{
	return end - p > 4 && !memcmp(p, "env:", 4) ? p + 4 : p;
}

void oa_config_env_note(struct oa_bytes file, char *const envp[])
{
	const char *p = (const char *)file.ptr, *end = p + file.len;

	env_used = env_count = 0;
	env_keep("OTEL_SERVICE_NAME", sizeof("OTEL_SERVICE_NAME") - 1, envp);
	while ((p = memmem(p, (size_t)(end - p), "${", 2))) {
		const char *name = env_name_of(p + 2, end);
		size_t len = env_name_len(name, end);

		if (len)
			env_keep(name, len, envp);
		p += 2;
	}
}

const char *oa_config_env_get(const char *name)
{
	const char *value = env_get(name, strlen(name));

	return value && *value ? value : NULL;
}

struct env_out {
	char *at, *end;
};

static bool env_put(struct env_out *o, const char *text, size_t len)
{
	if (len >= (size_t)(o->end - o->at))
		return false;
	memcpy(o->at, text, len);
	o->at += len;
	return true;
}

/* p: behind "${". returns where to go on, NULL when it is malformed */
static const char *env_reference(struct env_out *o, const char *p)
{
	const char *end = p + strlen(p), *name = env_name_of(p, end), *close = strchr(p, '}'), *value, *after;
	size_t len = env_name_len(name, end);

	after = name + len;
	if (!len || !close || (*after != '}' && strncmp(after, ":-", 2) != 0))
		return NULL;
	value = env_get(name, len);
	if (value && *value)
		return env_put(o, value, strlen(value)) ? close + 1 : NULL;
	if (*after == '}')
		return close + 1;
	return env_put(o, after + 2, (size_t)(close - after - 2)) ? close + 1 : NULL;
}

const char *oa_config_env_expand(const char *text)
{
	static char buf[ENV_OUT_MAX];
	struct env_out o = { buf, buf + sizeof(buf) };

	while (*text) {
		if (text[0] == '$' && text[1] == '$') {
			if (!env_put(&o, "$", 1))
				return NULL;
			text += 2;
		} else if (text[0] == '$' && text[1] == '{') {
			text = env_reference(&o, text + 2);
			if (!text)
				return NULL;
		} else if (!env_put(&o, text++, 1)) {
			return NULL;
		}
	}
	*o.at = '\0';
	return buf;
}
