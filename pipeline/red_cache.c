#include "pipeline/red_cache.h"

#define RED_CACHE_ENTRIES 256 /* method, route and status of a service of some size */
#define RED_TEXTS_MAX     224 /* a long route, or a long host */
#define RED_PARTS_MAX     12

/* Whatever the labels of red_metrics.c depend on. The texts are where they lie: what was just written piece by piece is slow to
 * read in words. */
struct red_key {
	uint64_t fields; /* never 0 */
	unsigned parts;
	size_t len; /* of all texts */
	struct oa_bytes part[RED_PARTS_MAX];
	struct oa_db db; /* one of them may be this */
};

struct red_entry {
	struct oa_red_memory memory;
	uint64_t fields; /* 0: free */
	unsigned parts;
	uint8_t part_len[RED_PARTS_MAX];
	uint8_t texts[RED_TEXTS_MAX]; /* all parts, one behind the other */
};

static struct red_entry red_cache[RED_CACHE_ENTRIES];
static struct oa_series *red_more[RED_CACHE_ENTRIES][OA_METRIC_STREAMS_MORE];
static const struct oa_series_table *red_table; /* that the entries are of */

static inline void red_key_put(struct red_key *key, struct oa_bytes text)
{
	key->part[key->parts++] = text;
	key->len += text.len;
}

static inline void red_key_text(struct red_key *key, const struct oa_span *s, enum oa_str which)
{
	red_key_put(key, oa_span_str(s, which));
}

/* Of a command whatever its labels say. */
static void red_key_db(struct red_key *key, const struct oa_span *s)
{
	struct oa_db_texts texts;
	struct oa_db *db = &key->db;

	if (!oa_span_db(s, db, &texts))
		return;
	db->rows = db->args = db->batch = db->done = 0;
	db->flags &= OA_DB_HAS_NS | OA_DB_FAILED | OA_DB_EXECUTE;
	if (db->system == OA_STORE_KAFKA) {
		db->ns = 0; /* the partition */
		db->flags &= (uint8_t)~OA_DB_HAS_NS;
	}
	if (db->system != OA_STORE_MONGODB && db->system != OA_STORE_AMQP && db->system != OA_STORE_KAFKA)
		db->target = 0;
	red_key_put(key, oa_bytes(db, sizeof(*db)));
	red_key_put(key, texts.operation);
	red_key_put(key, oa_bytes(texts.target.ptr, db->target));
	red_key_put(key, texts.status);
}

static void red_key_client(struct red_key *key, const struct oa_span *s)
{
	red_key_put(key, oa_bytes(&s->peer, sizeof(s->peer)));
	red_key_text(key, s, OA_STR_HOST);
	/* Only whether it begins with https:// is looked at. */
	red_key_put(key, oa_bytes_cut(oa_span_str(s, OA_STR_TARGET), sizeof("https://")));
	red_key_text(key, s, OA_STR_PEER_PATH);
}

static uint64_t red_fields(const struct oa_span *s)
{
	uint32_t flags = s->flags & (OA_SPAN_HAS_STATUS | OA_SPAN_HTTPS | OA_SPAN_UNIX);
	uint64_t status = s->flags & OA_SPAN_HAS_STATUS ? s->status : 0;

	_Static_assert(OA_SPAN_HTTPS == 1 << 7 && OA_SPAN_HAS_STATUS < 1 << 15, "the flags fit into a byte");
	return s->kind | (uint64_t)s->what << 8 | (uint64_t)s->method << 16 | (uint64_t)s->version << 24 |
	       (uint64_t)s->error << 32 | status << 40 | (uint64_t)(flags >> 7) << 56;
}

static void red_key_make(struct red_key *key, const struct oa_span *s)
{
	key->fields = red_fields(s);
	key->parts = 0;
	key->len = 0;
	red_key_text(key, s, OA_STR_ROUTE);
	red_key_text(key, s, OA_STR_FWD_PROTO);
	if (s->what == OA_WHAT_RPC || s->what == OA_WHAT_DB)
		red_key_text(key, s, OA_STR_PATH);
	if (s->what == OA_WHAT_DB)
		red_key_db(key, s);
	if (s->method == OA_METHOD_OTHER)
		red_key_text(key, s, OA_STR_METHOD);
	if (s->kind == OA_KIND_CLIENT)
		red_key_client(key, s);
}

static bool red_is(const struct red_entry *e, const struct red_key *key)
{
	const uint8_t *text = e->texts;

	if (e->fields != key->fields || e->parts != key->parts)
		return false;
	for (unsigned i = 0; i < key->parts; i++) {
		if (e->part_len[i] != key->part[i].len || !oa_same(text, key->part[i].ptr, key->part[i].len))
			return false;
		text += key->part[i].len;
	}
	return true;
}

/* Equal hashes cost time only: keys are compared. */
static struct red_entry *red_place_of(const struct red_key *key)
{
	uint64_t hash = key->fields;

	for (unsigned i = 0; i < key->parts; i++)
		hash = oa_hash_words(hash, key->part[i]);
	return &red_cache[hash % RED_CACHE_ENTRIES];
}

static void red_keep(struct red_entry *e, const struct red_key *key)
{
	uint8_t *text = e->texts;

	memset(&e->memory, 0, sizeof(e->memory));
	e->memory.more = red_more[e - red_cache];
	if (oa_streams_count > OA_INS_COUNT)
		memset(e->memory.more, 0, sizeof(red_more[0]));
	e->fields = key->fields;
	e->parts = key->parts;
	for (unsigned i = 0; i < key->parts; i++) {
		e->part_len[i] = (uint8_t)key->part[i].len; /* as RED_TEXTS_MAX is below 256 */
		oa_copy_text(text, key->part[i].ptr, key->part[i].len);
		text += key->part[i].len;
	}
}

struct oa_red_memory *oa_red_remember(const struct oa_series_table *t, const struct oa_span *s)
{
	struct red_entry *entry;
	struct red_key key;

	if (red_table != t) {
		memset(red_cache, 0, sizeof(red_cache));
		red_table = t;
	}
	red_key_make(&key, s);
	if (key.len > RED_TEXTS_MAX)
		return NULL;
	entry = red_place_of(&key);
	if (!red_is(entry, &key))
		red_keep(entry, &key);
	return &entry->memory;
}
