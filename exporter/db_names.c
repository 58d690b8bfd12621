#include "exporter/db_names.h"

#include "exporter/addr_text.h"

#define DB_ARGS_SHOWN 16

/* No pointers: they would have to be relocated in every process that starts. */
#define DB_COMMAND_MAX 32
static const char db_commands[][DB_COMMAND_MAX] = {
#define OA_COMMAND(name) name,
#include "exporter/redis_commands.def"
#undef OA_COMMAND
};

struct oa_bytes oa_db_system(const struct oa_db *db)
{
	static const char *const names[OA_STORE_SYSTEM_COUNT] = {
		[OA_STORE_REDIS] = "redis", [OA_STORE_MEMCACHED] = "memcached", [OA_STORE_POSTGRESQL] = "postgresql",
		[OA_STORE_MYSQL] = "mysql", [OA_STORE_MONGODB] = "mongodb", [OA_STORE_SQLITE] = "sqlite",
		[OA_STORE_AMQP] = "rabbitmq", [OA_STORE_KAFKA] = "kafka",
	};

	return oa_bytes_str(db->system < OA_STORE_SYSTEM_COUNT ? names[db->system] : NULL);
}

struct db_call {
	char operation[16], name[8];
	uint8_t what; /* enum oa_messaging */
};

/* By what Kafka's own libraries call it. */
static const struct db_call db_kafka_calls[] = {
	{ "Produce", "send", OA_MESSAGING_SEND },
	{ "Fetch", "poll", OA_MESSAGING_RECEIVE },
	{ "OffsetCommit", "commit", OA_MESSAGING_SETTLE },
	{ "TxnOffsetCommit", "commit", OA_MESSAGING_SETTLE },
	{ "create", "create", OA_MESSAGING_CREATE },
};

static const struct db_call *db_kafka_call(struct oa_bytes operation)
{
	for (size_t i = 0; i < sizeof(db_kafka_calls) / sizeof(db_kafka_calls[0]); i++)
		if (oa_bytes_eq(operation, oa_bytes_str(db_kafka_calls[i].operation)))
			return &db_kafka_calls[i];
	return NULL;
}

enum oa_messaging oa_messaging_of(const struct oa_db *db, struct oa_bytes operation)
{
	const struct db_call *call = db->system == OA_STORE_KAFKA ? db_kafka_call(operation) : NULL;

	if (db->system == OA_STORE_KAFKA)
		return call ? (enum oa_messaging)call->what : OA_MESSAGING_ADMIN;
	if (db->system != OA_STORE_AMQP)
		return OA_MESSAGING_NONE;
	if (oa_bytes_eq(operation, OA_LIT("create")))
		return OA_MESSAGING_CREATE;
	if (oa_bytes_eq(operation, OA_LIT("basic.publish")))
		return OA_MESSAGING_SEND;
	if (oa_bytes_eq(operation, OA_LIT("basic.deliver")))
		return OA_MESSAGING_DELIVERY;
	return oa_bytes_eq(operation, OA_LIT("basic.get")) ? OA_MESSAGING_RECEIVE : OA_MESSAGING_ADMIN;
}

struct oa_bytes oa_messaging_name(struct oa_bytes operation)
{
	if (oa_bytes_eq(oa_bytes_cut(operation, 6), OA_LIT("basic.")))
		return oa_bytes(operation.ptr + 6, operation.len - 6);
	return db_kafka_call(operation) ? oa_bytes_str(db_kafka_call(operation)->name) : operation;
}

uint64_t oa_messaging_count(const struct oa_db *db, struct oa_bytes operation)
{
	switch (oa_messaging_of(db, operation)) {
	case OA_MESSAGING_SEND:
		return db->system == OA_STORE_KAFKA ? db->batch : 1;
	case OA_MESSAGING_RECEIVE:
		return db->system == OA_STORE_KAFKA ? db->batch : db->rows;
	case OA_MESSAGING_DELIVERY:
		return 1;
	default:
		return 0;
	}
}

struct oa_bytes oa_messaging_type(enum oa_messaging what)
{
	static const char *const types[] = { [OA_MESSAGING_CREATE] = "create", [OA_MESSAGING_SEND] = "send", [OA_MESSAGING_RECEIVE] = "receive",
					     [OA_MESSAGING_SETTLE] = "settle", [OA_MESSAGING_DELIVERY] = "receive" };

	return oa_bytes_str(what <= OA_MESSAGING_DELIVERY ? types[what] : NULL);
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

static struct oa_bytes db_redis_command(struct oa_bytes operation)
{
	size_t from = 0, to = sizeof(db_commands) / sizeof(db_commands[0]);

	while (from < to) {
		size_t middle = (from + to) / 2;
		struct oa_bytes command = oa_bytes_str(db_commands[middle]);
		int order = db_compare(operation, command);

		if (order == 0)
			return command;
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return (struct oa_bytes){ 0 };
}

static struct oa_bytes db_mongodb_command(struct oa_bytes operation)
{
	static const char names[][DB_COMMAND_MAX] = {
#define OA_COMMAND(name) name,
#include "exporter/mongodb_commands.def"
#undef OA_COMMAND
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (oa_bytes_eq(operation, oa_bytes_str(names[i])))
			return oa_bytes_str(names[i]);
	return (struct oa_bytes){ 0 };
}

struct oa_bytes oa_db_command(const struct oa_span *s, const struct oa_db *db, struct oa_bytes operation)
{
	if (db->system == OA_STORE_REDIS)
		return db_redis_command(operation);
	if (db->system == OA_STORE_MONGODB)
		return db_mongodb_command(operation);
	if (!oa_db_is_sql(db))
		return operation; /* the parser takes none that it does not know */
	return db->flags & OA_DB_EXECUTE && s->str[OA_STR_DB_SUMMARY].len ? (struct oa_bytes){ 0 } : operation;
}

struct oa_bytes oa_db_namespace(const struct oa_span *s, const struct oa_db *db, char buf[12])
{
	if (db->flags & OA_DB_HAS_NS)
		return oa_bytes(buf, (size_t)(oa_decimal(buf, db->ns) - buf));
	return oa_span_str(s, OA_STR_DB_NAMESPACE);
}

static struct oa_bytes db_kafka_error(unsigned code, char buf[8])
{
	static const char names[][40] = {
#define OA_KAFKA_ERROR(name) #name,
#include "exporter/kafka_errors.def"
#undef OA_KAFKA_ERROR
	};

	if (code == 0xffff)
		return OA_LIT("UNKNOWN_SERVER_ERROR");
	if (code && code <= sizeof(names) / sizeof(names[0]))
		return oa_bytes_str(names[code - 1]);
	return oa_bytes(buf, (size_t)(oa_decimal(buf, code) - buf));
}

struct oa_bytes oa_db_status(const struct oa_db *db, const struct oa_db_texts *texts, char buf[8])
{
	if (!(db->flags & OA_DB_FAILED))
		return (struct oa_bytes){ 0 };
	if (db->system == OA_STORE_KAFKA)
		return db_kafka_error(db->status_num, buf);
	if (db->status_num)
		return oa_bytes(buf, (size_t)(oa_decimal(buf, db->status_num) - buf));
	return texts->status.len ? texts->status : OA_LIT("_OTHER");
}

struct oa_bytes oa_db_query(const struct oa_span *s, const struct oa_db *db, struct oa_bytes operation,
			    char buf[OA_DB_QUERY_MAX])
{
	struct oa_bytes known = oa_db_command(s, db, operation);
	struct oa_bytes name = oa_bytes_cut(known.len ? known : operation, OA_DB_NAME_MAX);
	char *out = buf;

	if (oa_db_is_sql(db))
		return oa_span_str(s, OA_STR_DB_TEXT);
	if (db->system == OA_STORE_MONGODB)
		return (struct oa_bytes){ 0 };
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
	return oa_bytes(buf, (size_t)(out - buf));
}
