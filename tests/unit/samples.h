#pragma once
/* The files of a folder of tests/, for tests that play each of them. */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

#define SAMPLES_MAX 1000

struct sample {
	char name[64];
	struct oa_bytes bytes; /* to be freed; a 0 follows */
};

struct samples {
	struct sample at[SAMPLES_MAX];
	int count;
};

/* Beside the source file; tests run where its path, as the compiler was told it, holds. To be freed. */
static inline char *samples_path(const char *dir, const char *name, const char *ending)
{
	const char *here = __FILE__, *slash = strrchr(here, '/');
	char *path;

	ck_assert_int_gt(asprintf(&path, "%.*s/../%s/%s%s", slash ? (int)(slash - here) : 1, slash ? here : ".", dir,
				  name, ending), 0);
	return path;
}

static inline struct oa_bytes samples_read(const char *dir, const char *name, const char *ending)
{
	char *path = samples_path(dir, name, ending);
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	long len;

	ck_assert_msg(f != NULL, "cannot open %s", path);
	fseek(f, 0, SEEK_END);
	len = ftell(f);
	rewind(f);
	data = malloc((size_t)len + 1);
	ck_assert_uint_eq(fread(data, 1, (size_t)len, f), (size_t)len);
	data[len] = 0;
	fclose(f);
	free(path);
	return oa_bytes(data, (size_t)len);
}

static inline int samples_by_name(const void *a, const void *b)
{
	return strcmp(((const struct sample *)a)->name, ((const struct sample *)b)->name);
}

/* Every file of tests/<dir> whose name ends in `ending`, in order of names. */
static inline void samples_load(struct samples *s, const char *dir, const char *ending)
{
	char *path = samples_path(dir, "", "");
	struct dirent *entry;
	DIR *d = opendir(path);

	ck_assert_msg(d != NULL, "cannot open %s", path);
	s->count = 0;
	while ((entry = readdir(d))) {
		size_t len = strlen(entry->d_name), cut = strlen(ending);

		if (entry->d_name[0] == '.' || len <= cut || strcmp(entry->d_name + len - cut, ending))
			continue;
		ck_assert_int_lt(s->count, SAMPLES_MAX);
		snprintf(s->at[s->count++].name, sizeof(s->at[0].name), "%.*s", (int)(len - cut), entry->d_name);
	}
	closedir(d);
	free(path);
	qsort(s->at, (size_t)s->count, sizeof(s->at[0]), samples_by_name);
	for (int i = 0; i < s->count; i++)
		s->at[i].bytes = samples_read(dir, s->at[i].name, ending);
}

static inline void samples_free(struct samples *s)
{
	for (int i = 0; i < s->count; i++)
		free((void *)(uintptr_t)s->at[i].bytes.ptr);
	s->count = 0;
}
