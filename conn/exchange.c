/* Life of an exchange and its record block. */
#include <emmintrin.h>

#include "conn/conn.h"
#include "conn/context.h"
#include "conn/exchange.h"
#include "conn/streams.h"
#include "conn/tls.h"
#include "core/clock.h"
#include "core/tree.h"

struct oa_pool oa_exchange_pool = OA_POOL(sizeof(struct oa_exchange), OA_EXCHANGE_CHUNK_SHIFT, OA_EXCHANGES_MAX);

const uint32_t oa_block_bytes[OA_BLOCK_CLASSES] = { 512, 2048, 16384, 36864 };

static struct oa_pool block_pools[OA_BLOCK_CLASSES] = {
	OA_POOL(8 + 512, 7, 1 << 14), /* struct oa_conn names one in two bytes; the pool's own word stands in front, apart: other threads may look at it */
	OA_POOL(8 + 2048, 6, 1 << 14),
	OA_POOL(8 + 16384, 3, 1 << 11),
	OA_POOL(8 + 36864, 1, 1 << 9),
};

int64_t oa_block_take(unsigned cls)
{
	int64_t index = oa_pool_take(&block_pools[cls]);

	if (index < 0)
		oa_stat_inc(OA_STAT_drop_text_pool);
	return index;
}

void oa_block_give(unsigned cls, uint32_t index)
{
	oa_pool_give(&block_pools[cls], index);
}

uint8_t *oa_block_at(unsigned cls, uint32_t index)
{
	return (uint8_t *)oa_pool_at(&block_pools[cls], index) + 8;
}

_Atomic uint16_t oa_exchange_fork_gen, oa_exchange_home;

/* By stores of its own: what the compiler makes of memset() begins slowly. */
static inline void exchange_clear(struct oa_span *s)
{
	_Static_assert((sizeof(*s) | 15) < OA_EXCHANGE_TEXT, "whole stores");
#pragma GCC unroll 16
	for (size_t i = 0; i < sizeof(*s); i += 16)
		_mm_storeu_si128((__m128i *)((uint8_t *)s + i), _mm_setzero_si128());
}

static inline void exchange_record_init(struct oa_span *s, const struct oa_conn *c, enum oa_kind kind,
					enum oa_what what, uint64_t now_ns)
{
	exchange_clear(s);
	s->bytes = sizeof(*s);
	s->kind = (uint8_t)kind;
	s->what = (uint8_t)what;
	s->start_ns = now_ns;
	s->peer = c->peer;
	s->local_port = c->local_port;
	_Static_assert(OA_SPAN_UNIX == OA_CONN_UNIX << 7 && OA_SPAN_REUSED == OA_CONN_USED << 7, "moved together");
	s->flags = (uint32_t)(c->flags & (OA_CONN_UNIX | OA_CONN_USED)) << 7;
	if (OA_UNLIKELY(c->tls == OA_TLS_SESSION))
		oa_tls_describe(c, s);
}

static OA_COLD int64_t exchange_take(void)
{
	int64_t index = oa_pool_take(&oa_exchange_pool);

	if (index < 0)
		oa_stat_inc(OA_STAT_drop_exchange_pool);
	return index;
}

/* A child that serves what its parent accepted. */
static OA_COLD void exchange_first_of_process(void)
{
	(void)oa_tree_claim();
	oa_conn_want_side_thread();
}

/* Word by word where others may be looking. What is not set here is read only when something else says that it was. */
static inline void exchange_reset(struct oa_exchange *ex, uint32_t conn, uint32_t c_last)
{
	atomic_store_explicit(&ex->owner, 0, memory_order_relaxed);
	atomic_store_explicit(&ex->shown, 0, memory_order_relaxed);
	atomic_store_explicit(&ex->conn, conn, memory_order_relaxed);
	atomic_store_explicit(&ex->flags, 0, memory_order_relaxed);
	atomic_store_explicit(&ex->pending, 0, memory_order_relaxed);
	atomic_store_explicit(&ex->touch_wait, 0, memory_order_relaxed);
	atomic_store_explicit(&ex->loose, 0, memory_order_relaxed);
	ex->cls = 0;
	ex->next = 0;
	ex->prev = c_last;
	ex->stream = 0;
	ex->baggage = 0;
	ex->parent = (struct oa_ref){ 0, 0 };
}

OA_HOT int64_t oa_exchange_open(struct oa_conn *c, enum oa_kind kind, enum oa_what what, uint64_t now_ns)
{
	/* Opening and finishing on the same thread needs no atomic step. */
	int64_t index = oa_ctx_take_spare();
	struct oa_exchange *ex;

	if (OA_UNLIKELY(index < 0)) {
		index = exchange_take();
		if (index < 0)
			return -1;
	}
	if (OA_UNLIKELY(!oa_self))
		exchange_first_of_process();
	ex = oa_exchange_at((uint32_t)index);
	exchange_reset(ex, c->index, c->last);
	ex->span = (struct oa_span *)(void *)ex->first;
	ex->fork_gen = oa_exchange_fork_gen;
	ex->home = oa_exchange_home;
	exchange_record_init(ex->span, c, kind, what, now_ns);
	atomic_store_explicit(&ex->gen, atomic_load_explicit(&ex->gen, memory_order_relaxed) + 1, memory_order_release);
	if (OA_UNLIKELY(c->last))
		oa_exchange_at(c->last - 1)->next = (uint32_t)index + 1;
	else
		c->first = (uint32_t)index + 1;
	c->last = (uint32_t)index + 1;
	c->open++;
	return index;
}

static uint32_t exchange_cap(const struct oa_exchange *ex)
{
	return ex->cls ? oa_block_bytes[ex->cls] : OA_EXCHANGE_TEXT;
}

/* Moves the record to a block of at least `bytes`. */
static OA_COLD void exchange_grow(struct oa_exchange *ex, size_t bytes)
{
	for (unsigned cls = ex->cls + 1u; cls <= OA_BLOCK_RECORD; cls++) {
		struct oa_span *to;
		int64_t block;

		if (oa_block_bytes[cls] < bytes)
			continue;
		block = oa_block_take(cls);
		if (block < 0)
			return;
		to = (struct oa_span *)(void *)oa_block_at(cls, (uint32_t)block);
		memcpy(to, ex->span, ex->span->bytes);
		if (ex->cls)
			oa_block_give(ex->cls, ex->block);
		ex->span = to;
		ex->cls = (uint8_t)cls;
		ex->block = (uint32_t)block;
		return;
	}
}

static OA_COLD void exchange_set_str_grown(struct oa_exchange *ex, enum oa_str which, struct oa_bytes text)
{
	exchange_grow(ex, ex->span->bytes + text.len);
	oa_span_set_str(ex->span, exchange_cap(ex), which, text);
}

/* Short texts, without a call: nothing outside either is touched. */
static inline void exchange_copy(uint8_t *to, const uint8_t *from, size_t len)
{
	if (OA_LIKELY(len >= 16)) {
		for (size_t at = 0; at < len - 16; at += 16)
			_mm_storeu_si128((__m128i *)(to + at), _mm_loadu_si128((const __m128i *)(from + at)));
		_mm_storeu_si128((__m128i *)(to + len - 16), _mm_loadu_si128((const __m128i *)(from + len - 16)));
		return;
	}
	for (size_t at = 0; at < len; at++)
		to[at] = from[at];
}

OA_HOT OA_NOINLINE void oa_exchange_set_str(struct oa_exchange *ex, enum oa_str which, struct oa_bytes text)
{
	struct oa_span *s = ex->span;

	if (!text.len)
		return;
	if (OA_UNLIKELY(s->bytes + text.len > exchange_cap(ex))) {
		exchange_set_str_grown(ex, which, text);
		return;
	}
	exchange_copy((uint8_t *)s + s->bytes, text.ptr, text.len);
	s->str[which] = (struct oa_strref){ s->bytes, (uint16_t)text.len };
	s->bytes = (uint16_t)(s->bytes + text.len);
}

/* Takes an exchange out of its connection's queue, wherever it stands. */
static OA_COLD void exchange_unlink_far(struct oa_conn *c, uint32_t index, const struct oa_exchange *ex)
{
	if (!ex->prev)
		return;
	oa_exchange_at(ex->prev - 1)->next = ex->next;
	if (ex->next)
		oa_exchange_at(ex->next - 1)->prev = ex->prev;
	else
		c->last = ex->prev;
	c->open--;
}

static inline void exchange_unlink(struct oa_conn *c, uint32_t index, const struct oa_exchange *ex)
{
	if (OA_UNLIKELY(c->first != index + 1)) {
		exchange_unlink_far(c, index, ex);
		return;
	}
	c->first = ex->next;
	if (OA_UNLIKELY(ex->next))
		oa_exchange_at(ex->next - 1)->prev = 0;
	else
		c->last = 0;
	c->open--;
}

OA_HOT void oa_exchange_show(struct oa_exchange *ex)
{
	const struct oa_span *s = oa_exchange_span(ex);
	uint64_t ids[3];

	memcpy(ids, s->trace_id, 16);
	memcpy(ids + 2, s->span_id, 8);
	/* Release: who sees one of these sees the gen of this life, too. */
	for (unsigned i = 0; i < 3; i++)
		atomic_store_explicit(&ex->ids[i], ids[i], memory_order_release);
	atomic_store_explicit(&ex->shown,
			      (s->flags & OA_SPAN_SAMPLED ? OA_SHOWN_SAMPLED : 0) |
				      (s->flags & OA_SPAN_RANDOM ? OA_SHOWN_RANDOM : 0) |
				      (s->flags & OA_SPAN_TAIL ? OA_SHOWN_TAIL : 0) |
				      (s->str[OA_STR_TRACESTATE].len ? OA_SHOWN_STATE : 0) |
				      (ex->baggage ? OA_SHOWN_BAGGAGE : 0),
			      memory_order_release);
}

/* Cell of the active gauge an exchange counts in. */
static inline _Atomic int64_t *exchange_gauge(const struct oa_exchange *ex, const struct oa_span *s)
{
	bool https = s->flags & OA_SPAN_HTTPS;

	return s->kind == OA_KIND_SERVER ? &oa_self->active_server[ex->active_method][https] :
					   &oa_self->active_client[ex->active_method][https];
}

OA_HOT void oa_exchange_count_active(struct oa_exchange *ex)
{
	struct oa_span *s = oa_exchange_span(ex);

	if (OA_UNLIKELY(!oa_self))
		return;
	ex->active_method = s->method;
	oa_exchange_flag(ex, OA_EX_ACTIVE, 0);
	atomic_fetch_add_explicit(exchange_gauge(ex, s), 1, memory_order_relaxed);
}

static OA_COLD void exchange_free_blocks(struct oa_exchange *ex)
{
	if (ex->cls)
		oa_block_give(ex->cls, ex->block);
	if (ex->baggage)
		oa_block_give(2, ex->baggage - 1);
}

static OA_COLD void exchange_give(uint32_t index)
{
	oa_pool_give(&oa_exchange_pool, index);
}

static inline void exchange_count_inactive(struct oa_exchange *ex)
{
	if ((atomic_load_explicit(&ex->flags, memory_order_relaxed) & OA_EX_ACTIVE) && ex->home == oa_exchange_home && oa_self)
		atomic_fetch_sub_explicit(exchange_gauge(ex, oa_exchange_span(ex)), 1, memory_order_relaxed);
}

static inline void exchange_free(struct oa_conn *c, uint32_t index, struct oa_exchange *ex)
{
	exchange_unlink(c, index, ex);
	if (ex->stream)
		oa_stream_remove(c, ex->stream);
	oa_ctx_close(ex, index);
	atomic_store_explicit(&ex->gen, atomic_load_explicit(&ex->gen, memory_order_relaxed) + 1, memory_order_release);
	if (OA_UNLIKELY(ex->cls | ex->baggage))
		exchange_free_blocks(ex);
	if (OA_UNLIKELY(!oa_ctx_keep_spare(index)))
		exchange_give(index);
}

OA_COLD void oa_exchange_discard(struct oa_conn *c, uint32_t index)
{
	exchange_count_inactive(oa_exchange_at(index));
	exchange_free(c, index, oa_exchange_at(index));
}

OA_HOT void oa_exchange_finish(struct oa_conn *c, uint32_t index, uint64_t now_ns, enum oa_error error)
{
	struct oa_exchange *ex = oa_exchange_at(index);
	struct oa_span *s = oa_exchange_span(ex);

	s->duration_ns = now_ns > s->start_ns ? now_ns - s->start_ns : 0;
	s->error = (uint8_t)error;
	if (OA_UNLIKELY(error != OA_ERR_NONE) && (s->flags & OA_SPAN_HAS_STATUS))
		s->flags |= OA_SPAN_INCOMPLETE;
	s->pid = oa_self ? oa_self->id.pid : 0;
	/* Before the record is written, because a locked operation waits for all that was: our thread had the ring's lines last. */
	exchange_count_inactive(ex);
	oa_tree_push(s);
	if (c->served < UINT16_MAX)
		c->served++;
	c->flags |= OA_CONN_USED;
	exchange_free(c, index, ex);
}
