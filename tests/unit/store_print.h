#pragma once
/* What a store's parser says, as text: for the expected events of tests/data and for comparing plays. */
#include "proto/store.h"
#include "tests/unit/feed.h"

static inline void store_print_text(struct feed_text *t, const char *name, struct oa_bytes b)
{
	if (!b.len)
		return;
	feed_puts(t, "\n  ");
	feed_puts(t, name);
	feed_puts(t, ": ");
	feed_put_escaped(t, b);
}

static inline void store_print_number(struct feed_text *t, const char *name, uint64_t n)
{
	if (!n)
		return;
	feed_puts(t, " ");
	feed_puts(t, name);
	feed_puts(t, " ");
	feed_put_number(t, n);
}

static inline void store_print_flags(struct feed_text *t, unsigned flags)
{
	static const char *const names[] = {
		"by-stream", "by-group", "whole", "last", "no-reply", "prepare", "execute", "forget", "session", "cut",
		"failed", "rows", "sql", "namespace", "param", "params-end",
		"part", "named", "quiet",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(flags & 1u << i))
			continue;
		feed_puts(t, " ");
		feed_puts(t, names[i]);
	}
	if (flags >> sizeof(names) / sizeof(names[0]))
		abort();
}

static inline void store_print_msg(struct feed_text *t, const struct oa_store_msg *m)
{
	store_print_flags(t, m->flags);
	store_print_number(t, "args", m->args);
	store_print_number(t, "batch", m->batch);
	store_print_number(t, "hint", m->hint);
	store_print_number(t, "statement", m->stmt);
	store_print_number(t, "status", m->status_num);
	if (m->flags & OA_STORE_HAS_NS) {
		feed_puts(t, " namespace ");
		feed_put_number(t, m->ns_num);
	}
	if (m->flags & OA_STORE_HAS_ROWS) {
		feed_puts(t, " rows ");
		feed_put_number(t, m->rows);
	}
	store_print_text(t, "operation", m->operation);
	store_print_text(t, "target", m->target);
	store_print_text(t, "namespace", m->ns);
	store_print_text(t, "user", m->user);
	store_print_text(t, "text", m->text);
	store_print_text(t, "status", m->status);
	feed_puts(t, "\n");
}

static inline void store_print_event(struct feed_text *t, const struct oa_event *ev)
{
	static const char *const names[] = {
		[OA_EVENT_REQUEST] = "REQUEST", [OA_EVENT_RESPONSE] = "RESPONSE", [OA_EVENT_BODY] = "BODY",
		[OA_EVENT_END] = "END", [OA_EVENT_UPGRADED] = "UPGRADED", [OA_EVENT_NOTE] = "NOTE",
		[OA_EVENT_GROUP_END] = "GROUP END",
	};

	feed_puts(t, names[ev->type]);
	if (ev->stream) {
		feed_puts(t, " #");
		feed_put_number(t, ev->stream);
	}
	if (ev->type == OA_EVENT_BODY)
		store_print_number(t, "bytes", ev->u.body_bytes);
	else if (ev->type == OA_EVENT_UPGRADED && ev->u.code == OA_UPGRADED_TLS)
		feed_puts(t, " to TLS");
	else if (ev->type != OA_EVENT_UPGRADED && ev->u.store)
		store_print_msg(t, ev->u.store);
	if (ev->type == OA_EVENT_BODY || ev->type == OA_EVENT_UPGRADED || !ev->u.store)
		feed_puts(t, "\n");
}

/* A play of a store: its events in f->text, the hints behind answers from a list. */
struct store_play {
	struct feed feed;
	struct feed_guard guard;
	const uint16_t *hints; /* in order; the last one again when they run out; by stream: hints[stream % count] */
	unsigned hint_count;
	bool ordered;          /* in order, by stream as well */
	bool upgraded;
};

static inline void store_play_event(void *ctx, const struct oa_event *ev)
{
	struct store_play *p = ctx;

	store_print_event(&p->feed.text, ev);
	if (ev->whole)
		store_play_event(ctx, &(struct oa_event){ .type = OA_EVENT_END, .stream = ev->stream });
	p->upgraded |= ev->type == OA_EVENT_UPGRADED;
	p->feed.noted += ev->type == OA_EVENT_END; /* the next command is the first that is open */
}

static inline struct oa_request_note store_play_note(void *ctx)
{
	struct store_play *p = ctx;
	unsigned i = p->feed.noted;

	if (!p->hint_count)
		return (struct oa_request_note){ 0 };
	return (struct oa_request_note){ .known = true, .hint = p->hints[i < p->hint_count ? i : p->hint_count - 1] };
}

static inline struct oa_request_note store_play_stream_note(void *ctx, uint32_t stream)
{
	struct store_play *p = ctx;

	if (!p->hint_count)
		return (struct oa_request_note){ 0 };
	if (p->ordered)
		return store_play_note(ctx);
	return (struct oa_request_note){ .known = true, .hint = p->hints[stream % p->hint_count] };
}

static inline void store_play_once(struct store_play *p, struct oa_bytes in, feed_cut_fn *cut, void *ctx)
{
	const struct oa_sink sink = { .event = store_play_event, .request_note = store_play_note, .ctx = p,
				      .stream_note = store_play_stream_note };
	struct feed *f = &p->feed;
	uint64_t state[4] = { 0 };
	size_t arrived = 0, taken = 0, i = 0;

	if (f->proto->state_bytes > sizeof(state) || in.len > p->guard.bytes)
		abort();
	f->text.len = 0;
	feed_put(&f->text, "", 0);
	f->noted = 0;
	p->upgraded = false;
	f->result = 0;
	do {
		size_t len;
		uint8_t *at;

		arrived = cut(i++, arrived, in.len, ctx);
		len = arrived - taken;
		if (!len)
			continue;
		at = f->at_start ? p->guard.map + 4096 : p->guard.end - len;
		memcpy(at, in.ptr + taken, len);
		f->result = f->proto->feed(state, f->dir, oa_bytes(at, len), &sink);
		memset(at, 0xee, len);
		if (f->result > (long)len)
			abort();
		taken += f->result > 0 ? (size_t)f->result : 0;
	} while (arrived < in.len && f->result >= 0 && !p->upgraded);
	if (p->upgraded || f->result < 0) {
		feed_puts(&f->text, f->result >= 0 ? "" : f->result == -EPROTO ? "EPROTO\n" : f->result == -E2BIG ? "E2BIG\n" : "E?\n");
		return;
	}
	feed_puts(&f->text, "TAKEN ");
	feed_put_number(&f->text, taken);
	feed_puts(&f->text, " OF ");
	feed_put_number(&f->text, in.len);
	feed_puts(&f->text, "\n");
	if (f->eof) {
		int rc = taken < in.len ? -EPROTO : f->proto->close(state, f->dir, &sink);

		feed_puts(&f->text, rc == 0 ? "CLOSE\n" : rc == -EPROTO ? "CLOSE EPROTO\n" : "CLOSE ?\n");
	}
}

/* Plays `in` in many ways. returns NULL, or the way that gave another text than the whole did (then f->text is that
 * one and *ret_whole the whole's; to be freed in any case) */
static inline const char *store_play_all(struct store_play *p, struct oa_bytes in, struct feed_text *ret_whole)
{
	size_t step = in.len > 2000 ? in.len / 400 | 1 : 1;
	static char way[64];
	uint64_t seed = 1;

	p->feed.at_start = true;
	store_play_once(p, in, feed_cut_whole, NULL);
	*ret_whole = p->feed.text;
	p->feed.text = (struct feed_text){ 0 };
	p->feed.at_start = false;
	store_play_once(p, in, feed_cut_whole, NULL);
	if (strcmp(p->feed.text.ptr, ret_whole->ptr))
		return "whole, before an unmapped page";
	store_play_once(p, in, feed_cut_bytes, NULL);
	if (strcmp(p->feed.text.ptr, ret_whole->ptr))
		return "byte by byte";
	for (size_t at = 1; at < in.len; at += step) {
		store_play_once(p, in, feed_cut_once, &at);
		if (strcmp(p->feed.text.ptr, ret_whole->ptr)) {
			snprintf(way, sizeof(way), "cut at %zu", at);
			return way;
		}
	}
	for (int i = 0; i < 20; i++) {
		store_play_once(p, in, feed_cut_random, &seed);
		if (strcmp(p->feed.text.ptr, ret_whole->ptr))
			return "cut at random";
	}
	return NULL;
}
