/* Detection, carry-over of what a parser could not take yet, and the end of streams. */
#include <errno.h>
#include <sys/uio.h>
#include <time.h>

#include "conn/context.h"
#include "conn/fastcgi.h"
#include "conn/feed.h"
#include "conn/http2.h"
#include "conn/proxied.h"
#include "conn/rpc.h"
#include "conn/span_build.h"
#include "conn/store.h"
#include "conn/store_session.h"
#include "conn/tls.h"
#include "core/tsc.h"
#include "core/limits.h"
#include "core/sys.h"
#include "core/thread.h"
#include "proto/http2.h"

#define LOCK_SPINS     2000
#define LOCK_MOMENT_NS 50000 /* 2000 of them: so long may a holder wait for a busy processor */
#define LOCK_MOMENTS   2000
#define FEED_CANCEL    8 /* HTTP/2: RFC 9113, 7 */

_Atomic uint16_t oa_conn_held = 1;

static bool lock_is_left_over(const struct oa_conn *c)
{
	uint16_t holder = atomic_load_explicit(&c->lock, memory_order_relaxed);

	return holder && holder != oa_conn_held;
}

OA_COLD bool oa_conn_lock_wait(struct oa_conn *c)
{
	static const struct timespec moment = { .tv_nsec = LOCK_MOMENT_NS };

	for (unsigned i = 0; !oa_conn_lock_once(c); i++) {
		if (i == LOCK_MOMENTS || lock_is_left_over(c))
			return false;
		oa_sys2(SYS_nanosleep, &moment, NULL);
	}
	return true;
}

OA_HOT bool oa_conn_lock(struct oa_conn *c)
{
	for (unsigned i = 0; i < LOCK_SPINS; i++) {
		if (oa_conn_lock_once(c))
			return true;
		if (atomic_load_explicit(&c->contended, memory_order_relaxed))
			return false;
		__builtin_ia32_pause();
	}
	if (!oa_guard_is_over() && oa_conn_lock_wait(c))
		return true;
	/* A holder that was interrupted by our own caller's signal handler, or that was killed. */
	atomic_store_explicit(&c->contended, 1, memory_order_relaxed);
	return false;
}

bool oa_conn_try_lock(struct oa_conn *c)
{
	for (unsigned i = 0; i < LOCK_SPINS; i++) {
		if (oa_conn_lock_once(c))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

struct oa_conn *oa_exchange_pin(struct oa_ref ref)
{
	struct oa_exchange *ex = oa_exchange_get(ref);
	struct oa_conn *c;

	if (!ex)
		return NULL;
	c = oa_conn_at(atomic_load_explicit(&ex->conn, memory_order_relaxed));
	if (!oa_conn_try_lock(c))
		return NULL;
	if (oa_exchange_get(ref))
		return c;
	oa_conn_unlock(c);
	return NULL;
}

/* -- what the parser has not taken -- */

/* Class of the block a carry of `len` bytes needs. */
static int carry_class(size_t len)
{
	for (int cls = 1; cls < OA_BLOCK_CLASSES; cls++)
		if (len <= oa_block_bytes[cls] - 8)
			return cls;
	return -1;
}

struct carry {
	uint32_t len;
	uint32_t cls;
	uint8_t bytes[];
};

/* Carry blocks are named (index * 4 + class) + 1. */
static struct carry *carry_at(uint32_t name)
{
	return (struct carry *)(void *)oa_block_at((name - 1) & 3, (name - 1) >> 2);
}

struct oa_bytes oa_feed_carried(const struct oa_conn *c, enum oa_dir dir)
{
	const struct carry *k = c->carry[dir] ? carry_at(c->carry[dir]) : NULL;

	return k ? oa_bytes(k->bytes, k->len) : oa_bytes(NULL, 0);
}

static void carry_drop(struct oa_conn *c, enum oa_dir dir)
{
	if (c->carry[dir])
		oa_block_give((c->carry[dir] - 1) & 3, (c->carry[dir] - 1) >> 2);
	c->carry[dir] = 0;
}

/* Room for `len` bytes in all, what is there kept. */
static struct carry *carry_reserve(struct oa_conn *c, enum oa_dir dir, size_t len)
{
	struct carry *old = c->carry[dir] ? carry_at(c->carry[dir]) : NULL, *fresh;
	int cls = carry_class(len);
	int64_t block;

	if (old && (int)old->cls >= cls && cls >= 0)
		return old;
	if (cls < 0)
		return NULL;
	block = oa_block_take((unsigned)cls);
	if (block < 0)
		return NULL;
	fresh = (struct carry *)(void *)oa_block_at((unsigned)cls, (uint32_t)block);
	fresh->cls = (uint32_t)cls;
	fresh->len = old ? old->len : 0;
	if (old)
		memcpy(fresh->bytes, old->bytes, old->len);
	carry_drop(c, dir);
	c->carry[dir] = (uint32_t)block * 4 + (uint32_t)cls + 1;
	return fresh;
}

void oa_feed_forget(struct oa_conn *c, enum oa_dir dir)
{
	carry_drop(c, dir);
}

/* -- opaque -- */

OA_HOT void oa_feed_release(struct oa_conn *c)
{
	struct oa_sink sink = { .memory = oa_http2_memory };

	if (c->proto && oa_protos[c->proto - 1]->flags & OA_PROTO_STORE)
		oa_session_release(c);
	else if (c->proto && oa_protos[c->proto - 1]->flags & OA_PROTO_GATEWAY)
		oa_fastcgi_release(c);
	if (!c->proto || !oa_protos[c->proto - 1]->release)
		return;
	oa_protos[c->proto - 1]->release(c->pstate[OA_DIR_REQUEST], &sink);
	oa_protos[c->proto - 1]->release(c->pstate[OA_DIR_RESPONSE], &sink);
}

void oa_conn_make_opaque(struct oa_conn *c, enum oa_stat reason)
{
	if (!(c->flags & OA_CONN_COUNTED))
		oa_stat_inc(reason);
	c->flags |= OA_CONN_COUNTED;
	oa_conn_set_state(c, OA_CONN_OPAQUE);
	carry_drop(c, OA_DIR_REQUEST);
	carry_drop(c, OA_DIR_RESPONSE);
	oa_feed_release(c);
	for (unsigned n = c->open; c->first && n; n--)
		oa_exchange_discard(c, c->first - 1); /* what became of them cannot be known: counted above, not guessed */
}

static bool feed_looks_like_tls(struct oa_bytes b)
{
	return b.len && b.ptr[0] == 0x16 && (b.len == 1 || b.ptr[1] == 3);
}

/* -- feeding -- */

static void feed_set_role(struct oa_conn *c, bool in)
{
	atomic_store_explicit(&c->role, in ? OA_ROLE_SERVER : OA_ROLE_CLIENT, memory_order_relaxed);
}

/* A PROXY header in front of what a client says. returns as oa_proxied_take() */
static OA_COLD long feed_proxied(struct oa_conn *c, bool in, struct oa_bytes bytes)
{
	long header;

	if (!oa_proxy_line_may_begin(bytes.ptr[0]) || (c->role != OA_ROLE_UNKNOWN && oa_conn_dir(c, in) != OA_DIR_REQUEST))
		return -EPROTO;
	header = oa_proxied_take(c, in, bytes);
	if (header > 0 && c->role == OA_ROLE_UNKNOWN)
		feed_set_role(c, in);
	return header;
}

/* Which protocol, and when unknown which role. Whoever speaks first is the client, but for protocols in which the server
 * may. MORE leaves the connection as it is. */
static enum oa_detect feed_detect(struct oa_conn *c, bool in, struct oa_bytes bytes)
{
	enum oa_dir dir = c->role == OA_ROLE_UNKNOWN ? OA_DIR_REQUEST : oa_conn_dir(c, in);
	enum oa_detect best = OA_DETECT_NO;

	for (unsigned i = 0; oa_protos[i]; i++) {
		enum oa_detect d;

		if (dir == OA_DIR_RESPONSE && !(oa_protos[i]->flags & OA_PROTO_GREETS))
			continue;
		d = oa_protos[i]->detect(dir, bytes);
		if (d == OA_DETECT_YES) {
			oa_conn_set_proto(c, (uint8_t)(i + 1));
			oa_conn_set_state(c, OA_CONN_HTTP);
			if (c->role == OA_ROLE_UNKNOWN)
				feed_set_role(c, in);
			oa_store_pools_begin(c);
			if (OA_UNLIKELY(oa_protos[i]->flags & OA_PROTO_CLIENT && c->role == OA_ROLE_SERVER)) {
				if (c->tls == OA_TLS_SESSION && !c->other.gen)
					c->flags |= OA_CONN_COUNTED; /* as its socket was, before TLS began */
				oa_conn_make_opaque(c, OA_STAT_opaque_served_store);
				return OA_DETECT_NO;
			}
			return d;
		}
		if (d == OA_DETECT_MORE)
			best = d;
	}
	return best;
}

/* The answer is here before the thread that sent the request has told us: it was known when it was prepared. */
static bool feed_answers_prepared(struct oa_conn *c)
{
	const struct oa_proto *p = &oa_proto_http1;

	if (c->role != OA_ROLE_CLIENT || !c->first || !(oa_exchange_at(c->first - 1)->flags & OA_EX_PREPARED))
		return false;
	if (c->proto) /* HTTP/2: known by its preface */
		p = oa_protos[c->proto - 1];
	else if (oa_exchange_at(c->first - 1)->stream)
		p = &oa_proto_fastcgi;
	oa_conn_set_proto(c, oa_proto_number(p));
	oa_conn_set_state(c, OA_CONN_HTTP);
	if (c->proxied == OA_PROXIED_SENDING) /* feed_carried() looks for it, in front of what the other thread has to tell */
		(void)carry_reserve(c, OA_DIR_REQUEST, 1);
	return true;
}

static void feed_tunnel(struct oa_conn *c, bool in, uint64_t n)
{
	struct oa_exchange *ex = c->first ? oa_exchange_at(c->first - 1) : NULL;

	if (!ex || oa_exchange_span(ex)->what != OA_WHAT_TUNNEL)
		return;
	if (oa_conn_dir(c, in) == OA_DIR_REQUEST)
		oa_exchange_span(ex)->req_body += n;
	else
		oa_exchange_span(ex)->resp_body += n;
}

static inline oa_event_fn *feed_event(const struct oa_proto *p)
{
	if (OA_LIKELY(p->flags & OA_PROTO_STORE))
		return oa_store_on_event;
	if (OA_UNLIKELY(p->flags & OA_PROTO_GATEWAY))
		return oa_fastcgi_on_event;
	return p->flags & OA_PROTO_STREAMS ? oa_http2_on_event : oa_span_on_event;
}

static inline struct oa_sink feed_sink(struct oa_feed *f, const struct oa_proto *p)
{
	return (struct oa_sink){ .event = feed_event(p), .message = oa_span_on_message, .request_note = oa_span_request_note,
				 .ctx = f, .memory = oa_http2_memory, .stream_note = oa_span_stream_note };
}

/* Runs the parser over contiguous bytes. returns bytes taken or negative */
static OA_HOT long feed_parse(struct oa_conn *c, enum oa_dir dir, struct oa_bytes bytes, bool *ret_upgraded)
{
	const struct oa_proto *p = oa_protos[c->proto - 1];
	struct oa_feed f = { .c = c, .dir = dir };
	struct oa_sink sink = feed_sink(&f, p);
	long taken = 0;

	while ((size_t)taken < bytes.len && !f.upgraded) {
		long n = p->feed(c->pstate[dir], dir, oa_bytes(bytes.ptr + taken, bytes.len - (size_t)taken), &sink);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		taken += n;
	}
	*ret_upgraded = f.upgraded;
	return taken;
}

static void feed_upgraded(struct oa_conn *c)
{
	struct oa_exchange *ex;

	if (oa_store_begins_anew(c))
		return;
	oa_conn_set_state(c, OA_CONN_TUNNEL);
	carry_drop(c, OA_DIR_REQUEST);
	carry_drop(c, OA_DIR_RESPONSE);
	/* The HTTP exchange ended with its END event; one whose request parser never said so ends here. */
	while (c->first && (ex = oa_exchange_at(c->first - 1), oa_exchange_span(ex)->what != OA_WHAT_TUNNEL))
		oa_exchange_finish(c, c->first - 1, oa_host_now_ns(), OA_ERR_NONE);
	oa_stat_inc(OA_STAT_opaque_tunnel);
}

/* Sent behind a CONNECT or an Upgrade, before the answer: the tunnel's first bytes, if it comes about. */
static bool feed_is_early(const struct oa_conn *c, enum oa_dir dir)
{
	struct oa_exchange *ex = c->last ? oa_exchange_at(c->last - 1) : NULL;

	return dir == OA_DIR_REQUEST && ex && !(ex->flags & OA_EX_RESPONDED) &&
	       (ex->flags & OA_EX_CONNECT || oa_span_str(ex->span, OA_STR_UPGRADE).len);
}

static void feed_failed(struct oa_conn *c, enum oa_dir dir, long err)
{
	if (feed_is_early(c, dir)) {
		carry_drop(c, dir);
		return;
	}
	if (c->role == OA_ROLE_CLIENT && dir == OA_DIR_RESPONSE && err == -EPROTO) {
		oa_conn_calls_failed(c);
		oa_conn_end_exchanges(c, oa_host_now_ns(), OA_ERR_MALFORMED);
	}
	oa_conn_make_opaque(c, err == -E2BIG  ? OA_STAT_opaque_too_big :
			       err == -ENOMEM ? OA_STAT_opaque_pool :
						OA_STAT_opaque_parse);
}

/* Keeps the part of `bytes` behind `taken` for the next call. */
static void feed_keep(struct oa_conn *c, enum oa_dir dir, struct oa_bytes bytes)
{
	struct carry *k = carry_reserve(c, dir, bytes.len);

	if (!k) {
		oa_conn_make_opaque(c, carry_class(bytes.len) < 0 ? OA_STAT_opaque_too_big : OA_STAT_opaque_pool);
		return;
	}
	memcpy(k->bytes, bytes.ptr, bytes.len);
	k->len = (uint32_t)bytes.len;
}

/* May what is carried begin with a PROXY header? */
static bool feed_may_be_proxied(const struct oa_conn *c, enum oa_dir dir)
{
	return dir == OA_DIR_REQUEST && (c->state == OA_CONN_NEW || c->proxied == OA_PROXIED_SENDING);
}

/* Appends to what is carried and parses that. */
static void feed_carried(struct oa_conn *c, enum oa_dir dir, bool in, struct oa_bytes bytes)
{
	while (bytes.len && c->state <= OA_CONN_HTTP) {
		struct carry *k = carry_at(c->carry[dir]);
		size_t room, step;
		bool upgraded = false;
		long taken;

		k = carry_reserve(c, dir, k->len + bytes.len <= oa_block_bytes[OA_BLOCK_CLASSES - 1] - 8 ? k->len + bytes.len : k->len + 1);
		if (!k) {
			oa_conn_make_opaque(c, OA_STAT_opaque_too_big);
			return;
		}
		room = oa_block_bytes[k->cls] - 8 - k->len;
		step = bytes.len < room ? bytes.len : room;
		memcpy(k->bytes + k->len, bytes.ptr, step);
		k->len += (uint32_t)step;
		bytes = oa_bytes(bytes.ptr + step, bytes.len - step);
		if (OA_UNLIKELY(feed_may_be_proxied(c, dir))) {
			long header = feed_proxied(c, in, oa_bytes(k->bytes, k->len));

			if (header == 0)
				continue;
			if (header > 0) { /* it ended in these bytes */
				size_t behind = k->len - (size_t)header;

				carry_drop(c, dir);
				oa_feed_bytes(c, in, oa_bytes(bytes.ptr - behind, bytes.len + behind));
				return;
			}
		}
		if (!c->proto) {
			enum oa_detect d = feed_detect(c, in, oa_bytes(k->bytes, k->len));

			if (d == OA_DETECT_NO && feed_looks_like_tls(oa_bytes(k->bytes, k->len))) { /* its first byte came alone */
				oa_tls_hello(c, in, oa_bytes(k->bytes, k->len));
				carry_drop(c, dir);
				oa_feed_bytes(c, in, bytes);
				return;
			}
			if (d == OA_DETECT_NO)
				oa_conn_make_opaque(c, OA_STAT_opaque_not_http);
			if (d != OA_DETECT_YES)
				continue;
		}
		taken = feed_parse(c, dir, oa_bytes(k->bytes, k->len), &upgraded);
		if (taken < 0) {
			feed_failed(c, dir, taken);
			return;
		}
		if (c->state == OA_CONN_OPAQUE)
			return;
		if (upgraded && oa_http2_upgrade(c)) {
			long more = feed_parse(c, dir, oa_bytes(k->bytes + taken, k->len - (size_t)taken), &upgraded);

			if (more < 0) {
				feed_failed(c, dir, more);
				return;
			}
			taken += more;
		} else if (upgraded) {
			feed_tunnel(c, in, k->len - (size_t)taken + bytes.len);
			feed_upgraded(c);
			return;
		}
		k->len -= (uint32_t)taken;
		memmove(k->bytes, k->bytes + taken, k->len);
		if (!k->len) {
			carry_drop(c, dir);
			oa_feed_bytes(c, in, bytes);
			return;
		}
	}
}

/* What the parser did with `bytes`: taken so many, or failed. */
static OA_HOT void feed_parsed(struct oa_conn *c, bool in, enum oa_dir dir, struct oa_bytes bytes, long taken, bool upgraded)
{
	if (taken < 0) {
		feed_failed(c, dir, taken);
		return;
	}
	oa_conn_heed(c);
	if (c->state == OA_CONN_OPAQUE)
		return;
	if (upgraded && oa_http2_upgrade(c)) {
		oa_feed_bytes(c, in, oa_bytes(bytes.ptr + taken, bytes.len - (size_t)taken));
	} else if (upgraded) {
		feed_tunnel(c, in, bytes.len - (size_t)taken);
		feed_upgraded(c);
	} else if ((size_t)taken < bytes.len && c->state == OA_CONN_HTTP) {
		feed_keep(c, dir, oa_bytes(bytes.ptr + taken, bytes.len - (size_t)taken));
	}
}

/* The parser stopped somewhere. */
static OA_COLD void feed_rest(struct oa_conn *c, bool in, struct oa_bytes bytes, long taken, bool upgraded)
{
	enum oa_dir dir = oa_conn_dir(c, in);
	long more;

	if (taken > 0 && !upgraded) {
		more = feed_parse(c, dir, oa_bytes(bytes.ptr + taken, bytes.len - (size_t)taken), &upgraded);
		taken = more < 0 ? more : taken + more;
	}
	feed_parsed(c, in, dir, bytes, taken, upgraded);
}

/* Here only what most calls are: nothing is carried, and the parser takes it all. */
OA_HOT OA_NOINLINE void oa_feed_http(struct oa_conn *c, bool in, struct oa_bytes bytes)
{
	struct oa_feed f = { .c = c, .dir = oa_conn_dir(c, in) };
	const struct oa_proto *p = oa_protos[c->proto - 1];
	struct oa_sink sink = feed_sink(&f, p);
	long taken;

	if (OA_UNLIKELY(c->carry[f.dir])) {
		oa_feed_bytes(c, in, bytes);
		return;
	}
	taken = p->feed(c->pstate[f.dir], f.dir, bytes, &sink);
	if (OA_UNLIKELY((size_t)taken != bytes.len || f.upgraded ||
			atomic_load_explicit(&c->contended, memory_order_relaxed)))
		feed_rest(c, in, bytes, taken, f.upgraded);
}

OA_HOT void oa_feed_bytes(struct oa_conn *c, bool in, struct oa_bytes bytes)
{
	enum oa_dir dir;
	bool upgraded = false;
	long taken;

	if (!bytes.len || c->state == OA_CONN_OPAQUE)
		return;
	if (c->state == OA_CONN_TUNNEL) {
		if (c->tls == OA_TLS_HELLO || (c->tls != OA_TLS_BELOW && feed_looks_like_tls(bytes)))
			oa_tls_hello(c, in, bytes);
		feed_tunnel(c, in, bytes.len);
		return;
	}
	if (__builtin_expect(c->tls == OA_TLS_HELLO, 0)) {
		oa_tls_hello(c, in, bytes);
		return;
	}
	dir = oa_conn_dir(c, in);
	if (c->state == OA_CONN_NEW && !c->carry[dir] && !(dir == OA_DIR_RESPONSE && feed_answers_prepared(c))) {
		long header = feed_proxied(c, in, bytes);
		enum oa_detect d;

		if (header > 0) {
			oa_feed_bytes(c, in, oa_bytes(bytes.ptr + header, bytes.len - (size_t)header));
			return;
		}
		d = header == 0 ? OA_DETECT_MORE : feed_detect(c, in, bytes);
		if (d == OA_DETECT_NO && feed_looks_like_tls(bytes)) {
			oa_tls_hello(c, in, bytes);
			return;
		}
		if (d == OA_DETECT_NO) {
			oa_conn_make_opaque(c, c->role == OA_ROLE_UNKNOWN ? OA_STAT_opaque_midway : OA_STAT_opaque_not_http);
			return;
		}
		if (d == OA_DETECT_MORE) {
			if (c->role == OA_ROLE_UNKNOWN)
				feed_set_role(c, in);
			feed_keep(c, oa_conn_dir(c, in), bytes);
			return;
		}
		dir = oa_conn_dir(c, in);
	}
	if (c->carry[dir]) {
		feed_carried(c, dir, in, bytes);
		return;
	}
	taken = feed_parse(c, dir, bytes, &upgraded);
	feed_parsed(c, in, dir, bytes, taken, upgraded);
}

size_t oa_feed_head(struct oa_conn *c, const struct oa_http_head *h)
{
	struct oa_feed f = { .c = c, .dir = OA_DIR_REQUEST };
	struct oa_sink sink = feed_sink(&f, &oa_proto_http1);
	long taken = oa_http1_accept_head(c->pstate[OA_DIR_REQUEST], h, &sink);

	return taken < 0 ? 0 : (size_t)taken;
}

void oa_feed_iov(struct oa_conn *c, bool in, const struct iovec *iov, int iovcnt, size_t n)
{
	for (int i = 0; i < iovcnt && n; i++) {
		size_t len = iov[i].iov_len < n ? iov[i].iov_len : n;

		oa_feed_bytes(c, in, oa_bytes(iov[i].iov_base, len));
		n -= len;
	}
}

void oa_feed_blind(struct oa_conn *c, bool in, uint64_t n)
{
	const struct oa_proto *p = c->proto ? oa_protos[c->proto - 1] : NULL;
	enum oa_dir dir = oa_conn_dir(c, in);
	struct oa_feed f = { .c = c, .dir = dir };
	struct oa_sink sink;

	if (c->state == OA_CONN_TUNNEL) {
		feed_tunnel(c, in, n);
		return;
	}
	if (c->state == OA_CONN_OPAQUE || !n)
		return;
	if (!p) {
		oa_conn_make_opaque(c, OA_STAT_opaque_not_http);
		return;
	}
	sink = feed_sink(&f, p);
	if (c->carry[dir] || p->skip(c->pstate[dir], dir, n, &sink) < 0)
		oa_conn_make_opaque(c, OA_STAT_opaque_parse);
}

OA_HOT void oa_feed_end(struct oa_conn *c, bool in)
{
	enum oa_dir dir = oa_conn_dir(c, in);
	struct oa_feed f = { .c = c, .dir = dir };
	const struct oa_proto *p;
	struct oa_sink sink;

	if (c->state != OA_CONN_HTTP || !c->proto || c->carry[dir])
		return;
	p = oa_protos[c->proto - 1];
	sink = feed_sink(&f, p);
	p->close(c->pstate[dir], dir, &sink);
}

void oa_conn_calls_failed(struct oa_conn *c)
{
	if (c->role != OA_ROLE_CLIENT)
		return;
	if (!c->first && !(c->flags & OA_CONN_USED))
		oa_ctx_never_opened(c);
	for (uint32_t i = c->first, n = c->open; i && n; i = oa_exchange_at(i - 1)->next, n--)
		oa_ctx_answered(oa_exchange_at(i - 1));
	if (c->open > 1)
		oa_ctx_wake(); /* whose turn it is now, nobody knows */
}

OA_HOT void oa_conn_end_exchanges(struct oa_conn *c, uint64_t now_ns, enum oa_error error)
{
	for (unsigned n = c->open; c->first && n; n--) {
		struct oa_exchange *ex = oa_exchange_at(c->first - 1);
		struct oa_span *s = oa_exchange_span(ex);
		uint32_t flags = ex->flags;
		enum oa_error e = error;

		if (flags & OA_EX_ANSWERED) {
			oa_exchange_finish(c, c->first - 1, s->start_ns + s->duration_ns, OA_ERR_NONE);
			continue;
		}
		if (OA_UNLIKELY(flags & OA_EX_POLL && !(flags & OA_EX_RESPONDED) && error == OA_ERR_ABANDONED)) {
			oa_stat_inc(OA_STAT_quiet_calls);
			oa_exchange_discard(c, c->first - 1);
			continue;
		}
		/* What the kernel never took was never asked; what another process may still answer is its business. */
		if ((flags & OA_EX_PREPARED && error == OA_ERR_NONE) ||
		    (oa_exchange_shared(ex) && !(flags & OA_EX_RESPONDED) && error == OA_ERR_ABANDONED)) {
			oa_exchange_discard(c, c->first - 1);
			oa_stat_inc(OA_STAT_opaque_shared);
			continue;
		}
		/* A client may stop reading an answer it has got: no error, but not complete either. */
		if (s->what == OA_WHAT_TUNNEL && (error == OA_ERR_ABANDONED || error == OA_ERR_CONNECTION_CLOSED))
			e = OA_ERR_NONE;
		else if (s->kind == OA_KIND_CLIENT && (flags & OA_EX_RESPONDED) && error == OA_ERR_ABANDONED)
			e = OA_ERR_NONE, s->flags |= OA_SPAN_INCOMPLETE;
		if (OA_UNLIKELY(s->what == OA_WHAT_RPC && s->kind == OA_KIND_CLIENT && error == OA_ERR_ABANDONED)) {
			oa_rpc_reset(ex, FEED_CANCEL, now_ns); /* given up with its connection */
			e = OA_ERR_STREAM_CANCELLED;
		}
		oa_exchange_finish(c, c->first - 1, now_ns, e);
	}
}
