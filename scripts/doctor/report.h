#pragma once
/* What doctor found out about one program, and what follows from it. */
#include <stdbool.h>
#include <stddef.h>

#include "scripts/doctor/elf_file.h"
#include "scripts/doctor/locate.h"

#define TEXTS_MAX 96

struct texts {
	char *items[TEXTS_MAX];
	size_t count;
};

/* Adds a text unless it is there already. */
void texts_add(struct texts *texts, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void texts_free(struct texts *texts);

enum library_kind {
	LIBRARY_TLS, /* those that are hooked */
	LIBRARY_TLS_UNSEEN,
	LIBRARY_GRPC,
	LIBRARY_HTTP3,
	LIBRARY_DATABASE,
	LIBRARY_URING,
	LIBRARY_JAVA,
	LIBRARY_PYTHON,
	LIBRARY_RUBY,
	LIBRARY_PERL,
	LIBRARY_NODE,
	LIBRARY_PHP,
	LIBRARY_KINDS
};

enum call_family {
	CALLS_ACCEPT,
	CALLS_CONNECT,
	CALLS_RECEIVE,
	CALLS_SEND,
	CALLS_WAIT,
	CALLS_URING,
	CALLS_MODULES,
	CALLS_FAMILIES
};

enum language {
	LANGUAGE_NATIVE,
	LANGUAGE_RUST,
	LANGUAGE_GO,
	LANGUAGE_NODE,
	LANGUAGE_JAVA,
	LANGUAGE_PYTHON,
	LANGUAGE_PHP,
	LANGUAGE_RUBY,
	LANGUAGE_PERL
};

enum verdict { VERDICT_FINE, VERDICT_PARTLY, VERDICT_NOTHING }; /* also the exit status */

struct report {
	const char *command;
	struct program program;
	enum locate_result located;
	enum elf_result opened;
	const char *machine; /* when it is not ours */
	bool is_static, is_pie, is_library;
	bool is_setuid, is_setgid, has_capabilities;
	char interp[128];
	bool is_musl;
	unsigned glibc_needed, glibc_here, glibc_of_ours; /* x * 1000 + y; 0: unknown */
	enum language language;
	char language_version[64];
	const char *tls_inside;  /* a TLS library in the program itself, or in its gRPC; NULL: none found */
	const char *excluded_by; /* built-in list or a setting; NULL: observed */
	bool switched_off;
	struct texts libraries[LIBRARY_KINDS]; /* "OpenSSL (libssl.so.3)" */
	struct texts calls[CALLS_FAMILIES];
	char missing[1024]; /* libraries not found */

	enum verdict verdict;
	struct texts seen, unseen, why; /* why[i] belongs to unseen[i] */
	struct texts blockers, notes;
};

void report_inspect(struct report *report, const char *command); /* facts */
void report_judge(struct report *report);                        /* what follows */
void report_print_text(const struct report *report);
void report_print_json(const struct report *report);
void report_free(struct report *report);

const char *report_language_name(const struct report *report);
const char *report_verdict_text(const struct report *report);
