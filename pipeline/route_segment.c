/* Tells names that a programmer chose from values that a program put there, one path segment at a
 * time. It is a heuristic: wrong in both directions now and then, so route_guess.c bounds what a
 * wrong "static" can cost. */
#include "pipeline/route.h"

#define SEGMENT_STATIC_MAX 40

/* Sets of ASCII characters: those below 64, those from 64 on. */
#define LOW(c)  (1ull << (c))
#define HIGH(c) (1ull << ((c)-64))
#define SEGMENT_ODD \
	(LOW('"') | LOW('*') | LOW('<') | LOW('>')), (HIGH('\\') | HIGH('{') | HIGH('}'))
#define SEGMENT_VALUE \
	(LOW('%') | LOW('=') | LOW(',') | LOW('!') | LOW('$') | LOW('&') | LOW('\'') | LOW('(') | \
	 LOW(')') | LOW('+')), \
		HIGH('@')
#define SEGMENT_NUMERIC \
	(LOW('-') | LOW('.') | LOW(':') | LOW(',') | LOW('+')), (HIGH('_') | HIGH('T') | HIGH('Z'))
#define SEGMENT_VOWEL 0, (HIGH('a') | HIGH('e') | HIGH('i') | HIGH('o') | HIGH('u') | HIGH('y'))

struct segment_marks {
	unsigned len, digits, digit_runs, upper, lower, turns, vowels;
	bool hex;
};

static bool segment_in(uint8_t c, uint64_t low, uint64_t high)
{
	return c < 64 ? low >> c & 1 : c < 128 && (high >> (c - 64) & 1);
}

static bool segment_is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

static bool segment_is_alpha(uint8_t c) { return (uint8_t)(oa_lower(c) - 'a') < 26; }

static struct segment_marks segment_look(struct oa_bytes t)
{
	struct segment_marks m = { .len = (unsigned)t.len, .hex = true };
	uint8_t before = 0;

	for (size_t i = 0; i < t.len; i++) {
		uint8_t c = t.ptr[i];
		bool upper = (uint8_t)(c - 'A') < 26, lower = (uint8_t)(c - 'a') < 26;

		m.digits += segment_is_digit(c);
		m.digit_runs += segment_is_digit(c) && !segment_is_digit(before);
		m.upper += upper;
		m.lower += lower;
		m.turns += upper && (uint8_t)(before - 'a') < 26;
		m.vowels += segment_in(oa_lower(c), SEGMENT_VOWEL);
		m.hex &= segment_is_digit(c) || (uint8_t)(oa_lower(c) - 'a') < 6;
		before = c;
	}
	return m;
}

/* v1, v2.3, V10: an interface's version. */
static bool segment_is_version(struct oa_bytes t)
{
	if (t.len < 2 || t.len > 6 || oa_lower(t.ptr[0]) != 'v')
		return false;
	for (size_t i = 1; i < t.len; i++)
		if (!segment_is_digit(t.ptr[i]) && t.ptr[i] != '.')
			return false;
	return segment_is_digit(t.ptr[1]);
}

/* Numbers, dates, times, coordinates: no letters but the T and Z of a timestamp. */
static bool segment_is_numeric(struct oa_bytes t)
{
	bool any = false;

	for (size_t i = 0; i < t.len; i++) {
		any |= segment_is_digit(t.ptr[i]);
		if (!segment_is_digit(t.ptr[i]) && !segment_in(t.ptr[i], SEGMENT_NUMERIC))
			return false;
	}
	return any;
}

/* A run of letters and digits without punctuation. */
static bool segment_piece_is_id(struct oa_bytes t)
{
	struct segment_marks m = segment_look(t);

	if (m.digits == m.len)
		return m.len >= 3;
	if (m.hex && m.len >= 8)
		return true;
	if (m.len >= 6 && m.digit_runs >= 2)
		return true; /* a1b2c3, dQw4w9WgXcQ */
	if (m.digits >= 4 && m.len >= 5)
		return true; /* user12345 */
	if (m.len >= 16 && m.digits && m.upper && m.lower)
		return true;
	if (m.len >= 8 && m.turns * 3 >= m.len)
		return true; /* KzNrRiQx: more changes of case than names have */
	return m.len >= 10 && m.vowels * 6 < m.len;
}

static bool segment_has_id(struct oa_bytes t)
{
	size_t from = 0;

	if (t.len > SEGMENT_STATIC_MAX || segment_is_numeric(t))
		return true;
	for (size_t i = 0; i <= t.len; i++) {
		if (i < t.len && (segment_is_alpha(t.ptr[i]) || segment_is_digit(t.ptr[i])))
			continue;
		if (segment_piece_is_id(oa_bytes(t.ptr + from, i - from)))
			return true;
		from = i + 1;
	}
	return false;
}

/* `.js` of `app.js`: one to five letters and digits that start with a letter, behind something. */
static struct oa_bytes segment_ext(struct oa_bytes t)
{
	size_t dot = t.len;

	while (dot > 1 && t.ptr[dot - 1] != '.' && t.len - dot < 6)
		dot--;
	if (dot < 2 || t.ptr[dot - 1] != '.' || dot == t.len || t.len - dot > 5 ||
	    !segment_is_alpha(t.ptr[dot]))
		return (struct oa_bytes){ 0 };
	for (size_t i = dot; i < t.len; i++)
		if (!segment_is_alpha(t.ptr[i]) && !segment_is_digit(t.ptr[i]))
			return (struct oa_bytes){ 0 };
	return oa_bytes(t.ptr + dot - 1, t.len - dot + 1);
}

enum oa_segment oa_route_segment(struct oa_bytes t, struct oa_bytes *ret_ext)
{
	bool value = false;

	for (size_t i = 0; i < t.len; i++) {
		uint8_t c = t.ptr[i];

		if (c <= 0x20 || c >= 0x7f || segment_in(c, SEGMENT_ODD))
			return OA_SEGMENT_ODD;
		value |= segment_in(c, SEGMENT_VALUE);
	}
	if (oa_bytes_eq(t, OA_LIT(".")) || oa_bytes_eq(t, OA_LIT("..")))
		return OA_SEGMENT_ODD;
	if (value)
		return OA_SEGMENT_ID;
	if (segment_is_version(t))
		return OA_SEGMENT_STATIC;
	if (segment_is_numeric(t))
		return OA_SEGMENT_ID;
	*ret_ext = segment_ext(t);
	if (!ret_ext->len)
		return segment_has_id(t) ? OA_SEGMENT_ID : OA_SEGMENT_STATIC;
	return segment_has_id(oa_bytes(t.ptr, t.len - ret_ext->len)) ? OA_SEGMENT_ID_EXT
								     : OA_SEGMENT_STATIC;
}
