#include "scripts/doctor/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void texts_add(struct texts *texts, const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	for (size_t i = 0; i < texts->count; i++)
		if (texts->count == TEXTS_MAX || !strcmp(texts->items[i], text)) {
			free(text);
			return;
		}
	texts->items[texts->count++] = text;
}

void texts_free(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->items[i]);
	texts->count = 0;
}

void report_free(struct report *report)
{
	for (size_t i = 0; i < LIBRARY_KINDS; i++)
		texts_free(&report->libraries[i]);
	for (size_t i = 0; i < CALLS_FAMILIES; i++)
		texts_free(&report->calls[i]);
	texts_free(&report->seen);
	texts_free(&report->unseen);
	texts_free(&report->why);
	texts_free(&report->blockers);
	texts_free(&report->notes);
}

const char *report_language_name(const struct report *report)
{
	static const char *const names[] = { "C or C++", "Rust", "Go",   "Node.js", "Java",
					     "Python",   "PHP",  "Ruby", "Perl" };

	return names[report->language];
}

const char *report_verdict_text(const struct report *report)
{
	static const char *const names[] = { "fine", "partly", "nothing" };

	return names[report->verdict];
}
