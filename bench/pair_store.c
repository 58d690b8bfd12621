#include "pair_store.h"

#include <string.h>

#define BYTES(text) { text, sizeof(text) - 1 }

/* -- PostgreSQL: a letter, the length of what follows it with itself, the rest -- */

#define PG_STARTUP "\0\0\0\x24\0\3\0\0user\0bench\0database\0bench1\0\0"
#define PG_READY   "Z\0\0\0\5I"
#define PG_WELCOME \
	"R\0\0\0\x08\0\0\0\0" \
	"S\0\0\0\x18server_version\00015.4\0" \
	"S\0\0\0\x23standard_conforming_strings\0on\0" \
	"K\0\0\0\x0c\0\0\x10\x01\x12\x34\x56\x78" PG_READY
#define PG_SELECT "SELECT abalance FROM pgbench_accounts WHERE aid = "
#define PG_ROW \
	"T\0\0\0\x21\0\1abalance\0\0\0\x40\x05\0\4\0\0\0\x17\0\4\xff\xff\xff\xff\0\0" \
	"D\0\0\0\x0b\0\1\0\0\0\1" "0" \
	"C\0\0\0\x0dSELECT 1\0" PG_READY

/* -- MySQL: three bytes of length, a number, the rest -- */

#define MYSQL_GREETING \
	"\x4a\0\0\0\x0a" "8.0.36\0\x07\0\0\0abcdefgh\0\xff\xf7\x21\x02\0\xff\x81\x15" \
	"\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2_password\0"
#define MYSQL_LOGIN \
	"\x44\0\0\1\x0d\xa2\x0a\0\0\0\0\x01\x21" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" "bench\0\0sbtest\0mysql_native_password\0"
#define MYSQL_OK "\7\0\0\2\0\0\0\2\0\0\0"
#define MYSQL_COLUMN(n) "\x2c\0\0" n "\3def\6sbtest\7sbtest1\7sbtest1\1c\1c\x0c\x21\0\x68\1\0\0\xfe\1\0\0\0\0"
#define MYSQL_EOF(n) "\5\0\0" n "\xfe\0\0\2\0"

static const struct pair_store stores[] = {
	{ .name = "redis",
	  .command = BYTES("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n"),
	  .answer = BYTES("$3\r\nxxx\r\n") },
	{ .name = "postgresql",
	  .opening = { BYTES(PG_STARTUP), BYTES(PG_WELCOME) },
	  .command = BYTES("Q\0\0\0\x3d" PG_SELECT "12345;\0"),
	  .answer = BYTES(PG_ROW) },
	{ .name = "postgresql-prepared",
	  .opening = { BYTES(PG_STARTUP), BYTES(PG_WELCOME),
		       BYTES("P\0\0\0\x41P0_1\0" PG_SELECT "$1;\0\0\0S\0\0\0\4"), BYTES("1\0\0\0\4" PG_READY) },
	  .command = BYTES("B\0\0\0\x19\0P0_1\0\0\0\0\1\0\0\0\x05" "12345\0\0"
			   "D\0\0\0\6P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\4"),
	  .answer = BYTES("2\0\0\0\4" PG_ROW) },
	{ .name = "mysql",
	  .server_first = true,
	  .opening = { BYTES(MYSQL_GREETING), BYTES(MYSQL_LOGIN), BYTES(MYSQL_OK) },
	  .command = BYTES("\x25\0\0\0\3SELECT c FROM sbtest1 WHERE id=50123"),
	  .answer = BYTES("\1\0\0\1\1" MYSQL_COLUMN("\2") MYSQL_EOF("\3") "\6\0\0\4\5hello" MYSQL_EOF("\5")) },
	{ .name = "mysql-prepared",
	  .server_first = true,
	  .opening = { BYTES(MYSQL_GREETING), BYTES(MYSQL_LOGIN), BYTES(MYSQL_OK),
		       BYTES("\x21\0\0\0\x16SELECT c FROM sbtest1 WHERE id=?"),
		       BYTES("\x0c\0\0\1\0\1\0\0\0\1\0\1\0\0\0\0" "\x17\0\0\2\3def\0\0\0\1?\0\x0c\x3f\0\0\0\0\0\xfd\x80\0\0\0\0"
			     MYSQL_EOF("\3") MYSQL_COLUMN("\4")
			     MYSQL_EOF("\5")) },
	  .command = BYTES("\x16\0\0\0\x17\1\0\0\0\0\1\0\0\0\0\1\x08\0\xcb\xc3\0\0\0\0\0\0"),
	  .answer = BYTES("\1\0\0\1\1" MYSQL_COLUMN("\2") MYSQL_EOF("\3") "\x08\0\0\4\0\0\5hello" MYSQL_EOF("\5")) },
};

const struct pair_store *pair_store_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++)
		if (strlen(stores[i].name) == len && !memcmp(stores[i].name, name, len))
			return &stores[i];
	return NULL;
}
