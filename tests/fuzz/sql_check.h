#pragma once
/* What must hold for any text: what is shown does not depend on what the literals and comments say. A second, simple
 * reading of the text finds them, byte by byte; their letters and digits are changed, and the result must be the same.
 * That holds for each way the server may read backslashes. Besides: nothing longer than the text, and what was sanitized
 * stays as it is. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/sql.h"

#define SQL_CHECK_MAX 8192

struct sql_ref {
	const uint8_t *p;
	size_t len;
	uint8_t *other; /* the text with its literals changed */
	enum oa_sql_dialect dialect;
	bool escapes;   /* a backslash escapes in '…' */
};

static inline void ref_change(struct sql_ref *r, size_t from, size_t to)
{
	for (size_t i = from; i < to && i < r->len; i++)
		if (r->p[i] < 0x80 && isalnum(r->p[i]) && r->p[i] != 'q')
			r->other[i] = 'q';
}

static inline bool ref_at(const struct sql_ref *r, size_t i, const char *text)
{
	return i + strlen(text) <= r->len && !memcmp(r->p + i, text, strlen(text));
}

static inline bool ref_word(uint8_t c)
{
	return isalnum(c) || c == '_' || c == '$' || c >= 0x80;
}

/* returns where the string that opens at i ends */
static inline size_t ref_string(struct sql_ref *r, size_t i, bool escapes)
{
	uint8_t quote = r->p[i];
	size_t from = ++i;

	for (;;) {
		if (i >= r->len)
			break;
		if (escapes && r->p[i] == '\\')
			i += 2;
		else if (r->p[i] != quote)
			i++;
		else if (i + 1 < r->len && r->p[i + 1] == quote)
			i += 2;
		else
			break;
	}
	ref_change(r, from, i);
	return i + 1;
}

/* PostgreSQL: the next piece of a string, behind a line end. returns its opening quote's place or 0 */
static inline size_t ref_continues(const struct sql_ref *r, size_t i)
{
	bool line = false;

	while (i < r->len) {
		if (ref_at(r, i, "--")) {
			while (i < r->len && r->p[i] != '\n' && r->p[i] != '\r')
				i++;
		} else if (strchr(" \t\n\r\v\f", r->p[i]) && r->p[i]) {
			line |= r->p[i] == '\n' || r->p[i] == '\r';
			i++;
		} else {
			return line && r->p[i] == '\'' ? i : 0;
		}
	}
	return 0;
}

static inline size_t ref_comment(struct sql_ref *r, size_t i)
{
	size_t from = i + 2;
	int depth = 1;

	for (i += 2; i < r->len && depth; i++) {
		if (ref_at(r, i, "*/"))
			depth--, i++;
		else if (r->dialect == OA_SQL_POSTGRESQL && ref_at(r, i, "/*"))
			depth++, i++;
	}
	ref_change(r, from + 2, i);
	return i;
}

static inline size_t ref_line(struct sql_ref *r, size_t i)
{
	size_t from = i;

	while (i < r->len && r->p[i] != '\n' && !(r->dialect == OA_SQL_POSTGRESQL && r->p[i] == '\r'))
		i++;
	ref_change(r, from, i);
	return i;
}

static inline size_t ref_dollar(struct sql_ref *r, size_t i)
{
	size_t tag = 1, end;

	if (i + 1 < r->len && isdigit(r->p[i + 1]))
		return 0;
	while (i + tag < r->len && r->p[i + tag] != '$' && ref_word(r->p[i + tag]))
		tag++;
	if (i + tag >= r->len || r->p[i + tag] != '$')
		return 0;
	tag++;
	for (end = i + tag; end + tag <= r->len && memcmp(r->p + end, r->p + i, tag); end++)
		;
	if (end + tag > r->len)
		end = r->len;
	if (!memchr(r->p + i, 'q', tag))
		ref_change(r, i + tag, end);
	return end + tag;
}

/* $1, :name; SQLite: ?1 */
static inline size_t ref_parameter(const struct sql_ref *r, size_t i)
{
	uint8_t c = r->p[i++];

	if (c == '$')
		while (i < r->len && (r->dialect == OA_SQL_POSTGRESQL ? isdigit(r->p[i]) : ref_word(r->p[i])))
			i++;
	else if (c == ':' && i < r->len && r->p[i] == ':') /* a cast: what follows may be a string with a prefix */
		i++;
	else if (c == '?' && r->dialect == OA_SQL_SQLITE)
		while (i < r->len && isdigit(r->p[i]))
			i++;
	else if ((c == ':' || c == '@') && i < r->len && ref_word(r->p[i]) && !isdigit(r->p[i]) && r->p[i] != '$')
		while (i < r->len && ref_word(r->p[i]))
			i++;
	return i;
}

/* Something that is not a word begins at i. returns where it ends */
static inline size_t ref_other(struct sql_ref *r, size_t i)
{
	bool pg = r->dialect == OA_SQL_POSTGRESQL, my = r->dialect == OA_SQL_MYSQL;
	size_t end;

	if (ref_at(r, i, "/*"))
		return ref_comment(r, i);
	if (ref_at(r, i, "--") && (!my || i + 2 >= r->len || r->p[i + 2] <= ' ' || r->p[i + 2] == 127))
		return ref_line(r, i);
	if (my && r->p[i] == '#')
		return ref_line(r, i);
	if (r->p[i] == '\'' || (!pg && r->p[i] == '"')) {
		bool escapes = r->dialect != OA_SQL_SQLITE && r->escapes;

		end = ref_string(r, i, escapes);
		for (size_t next; pg && (next = ref_continues(r, end));)
			end = ref_string(r, next, escapes);
		return end;
	}
	if (r->p[i] == '"' || (r->p[i] == '`' && !pg)) {
		uint8_t quote = r->p[i++];

		while (i < r->len && (r->p[i] != quote || (i + 1 < r->len && r->p[i + 1] == quote)))
			i += r->p[i] == quote ? 2 : 1;
		return i + 1;
	}
	if (r->p[i] == '[' && r->dialect == OA_SQL_SQLITE) {
		while (i < r->len && r->p[i] != ']')
			i++;
		return i + 1;
	}
	if (r->p[i] == '$' && pg && (end = ref_dollar(r, i)))
		return end;
	return ref_parameter(r, i);
}

static inline bool ref_string_begins(const struct sql_ref *r, size_t i)
{
	return ref_at(r, i, "e'") || ref_at(r, i, "E'") || ref_at(r, i, "u&") || ref_at(r, i, "U&");
}

static inline size_t ref_word_end(struct sql_ref *r, size_t i)
{
	bool pg = r->dialect == OA_SQL_POSTGRESQL, my = r->dialect == OA_SQL_MYSQL;
	size_t from = i;

	if (isdigit(r->p[i])) {
		while (i < r->len && ref_word(r->p[i]) && !(pg && (r->p[i] == '$' || ref_string_begins(r, i))))
			i++;
		for (size_t at = from; at < i; at++)
			if (isdigit(r->p[at]) && at > from)
				r->other[at] = '7';
		return i;
	}
	if (i + 1 < r->len && r->p[i + 1] == '\'' && pg && tolower(r->p[i]) == 'e') {
		i = ref_string(r, i + 1, true);
		for (size_t next; (next = ref_continues(r, i));)
			i = ref_string(r, next, true);
		return i;
	}
	if (pg && ref_at(r, i + 1, "&'") && tolower(r->p[i]) == 'u') {
		i = ref_string(r, i + 2, false);
		for (size_t next; (next = ref_continues(r, i));)
			i = ref_string(r, next, false);
		return i;
	}
	(void)my;
	while (i < r->len && ref_word(r->p[i]))
		i++;
	return i;
}

static inline void ref_read(struct sql_ref *r)
{
	memcpy(r->other, r->p, r->len);
	for (size_t i = 0; i < r->len;)
		i = ref_word(r->p[i]) && r->p[i] != '$' ? ref_word_end(r, i) : ref_other(r, i);
}

/* returns NULL or what is wrong */
static inline const char *sql_check(struct oa_bytes text, enum oa_sql_dialect dialect)
{
	static uint8_t a[2 * SQL_CHECK_MAX], b[2 * SQL_CHECK_MAX], other[SQL_CHECK_MAX], summary[256];
	unsigned statements;
	size_t len, n;

	if (text.len > SQL_CHECK_MAX)
		return NULL;
	for (int escapes = 0; escapes < 3; escapes++) {
		len = oa_sql_sanitize(text, dialect, (enum oa_sql_escapes)escapes, a, sizeof(a));
		n = oa_sql_sanitize(oa_bytes(a, len), dialect, (enum oa_sql_escapes)escapes, b, sizeof(b));
		if (n != len || memcmp(a, b, len))
			return "not the same when sanitized again";
		n = oa_sql_summarize(oa_bytes(a, len), summary, &statements);
		if (n > OA_SQL_SUMMARY_MAX)
			return "a long summary";
		for (int on = 0; on < 2; on++) {
			struct sql_ref r = { text.ptr, text.len, other, dialect, on };

			if ((escapes == OA_SQL_ESCAPES_ON && !on) || (escapes == OA_SQL_ESCAPES_OFF && on))
				continue;
			ref_read(&r);
			n = oa_sql_sanitize(oa_bytes(other, text.len), dialect, (enum oa_sql_escapes)escapes, b, sizeof(b));
			if (n != len || memcmp(a, b, len)) {
				fprintf(stderr, "%.*s\n%.*s\n%.*s\n", (int)text.len, text.ptr, (int)len, a, (int)n, b);
				return "what is shown depends on a literal";
			}
		}
	}
	return NULL;
}
