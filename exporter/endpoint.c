#include "exporter/endpoint.h"

#include <string.h>

#include "core/bytes.h"
#include "exporter/addr_text.h"

struct text_out {
	char *buf;
	size_t cap, len;
	bool cut;
};

static void out_put(struct text_out *o, struct oa_bytes part)
{
	size_t room = o->cap - 1 - o->len;

	o->cut |= part.len > room;
	part = oa_bytes_cut(part, room);
	memcpy(o->buf + o->len, part.ptr, part.len);
	o->len += part.len;
	o->buf[o->len] = '\0';
}

static bool endpoint_starts(struct oa_bytes text, const char *lower)
{
	struct oa_bytes prefix = oa_bytes_str(lower);

	return text.len >= prefix.len && oa_bytes_ieq(oa_bytes_cut(text, prefix.len), prefix);
}

static struct oa_bytes endpoint_skip(struct oa_bytes text, size_t n)
{
	return oa_bytes(text.ptr + n, text.len - n);
}

static size_t endpoint_find(struct oa_bytes text, const char *any)
{
	size_t i = 0;

	while (i < text.len && !strchr(any, text.ptr[i]))
		i++;
	return i;
}

/* Settings are used in requests and messages: nothing that could end a line of either. */
static bool endpoint_printable(struct oa_bytes text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f)
			return false;
	return true;
}

static int endpoint_hex(uint8_t c)
{
	c = oa_lower(c);
	if ((uint8_t)(c - '0') < 10)
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool endpoint_decode(struct text_out *o, struct oa_bytes in)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];

		if (c == '%') {
			int high = i + 2 < in.len ? endpoint_hex(in.ptr[i + 1]) : -1;
			int low = i + 2 < in.len ? endpoint_hex(in.ptr[i + 2]) : -1;

			if (high < 0 || low < 0 || high + low == 0)
				return false;
			c = (uint8_t)(high * 16 + low);
			i += 2;
		}
		out_put(o, oa_bytes(&c, 1));
	}
	return true;
}

static const char *endpoint_check_socket(const struct oa_endpoint *e, const struct text_out *path)
{
	if (path->cut)
		return "has a socket path of more than 107 bytes";
	if (e->unix_path[0] != '/' && (e->unix_path[0] != '@' || !e->unix_path[1]))
		return "has no absolute path of a socket";
	return NULL;
}

/* Path and query behind the authority, by the rules for base and full URLs. */
static void endpoint_put_path(struct text_out *url, struct text_out *shown, struct oa_bytes rest, enum oa_endpoint_path how,
			      const char *suffix)
{
	struct oa_bytes path, query;

	rest = oa_bytes_cut(rest, endpoint_find(rest, "#"));
	path = oa_bytes_cut(rest, endpoint_find(rest, "?"));
	query = endpoint_skip(rest, path.len);
	if (how == OA_PATH_FIXED)
		path.len = 0;
	out_put(url, path);
	out_put(shown, path);
	if (how != OA_PATH_AS_IS) {
		if (!path.len || path.ptr[path.len - 1] != '/') {
			out_put(url, OA_LIT("/"));
			out_put(shown, OA_LIT("/"));
		}
		out_put(url, oa_bytes_str(suffix));
		out_put(shown, oa_bytes_str(suffix));
		return;
	}
	if (!path.len) {
		out_put(url, OA_LIT("/"));
		out_put(shown, OA_LIT("/"));
	}
	out_put(url, query);
}

static const char *endpoint_unix(struct oa_endpoint *e, struct oa_bytes rest, struct text_out *url, struct text_out *shown,
				 const char *suffix)
{
	struct text_out path = { e->unix_path, sizeof(e->unix_path), 0, false };

	if (endpoint_starts(rest, "//"))
		rest = endpoint_skip(rest, 2);
	out_put(&path, rest);
	out_put(shown, OA_LIT("unix:"));
	out_put(shown, rest);
	out_put(url, OA_LIT("http://localhost/"));
	out_put(url, oa_bytes_str(suffix));
	return endpoint_check_socket(e, &path);
}

static const char *endpoint_http_unix(struct oa_endpoint *e, struct oa_bytes rest, struct text_out *url,
				      struct text_out *shown, enum oa_endpoint_path how, const char *suffix)
{
	struct text_out path = { e->unix_path, sizeof(e->unix_path), 0, false };
	struct oa_bytes socket = oa_bytes_cut(rest, endpoint_find(rest, "/?#"));

	if (!endpoint_decode(&path, socket))
		return "has a percent sign that is no percent-encoding";
	out_put(shown, OA_LIT("http+unix://"));
	out_put(shown, socket);
	out_put(url, OA_LIT("http://localhost"));
	endpoint_put_path(url, shown, endpoint_skip(rest, socket.len), how, suffix);
	return endpoint_check_socket(e, &path);
}

static const char *endpoint_tcp(struct oa_endpoint *e, struct oa_bytes text, struct text_out *url, struct text_out *shown,
				enum oa_endpoint_path how, const char *suffix)
{
	struct oa_bytes scheme = e->https ? OA_LIT("https://") : OA_LIT("http://");
	struct oa_bytes rest = endpoint_skip(text, scheme.len), authority, host, name;
	struct text_out bare = { e->host, sizeof(e->host), 0, false };
	const uint8_t *at;
	unsigned port;

	authority = oa_bytes_cut(rest, endpoint_find(rest, "/?#"));
	at = authority.len ? memrchr(authority.ptr, '@', authority.len) : NULL;
	host = at ? endpoint_skip(authority, (size_t)(at - authority.ptr) + 1) : authority;
	if (!host.len || host.ptr[0] == ':')
		return "names no host";
	oa_authority_split(host, &name, &port);
	out_put(&bare, name);
	out_put(url, scheme);
	out_put(url, authority);
	out_put(shown, scheme);
	out_put(shown, host);
	endpoint_put_path(url, shown, endpoint_skip(rest, authority.len), how, suffix);
	return NULL;
}

const char *oa_endpoint_parse(struct oa_endpoint *ret, const char *setting, enum oa_endpoint_path how, const char *suffix)
{
	struct text_out url = { ret->url, sizeof(ret->url), 0, false };
	struct text_out shown = { ret->shown, sizeof(ret->shown), 0, false };
	struct oa_bytes text = oa_bytes_trim(oa_bytes_str(setting));
	const char *wrong;

	memset(ret, 0, sizeof(*ret));
	if (!endpoint_printable(text))
		return "has a blank, a control character or one that is not ASCII";
	ret->https = endpoint_starts(text, "https://");
	if (endpoint_starts(text, "unix:"))
		wrong = endpoint_unix(ret, endpoint_skip(text, 5), &url, &shown, suffix);
	else if (endpoint_starts(text, "http+unix://"))
		wrong = endpoint_http_unix(ret, endpoint_skip(text, 12), &url, &shown, how, suffix);
	else if (ret->https || endpoint_starts(text, "http://"))
		wrong = endpoint_tcp(ret, text, &url, &shown, how, suffix);
	else
		wrong = "is no URL that begins with http://, https:// or unix:";
	return wrong || !url.cut ? wrong : "is too long";
}
