/* Machine, system and user, from the texts that describe them. */
#include "pipeline/resource.h"

static struct oa_bytes host_unquote(const char *value, size_t len, char *buf, size_t cap)
{
	char quote = len && (*value == '"' || *value == '\'') ? *value : '\0';
	size_t n = 0;

	for (size_t i = quote != '\0'; i < len && value[i] != quote && n < cap; i++) {
		if (value[i] == '\\' && quote != '\'' && i + 1 < len)
			i++;
		buf[n++] = value[i];
	}
	return oa_bytes(buf, n);
}

struct oa_bytes oa_resource_os_release(const char *text, const char *name, char *buf, size_t cap)
{
	size_t name_len = strlen(name);

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len > name_len && memcmp(text, name, name_len) == 0 && text[name_len] == '=')
			return host_unquote(text + name_len + 1, len - name_len - 1, buf, cap);
		text += len + (text[len] == '\n');
	}
	return oa_bytes(NULL, 0);
}

/* name:password:uid:… */
struct oa_bytes oa_resource_passwd_name(const char *text, unsigned uid)
{
	while (*text) {
		size_t len = strcspn(text, "\n"), name = strcspn(text, ":\n");
		size_t password = name < len ? strcspn(text + name + 1, ":\n") : 0;
		const char *digits = text + name + 1 + password + 1;
		unsigned long value = 0;
		size_t n = 0;

		while (digits + n < text + len && (uint8_t)(digits[n] - '0') < 10 && n < 10)
			value = value * 10 + (unsigned long)(digits[n++] - '0');
		if (n && digits + n < text + len && digits[n] == ':' && value == uid)
			return oa_bytes(text, name);
		text += len + (text[len] == '\n');
	}
	return oa_bytes(NULL, 0);
}

struct oa_bytes oa_resource_arch(const char *machine)
{
	static const char *const names[][2] = {
		{ "x86_64", "amd64" },  { "aarch64", "arm64" }, { "armv7l", "arm32" },
		{ "armv6l", "arm32" },  { "i686", "x86" },      { "i386", "x86" },
		{ "ppc64le", "ppc64" }, { "s390x", "s390x" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(machine, names[i][0]) == 0)
			return oa_bytes_str(names[i][1]);
	return oa_bytes_str(machine);
}
