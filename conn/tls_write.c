/* Writing inside TLS. A library takes one buffer, not an array, and when it has to wait it wants the same buffer again.
 * So what is to go out with our headers is composed in a block that stays where it is until the library has taken
 * it; the rest of the host's bytes follow from the host's own buffer. A composed write never exceeds one TLS record,
 * so the number of records is what it would have been, but for a header that fills one up.
 *
 * What the host gets is a count of its own bytes, or the library's own result. */
#include <string.h>

#include "conn/feed.h"
#include "conn/inject.h"
#include "conn/internal.h"
#include "conn/respond.h"
#include "conn/store.h"
#include "conn/tls_internal.h"
#include "core/state.h"

enum phase {
	PHASE_HOST, /* the host's own bytes */
	PHASE_PIN,  /* the composed ones */
	PHASE_OURS, /* what a partial write cut off of a header of ours */
};

/* A text of ours in the composed bytes, and what of the host's it stands for. */
struct pin_point {
	uint32_t off, len;
	uint32_t host_off, host_len;
};

struct pin {
	const uint8_t *host;  /* the call it was composed for */
	uint32_t off, len;    /* what the library has not taken */
	uint32_t host_bytes;  /* of them the host's */
	uint32_t done;        /* the host's bytes before them that a repeated call brings again */
	uint32_t fed;         /* the host's bytes that the parser has had, or may have */
	uint32_t told;        /* so many of them it has had before they were sent; 0: none */
	uint32_t original;    /* where they are in bytes[], as the host gave them */
	bool ours;            /* only the rest of a text of ours is left */
	uint8_t points;       /* struct pin_point, at the front of bytes[] */
	uint8_t bytes[] __attribute__((aligned(8)));
};

static struct pin_point *pin_points(const struct pin *p)
{
	return (struct pin_point *)(void *)(uintptr_t)p->bytes;
}

static struct pin *pin_of(const struct oa_tls_session *s)
{
	return (struct pin *)(void *)oa_block_at((s->pin - 1) & 3, (s->pin - 1) >> 2);
}

static _Atomic uint32_t pins;

bool oa_tls_pinned(void)
{
	return atomic_load_explicit(&pins, memory_order_relaxed) != 0;
}

void oa_tls_drop_pin(struct oa_tls_session *s)
{
	if (!s->pin)
		return;
	oa_block_give((s->pin - 1) & 3, (s->pin - 1) >> 2);
	s->pin = 0;
	atomic_fetch_sub_explicit(&pins, 1, memory_order_relaxed);
}

static OA_HOT struct pin *pin_take(struct oa_tls_session *s, size_t bytes)
{
	int64_t block;

	for (unsigned cls = 1; cls < OA_BLOCK_CLASSES; cls++) {
		if (sizeof(struct pin) + bytes > oa_block_bytes[cls])
			continue;
		block = oa_block_take(cls);
		if (block < 0)
			return NULL;
		s->pin = (uint32_t)block * 4 + cls + 1;
		atomic_fetch_add_explicit(&pins, 1, memory_order_relaxed);
		memset(pin_of(s), 0, sizeof(struct pin));
		return pin_of(s);
	}
	return NULL;
}

/* -- composing -- */

/* How much longer the composed bytes are than the host's. */
static size_t write_added(const struct oa_send *s)
{
	size_t sum = 0;

	for (unsigned i = 0; i < s->points; i++)
		sum += s->point[i].len - s->point[i].host_len;
	return sum;
}

/* Where the last thing of ours ends, in host bytes. */
static size_t write_needed(const struct oa_send *s)
{
	const struct oa_point *last = &s->point[s->points - 1];

	return last->off + last->host_len;
}

static uint32_t pin_put(struct pin *p, uint32_t at, const void *from, size_t len)
{
	memcpy(p->bytes + at, from, len);
	return at + (uint32_t)len;
}

static void pin_fill(struct pin *p, const struct oa_send *s, const uint8_t *host, size_t len)
{
	uint32_t to = s->points * (uint32_t)sizeof(struct pin_point);
	size_t at = 0;

	p->off = to;
	for (unsigned i = 0; i < s->points; i++) {
		const struct oa_point *point = &s->point[i];

		to = pin_put(p, to, host + at, point->off - at);
		at = point->off + point->host_len;
		pin_points(p)[i] = (struct pin_point){ .off = to, .len = point->len, .host_off = point->off,
						       .host_len = point->host_len };
		to = pin_put(p, to, point->text, point->len);
	}
	p->original = pin_put(p, to, host + at, len - at);
	p->len = p->original - p->off;
	(void)pin_put(p, p->original, host, len);
	p->points = s->points;
	p->host = host;
	p->host_bytes = (uint32_t)len;
}

static OA_HOT bool write_compose(struct oa_tls_session *session, struct oa_tls_write *w)
{
	size_t added = write_added(&w->send), len = w->host_len;
	struct pin *p;

	if (added >= OA_TLS_RECORD_MAX || write_needed(&w->send) > OA_TLS_RECORD_MAX - added)
		return false;
	if (len > OA_TLS_RECORD_MAX - added)
		len = OA_TLS_RECORD_MAX - added;
	p = pin_take(session, w->send.points * sizeof(struct pin_point) + len + added + len);
	if (!p)
		return false;
	pin_fill(p, &w->send, w->host, len);
	w->phase = PHASE_PIN;
	w->at = p->bytes + p->off;
	w->len = p->len;
	return true;
}

/* A query that was read before it is sent, to be added to. From here on it counts as sent. */
static void write_query(struct oa_conn *c, struct oa_tls_session *session, struct oa_tls_write *w)
{
	if (w->host_len + write_added(&w->send) > OA_TLS_RECORD_MAX || !write_compose(session, w)) {
		oa_store_unread(c, &w->send);
		return;
	}
	pin_of(session)->told = (uint32_t)w->host_len;
	oa_stat_inc(OA_STAT_sql_comment_added);
}

/* What the parser had before is not sent, or is sent in another call, where it would be read once more. */
static OA_HOT void write_broken(struct oa_tls_session *s, struct oa_ref ref)
{
	struct oa_conn *c = s->pin && pin_of(s)->fed < pin_of(s)->told ? oa_tls_enter(ref) : NULL;

	if (!c)
		return;
	oa_conn_make_opaque(c, OA_STAT_opaque_comment_cut);
	oa_conn_unlock(c);
}

/* -- before -- */

/* Is this the call that the library waits for? It may have grown. */
static bool write_repeats(const struct pin *p, const struct oa_tls_write *w)
{
	if (p->ours || (w->how & OA_TLS_NOTHING && !w->host && !w->host_len))
		return true;
	return w->host_len >= (size_t)p->done + p->host_bytes && (w->how & OA_TLS_MOVING || w->host == p->host);
}

static void write_resume(const struct pin *p, struct oa_tls_write *w)
{
	w->covered = p->done;
	w->at = p->bytes + p->off;
	w->len = p->len;
	w->phase = p->ours ? PHASE_OURS : PHASE_PIN;
	if (p->len)
		return;
	w->phase = PHASE_HOST;
	w->at = w->host + w->covered;
	w->len = w->host_len - w->covered;
}

/* A pin belongs to whoever writes, not to the lock: what the library was given must be given again whatever became of
 * the connection here. */
static OA_HOT struct oa_tls_session *write_session(struct oa_ref ref)
{
	struct oa_conn *c = oa_conn_at(ref.index);
	uint32_t session = c->session;

	return c->gen == ref.gen && session ? oa_pool_at(&oa_tls_pool, session - 1) : NULL;
}

static bool write_prepare(const struct oa_tls_source *src, struct oa_tls_session *s, struct oa_tls_write *w)
{
	struct oa_conn *c = oa_conn_at(w->ref.index);

	if (c->role == OA_ROLE_SERVER && s->flags & OA_TLS_KNOWN && !oa_respond_on()) { /* nothing to add: no need to lock it yet */
		if (c->state == OA_CONN_OPAQUE)
			return false;
		oa_io_watch(c, -1, &w->iov, 1, 0, &w->send);
		return true;
	}
	c = oa_tls_enter(w->ref);
	if (!c)
		return false;
	oa_io_watch(c, -1, &w->iov, 1, 0, &w->send);
	if (!(s->flags & OA_TLS_KNOWN))
		oa_tls_learn(src, c);
	w->send.rewrite = false;
	if (OA_UNLIKELY(oa_store_before_write(c, &w->send)))
		write_query(c, s, w);
	else
		oa_inject_prepare(c, &w->send);
	if (w->send.rewrite && !s->pin && !write_compose(s, w))
		oa_inject_decline(c, &w->send);
	if (s->pin)
		w->how = src->ops->modes(src);
	oa_conn_unlock(c);
	oa_inject_release(&w->send); /* its texts are in the block */
	return true;
}

OA_HOT bool oa_tls_before_write(const struct oa_tls_source *src, struct oa_ref ref, const void *buf, size_t len,
			 struct oa_tls_write *w)
{
	struct oa_tls_session *s = ref.gen ? write_session(ref) : NULL;

	if (!s)
		return false;
	w->ref = ref;
	w->at = w->host = buf;
	w->len = w->host_len = len;
	w->covered = 0;
	w->how = s->pin ? src->ops->modes(src) : 0;
	w->phase = PHASE_HOST;
	w->iov = (struct iovec){ (void *)(uintptr_t)buf, len };
	if (s->pin && write_repeats(pin_of(s), w)) {
		oa_io_watch(oa_conn_at(ref.index), -1, &w->iov, 1, 0, &w->send);
		write_resume(pin_of(s), w);
		return true;
	}
	write_broken(s, ref);
	oa_tls_drop_pin(s); /* the host breaks the rule: the library's answer is its own */
	if (oa_state_get() != OA_STATE_ACTIVE)
		return false;
	if (s->waiting) { /* what went in as it was comes again as it was */
		oa_io_watch(oa_conn_at(ref.index), -1, &w->iov, 1, 0, &w->send);
		return true;
	}
	return write_prepare(src, s, w);
}

/* -- after -- */

/* The host's bytes that went out with the composed ones up to `end`. Of those that a text of ours stands for, the last has
 * when all of the text has. ret_cut: bytes of ours that the end cuts off */
static uint32_t pin_host_at(const struct pin *p, uint32_t end, uint32_t *ret_cut)
{
	uint32_t at = p->points * (uint32_t)sizeof(struct pin_point), host = 0;

	*ret_cut = 0;
	for (unsigned i = 0; i < p->points; i++) {
		const struct pin_point *k = &pin_points(p)[i];
		uint32_t n = end - k->off;

		if (end <= k->off)
			break;
		if (n < k->len) {
			*ret_cut = k->len - n;
			return k->host_off + (!k->host_len ? 0 : n < k->host_len ? n : k->host_len - 1);
		}
		at = k->off + k->len;
		host = k->host_off + k->host_len;
	}
	return host + (end - at);
}

static void write_feed(struct oa_tls_write *w, const struct iovec *iov, int count, size_t n)
{
	struct oa_conn *c = n ? oa_tls_enter(w->ref) : NULL;

	w->covered += n;
	if (!c)
		return;
	oa_io_sent(c, &w->send, iov, count, n);
	oa_conn_unlock(c);
}

static void write_feed_host(struct oa_tls_write *w, size_t n)
{
	struct iovec part = { (void *)(uintptr_t)w->at, n };

	write_feed(w, &part, 1, n);
}

/* returns bytes of ours that were cut off */
static OA_HOT uint32_t pin_feed(struct pin *p, struct oa_tls_write *w, size_t n)
{
	uint32_t cut, host = pin_host_at(p, p->off + (uint32_t)n, &cut);
	struct iovec part = { p->bytes + p->original + p->fed, host - p->fed };

	p->fed = host;
	if (p->told)
		w->covered += part.iov_len;
	else
		write_feed(w, &part, 1, part.iov_len);
	return cut;
}

/* On with the host's own bytes, unless the call is through. */
static OA_HOT bool write_go_on(struct oa_tls_session *s, struct oa_tls_write *w)
{
	bool through = w->covered == w->host_len || (w->how & OA_TLS_PARTIAL && w->covered);

	write_broken(s, w->ref);
	if (through) {
		oa_tls_drop_pin(s);
		return false;
	}
	if (s->pin) {
		struct pin *p = pin_of(s);

		p->len = p->host_bytes = 0;
		p->done = (uint32_t)w->covered;
		p->ours = false;
		p->host = w->host;
	}
	w->phase = PHASE_HOST;
	w->at = w->host + w->covered;
	w->len = w->host_len - w->covered;
	return true;
}

/* n of the composed bytes were taken: all of them, or as many as the library takes at a time. */
static bool pin_taken(struct oa_tls_session *s, struct oa_tls_write *w, size_t n)
{
	struct pin *p = pin_of(s);
	uint32_t ours;

	if (n > p->len)
		n = p->len;
	ours = pin_feed(p, w, n);
	p->off += (uint32_t)n;
	p->len -= (uint32_t)n;
	if (!ours)
		return write_go_on(s, w);
	p->len = ours; /* a header has begun: it must end before anything else */
	p->host_bytes = p->done = 0;
	p->ours = true;
	w->phase = PHASE_OURS;
	w->at = p->bytes + p->off;
	w->len = p->len;
	return true;
}

static bool ours_taken(struct oa_tls_session *s, struct oa_tls_write *w, size_t n)
{
	struct pin *p = pin_of(s);

	(void)pin_feed(p, w, n < p->len ? n : p->len);
	if (n >= p->len)
		return write_go_on(s, w);
	p->off += (uint32_t)n;
	p->len -= (uint32_t)n;
	w->at = p->bytes + p->off;
	w->len = p->len;
	return true;
}

/* GnuTLS lets a call be repeated as (NULL, 0): how many bytes it was about is all that is told. */
static void write_feed_blind(struct oa_tls_write *w, size_t n)
{
	struct oa_conn *c = oa_tls_enter(w->ref);

	w->covered = n;
	if (!c)
		return;
	oa_feed_blind(c, false, n);
	oa_conn_unlock(c);
}

static bool write_taken(struct oa_tls_session *s, struct oa_tls_write *w, size_t n)
{
	if (w->phase == PHASE_PIN)
		return pin_taken(s, w, n);
	if (w->phase == PHASE_OURS)
		return ours_taken(s, w, n);
	if (w->host)
		write_feed_host(w, n < w->len ? n : w->len);
	else
		write_feed_blind(w, n);
	oa_tls_drop_pin(s);
	return false;
}

/* The repeated call may come without its bytes: they are kept as if there were a header of ours among them. */
static void write_keep(struct oa_tls_session *s, const struct oa_tls_write *w)
{
	size_t len = w->len < OA_TLS_RECORD_MAX ? w->len : OA_TLS_RECORD_MAX;
	struct pin *p = pin_take(s, len);

	if (!p)
		return;
	(void)pin_put(p, 0, w->at, len); /* composed and original */
	p->len = (uint32_t)len;
	p->host = w->at;
	p->host_bytes = (uint32_t)len;
}

/* It must be made again. The library holds on to what it was given once its handshake is over; before that, the
 * host may come back with something else. */
static void write_again(const struct oa_tls_source *src, struct oa_tls_session *s, struct oa_tls_write *w)
{
	bool begun = !src->ops->finished || src->ops->finished(src);
	struct oa_conn *c;

	if (!begun) {
		write_broken(s, w->ref);
		oa_tls_drop_pin(s);
	}
	if (begun && !s->pin && src->ops->modes(src) & OA_TLS_NOTHING && w->host)
		write_keep(s, w);
	s->waiting = begun && !s->pin;
	if (begun || !w->send.requests || !(c = oa_tls_enter(w->ref)))
		return;
	oa_inject_cancel(c, &w->send);
	oa_conn_unlock(c);
}

/* Requests that did not go out whole go on without our header. */
static void write_settle(struct oa_tls_session *s, struct oa_tls_write *w)
{
	bool whole = w->covered == w->host_len;
	struct oa_conn *c = w->send.requests && !whole && !s->pin ? oa_tls_enter(w->ref) : NULL;

	if (!c)
		return;
	oa_inject_settle(c, &w->send);
	oa_conn_unlock(c);
}

OA_HOT bool oa_tls_after_write(const struct oa_tls_source *src, struct oa_tls_write *w, size_t n, enum oa_tls_result result,
			int err, size_t *ret_host)
{
	struct oa_tls_session *s = write_session(w->ref);
	bool more = false;

	*ret_host = 0;
	if (s)
		s->waiting = false;
	if (!s) { /* freed in the middle of the call: whatever we say, the host has other troubles */
		*ret_host = result == OA_TLS_DONE ? w->host_len : 0;
		return false;
	}
	if (result == OA_TLS_DONE) {
		more = write_taken(s, w, n);
	} else if (result == OA_TLS_AGAIN) {
		write_again(src, s, w);
	} else {
		oa_tls_drop_pin(s);
		oa_tls_on_end(src, w->ref, err);
	}
	if (result == OA_TLS_DONE && !more)
		write_settle(s, w);
	/* What went out before the library had to wait is a result only where a part may be one. */
	if (!more && (result == OA_TLS_DONE || (result == OA_TLS_AGAIN && w->how & OA_TLS_PARTIAL)))
		*ret_host = w->covered;
	return more;
}
