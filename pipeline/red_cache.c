#include "pipeline/red_cache.h"

#define RED_CACHE_ENTRIES 256 /* method, route and status of a service of some size */
#define RED_KEY_MAX       224 /* a long route, or a long host */

struct red_key {
	size_t len;
	uint8_t bytes[RED_KEY_MAX] __attribute__((aligned(8)));
};

struct red_entry {
	struct oa_red_memory memory;
	struct red_key key; /* len 0: free */
};

static struct red_entry red_cache[RED_CACHE_ENTRIES];
static struct oa_series *red_more[RED_CACHE_ENTRIES][OA_METRIC_STREAMS_MORE];
static const struct oa_series_table *red_table; /* that the entries are of */

/* Whatever the labels of red_metrics.c depend on. */
struct red_fixed {
	uint8_t kind, what, method, version, error, pad;
	uint16_t status, flags;
};

static inline bool red_key_put(struct red_key *key, const void *bytes, size_t len)
{
	if (len > sizeof(key->bytes) - key->len)
		return false;
	if (__builtin_constant_p(len))
		memcpy(key->bytes + key->len, bytes, len);
	else
		oa_copy_text(key->bytes + key->len, bytes, len);
	key->len += len;
	return true;
}

static inline bool red_key_text(struct red_key *key, const struct oa_span *s, enum oa_str which,
			 size_t max)
{
	struct oa_bytes text = oa_bytes_cut(oa_span_str(s, which), max);
	uint8_t len = (uint8_t)text.len;

	return text.len <= UINT8_MAX && red_key_put(key, &len, 1) &&
	       red_key_put(key, text.ptr, text.len);
}

/* Of a command whatever its labels say. */
static bool red_key_db(struct red_key *key, const struct oa_span *s)
{
	struct oa_db_texts texts;
	struct oa_db db;

	if (!oa_span_db(s, &db, &texts))
		return false;
	db.rows = db.args = db.batch = db.done = 0;
	db.flags &= OA_DB_HAS_NS | OA_DB_FAILED | OA_DB_EXECUTE;
	if (db.system == OA_STORE_KAFKA) {
		db.ns = 0; /* the partition */
		db.flags &= (uint8_t)~OA_DB_HAS_NS;
	}
	db.target = db.system == OA_STORE_MONGODB || db.system == OA_STORE_AMQP || db.system == OA_STORE_KAFKA ? db.target : 0;
	return red_key_put(key, &db, sizeof(db)) &&
	       red_key_put(key, texts.operation.ptr, texts.operation.len) && red_key_put(key, texts.target.ptr, db.target) &&
	       red_key_put(key, texts.status.ptr, texts.status.len);
}

static bool red_key_client(struct red_key *key, const struct oa_span *s)
{
	/* Of a target only whether it begins with https:// is looked at. */
	return red_key_put(key, &s->peer, sizeof(s->peer)) &&
	       red_key_text(key, s, OA_STR_HOST, SIZE_MAX) &&
	       red_key_text(key, s, OA_STR_TARGET, sizeof("https://")) &&
	       red_key_text(key, s, OA_STR_PEER_PATH, SIZE_MAX);
}

/* Padded with zeros to whole words. */
static bool red_key_make(struct red_key *key, const struct oa_span *s)
{
	static const uint8_t zeros[8];
	struct red_fixed fixed = {
		s->kind,
		s->what,
		s->method,
		s->version,
		s->error,
		0,
		s->flags & OA_SPAN_HAS_STATUS ? s->status : 0,
		s->flags & (OA_SPAN_HAS_STATUS | OA_SPAN_HTTPS | OA_SPAN_UNIX),
	};

	key->len = 0;
	if (!red_key_put(key, &fixed, sizeof(fixed)) ||
	    !red_key_text(key, s, OA_STR_ROUTE, SIZE_MAX))
		return false;
	if ((s->what == OA_WHAT_RPC || s->what == OA_WHAT_DB) && !red_key_text(key, s, OA_STR_PATH, SIZE_MAX))
		return false;
	if (s->what == OA_WHAT_DB && !red_key_db(key, s))
		return false;
	if (s->method == OA_METHOD_OTHER && !red_key_text(key, s, OA_STR_METHOD, SIZE_MAX))
		return false;
	if (s->kind == OA_KIND_CLIENT ? !red_key_client(key, s)
				      : !red_key_text(key, s, OA_STR_FWD_PROTO, SIZE_MAX))
		return false;
	return red_key_put(key, zeros, -key->len % 8);
}

/* Word by word: most keys are short. */
static bool red_key_is(const struct red_key *a, const struct red_key *b)
{
	uint64_t differ = a->len ^ b->len;

	for (size_t i = 0; !differ && i < a->len; i += 8)
		differ = oa_load64(a->bytes + i) ^ oa_load64(b->bytes + i);
	return !differ;
}

/* Eight bytes at a time. Equal hashes cost time only: keys are compared. */
static unsigned red_key_place(const struct red_key *key)
{
	uint64_t hash = key->len;

	for (size_t i = 0; i < key->len; i += 8) {
		hash = (hash ^ oa_load64(key->bytes + i)) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	return hash % RED_CACHE_ENTRIES;
}

struct oa_red_memory *oa_red_remember(const struct oa_series_table *t, const struct oa_span *s)
{
	struct red_entry *entry;
	struct red_key key;

	if (red_table != t) {
		memset(red_cache, 0, sizeof(red_cache));
		red_table = t;
	}
	if (!red_key_make(&key, s))
		return NULL;
	entry = &red_cache[red_key_place(&key)];
	if (red_key_is(&entry->key, &key))
		return &entry->memory;
	memset(&entry->memory, 0, sizeof(entry->memory));
	entry->memory.more = red_more[entry - red_cache];
	if (oa_streams_count > OA_INS_COUNT)
		memset(entry->memory.more, 0, sizeof(red_more[0]));
	entry->key.len = key.len;
	memcpy(entry->key.bytes, key.bytes, key.len);
	return &entry->memory;
}
