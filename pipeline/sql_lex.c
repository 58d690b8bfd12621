#include "pipeline/sql_lex.h"

static uint8_t peek(const struct sql_lex *l, size_t at)
{
	return at < l->text.len ? l->text.ptr[at] : 0;
}

/* Behind the quote that ends what begins at `at` (the byte behind the opening quote); the end of the text when none
 * does. A doubled quote is part of it. */
static size_t quoted_end(const struct sql_lex *l, size_t at, uint8_t quote)
{
	for (; at < l->text.len; at++) {
		if (l->text.ptr[at] != quote)
			continue;
		if (peek(l, at + 1) != quote)
			return at + 1;
		at++;
	}
	return at;
}

#define UNCLEAR ((size_t)-1)

/* The same where a backslash may escape. UNCLEAR: whether it does decides where the string ends */
static size_t escaped_end(const struct sql_lex *l, size_t at, uint8_t quote, enum oa_sql_escapes escapes)
{
	if (escapes == OA_SQL_ESCAPES_OFF)
		return quoted_end(l, at, quote);
	while (at < l->text.len) {
		/* Behind half a character of GBK or SJIS a backslash may be the other half. */
		bool half = l->dialect == OA_SQL_MYSQL && at && l->text.ptr[at - 1] >= 0x80, odd = false;

		if (l->text.ptr[at] == quote) {
			if (peek(l, at + 1) != quote)
				return at + 1;
			at += 2;
			continue;
		}
		if (l->text.ptr[at++] != '\\')
			continue;
		for (odd = true; peek(l, at) == '\\'; at++)
			odd = !odd;
		if (at >= l->text.len || l->text.ptr[at] != quote)
			continue;
		if (half || (odd && escapes == OA_SQL_ESCAPES_UNKNOWN))
			return UNCLEAR;
		at += odd;
	}
	return l->text.len;
}

/* PostgreSQL: a string goes on behind a line end and blanks ('a' <newline> 'b'), and backslashes mean there what they
 * meant before. returns the place behind its next opening quote, 0 when it does not go on */
static size_t continued_at(const struct sql_lex *l, size_t at)
{
	bool newline = false;

	for (; at < l->text.len; at++) {
		uint8_t c = l->text.ptr[at];

		if (c == '-' && peek(l, at + 1) == '-') {
			while (at < l->text.len && l->text.ptr[at] != '\n' && l->text.ptr[at] != '\r')
				at++;
			at--;
			continue;
		}
		if (c == '\'')
			return newline ? at + 1 : 0;
		if (!sql_is_space(c))
			return 0;
		newline |= c == '\n' || c == '\r';
	}
	return 0;
}

/* From behind the opening quote to behind the end of the literal. */
static size_t string_end(const struct sql_lex *l, size_t at, uint8_t quote, enum oa_sql_escapes escapes)
{
	size_t end = escaped_end(l, at, quote, escapes), next;

	while (l->dialect == OA_SQL_POSTGRESQL && end != UNCLEAR && (next = continued_at(l, end)))
		end = escaped_end(l, next, quote, escapes);
	return end;
}

/* $tag$ at `at`: its length, 0 when it is not one. */
static size_t dollar_tag(const struct sql_lex *l, size_t at)
{
	size_t i = at + 1;

	if (sql_is_digit(peek(l, i)))
		return 0;
	while (i < l->text.len && l->text.ptr[i] != '$' && sql_is_word(l->text.ptr[i]))
		i++;
	return peek(l, i) == '$' ? i + 1 - at : 0;
}

static size_t dollar_end(const struct sql_lex *l, size_t at, size_t tag)
{
	struct oa_bytes rest = oa_bytes(l->text.ptr + at + tag, l->text.len - at - tag);
	const uint8_t *tail = rest.len ? memmem(rest.ptr, rest.len, l->text.ptr + at, tag) : NULL;

	return tail ? (size_t)(tail - l->text.ptr) + tag : l->text.len;
}

static size_t line_end(const struct sql_lex *l, size_t at)
{
	while (at < l->text.len && l->text.ptr[at] != '\n' && (l->text.ptr[at] != '\r' || l->dialect != OA_SQL_POSTGRESQL))
		at++;
	return at;
}

/* Behind the comment whose opening ends at `at`. */
static size_t block_comment_end(const struct sql_lex *l, size_t at)
{
	bool code = l->dialect == OA_SQL_MYSQL && (peek(l, at) == '!' || (peek(l, at) == 'M' && peek(l, at + 1) == '!'));
	unsigned depth = 1;

	for (; at < l->text.len; at++) {
		uint8_t c = l->text.ptr[at];

		if (c == '*' && peek(l, at + 1) == '/') {
			at++;
			if (!--depth)
				return at + 1;
		} else if (c == '/' && peek(l, at + 1) == '*') {
			if (l->dialect == OA_SQL_MYSQL)
				return UNCLEAR; /* nested by some versions, when inside of one that is code */
			at++;
			if (l->dialect == OA_SQL_POSTGRESQL)
				depth++;
			else
				at--;
		} else if (code && (c == '\'' || c == '"' || c == '`' || c == '#' || (c == '-' && peek(l, at + 1) == '-'))) {
			return UNCLEAR; /* what ends it may be inside of a string there */
		}
	}
	return l->text.len;
}

/* Where a comment that begins at l->at ends; 0: none does */
static size_t comment_end(const struct sql_lex *l)
{
	uint8_t c = l->text.ptr[l->at], next = peek(l, l->at + 1), third = peek(l, l->at + 2);

	if (c == '/' && next == '*')
		return block_comment_end(l, l->at + 2);
	if (c == '#' && l->dialect == OA_SQL_MYSQL)
		return line_end(l, l->at);
	if (c == '-' && next == '-' && (l->dialect != OA_SQL_MYSQL || third <= ' ' || third == 0x7f))
		return line_end(l, l->at);
	return 0;
}

/* PostgreSQL: what looks like a string with a prefix right behind a number may be one, or the end of the number or of a name and a
 * string without, as versions have it. */
static bool number_is_unclear(const struct sql_lex *l, size_t at)
{
	uint8_t c = l->text.ptr[at] | 0x20, next = peek(l, at + 1);

	return (c == 'e' && next == '\'') || (c == 'u' && next == '&' && peek(l, at + 2) == '\'');
}

/* Letters and digits and dots that begin with a digit, or a dot and one: what is glued to a number is of it. */
static size_t number_end(const struct sql_lex *l, size_t at)
{
	bool hex = l->text.ptr[at] == '0' && (peek(l, at + 1) | 0x20) == 'x';

	for (; at < l->text.len; at++) {
		uint8_t c = l->text.ptr[at];

		if (l->dialect == OA_SQL_POSTGRESQL && c == '$')
			break;
		if (l->dialect == OA_SQL_POSTGRESQL && number_is_unclear(l, at))
			return UNCLEAR;
		if (!hex && (c | 0x20) == 'e' && (peek(l, at + 1) == '+' || peek(l, at + 1) == '-') &&
		    sql_is_digit(peek(l, at + 2)))
			at++;
		else if (!sql_is_word(c) && c != '.')
			break;
	}
	return at;
}

/* The letters before a quote that belong to the literal. returns their number */
static size_t string_prefix(const struct sql_lex *l, bool *ret_escapes)
{
	uint8_t c = oa_lower(l->text.ptr[l->at]), next = peek(l, l->at + 1);

	*ret_escapes = c == 'e' && l->dialect == OA_SQL_POSTGRESQL;
	if (next == '\'' && (*ret_escapes || c == 'x' || c == 'b' || c == 'n'))
		return 1;
	if (c == 'u' && next == '&' && peek(l, l->at + 2) == '\'' && l->dialect == OA_SQL_POSTGRESQL)
		return 2;
	return 0;
}

static enum sql_token take_until(struct sql_lex *l, size_t end, enum sql_token token)
{
	if (end == UNCLEAR) {
		l->at = l->text.len;
		return SQL_UNCLEAR;
	}
	l->at = end;
	return token;
}

static enum sql_token take_string(struct sql_lex *l, size_t prefix, enum oa_sql_escapes escapes)
{
	uint8_t quote = l->text.ptr[l->at + prefix];

	return take_until(l, string_end(l, l->at + prefix + 1, quote, escapes), SQL_STRING);
}

static enum oa_sql_escapes plain_escapes(const struct sql_lex *l)
{
	return l->dialect == OA_SQL_SQLITE ? OA_SQL_ESCAPES_OFF : l->escapes;
}

static enum sql_token take_word(struct sql_lex *l)
{
	bool escapes;
	size_t prefix = string_prefix(l, &escapes), end = l->at;

	if (prefix)
		return take_string(l, prefix, escapes ? OA_SQL_ESCAPES_ON : prefix == 2 ? OA_SQL_ESCAPES_OFF : plain_escapes(l));
	while (end < l->text.len && sql_is_word(l->text.ptr[end]))
		end++;
	return take_until(l, end, SQL_WORD);
}

static enum sql_token take_dollar(struct sql_lex *l)
{
	size_t tag = l->dialect == OA_SQL_POSTGRESQL ? dollar_tag(l, l->at) : 0, end = l->at + 1;

	if (tag)
		return take_until(l, dollar_end(l, l->at, tag), SQL_STRING);
	if (l->dialect == OA_SQL_MYSQL) { /* an identifier; or a string in dollars, of version 9 */
		if (memchr(l->text.ptr + end, '$', l->text.len - end))
			return take_until(l, UNCLEAR, SQL_UNCLEAR);
		while (end < l->text.len && sql_is_word(l->text.ptr[end]))
			end++;
		return take_until(l, end, SQL_WORD);
	}
	while (end < l->text.len && (sql_is_digit(l->text.ptr[end]) ||
				     (l->dialect == OA_SQL_SQLITE && sql_is_word(l->text.ptr[end]))))
		end++;
	return take_until(l, end, SQL_PARAM);
}

/* :name and @name, but not the colons of a::type and x := 1 */
static enum sql_token take_named(struct sql_lex *l)
{
	size_t end = l->at + 1;

	if (l->text.ptr[l->at] == ':' && peek(l, end) == ':')
		return take_until(l, end + 1, SQL_PUNCT);
	if (!sql_is_word_start(peek(l, end)))
		return take_until(l, end, SQL_PUNCT);
	while (end < l->text.len && sql_is_word(l->text.ptr[end]))
		end++;
	return take_until(l, end, SQL_PARAM);
}

/* SQLite's may have a number. */
static enum sql_token take_question(struct sql_lex *l)
{
	size_t end = l->at + 1;

	while (l->dialect == OA_SQL_SQLITE && sql_is_digit(peek(l, end)))
		end++;
	return take_until(l, end, SQL_PARAM);
}

static enum sql_token take_double_quoted(struct sql_lex *l)
{
	if (l->dialect == OA_SQL_POSTGRESQL)
		return take_until(l, quoted_end(l, l->at + 1, '"'), SQL_QUOTED);
	return take_string(l, 0, plain_escapes(l)); /* a string, or an identifier by a setting */
}

static enum sql_token take_bracket(struct sql_lex *l)
{
	enum sql_token token;
	const uint8_t *end;
	size_t len;

	if (l->dialect != OA_SQL_SQLITE)
		return take_until(l, l->at + 1, SQL_PUNCT);
	/* Whoever writes a string in there thinks of something else. */
	end = memchr(l->text.ptr + l->at, ']', l->text.len - l->at);
	len = end ? (size_t)(end - l->text.ptr) + 1 - l->at : l->text.len - l->at;
	token = memchr(l->text.ptr + l->at, '\'', len) || memchr(l->text.ptr + l->at, '"', len) ? SQL_STRING : SQL_QUOTED;
	return take_until(l, l->at + len, token);
}

static enum sql_token take_space(struct sql_lex *l)
{
	size_t end = l->at;

	while (end < l->text.len && sql_is_space(l->text.ptr[end]))
		end++;
	return take_until(l, end, SQL_SPACE);
}

static enum sql_token take(struct sql_lex *l)
{
	uint8_t c = l->text.ptr[l->at];
	size_t end;

	if (sql_is_space(c))
		return take_space(l);
	if (sql_is_word_start(c))
		return take_word(l);
	if (sql_is_digit(c) || (c == '.' && sql_is_digit(peek(l, l->at + 1))))
		return take_until(l, number_end(l, l->at), SQL_NUMBER);
	if ((end = comment_end(l)))
		return take_until(l, end, SQL_COMMENT);
	switch (c) {
	case '\'':
		return take_string(l, 0, plain_escapes(l));
	case '"':
		return take_double_quoted(l);
	case '`':
		if (l->dialect == OA_SQL_POSTGRESQL)
			break;
		return take_until(l, quoted_end(l, l->at + 1, '`'), SQL_QUOTED);
	case '[':
		return take_bracket(l);
	case '$':
		return take_dollar(l);
	case ':':
	case '@':
		return take_named(l);
	case '?':
		return take_question(l);
	default:
		break;
	}
	return take_until(l, l->at + 1, SQL_PUNCT);
}

enum sql_token oa_sql_next(struct sql_lex *l, struct oa_bytes *ret)
{
	size_t from = l->at;
	enum sql_token token;

	if (from >= l->text.len)
		return SQL_END;
	token = take(l);
	*ret = oa_bytes(l->text.ptr + from, l->at - from);
	return token;
}
