/* "SELECT orders customers": verbs and tables of a sanitized text. */
#include "pipeline/sql_lex.h"

#define SUMMARY_DEPTH 32 /* parentheses followed; deeper ones are passed over */

enum expect {
	NOTHING,
	VERB,       /* a statement or a sub-query begins */
	OBJECT,     /* behind CREATE, ALTER, DROP: TABLE, INDEX, … */
	TARGET,     /* a name */
	TARGET_END, /* a name was there: a comma means one more */
};

struct summary {
	uint8_t *out;
	size_t len;
	bool full;
	enum expect expect;
	bool list;             /* targets come in a list: behind FROM */
	bool joined;           /* the last token was a name that may go on behind a dot */
	bool plain;            /* the statement has no sub-statements: GRANT, CREATE TRIGGER */
	bool insert;           /* INTO is behind INSERT */
	unsigned depth;
	uint32_t from_means_table; /* by depth: a SELECT or DELETE is open there */
	uint32_t in_from;      /* by depth: this parenthesis stands where a table would */
	struct oa_bytes before; /* last word */
	size_t piece, piece_before; /* where the summaries of this statement and of the one before it begin */
	unsigned pieces;       /* different ones, one behind another */
};

static bool word_in(struct oa_bytes word, const char *list)
{
	uint8_t lower[16];

	if (word.len > sizeof(lower) - 2)
		return false;
	lower[0] = ' ';
	for (size_t i = 0; i < word.len; i++)
		lower[i + 1] = oa_lower(word.ptr[i]);
	lower[word.len + 1] = ' ';
	return memmem(list, strlen(list), lower, word.len + 2) != NULL;
}

static void put_part(struct summary *s, struct oa_bytes text, bool joined)
{
	size_t gap = s->len && !joined;

	s->full |= s->len + gap + text.len > OA_SQL_SUMMARY_MAX;
	if (s->full)
		return;
	if (gap)
		s->out[s->len++] = ' ';
	memcpy(s->out + s->len, text.ptr, text.len);
	s->len += text.len;
}

/* A statement is over: one like the one before it is said once. */
static void end_statement(struct summary *s)
{
	size_t len = s->len - s->piece;
	size_t before = s->piece - s->piece_before;

	if (!len || s->full)
		return;
	if (s->piece && before == len - 1 && !memcmp(s->out + s->piece_before, s->out + s->piece + 1, before)) {
		s->len = s->piece;
		return;
	}
	s->piece_before = s->piece + (s->piece > 0); /* behind the gap */
	s->piece = s->len;
	s->pieces++;
}

#define ONES(depth) (1u << (depth))

static void on_verb(struct summary *s, struct oa_bytes word)
{
	uint32_t here = s->depth < SUMMARY_DEPTH ? ONES(s->depth) : 0;

	put_part(s, word, false);
	s->expect = NOTHING;
	if (word_in(word, " select delete merge "))
		s->from_means_table |= here;
	else
		s->from_means_table &= ~here;
	if (word_in(word, " update call exec execute use "))
		s->expect = TARGET;
	else if (word_in(word, " create alter drop "))
		s->expect = OBJECT;
	else if (word_in(word, " insert replace copy analyze vacuum refresh describe lock "))
		s->expect = TARGET;
	else if (word_in(word, " truncate "))
		s->expect = OBJECT;
	s->plain = word_in(word, " grant revoke show set begin commit rollback ");
	s->insert = word_in(word, " insert replace merge ");
	s->list = false;
}

static const char verbs[] =
	" select insert update delete replace merge create alter drop truncate call exec execute copy begin commit rollback "
	"set show explain analyze vacuum use grant revoke start savepoint release declare fetch close lock prepare deallocate "
	"listen notify unlisten reindex refresh describe desc pragma attach detach values load optimize discard checkpoint "
	"cluster end abort ";
static const char sub_verbs[] = " select insert update delete merge ";
/* Words that stand between a verb or FROM and the name. */
static const char passed_over[] = " only lateral if not exists low_priority ignore concurrently delayed quick table "
				  "high_priority into or replace temp temporary unique unlogged global local materialized "
				  "external recursive foreign verbose full extended database ";
static const char objects[] = " table index view sequence schema database function procedure trigger type user role "
			      "extension policy domain event server tablespace rule aggregate collation publication "
			      "subscription language operator cast conversion ";
static const char clause_ends[] = " where group order having limit set values on using union except intersect returning "
				  "window fetch offset for select default ";

static bool starts_sub(const struct summary *s, struct oa_bytes word)
{
	return !s->plain && word_in(word, sub_verbs) &&
	       !word_in(s->before, " for on do key of before after or instead grant revoke then update ");
}

static void on_name(struct summary *s, struct oa_bytes name)
{
	put_part(s, name, false);
	s->expect = TARGET_END;
	s->joined = true;
}

static void on_object(struct summary *s, struct oa_bytes word)
{
	if (word_in(word, objects)) {
		put_part(s, word, false);
		s->plain = word_in(word, " trigger policy rule user role event ");
		s->expect = TARGET;
	} else if (!word_in(word, passed_over)) {
		s->expect = NOTHING;
		if (s->len >= 8 && oa_lower(s->out[0]) == 't') /* TRUNCATE t */
			on_name(s, word);
	}
}

static bool from_is_table(const struct summary *s)
{
	return s->depth < SUMMARY_DEPTH && s->from_means_table & ONES(s->depth) &&
	       !oa_bytes_ieq(s->before, OA_LIT("distinct"));
}

/* returns true when the word says that a name follows */
static bool announces(struct summary *s, struct oa_bytes word)
{
	bool from = word_in(word, " from ") && from_is_table(s);
	bool join = word_in(word, " join ") && s->depth < SUMMARY_DEPTH && s->from_means_table & ONES(s->depth);
	bool using = word_in(word, " using ") && s->insert;

	if (!from && !join && !using && !(word_in(word, " into ") && s->len))
		return false;
	s->list = from;
	s->expect = TARGET;
	return true;
}

static void on_word(struct summary *s, struct oa_bytes word)
{
	if (s->expect == VERB) {
		if (word_in(word, s->depth ? sub_verbs : verbs))
			on_verb(s, word);
		else if (!word_in(word, " with recursive ") || s->depth)
			s->expect = NOTHING;
		else
			s->from_means_table = 0;
	} else if (s->expect == OBJECT) {
		on_object(s, word);
	} else if (starts_sub(s, word) && !(s->expect == TARGET && word_in(s->before, " into from join table "))) {
		on_verb(s, word);
	} else if (s->expect == TARGET) {
		if (!word_in(word, passed_over))
			on_name(s, word);
	} else if (!announces(s, word) && s->expect == TARGET_END && word_in(word, clause_ends)) {
		s->expect = NOTHING;
	}
}

static void on_paren_open(struct summary *s)
{
	bool in_from = s->expect == TARGET && s->list;

	if (++s->depth < SUMMARY_DEPTH) {
		s->from_means_table &= ~ONES(s->depth);
		s->in_from = (s->in_from & ~ONES(s->depth)) | (in_from ? ONES(s->depth) : 0);
	}
	s->expect = VERB;
}

static void on_paren_close(struct summary *s)
{
	bool in_from = s->depth < SUMMARY_DEPTH && s->in_from & ONES(s->depth);

	s->depth -= s->depth > 0;
	if (in_from) { /* as if a table's name had stood there */
		s->expect = TARGET_END;
		s->list = true;
	} else if (s->expect != TARGET_END || !s->list) {
		s->expect = NOTHING;
	}
}

static void on_punct(struct summary *s, uint8_t c)
{
	switch (c) {
	case '(':
		on_paren_open(s);
		break;
	case ')':
		on_paren_close(s);
		break;
	case ';':
		end_statement(s);
		s->depth = 0;
		s->from_means_table = 0;
		s->plain = s->insert = false;
		s->expect = VERB;
		break;
	case ',':
		s->expect = s->expect == TARGET_END && s->list ? TARGET : NOTHING;
		break;
	default:
		if (s->expect != NOTHING)
			s->expect = NOTHING;
		break;
	}
}

/* A dot and the next part of a name. returns false when it is none */
static bool on_dotted(struct summary *s, enum sql_token t, struct oa_bytes token, bool *dot)
{
	if (!s->joined)
		return false;
	if (t == SQL_PUNCT && token.ptr[0] == '.' && !*dot) {
		*dot = true;
		return true;
	}
	if (*dot && (t == SQL_WORD || t == SQL_QUOTED)) {
		put_part(s, OA_LIT("."), true);
		put_part(s, token, true);
		*dot = false;
		return true;
	}
	s->joined = *dot = false;
	return false;
}

/* A name of MySQL's, whose first quote the lexer took. returns its length */
static size_t backquoted(struct sql_lex *l)
{
	size_t from = l->at - 1;

	while (l->at < l->text.len) {
		if (l->text.ptr[l->at++] != '`')
			continue;
		if (l->at == l->text.len || l->text.ptr[l->at] != '`')
			break;
		l->at++;
	}
	return l->at - from;
}

size_t oa_sql_summarize(struct oa_bytes sanitized, uint8_t out[OA_SQL_SUMMARY_MAX], unsigned *ret_statements)
{
	/* Quoted names are as they were; of both ways to write them, none is another thing in the other dialect any more. */
	struct sql_lex l = { .text = sanitized, .dialect = OA_SQL_POSTGRESQL };
	struct summary s = { .out = out, .expect = VERB };
	struct oa_bytes token;
	enum sql_token t;
	bool dot = false;

	while (!s.full && (t = oa_sql_next(&l, &token)) != SQL_END) {
		if (t == SQL_SPACE)
			continue;
		if (t == SQL_PUNCT && token.ptr[0] == '`') {
			token.len = backquoted(&l);
			t = SQL_QUOTED;
		}
		if (on_dotted(&s, t, token, &dot))
			continue;
		if (t == SQL_WORD) {
			on_word(&s, token);
			s.before = token;
		} else if (t == SQL_QUOTED) {
			if (s.expect == TARGET)
				on_name(&s, token);
			s.before = (struct oa_bytes){ 0 };
		} else {
			on_punct(&s, t == SQL_PUNCT ? token.ptr[0] : '?');
			if (t != SQL_PUNCT || token.ptr[0] != '(')
				s.before = (struct oa_bytes){ 0 };
		}
	}
	end_statement(&s);
	*ret_statements = s.pieces + s.full;
	return s.len;
}
