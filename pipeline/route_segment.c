/* Tells names that a programmer chose from values that a program put there, one path segment at a
 * time. It is a heuristic: wrong in both directions now and then, so route_guess.c bounds what a
 * wrong "static" can cost. */
#include "pipeline/route.h"

#define SEGMENT_STATIC_MAX 40
#define SEGMENT_WORD_MAX   8 /* from here on letters alone may be no name */

/* Sets of ASCII characters: those below 64, those from 64 on. */
#define LOW(c)  (1ull << (c))
#define HIGH(c) (1ull << ((c)-64))
#define SEGMENT_NUMERIC \
	(LOW('-') | LOW('.') | LOW(':') | LOW(',') | LOW('+')), (HIGH('_') | HIGH('T') | HIGH('Z'))
#define SEGMENT_VOWEL 0, (HIGH('a') | HIGH('e') | HIGH('i') | HIGH('o') | HIGH('u') | HIGH('y'))

/* What a character may be; all that is asked of a whole segment is asked of these at once. */
enum {
	SEG_ODD = 1,     /* what we want in no label */
	SEG_VALUE = 2,   /* what no name has */
	SEG_NUMERIC = 4, /* digits, SEGMENT_NUMERIC */
	SEG_DIGIT = 8,
	SEG_LOWER = 16,
	SEG_DOT = 32,
};
static const uint8_t segment_chars[256] = {
	[0 ... 0x20] = SEG_ODD, ['"'] = SEG_ODD, ['*'] = SEG_ODD, ['<'] = SEG_ODD, ['>'] = SEG_ODD, ['\\'] = SEG_ODD,
	['{'] = SEG_ODD, ['}'] = SEG_ODD, [0x7f ... 0xff] = SEG_ODD,
	['!'] = SEG_VALUE, ['$'] = SEG_VALUE, ['%'] = SEG_VALUE, ['&'] = SEG_VALUE, ['\''] = SEG_VALUE, ['('] = SEG_VALUE,
	[')'] = SEG_VALUE, ['='] = SEG_VALUE, ['@'] = SEG_VALUE,
	['+'] = SEG_VALUE | SEG_NUMERIC, [','] = SEG_VALUE | SEG_NUMERIC,
	['-'] = SEG_NUMERIC, [':'] = SEG_NUMERIC, ['_'] = SEG_NUMERIC, ['T'] = SEG_NUMERIC, ['Z'] = SEG_NUMERIC,
	['.'] = SEG_NUMERIC | SEG_DOT, ['0' ... '9'] = SEG_NUMERIC | SEG_DIGIT, ['a' ... 'z'] = SEG_LOWER,
};

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

	if (t.len > SEGMENT_STATIC_MAX)
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
	uint8_t any = 0, all = 0xff;
	struct oa_bytes name;

	for (size_t i = 0; i < t.len; i++) {
		any |= segment_chars[t.ptr[i]];
		all &= segment_chars[t.ptr[i]];
	}
	if (any & SEG_ODD || oa_bytes_eq(t, OA_LIT(".")) || oa_bytes_eq(t, OA_LIT("..")))
		return OA_SEGMENT_ODD;
	if (any & SEG_VALUE)
		return OA_SEGMENT_ID;
	if (any == SEG_LOWER && all == SEG_LOWER && t.len < SEGMENT_WORD_MAX)
		return OA_SEGMENT_STATIC; /* as below, for most names */
	if (segment_is_version(t))
		return OA_SEGMENT_STATIC;
	if (all & SEG_NUMERIC && any & SEG_DIGIT)
		return OA_SEGMENT_ID;
	if (any & SEG_DOT)
		*ret_ext = segment_ext(t);
	if (!ret_ext->len)
		return segment_has_id(t) ? OA_SEGMENT_ID : OA_SEGMENT_STATIC;
	name = oa_bytes(t.ptr, t.len - ret_ext->len);
	return segment_is_numeric(name) || segment_has_id(name) ? OA_SEGMENT_ID_EXT : OA_SEGMENT_STATIC;
}
