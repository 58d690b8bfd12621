/* librdkafka: a message that the program produces gets the context among its headers, when that is asked for. An interceptor
 * sees each message before it is sealed, however it was produced, in the thread that produces it.
 *
 * An interceptor is part of a configuration. The program's own must not get ours: when a client cannot be made, the library
 * frees the interceptors that are in it, and once more when the program frees its configuration. So a client is made of a
 * copy, as the library's C++ half does. Copies have no interceptors, so a program that has some of its own is left alone. */
#include "hooks/hook.h"

#include "conn/messages.h"
#include "core/config.h"

typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_topic_s rd_kafka_topic_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;
typedef struct rd_kafka_headers_s rd_kafka_headers_t;

/* As in the library's own headers; the same in all versions of it. */
struct rd_message {
	int error;
	rd_kafka_topic_t *topic;
	int32_t partition;
	void *value;
	size_t value_len;
	void *key;
	size_t key_len;
	int64_t offset;
	void *own;
};

typedef int rd_on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *arg, char *error, size_t error_bytes);
typedef int rd_on_send(rd_kafka_t *client, struct rd_message *message, void *arg);

rd_kafka_t *rd_kafka_new(int type, rd_kafka_conf_t *conf, char *error, size_t error_bytes);
int rd_kafka_conf_interceptor_add_on_new(rd_kafka_conf_t *conf, const char *name, rd_on_new *fn, void *arg);
int rd_kafka_conf_interceptor_add_on_conf_set(rd_kafka_conf_t *conf, const char *name, void *fn, void *arg);
int rd_kafka_conf_interceptor_add_on_conf_dup(rd_kafka_conf_t *conf, const char *name, void *fn, void *arg);
int rd_kafka_conf_interceptor_add_on_conf_destroy(rd_kafka_conf_t *conf, const char *name, void *fn, void *arg);
int rd_kafka_interceptor_add_on_send(rd_kafka_t *client, const char *name, rd_on_send *fn, void *arg);
rd_kafka_conf_t *rd_kafka_conf_new(void);
rd_kafka_conf_t *rd_kafka_conf_dup(const rd_kafka_conf_t *conf);
void rd_kafka_conf_destroy(rd_kafka_conf_t *conf);
int rd_kafka_conf_get(const rd_kafka_conf_t *conf, const char *name, char *ret, size_t *ret_bytes);
const char *rd_kafka_topic_name(const rd_kafka_topic_t *topic);
int rd_kafka_message_headers(const struct rd_message *message, rd_kafka_headers_t **ret);
void rd_kafka_message_set_headers(struct rd_message *message, rd_kafka_headers_t *headers);
rd_kafka_headers_t *rd_kafka_headers_new(size_t room);
int rd_kafka_header_add(rd_kafka_headers_t *headers, const char *name, ssize_t name_len, const void *value, ssize_t len);
int rd_kafka_header_get_last(const rd_kafka_headers_t *headers, const char *name, const void **ret, size_t *ret_len);
int rd_kafka_header_get_all(const rd_kafka_headers_t *headers, size_t i, const char **ret_name, const void **ret, size_t *ret_len);

#define RD_PRODUCER    0
#define RD_NONE        (-156) /* there is no such thing */
#define RD_HEADERS     64     /* a message with more is left alone */
#define RD_ROOM        512    /* for the header, and what a message needs besides */
#define CONTEXT_KAFKA  0x2u   /* OTELAUTO_MESSAGE_CONTEXT */

#define OA_LIB_LIST "hooks/rdkafka.def"
#define OA_LIB_FILE "librdkafka.so"
#include "hooks/lib_names.h"

static const char rd_key[] = "traceparent";
static const char rd_interceptor[] = "otelauto";

/* Set for good by a program, or a plug-in, that intercepts by itself. */
static _Atomic bool rd_others;

/* -- messages -- */

/* What an interceptor is given along: its library, and the largest message of its client. */
static void *rd_arg(const struct oa_lib *lib, size_t max)
{
	return (void *)(max * OA_LIBS_MAX + (size_t)(lib - oa_libs));
}

/* What its headers take; more than there is when they are too many, or cannot be told. */
static size_t headers_bytes(const struct oa_lib *lib, const rd_kafka_headers_t *headers)
{
	size_t bytes = 0;

	for (size_t i = 0; i < RD_HEADERS; i++) {
		const char *name;
		const void *value;
		size_t len;

		if (FN(lib, rd_kafka_header_get_all)(headers, i, &name, &value, &len))
			return bytes;
		bytes += strlen(name) + len + 10;
	}
	return SIZE_MAX / 4;
}

/* Whether it may get one header more, which are then *ret, NULL when there are none: nobody has put it in, and the message
 * does not become longer than the client sends. */
static bool message_takes_one(const struct oa_lib *lib, const struct rd_message *m, size_t max, rd_kafka_headers_t **ret)
{
	const void *value;
	size_t len, bytes = m->value_len + m->key_len + RD_ROOM;
	int result = FN(lib, rd_kafka_message_headers)(m, ret);

	if (result)
		*ret = NULL;
	if (result && result != RD_NONE)
		return false;
	if (*ret && FN(lib, rd_kafka_header_get_last)(*ret, rd_key, &value, &len) != RD_NONE)
		return false;
	return bytes + (*ret ? headers_bytes(lib, *ret) : 0) <= max;
}

static void message_put(const struct oa_lib *lib, struct rd_message *m, rd_kafka_headers_t *headers, const char *context)
{
	rd_kafka_headers_t *to = headers ? headers : FN(lib, rd_kafka_headers_new)(1);

	(void)FN(lib, rd_kafka_header_add)(to, rd_key, sizeof(rd_key) - 1, context, OA_TRACEPARENT);
	if (!headers)
		FN(lib, rd_kafka_message_set_headers)(m, to);
}

static int on_send(rd_kafka_t *client, struct rd_message *m, void *arg)
{
	const struct oa_lib *lib = &oa_libs[(uintptr_t)arg % OA_LIBS_MAX];
	rd_kafka_headers_t *headers;
	char context[OA_TRACEPARENT];

	OA_OBSERVE() {
		if (message_takes_one(lib, m, (uintptr_t)arg / OA_LIBS_MAX, &headers) &&
		    oa_message_create(OA_STORE_KAFKA, (struct oa_bytes){ 0 },
				      oa_bytes_str(FN(lib, rd_kafka_topic_name)(m->topic)), context))
			message_put(lib, m, headers, context);
	}
	return 0;
}

/* -- clients -- */

/* The largest message that a client sends; 0: not told. */
static size_t conf_max(const struct oa_lib *lib, const rd_kafka_conf_t *conf)
{
	char text[16] = "";
	size_t bytes = sizeof(text), max = 0;

	if (FN(lib, rd_kafka_conf_get)(conf, "message.max.bytes", text, &bytes))
		return 0;
	for (const char *c = text; *c >= '0' && *c <= '9' && max < UINT32_MAX / 16; c++)
		max = max * 10 + (size_t)(*c - '0');
	return max;
}

static int on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *arg, char *error, size_t error_bytes)
{
	const struct oa_lib *lib = &oa_libs[(uintptr_t)arg];

	(void)FN(lib, rd_kafka_interceptor_add_on_send)(client, rd_interceptor, on_send, rd_arg(lib, conf_max(lib, conf)));
	return 0;
}

/* Versions before 0.11.4 have no headers. */
static bool has_all(const struct oa_lib *lib)
{
	for (unsigned i = 0; i < FN_COUNT; i++)
		if (!lib->fn[i])
			return false;
	return true;
}

/* What a client is to be made of instead; NULL: of what the program gave. */
OA_SLOW rd_kafka_conf_t *conf_make(const struct oa_lib *lib, const rd_kafka_conf_t *conf)
{
	rd_kafka_conf_t *copy;

	if (atomic_load_explicit(&rd_others, memory_order_relaxed) || !has_all(lib) || !oa_hook_start())
		return NULL;
	copy = conf ? FN(lib, rd_kafka_conf_dup)(conf) : FN(lib, rd_kafka_conf_new)();
	if (copy)
		(void)FN(lib, rd_kafka_conf_interceptor_add_on_new)(copy, rd_interceptor, on_new, (void *)(lib - oa_libs));
	return copy;
}

/* A client that was made has taken the configuration over. When it was not, the program still has its own, and what became of
 * the copy is not known: it is left. */
OA_EXPORT rd_kafka_t *rd_kafka_new(int type, rd_kafka_conf_t *conf, char *error, size_t error_bytes)
{
	const struct oa_lib *lib = oa_lib_of(&lib_names, NULL, CALLER);
	rd_kafka_conf_t *copy = NULL;
	rd_kafka_t *client;
	int err;

	if (type == RD_PRODUCER && oa_config.message_context & CONTEXT_KAFKA && lib->from && oa_hook_awake())
		copy = conf_make(lib, conf);
	client = FN(lib, rd_kafka_new)(type, copy ? copy : conf, error, error_bytes);
	err = errno;
	if (copy && conf && client)
		FN(lib, rd_kafka_conf_destroy)(conf);
	errno = err;
	return client;
}

/* -- those of others -- */

static const struct oa_lib *others_begin(uintptr_t caller)
{
	atomic_store_explicit(&rd_others, true, memory_order_relaxed);
	return oa_lib_of(&lib_names, NULL, caller);
}

OA_EXPORT int rd_kafka_conf_interceptor_add_on_new(rd_kafka_conf_t *conf, const char *name, rd_on_new *fn, void *arg)
{
	return FN(others_begin(CALLER), rd_kafka_conf_interceptor_add_on_new)(conf, name, fn, arg);
}

OA_EXPORT int rd_kafka_conf_interceptor_add_on_conf_set(rd_kafka_conf_t *conf, const char *name, void *fn, void *arg)
{
	return FN(others_begin(CALLER), rd_kafka_conf_interceptor_add_on_conf_set)(conf, name, fn, arg);
}

OA_EXPORT int rd_kafka_conf_interceptor_add_on_conf_dup(rd_kafka_conf_t *conf, const char *name, void *fn, void *arg)
{
	return FN(others_begin(CALLER), rd_kafka_conf_interceptor_add_on_conf_dup)(conf, name, fn, arg);
}

OA_EXPORT int rd_kafka_conf_interceptor_add_on_conf_destroy(rd_kafka_conf_t *conf, const char *name, void *fn, void *arg)
{
	return FN(others_begin(CALLER), rd_kafka_conf_interceptor_add_on_conf_destroy)(conf, name, fn, arg);
}
