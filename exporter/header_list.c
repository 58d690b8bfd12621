#include "exporter/header_list.h"

#include <errno.h>
#include <stdbool.h>

#include "core/bytes.h"

/* Written by the exporter itself. */
static const char *const reserved_names[] = {
	"content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "expect", "upgrade",
	"te", "grpc-encoding",
};

static bool header_is_token(struct oa_bytes key)
{
	for (size_t i = 0; i < key.len; i++) {
		uint8_t c = oa_lower(key.ptr[i]);

		if (!((uint8_t)(c - 'a') < 26 || (uint8_t)(c - '0') < 10 || (c && strchr("!#$%&'*+-.^_`|~", c))))
			return false;
	}
	return key.len > 0;
}

static bool header_is_reserved(struct oa_bytes key)
{
	for (size_t i = 0; i < sizeof(reserved_names) / sizeof(reserved_names[0]); i++)
		if (oa_bytes_ieq(key, oa_bytes_str(reserved_names[i])))
			return true;
	return false;
}

static int header_hex(uint8_t c)
{
	c = oa_lower(c);
	if ((uint8_t)(c - '0') < 10)
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes. returns the end, NULL: not decodable, or a character that may not stand in a header */
static char *header_decode(char *out, struct oa_bytes in)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];

		if (c == '%') {
			int high = i + 2 < in.len ? header_hex(in.ptr[i + 1]) : -1;
			int low = i + 2 < in.len ? header_hex(in.ptr[i + 2]) : -1;

			if (high < 0 || low < 0)
				return NULL;
			c = (uint8_t)(high * 16 + low);
			i += 2;
		}
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return NULL;
		*out++ = (char)c;
	}
	return out;
}

static int header_line(struct oa_bytes member, char *line)
{
	const uint8_t *eq = member.len ? memchr(member.ptr, '=', member.len) : NULL;
	struct oa_bytes key, value;
	char *end;

	if (!eq)
		return -EINVAL;
	key = oa_bytes_trim(oa_bytes_cut(member, (size_t)(eq - member.ptr)));
	value = oa_bytes_trim(oa_bytes(eq + 1, (size_t)(member.ptr + member.len - eq) - 1));
	if (!header_is_token(key) || header_is_reserved(key) || key.len + value.len + 4 > OA_HEADER_LINE_MAX)
		return -EINVAL;
	memcpy(line, key.ptr, key.len);
	memcpy(line + key.len, ": ", 2);
	end = header_decode(line + key.len + 2, value);
	if (!end)
		return -EINVAL;
	if (end == line + key.len + 2) {
		line[key.len] = ';';
		end = line + key.len + 1;
	}
	*end = '\0';
	return 1;
}

int oa_header_list_next(const char **pos, char ret_line[OA_HEADER_LINE_MAX])
{
	while (**pos) {
		size_t len = strcspn(*pos, ",");
		struct oa_bytes member = oa_bytes_trim(oa_bytes(*pos, len));

		*pos += len + ((*pos)[len] == ',');
		if (member.len)
			return header_line(member, ret_line);
	}
	return 0;
}
