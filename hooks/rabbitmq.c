/* librabbitmq: a message that the program publishes gets the context among its headers, when that is asked for. The library
 * encodes what it is given before it returns, so that a copy of the properties with one header more is enough. */
#include "hooks/hook.h"

#include "conn/messages.h"
#include "core/config.h"

/* As in the library's own headers; the same in all versions of it. */
struct rabbit_bytes {
	size_t len;
	void *bytes;
};

struct rabbit_table {
	int count;
	struct rabbit_entry *entries;
};

struct rabbit_entry {
	struct rabbit_bytes key;
	uint8_t kind;
	union {
		struct rabbit_bytes bytes;
		struct rabbit_table table;
		uint64_t number;
		struct {
			uint8_t decimals;
			uint32_t value;
		} decimal;
	} value;
};

struct rabbit_properties {
	uint32_t flags;
	struct rabbit_bytes content_type, content_encoding;
	struct rabbit_table headers;
	uint8_t delivery_mode, priority;
	struct rabbit_bytes correlation_id, reply_to, expiration, message_id;
	uint64_t timestamp;
	struct rabbit_bytes type, user_id, app_id, cluster_id;
};
_Static_assert(sizeof(struct rabbit_entry) == 40 && sizeof(struct rabbit_properties) == 200, "as the library has them");

int amqp_basic_publish(void *state, uint16_t channel, struct rabbit_bytes exchange, struct rabbit_bytes key, int mandatory,
		       int immediate, const struct rabbit_properties *properties, struct rabbit_bytes body);

#define RABBIT_HEADERS     (1u << 13)
#define RABBIT_UTF8        'S'
#define RABBIT_ENTRIES     32
#define RABBIT_BYTES       2048 /* of headers, the context among them: the smallest frame there is holds twice that */
#define CONTEXT_RABBITMQ   0x1u /* OTELAUTO_MESSAGE_CONTEXT */

#define OA_LIB_LIST "hooks/rabbitmq.def"
#define OA_LIB_FILE "librabbitmq"
#include "hooks/lib_names.h"

/* What stands in for the program's properties during the call. */
struct rabbit_copy {
	struct rabbit_properties properties;
	struct rabbit_entry entries[RABBIT_ENTRIES + 1];
	char context[OA_TRACEPARENT];
};

static const char rabbit_key[] = "traceparent";

/* Bytes of one header; too many when it cannot be told. */
static size_t entry_bytes(const struct rabbit_entry *e)
{
	switch (e->kind) {
	case 'S':
	case 'x':
		return 6 + e->key.len + e->value.bytes.len;
	case 'A':
	case 'F':
		return RABBIT_BYTES;
	default:
		return 10 + e->key.len;
	}
}

/* Whether one may be added: there is none yet, and room. */
static bool headers_take_one(const struct rabbit_table *headers)
{
	size_t bytes = sizeof(rabbit_key) + 5 + OA_TRACEPARENT;

	if (headers->count < 0 || headers->count > RABBIT_ENTRIES)
		return false;
	for (int i = 0; i < headers->count; i++) {
		const struct rabbit_entry *e = &headers->entries[i];

		if (e->key.len == sizeof(rabbit_key) - 1 && memcmp(e->key.bytes, rabbit_key, e->key.len) == 0)
			return false;
		bytes += e->key.len < RABBIT_BYTES ? entry_bytes(e) : RABBIT_BYTES;
		if (bytes > RABBIT_BYTES)
			return false;
	}
	return true;
}

static void copy_make(struct rabbit_copy *copy, const struct rabbit_properties *from)
{
	struct rabbit_table headers = { 0 };

	memset(&copy->properties, 0, sizeof(copy->properties));
	if (from)
		copy->properties = *from;
	if (copy->properties.flags & RABBIT_HEADERS)
		headers = copy->properties.headers;
	if (headers.count)
		memcpy(copy->entries, headers.entries, (size_t)headers.count * sizeof(copy->entries[0]));
	copy->entries[headers.count] = (struct rabbit_entry){
		.key = { sizeof(rabbit_key) - 1, (void *)(uintptr_t)rabbit_key }, .kind = RABBIT_UTF8,
		.value.bytes = { OA_TRACEPARENT, copy->context },
	};
	copy->properties.flags |= RABBIT_HEADERS;
	copy->properties.headers = (struct rabbit_table){ headers.count + 1, copy->entries };
}

/* The copy to publish with; NULL: as it is. *ret_block is to be given back behind the call. */
OA_SLOW struct rabbit_copy *publish_begins(struct rabbit_bytes exchange, struct rabbit_bytes key,
					   const struct rabbit_properties *properties, int64_t *ret_block)
{
	const struct rabbit_table none = { 0 };
	bool has = properties && properties->flags & RABBIT_HEADERS;
	struct rabbit_copy *copy = NULL;

	*ret_block = -1;
	if (!headers_take_one(has ? &properties->headers : &none))
		return NULL;
	OA_OBSERVE() {
		*ret_block = oa_message_room(sizeof(*copy), (void **)&copy);
		if (copy && oa_message_create(OA_STORE_AMQP, oa_bytes(exchange.bytes, exchange.len), oa_bytes(key.bytes, key.len),
					      copy->context))
			copy_make(copy, properties);
		else
			copy = NULL;
	}
	return copy;
}

OA_EXPORT int amqp_basic_publish(void *state, uint16_t channel, struct rabbit_bytes exchange, struct rabbit_bytes key, int mandatory,
				 int immediate, const struct rabbit_properties *properties, struct rabbit_bytes body)
{
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, NULL, CALLER) };
	struct rabbit_copy *copy = NULL;
	int64_t block = -1;
	int result;

	if (oa_config.message_context & CONTEXT_RABBITMQ && k.lib->from && oa_hook_active())
		copy = publish_begins(exchange, key, properties, &block);
	result = FN(k.lib, amqp_basic_publish)(state, channel, exchange, key, mandatory, immediate,
					       copy ? &copy->properties : properties, body);
	if (block >= 0)
		oa_message_room_give(block);
	return result;
}
