#include "exporter/retry.h"

#define RETRY_AFTER_MAX_S (1 << 24) /* half a year: enough to be past every deadline */

uint64_t oa_retry_pause_ms(unsigned attempt, uint64_t random)
{
	uint64_t pause = OA_RETRY_FIRST_MS;

	while (attempt-- > 1 && pause < OA_RETRY_LAST_MS)
		pause *= 2;
	if (pause > OA_RETRY_LAST_MS)
		pause = OA_RETRY_LAST_MS;
	return pause / 2 + random % (pause / 2 + 1);
}

/* -- dates -- */

struct date {
	int year, month, day, hour, minute, second;
};

static int64_t date_unix(const struct date *d)
{
	/* Years begin in March here, so that the leap day is the last one. */
	int64_t year = d->month < 2 ? d->year - 1 : d->year;
	int64_t month = (d->month + 10) % 12;
	int64_t days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + d->day - 1 - 719468;

	return days * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
}

/* A cursor over the text; what does not fit makes it fail for good. */
struct cursor {
	const uint8_t *p, *end;
	bool failed;
};

static int take_number(struct cursor *c, int digits)
{
	int value = 0;

	if (c->end - c->p < digits)
		c->failed = true;
	for (; digits && !c->failed; digits--, c->p++) {
		if ((uint8_t)(*c->p - '0') > 9)
			c->failed = true;
		value = value * 10 + (*c->p - '0');
	}
	return value;
}

static void take_char(struct cursor *c, char wanted)
{
	if (c->failed || c->p == c->end || *c->p != (uint8_t)wanted)
		c->failed = true;
	else
		c->p++;
}

static int take_month(struct cursor *c)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	if (c->failed || c->end - c->p < 3)
		c->failed = true;
	for (int i = 0; !c->failed && i < 12; i++)
		if (memcmp(c->p, names + 3 * i, 3) == 0) {
			c->p += 3;
			return i;
		}
	c->failed = true;
	return 0;
}

static void take_time(struct cursor *c, struct date *d)
{
	d->hour = take_number(c, 2);
	take_char(c, ':');
	d->minute = take_number(c, 2);
	take_char(c, ':');
	d->second = take_number(c, 2);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" and, with dashes and a year of two digits, "Sunday, 06-Nov-94 08:49:37 GMT" */
static void take_comma_date(struct cursor *c, struct date *d, int this_year)
{
	char between;

	take_char(c, ' ');
	d->day = take_number(c, 2);
	between = c->p < c->end && *c->p == '-' ? '-' : ' ';
	take_char(c, between);
	d->month = take_month(c);
	take_char(c, between);
	d->year = take_number(c, between == '-' ? 2 : 4);
	if (between == '-') { /* the century that is at most 50 years ahead */
		d->year += this_year - this_year % 100;
		if (d->year > this_year + 50)
			d->year -= 100;
	}
	take_char(c, ' ');
	take_time(c, d);
	take_char(c, ' ');
	take_char(c, 'G');
	take_char(c, 'M');
	take_char(c, 'T');
}

/* "Sun Nov  6 08:49:37 1994" */
static void take_asctime(struct cursor *c, struct date *d)
{
	c->p += 3;
	take_char(c, ' ');
	d->month = take_month(c);
	take_char(c, ' ');
	if (c->p < c->end && *c->p == ' ') {
		c->p++;
		d->day = take_number(c, 1);
	} else {
		d->day = take_number(c, 2);
	}
	take_char(c, ' ');
	take_time(c, d);
	take_char(c, ' ');
	d->year = take_number(c, 4);
}

static int64_t retry_date_ms(struct oa_bytes text, int64_t now_s)
{
	struct cursor c = { text.ptr, text.ptr + text.len, false };
	const uint8_t *comma = memchr(text.ptr, ',', text.len);
	struct date d = { 0 };
	int64_t at;

	if (comma) {
		c.p = comma + 1;
		take_comma_date(&c, &d, (int)(1970 + now_s / 31556952));
	} else if (text.len > 4) {
		take_asctime(&c, &d);
	} else {
		return -1;
	}
	if (c.failed || c.p != c.end || d.day < 1 || d.day > 31 || d.hour > 23 || d.minute > 59 || d.second > 60)
		return -1;
	at = date_unix(&d);
	return at > now_s ? (at - now_s) * 1000 : 0;
}

int64_t oa_retry_after_ms(struct oa_bytes text, int64_t now_s)
{
	int64_t seconds = 0;

	text = oa_bytes_trim(text);
	if (!text.len)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if ((uint8_t)(text.ptr[i] - '0') > 9)
			return i ? -1 : retry_date_ms(text, now_s);
		if (seconds < RETRY_AFTER_MAX_S)
			seconds = seconds * 10 + (text.ptr[i] - '0');
	}
	return seconds * 1000;
}
