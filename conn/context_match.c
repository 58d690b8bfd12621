/* Requests recognised by what they and a call have in common: the caller's context, a text of one request or user, and in
 * proxies the target. */
#include "conn/context_impl.h"
#include "conn/feed.h"

#define CTX_PROXY_MIN   8    /* certain pairs seen before "same target" counts as evidence */
#define CTX_MATCH_MIN   32   /* or different targets of uncertain calls, each of exactly one open request */
#define CTX_INDEX_FIRST 1024 /* requests indexed by target before the process is seen to call anybody */

static _Atomic uint32_t ctx_same_target, ctx_other_target;
static _Atomic uint64_t ctx_matched; /* targets of uncertain calls that one open request had: a bit each, by hash */
static _Atomic uint32_t ctx_indexed; /* requests, up to CTX_INDEX_FIRST */

/* -- a table of fingerprints -- */

#define FP_SLOTS 4096 /* power of two */
#define FP_WAYS 8     /* neighbours a key may stand in */

struct fp_slot {
	_Atomic uint64_t key;
	_Atomic uint64_t ref; /* index << 32 | gen; UINT64_MAX: two exchanges had the key */
};
static struct fp_slot fp_table[FP_SLOTS];

static inline struct fp_slot *fp_slot(uint64_t key, unsigned way)
{
	return &fp_table[(key + way) & (FP_SLOTS - 1)];
}

static bool fp_live(uint64_t ref)
{
	return ref == UINT64_MAX || oa_exchange_get(oa_ref_unpack(ref));
}

/* The slot that has the key, else NULL. */
static struct fp_slot *fp_lookup(uint64_t key)
{
	for (unsigned way = 0; way < FP_WAYS; way++)
		if (atomic_load_explicit(&fp_slot(key, way)->key, memory_order_acquire) == key)
			return fp_slot(key, way);
	return NULL;
}

/* A slot nobody needs any more, else the first: its key is forgotten, which only loses evidence. */
static inline struct fp_slot *fp_victim(uint64_t key)
{
	for (unsigned way = 0; way < FP_WAYS; way++)
		if (!fp_live(atomic_load_explicit(&fp_slot(key, way)->ref, memory_order_relaxed)))
			return fp_slot(key, way);
	return fp_slot(key, 0);
}

static OA_HOT OA_NOINLINE void fp_insert(uint64_t key, struct oa_ref ref)
{
	struct fp_slot *slot = fp_lookup(key);
	uint64_t old = slot ? atomic_load_explicit(&slot->ref, memory_order_relaxed) : 0;

	if (slot && (old == UINT64_MAX ? oa_ctx_open_count() > 1 : fp_live(old))) {
		atomic_store_explicit(&slot->ref, UINT64_MAX, memory_order_release);
		return;
	}
	if (!slot)
		slot = fp_victim(key);
	atomic_store_explicit(&slot->ref, 0, memory_order_release);
	atomic_store_explicit(&slot->key, key, memory_order_release);
	atomic_store_explicit(&slot->ref, oa_ref_pack(ref), memory_order_release);
}

static struct oa_ref fp_find(uint64_t key)
{
	struct fp_slot *slot = fp_lookup(key);
	uint64_t v = slot ? atomic_load_explicit(&slot->ref, memory_order_acquire) : 0;
	struct oa_ref none = { 0, 0 };

	if (!v || v == UINT64_MAX || atomic_load_explicit(&slot->key, memory_order_acquire) != key ||
	    atomic_load_explicit(&slot->ref, memory_order_acquire) != v)
		return none;
	return oa_exchange_get(oa_ref_unpack(v)) ? oa_ref_unpack(v) : none;
}

/* -- what they are made of -- */

static inline uint64_t fp_step(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

/* Cookies are long and come with every request: eight bytes at a time. */
static OA_HOT uint64_t fp_text(uint64_t h, const uint8_t *p, size_t len)
{
	uint64_t word = 0;

	h = fp_step(h, len);
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		h = fp_step(h, word);
	}
	word = 0;
	memcpy(&word, p, len);
	return fp_step(fp_step(h, word), len) | 1;
}

static uint64_t fp_of(unsigned what, struct oa_bytes text)
{
	return fp_text(0x9ae16a3b2f90404full + what, text.ptr, text.len);
}

/* The ids are random, or should be: two rounds of mixing. */
static uint64_t fp_remote(const uint8_t trace_id[16], const uint8_t parent_id[8])
{
	uint64_t v[3];

	memcpy(v, trace_id, 16);
	memcpy(v + 2, parent_id, 8);
	v[0] = (v[0] ^ v[1] >> 32 ^ v[1] << 32 ^ v[2]) * 0x9e3779b97f4a7c15u;
	v[0] = (v[0] ^ v[0] >> 32 ^ v[2] >> 24) * 0xbf58476d1ce4e5b9u;
	return (v[0] ^ v[0] >> 29) | 1;
}

/* A forward proxy gets whole URLs and asks for what is behind the authority. */
static OA_HOT struct oa_bytes ctx_path_of(struct oa_bytes target)
{
	const uint8_t *at = target.len && *target.ptr != '/' ? memmem(target.ptr, target.len, "://", 3) : NULL;
	const uint8_t *end = target.ptr + target.len;

	if (!at)
		return target;
	for (at += 3; at < end && *at != '/' && *at != '?';)
		at++;
	return at < end ? oa_bytes(at, (size_t)(end - at)) : OA_LIT("/");
}

static uint64_t fp_target(const struct oa_http_head *head)
{
	struct oa_bytes path = ctx_path_of(oa_http_slice(head, head->target));

	return fp_text(head->method + 1u, path.ptr, path.len);
}

/* -- remembering requests -- */

/* Fields that name one request, or one user, and that programs hand on. */
static const enum oa_http_field fp_fields[] = { OA_FIELD_request_id, OA_FIELD_correlation_id, OA_FIELD_authorization,
						OA_FIELD_cookie };
#define FP_FIELDS (sizeof(fp_fields) / sizeof(*fp_fields))

/* A process that has only ever handed targets on unchanged is a proxy: equal targets belong together. */
static bool ctx_is_proxy(void)
{
	if (atomic_load_explicit(&ctx_other_target, memory_order_relaxed))
		return false;
	return atomic_load_explicit(&ctx_same_target, memory_order_relaxed) >= CTX_PROXY_MIN ||
	       __builtin_popcountll(atomic_load_explicit(&ctx_matched, memory_order_relaxed)) >= CTX_MATCH_MIN;
}

/* Is it worth remembering requests by their targets? Not in a server that calls nobody. */
static bool ctx_may_be_proxy(void)
{
	if (atomic_load_explicit(&ctx_other_target, memory_order_relaxed))
		return false;
	return ctx_knows(&oa_ctx_learnt.calls) ||
	       (atomic_load_explicit(&ctx_indexed, memory_order_relaxed) < CTX_INDEX_FIRST &&
		atomic_fetch_add_explicit(&ctx_indexed, 1, memory_order_relaxed) < CTX_INDEX_FIRST);
}

static OA_COLD void ctx_index_texts(struct oa_ref ref, const struct oa_http_head *head, bool target)
{
	for (unsigned i = 0; i < FP_FIELDS; i++)
		if (head->field[fp_fields[i]].len)
			fp_insert(fp_of(fp_fields[i], oa_http_field(head, fp_fields[i])), ref);
	if (target)
		fp_insert(fp_target(head), ref);
}

OA_HOT void oa_ctx_index(struct oa_ref ref, const struct oa_http_head *head, bool remote, const uint8_t trace_id[16],
			 const uint8_t parent_id[8])
{
	bool target = ctx_may_be_proxy();
	uint32_t texts = 0;

	if (remote)
		fp_insert(fp_remote(trace_id, parent_id), ref);
	for (unsigned i = 0; i < FP_FIELDS; i++)
		texts |= head->field[fp_fields[i]].len;
	if (OA_UNLIKELY(texts || target))
		ctx_index_texts(ref, head, target);
}

/* -- recognising them -- */

struct oa_ref oa_ctx_find_remote(const uint8_t trace_id[16], const uint8_t parent_id[8])
{
	return fp_find(fp_remote(trace_id, parent_id));
}

struct oa_ref oa_ctx_fingerprint(const struct oa_http_head *head)
{
	struct oa_ref found = { 0, 0 };

	for (unsigned i = 0; i < FP_FIELDS && !found.gen; i++)
		if (head->field[fp_fields[i]].len)
			found = fp_find(fp_of(fp_fields[i], oa_http_field(head, fp_fields[i])));
	if (!found.gen && ctx_is_proxy())
		found = fp_find(fp_target(head));
	return found;
}

/* One counter-example is enough for good. */
void oa_ctx_learn_proxy(struct oa_ref parent, const struct oa_http_head *head)
{
	struct oa_bytes theirs = oa_http_slice(head, head->target);
	const struct oa_span *s;
	struct oa_conn *c;
	bool same;

	if (atomic_load_explicit(&ctx_other_target, memory_order_relaxed) || theirs.len > OA_TARGET_TEXT_MAX)
		return;
	c = oa_exchange_pin(parent);
	if (!c)
		return;
	s = oa_exchange_span(oa_exchange_at(parent.index));
	same = s->method == head->method &&
	       oa_bytes_eq(ctx_path_of(oa_span_str(s, OA_STR_TARGET)), ctx_path_of(theirs));
	oa_conn_unlock(c);
	atomic_fetch_add_explicit(same ? &ctx_same_target : &ctx_other_target, 1, memory_order_relaxed);
}

bool oa_ctx_contradicts(struct oa_ref parent, const struct oa_http_head *head)
{
	struct oa_ref same;

	if (!parent.gen || atomic_load_explicit(&ctx_other_target, memory_order_relaxed))
		return false;
	same = fp_find(fp_target(head));
	return same.gen && (same.index != parent.index || same.gen != parent.gen);
}

void oa_ctx_learn_match(const struct oa_http_head *head)
{
	uint64_t key = fp_target(head);
	struct fp_slot *slot = fp_lookup(key);

	if (fp_find(key).gen)
		atomic_fetch_or_explicit(&ctx_matched, 1ull << (key * 0x9e3779b97f4a7c15u >> 58), memory_order_relaxed);
	else if (!slot || atomic_load_explicit(&slot->ref, memory_order_relaxed) != UINT64_MAX)
		atomic_store_explicit(&ctx_matched, 0, memory_order_relaxed);
}
