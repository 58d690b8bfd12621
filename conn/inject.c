/* Composes the sending call that carries our headers. */
#include <errno.h>
#include <limits.h>

#include "conn/context.h"
#include "conn/fastcgi.h"
#include "conn/feed.h"
#include "conn/http2.h"
#include "conn/inject_impl.h"
#include "conn/propagate.h"
#include "conn/proxied.h"
#include "conn/respond.h"
#include "conn/span_build.h"
#include "core/tsc.h"
#include "core/config.h"
#include "core/id.h"
#include "core/inject_result.h"
#include "core/sys.h"
#include "core/thread.h"

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

#define PROPAGATORS_NONE 0x80000000u
#define INJECT_SHORT_STATE 64 /* a longer tracestate does not fit the smallest block beside the rest */
#define FLAT_MAX 1536   /* request header that is copied, so that the kernel gets one buffer; fits a block of class 1 */
#define LINES_SHORT 1024
#define FIELDS_MAX 100
#define FIELDS_FROM 1000 /* bytes of a header that may have so many */
#define GATHER_MAX 16384 /* request header spread over several iovecs: as much as one block holds */

/* -- what a send holds -- */

#define FLIGHTS_MAX 64 /* looked through at a time */
#define SPARE_CLASS 1  /* of the block that a thread keeps for its next request */

/* In front of the text block of each rewritten send: a list for each thread, because a thread that is cancelled in the
 * real call, or jumps out of it, never gives its blocks back itself. Named (block * 4 + class) + 1. */
struct flight {
	uint32_t next;
	uint32_t scratch;   /* block + 1 of class 2, 0 none */
	uint32_t conn, gen;
	uintptr_t sp;       /* where its struct oa_send stands */
};

static struct flight *flight_at(uint32_t name)
{
	return (struct flight *)(void *)oa_block_at((name - 1) & 3, (name - 1) >> 2);
}

static uint32_t flight_name(const struct oa_send *s)
{
	return (s->text - 1) * 4 + s->text_cls + 1;
}

static struct flight *flight_of(const struct oa_send *s)
{
	return (struct flight *)(void *)s->text_at;
}

static void flight_give(uint32_t name)
{
	uint32_t scratch = flight_at(name)->scratch;

	oa_block_give((name - 1) & 3, (name - 1) >> 2);
	if (scratch)
		oa_block_give(2, scratch - 1);
}

/* The frame of its call is gone, and so is its connection: the kernel cannot be reading it any more. */
static bool flight_over(const struct flight *f, const struct oa_send *s)
{
	return oa_guard_stale(f->sp, (uintptr_t)s) &&
	       atomic_load_explicit(&oa_conn_at(f->conn)->gen, memory_order_relaxed) != f->gen;
}

static __attribute__((noinline)) void flights_sweep(uint32_t *link, const struct oa_send *s)
{
	for (unsigned i = 0; *link && i < FLIGHTS_MAX; i++) {
		uint32_t name = *link;

		if (flight_over(flight_at(name), s)) {
			*link = flight_at(name)->next;
			flight_give(name);
		} else {
			link = &flight_at(name)->next;
		}
	}
}

static void flight_begin(const struct oa_conn *c, const struct oa_send *s)
{
	struct oa_flights *f = oa_ctx_flights();

	if (f && f->first)
		flights_sweep(&f->first, s);
	*flight_of(s) = (struct flight){ .next = f ? f->first : 0, .conn = c->index, .gen = c->gen, .sp = (uintptr_t)s };
	if (f)
		f->first = flight_name(s);
}

/* Its blocks are somebody's again. */
static OA_HOT void flight_end(const struct oa_send *s, struct oa_flights *f)
{
	uint32_t *link = &f->first;

	if (OA_LIKELY(*link == flight_name(s))) {
		*link = flight_of(s)->next;
		return;
	}
	for (unsigned i = 0; *link && i < FLIGHTS_MAX; i++) {
		if (*link == flight_name(s)) {
			*link = flight_at(*link)->next;
			return;
		}
		link = &flight_at(*link)->next;
	}
}

void oa_inject_thread_exit(struct oa_flights *f)
{
	uint32_t spare = f->spare;

	f->spare = 0;
	while (f->first) {
		uint32_t name = f->first;

		f->first = flight_at(name)->next;
		flight_give(name);
	}
	if (spare)
		oa_block_give(SPARE_CLASS, spare - 1);
}

/* The text block of a send that is over. */
static OA_HOT void inject_give_text(const struct oa_send *s)
{
	struct oa_flights *f = oa_ctx_flights();

	if (f)
		flight_end(s, f);
	if (OA_LIKELY(f && s->text_cls == SPARE_CLASS && !f->spare))
		f->spare = s->text;
	else
		oa_block_give(s->text_cls, s->text - 1);
}

static int64_t inject_take_text(unsigned cls)
{
	struct oa_flights *f = oa_ctx_flights();
	uint32_t spare;

	if (OA_UNLIKELY(cls != SPARE_CLASS || !f || !f->spare))
		return oa_block_take(cls);
	spare = f->spare;
	f->spare = 0;
	return (int64_t)spare - 1;
}

size_t oa_inject_text_offset(void)
{
	return sizeof(struct flight);
}

OA_HOT bool oa_inject_reserve(const struct oa_conn *c, struct oa_send *s, unsigned cls)
{
	int64_t block;

	if (s->text)
		return s->text_cls >= cls;
	block = inject_take_text(cls);
	if (block < 0)
		return false;
	s->text = (uint32_t)block + 1;
	s->text_cls = (uint8_t)cls;
	s->text_at = oa_block_at(cls, (uint32_t)block);
	flight_begin(c, s);
	return true;
}

/* -- what goes in -- */

OA_HOT struct oa_buf oa_inject_room(const struct oa_send *s)
{
	uint8_t *end = s->text_at + oa_block_bytes[s->text_cls];
	uint8_t *from = s->text_at + sizeof(struct flight);

	if (s->points)
		from = (uint8_t *)(uintptr_t)s->point[s->points - 1].text + s->point[s->points - 1].len;
	return oa_buf(from, (size_t)(end - from));
}

static void inject_context_of(struct oa_exchange *ex, struct oa_context *ret)
{
	struct oa_span *span = oa_exchange_span(ex);

	memcpy(ret->trace_id, span->trace_id, 16);
	memcpy(ret->span_id, span->span_id, 8);
	ret->sampled = span->flags & OA_SPAN_SAMPLED;
	ret->flags = span->flags & OA_SPAN_RANDOM ? 2 : 0;
	ret->tracestate = oa_span_str(span, OA_STR_TRACESTATE);
	ret->baggage = (struct oa_bytes){ 0 };
}

/* tracestate and baggage travel from the server exchange to every call made for it. Its thread may be ending it. */
static void inject_parent_lists(struct oa_exchange *ex, struct oa_context *ctx, uint8_t *copy)
{
	struct oa_conn *c = oa_exchange_pin(ex->parent);
	struct oa_bytes state, baggage = { 0 };
	struct oa_exchange *parent;

	if (!c) {
		oa_stat_inc(OA_STAT_lists_missed);
		return;
	}
	parent = oa_exchange_at(ex->parent.index);
	state = oa_span_str(oa_exchange_span(parent), OA_STR_TRACESTATE);
	if (parent->baggage)
		baggage = oa_bytes(oa_block_at(2, parent->baggage - 1), parent->baggage_len);
	if (state.len <= OA_TRACESTATE_MAX && baggage.len <= OA_BAGGAGE_MAX) {
		if (state.len)
			memcpy(copy, state.ptr, state.len);
		if (baggage.len)
			memcpy(copy + state.len, baggage.ptr, baggage.len);
		ctx->tracestate = oa_bytes(copy, state.len);
		ctx->baggage = oa_bytes(copy + state.len, baggage.len);
	}
	oa_conn_unlock(c);
}

static OA_HOT bool inject_parent_has_lists(const struct oa_exchange *ex)
{
	struct oa_exchange *parent = oa_exchange_get(ex->parent);
	uint32_t shown = parent ? atomic_load_explicit(&parent->shown, memory_order_relaxed) : 0;

	/* A tracestate may have been copied already, by oa_decide_child(). */
	return shown & OA_SHOWN_BAGGAGE ||
	       (shown & OA_SHOWN_STATE && !oa_span_str(oa_exchange_span(ex), OA_STR_TRACESTATE).len);
}

void oa_inject_point(struct oa_send *s, size_t off, const struct oa_buf *text, bool replace)
{
	s->point[s->points++] = (struct oa_point){ .off = (uint32_t)off, .len = (uint32_t)text->len, .text = text->ptr,
						   .host_len = replace ? (uint32_t)text->len : 0 };
}

OA_HOT enum oa_inject_result oa_inject_lines(struct oa_exchange *ex, struct oa_buf *out)
{
	struct oa_context ctx;
	int64_t copy = -1;

	inject_context_of(ex, &ctx);
	if (inject_parent_has_lists(ex)) {
		copy = oa_block_take(2);
		if (copy >= 0)
			inject_parent_lists(ex, &ctx, oa_block_at(2, (uint32_t)copy));
		else
			oa_stat_inc(OA_STAT_lists_missed);
	}
	oa_propagate_inject(&ctx, out);
	if (copy >= 0)
		oa_block_give(2, (uint32_t)copy);
	return out->full || !out->len ? OA_INJECT_POOL : OA_INJECT_DONE;
}

OA_HOT bool oa_inject_is_long(const struct oa_exchange *ex)
{
	return inject_parent_has_lists(ex) || oa_exchange_span(ex)->str[OA_STR_TRACESTATE].len > INJECT_SHORT_STATE;
}

static size_t inject_count_lines(struct oa_bytes b)
{
	const uint8_t *end = b.ptr + b.len, *at = b.ptr;
	size_t n = 0;

	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL)
		n++, at++;
	return n;
}

/* A request that servers take must not become one that they refuse: at 8 KiB Tomcat and Jetty do, at 15 or 16 HAProxy and
 * node, at a hundred fields Apache, gunicorn and Python. What is beyond a limit already is the host's business; long lists of
 * tracestate and baggage are that of whoever sent them, in a header that was longer still. */
static bool inject_crosses_limit(const struct oa_http_head *h, struct oa_bytes lines)
{
	static const uint32_t limits[] = { 8192, 15360, 16384, 32768, 65536 };
	size_t fields;

	for (unsigned i = 0; OA_UNLIKELY(h->block.len + lines.len > limits[0]) && lines.len <= LINES_SHORT &&
			     i < sizeof(limits) / sizeof(limits[0]); i++)
		if (h->block.len <= limits[i] && h->block.len + lines.len > limits[i])
			return true;
	if (OA_LIKELY(h->block.len < FIELDS_FROM))
		return false;
	fields = inject_count_lines(h->block) - 2; /* the request line, the blank line */
	return fields <= FIELDS_MAX && fields + inject_count_lines(lines) > FIELDS_MAX;
}

/* -- points -- */

static enum oa_inject_result inject_headers(const struct oa_conn *c, struct oa_send *s, struct oa_exchange *ex,
					    const struct oa_http_head *h, size_t off)
{
	unsigned cls = inject_parent_has_lists(ex) ? 2 : oa_inject_is_long(ex);
	enum oa_inject_result result;
	struct oa_buf out;

	if (!(cls < 2 && oa_inject_reserve(c, s, 1)) && !oa_inject_reserve(c, s, cls))
		return OA_INJECT_POOL;
	out = oa_inject_room(s);
	result = oa_inject_lines(ex, &out);
	if (result != OA_INJECT_DONE)
		return result;
	if (inject_crosses_limit(h, oa_buf_bytes(&out)))
		return OA_INJECT_HEAD_LIMIT;
	oa_inject_point(s, off + h->blank_off, &out, false);
	return OA_INJECT_DONE;
}

enum oa_inject_result oa_inject_rewrite(const struct oa_conn *c, struct oa_send *s, struct oa_exchange *ex, size_t off,
					bool w3c)
{
	struct oa_context ctx;
	struct oa_buf out;
	uint8_t flags;
	char text[19];

	if (!oa_inject_reserve(c, s, 1) && !oa_inject_reserve(c, s, 0))
		return OA_INJECT_POOL;
	inject_context_of(ex, &ctx);
	out = oa_inject_room(s);
	flags = (uint8_t)(ctx.flags | ctx.sampled);
	oa_hex(text, ctx.span_id, 8);
	text[16] = '-';
	oa_hex(text + 17, &flags, 1);
	if (!oa_buf_put(&out, oa_bytes(text, w3c ? 19 : 16)))
		return OA_INJECT_POOL;
	oa_inject_point(s, off, &out, true);
	return OA_INJECT_REWRITTEN;
}

/* -- whether -- */

static bool inject_host_excluded(struct oa_bytes host)
{
	char name[256];

	if (!oa_config.exclude_hosts || !*oa_config.exclude_hosts || host.len >= sizeof(name))
		return false;
	memcpy(name, host.ptr, host.len);
	name[host.len] = 0;
	return oa_glob_list_match(oa_config.exclude_hosts, name);
}

OA_HOT enum oa_inject_result oa_inject_allowed(const struct oa_http_head *h, const struct oa_send *s, unsigned points_max)
{
	if (oa_config.propagators & PROPAGATORS_NONE || !(oa_config.propagators & ~2u))
		return OA_INJECT_OFF;
	if (h->method == OA_METHOD_CONNECT)
		return OA_INJECT_CONNECT;
	if (h->flags & OA_HTTP_AMBIGUOUS)
		return OA_INJECT_AMBIGUOUS;
	if (s->flags & MSG_ZEROCOPY)
		return OA_INJECT_ZEROCOPY;
	if (s->points >= points_max)
		return OA_INJECT_PIPELINED;
	if (s->host_iovcnt + 2 * (s->points + 1) > IOV_MAX)
		return OA_INJECT_IOV;
	if (inject_host_excluded(oa_http_field(h, OA_FIELD_host)))
		return OA_INJECT_EXCLUDED;
	return OA_INJECT_NONE; /* go on */
}

/* One whole request header at `off` of the host's bytes. returns false to stop looking */
static __attribute__((noinline)) bool inject_request(struct oa_conn *c, struct oa_send *s, const struct oa_http_head *h, size_t off)
{
	struct oa_remote remote;
	uint8_t given = OA_INJECT_NONE;
	int64_t index = oa_span_open_client(c, h, OA_WHAT_HTTP, 0, oa_host_now_ns(), &remote, &given);
	enum oa_inject_result result;
	struct oa_exchange *ex;

	if (index < 0)
		return false;
	ex = oa_exchange_at((uint32_t)index);
	if (!s->requests++) {
		s->first = (uint32_t)index;
		s->first_gen = atomic_load_explicit(&ex->gen, memory_order_relaxed);
	}
	result = oa_inject_allowed(h, s, OA_INJECT_POINTS_MAX);
	if (given == OA_INJECT_FOREIGN)
		result = OA_INJECT_FOREIGN;
	else if (result == OA_INJECT_NONE && given == OA_INJECT_REWRITTEN)
		result = oa_inject_rewrite(c, s, ex, off + remote.span_at.off, remote.w3c);
	else if (result == OA_INJECT_NONE)
		result = inject_headers(c, s, ex, h, off);
	oa_exchange_span(ex)->inject = (uint8_t)result;
	if (result == OA_INJECT_DONE)
		oa_exchange_span(ex)->flags |= OA_SPAN_INJECTED;
	return true;
}

/* -- finding requests in the host's bytes -- */

__attribute__((noinline)) struct oa_bytes oa_inject_view(const struct oa_send *s, enum oa_dir dir, uint32_t *ret_block)
{
	struct oa_bytes first = { 0 };
	struct oa_http_head head;
	struct oa_buf all;
	int64_t block;

	*ret_block = 0;
	first = oa_bytes(s->host_iov[0].iov_base, s->host_iov[0].iov_len);
	if (s->host_iovcnt == 1 || (first.len && oa_http1_parse_head(first, dir, &head) != 0))
		return first;
	block = oa_block_take(2);
	if (block < 0)
		return first;
	*ret_block = (uint32_t)block + 1;
	all = oa_buf(oa_block_at(2, (uint32_t)block), GATHER_MAX);
	for (int i = 0; i < s->host_iovcnt && !all.full; i++)
		if (!oa_buf_put(&all, oa_bytes(s->host_iov[i].iov_base, s->host_iov[i].iov_len)))
			oa_buf_put(&all, oa_bytes(s->host_iov[i].iov_base, all.cap - all.len));
	return oa_buf_bytes(&all);
}

/* Another thread's request is on its way to the kernel: what is sent now may belong to it. */
static bool inject_other_under_way(const struct oa_conn *c)
{
	return c->last && (oa_exchange_at(c->last - 1)->flags & OA_EX_PREPARED);
}

static bool inject_at_boundary(const struct oa_conn *c)
{
	if (c->carry[OA_DIR_REQUEST] || inject_other_under_way(c))
		return false;
	if (c->tls == OA_TLS_HELLO || c->tls == OA_TLS_BELOW)
		return false; /* what looks like a request in there is part of a record */
	if (c->state == OA_CONN_HTTP)
		return oa_http1_at_boundary(c->pstate[OA_DIR_REQUEST]);
	return c->state <= OA_CONN_NEW;
}

/* Length of a request's body when it is known from the header, -1 when only the body itself tells. */
static int64_t inject_body_len(const struct oa_http_head *h)
{
	if (h->flags & (OA_HTTP_CHUNKED | OA_HTTP_UPGRADE) || h->method == OA_METHOD_CONNECT)
		return -1;
	return h->flags & OA_HTTP_HAS_LENGTH ? (int64_t)h->length : 0;
}

/* Spares oa_io_sent() to read it again. */
static void inject_note_head(struct oa_send *s, const struct oa_http_head *h)
{
	if (s->requests != 1 || h->block.ptr != s->host_iov[0].iov_base) {
		s->head_len = 0;
		return;
	}
	s->head_len = (uint32_t)h->block.len;
	s->head_flags = h->flags;
	s->head_method = h->method;
	s->head_length = h->length;
}

static void inject_scan(struct oa_conn *c, struct oa_send *s)
{
	uint32_t block;
	struct oa_bytes view = oa_inject_view(s, OA_DIR_REQUEST, &block);
	struct oa_http_head head;
	size_t off = 0;

	while (off < view.len) {
		struct oa_bytes rest = oa_bytes(view.ptr + off, view.len - off);
		int64_t body;
		long len;

		if (c->state <= OA_CONN_NEW && oa_proto_http1.detect(OA_DIR_REQUEST, rest) != OA_DETECT_YES)
			break;
		len = oa_http1_parse_head(rest, OA_DIR_REQUEST, &head);
		if (len <= 0 || !inject_request(c, s, &head, off + (size_t)(head.block.ptr - rest.ptr)))
			break;
		inject_note_head(s, &head);
		body = inject_body_len(&head);
		if (body < 0 || (uint64_t)body >= rest.len - (size_t)len)
			break;
		off += (size_t)len + (size_t)body;
	}
	if (block)
		oa_block_give(2, block - 1);
}

/* -- composing -- */

struct compose {
	struct iovec *iov;
	int count, cap;
};

static OA_HOT void compose_add(struct compose *k, const void *ptr, size_t len)
{
	if (!len)
		return;
	if (k->count && k->count <= k->cap && (uint8_t *)k->iov[k->count - 1].iov_base + k->iov[k->count - 1].iov_len == ptr) {
		k->iov[k->count - 1].iov_len += len;
		return;
	}
	if (k->count < k->cap)
		k->iov[k->count] = (struct iovec){ (void *)(uintptr_t)ptr, len };
	k->count++;
}

static struct oa_bytes inject_stash(const struct oa_conn *c)
{
	return oa_bytes(oa_block_at(c->stash_cls, c->stash - 1) + c->stash_off, c->stash_len);
}

/* [remainder of last time] then the host's bytes with the points in place. */
static OA_HOT void compose_all(const struct oa_conn *c, const struct oa_send *s, struct compose *k)
{
	size_t pos = 0, skip = c->stash ? c->stash_skip : 0;
	unsigned p = 0;

	if (c->stash)
		compose_add(k, inject_stash(c).ptr, c->stash_len);
	for (int i = 0; i < s->host_iovcnt; i++) {
		const uint8_t *at = s->host_iov[i].iov_base;
		size_t left = s->host_iov[i].iov_len;

		while (left) {
			size_t step = left;

			if (skip) {
				step = skip < left ? skip : left;
				skip -= step;
			} else {
				if (p < s->points && pos == s->point[p].off) {
					compose_add(k, s->point[p].text, s->point[p].len);
					skip = s->point[p].host_len;
					p++;
					continue;
				}
				if (p < s->points && s->point[p].off - pos < step)
					step = s->point[p].off - pos;
				compose_add(k, at, step);
			}
			at += step;
			left -= step;
			pos += step;
		}
	}
}

/* Room for as many iovecs as there may be; NULL when there is none. */
static struct iovec *inject_scratch(const struct oa_conn *c, struct oa_send *s)
{
	int64_t block;

	_Static_assert(IOV_MAX * sizeof(struct iovec) <= 16384, "a block of class 2");
	if (!s->text && !oa_inject_reserve(c, s, 0))
		return NULL;
	block = oa_block_take(2);
	if (block < 0)
		return NULL;
	s->scratch = (uint32_t)block + 1;
	flight_of(s)->scratch = s->scratch;
	return (struct iovec *)(void *)oa_block_at(2, (uint32_t)block);
}

/* A header of ordinary size that begins the host's first buffer, in one piece with ours: the kernel takes one buffer in
 * less time than three, and the same system call as the host's will do. Nothing is copied that was not read before:
 * behind the header there may be bytes that only the kernel can find unreadable. */
static bool inject_flatten(const struct oa_conn *c, struct oa_send *s)
{
	const struct oa_point *p = s->point;
	const struct iovec *first = s->host_iov;
	const uint8_t *host = first->iov_base;
	size_t rest = first->iov_len - s->head_len;
	struct oa_buf out;

	if (!s->head_len || s->head_len > FLAT_MAX || s->points != 1 || c->stash || s->fd < 0 ||
	    s->host_iovcnt >= OA_SEND_IOV)
		return false;
	out = oa_inject_room(s);
	oa_buf_put(&out, oa_bytes(host, p->off));
	oa_buf_put(&out, oa_bytes(p->text, p->len));
	oa_buf_put(&out, oa_bytes(host + p->off + p->host_len, s->head_len - p->off - p->host_len));
	if (out.full)
		return false;
	s->small[0] = (struct iovec){ out.ptr, out.len };
	s->small[1] = (struct iovec){ (void *)(uintptr_t)(host + s->head_len), rest };
	s->iovcnt = 1 + (rest != 0);
	for (int i = 1; i < s->host_iovcnt; i++)
		s->small[s->iovcnt++] = s->host_iov[i];
	s->iov = s->small;
	s->rewrite = true;
	return true;
}

OA_HOT bool oa_inject_compose(const struct oa_conn *c, struct oa_send *s)
{
	unsigned kept = s->fed ? OA_SEND_EARLY : 0;
	struct compose k = { .iov = s->small + kept, .cap = OA_SEND_IOV - (int)kept };

	_Static_assert(sizeof(s->early) <= OA_SEND_EARLY * sizeof(struct iovec), "iovecs that are not used");
	if (OA_LIKELY(inject_flatten(c, s)))
		return true;
	compose_all(c, s, &k);
	if (k.count > k.cap) {
		struct iovec *more = inject_scratch(c, s);

		if (more) {
			k = (struct compose){ .iov = more, .cap = IOV_MAX };
			compose_all(c, s, &k);
		}
		/* A remainder must go first whatever comes: then the host's call is cut, as the kernel may do. */
		if (k.count > k.cap && !c->stash)
			return false;
	}
	s->iov = k.iov;
	s->iovcnt = k.count < k.cap ? k.count : k.cap;
	s->rewrite = true;
	return true;
}

/* The composed call cannot be made: the requests go out as they are. */
void oa_inject_decline(struct oa_conn *c, struct oa_send *s)
{
	bool streams = c->proto && oa_protos[c->proto - 1]->flags & OA_PROTO_STREAMS;

	for (uint32_t i = c->first; i && (streams || s->requests); i = oa_exchange_at(i - 1)->next) {
		struct oa_span *span = oa_exchange_span(oa_exchange_at(i - 1));

		if (streams && !oa_http2_is_in(oa_exchange_at(i - 1), s))
			continue;
		if (span->inject == OA_INJECT_DONE || span->inject == OA_INJECT_REWRITTEN) {
			span->inject = OA_INJECT_IOV;
			span->flags &= ~(OA_SPAN_INJECTED | OA_SPAN_REWRITTEN);
		}
	}
	s->points = 0;
	s->rewrite = false;
}

/* -- behind a PROXY header -- */

/* Requests are looked for behind it: until inject_put_back(), the host's bytes are what follows it.
 * returns false when nothing does */
static OA_COLD bool inject_pass_over(struct oa_conn *c, struct oa_send *s)
{
	long header = oa_proxied_ahead(c, s->host_iov, s->host_iovcnt);
	size_t skip = (size_t)header;
	int n = 0;

	if (header <= 0)
		return header == 0;
	for (int i = 0; i < s->host_iovcnt; i++) {
		const struct iovec *from = &s->host_iov[i];

		if (skip >= from->iov_len) {
			skip -= from->iov_len;
			continue;
		}
		if (n == sizeof(s->behind.iov) / sizeof(*from))
			return false; /* they go out as they are */
		s->behind.iov[n++] = (struct iovec){ (uint8_t *)from->iov_base + skip, from->iov_len - skip };
		skip = 0;
	}
	s->behind.host_iov = s->host_iov;
	s->behind.host_iovcnt = s->host_iovcnt;
	s->behind.header = (uint32_t)header;
	s->host_iov = s->behind.iov;
	s->host_iovcnt = n;
	return true;
}

static OA_COLD void inject_put_back(struct oa_send *s)
{
	s->host_iov = s->behind.host_iov;
	s->host_iovcnt = s->behind.host_iovcnt;
	s->head_len = 0;
	for (unsigned i = 0; i < s->points; i++)
		s->point[i].off += s->behind.header;
}

OA_HOT void oa_inject_prepare(struct oa_conn *c, struct oa_send *s)
{
	if (c->state <= OA_CONN_HTTP && c->role != OA_ROLE_SERVER &&
	    (OA_LIKELY(c->state > OA_CONN_NEW) || inject_pass_over(c, s))) {
		if (c->proto ? oa_protos[c->proto - 1]->flags & OA_PROTO_STREAMS : oa_http2_begins(c, s))
			oa_http2_prepare(c, s);
		else if (OA_UNLIKELY(oa_fastcgi_asks(c, s)))
			oa_fastcgi_prepare(c, s);
		else if (!c->stash && inject_at_boundary(c))
			inject_scan(c, s);
		if (OA_UNLIKELY(s->host_iov == s->behind.iov))
			inject_put_back(s);
	}
	if (c->role == OA_ROLE_SERVER && oa_respond_on() && !c->stash)
		oa_respond_prepare(c, s);
	if (!s->points && !c->stash)
		return;
	if (!oa_inject_compose(c, s))
		oa_inject_decline(c, s);
}

/* -- accounting -- */

/* Keeps the unsent part of one of our texts. `skip`: host bytes it replaces. */
static void inject_keep(struct oa_conn *c, struct oa_send *s, const uint8_t *rest, size_t len, size_t skip)
{
	struct oa_flights *f = oa_ctx_flights();

	if (!c)
		return;
	if (f)
		flight_end(s, f);
	c->stash = s->text;
	c->stash_cls = s->text_cls;
	c->stash_off = (uint16_t)(rest - s->text_at);
	c->stash_len = (uint16_t)len;
	c->stash_skip = (uint16_t)skip;
	s->text = 0;
}

static size_t inject_host_len(const struct oa_send *s)
{
	size_t n = 0;

	for (int i = 0; i < s->host_iovcnt; i++)
		n += s->host_iov[i].iov_len;
	return n;
}

/* Takes what the kernel took off the remainder of last time. Of the host's bytes that it stands for, the last counts as
 * sent when all of the remainder is. returns kernel bytes left for this call's bytes */
static size_t account_stash(struct oa_conn *c, const struct oa_send *s, size_t n, size_t *ret_host)
{
	size_t took = n < c->stash_len ? n : c->stash_len, host;

	c->stash_off = (uint16_t)(c->stash_off + took);
	c->stash_len = (uint16_t)(c->stash_len - took);
	host = c->stash_skip;
	if (c->stash_len && host)
		host = took < host - 1 ? took : host - 1;
	if (host && s && host > inject_host_len(s)) /* the host sends them in smaller pieces */
		host = inject_host_len(s);
	*ret_host += host;
	c->stash_skip = (uint16_t)(c->stash_skip - host);
	if (!c->stash_len && !c->stash_skip) {
		oa_block_give(c->stash_cls, c->stash - 1);
		c->stash = 0;
	}
	return n - took;
}

/* Walks the points: n kernel bytes of [host][ours][host]… -> host bytes. */
static OA_HOT size_t account_points(struct oa_conn *c, struct oa_send *s, size_t n, size_t host)
{
	for (unsigned i = 0; i < s->points; i++) {
		const struct oa_point *p = &s->point[i];
		size_t before = p->off - host;

		if (n <= before)
			return host + n;
		n -= before;
		host = p->off;
		s->points_out = (uint8_t)(i + 1);
		if (n < p->len) { /* cut inside ours */
			size_t told = p->host_len && n >= p->host_len ? p->host_len - 1 : p->host_len ? n : 0;

			inject_keep(c, s, p->text + n, p->len - n, p->host_len - told);
			return host + told;
		}
		n -= p->len;
		host += p->host_len;
	}
	return host + n;
}

/* The kernel took only a part of the remainder: nothing of the host's. A count of 0 would be a lie, so it is asked once
 * more, for real, until a host byte goes out or the kernel says no. */
static ssize_t account_retry(struct oa_conn *c, struct oa_send *s)
{
	for (;;) {
		struct compose k = { .iov = s->small, .cap = OA_SEND_IOV };
		struct msghdr m = { 0 };
		size_t host = 0, left;
		long n;

		compose_all(c, s, &k);
		m.msg_iov = s->small;
		m.msg_iovlen = (size_t)(k.count < k.cap ? k.count : k.cap);
		n = oa_sys3(SYS_sendmsg, s->fd, &m, s->flags);
		if (n < 0) {
			s->err = (int)-n;
			return -1;
		}
		left = account_stash(c, s, (size_t)n, &host);
		if (host + left)
			return (ssize_t)(host + left);
	}
}

OA_HOT ssize_t oa_inject_account(struct oa_conn *c, struct oa_send *s, ssize_t n)
{
	size_t host = 0, left = (size_t)n;

	if (n < 0 || (n == 0 && !(c && c->stash && !c->stash_len)))
		return n;
	if (c && c->stash) {
		left = account_stash(c, s, (size_t)n, &host);
		if (!host && !left)
			return account_retry(c, s);
		return (ssize_t)account_points(c, s, left, host);
	}
	return (ssize_t)account_points(c, s, left, 0);
}

/* The header of a request none of whose injected bytes went out goes on without them. */
OA_HOT void oa_inject_settle(struct oa_conn *c, struct oa_send *s)
{
	unsigned left = s->points - s->points_out;

	for (uint32_t i = c->last; i && left; i = oa_exchange_at(i - 1)->prev) {
		struct oa_exchange *ex = oa_exchange_at(i - 1);
		struct oa_span *span = oa_exchange_span(ex);

		if (!(ex->flags & OA_EX_PREPARED))
			break;
		if (span->inject != OA_INJECT_DONE && span->inject != OA_INJECT_REWRITTEN)
			continue;
		span->inject = OA_INJECT_SHORT;
		span->flags &= ~(OA_SPAN_INJECTED | OA_SPAN_REWRITTEN);
		left--;
	}
}

void oa_inject_cancel(struct oa_conn *c, struct oa_send *s)
{
	if (!s->requests)
		return;
	while (s->requests && c->last) {
		oa_exchange_discard(c, c->last - 1);
		s->requests--;
	}
	if (!c->open)
		oa_span_give_back_work(c);
}

OA_HOT void oa_inject_release(struct oa_send *s)
{
	if (s->text)
		inject_give_text(s);
	if (s->scratch)
		oa_block_give(2, s->scratch - 1);
	s->text = s->scratch = 0;
}

int oa_inject_flush(struct oa_conn *c, int fd)
{
	while (c->stash) {
		struct oa_bytes rest = inject_stash(c);
		size_t host = 0;
		long n = oa_sys6(SYS_sendto, fd, (long)rest.ptr, (long)rest.len, MSG_NOSIGNAL, 0, 0);

		if (n < 0)
			return (int)n;
		account_stash(c, NULL, (size_t)n, &host);
	}
	return 0;
}
