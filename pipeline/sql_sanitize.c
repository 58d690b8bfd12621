/* Literals out. Lists of literals behind IN and VALUES become one. */
#include "pipeline/sql_lex.h"

struct sanitize {
	uint8_t *out;
	size_t len, cap;
	enum sql_token before;     /* last token but spaces and comments */
	struct oa_bytes word;      /* when that was a word: which */
	bool comment;              /* a comment was left out just now */
	bool in_list;              /* in the parentheses of a list, and all in it were literals */
	bool rows;                 /* behind VALUES: more lists may follow */
	uint8_t punct;             /* when that was a punctuation: which */
	size_t last_at;            /* behind its first literal; 0 none yet */
	size_t row_end;            /* behind the first row of VALUES; 0 none yet */
};

static bool put(struct sanitize *s, struct oa_bytes text)
{
	if (text.len > s->cap - s->len)
		return false;
	memcpy(s->out + s->len, text.ptr, text.len);
	s->len += text.len;
	return true;
}

static bool word_is(const struct sanitize *s, struct oa_bytes lower)
{
	return s->before == SQL_WORD && oa_bytes_ieq(s->word, lower);
}

/* Words an expression may begin behind: a sign there is a number's own. */
static bool word_before_value(const struct sanitize *s)
{
	static const struct oa_bytes words[] = {
		OA_LIT("select"), OA_LIT("where"), OA_LIT("and"), OA_LIT("or"), OA_LIT("not"), OA_LIT("in"),
		OA_LIT("values"), OA_LIT("set"), OA_LIT("limit"), OA_LIT("offset"), OA_LIT("then"), OA_LIT("else"),
		OA_LIT("when"), OA_LIT("case"), OA_LIT("between"), OA_LIT("like"), OA_LIT("by"), OA_LIT("on"),
		OA_LIT("having"), OA_LIT("is"), OA_LIT("default"), OA_LIT("interval"), OA_LIT("return"),
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (oa_bytes_ieq(s->word, words[i]))
			return true;
	return false;
}

static bool sign_is_number(const struct sanitize *s, const struct sql_lex *l, struct oa_bytes token)
{
	uint8_t next = l->at < l->text.len ? l->text.ptr[l->at] : 0;
	uint8_t behind = l->at + 1 < l->text.len ? l->text.ptr[l->at + 1] : 0;

	if (token.ptr[0] != '-' && token.ptr[0] != '+')
		return false;
	if (!sql_is_digit(next) && !(next == '.' && sql_is_digit(behind)))
		return false;
	if (s->before == SQL_WORD)
		return word_before_value(s);
	return s->before == SQL_END || (s->before == SQL_PUNCT && s->punct != ')' && s->punct != ']');
}

static bool is_boolean(struct oa_bytes word)
{
	return oa_bytes_ieq(word, OA_LIT("true")) || oa_bytes_ieq(word, OA_LIT("false"));
}

/* A comment that stood between two tokens must not make them one. */
static bool put_gap(struct sanitize *s)
{
	if (s->comment && s->len && !sql_is_space(s->out[s->len - 1]) && !put(s, OA_LIT(" ")))
		return false;
	s->comment = false;
	return true;
}

static bool put_literal(struct sanitize *s)
{
	if (s->in_list && s->last_at) {
		s->len = s->last_at; /* without the comma */
		return true;
	}
	if (!put(s, OA_LIT("?")))
		return false;
	if (s->in_list)
		s->last_at = s->len;
	return true;
}

static void list_open(struct sanitize *s)
{
	bool values = word_is(s, OA_LIT("values")) || word_is(s, OA_LIT("value"));

	s->in_list = values || word_is(s, OA_LIT("in")) || (s->rows && s->before == SQL_PUNCT);
	s->rows = values || (s->rows && s->in_list);
	if (values)
		s->row_end = 0;
	s->last_at = 0;
}

/* The list is closed: a row like the one before it is left out. */
static void list_close(struct sanitize *s)
{
	if (s->in_list && s->rows && s->last_at && s->row_end)
		s->len = s->row_end;
	else if (s->in_list && s->rows && s->last_at)
		s->row_end = s->len;
	else
		s->rows = false;
	s->in_list = false;
}

static void list_on_punct(struct sanitize *s, uint8_t c)
{
	if (s->in_list && c != ',' && c != ')')
		s->in_list = s->rows = false;
	else if (!s->in_list && s->rows && c != ',' && c != '(')
		s->rows = false;
}

static bool put_punct(struct sanitize *s, struct oa_bytes token)
{
	uint8_t c = token.ptr[0];

	list_on_punct(s, c);
	if (c == '(')
		list_open(s);
	/* Two of MySQL's minuses, which were no comment because of what came behind. */
	if (c == '-' && s->len && s->out[s->len - 1] == '-' && !put(s, OA_LIT(" ")))
		return false;
	if (!put(s, token))
		return false;
	if (c == ')')
		list_close(s);
	return true;
}

static bool put_other(struct sanitize *s, struct oa_bytes token)
{
	s->in_list = s->rows = false;
	return put(s, token);
}

static bool put_token(struct sanitize *s, enum sql_token t, struct oa_bytes token)
{
	switch (t) {
	case SQL_STRING:
	case SQL_NUMBER:
		return put_literal(s);
	case SQL_PARAM:
		return token.ptr[0] == '?' ? put_literal(s) : put_other(s, token);
	case SQL_WORD:
		if (is_boolean(token) && !(s->len && s->out[s->len - 1] == '.'))
			return put_literal(s);
		return put_other(s, token);
	case SQL_PUNCT:
		return put_punct(s, token);
	default:
		return put_other(s, token);
	}
}

size_t oa_sql_sanitize(struct oa_bytes text, enum oa_sql_dialect dialect, enum oa_sql_escapes escapes, uint8_t *out,
		       size_t cap)
{
	struct sql_lex l = { .text = text, .dialect = dialect, .escapes = escapes };
	struct sanitize s = { .out = out, .cap = cap };
	struct oa_bytes token;
	enum sql_token t;

	while ((t = oa_sql_next(&l, &token)) != SQL_END) {
		if (t == SQL_COMMENT) {
			s.comment = true;
			continue;
		}
		if (t == SQL_SPACE) {
			s.comment = false;
			if (!put(&s, token))
				break;
			continue;
		}
		if (!put_gap(&s))
			break;
		if (t == SQL_UNCLEAR) {
			(void)put_literal(&s);
			break;
		}
		if (t == SQL_PUNCT && sign_is_number(&s, &l, token))
			continue;
		if (!put_token(&s, t, token))
			break;
		s.before = t;
		s.word = token;
		s.punct = token.ptr[0];
	}
	return s.len;
}
