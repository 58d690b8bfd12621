/* OTEL_TRACES_EXPORTER=console: spans for people to read, where our messages go (stderr or OTELAUTO_LOG_FILE). The
 * format is not for programs. */
#define OA_LOG_DOMAIN "console"
#include <stdlib.h>

#include "core/civil_time.h"
#include "core/id.h"
#include "core/log.h"
#include "exporter/addr_text.h"
#include "exporter/exporter.h"
#include "exporter/span_attrs.h"
#include "exporter/utf8.h"

#define CONSOLE_MAX (1u << 20) /* text of one batch: what comes behind is left out */
#define CONSOLE_SPAN_MAX 65536 /* text of one span: longer ones are cut */

struct console_text {
	char *buf;
	size_t len, max;
};

static struct console_text console_out = { NULL, 0, 0 };

static void put(struct console_text *t, struct oa_bytes part)
{
	part = oa_bytes_cut(part, t->max - t->len);
	memcpy(t->buf + t->len, part.ptr, part.len);
	t->len += part.len;
}

static void put_str(struct console_text *t, const char *text)
{
	put(t, oa_bytes_str(text));
}

static void put_num(struct console_text *t, uint64_t value)
{
	char digits[20];

	put(t, oa_bytes(digits, (size_t)(oa_decimal(digits, value) - digits)));
}

static void put_padded(struct console_text *t, uint64_t value, unsigned digits)
{
	for (uint64_t limit = 10; digits > 1; digits--, limit *= 10)
		if (value < limit) {
			put(t, oa_bytes("000000000", digits - 1));
			break;
		}
	put_num(t, value);
}

static void put_hex(struct console_text *t, const uint8_t *id, unsigned len)
{
	char text[32];

	oa_hex(text, id, len);
	put(t, oa_bytes(text, 2 * len));
}

/* Text from the wire: nothing in it may move a terminal's cursor. */
static void put_wire(struct console_text *t, struct oa_bytes in)
{
	size_t size = oa_utf8_size(in);
	size_t from = t->len;

	if (size > t->max - t->len) {
		in = oa_bytes_cut(in, (t->max - t->len) / 3);
		size = oa_utf8_size(in);
	}
	oa_utf8_put((uint8_t *)t->buf + from, in, size);
	t->len += size;
	for (; from < t->len; from++)
		if ((uint8_t)t->buf[from] < ' ' || t->buf[from] == 0x7f)
			t->buf[from] = '?';
}

static void put_key(struct console_text *t, struct oa_bytes key, struct oa_bytes more)
{
	put_str(t, "    ");
	put(t, key);
	put_wire(t, more);
	put_str(t, ": ");
}

static void console_attr_str(void *ctx, const struct oa_attr_key *key, struct oa_bytes value)
{
	put_key(ctx, oa_key_name(key), oa_bytes("", 0));
	put_wire(ctx, value);
	put_str(ctx, "\n");
}

static void console_attr_num(void *ctx, const struct oa_attr_key *key, int64_t value)
{
	put_key(ctx, oa_key_name(key), oa_bytes("", 0));
	put_num(ctx, (uint64_t)value);
	put_str(ctx, "\n");
}

static void console_attr_strs(void *ctx, const struct oa_attr_key *prefix, struct oa_bytes name,
			      const struct oa_bytes *values, unsigned count)
{
	put_key(ctx, oa_key_name(prefix), name);
	for (unsigned i = 0; i < count; i++) {
		put_str(ctx, i ? " | " : "");
		put_wire(ctx, values[i]);
	}
	put_str(ctx, "\n");
}

static const struct oa_attr_sink console_sink = { .str = console_attr_str, .num = console_attr_num, .strs = console_attr_strs };

static void put_time(struct console_text *t, uint64_t unix_ns)
{
	struct tm date = { 0 };

	(void)oa_civil_from_unix((int64_t)(unix_ns / 1000000000), &date); /* fits until the year 2 billion */
	put_num(t, (uint64_t)date.tm_year + 1900);
	put_str(t, "-");
	put_padded(t, (uint64_t)date.tm_mon + 1, 2);
	put_str(t, "-");
	put_padded(t, (uint64_t)date.tm_mday, 2);
	put_str(t, "T");
	put_padded(t, (uint64_t)date.tm_hour, 2);
	put_str(t, ":");
	put_padded(t, (uint64_t)date.tm_min, 2);
	put_str(t, ":");
	put_padded(t, (uint64_t)date.tm_sec, 2);
	put_str(t, ".");
	put_padded(t, unix_ns / 1000 % 1000000, 6);
	put_str(t, "Z");
}

static void put_ids(struct console_text *t, const struct oa_span *s, const struct oa_proc_id *who)
{
	put_str(t, "  trace ");
	put_hex(t, s->trace_id, 16);
	put_str(t, " span ");
	put_hex(t, s->span_id, 8);
	if (oa_span_has_parent(s)) {
		put_str(t, s->flags & OA_SPAN_PARENT_REMOTE ? " remote parent " : " parent ");
		put_hex(t, s->parent_id, 8);
	}
	put_str(t, " pid ");
	put_num(t, who->pid);
	put_str(t, "\n");
}

static void put_dropped(struct console_text *t, unsigned count, const char *what)
{
	if (!count)
		return;
	put_str(t, "  ");
	put_num(t, count);
	put_str(t, what);
}

static void put_links(struct console_text *t, const struct oa_span *s)
{
	unsigned dropped;
	struct oa_bytes links = oa_span_links(s, &dropped);

	for (size_t at = 0; at + sizeof(struct oa_link) <= links.len; at += sizeof(struct oa_link)) {
		put_str(t, "  link trace ");
		put_hex(t, links.ptr + at, 16);
		put_str(t, " span ");
		put_hex(t, links.ptr + at + 16, 8);
		put_str(t, "\n");
	}
	put_dropped(t, dropped, " links dropped\n");
}

static void put_events(struct console_text *t, const struct oa_span *s)
{
	struct oa_span_event events[OA_EVENTS_MAX];
	unsigned dropped, count = oa_span_events(s, events, &dropped);

	for (unsigned i = 0; i < count; i++) {
		put_str(t, "  event ");
		put_str(t, events[i].name);
		put_str(t, " ");
		put_num(t, events[i].duration_us);
		put_str(t, " us\n");
	}
	put_dropped(t, dropped, " events dropped\n");
}

static void put_span(struct console_text *t, const struct oa_span *s, const struct oa_proc_id *who)
{
	static const char *const kinds[] = { "", "internal", "server", "client", "producer" };

	put_str(t, kinds[oa_span_kind(s)]);
	put_str(t, " span \"");
	put_wire(t, oa_span_name(s));
	put_str(t, "\" ");
	put_num(t, s->duration_ns / 1000000);
	put_str(t, ".");
	put_padded(t, s->duration_ns / 1000 % 1000, 3);
	put_str(t, oa_span_failed(s) ? " ms, error, " : " ms, ");
	put_time(t, s->start_unix_ns);
	put_str(t, "\n");
	put_ids(t, s, who);
	put_dropped(t, oa_span_attrs(s, &console_sink, t), " attributes dropped\n");
	put_events(t, s);
	put_links(t, s);
}

static int console_open(void)
{
	return 0;
}

static void console_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg)
{
	static uint64_t out;
	size_t shown = 0;

	(void)deadline_ns;
	if (!console_out.buf)
		console_out.buf = malloc(CONSOLE_MAX);
	console_out.len = 0;
	for (; console_out.buf && shown < batch->count && console_out.len + CONSOLE_SPAN_MAX < CONSOLE_MAX; shown++) {
		console_out.max = console_out.len + CONSOLE_SPAN_MAX - 1;
		put_span(&console_out, batch->spans[shown], &batch->who);
		if (console_out.len == console_out.max)
			console_out.buf[console_out.len++] = '\n';
	}
	oa_wire_set(&out, true);
	if (!shown || !oa_log_write(console_out.buf, console_out.len))
		shown = 0;
	done(arg, shown, 0, batch->count - shown);
}

static void console_cancel(void)
{
}

static void console_forget(void)
{
	console_out.buf = NULL;
}

const struct oa_exporter oa_exporter_console = {
	.name = "console", .open = console_open, .send = console_send, .cancel = console_cancel, .forget = console_forget,
};
