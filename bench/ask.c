/* A client of a data store that asks when it is told to: each line on its stdin is a block of questions, whose median time
 * it prints. bench/harness/stores.py visits several of them, or one for each of several servers, in random order.
 *
 * ask --kind pg|pg-prepared|mysql|mysql-prepared|redis --port P [--requests N] [--discard N] [--pipeline N]
 * libpq and libmariadb are those of the system, loaded when asked for. */
#include "measure.h"

#include <dlfcn.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_MAX    256
#define PIPELINE_MAX 64
#define ROWS         1000

struct client {
	const char *kind;
	void (*open)(unsigned port);
	void (*ask)(unsigned key);
};

static void *library;

static void load(const char *name)
{
	library = dlopen(name, RTLD_NOW);
	if (!library)
		measure_die(dlerror());
}

/* A function of the library, typed by the variable that it is for. */
#define FIND(fn) (*(void **)&(fn) = dlsym(library, #fn))

/* -- PostgreSQL -- */

static void *(*PQconnectdb)(const char *);
static void *(*PQexec)(void *, const char *);
static void *(*PQprepare)(void *, const char *, const char *, int, const void *);
static void *(*PQexecPrepared)(void *, const char *, int, const char *const *, const int *, const int *, int);
static int (*PQntuples)(const void *);
static void (*PQclear)(void *);
static void *pg;

static void pg_open(unsigned port)
{
	char info[128];

	load("libpq.so.5");
	FIND(PQconnectdb), FIND(PQexec), FIND(PQprepare), FIND(PQexecPrepared), FIND(PQntuples), FIND(PQclear);
	snprintf(info, sizeof(info), "host=127.0.0.1 port=%u user=postgres dbname=postgres sslmode=disable gssencmode=disable", port);
	pg = PQconnectdb(info);
	PQclear(PQprepare(pg, "p", "SELECT abalance FROM pgbench_accounts WHERE aid = $1", 1, NULL));
}

static void pg_check(void *result)
{
	if (PQntuples(result) != 1)
		measure_die("PostgreSQL has no such row");
	PQclear(result);
}

static void pg_ask(unsigned key)
{
	char query[80];

	snprintf(query, sizeof(query), "SELECT abalance FROM pgbench_accounts WHERE aid = %u", key);
	pg_check(PQexec(pg, query));
}

static void pg_ask_prepared(unsigned key)
{
	char text[12];
	const char *value = text;

	snprintf(text, sizeof(text), "%u", key);
	pg_check(PQexecPrepared(pg, "p", 1, &value, NULL, NULL, 0));
}

/* -- MariaDB -- */

static void *(*mysql_init)(void *);
static void *(*mysql_real_connect)(void *, const char *, const char *, const char *, const char *, unsigned, const char *,
				   unsigned long);
static int (*mysql_real_query)(void *, const char *, unsigned long);
static void *(*mysql_store_result)(void *);
static void (*mysql_free_result)(void *);
static void *(*mysql_stmt_init)(void *);
static int (*mysql_stmt_prepare)(void *, const char *, unsigned long);
static int (*mysql_stmt_execute)(void *);
static int (*mysql_stmt_store_result)(void *);
static char (*mysql_stmt_free_result)(void *);
static void *my, *statement;

static void my_open(unsigned port)
{
	static const char text[] = "SELECT v FROM bench WHERE id = 7";

	load("libmariadb.so.3");
	FIND(mysql_init), FIND(mysql_real_connect), FIND(mysql_real_query), FIND(mysql_store_result), FIND(mysql_free_result);
	FIND(mysql_stmt_init), FIND(mysql_stmt_prepare), FIND(mysql_stmt_execute), FIND(mysql_stmt_store_result),
		FIND(mysql_stmt_free_result);
	my = mysql_init(NULL);
	if (!mysql_real_connect(my, "127.0.0.1", "bench", "bench", "bench", port, NULL, 0))
		measure_die("mysql_real_connect");
	statement = mysql_stmt_init(my);
	if (mysql_stmt_prepare(statement, text, sizeof(text) - 1))
		measure_die("mysql_stmt_prepare");
}

static void my_ask(unsigned key)
{
	char query[64];
	int len = snprintf(query, sizeof(query), "SELECT v FROM bench WHERE id = %u", key);

	if (mysql_real_query(my, query, (unsigned long)len))
		measure_die("mysql_real_query");
	mysql_free_result(mysql_store_result(my));
}

static void my_ask_prepared(unsigned key)
{
	(void)key;
	if (mysql_stmt_execute(statement) || mysql_stmt_store_result(statement))
		measure_die("mysql_stmt_execute");
	mysql_stmt_free_result(statement);
}

/* -- Redis -- */

static int redis;
static unsigned pipeline;

static void redis_open(unsigned port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	redis = socket(AF_INET, SOCK_STREAM, 0);
	if (redis < 0 || connect(redis, (void *)&at, sizeof(at)))
		measure_die("connect");
	setsockopt(redis, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* As many as the pipeline takes, in one call each way. */
static void redis_ask(unsigned key)
{
	static const char one[] = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n";
	static const char answer[] = "$16\r\n0123456789abcdef\r\n";
	static char all[PIPELINE_MAX * sizeof(one)];
	size_t want = pipeline * (sizeof(answer) - 1), got = 0;

	(void)key;
	if (!all[0])
		for (unsigned i = 0; i < pipeline; i++)
			memcpy(all + i * (sizeof(one) - 1), one, sizeof(one) - 1);
	if (!measure_write_all(redis, all, pipeline * (sizeof(one) - 1)))
		measure_die("write");
	while (got < want) {
		char in[PIPELINE_MAX * sizeof(answer)];
		ssize_t n = read(redis, in, sizeof(in));

		if (n <= 0 || in[0] == '-')
			measure_die("read");
		got += (size_t)n;
	}
}

/* -- */

static const struct client clients[] = {
	{ "pg", pg_open, pg_ask },       { "pg-prepared", pg_open, pg_ask_prepared },
	{ "mysql", my_open, my_ask },    { "mysql-prepared", my_open, my_ask_prepared },
	{ "redis", redis_open, redis_ask },
};

static const struct client *client_of(const char *kind)
{
	for (size_t i = 0; i < MEASURE_COUNT(clients); i++)
		if (strcmp(clients[i].kind, kind) == 0)
			return &clients[i];
	measure_die("--kind");
	return NULL;
}

static double block(const struct client *c, unsigned requests, unsigned discard, uint64_t *random)
{
	double ns[BLOCK_MAX];

	for (unsigned i = 0; i < requests; i++) {
		unsigned key = (unsigned)(measure_random(random) % ROWS) + 1;
		uint64_t start = measure_now_ns();

		c->ask(key);
		if (i >= discard)
			ns[i - discard] = (double)(measure_now_ns() - start);
	}
	return measure_median(ns, requests - discard);
}

int main(int argc, char **argv)
{
	const struct client *c = client_of(measure_option(argc, argv, "--kind", ""));
	unsigned requests = (unsigned)measure_number(argc, argv, "--requests", 14);
	unsigned discard = (unsigned)measure_number(argc, argv, "--discard", 4);
	uint64_t random = measure_seed();
	char line[16];

	pipeline = (unsigned)measure_number(argc, argv, "--pipeline", 1);
	if (requests <= discard || requests > BLOCK_MAX || !pipeline || pipeline > PIPELINE_MAX)
		measure_die("--requests, --pipeline");
	c->open((unsigned)measure_number(argc, argv, "--port", 0));
	(void)block(c, requests, discard, &random);
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, line, sizeof(line)) > 0) {
		printf("{\"ns\": %.0f}\n", block(c, requests, discard, &random));
		fflush(stdout);
	}
	return 0;
}
