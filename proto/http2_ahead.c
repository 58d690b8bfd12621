/* Walks over frames that are about to be sent, wherever the program's buffers cut them, and decodes the header blocks. */
#include <errno.h>
#include <sys/uio.h>

#include "core/attr.h"
#include "proto/http2_impl.h"

struct walk {
	struct iovec before;            /* what the parser was offered already; len 0 when it is behind us */
	const struct iovec *iov, *end;
	size_t off;                     /* in the current one */
	size_t at;                      /* in all of the bytes */
};

static inline const struct iovec *walk_now(const struct walk *w)
{
	return w->before.iov_len ? &w->before : w->iov;
}

static inline bool walk_more(const struct walk *w)
{
	return w->before.iov_len || w->iov < w->end;
}

static OA_HOT void walk_settle(struct walk *w)
{
	if (w->before.iov_len && w->off >= w->before.iov_len) {
		w->off -= w->before.iov_len;
		w->before.iov_len = 0;
	}
	while (!w->before.iov_len && w->iov < w->end && w->off >= w->iov->iov_len) {
		w->off -= w->iov->iov_len;
		w->iov++;
	}
}

/* Goes on by `n` bytes. returns false when nothing is behind them */
static bool walk_skip(struct walk *w, size_t n)
{
	w->at += n;
	w->off += n;
	walk_settle(w);
	return walk_more(w);
}

/* Copies the next bytes, up to `len`. returns how many there are */
static size_t walk_copy(struct walk w, uint8_t *to, size_t len)
{
	size_t n = 0;

	while (n < len && walk_more(&w)) {
		size_t step = walk_now(&w)->iov_len - w.off;

		if (step > len - n)
			step = len - n;
		memcpy(to + n, (const uint8_t *)walk_now(&w)->iov_base + w.off, step);
		n += step;
		w.off += step;
		walk_settle(&w);
	}
	return n;
}

static OA_HOT bool walk_frame(const struct walk *w, struct http2_frame *ret)
{
	uint8_t head[HTTP2_FRAME_HEAD];

	if (walk_more(w) && walk_now(w)->iov_len - w->off >= HTTP2_FRAME_HEAD) {
		*ret = http2_frame((const uint8_t *)walk_now(w)->iov_base + w->off);
		return true;
	}
	if (walk_copy(*w, head, sizeof(head)) < sizeof(head))
		return false;
	*ret = http2_frame(head);
	return true;
}

/* Length of the block that begins with `first`; 0: it is not whole, or longer than anybody reads */
static size_t walk_block_len(struct walk w, struct http2_frame first)
{
	struct http2_frame f = first;
	size_t len = 0;

	for (unsigned frames = 0; frames <= OA_CONTINUATIONS_MAX; frames++) {
		size_t n = HTTP2_FRAME_HEAD + f.len;

		len += n;
		if (len > OA_HTTP_HEADER_MAX)
			return 0;
		if (f.flags & HTTP2_END_HEADERS) {
			if (!walk_skip(&w, n - 1))
				return 0;
			return len;
		}
		walk_skip(&w, n);
		if (!walk_frame(&w, &f) || f.type != HTTP2_CONTINUATION || f.stream != first.stream)
			return 0;
	}
	return 0;
}

static int look_at_block(struct http2_state *st, const struct walk *w, size_t len, struct http2_frame f,
			 const struct oa_sink *sink, struct http2_look *look)
{
	uint8_t *joined = NULL;
	struct oa_bytes in;
	size_t got;
	int err;

	if (walk_now(w)->iov_len - w->off >= len) {
		in = oa_bytes((const uint8_t *)walk_now(w)->iov_base + w->off, len);
	} else {
		joined = sink->memory(sink->ctx, NULL, len, &got);
		if (!joined)
			return -ENOMEM;
		in = oa_bytes(joined, walk_copy(*w, joined, len));
	}
	look->block.at = w->at;
	err = oa_http2_block_look(st, in, f, sink, look);
	if (joined)
		sink->memory(sink->ctx, joined, 0, NULL);
	return err;
}

/* Steps over what is left of something feed() is in the middle of. returns false when that is all there is */
static bool walk_begin(struct http2_state *st, enum oa_dir dir, struct walk *w)
{
	walk_settle(w);
	switch (st->phase) {
	case HTTP2_START:
		oa_http2_begin(st);
		return dir == OA_DIR_REQUEST ? walk_skip(w, sizeof(OA_HTTP2_PREFACE) - 1) : walk_more(w);
	case HTTP2_PAYLOAD:
		return walk_skip(w, st->left + st->padding);
	case HTTP2_SKIP:
		return walk_skip(w, st->left);
	case HTTP2_DEAD:
		return false;
	}
	return walk_more(w);
}

OA_HOT int oa_http2_ahead(void *state, enum oa_dir dir, struct oa_bytes before, const struct iovec *iov, int iovcnt,
		   const struct oa_sink *sink, oa_http2_block_fn *each, void *ctx)
{
	struct http2_state *st = state;
	struct walk w = { .before = { (void *)(uintptr_t)before.ptr, before.len }, .iov = iov, .end = iov + iovcnt };
	struct http2_look look = { .each = each, .ctx = ctx, .known = st->ahead, .go_on = true };
	uint32_t last = dir == OA_DIR_REQUEST ? st->last_stream : UINT32_MAX;
	struct http2_frame f;
	int err = 0;

	if (!walk_begin(st, dir, &w))
		return 0;
	while (!err && look.go_on && walk_frame(&w, &f)) {
		size_t len = HTTP2_FRAME_HEAD + f.len;

		if (http2_begins_block(f.type)) {
			len = walk_block_len(w, f);
			if (!len || !f.stream)
				return 0;
			look.block.request = f.stream > last;
			last = f.stream > last ? f.stream : last;
			err = look_at_block(st, &w, len, f, sink, &look);
		}
		if (!walk_skip(&w, len))
			break;
	}
	if (err) { /* the table can no longer be used */
		st->left = (uint32_t)-err & 0xff;
		st->phase = HTTP2_DEAD;
	}
	return err;
}
