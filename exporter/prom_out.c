/* See prom_out.h. */
#include "exporter/prom_out.h"

#include <stdlib.h>

#include "core/views.h"

#define PROM_OUT_FIRST 65536

bool oa_prom_grow(struct oa_prom_out *o, size_t more)
{
	size_t cap = o->cap ? o->cap : PROM_OUT_FIRST;
	char *mem;

	while (cap - o->len < more)
		cap *= 2;
	mem = realloc(o->mem, cap);
	if (!mem) {
		o->failed = true;
		return false;
	}
	o->mem = mem;
	o->cap = cap;
	return true;
}

/* Digits of value before `end`, two at a time. returns the first */
static char *prom_digits(char *end, uint64_t value)
{
	static const char pairs[] =
		"00010203040506070809101112131415161718192021222324252627282930313233343536373839"
		"40414243444546474849505152535455565758596061626364656667686970717273747576777879"
		"8081828384858687888990919293949596979899";

	while (value >= 100) {
		end -= 2;
		memcpy(end, pairs + 2 * (value % 100), 2);
		value /= 100;
	}
	if (value >= 10) {
		end -= 2;
		memcpy(end, pairs + 2 * value, 2);
	} else {
		*--end = (char)('0' + value);
	}
	return end;
}

char *oa_prom_uint(char *to, uint64_t value)
{
	char buf[20], *start = prom_digits(buf + sizeof(buf), value);
	size_t len = (size_t)(buf + sizeof(buf) - start);

	memcpy(to, start, len);
	return to + len;
}

char *oa_prom_fixed(char *to, uint64_t value, unsigned scale)
{
	uint64_t unit = 1;
	char buf[20], *start;
	unsigned len;

	for (unsigned i = 0; i < scale; i++)
		unit *= 10;
	to = oa_prom_uint(to, value / unit);
	value %= unit;
	if (!value)
		return to;
	while (value % 10 == 0) {
		value /= 10;
		scale--;
	}
	start = prom_digits(buf + sizeof(buf), value);
	len = (unsigned)(buf + sizeof(buf) - start);
	*to++ = '.';
	memset(to, '0', scale - len);
	memcpy(to + scale - len, start, len);
	return to + scale;
}

char *oa_prom_bound(char *to, uint64_t value, unsigned scale, bool openmetrics)
{
	char buf[20], *digits, *from = to;
	unsigned count;
	int exponent;

	digits = prom_digits(buf + sizeof(buf), value);
	count = (unsigned)(buf + sizeof(buf) - digits);
	exponent = value ? (int)count - 1 - (int)scale : 0;
	if (exponent >= -4 && exponent < 6) {
		to = oa_prom_fixed(to, value, scale);
		if (openmetrics && !memchr(from, '.', (size_t)(to - from))) {
			memcpy(to, ".0", 2);
			to += 2;
		}
		return to;
	}
	while (count > 1 && digits[count - 1] == '0')
		count--;
	*to++ = digits[0];
	if (count > 1) {
		*to++ = '.';
		memcpy(to, digits + 1, count - 1);
		to += count - 1;
	}
	*to++ = 'e';
	*to++ = exponent < 0 ? '-' : '+';
	exponent = exponent < 0 ? -exponent : exponent;
	*to++ = (char)('0' + exponent / 10);
	*to++ = (char)('0' + exponent % 10);
	return to;
}

void oa_prom_put_uint(struct oa_prom_out *o, uint64_t value)
{
	char *to = oa_prom_room(o, OA_PROM_NUM_MAX);

	if (to)
		o->len += (size_t)(oa_prom_uint(to, value) - to);
}

void oa_prom_put_fixed(struct oa_prom_out *o, uint64_t value, unsigned scale)
{
	char *to = oa_prom_room(o, OA_PROM_NUM_MAX);

	if (to)
		o->len += (size_t)(oa_prom_fixed(to, value, scale) - to);
}

void oa_prom_label_value(struct oa_prom_out *o, struct oa_bytes value)
{
	char *to = oa_prom_room(o, 2 * value.len);

	if (!to)
		return;
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.ptr[i];

		if (c == '\\' || c == '"' || c == '\n')
			*to++ = '\\';
		*to++ = c == '\n' ? 'n' : (char)c;
	}
	o->len = (size_t)(to - o->mem);
}

/* Ours have none of these; those of views may. */
static void prom_help(struct oa_prom_out *o, const char *help)
{
	for (;; help++) {
		size_t plain = strcspn(help, o->openmetrics ? "\n\\\"" : "\n\\");

		oa_prom_bytes(o, help, plain);
		help += plain;
		if (!*help)
			return;
		oa_prom_bytes(o, (char[]){ '\\', *help == '\n' ? 'n' : *help }, 2);
	}
}

void oa_prom_family(struct oa_prom_out *o, const char *name, enum oa_prom_type type,
		    const char *unit, const char *help)
{
	static const char *const types[] = { "counter", "gauge", "histogram", "info" };
	const char *suffix = "";

	oa_prom_families_end(o);
	/* OpenMetrics describes the family, the older format the sample. */
	if (!o->openmetrics)
		suffix = type == OA_PROM_COUNTER ? "_total" : type == OA_PROM_INFO ? "_info" : "";
	oa_prom_lit(o, "# HELP ");
	oa_prom_str(o, name);
	oa_prom_str(o, suffix);
	oa_prom_lit(o, " ");
	prom_help(o, help);
	oa_prom_lit(o, "\n# TYPE ");
	oa_prom_str(o, name);
	oa_prom_str(o, suffix);
	oa_prom_lit(o, " ");
	oa_prom_str(o, type == OA_PROM_INFO && !o->openmetrics ? "gauge" : types[type]);
	if (o->openmetrics && unit) {
		oa_prom_lit(o, "\n# UNIT ");
		oa_prom_str(o, name);
		oa_prom_lit(o, " ");
		oa_prom_str(o, unit);
	}
	oa_prom_lit(o, "\n");
}

void oa_prom_families_end(struct oa_prom_out *o)
{
	if (o->dropped)
		o->len = o->family_at;
	o->dropped = false;
}

void oa_prom_observed(struct oa_prom_out *o, const char *name, enum oa_prom_type type,
		      const char *unit, const char *help)
{
	struct oa_view_observed view = oa_view_of_observed(name, type == OA_PROM_COUNTER);

	oa_prom_families_end(o);
	o->family_at = o->len;
	oa_prom_family(o, name, type, unit, view.help ? view.help : help);
	o->dropped = view.dropped;
}
