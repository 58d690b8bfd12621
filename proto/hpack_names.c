/* Which names mean something to us: the fields the core reads, by proto/http1_fields.def and a few more, and those that
 * somebody wants captured. */
#include "core/attr.h"
#include "proto/hpack.h"

#define NAME_LONGEST 32

const struct hpack_static oa_hpack_static[HPACK_STATIC_COUNT + 1] = {
	{ "", "" },
	{ ":authority", "" },
	{ ":method", "GET" },
	{ ":method", "POST" },
	{ ":path", "/" },
	{ ":path", "/index.html" },
	{ ":scheme", "http" },
	{ ":scheme", "https" },
	{ ":status", "200" },
	{ ":status", "204" },
	{ ":status", "206" },
	{ ":status", "304" },
	{ ":status", "400" },
	{ ":status", "404" },
	{ ":status", "500" },
	{ "accept-charset", "" },
	{ "accept-encoding", "gzip, deflate" },
	{ "accept-language", "" },
	{ "accept-ranges", "" },
	{ "accept", "" },
	{ "access-control-allow-origin", "" },
	{ "age", "" },
	{ "allow", "" },
	{ "authorization", "" },
	{ "cache-control", "" },
	{ "content-disposition", "" },
	{ "content-encoding", "" },
	{ "content-language", "" },
	{ "content-length", "" },
	{ "content-location", "" },
	{ "content-range", "" },
	{ "content-type", "" },
	{ "cookie", "" },
	{ "date", "" },
	{ "etag", "" },
	{ "expect", "" },
	{ "expires", "" },
	{ "from", "" },
	{ "host", "" },
	{ "if-match", "" },
	{ "if-modified-since", "" },
	{ "if-none-match", "" },
	{ "if-range", "" },
	{ "if-unmodified-since", "" },
	{ "last-modified", "" },
	{ "link", "" },
	{ "location", "" },
	{ "max-forwards", "" },
	{ "proxy-authenticate", "" },
	{ "proxy-authorization", "" },
	{ "range", "" },
	{ "referer", "" },
	{ "refresh", "" },
	{ "retry-after", "" },
	{ "server", "" },
	{ "set-cookie", "" },
	{ "strict-transport-security", "" },
	{ "transfer-encoding", "" },
	{ "user-agent", "" },
	{ "vary", "" },
	{ "via", "" },
	{ "www-authenticate", "" },
};

#define NAME(text) { (const uint8_t *)(text), sizeof(text) - 1 }

const struct oa_bytes oa_hpack_id_name[HPACK_ID_COUNT] = {
#define OA_FIELD(id, name) [OA_FIELD_##id + 1] = NAME(name),
#include "proto/http1_fields.def"
#undef OA_FIELD
	[HPACK_METHOD] = NAME(":method"),
	[HPACK_SCHEME] = NAME(":scheme"),
	[HPACK_AUTHORITY] = NAME(":authority"),
	[HPACK_PATH] = NAME(":path"),
	[HPACK_STATUS] = NAME(":status"),
	[HPACK_PROTOCOL] = NAME(":protocol"),
	[HPACK_CONTENT_TYPE] = NAME("content-type"),
	[HPACK_GRPC_STATUS] = NAME("grpc-status"),
	[HPACK_GRPC_MESSAGE] = NAME("grpc-message"),
	[HPACK_GRPC_TIMEOUT] = NAME("grpc-timeout"),
};

#define PREFIX(text) { text ": ", sizeof(text ": ") - 1 }

const struct hpack_prefix oa_hpack_prefix[HPACK_ID_COUNT] = {
#define OA_FIELD(id, name) [OA_FIELD_##id + 1] = PREFIX(name),
#include "proto/http1_fields.def"
#undef OA_FIELD
	[HPACK_METHOD] = PREFIX(""),
	[HPACK_SCHEME] = PREFIX(""),
	[HPACK_AUTHORITY] = PREFIX("host"),
	[HPACK_PATH] = PREFIX(""),
	[HPACK_STATUS] = PREFIX(""),
	[HPACK_PROTOCOL] = PREFIX(""),
	[HPACK_CONTENT_TYPE] = PREFIX("content-type"),
	[HPACK_GRPC_STATUS] = PREFIX("grpc-status"),
	[HPACK_GRPC_MESSAGE] = PREFIX("grpc-message"),
	[HPACK_GRPC_TIMEOUT] = PREFIX("grpc-timeout"),
};

uint8_t oa_hpack_static_id[HPACK_STATIC_COUNT + 1];
uint8_t oa_hpack_static_name[HPACK_STATIC_COUNT + 1], oa_hpack_static_size[HPACK_STATIC_COUNT + 1];
static uint8_t names_sorted[HPACK_ID_COUNT];      /* ids by length of the name */
static uint8_t names_from[NAME_LONGEST + 2];      /* of each length: where they begin in names_sorted */
static const char *const *names_lists;
static unsigned names_list_count;

static bool list_has(const char *list, struct oa_bytes name)
{
	while (*list) {
		size_t len = strcspn(list, ",");

		/* Lists come as people type them; names on the wire are in lower case. */
		if (len >= name.len && oa_bytes_ieq(oa_bytes_trim(oa_bytes(list, len)), name))
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

static bool name_captured(struct oa_bytes name)
{
	for (unsigned i = 0; i < names_list_count; i++)
		if (names_lists[i] && list_has(names_lists[i], name))
			return true;
	return false;
}

OA_HOT uint8_t oa_hpack_id(struct oa_bytes name)
{
	if (name.len <= NAME_LONGEST)
		for (unsigned i = names_from[name.len]; i < names_from[name.len + 1]; i++)
			if (memcmp(oa_hpack_id_name[names_sorted[i]].ptr, name.ptr, name.len) == 0)
				return names_sorted[i];
	if (__builtin_expect(names_list_count, 0) && name.len <= HPACK_NAME_MAX && name.len && name_captured(name))
		return HPACK_NAMED;
	return HPACK_SKIPPED;
}

static bool lists_empty(const char *const *lists, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (lists[i] && *lists[i])
			return false;
	return true;
}

void oa_hpack_names_init(const char *const *lists, unsigned count)
{
	uint8_t n = 0;

	names_lists = lists;
	names_list_count = lists_empty(lists, count) ? 0 : count;
	for (unsigned len = 0; len <= NAME_LONGEST; len++) {
		names_from[len] = n;
		for (unsigned id = 1; id < HPACK_ID_COUNT; id++)
			if (oa_hpack_id_name[id].len == len)
				names_sorted[n++] = (uint8_t)id;
	}
	names_from[NAME_LONGEST + 1] = n;
	for (unsigned i = 1; i <= HPACK_STATIC_COUNT; i++) {
		const struct hpack_static *s = &oa_hpack_static[i];

		oa_hpack_static_id[i] = oa_hpack_id(oa_bytes_str(s->name));
		oa_hpack_static_name[i] = (uint8_t)strlen(s->name);
		oa_hpack_static_size[i] = (uint8_t)(oa_hpack_static_name[i] + strlen(s->value));
	}
}
