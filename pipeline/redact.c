/* Takes secrets out of a record and splits its request target into path and query. After this no
 * text of the record holds the target as it was sent; see docs/routes.md for the forms of a target.
 */
#include "pipeline/processor.h"

#include <errno.h>

#include "core/config.h"
#include "pipeline/scan.h"

#define REDACT_KEYS_MAX  64
#define REDACT_KEY_BYTES 64
#define REDACTED         "REDACTED"
#define REDACTED_USER    "REDACTED:REDACTED@"

static struct oa_bytes redact_keys[REDACT_KEYS_MAX]; /* the shorter ones first */
static unsigned redact_key_count;
static uint8_t redact_key_from[REDACT_KEY_BYTES + 2]; /* the first that is not shorter */
static bool redact_all;

static struct {
	uint8_t text[OA_SPAN_TEXT_MAX];
	size_t len;
	bool cut;
} redact_out;

static struct oa_bytes redact_target; /* parts of the target under work */
static struct {
	struct oa_bytes scheme, user, host, path, query;
	bool has_query;
} redact_url;

static void redact_put(struct oa_bytes text)
{
	size_t room = sizeof(redact_out.text) - redact_out.len;

	redact_out.cut |= text.len > room;
	text = oa_bytes_cut(text, room);
	memcpy(redact_out.text + redact_out.len, text.ptr, text.len);
	redact_out.len += text.len;
}

static int redact_hex(uint8_t c)
{
	if ((uint8_t)(c - '0') < 10)
		return c - '0';
	c = oa_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded, as the program will compare it; longer names than any of ours are cut. */
static struct oa_bytes redact_decode(struct oa_bytes key, uint8_t buf[REDACT_KEY_BYTES])
{
	size_t n = 0;

	if (!memchr(key.ptr, '%', key.len))
		return key;
	for (size_t i = 0; i < key.len && n < REDACT_KEY_BYTES; i++) {
		int high = key.ptr[i] == '%' && i + 2 < key.len ? redact_hex(key.ptr[i + 1]) : -1;
		int low = high >= 0 ? redact_hex(key.ptr[i + 2]) : -1;

		buf[n++] = low >= 0 ? (uint8_t)(high * 16 + low) : key.ptr[i];
		if (low >= 0)
			i += 2;
	}
	return oa_bytes(buf, n);
}

/* key: decoded. One that is longer than any of ours is compared by its beginning. */
static bool redact_is_key(struct oa_bytes key)
{
	if (!key.len)
		return false;
	key = oa_bytes_cut(key, REDACT_KEY_BYTES);
	for (unsigned i = redact_key_from[key.len]; i < redact_key_from[key.len + 1]; i++)
		if (key.ptr[0] == redact_keys[i].ptr[0] && oa_bytes_eq(key, redact_keys[i]))
			return true;
	return false;
}

static bool redact_wanted(struct oa_bytes key)
{
	uint8_t buf[REDACT_KEY_BYTES];

	return redact_all || redact_is_key(redact_decode(key, buf));
}

/* How far the look at a query has come. */
struct redact_names {
	size_t name;      /* where the last one began */
	bool in_value;    /* its `=` has come */
	size_t percent;   /* behind the last `%` */
};

static bool redact_is_ours(const struct redact_names *n, struct oa_bytes query, size_t end)
{
	struct oa_bytes name = oa_bytes(query.ptr + n->name, end - n->name);

	return n->percent > n->name ? redact_wanted(name) : redact_is_key(name);
}

/* Of 64 bytes from `at` on. */
static bool redact_concerns_piece(struct redact_names *n, struct oa_bytes query, size_t at)
{
	struct oa_scan s = oa_scan(oa_bytes_cut(oa_bytes(query.ptr + at, query.len - at), 64));

	for (uint64_t any = s.equals | s.ends; any; any &= any - 1) {
		unsigned bit = (unsigned)__builtin_ctzll(any);
		uint64_t percents = s.percents & ((1ull << bit) - 1);

		if (percents)
			n->percent = at + 64 - (unsigned)__builtin_clzll(percents);
		if (s.ends >> bit & 1) {
			n->name = at + bit + 1;
			n->in_value = false;
		} else if (!n->in_value) {
			n->in_value = true;
			if (redact_is_ours(n, query, at + bit))
				return true;
		}
	}
	if (s.percents)
		n->percent = at + 64 - (unsigned)__builtin_clzll(s.percents);
	return false;
}

/* Whether any name in the query is one of ours: mostly not, which is seen without looking at them. */
static bool redact_concerns(struct oa_bytes query)
{
	struct redact_names n = { 0 };

	if (redact_all)
		return true;
	for (size_t at = 0; at < query.len; at += 64)
		if (redact_concerns_piece(&n, query, at))
			return true;
	return false;
}

/* Sets of delimiters, all below 64 in ASCII. */
#define REDACT_CHAR(c) (1ull << (c))

static size_t redact_find(struct oa_bytes text, size_t from, uint64_t any)
{
	while (from < text.len && !(text.ptr[from] < 64 && any >> text.ptr[from] & 1))
		from++;
	return from;
}

/* Appends the query with the values of secret parameters replaced. Names count behind `&` and
 * behind `;` (older programs split there too), but a secret value ends only at `&`. */
static void redact_query(struct oa_bytes query)
{
	size_t at = 0;

	while (at < query.len) {
		size_t eq = redact_find(query, at,
					REDACT_CHAR('=') | REDACT_CHAR('&') | REDACT_CHAR(';'));
		size_t end = redact_find(query, eq, REDACT_CHAR('&') | REDACT_CHAR(';'));

		if (eq < query.len && query.ptr[eq] == '=' &&
		    redact_wanted(oa_bytes(query.ptr + at, eq - at))) {
			end = redact_find(query, eq, REDACT_CHAR('&'));
			redact_put(oa_bytes(query.ptr + at, eq + 1 - at));
			redact_put(OA_LIT(REDACTED));
			at = eq + 1 > end ? eq + 1 : end;
		} else {
			redact_put(oa_bytes(query.ptr + at, end - at));
			at = end;
		}
		if (at < query.len)
			redact_put(oa_bytes(query.ptr + at++, 1));
	}
}

/* Where `c` is first, the length when it is not there. */
static size_t redact_find_one(struct oa_bytes text, char c)
{
	const uint8_t *at = text.len ? memchr(text.ptr, c, text.len) : NULL;

	return at ? (size_t)(at - text.ptr) : text.len;
}

static void redact_split_path(struct oa_bytes rest)
{
	size_t end = redact_find_one(rest, '#');
	size_t path = redact_find_one(oa_bytes_cut(rest, end), '?');

	redact_url.path = oa_bytes(rest.ptr, path);
	redact_url.has_query = path < end;
	if (redact_url.has_query)
		redact_url.query = oa_bytes(rest.ptr + path + 1, end - path - 1);
}

static void redact_split_authority(struct oa_bytes authority)
{
	size_t at = authority.len;

	while (at && authority.ptr[at - 1] != '@')
		at--;
	if (at)
		redact_url.user = oa_bytes(authority.ptr, at);
	redact_url.host = oa_bytes(authority.ptr + at, authority.len - at);
}

/* Length of `scheme` when the text starts with `scheme://`. */
static size_t redact_scheme(struct oa_bytes t)
{
	size_t n = 0;

	while (n < t.len && n < 16 && (uint8_t)(oa_lower(t.ptr[n]) - 'a') < 26)
		n++;
	return n && t.len >= n + 3 && memcmp(t.ptr + n, "://", 3) == 0 ? n : 0;
}

static void redact_split(const struct oa_span *s)
{
	size_t scheme = redact_scheme(redact_target);

	memset(&redact_url, 0, sizeof(redact_url));
	if (scheme) {
		struct oa_bytes rest = oa_bytes(redact_target.ptr + scheme + 3,
						redact_target.len - scheme - 3);
		size_t authority = redact_find(
			rest, 0, REDACT_CHAR('/') | REDACT_CHAR('?') | REDACT_CHAR('#'));

		redact_url.scheme = oa_bytes(redact_target.ptr, scheme + 3);
		redact_split_authority(oa_bytes_cut(rest, authority));
		redact_split_path(oa_bytes(rest.ptr + authority, rest.len - authority));
		if (!redact_url.path.len)
			redact_url.path = OA_LIT("/");
	} else if (s->method == OA_METHOD_CONNECT) {
		redact_split_authority(redact_target);
	} else {
		redact_split_path(redact_target);
	}
}

/* Sets a text; when it lies in the record already it is only pointed at. */
static void redact_set(struct oa_span_buf *span, enum oa_str which, struct oa_bytes text)
{
	const uint8_t *base = span->raw;

	if (!text.len)
		span->s.str[which] = (struct oa_strref){ 0 };
	else if (text.ptr >= base && text.ptr < base + sizeof(span->raw))
		span->s.str[which] = (struct oa_strref){ (uint16_t)(text.ptr - base),
							 (uint16_t)text.len };
	else
		(void)oa_span_set_str(&span->s, sizeof(*span), which,
				      text); /* a cut text is marked as cut */
}

static struct oa_bytes redact_out_text(struct oa_span_buf *span)
{
	if (redact_out.cut)
		span->s.flags |= OA_SPAN_TRUNCATED;
	return oa_bytes(redact_out.text, redact_out.len);
}

/* The whole URL of a request to a forward proxy, which says who was asked in the target itself. */
static void redact_set_absolute(struct oa_span_buf *span)
{
	redact_out.len = 0;
	redact_out.cut = false;
	redact_put(redact_url.scheme);
	if (redact_url.user.len)
		redact_put(OA_LIT(REDACTED_USER));
	redact_put(redact_url.host);
	redact_put(redact_url.path);
	if (redact_url.has_query)
		redact_put(OA_LIT("?"));
	redact_query(redact_url.query);
	redact_set(span, OA_STR_TARGET, redact_out_text(span));
}

static void redact_set_query(struct oa_span_buf *span)
{
	if (!redact_concerns(redact_url.query)) {
		redact_set(span, OA_STR_QUERY, redact_url.query);
		return;
	}
	redact_out.len = 0;
	redact_out.cut = false;
	redact_query(redact_url.query);
	if (oa_bytes_eq(redact_out_text(span), redact_url.query))
		redact_set(span, OA_STR_QUERY, redact_url.query);
	else
		redact_set(span, OA_STR_QUERY, redact_out_text(span));
}

static void redact_url_texts(struct oa_span_buf *span)
{
	bool sampled = span->s.flags & OA_SPAN_TEXTS;

	redact_target = oa_span_str(&span->s, OA_STR_TARGET);
	if (!redact_target.len)
		return;
	redact_split(&span->s);
	span->s.str[OA_STR_TARGET] = (struct oa_strref){ 0 };
	redact_set(span, OA_STR_PATH, redact_url.path);
	if (redact_url.host.len)
		redact_set(span, OA_STR_HOST, redact_url.host);
	if (!sampled)
		return; /* only metrics are made of it */
	if (redact_url.query.len)
		redact_set_query(span);
	if (redact_url.scheme.len && span->s.kind == OA_KIND_CLIENT)
		redact_set_absolute(span);
}

static bool redact_header_secret(struct oa_bytes name)
{
	return oa_bytes_eq(name, OA_LIT("authorization")) || oa_bytes_eq(name, OA_LIT("cookie")) ||
	       oa_bytes_eq(name, OA_LIT("set-cookie")) ||
	       oa_bytes_eq(name, OA_LIT("proxy-authorization"));
}

static void redact_put_header(uint8_t direction, struct oa_bytes name, struct oa_bytes value)
{
	uint16_t len = (uint16_t)value.len;

	/* Never half a header: its lengths would point past the end. */
	if (redact_out.cut || redact_out.len + 4 + name.len + value.len > sizeof(redact_out.text)) {
		redact_out.cut = true;
		return;
	}
	redact_put(oa_bytes(&direction, 1));
	redact_put(oa_bytes(&(uint8_t){ (uint8_t)name.len }, 1));
	redact_put(oa_bytes(&len, 2));
	redact_put(name);
	redact_put(value);
}

static void redact_replace_headers(struct oa_span_buf *span, struct oa_bytes text)
{
	struct oa_strref *ref = &span->s.str[OA_STR_HEADERS];

	if (text.len <= ref->len) {
		memcpy(span->raw + ref->off, text.ptr, text.len);
		ref->len = (uint16_t)text.len;
	} else if (oa_span_set_str(&span->s, sizeof(*span), OA_STR_HEADERS, text) < 0) {
		*ref = (struct oa_strref){ 0 }; /* half a list is none */
	}
}

static void redact_headers(struct oa_span_buf *span)
{
	struct oa_bytes h = oa_span_str(&span->s, OA_STR_HEADERS);
	bool changed = false;

	redact_out.len = 0;
	redact_out.cut = false;
	while (h.len >= 4) {
		uint16_t len;
		struct oa_bytes name = oa_bytes(h.ptr + 4, h.ptr[1]), value;

		memcpy(&len, h.ptr + 2, 2);
		if (h.len < 4u + name.len + len)
			break;
		value = redact_header_secret(name) ? OA_LIT(REDACTED)
						   : oa_bytes(name.ptr + name.len, len);
		changed |= value.ptr != name.ptr + name.len;
		redact_put_header(h.ptr[0], name, value);
		h = oa_bytes(h.ptr + 4 + name.len + len, h.len - 4 - name.len - len);
	}
	if (changed || h.len)
		redact_replace_headers(span, redact_out_text(span));
}

static int redact_on_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	redact_url_texts(span);
	if (span->s.flags & OA_SPAN_TEXTS && span->s.str[OA_STR_HEADERS].len)
		redact_headers(span);
	return 0;
}

static void redact_sort_keys(void)
{
	for (unsigned i = 1; i < redact_key_count; i++)
		for (unsigned at = i; at && redact_keys[at].len < redact_keys[at - 1].len; at--) {
			struct oa_bytes longer = redact_keys[at - 1];

			redact_keys[at - 1] = redact_keys[at];
			redact_keys[at] = longer;
		}
	memset(redact_key_from, 0, sizeof(redact_key_from));
	for (unsigned i = 0; i < redact_key_count; i++)
		for (size_t len = redact_keys[i].len + 1; len < sizeof(redact_key_from); len++)
			redact_key_from[len]++;
}

static int redact_open(void)
{
	struct oa_bytes list = oa_bytes_str(oa_config.redact_query);

	redact_key_count = 0;
	redact_all = false;
	if (oa_bytes_eq(oa_bytes_trim(list), OA_LIT("none")))
		list.len = 0;
	while (list.len && redact_key_count < REDACT_KEYS_MAX) {
		size_t end = redact_find(list, 0, REDACT_CHAR(','));
		struct oa_bytes key = oa_bytes_cut(oa_bytes_trim(oa_bytes_cut(list, end)),
						   REDACT_KEY_BYTES);

		if (oa_bytes_eq(key, OA_LIT("*")))
			redact_all = true;
		else if (key.len)
			redact_keys[redact_key_count++] = key;
		end += end < list.len;
		list = oa_bytes(list.ptr + end, list.len - end);
	}
	redact_sort_keys();
	return 0;
}

const struct oa_processor oa_processor_redact = {
	.name = "redact",
	.open = redact_open,
	.on_span = redact_on_span,
};
