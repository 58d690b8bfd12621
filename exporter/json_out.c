#include "exporter/json_out.h"

#include <stdlib.h>

#include "core/id.h"
#include "exporter/addr_text.h"
#include "exporter/prom_out.h"
#include "exporter/utf8.h"

#define JSON_FIRST   16384
#define JSON_ESCAPED 6 /* \u001f */

static uint8_t *json_room(struct oa_json *j, size_t more)
{
	size_t cap = j->cap ? j->cap : JSON_FIRST;
	uint8_t *mem;

	if (j->cap - j->len >= more)
		return j->mem + j->len;
	while (cap - j->len < more)
		cap *= 2;
	mem = j->failed ? NULL : realloc(j->mem, cap);
	if (!mem) {
		j->failed = true;
		return NULL;
	}
	j->mem = mem;
	j->cap = cap;
	return mem + j->len;
}

void oa_json_reset(struct oa_json *j)
{
	j->len = 0;
	j->comma = j->failed = false;
}

void oa_json_trim(struct oa_json *j, size_t keep)
{
	if (j->cap <= keep)
		return;
	free(j->mem);
	*j = (struct oa_json){ 0 };
}

/* Room for a value of `more` bytes, behind the comma when there has to be one. */
static uint8_t *json_value(struct oa_json *j, size_t more)
{
	uint8_t *to = json_room(j, more + 1);

	if (to && j->comma)
		*to++ = ',';
	j->comma = true;
	return to;
}

static void json_end(struct oa_json *j, const uint8_t *end) { j->len = (size_t)(end - j->mem); }

void oa_json_open(struct oa_json *j, char bracket)
{
	uint8_t *to = json_value(j, 1);

	if (!to)
		return;
	*to++ = (uint8_t)bracket;
	json_end(j, to);
	j->comma = false;
}

void oa_json_close(struct oa_json *j, char bracket)
{
	uint8_t *to = json_room(j, 1);

	if (!to)
		return;
	*to++ = (uint8_t)bracket;
	json_end(j, to);
	j->comma = true;
}

void oa_json_newline(struct oa_json *j)
{
	uint8_t *to = json_room(j, 1);

	if (!to)
		return;
	*to++ = '\n';
	json_end(j, to);
	j->comma = false;
}

void oa_json_raw(struct oa_json *j, struct oa_bytes text)
{
	uint8_t *to = json_value(j, text.len);

	if (!to)
		return;
	memcpy(to, text.ptr, text.len);
	json_end(j, to + text.len);
}

void oa_json_key_bytes(struct oa_json *j, struct oa_bytes key)
{
	uint8_t *to = json_value(j, key.len + 3);

	if (!to)
		return;
	*to++ = '"';
	memcpy(to, key.ptr, key.len);
	to += key.len;
	*to++ = '"';
	*to++ = ':';
	json_end(j, to);
	j->comma = false;
}

/* -- text -- */

static bool json_plain(uint8_t c) { return c >= ' ' && c != '"' && c != '\\' && c < 0x7f; }

static uint8_t *json_escape(uint8_t *to, uint8_t c)
{
	static const char hex[] = "0123456789abcdef", shorts[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *at = c ? strchr(shorts, c) : NULL;

	*to++ = '\\';
	if (at) {
		*to++ = (uint8_t)letters[at - shorts];
		return to;
	}
	memcpy(to, "u00", 3);
	to[3] = (uint8_t)hex[c >> 4];
	to[4] = (uint8_t)hex[c & 15];
	return to + 5;
}

/* `to` has room for all of it escaped. What is not UTF-8 is made so behind it first. */
static uint8_t *json_put_text(uint8_t *to, struct oa_bytes text, size_t utf8_size)
{
	const uint8_t *from = text.ptr;

	if (utf8_size != text.len) {
		uint8_t *fixed = to + (JSON_ESCAPED - 1) * utf8_size;

		(void)oa_utf8_put_any(fixed, text);
		from = fixed;
	}
	for (const uint8_t *end = from + utf8_size; from < end; from++) {
		if (__builtin_expect(json_plain(*from) || *from >= 0x80, 1))
			*to++ = *from;
		else
			to = json_escape(to, *from);
	}
	return to;
}

void oa_json_text2(struct oa_json *j, struct oa_bytes first, struct oa_bytes second)
{
	size_t size = oa_utf8_size(first), size2 = oa_utf8_size(second);
	uint8_t *to = json_value(j, 2 + JSON_ESCAPED * (size + size2));

	if (!to)
		return;
	*to++ = '"';
	to = json_put_text(to, first, size);
	to = json_put_text(to, second, size2);
	*to++ = '"';
	json_end(j, to);
}

void oa_json_text(struct oa_json *j, struct oa_bytes text) { oa_json_text2(j, text, OA_LIT("")); }

void oa_json_hex(struct oa_json *j, const uint8_t *bytes, unsigned len)
{
	uint8_t *to = json_value(j, 2 * len + 2);

	if (!to)
		return;
	*to++ = '"';
	oa_hex((char *)to, bytes, len);
	to += 2 * len;
	*to++ = '"';
	json_end(j, to);
}

/* -- numbers -- */

static void json_number(struct oa_json *j, uint64_t value, bool minus, bool quotes)
{
	uint8_t *to = json_value(j, OA_PROM_NUM_MAX);

	if (!to)
		return;
	if (quotes)
		*to++ = '"';
	if (minus)
		*to++ = '-';
	to = (uint8_t *)oa_decimal((char *)to, value);
	if (quotes)
		*to++ = '"';
	json_end(j, to);
}

static uint64_t json_size(int64_t value) { return value < 0 ? 0 - (uint64_t)value : (uint64_t)value; }

void oa_json_uint(struct oa_json *j, uint64_t value) { json_number(j, value, false, false); }
void oa_json_uint_text(struct oa_json *j, uint64_t value) { json_number(j, value, false, true); }
void oa_json_int(struct oa_json *j, int64_t value) { json_number(j, json_size(value), value < 0, false); }
void oa_json_int_text(struct oa_json *j, int64_t value) { json_number(j, json_size(value), value < 0, true); }

void oa_json_bool(struct oa_json *j, bool value) { oa_json_raw(j, value ? OA_LIT("true") : OA_LIT("false")); }

void oa_json_fixed(struct oa_json *j, uint64_t value, unsigned scale)
{
	uint8_t *to = json_value(j, OA_PROM_NUM_MAX);

	if (to)
		json_end(j, (uint8_t *)oa_prom_fixed((char *)to, value, scale));
}
