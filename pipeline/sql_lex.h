#pragma once
/* SQL cut into tokens: the lexical structure only. */
#include "pipeline/sql.h"

enum sql_token {
	SQL_END,
	SQL_SPACE,
	SQL_COMMENT,
	SQL_WORD,    /* keyword or identifier */
	SQL_QUOTED,  /* identifier in quotes */
	SQL_STRING,
	SQL_NUMBER,
	SQL_PARAM,   /* ?, $1, :name */
	SQL_PUNCT,   /* one byte */
	SQL_UNCLEAR, /* two readings from here on: not to be shown */
};

struct sql_lex {
	struct oa_bytes text;
	size_t at;
	enum oa_sql_dialect dialect;
	enum oa_sql_escapes escapes;
};

/* The next token; *ret is its bytes. */
enum sql_token oa_sql_next(struct sql_lex *lex, struct oa_bytes *ret);

static inline bool sql_is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool sql_is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') < 10;
}

static inline bool sql_is_word_start(uint8_t c)
{
	return (uint8_t)((c | 0x20) - 'a') < 26 || c == '_' || c >= 0x80;
}

static inline bool sql_is_word(uint8_t c)
{
	return sql_is_word_start(c) || sql_is_digit(c) || c == '$';
}
