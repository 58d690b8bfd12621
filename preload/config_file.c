#include "preload/config_file.h"

#include <fcntl.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "core/attr.h"
#include "core/config.h"
#include "core/sys.h"

#define FILE_JSON_DEPTH_MAX 32

static uint8_t file_text[OA_CONFIG_FILE_MAX + 1];
static size_t file_len;
static const char *file_wrong; /* NULL: read */

/* Nothing leaves the process by a configuration that is not understood; context still travels. */
static void file_refuse(const char *why)
{
	static const char tail[] = ": no traces are sent and no metrics are shown";
	size_t len = strlen(why);

	memcpy(oa_config_file_says, why, len);
	memcpy(oa_config_file_says + len, tail, sizeof(tail));
	(void)oa_config_override("OTEL_TRACES_EXPORTER", OA_LIT("none"));
	(void)oa_config_override("OTEL_METRICS_EXPORTER", OA_LIT("none"));
}

OA_START_CODE void oa_config_file_read(char *const envp[])
{
	long fd, n;

	if (!*oa_config.config_file)
		return;
	file_len = 0;
	file_wrong = "the file cannot be read";
	fd = oa_sys4(SYS_openat, AT_FDCWD, oa_config.config_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return;
	while (file_len < sizeof(file_text) && (n = oa_sys3(SYS_read, fd, file_text + file_len, sizeof(file_text) - file_len)) > 0)
		file_len += (size_t)n;
	(void)oa_sys1(SYS_close, fd);
	if (file_len > OA_CONFIG_FILE_MAX)
		file_wrong = "the file is larger than 64 KiB";
	else if (file_len)
		file_wrong = NULL;
	if (!file_wrong)
		oa_config_env_note(oa_bytes(file_text, file_len), envp);
}

/* cJSON goes one deeper on the stack with each bracket. */
static bool file_is_shallow(void)
{
	unsigned depth = 0, deepest = 0;

	for (size_t i = 0; i < file_len; i++) {
		if (file_text[i] == '{' || file_text[i] == '[')
			deepest = ++depth > deepest ? depth : deepest;
		else if ((file_text[i] == '}' || file_text[i] == ']') && depth)
			depth--;
	}
	return deepest <= FILE_JSON_DEPTH_MAX;
}

/* Variables in the texts of a JSON file. returns false when a reference is malformed */
static bool file_expand(cJSON *node)
{
	for (; node; node = node->next) {
		const char *text = cJSON_IsString(node) ? oa_config_env_expand(node->valuestring) : "";

		if (!text || (cJSON_IsString(node) && strcmp(text, node->valuestring) != 0 && !cJSON_SetValuestring(node, text)))
			return false;
		if (!file_expand(node->child))
			return false;
	}
	return true;
}

static cJSON *file_json(const char **ret_wrong)
{
	cJSON *top = file_is_shallow() ? cJSON_ParseWithLength((const char *)file_text, file_len) : NULL;

	*ret_wrong = "it is no JSON";
	if (top && file_expand(top))
		return top;
	if (top)
		*ret_wrong = "it has a reference to a variable that is malformed";
	cJSON_Delete(top);
	return NULL;
}

static cJSON *file_parse(const char **ret_wrong)
{
	struct oa_bytes text = oa_bytes_trim(oa_bytes(file_text, file_len));
	size_t at = 0;

	while (at < text.len && (text.ptr[at] == '\n' || text.ptr[at] == '\r' || text.ptr[at] == ' '))
		at++;
	return at < text.len && text.ptr[at] == '{' ? file_json(ret_wrong) : oa_config_yaml(text, ret_wrong);
}

bool oa_config_file_apply(void)
{
	bool on = true;
	cJSON *top;

	if (!*oa_config.config_file)
		return true;
	top = file_wrong ? NULL : file_parse(&file_wrong);
	if (top && cJSON_IsObject(top))
		on = oa_config_map(top);
	else
		file_refuse(file_wrong ? file_wrong : "it is no object");
	cJSON_Delete(top);
	return on;
}
