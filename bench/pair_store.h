#pragma once
/* What pair.c sends to data stores and gets from them: a point select, as pgbench and sysbench make them. */
#include <stdbool.h>
#include <stddef.h>

/* One side's bytes. */
struct pair_bytes {
	const char *bytes;
	size_t len;
};

struct pair_store {
	const char *name;
	bool server_first;            /* it greets */
	struct pair_bytes opening[8]; /* in turns, until one is empty */
	struct pair_bytes command, answer;
};

/* The store of this name, NULL when there is none: "redis", "postgresql", "postgresql-prepared", "mysql", "mysql-prepared". */
const struct pair_store *pair_store_find(const char *name, size_t len);
