/* Which format a scraper gets: the acceptable one with the highest q, the first of equals. */
#include "exporter/scrape.h"

enum { KIND_NONE, KIND_ANY, KIND_TEXT, KIND_OPENMETRICS };

struct accept_range {
	unsigned kind;
	struct oa_bytes version;
	struct oa_bytes escaping;
	unsigned q; /* thousandths */
};

static const struct {
	unsigned kind;
	const char *version;  /* "" when the scraper names none */
	const char *escaping; /* NULL: the version has no such parameter; "" : absent or unknown */
	struct oa_scrape_format format;
} accept_table[] = {
#define OM   "application/openmetrics-text; version="
#define TEXT "text/plain; version="
#define UTF8 "; charset=utf-8"
#define ESCAPED(kind, om, type, scheme) \
	{ \
		kind, "1.0.0", scheme, { om, type "1.0.0" UTF8 "; escaping=" scheme } \
	}
#define ALL_SCHEMES(kind, om, type) \
	ESCAPED(kind, om, type, "allow-utf-8"), ESCAPED(kind, om, type, "underscores"), \
		ESCAPED(kind, om, type, "dots"), ESCAPED(kind, om, type, "values"), \
	{ \
		kind, "1.0.0", "", { om, type "1.0.0" UTF8 "; escaping=underscores" } \
	}
	{ KIND_ANY, "", NULL, { false, TEXT "0.0.4" UTF8 } },
	{ KIND_TEXT, "", NULL, { false, TEXT "0.0.4" UTF8 } },
	{ KIND_TEXT, "0.0.4", NULL, { false, TEXT "0.0.4" UTF8 } },
	ALL_SCHEMES(KIND_TEXT, false, TEXT),
	{ KIND_OPENMETRICS, "", NULL, { true, OM "0.0.1" UTF8 } },
	{ KIND_OPENMETRICS, "0.0.1", NULL, { true, OM "0.0.1" UTF8 } },
	ALL_SCHEMES(KIND_OPENMETRICS, true, OM),
};

#define ACCEPT_COUNT (sizeof(accept_table) / sizeof(*accept_table))

/* Up to the separator, which is taken off `rest` as well. Separators within quotes do not count. */
static struct oa_bytes accept_cut(struct oa_bytes *rest, uint8_t separator)
{
	struct oa_bytes part = *rest;
	bool quoted = false;
	size_t i = 0;

	for (; i < rest->len && (quoted || rest->ptr[i] != separator); i++)
		quoted ^= rest->ptr[i] == '"';
	part.len = i;
	i += i < rest->len;
	rest->ptr += i;
	rest->len -= i;
	return oa_bytes_trim(part);
}

static struct oa_bytes accept_unquote(struct oa_bytes v)
{
	if (v.len >= 2 && v.ptr[0] == '"' && v.ptr[v.len - 1] == '"')
		return oa_bytes(v.ptr + 1, v.len - 2);
	return v;
}

/* "0.5" is 500. What is no weight counts as 1, as if it were absent. */
static unsigned accept_weight(struct oa_bytes v)
{
	unsigned q, digit = 100;

	if (!v.len || (v.ptr[0] != '0' && v.ptr[0] != '1'))
		return 1000;
	q = (unsigned)(v.ptr[0] - '0') * 1000;
	for (size_t i = 2; i < v.len && i < 5 && v.ptr[1] == '.'; i++, digit /= 10) {
		if ((uint8_t)(v.ptr[i] - '0') > 9)
			return 1000;
		q += (unsigned)(v.ptr[i] - '0') * digit;
	}
	return q > 1000 ? 1000 : q;
}

static struct accept_range accept_parse(struct oa_bytes range)
{
	struct oa_bytes type = accept_cut(&range, ';');
	struct accept_range r = { .q = 1000 };

	if (oa_bytes_ieq(type, OA_LIT("application/openmetrics-text")))
		r.kind = KIND_OPENMETRICS;
	else if (oa_bytes_ieq(type, OA_LIT("text/plain")) || oa_bytes_ieq(type, OA_LIT("text/*")))
		r.kind = KIND_TEXT;
	else if (oa_bytes_ieq(type, OA_LIT("*/*")))
		r.kind = KIND_ANY;
	while (range.len) {
		struct oa_bytes value = accept_cut(&range, ';'), name = accept_cut(&value, '=');

		value = accept_unquote(value);
		if (oa_bytes_ieq(name, OA_LIT("q")))
			r.q = accept_weight(value);
		else if (oa_bytes_ieq(name, OA_LIT("version")))
			r.version = value;
		else if (oa_bytes_ieq(name, OA_LIT("escaping")))
			r.escaping = value;
	}
	return r;
}

static const struct oa_scrape_format *accept_find(const struct accept_range *r)
{
	for (size_t i = 0; i < ACCEPT_COUNT; i++) {
		if (accept_table[i].kind != r->kind ||
		    (r->kind != KIND_ANY &&
		     !oa_bytes_eq(r->version, oa_bytes_str(accept_table[i].version))))
			continue;
		if (!accept_table[i].escaping || !*accept_table[i].escaping ||
		    oa_bytes_eq(r->escaping, oa_bytes_str(accept_table[i].escaping)))
			return &accept_table[i].format;
	}
	return NULL;
}

struct oa_scrape_format oa_scrape_negotiate(struct oa_bytes accept)
{
	struct oa_scrape_format best = accept_table[0].format;
	unsigned best_q = 0;

	while (accept.len) {
		struct accept_range r = accept_parse(accept_cut(&accept, ','));
		const struct oa_scrape_format *format = accept_find(&r);

		if (!format || r.q <= best_q)
			continue;
		best = *format;
		best_q = r.q;
	}
	return best;
}
