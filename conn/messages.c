/* Names of topics stand in sets of four by the hash of their number, each behind a sequence that is odd while it is
 * written. The oldest of a set goes; a topic whose name went is told without it. */
#include "conn/messages.h"

#include "conn/context.h"
#include "conn/span_build.h"
#include "conn/span_http.h"
#include "core/tsc.h"
#include "proto/amqp.h"

#define TOPIC_WAYS  4
#define TOPIC_SETS  256
#define TOPIC_ID    16
#define TOPIC_WORDS ((TOPIC_ID + OA_DB_NAME_MAX) / 8)

struct topic {
	_Atomic uint32_t seq, len;
	_Atomic uint64_t word[TOPIC_WORDS]; /* its number, its name */
};

struct topic_copy {
	uint32_t len;
	uint64_t word[TOPIC_WORDS];
};

static struct topic topics[TOPIC_SETS][TOPIC_WAYS];
static _Atomic uint32_t topic_next;

static struct topic *topic_set(const uint64_t id[2])
{
	return topics[oa_hash(1, id, TOPIC_ID) % TOPIC_SETS];
}

/* returns false when it is being written */
static bool topic_read(struct topic *t, struct topic_copy *ret)
{
	uint32_t seq = atomic_load_explicit(&t->seq, memory_order_acquire);

	ret->len = atomic_load_explicit(&t->len, memory_order_relaxed);
	for (unsigned i = 0; i < TOPIC_WORDS; i++)
		ret->word[i] = atomic_load_explicit(&t->word[i], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return seq && !(seq & 1) && atomic_load_explicit(&t->seq, memory_order_relaxed) == seq;
}

static bool topic_find(const uint64_t id[2], struct topic_copy *ret)
{
	struct topic *t = topic_set(id);

	for (unsigned way = 0; way < TOPIC_WAYS; way++)
		if (topic_read(&t[way], ret) && ret->word[0] == id[0] && ret->word[1] == id[1])
			return true;
	return false;
}

static void topic_write(struct topic *t, const struct topic_copy *from)
{
	uint32_t seq = atomic_load_explicit(&t->seq, memory_order_relaxed);

	if (seq & 1 || !atomic_compare_exchange_strong_explicit(&t->seq, &seq, seq + 1, memory_order_acquire, memory_order_relaxed))
		return; /* somebody else writes: it is said again */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&t->len, from->len, memory_order_relaxed);
	for (unsigned i = 0; i < TOPIC_WORDS; i++)
		atomic_store_explicit(&t->word[i], from->word[i], memory_order_relaxed);
	atomic_store_explicit(&t->seq, seq + 2, memory_order_release);
}

void oa_message_named(struct oa_bytes id, struct oa_bytes name)
{
	struct topic_copy fresh = { 0 }, have;

	if (id.len != TOPIC_ID)
		return;
	name = oa_bytes_cut(name, OA_DB_NAME_MAX);
	memcpy(fresh.word, id.ptr, TOPIC_ID);
	memcpy(fresh.word + 2, name.ptr, name.len);
	fresh.len = (uint32_t)name.len;
	if (!topic_find(fresh.word, &have))
		topic_write(topic_set(fresh.word) + atomic_fetch_add(&topic_next, 1) % TOPIC_WAYS, &fresh);
}

static bool link_known(struct oa_bytes links, const struct oa_link *link)
{
	for (size_t at = 0; at < links.len; at += sizeof(*link))
		if (memcmp(links.ptr + at, link, sizeof(*link)) == 0)
			return true;
	return false;
}

/* Behind those that it has. What an ambiguous call may belong to was written before what the call is: then all of them move to
 * the end, and nothing else is written there as long as messages are read. */
static void link_add(struct oa_exchange *ex, const struct oa_link *link)
{
	struct oa_span *s = oa_exchange_span(ex);
	struct oa_bytes all = oa_span_str(s, OA_STR_LINKS);
	struct oa_strref had = s->str[OA_STR_LINKS], *now;
	struct oa_link both[OA_MESSAGE_LINKS_MAX];
	size_t old = had.len && had.off + had.len != s->bytes ? all.len / sizeof(*link) : 0;

	if (all.len / sizeof(*link) >= OA_MESSAGE_LINKS_MAX || link_known(all, link))
		return;
	if (old)
		memcpy(both, all.ptr, old * sizeof(*link));
	both[old] = *link;
	oa_exchange_set_str(ex, OA_STR_LINKS, oa_bytes(both, (old + 1) * sizeof(*link)));
	now = &oa_exchange_span(ex)->str[OA_STR_LINKS];
	if (now->len != (old + 1) * sizeof(*link))
		*now = had; /* no room */
	else if (!old && had.len)
		*now = (struct oa_strref){ had.off, (uint16_t)(had.len + sizeof(*link)) };
}

void oa_message_from(struct oa_exchange *ex, struct oa_bytes traceparent)
{
	struct oa_remote remote;
	struct oa_link link;

	if (!oa_propagate_parse(traceparent, &remote))
		return;
	memcpy(link.trace_id, remote.trace_id, sizeof(link.trace_id));
	memcpy(link.span_id, remote.parent_id, sizeof(link.span_id));
	link_add(ex, &link);
}

/* -- messages that are made -- */

#define ROOM_CLASS 1

int64_t oa_message_room(size_t bytes, void **ret)
{
	int64_t index = bytes <= oa_block_bytes[ROOM_CLASS] ? oa_block_take(ROOM_CLASS) : -1;

	*ret = index >= 0 ? oa_block_at(ROOM_CLASS, (uint32_t)index) : NULL;
	return index;
}

void oa_message_room_give(int64_t name)
{
	oa_block_give(ROOM_CLASS, (uint32_t)name);
}

static void create_describe(struct oa_exchange *ex, enum oa_store_system system, struct oa_bytes target)
{
	static const char operation[] = "create";
	struct {
		struct oa_db db;
		uint8_t texts[sizeof(operation) - 1 + OA_DB_NAME_MAX];
	} r = { .db = { .system = (uint8_t)system, .operation = sizeof(operation) - 1 } };

	target = oa_bytes_cut(target, OA_DB_NAME_MAX);
	memcpy(r.texts, operation, sizeof(operation) - 1);
	if (target.len)
		memcpy(r.texts + sizeof(operation) - 1, target.ptr, target.len);
	r.db.target = (uint8_t)target.len;
	oa_exchange_set_str(ex, OA_STR_DB, oa_bytes(&r, sizeof(r.db) + r.db.operation + r.db.target));
}

bool oa_message_create(enum oa_store_system system, struct oa_bytes exchange, struct oa_bytes key, char ret_context[OA_TRACEPARENT])
{
	/* What an exchange needs of a connection while it is opened and finished. */
	struct oa_conn none = { .role = OA_ROLE_CLIENT };
	int64_t index = oa_span_open_call(&none, OA_WHAT_DB, oa_host_now_ns());
	uint8_t room[OA_AMQP_ROOM];
	struct oa_exchange *ex;

	if (index < 0)
		return false;
	ex = oa_exchange_at((uint32_t)index);
	create_describe(ex, system, oa_amqp_destination(exchange, key, room));
	oa_propagate_exchange(ex, ret_context);
	if (ex->parent.gen)
		oa_ctx_touch(ex->parent); /* the thread goes on with what it made it for */
	oa_exchange_finish(&none, (uint32_t)index, oa_host_now_ns(), OA_ERR_NONE);
	return true;
}

/* -- parts -- */

/* The record where it stands: behind it the operation, and room for the target. */
struct record {
	struct oa_db db;
	uint8_t *at, *target;
};

static bool record_of(struct oa_exchange *ex, struct record *ret)
{
	struct oa_span *s = oa_exchange_span(ex);
	size_t len = s->str[OA_STR_DB].len;

	ret->at = (uint8_t *)s + s->str[OA_STR_DB].off;
	if (len < sizeof(ret->db))
		return false;
	memcpy(&ret->db, ret->at, sizeof(ret->db));
	ret->target = ret->at + sizeof(ret->db) + ret->db.operation;
	return len >= sizeof(ret->db) + ret->db.operation + OA_DB_NAME_MAX;
}

/* What follows is about this topic. One that brought nothing gives way to it. */
static void part_topic(struct record *r, struct oa_bytes name)
{
	name = oa_bytes_cut(name, OA_DB_NAME_MAX);
	if (name.len && oa_bytes_eq(name, oa_bytes(r->target, r->db.target)))
		return;
	if (r->db.flags & OA_DB_NAMED) {
		r->db.flags |= OA_DB_OTHER;
		return;
	}
	memcpy(r->target, name.ptr, name.len);
	r->db.target = (uint8_t)name.len;
}

/* Messages, or an error, of the topic at hand. */
static void part_content(struct record *r, const struct oa_store_msg *m)
{
	bool first = !(r->db.flags & OA_DB_NAMED);

	if (r->db.flags & OA_DB_OTHER)
		r->db.target = 0; /* of several */
	if (first && m->flags & OA_STORE_HAS_NS) {
		r->db.flags |= OA_DB_HAS_NS;
		r->db.ns = m->ns_num;
	} else if (!first && (r->db.ns != m->ns_num || r->db.flags & OA_DB_OTHER)) {
		r->db.flags &= (uint8_t)~OA_DB_HAS_NS;
	}
	r->db.flags |= OA_DB_NAMED;
	r->db.batch = m->rows < UINT32_MAX - r->db.batch ? r->db.batch + (uint32_t)m->rows : UINT32_MAX;
}

void oa_message_part(struct oa_exchange *ex, const struct oa_store_msg *m)
{
	struct topic_copy topic = { 0 };
	struct oa_bytes name = m->target;
	struct record r;
	uint64_t id[2];

	if (m->text.len) {
		oa_message_from(ex, m->text);
		return;
	}
	if (!record_of(ex, &r))
		return;
	if (m->flags & OA_STORE_HAS_ROWS) {
		part_content(&r, m);
	} else {
		if (m->ns.len == TOPIC_ID) {
			memcpy(id, m->ns.ptr, TOPIC_ID);
			name = topic_find(id, &topic) ? oa_bytes(topic.word + 2, topic.len) : (struct oa_bytes){ 0 };
		}
		part_topic(&r, name);
	}
	memcpy(r.at, &r.db, sizeof(r.db));
}
