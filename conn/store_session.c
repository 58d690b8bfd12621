/* The memory behind connections to data stores. Statements stand in chains by the hash of their number; a chain that is
 * too long loses its oldest. */
#include "conn/store_session.h"

#include "core/stats.h"

#define SESSION_BUCKETS   32 /* chains of a connection */
#define SESSION_CHAIN_MAX 16 /* 512 statements at best; drivers keep 100 to 256 */
#define SESSIONS_MAX      (1 << 14)
#define STATEMENT_CLASSES 3

struct session {
	uint32_t pool_next;
	_Atomic uint32_t seq; /* odd while the name of the database changes; never reset */
	_Atomic uint8_t ready;
	uint8_t ns_len, next_ns_len, escapes;
	uint32_t failed;
	uint64_t running;
	uint64_t made_ns;
	uint8_t ns[OA_DB_NAME_MAX], next_ns[OA_DB_NAME_MAX];
	uint32_t chain[SESSION_BUCKETS]; /* newest first; names of statements: (index * 4 + class) + 1 */
};

struct statement {
	uint32_t pool_next;
	uint32_t next; /* in its chain */
	uint64_t id;
	uint16_t len;
	uint8_t cut;
	uint8_t text[];
};

#define SESSION_CHUNK_SHIFT 6
static struct oa_pool session_pool = OA_POOL(sizeof(struct session), SESSION_CHUNK_SHIFT, SESSIONS_MAX);
/* 4, 8 and 4 MiB when all are in use: apart from the blocks that requests need. */
static struct oa_pool statement_pools[STATEMENT_CLASSES] = {
	OA_POOL(256, 8, 1 << 14),
	OA_POOL(1024, 6, 1 << 13),
	OA_POOL(4096 + 32, 4, 1 << 10),
};

_Static_assert(sizeof(struct session) % 8 == 0, "objects of a pool stay aligned");

static struct session *session_of(const struct oa_conn *c)
{
	return c->store ? oa_pool_at_of(&session_pool, c->store - 1, sizeof(struct session), SESSION_CHUNK_SHIFT) : NULL;
}

/* Around what oa_session_peek() reads. */
static void session_changes(struct session *s)
{
	atomic_store_explicit(&s->seq, s->seq + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void session_changed(struct session *s)
{
	atomic_store_explicit(&s->seq, s->seq + 1, memory_order_release);
}

static struct session *session_make(struct oa_conn *c)
{
	struct session *s = session_of(c);
	int64_t index;

	if (s)
		return s;
	index = oa_pool_take(&session_pool);
	if (index < 0) {
		oa_stat_inc(OA_STAT_drop_text_pool);
		return NULL;
	}
	s = oa_pool_at(&session_pool, (uint32_t)index);
	session_changes(s);
	memset((void *)&s->ready, 0, sizeof(*s) - offsetof(struct session, ready));
	session_changed(s);
	c->store = (uint32_t)index + 1;
	return s;
}

/* -- database -- */

static uint8_t session_put(uint8_t *to, struct oa_bytes ns)
{
	ns = oa_bytes_cut(ns, OA_DB_NAME_MAX);
	if (ns.len)
		memcpy(to, ns.ptr, ns.len);
	return (uint8_t)ns.len;
}

void oa_session_use(struct oa_conn *c, struct oa_bytes ns)
{
	struct session *s = session_make(c);

	if (!s)
		return;
	session_changes(s);
	s->ns_len = session_put(s->ns, ns);
	session_changed(s);
}

struct oa_bytes oa_session_ns(const struct oa_conn *c)
{
	const struct session *s = session_of(c);

	return s ? oa_bytes(s->ns, s->ns_len) : (struct oa_bytes){ 0 };
}

void oa_session_will_use(struct oa_conn *c, struct oa_bytes ns)
{
	struct session *s = session_make(c);

	if (s)
		s->next_ns_len = session_put(s->next_ns, ns);
}

void oa_session_used(struct oa_conn *c)
{
	struct session *s = session_of(c);

	if (!s)
		return;
	session_changes(s);
	memcpy(s->ns, s->next_ns, s->next_ns_len);
	s->ns_len = s->next_ns_len;
	session_changed(s);
}

/* -- statements -- */

static struct statement *statement_at(uint32_t name)
{
	return oa_pool_at(&statement_pools[(name - 1) & 3], (name - 1) >> 2);
}

static uint32_t *session_chain(struct session *s, uint64_t id)
{
	return &s->chain[(id * 0x9e3779b97f4a7c15u >> 56) % SESSION_BUCKETS];
}

static void statement_drop(uint32_t *link)
{
	uint32_t name = *link;

	*link = statement_at(name)->next;
	oa_pool_give(&statement_pools[(name - 1) & 3], (name - 1) >> 2);
}

/* One of the smallest class that has room; of the largest when none has: it is cut then. returns its name, 0 none */
static uint32_t statement_take(size_t len, struct statement **ret)
{
	for (unsigned cls = 0; cls < STATEMENT_CLASSES; cls++) {
		int64_t index;

		if (len > statement_pools[cls].size - sizeof(struct statement) && cls + 1 < STATEMENT_CLASSES)
			continue;
		index = oa_pool_take(&statement_pools[cls]);
		if (index < 0)
			continue;
		*ret = oa_pool_at(&statement_pools[cls], (uint32_t)index);
		return (uint32_t)index * 4 + cls + 1;
	}
	oa_stat_inc(OA_STAT_drop_text_pool);
	return 0;
}

static void chain_shorten(uint32_t *chain)
{
	for (unsigned n = 0; *chain; n++) {
		if (n == SESSION_CHAIN_MAX)
			statement_drop(chain);
		else
			chain = &statement_at(*chain)->next;
	}
}

void oa_session_prepare(struct oa_conn *c, uint64_t id, struct oa_bytes text, bool cut)
{
	struct session *s = session_make(c);
	struct statement *st;
	uint32_t name, *chain;

	if (!s)
		return;
	oa_session_forget(c, id);
	name = statement_take(text.len, &st);
	if (!name)
		return;
	text = oa_bytes_cut(text, statement_pools[(name - 1) & 3].size - sizeof(*st));
	chain = session_chain(s, id);
	st->next = *chain;
	st->id = id;
	st->len = (uint16_t)text.len;
	st->cut = cut;
	if (text.len)
		memcpy(st->text, text.ptr, text.len);
	*chain = name;
	chain_shorten(chain);
}

static uint32_t *statement_find(struct session *s, uint64_t id)
{
	uint32_t *link = session_chain(s, id);

	while (*link && statement_at(*link)->id != id)
		link = &statement_at(*link)->next;
	return link;
}

OA_HOT struct oa_bytes oa_session_statement(const struct oa_conn *c, uint64_t id, bool *ret_cut)
{
	struct session *s = session_of(c);
	const struct statement *st;

	*ret_cut = false;
	for (uint32_t name = s && id ? *session_chain(s, id) : 0; name; name = st->next) {
		st = statement_at(name);
		if (OA_UNLIKELY(st->id != id))
			continue;
		*ret_cut = st->cut;
		return oa_bytes(st->text, st->len);
	}
	return (struct oa_bytes){ 0 };
}

void oa_session_forget(struct oa_conn *c, uint64_t id)
{
	struct session *s = session_of(c);
	uint32_t *link = s ? statement_find(s, id) : NULL;

	if (link && *link)
		statement_drop(link);
}

void oa_session_set_running(struct oa_conn *c, uint64_t id)
{
	struct session *s = id ? session_make(c) : session_of(c);

	if (s)
		s->running = id;
}

uint64_t oa_session_running(const struct oa_conn *c)
{
	const struct session *s = session_of(c);

	return s ? s->running : 0;
}

void oa_session_set_escapes(struct oa_conn *c, uint8_t escapes)
{
	struct session *s = session_make(c);

	if (s)
		s->escapes = !s->escapes || s->escapes == escapes ? escapes : OA_DB_ESCAPES_MIXED;
}

uint8_t oa_session_escapes(const struct oa_conn *c)
{
	const struct session *s = session_of(c);

	return s ? s->escapes : 0;
}

void oa_session_set_failed(struct oa_conn *c, uint32_t group)
{
	struct session *s = session_make(c);

	if (s)
		s->failed = group;
}

uint32_t oa_session_failed(const struct oa_conn *c)
{
	const struct session *s = session_of(c);

	return s ? s->failed : 0;
}

void oa_session_set_ready(struct oa_conn *c, uint8_t ready, uint64_t made_ns)
{
	struct session *s = session_make(c);

	if (!s)
		return;
	if (!s->ready)
		s->made_ns = made_ns;
	atomic_store_explicit(&s->ready, ready, memory_order_relaxed);
}

uint64_t oa_session_made_ns(const struct oa_conn *c)
{
	const struct session *s = session_of(c);

	return s ? s->made_ns : 0;
}

OA_UNSYNCED unsigned oa_session_peek(uint32_t name, uint8_t ret_ns[OA_DB_NAME_MAX], uint8_t *ret_ns_len)
{
	const struct session *s;
	uint32_t seq;
	unsigned ready;

	if (name > atomic_load_explicit(&session_pool.fresh, memory_order_relaxed))
		return 0;
	s = oa_pool_at(&session_pool, name - 1);
	seq = atomic_load_explicit(&s->seq, memory_order_acquire);
	ready = atomic_load_explicit(&s->ready, memory_order_relaxed);
	*ret_ns_len = s->ns_len <= OA_DB_NAME_MAX ? s->ns_len : 0;
	for (unsigned i = 0; i < *ret_ns_len; i++)
		ret_ns[i] = ((const volatile uint8_t *)s->ns)[i];
	atomic_thread_fence(memory_order_acquire);
	return seq & 1 || atomic_load_explicit(&s->seq, memory_order_relaxed) != seq ? 0 : ready;
}

void oa_session_release(struct oa_conn *c)
{
	struct session *s = session_of(c);

	if (!s)
		return;
	for (unsigned i = 0; i < SESSION_BUCKETS; i++)
		while (s->chain[i])
			statement_drop(&s->chain[i]);
	oa_pool_give(&session_pool, c->store - 1);
	c->store = 0;
}
