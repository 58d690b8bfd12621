/* Runs and databases stand in sets of eight by the hash of their address, each in a slot that its key locks: a thread that
 * takes or ends one does so with one compare-and-swap. SQLite itself has only one thread in a statement at a time. */
#include "conn/sqlite.h"

#include "conn/conn.h"
#include "conn/context.h"
#include "conn/exchange.h"
#include "conn/span_build.h"
#include "conn/span_http.h"
#include "core/stats.h"
#include "core/tsc.h"
#include "proto/store.h"

#define SQLITE_WAYS 8
#define SQLITE_RUNS 128 /* sets: statements that have given a row and are not over */
#define SQLITE_DBS  64  /* sets: databases whose name is known */
#define SQLITE_HELD ((uintptr_t)1)

struct sqlite_run {
	struct oa_ref ref; /* gen 0: waits for a lock */
	uint64_t rows;
};

struct sqlite_db {
	uint8_t len, ns[OA_DB_NAME_MAX];
};

static _Atomic uintptr_t sqlite_run_keys[SQLITE_RUNS * SQLITE_WAYS] __attribute__((aligned(64)));
static _Atomic uintptr_t sqlite_db_keys[SQLITE_DBS * SQLITE_WAYS] __attribute__((aligned(64)));
static struct sqlite_run sqlite_runs[SQLITE_RUNS * SQLITE_WAYS];
static struct sqlite_db sqlite_dbs[SQLITE_DBS * SQLITE_WAYS];

/* -- sets -- */

static _Atomic uintptr_t *sqlite_set(_Atomic uintptr_t *keys, unsigned sets, const void *object)
{
	return keys + ((uintptr_t)object * 0x9e3779b97f4a7c15u >> 40) % sets * SQLITE_WAYS;
}

/* returns its place, NULL when it has none */
static _Atomic uintptr_t *sqlite_find(_Atomic uintptr_t *keys, unsigned sets, const void *object)
{
	_Atomic uintptr_t *key = sqlite_set(keys, sets, object);

	for (unsigned i = 0; i < SQLITE_WAYS; i++, key++)
		if (atomic_load_explicit(key, memory_order_acquire) == (uintptr_t)object)
			return key;
	return NULL;
}

/* A free place, held: its key is to be set when its slot is. returns NULL when there is none */
static _Atomic uintptr_t *sqlite_take(_Atomic uintptr_t *keys, unsigned sets, const void *object)
{
	_Atomic uintptr_t *key = sqlite_set(keys, sets, object);

	for (unsigned i = 0; i < SQLITE_WAYS; i++, key++) {
		uintptr_t none = 0;

		if (atomic_compare_exchange_strong(key, &none, SQLITE_HELD))
			return key;
	}
	return NULL;
}

/* Its place, held: nobody else finds it any more. */
static _Atomic uintptr_t *sqlite_claim(_Atomic uintptr_t *keys, unsigned sets, const void *object)
{
	_Atomic uintptr_t *key = sqlite_find(keys, sets, object);
	uintptr_t was = (uintptr_t)object;

	return key && atomic_compare_exchange_strong(key, &was, SQLITE_HELD) ? key : NULL;
}

static void sqlite_set_key(_Atomic uintptr_t *key, const void *object)
{
	atomic_store_explicit(key, (uintptr_t)object, memory_order_release);
}

static struct sqlite_run *sqlite_run_of(const _Atomic uintptr_t *key)
{
	return &sqlite_runs[key - sqlite_run_keys];
}

/* -- exchanges -- */

static struct oa_db sqlite_record(const struct oa_sqlite_asked *asked)
{
	return (struct oa_db){ .system = OA_STORE_SQLITE, .rows = asked->rows, .batch = 1,
			       .flags = asked->has_rows ? OA_DB_HAS_ROWS : 0,
			       .operation = (uint8_t)oa_bytes_cut(asked->operation, OA_DB_NAME_MAX).len };
}

static void sqlite_describe(struct oa_exchange *ex, const struct oa_sqlite_asked *asked)
{
	struct {
		struct oa_db db;
		uint8_t operation[OA_DB_NAME_MAX];
	} r = { .db = sqlite_record(asked) };

	if (r.db.operation)
		memcpy(r.operation, asked->operation.ptr, r.db.operation);
	oa_exchange_set_str(ex, OA_STR_DB, oa_bytes(&r, sizeof(r.db) + r.db.operation));
	oa_exchange_set_str(ex, OA_STR_DB_NAMESPACE, oa_bytes_cut(asked->ns, OA_DB_NAME_MAX));
	oa_exchange_set_str(ex, OA_STR_DB_TEXT, oa_bytes_cut(asked->text, OA_STORE_TEXT_MAX));
	if (asked->text.len > OA_STORE_TEXT_MAX)
		oa_exchange_span(ex)->flags |= OA_SPAN_TRUNCATED;
}

/* What an exchange needs of a connection while it is opened and finished. returns its index or -1 */
static int64_t sqlite_open(const struct oa_sqlite_asked *asked)
{
	struct oa_conn none = { .role = OA_ROLE_CLIENT };
	int64_t index = oa_span_open_call(&none, OA_WHAT_DB, asked->start_ns);

	if (index >= 0)
		sqlite_describe(oa_exchange_at((uint32_t)index), asked);
	return index;
}

/* The thread goes on with what it called for. */
static void sqlite_resume(const struct oa_exchange *ex)
{
	if (ex->parent.gen)
		oa_ctx_touch(ex->parent);
}

static void sqlite_answer(struct oa_exchange *ex, uint64_t rows, int status)
{
	struct oa_span *s = oa_exchange_span(ex);
	uint8_t *at = (uint8_t *)s + s->str[OA_STR_DB].off;
	struct oa_db db;

	memcpy(&db, at, sizeof(db));
	db.rows = rows;
	if (status) {
		db.status_num = (uint16_t)status;
		db.flags |= OA_DB_FAILED;
	}
	memcpy(at, &db, sizeof(db));
}

static void sqlite_finish(uint32_t index, uint64_t rows, int status)
{
	struct oa_conn none = { .role = OA_ROLE_CLIENT, .first = index + 1, .last = index + 1, .open = 1 };
	struct oa_exchange *ex = oa_exchange_at(index);

	if (ex->home != oa_exchange_home) { /* the parent's: it tells */
		oa_exchange_discard(&none, index);
		return;
	}
	sqlite_answer(ex, rows, status);
	sqlite_resume(ex);
	oa_exchange_finish(&none, index, oa_host_now_ns(), OA_ERR_NONE);
}

void oa_sqlite_tell(const struct oa_sqlite_asked *asked, int status)
{
	int64_t index = sqlite_open(asked);

	if (index >= 0)
		sqlite_finish((uint32_t)index, asked->rows, status);
}

/* -- runs -- */

enum oa_sqlite_state oa_sqlite_state(const void *stmt)
{
	const _Atomic uintptr_t *key = sqlite_find(sqlite_run_keys, SQLITE_RUNS, stmt);

	return !key ? OA_SQLITE_UNKNOWN : sqlite_run_of(key)->ref.gen ? OA_SQLITE_RUNS : OA_SQLITE_WAITS;
}

void oa_sqlite_begin(const void *stmt, const struct oa_sqlite_asked *asked)
{
	_Atomic uintptr_t *key = sqlite_take(sqlite_run_keys, SQLITE_RUNS, stmt);
	int64_t index;

	if (!key) {
		oa_stat_inc(OA_STAT_drop_exchange_pool);
		return;
	}
	index = sqlite_open(asked);
	if (index >= 0) {
		*sqlite_run_of(key) = (struct sqlite_run){ .ref = oa_ref_of((uint32_t)index), .rows = 1 };
		sqlite_resume(oa_exchange_at((uint32_t)index));
	}
	sqlite_set_key(key, index >= 0 ? stmt : NULL);
}

void oa_sqlite_row(const void *stmt)
{
	const _Atomic uintptr_t *key = sqlite_find(sqlite_run_keys, SQLITE_RUNS, stmt);

	if (key)
		sqlite_run_of(key)->rows++;
}

void oa_sqlite_end(const void *stmt, int status)
{
	_Atomic uintptr_t *key = sqlite_claim(sqlite_run_keys, SQLITE_RUNS, stmt);
	struct sqlite_run run;

	if (!key)
		return;
	run = *sqlite_run_of(key);
	sqlite_set_key(key, NULL);
	if (oa_exchange_get(run.ref))
		sqlite_finish(run.ref.index, run.rows, status);
}

void oa_sqlite_wait(const void *stmt)
{
	_Atomic uintptr_t *key = sqlite_take(sqlite_run_keys, SQLITE_RUNS, stmt);

	if (!key) {
		oa_stat_inc(OA_STAT_drop_exchange_pool);
		return;
	}
	*sqlite_run_of(key) = (struct sqlite_run){ 0 };
	sqlite_set_key(key, stmt);
}

/* -- databases -- */

bool oa_sqlite_name(const void *db, struct oa_bytes *ret_ns)
{
	const _Atomic uintptr_t *key = sqlite_find(sqlite_db_keys, SQLITE_DBS, db);
	const struct sqlite_db *known;

	if (!key)
		return false;
	known = &sqlite_dbs[key - sqlite_db_keys];
	*ret_ns = oa_bytes(known->ns, known->len);
	return true;
}

void oa_sqlite_set_name(const void *db, struct oa_bytes ns)
{
	_Atomic uintptr_t *key = sqlite_take(sqlite_db_keys, SQLITE_DBS, db);
	struct sqlite_db *known;

	if (!key)
		return;
	known = &sqlite_dbs[key - sqlite_db_keys];
	ns = oa_bytes_cut(ns, OA_DB_NAME_MAX);
	known->len = (uint8_t)ns.len;
	if (ns.len)
		memcpy(known->ns, ns.ptr, ns.len);
	sqlite_set_key(key, db);
}

void oa_sqlite_forget_name(const void *db)
{
	_Atomic uintptr_t *key = sqlite_claim(sqlite_db_keys, SQLITE_DBS, db);

	if (key)
		sqlite_set_key(key, NULL);
}
