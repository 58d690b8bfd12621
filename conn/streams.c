/* Open addressing with what was displaced moved back on removal, so that a table never fills with graves: streams come
 * and go by the thousand. Numbers of streams only go up, which spreads them by itself. */
#include "conn/streams.h"
#include "core/attr.h"
#include "proto/http2.h"

struct stream {
	uint32_t id;
	uint32_t exchange; /* index + 1; 0: free */
};

struct streams {
	uint32_t slots, used;
	uint32_t last; /* slot that was found last: several events of one stream follow each other */
	uint32_t pad;
	struct stream slot[];
};

/* (block * 4 + class) + 1, 0 none; as for what a parser has not taken yet. */
static inline uint32_t *streams_name(const struct oa_conn *c)
{
	return oa_http2_spare((void *)(uintptr_t)c->pstate[OA_DIR_RESPONSE]);
}

/* NULL: no stream was ever opened. */
static inline struct streams *streams_of(const struct oa_conn *c)
{
	uint32_t name = *streams_name(c);

	return name ? (struct streams *)(void *)oa_block_at((name - 1) & 3, (name - 1) >> 2) : NULL;
}

static inline uint32_t streams_home_of(const struct streams *t, uint32_t id)
{
	return (uint32_t)((uint64_t)(id * 0x9e3779b9u) * t->slots >> 32);
}

static inline uint32_t streams_next_slot(const struct streams *t, uint32_t at)
{
	return at + 1 == t->slots ? 0 : at + 1;
}

/* Slot of a stream, or the free one where it would be. */
static inline uint32_t streams_slot_of(const struct streams *t, uint32_t id)
{
	uint32_t at = streams_home_of(t, id);

	while (t->slot[at].exchange && t->slot[at].id != id)
		at = streams_next_slot(t, at);
	return at;
}

OA_HOT struct oa_exchange *oa_stream_find(const struct oa_conn *c, uint32_t stream, uint32_t *ret_index)
{
	struct streams *t = streams_of(c);
	const struct stream *s;

	if (!t)
		return NULL;
	s = &t->slot[t->last];
	if (s->id != stream || !s->exchange) {
		t->last = streams_slot_of(t, stream);
		s = &t->slot[t->last];
	}
	if (!s->exchange)
		return NULL;
	*ret_index = s->exchange - 1;
	return oa_exchange_at(*ret_index);
}

static struct streams *streams_table_new(unsigned cls, uint32_t *ret_name)
{
	int64_t block = oa_block_take(cls);
	struct streams *t;

	if (block < 0)
		return NULL;
	t = (struct streams *)(void *)oa_block_at(cls, (uint32_t)block);
	t->slots = (oa_block_bytes[cls] - (uint32_t)sizeof(*t)) / (uint32_t)sizeof(t->slot[0]);
	t->used = t->last = 0;
	memset(t->slot, 0, t->slots * sizeof(t->slot[0]));
	*ret_name = (uint32_t)block * 4 + cls + 1;
	return t;
}

static void streams_table_put(struct streams *t, uint32_t stream, uint32_t exchange)
{
	t->last = streams_slot_of(t, stream);
	t->slot[t->last] = (struct stream){ stream, exchange };
	t->used++;
}

static OA_COLD bool streams_table_grow(struct oa_conn *c)
{
	struct streams *old = streams_of(c), *fresh;
	unsigned cls = old ? ((*streams_name(c) - 1) & 3) + 1 : 0;
	uint32_t name;

	fresh = cls < OA_BLOCK_CLASSES ? streams_table_new(cls, &name) : NULL;
	if (!fresh)
		return false;
	for (uint32_t i = 0; old && i < old->slots; i++)
		if (old->slot[i].exchange)
			streams_table_put(fresh, old->slot[i].id, old->slot[i].exchange);
	oa_streams_free(c);
	*streams_name(c) = name;
	return true;
}

OA_HOT bool oa_stream_add(struct oa_conn *c, uint32_t stream, uint32_t index)
{
	const struct streams *t = streams_of(c);

	if ((!t || t->used >= t->slots - t->slots / 4) && !streams_table_grow(c))
		return false;
	streams_table_put(streams_of(c), stream, index + 1);
	return true;
}

/* Does a slot between `home` and `at` (going round) lie behind `hole`? Then what stands at `at` may not move there. */
static bool streams_stays(uint32_t hole, uint32_t home, uint32_t at)
{
	return hole <= at ? home > hole && home <= at : home > hole || home <= at;
}

OA_HOT void oa_stream_remove(struct oa_conn *c, uint32_t stream)
{
	struct streams *t;
	uint32_t hole, at;

	if (!(oa_protos[c->proto - 1]->flags & OA_PROTO_STREAMS) || !(t = streams_of(c)))
		return;
	hole = streams_slot_of(t, stream);
	if (!t->slot[hole].exchange)
		return;
	t->used--;
	for (at = streams_next_slot(t, hole); t->slot[at].exchange; at = streams_next_slot(t, at)) {
		if (streams_stays(hole, streams_home_of(t, t->slot[at].id), at))
			continue;
		t->slot[hole] = t->slot[at];
		hole = at;
	}
	t->slot[hole].exchange = 0;
}

OA_HOT void oa_streams_free(struct oa_conn *c)
{
	uint32_t *name;

	if (!c->proto || !(oa_protos[c->proto - 1]->flags & OA_PROTO_STREAMS))
		return;
	name = streams_name(c);
	if (*name)
		oa_block_give((*name - 1) & 3, (*name - 1) >> 2);
	*name = 0;
}
