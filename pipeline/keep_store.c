/* Fixed memory: records in chains of slots, traces in a table with a list by age. All of it is mapped once and committed
 * when it is touched. */
#include <errno.h>
#include <sys/mman.h>

#include "core/sys.h"
#include "pipeline/keep.h"

#define STORE_SLOT_BYTES 248 /* and the link: 256 */
#define STORE_TRACES     8192
#define STORE_BUCKETS    (2 * STORE_TRACES)

/* Indices are + 1, 0 is none. */
struct store_slot {
	uint32_t next_slot;   /* of the same record; of the free list */
	uint32_t next_record; /* in the first slot of a record */
	uint8_t bytes[STORE_SLOT_BYTES];
};

static struct {
	struct store_slot *slot;
	uint32_t slots, fresh, free, used;
	struct oa_keep_trace *trace;
	uint32_t *bucket;
	uint32_t trace_fresh, trace_free; /* free traces are linked by hash_next */
	uint32_t oldest, newest;
} store;

/* -- opening -- */

static void *store_map(void *mem, size_t bytes)
{
	if (!mem)
		return oa_sys_map(bytes, 0);
	(void)oa_sys3(SYS_madvise, mem, bytes, MADV_DONTNEED); /* the parent's, in a child */
	return mem;
}

int oa_keep_store_open(size_t bytes)
{
	uint32_t slots = (uint32_t)(bytes / sizeof(struct store_slot));
	void *slot = store_map(store.slot, slots * sizeof(*store.slot));
	void *trace = store_map(store.trace, STORE_TRACES * sizeof(*store.trace));
	void *bucket = store_map(store.bucket, STORE_BUCKETS * sizeof(*store.bucket));

	memset(&store, 0, sizeof(store));
	store.slot = slot;
	store.trace = trace;
	store.bucket = bucket;
	if (!slot || !trace || !bucket)
		return -ENOMEM;
	store.slots = slots;
	return 0;
}

/* The mappings stay for the next open. */
void oa_keep_store_forget(void)
{
	void *slot = store.slot, *trace = store.trace, *bucket = store.bucket;

	memset(&store, 0, sizeof(store));
	store.slot = slot;
	store.trace = trace;
	store.bucket = bucket;
}

/* -- slots -- */

static uint32_t store_take_slot(void)
{
	uint32_t slot = store.free;

	if (slot)
		store.free = store.slot[slot - 1].next_slot;
	else
		slot = ++store.fresh;
	store.used++;
	return slot;
}

static void store_give_record(uint32_t first)
{
	while (first) {
		uint32_t next = store.slot[first - 1].next_slot;

		store.slot[first - 1].next_slot = store.free;
		store.free = first;
		store.used--;
		first = next;
	}
}

static size_t store_slots_for(size_t bytes)
{
	return (bytes + STORE_SLOT_BYTES - 1) / STORE_SLOT_BYTES;
}

static uint32_t store_put(const uint8_t *from, size_t len)
{
	uint32_t first = 0, *link = &first;

	while (len) {
		size_t part = len < STORE_SLOT_BYTES ? len : STORE_SLOT_BYTES;
		struct store_slot *s;

		*link = store_take_slot();
		s = &store.slot[*link - 1];
		s->next_slot = s->next_record = 0;
		memcpy(s->bytes, from, part);
		link = &s->next_slot;
		from += part;
		len -= part;
	}
	return first;
}

/* A span is at least one slot long, and says itself how long it is. */
static void store_get(uint32_t first, struct oa_span_buf *ret)
{
	size_t len = 0;

	for (; first && len < sizeof(*ret); first = store.slot[first - 1].next_slot) {
		size_t part = sizeof(*ret) - len < STORE_SLOT_BYTES ? sizeof(*ret) - len : STORE_SLOT_BYTES;

		memcpy(ret->raw + len, store.slot[first - 1].bytes, part);
		len += part;
	}
}

/* -- traces -- */

static uint32_t *store_bucket(const uint8_t id[16])
{
	return &store.bucket[oa_hash(0, id, 16) % STORE_BUCKETS];
}

static struct oa_keep_trace *store_trace(uint32_t index) { return index ? &store.trace[index - 1] : NULL; }

static uint32_t store_index(const struct oa_keep_trace *t) { return (uint32_t)(t - store.trace) + 1; }

struct oa_keep_trace *oa_keep_find(const uint8_t trace_id[16])
{
	struct oa_keep_trace *t;

	if (!store.slots)
		return NULL;
	t = store_trace(*store_bucket(trace_id));
	while (t && memcmp(t->id, trace_id, 16))
		t = store_trace(t->hash_next);
	return t;
}

static uint32_t store_take_trace(void)
{
	uint32_t index = store.trace_free;

	if (index)
		store.trace_free = store.trace[index - 1].hash_next;
	else if (store.trace_fresh < STORE_TRACES)
		index = ++store.trace_fresh;
	return index;
}

struct oa_keep_trace *oa_keep_begin(const uint8_t trace_id[16], const struct oa_proc_id *who, uint64_t now_ns)
{
	struct oa_keep_trace *t = oa_keep_find(trace_id);
	uint32_t index, *bucket;

	if (t || !store.slots)
		return t;
	index = store_take_trace();
	if (!index)
		return NULL;
	t = &store.trace[index - 1];
	bucket = store_bucket(trace_id);
	*t = (struct oa_keep_trace){ .who = who, .since_ns = now_ns, .hash_next = *bucket, .older = store.newest };
	memcpy(t->id, trace_id, 16);
	*bucket = index;
	if (store.newest)
		store.trace[store.newest - 1].newer = index;
	else
		store.oldest = index;
	store.newest = index;
	return t;
}

bool oa_keep_hold(struct oa_keep_trace *t, const struct oa_span *s)
{
	static struct oa_span_buf packed;
	uint32_t first;

	oa_span_pack(s, &packed);
	if (store.used + store_slots_for(packed.s.bytes) > store.slots)
		return false;
	first = store_put(packed.raw, packed.s.bytes);
	if (t->last)
		store.slot[t->last - 1].next_record = first;
	else
		t->first = first;
	t->last = first;
	t->count++;
	return true;
}

bool oa_keep_take(struct oa_keep_trace *t, struct oa_span_buf *ret)
{
	uint32_t first = t->first;

	if (!first)
		return false;
	store_get(first, ret);
	t->first = store.slot[first - 1].next_record;
	if (!t->first)
		t->last = 0;
	t->count--;
	store_give_record(first);
	return true;
}

static void store_unlink(struct oa_keep_trace *t)
{
	uint32_t *link = store_bucket(t->id), index = store_index(t);

	while (*link != index)
		link = &store.trace[*link - 1].hash_next;
	*link = t->hash_next;
	if (t->older)
		store.trace[t->older - 1].newer = t->newer;
	else
		store.oldest = t->newer;
	if (t->newer)
		store.trace[t->newer - 1].older = t->older;
	else
		store.newest = t->older;
}

void oa_keep_end(struct oa_keep_trace *t)
{
	while (t->first) {
		uint32_t first = t->first;

		t->first = store.slot[first - 1].next_record;
		store_give_record(first);
	}
	store_unlink(t);
	*t = (struct oa_keep_trace){ .hash_next = store.trace_free };
	store.trace_free = store_index(t);
}

struct oa_keep_trace *oa_keep_oldest(void) { return store_trace(store.oldest); }

struct oa_keep_trace *oa_keep_of(const struct oa_proc_id *who, uint32_t *pos)
{
	while (*pos < store.trace_fresh) {
		struct oa_keep_trace *t = &store.trace[(*pos)++];

		if (t->who == who)
			return t;
	}
	return NULL;
}

size_t oa_keep_bytes(void) { return (size_t)store.used * sizeof(struct store_slot); }
