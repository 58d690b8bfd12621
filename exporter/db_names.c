#include "exporter/db_names.h"

#include "exporter/addr_text.h"

#define DB_ARGS_SHOWN 16

static const struct oa_bytes db_commands[] = {
#define OA_COMMAND(name) { (const uint8_t *)name, sizeof(name) - 1 },
#include "exporter/redis_commands.def"
#undef OA_COMMAND
};

struct oa_bytes oa_db_system(const struct oa_db *db)
{
	static const char *const names[OA_STORE_SYSTEM_COUNT] = {
		[OA_STORE_REDIS] = "redis",
	};

	return oa_bytes_str(db->system < OA_STORE_SYSTEM_COUNT ? names[db->system] : NULL);
}

/* As strcmp() does with the first in capitals. */
static int db_compare(struct oa_bytes a, struct oa_bytes capitals)
{
	size_t n = a.len < capitals.len ? a.len : capitals.len;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = a.ptr[i] >= 'a' && a.ptr[i] <= 'z' ? a.ptr[i] & ~0x20 : a.ptr[i];

		if (c != capitals.ptr[i])
			return c < capitals.ptr[i] ? -1 : 1;
	}
	return a.len == capitals.len ? 0 : a.len < capitals.len ? -1 : 1;
}

struct oa_bytes oa_db_command(const struct oa_db *db, struct oa_bytes operation)
{
	size_t from = 0, to = sizeof(db_commands) / sizeof(db_commands[0]);

	while (from < to) {
		size_t middle = (from + to) / 2;
		int order = db_compare(operation, db_commands[middle]);

		if (order == 0)
			return db_commands[middle];
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return (struct oa_bytes){ 0 };
}

struct oa_bytes oa_db_status(const struct oa_db *db, const struct oa_db_texts *texts, char buf[8])
{
	if (!(db->flags & OA_DB_FAILED))
		return (struct oa_bytes){ 0 };
	if (texts->status.len)
		return texts->status;
	return db->status_num ? oa_bytes(buf, (size_t)(oa_decimal(buf, db->status_num) - buf)) : OA_LIT("_OTHER");
}

size_t oa_db_query(const struct oa_db *db, struct oa_bytes operation, char buf[OA_DB_QUERY_MAX])
{
	struct oa_bytes known = oa_db_command(db, operation);
	struct oa_bytes name = oa_bytes_cut(known.len ? known : operation, OA_DB_NAME_MAX);
	char *out = buf;

	memcpy(out, name.ptr, name.len);
	out += name.len;
	for (uint32_t i = 0; i < db->args && i < DB_ARGS_SHOWN; i++) {
		*out++ = ' ';
		*out++ = '?';
	}
	if (db->args > DB_ARGS_SHOWN) {
		memcpy(out, " ...", 4);
		out += 4;
	}
	return (size_t)(out - buf);
}
