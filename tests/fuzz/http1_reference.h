#pragma once
/* A second HTTP/1 parser, to compare the real one with: sees all bytes at once, goes byte by byte, keeps nothing,
 * saves nothing. Written from docs/http1.md, not from proto/. */
#include <ctype.h>

#include "core/limits.h"
#include "tests/fuzz/http1_print.h"

struct ref {
	const uint8_t *p;
	size_t len, pos;
	enum oa_dir dir;
	const struct oa_request_note *notes;
	unsigned note_count, noted;
	bool eof;
	struct feed_text *t;
};

enum ref_line { REF_LINE_BAD = -1, REF_LINE_MORE = 0, REF_LINE_DONE = 1, REF_LINE_BIG = -2 };

static inline bool ref_is_tchar(uint8_t c)
{
	return c < 0x80 && (isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c)));
}

/* Where `text` stands literally at *i, moves behind it. */
static inline enum ref_line ref_literal(const uint8_t *p, size_t len, size_t *i, const char *text)
{
	for (; *text; text++, ++*i) {
		if (*i == len)
			return REF_LINE_MORE;
		if (p[*i] != (uint8_t)*text)
			return REF_LINE_BAD;
	}
	return REF_LINE_DONE;
}

static inline enum ref_line ref_line_end(const uint8_t *p, size_t len, size_t *i)
{
	if (*i < len && p[*i] == '\r')
		++*i;
	return ref_literal(p, len, i, "\n");
}

static inline enum ref_line ref_version(const uint8_t *p, size_t len, size_t *i, uint8_t *version)
{
	enum ref_line r = ref_literal(p, len, i, "HTTP/1.");

	if (r != REF_LINE_DONE)
		return r;
	if (*i == len)
		return REF_LINE_MORE;
	if (p[*i] != '0' && p[*i] != '1')
		return REF_LINE_BAD;
	*version = p[(*i)++] == '0' ? 10 : 11;
	return REF_LINE_DONE;
}

static inline enum ref_line ref_request_line(const uint8_t *p, size_t len, struct oa_http_head *h, size_t *i)
{
	size_t from;
	enum ref_line r;

	for (*i = 0; *i < len && ref_is_tchar(p[*i]); ++*i)
		if (*i >= 32)
			return REF_LINE_BAD;
	if (*i == len)
		return REF_LINE_MORE;
	if (*i == 0 || p[*i] != ' ')
		return REF_LINE_BAD;
	h->method_text = (struct oa_slice){ 0, (uint32_t)*i };
	from = ++*i;
	for (; *i < len && p[*i] > 0x20 && p[*i] != 0x7f; ++*i)
		if (*i - from >= OA_HTTP_LINE_MAX)
			return REF_LINE_BIG;
	if (*i == len)
		return REF_LINE_MORE;
	if (*i == from || p[*i] != ' ')
		return REF_LINE_BAD;
	h->target = (struct oa_slice){ (uint32_t)from, (uint32_t)(*i - from) };
	++*i;
	r = ref_version(p, len, i, &h->version);
	return r == REF_LINE_DONE ? ref_line_end(p, len, i) : r;
}

static inline enum ref_line ref_status_line(const uint8_t *p, size_t len, struct oa_http_head *h, size_t *i)
{
	enum ref_line r;
	int digits;

	*i = 0;
	r = ref_version(p, len, i, &h->version);
	if (r != REF_LINE_DONE)
		return r;
	r = ref_literal(p, len, i, " ");
	if (r != REF_LINE_DONE)
		return r;
	h->status = 0;
	for (digits = 0; digits < 3; digits++, ++*i) {
		if (*i == len)
			return REF_LINE_MORE;
		if (!isdigit(p[*i]))
			return REF_LINE_BAD;
		h->status = (uint16_t)(h->status * 10 + p[*i] - '0');
	}
	if (h->status < 100)
		return REF_LINE_BAD;
	if (*i < len && p[*i] == ' ')
		for (; *i < len && (p[*i] >= ' ' || p[*i] == '\t'); ++*i)
			if (*i >= OA_HTTP_LINE_MAX)
				return REF_LINE_BIG;
	return ref_line_end(p, len, i);
}

static inline enum ref_line ref_start_line(struct ref *r, const uint8_t *p, size_t len, struct oa_http_head *h,
					   size_t *end)
{
	return r->dir == OA_DIR_REQUEST ? ref_request_line(p, len, h, end) : ref_status_line(p, len, h, end);
}

static inline bool ref_is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct ref_value {
	char text[OA_HTTP_HEADER_MAX + 1];
	size_t off, len;
};

/* The value in [from, end) of the block, trimmed. */
static inline void ref_value_get(struct ref_value *v, const uint8_t *p, size_t from, size_t end)
{
	while (from < end && ref_is_blank(p[from]))
		from++;
	while (end > from && ref_is_blank(p[end - 1]))
		end--;
	v->off = from;
	v->len = end - from;
	memcpy(v->text, p + from, v->len);
	v->text[v->len] = 0;
}

/* Cuts the list `text` at commas; calls fn with each element trimmed. Stops when fn says false. */
static inline bool ref_list(char *text, bool (*fn)(char *item, void *ctx), void *ctx)
{
	for (;;) {
		char *comma = strchr(text, ','), *end;

		if (comma)
			*comma = 0;
		while (*text && ref_is_blank((uint8_t)*text))
			text++;
		for (end = text + strlen(text); end > text && ref_is_blank((uint8_t)end[-1]);)
			*--end = 0;
		if (!fn(text, ctx))
			return false;
		if (!comma)
			return true;
		text = comma + 1;
	}
}

struct ref_framing {
	bool has_length, chunked_before, chunked, other, close, keep_alive, upgrade, expect;
	uint64_t length;
};

static inline bool ref_length_item(char *item, void *ctx)
{
	struct ref_framing *f = ctx;
	size_t i = 0, digits;
	uint64_t n = 0;

	if (!*item)
		return false;
	while (item[i] == '0')
		i++;
	digits = strspn(item + i, "0123456789");
	if (item[i + digits] || digits > 19)
		return false;
	for (; item[i]; i++)
		n = n * 10 + (uint64_t)(item[i] - '0');
	if (n > INT64_MAX || (f->has_length && f->length != n))
		return false;
	f->has_length = true;
	f->length = n;
	return true;
}

static inline bool ref_coding_item(char *item, void *ctx)
{
	struct ref_framing *f = ctx;
	size_t name = 0;

	if (strchr(item, '"'))
		return false;
	while (item[name] && item[name] != ';') {
		if ((uint8_t)item[name] <= ' ' || (uint8_t)item[name] >= 0x7f)
			return false;
		name++;
	}
	if (!name)
		return false;
	f->chunked = strcasecmp(item, "chunked") == 0;
	f->other = !f->chunked;
	if (f->chunked && f->chunked_before)
		return false;
	f->chunked_before |= f->chunked;
	return true;
}

static inline bool ref_connection_item(char *item, void *ctx)
{
	struct ref_framing *f = ctx;

	f->close |= strcasecmp(item, "close") == 0;
	f->keep_alive |= strcasecmp(item, "keep-alive") == 0;
	f->upgrade |= strcasecmp(item, "upgrade") == 0;
	return true;
}

static inline int ref_field_id(const char *name)
{
	static const char *const fields[] = {
#define OA_FIELD(id, name) name,
#include "proto/http1_fields.def"
#undef OA_FIELD
	};

	for (int i = 0; i < OA_FIELD_COUNT; i++)
		if (strcasecmp(name, fields[i]) == 0)
			return i;
	return -1;
}

/* The name of a field that is read, in lower case, or "" for all others. Blanks before the colon are cut off. */
static inline void ref_name(char ret_name[32], bool *ret_blanks, const uint8_t *p, size_t from, size_t colon)
{
	size_t end = colon;

	ret_name[0] = 0;
	while (end > from && ref_is_blank(p[end - 1]))
		end--;
	*ret_blanks = end < colon;
	if (end - from > 31)
		return;
	memcpy(ret_name, p + from, end - from);
	ret_name[end - from] = 0;
	for (char *c = ret_name; *c; c++)
		*c = (char)tolower((uint8_t)*c);
	if (strcmp(ret_name, "content-length") && strcmp(ret_name, "transfer-encoding") &&
	    strcmp(ret_name, "connection") && strcmp(ret_name, "expect") && ref_field_id(ret_name) < 0)
		ret_name[0] = 0;
}

/* One header line with its folds, [from, end) without the line end. returns false: refused */
static inline bool ref_header_line(const uint8_t *p, size_t from, size_t end, struct oa_http_head *h,
				   struct ref_framing *f, bool had[])
{
	static struct ref_value v;
	char name[32];
	size_t colon = from;
	bool blanks;
	int id;

	while (colon < end && p[colon] != ':')
		colon++;
	if (colon == end)
		return true;
	ref_name(name, &blanks, p, from, colon);
	if (!*name || blanks)
		return !*name;
	ref_value_get(&v, p, colon + 1, end);
	if (strcmp(name, "content-length") == 0)
		return ref_list(v.text, ref_length_item, f);
	if (strcmp(name, "transfer-encoding") == 0)
		return ref_list(v.text, ref_coding_item, f);
	if (strcmp(name, "connection") == 0)
		return ref_list(v.text, ref_connection_item, f);
	if (strcmp(name, "expect") == 0)
		f->expect |= strcasecmp(v.text, "100-continue") == 0;
	id = ref_field_id(name);
	if (id < 0)
		return true;
	if (had[id])
		h->flags |= id == OA_FIELD_traceparent ? OA_HTTP_MULTI_PARENT : OA_HTTP_REPEATED;
	else
		h->field[id] = (struct oa_slice){ (uint32_t)v.off, (uint32_t)v.len };
	had[id] = true;
	return true;
}

/* Everything between start line and blank line. returns false: refused */
static inline bool ref_header_lines(struct oa_http_head *h, size_t at, struct ref_framing *f)
{
	const uint8_t *p = h->block.ptr;
	bool had[OA_FIELD_COUNT] = { 0 };

	if (p[at] == ' ' || p[at] == '\t')
		return false;
	while (at < h->blank_off) {
		size_t end = at, next;

		do {
			while (p[end] != '\n')
				end++;
			next = ++end;
		} while (next < h->blank_off && (p[next] == ' ' || p[next] == '\t'));
		end--;
		if (end > at && p[end - 1] == '\r')
			end--;
		if (!ref_header_line(p, at, end, h, f, had))
			return false;
		at = next;
	}
	return true;
}

static inline void ref_flags(struct ref *r, struct oa_http_head *h, const struct ref_framing *f)
{
	bool request = r->dir == OA_DIR_REQUEST, coded = f->chunked || f->other;

	if (f->chunked)
		h->flags |= OA_HTTP_CHUNKED;
	else if (!coded && f->has_length)
		h->flags |= OA_HTTP_HAS_LENGTH;
	else
		h->flags |= request ? OA_HTTP_NO_BODY : OA_HTTP_UNTIL_CLOSE;
	if (coded && (f->has_length || h->version == 10))
		h->flags |= OA_HTTP_AMBIGUOUS;
	if (!f->close && (h->version == 11 || f->keep_alive))
		h->flags |= OA_HTTP_KEEP_ALIVE;
	if (request && f->expect)
		h->flags |= OA_HTTP_EXPECT;
	if (request ? f->upgrade && h->field[OA_FIELD_upgrade].len : h->status == 101)
		h->flags |= OA_HTTP_UPGRADE;
	h->length = f->length;
}

static inline void ref_body(struct ref *r, uint64_t n)
{
	if (!n)
		return;
	feed_puts(r->t, "BODY ");
	feed_put_number(r->t, n);
	feed_puts(r->t, "\n");
}

enum ref_end { REF_MORE, REF_MESSAGE, REF_UNTIL_CLOSE, REF_TUNNEL, REF_EPROTO, REF_E2BIG, REF_CUT };

/* One line of a chunked body or trailer: text, then LF or CRLF. returns its length without line end, sets *next;
 * -1: not whole; -2: a byte no line has; -3: longer than *budget */
static inline long ref_text_line(struct ref *r, size_t at, size_t *next, size_t *budget)
{
	for (size_t i = at; i < r->len; i++) {
		uint8_t c = r->p[i];

		if (!(*budget)--)
			return -3;
		if (i > at && r->p[i - 1] == '\r' && c != '\n')
			return -2;
		if (c == '\n') {
			*next = i + 1;
			return (long)(i - at - (i > at && r->p[i - 1] == '\r'));
		}
		if (c < 0x20 && c != '\t' && c != '\r')
			return -2;
	}
	return -1;
}

/* A size line, already known to consist of text, maybe cut short. returns 0 or -1 refused */
static inline int ref_chunk_size(const uint8_t *p, long len, bool whole, uint64_t *size)
{
	long i = 0, significant = 0;

	*size = 0;
	for (; i < len && isxdigit(p[i]); i++) {
		char digit[2] = { (char)p[i], 0 };

		significant += significant || p[i] != '0';
		*size = *size << 4 | strtoul(digit, NULL, 16);
		if (significant > 16 || *size > INT64_MAX)
			return -1;
	}
	if (i == 0 && (whole || len > 0))
		return -1;
	while (i < len && (p[i] == ' ' || p[i] == '\t'))
		i++;
	return i == len || p[i] == ';' ? 0 : -1;
}

static inline enum ref_end ref_chunked(struct ref *r, uint64_t *body)
{
	size_t at = r->pos, next, budget;
	uint64_t size;
	long n;

	for (;;) {
		budget = OA_HTTP_LINE_MAX;
		n = ref_text_line(r, at, &next, &budget);
		if (n < 0) {
			/* What is there of the line must be fine up to where it goes wrong. */
			size_t stop = at;

			while (stop < r->len && stop - at < OA_HTTP_LINE_MAX &&
			       (r->p[stop] >= 0x20 || r->p[stop] == '\t'))
				stop++;
			if (ref_chunk_size(r->p + at, (long)(stop - at), stop < r->len, &size) < 0)
				return REF_EPROTO;
			r->pos = r->len;
			return n == -1 ? REF_CUT : n == -2 ? REF_EPROTO : REF_E2BIG;
		}
		if (ref_chunk_size(r->p + at, n, true, &size) < 0)
			return REF_EPROTO;
		at = next;
		if (size == 0)
			break;
		if (r->len - at < size) {
			*body += r->len - at;
			r->pos = r->len;
			return REF_CUT;
		}
		*body += size;
		at += size;
		if (at < r->len && r->p[at] == '\r')
			at++;
		if (at == r->len) {
			r->pos = r->len;
			return REF_CUT;
		}
		if (r->p[at++] != '\n')
			return REF_EPROTO;
	}
	budget = OA_HTTP_HEADER_MAX;
	do {
		n = ref_text_line(r, at, &next, &budget);
		if (n < 0) {
			r->pos = r->len;
			return n == -1 ? REF_CUT : n == -2 ? REF_EPROTO : REF_E2BIG;
		}
		at = next;
	} while (n > 0);
	r->pos = at;
	return REF_MESSAGE;
}

static inline enum ref_end ref_message_body(struct ref *r, const struct oa_http_head *h)
{
	enum ref_end end = REF_MESSAGE;
	uint64_t body = 0;

	if (h->flags & OA_HTTP_NO_BODY) {
	} else if (h->flags & OA_HTTP_CHUNKED) {
		end = ref_chunked(r, &body);
	} else if (h->flags & OA_HTTP_UNTIL_CLOSE) {
		body = r->len - r->pos;
		r->pos = r->len;
		end = REF_UNTIL_CLOSE;
	} else {
		body = r->len - r->pos;
		end = body < h->length ? REF_CUT : REF_MESSAGE;
		if (body > h->length)
			body = h->length;
		r->pos += body;
	}
	ref_body(r, body);
	if (end == REF_MESSAGE)
		feed_puts(r->t, "END\n");
	return end;
}

static inline enum ref_end ref_message_start(struct ref *r)
{
	for (unsigned blanks = 0; r->dir == OA_DIR_REQUEST && r->pos < r->len; blanks++) {
		size_t nl = 0;

		if (r->p[r->pos] == '\r' && r->pos + 1 == r->len)
			return REF_MORE;
		if (r->p[r->pos] == '\r')
			nl = r->p[r->pos + 1] == '\n' ? 2 : 0;
		else if (r->p[r->pos] == '\n')
			nl = 1;
		if (!nl)
			break;
		if (blanks == 8)
			return REF_EPROTO;
		r->pos += nl;
	}
	return r->pos < r->len ? REF_MESSAGE : REF_MORE;
}

/* Finds the end of the header block at r->pos. REF_MESSAGE: h->block is set */
static inline enum ref_end ref_find_block(struct ref *r, struct oa_http_head *h, size_t *lines_at)
{
	const uint8_t *p = r->p + r->pos;
	size_t len = r->len - r->pos, room = len < OA_HTTP_HEADER_MAX ? len : OA_HTTP_HEADER_MAX, line = 0;
	enum ref_line start = ref_start_line(r, p, room < 64 ? room : 64, h, lines_at);

	if (start < 0)
		return REF_EPROTO;
	for (size_t i = 0; i < room; i++) {
		if (i && p[i - 1] == '\r' && p[i] != '\n')
			return REF_EPROTO;
		if (p[i] < 0x20 && !strchr("\t\r\n", p[i]))
			return REF_EPROTO;
		if (p[i] == 0)
			return REF_EPROTO;
		if (p[i] != '\n')
			continue;
		if (line == 0) {
			start = ref_start_line(r, p, i + 1, h, lines_at);
			if (start != REF_LINE_DONE)
				return start == REF_LINE_BIG ? REF_E2BIG : REF_EPROTO;
		}
		h->nl = i && p[i - 1] == '\r' ? h->nl : 1;
		if (i == line || (i == line + 1 && p[line] == '\r')) {
			h->block = oa_bytes(p, i + 1);
			h->blank_off = (uint32_t)line;
			return REF_MESSAGE;
		}
		line = i + 1;
	}
	return room == OA_HTTP_HEADER_MAX ? REF_E2BIG : REF_MORE;
}

static inline struct oa_request_note ref_note(struct ref *r)
{
	unsigned i = r->noted++;

	if (!r->note_count)
		return (struct oa_request_note){ 0 };
	return r->notes[i < r->note_count ? i : r->note_count - 1];
}

static inline enum ref_end ref_message(struct ref *r)
{
	struct oa_http_head h = { .nl = 2 };
	struct ref_framing f = { 0 };
	enum ref_end end = ref_message_start(r);
	bool tunnel = false, bodiless;
	size_t lines_at;

	if (end != REF_MESSAGE)
		return end;
	end = ref_find_block(r, &h, &lines_at);
	if (end != REF_MESSAGE)
		return end;
	if (!ref_header_lines(&h, lines_at, &f) || (r->dir == OA_DIR_REQUEST && f.other))
		return REF_EPROTO;
	ref_flags(r, &h, &f);
	r->pos += h.block.len;
	if (r->dir == OA_DIR_REQUEST) {
		char name[33] = { 0 };

		memcpy(name, h.block.ptr, h.method_text.len);
		for (unsigned m = 1; m < OA_METHOD_COUNT; m++)
			if (strcmp(name, oa_method_name(m)) == 0)
				h.method = (uint8_t)m;
		http1_print_head(r->t, &h, true);
		return ref_message_body(r, &h);
	}
	bodiless = h.status < 200 || h.status == 204 || h.status == 304;
	tunnel = h.status == 101;
	if (h.status >= 200) {
		struct oa_request_note note = ref_note(r);

		bodiless |= note.known && note.head;
		tunnel = note.known && note.connect && h.status / 100 == 2;
		bodiless |= tunnel;
	}
	if (bodiless) {
		h.flags |= OA_HTTP_NO_BODY;
		h.flags &= (uint16_t)~(OA_HTTP_CHUNKED | OA_HTTP_UNTIL_CLOSE);
	}
	http1_print_head(r->t, &h, false);
	if (h.status < 200 && !tunnel)
		return REF_MESSAGE;
	end = ref_message_body(r, &h);
	if (tunnel)
		feed_puts(r->t, "UPGRADED\n");
	return tunnel ? REF_TUNNEL : end;
}

/* The text feed_play() must come to. */
static inline void ref_play(struct ref *r)
{
	enum ref_end end;

	r->pos = r->noted = 0;
	r->t->len = 0;
	feed_put(r->t, "", 0);
	do
		end = ref_message(r);
	while (end == REF_MESSAGE);
	if (end == REF_TUNNEL)
		r->pos = r->len;
	if (end == REF_EPROTO || end == REF_E2BIG) {
		feed_puts(r->t, end == REF_EPROTO ? "EPROTO\n" : "E2BIG\n");
		return;
	}
	feed_puts(r->t, "TAKEN ");
	feed_put_number(r->t, r->pos);
	feed_puts(r->t, " OF ");
	feed_put_number(r->t, r->len);
	feed_puts(r->t, "\n");
	if (!r->eof)
		return;
	if (end == REF_UNTIL_CLOSE)
		feed_puts(r->t, "END\n");
	/* One CR may be the first half of an empty line before a request: nothing is lost. */
	if (end == REF_CUT || (end == REF_MORE && r->pos < r->len &&
			       !(r->dir == OA_DIR_REQUEST && r->p[r->pos] == '\r')))
		feed_puts(r->t, "CLOSE EPROTO\n");
	else
		feed_puts(r->t, "CLOSE\n");
}
