#pragma once
/* Logging: silent by default. Warnings about settings are said once at activation; the rest only as
 * OTEL_LOG_LEVEL allows. Stack buffer and one raw write to fd 2 (or OTELAUTO_LOG_FILE); errno kept;
 * the write never waits and never raises SIGPIPE. The right side only (preload/ pipeline/
 * exporter/). The same message is said at most once a minute, with a count; debug messages always.
 * A warning is about the settings and said once in a tree of processes.
 * Payload bytes and header values never. */
#include <stdbool.h>
#include <stddef.h>

enum oa_log_level { OA_LOG_NONE, OA_LOG_ERROR, OA_LOG_WARN, OA_LOG_INFO, OA_LOG_DEBUG };

extern int oa_log_level; /* set by config */

/* One line, formatted and ended by us. "Same message" means the same fmt. */
void oa_log(enum oa_log_level level, const char *domain, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without the limit, for messages that are said once anyway. */
void oa_log_always(enum oa_log_level level, const char *domain, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Whole lines as they are to where messages go: the console exporter.
 * returns   false when nobody can take them now or there is no place to write: they are dropped */
bool oa_log_write(const char *text, size_t len);

/* Child after fork: the file is opened again before it is written to. */
void oa_log_forget(void);

#define oa_err(...) \
	do { \
		if (oa_log_level >= OA_LOG_ERROR) \
			oa_log(OA_LOG_ERROR, OA_LOG_DOMAIN, __VA_ARGS__); \
	} while (0)
#define oa_warn(...) \
	do { \
		if (oa_log_level >= OA_LOG_WARN) \
			oa_log(OA_LOG_WARN, OA_LOG_DOMAIN, __VA_ARGS__); \
	} while (0)
#define oa_info(...) \
	do { \
		if (oa_log_level >= OA_LOG_INFO) \
			oa_log(OA_LOG_INFO, OA_LOG_DOMAIN, __VA_ARGS__); \
	} while (0)
#define oa_dbg(...) \
	do { \
		if (oa_log_level >= OA_LOG_DEBUG) \
			oa_log(OA_LOG_DEBUG, OA_LOG_DOMAIN, __VA_ARGS__); \
	} while (0)
