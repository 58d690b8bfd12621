/* From facts to sentences: what will be seen, what not and why. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripts/doctor/report.h"

static void unseen(struct report *report, const char *what, const char *why)
{
	size_t before = report->unseen.count;

	texts_add(&report->unseen, "%s", what);
	/* Not through texts_add: two things may have one reason. */
	if (report->unseen.count > before)
		report->why.items[report->why.count++] = strdup(why);
}

static bool loads_modules(const struct report *report) { return report->language >= LANGUAGE_NODE; }

static void judge_file(struct report *report)
{
	static const char *const located[] = {
		[LOCATE_NOT_FOUND] = "there is no such program",
		[LOCATE_NOT_EXECUTABLE] = "the file is not executable",
		[LOCATE_NO_INTERPRETER] =
			"it is a script, and the interpreter of its #! line is not there",
	};

	if (report->located != LOCATE_OK)
		texts_add(&report->blockers, "%s", located[report->located]);
	else if (report->opened == ELF_UNREADABLE)
		texts_add(&report->blockers, "the file cannot be read");
	else if (report->opened == ELF_NOT_ELF)
		texts_add(&report->blockers, "the file is not a program (no ELF file)");
	else if (report->opened == ELF_OTHER_MACHINE)
		texts_add(&report->blockers, "the program is for %s, the library for x86_64",
			  report->machine);
	else if (report->is_library)
		texts_add(&report->blockers, "the file is a library, not a program");
}

static void judge_linking(struct report *report)
{
	if (report->language == LANGUAGE_GO)
		texts_add(&report->blockers,
			  "a Go program: it makes its system calls itself, without the C "
			  "library, %s",
			  report->is_static ? "and is linked statically"
					    : "also when it is linked dynamically");
	else if (report->is_static && !report->is_library)
		texts_add(&report->blockers,
			  "linked statically: no loader runs that could load the library");
	else if (report->is_musl)
		texts_add(&report->blockers, "built for musl; the library needs glibc");
	if (report->glibc_of_ours > report->glibc_here)
		texts_add(&report->blockers, "the library needs glibc %u.%u, here is %u.%u",
			  report->glibc_of_ours / 1000, report->glibc_of_ours % 1000,
			  report->glibc_here / 1000, report->glibc_here % 1000);
	if (*report->interp && !report->is_musl && !strstr(report->interp, "/ld-linux-x86-64.so."))
		texts_add(&report->notes, "an unusual loader, %s: the library may not load",
			  report->interp);
}

static void judge_rights(struct report *report)
{
	if (report->is_setuid || report->is_setgid)
		texts_add(&report->blockers, "%s: for other users the loader ignores LD_PRELOAD",
			  report->is_setuid ? "setuid" : "setgid");
	if (report->has_capabilities)
		texts_add(&report->blockers,
			  "file capabilities (setcap): for users but root the loader "
			  "ignores LD_PRELOAD; give them by the service manager instead "
			  "(systemd: AmbientCapabilities=)");
	if (report->switched_off)
		texts_add(&report->blockers, "OTELAUTO_DISABLED or OTEL_SDK_DISABLED is set");
	if (report->excluded_by)
		texts_add(&report->blockers, "%s", report->excluded_by);
}

static void judge_traffic(struct report *report)
{
	bool serves = report->calls[CALLS_ACCEPT].count || loads_modules(report);
	bool calls = report->calls[CALLS_CONNECT].count || loads_modules(report);
	bool modules = report->calls[CALLS_MODULES].count;

	if (serves)
		texts_add(&report->seen,
			  "HTTP/1, HTTP/2 and gRPC requests answered in plain text: server spans, request "
			  "metrics, the caller's trace context");
	if (calls)
		texts_add(&report->seen,
			  "HTTP/1, HTTP/2 and gRPC requests made in plain text: client spans, request metrics, "
			  "trace context added to the request");
	if (!serves && !calls && modules)
		unseen(report, "what it does by itself with connections: nothing",
		       "it imports no socket calls; modules it loads at run time may, and are seen "
		       "then");
	else if (!serves && !calls)
		texts_add(&report->blockers,
			  "it opens no connections: neither it nor its libraries import "
			  "accept or connect");
	else if (modules)
		texts_add(&report->notes,
			  "it can load modules at run time: their connections are observed too, "
			  "but TLS and databases in them are not named here");
}

/* "OpenSSL (libssl.so.3), GnuTLS (libgnutls.so.30)" behind `what`. */
static void name_libraries(char *ret, size_t cap, const char *what, const struct texts *found)
{
	size_t len = (size_t)snprintf(ret, cap, "%s", what);

	for (size_t i = 0; i < found->count && len < cap; i++)
		len += (size_t)snprintf(ret + len, cap - len, "%s%s", i ? ", " : "", found->items[i]);
}

static void judge_libraries(struct report *report, enum library_kind kind, const char *what,
			    const char *why)
{
	char text[512];

	name_libraries(text, sizeof(text), what, &report->libraries[kind]);
	if (report->libraries[kind].count)
		unseen(report, text, why);
}

static void judge_tls(struct report *report)
{
	const struct texts *hooked = &report->libraries[LIBRARY_TLS];
	char text[512];

	name_libraries(text, sizeof(text), "the same inside TLS, before it is encrypted: by ", hooked);
	if (hooked->count)
		texts_add(&report->seen, "%s", text);
	judge_libraries(report, LIBRARY_TLS_UNSEEN, "requests inside TLS by ",
			"of TLS libraries only OpenSSL and GnuTLS are hooked; such connections are counted as opaque "
			"(reason \"tls\")");
	if (!report->tls_inside || report->language == LANGUAGE_NODE || report->language == LANGUAGE_JAVA)
		return;
	snprintf(text, sizeof(text), "requests inside TLS by %s, which is in the program itself%s", report->tls_inside,
		 report->libraries[LIBRARY_GRPC].count ? " or in its gRPC library" : "");
	unseen(report, text,
	       "it calls that copy directly, without a name that could be hooked; such connections are counted as opaque "
	       "(reason \"tls\")");
}

static void judge_layers(struct report *report)
{
	judge_tls(report);
	judge_libraries(report, LIBRARY_HTTP3, "", "it goes over UDP");
	judge_libraries(report, LIBRARY_DATABASE, "queries: ",
			"what these libraries speak is not read, or only in part; the requests around it are seen");
	if (report->libraries[LIBRARY_URING].count || report->calls[CALLS_URING].count)
		unseen(report, "connections driven by io_uring",
		       "the kernel does the work without a call of the C library");
}

/* The module is loaded when it is needed; it brings its library with it. */
static void judge_tls_module(struct report *report, const char *module)
{
	if (!report->libraries[LIBRARY_TLS].count)
		texts_add(&report->seen, "the same inside TLS, before it is encrypted: by %s, which uses a shared OpenSSL",
			  module);
}

static void judge_language(struct report *report)
{
	switch (report->language) {
	case LANGUAGE_NODE:
		if (report->tls_inside)
			unseen(report, "HTTPS",
			       "TLS is inside the node program itself: it exports its own OpenSSL and calls that; such "
			       "connections are counted as opaque (reason \"tls\")");
		texts_add(&report->notes,
			  "with several requests in flight an outgoing call may have no certain "
			  "parent; it is then linked to the candidates");
		break;
	case LANGUAGE_JAVA:
		unseen(report, "HTTPS",
		       "TLS is done in Java, no library call can be observed; such connections are counted as opaque "
		       "(reason \"tls\")");
		texts_add(&report->notes,
			  "thread pools and virtual threads hand requests over unseen: an "
			  "outgoing call on another thread may have no parent");
		break;
	case LANGUAGE_PYTHON:
		judge_tls_module(report, "the module ssl");
		texts_add(&report->notes,
			  "asyncio: with several requests in flight an outgoing call may have "
			  "no certain parent; it is then linked to the candidates");
		texts_add(&report->notes, "packages with a TLS library inside (grpcio: BoringSSL; some Rust ones: rustls) are not "
					  "seen inside TLS; a bundled libssl-….so is");
		break;
	case LANGUAGE_PHP:
		unseen(report, "outgoing calls of extensions (curl, pgsql …)",
		       "PHP may load extensions with RTLD_DEEPBIND, which hides every preloaded "
		       "library "
		       "from them; libcurl.so.4 and libpq.so.5 named in LD_PRELOAD behind "
		       "libotelauto.so make "
		       "theirs seen");
		break;
	case LANGUAGE_RUBY:
		judge_tls_module(report, "the extension openssl");
		break;
	case LANGUAGE_PERL:
		judge_tls_module(report, "Net::SSLeay");
		break;
	default:
		break;
	}
}

static void judge_notes(struct report *report)
{
	const char *preloaded = getenv("LD_PRELOAD");

	if (report->program.shell_hint)
		texts_add(&report->notes, "%s", report->program.shell_hint);
	if (*report->missing)
		texts_add(&report->notes, "libraries not found: %s", report->missing);
	if (preloaded && *preloaded)
		texts_add(&report->notes,
			  "LD_PRELOAD is set already: add to it, do not replace it");
}

void report_judge(struct report *report)
{
	judge_file(report);
	if (!report->blockers.count) {
		judge_linking(report);
		judge_rights(report);
		if (!report->is_static && report->language != LANGUAGE_GO)
			judge_traffic(report);
	}
	if (!report->blockers.count) {
		judge_layers(report);
		judge_language(report);
	}
	judge_notes(report);
	report->verdict = report->blockers.count ? VERDICT_NOTHING
			  : report->unseen.count ? VERDICT_PARTLY
						 : VERDICT_FINE;
	if (report->blockers.count) {
		texts_free(&report->seen);
		texts_free(&report->unseen);
		texts_free(&report->why);
	}
}
