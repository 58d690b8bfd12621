/* Messages go to fd 2 only while that still looks like a place for messages: a daemon may have
 * closed it and got the number back for a client's socket or a database file. */
#include "core/log.h"
#include "core/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "core/clock.h"
#include "core/config.h"
#include "core/sys.h"
#include "core/tree.h"

/* Runs on the side thread or once at activation, never inside a hook's fast path. */
#pragma GCC diagnostic ignored "-Wframe-larger-than="

#define LOG_LINE_MAX   1024
#define LOG_CHUNK_MAX  4096 /* PIPE_BUF: what poll() promises a pipe takes without waiting */
#define LOG_SITES_MAX  32
#define LOG_PERIOD_NS  60000000000ull
#define LOG_SIGSET_LEN 8 /* what the kernel calls a signal set */

struct log_site {
	const char *fmt;
	uint64_t said_ns;
	unsigned held; /* not said since */
};

int oa_log_level = OA_LOG_WARN;

/* Guards all below; taken or given up, never waited for. */
static atomic_flag log_busy = ATOMIC_FLAG_INIT;
static struct log_site log_sites[LOG_SITES_MAX];
static struct {
	int fd;
	dev_t dev;
	ino_t ino;
	bool complained; /* that it cannot be opened */
} log_file = { .fd = -1 };

static bool log_same_file(int fd)
{
	struct stat st;

	return oa_sys2(SYS_fstat, fd, &st) == 0 && st.st_dev == log_file.dev &&
	       st.st_ino == log_file.ino;
}

/* Moves fd out of the way of programs that count on low numbers. */
static int log_raise_fd(int fd)
{
	static const int floors[] = { 900, 256, 64 };

	for (size_t i = 0; i < sizeof(floors) / sizeof(floors[0]); i++) {
		long high = oa_sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, floors[i]);

		if (high >= 0) {
			(void)oa_sys1(SYS_close, fd); /* nothing written through it yet */
			return (int)high;
		}
	}
	return fd;
}

/* returns   its descriptor, or -errno */
static int log_file_get(const char *path)
{
	struct stat st;
	long fd;

	if (log_file.fd >= 0 && log_same_file(log_file.fd))
		return log_file.fd;
	log_file.fd = -1; /* closed by the host: not ours to close again */
	fd = oa_sys4(SYS_openat, AT_FDCWD, path,
		     O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
	if (fd < 0)
		return (int)fd;
	fd = log_raise_fd((int)fd);
	if (oa_sys2(SYS_fstat, fd, &st) == 0) {
		log_file.dev = st.st_dev;
		log_file.ino = st.st_ino;
		log_file.fd = (int)fd;
	}
	return (int)fd;
}

static bool log_socket_is_local_stream(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(domain);

	if (oa_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return false;
	len = sizeof(type);
	if (oa_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return false;
	return domain == AF_UNIX && type == SOCK_STREAM;
}

static bool log_is_for_messages(int fd)
{
	struct stat st;

	if (oa_sys2(SYS_fstat, fd, &st) < 0)
		return false;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
		return true;
	if (S_ISREG(st.st_mode)) /* a shell's `2>` opens for writing only, a database for both */
		return (oa_sys2(SYS_fcntl, fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
	/* journald's, a parent's socketpair */
	return S_ISSOCK(st.st_mode) && log_socket_is_local_stream(fd);
}

static bool log_write_chunk(int fd, const char *text, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	struct timespec none = { 0, 0 };

	if (oa_sys5(SYS_ppoll, &pfd, 1, &none, 0, LOG_SIGSET_LEN) != 1 || !(pfd.revents & POLLOUT))
		return false;
	return oa_sys3(SYS_write, fd, text, len) == (long)len;
}

/* Cut behind the last line end that fits, so that lines of several processes do not mix. */
static size_t log_chunk_len(const char *text, size_t len)
{
	const char *end;

	if (len <= LOG_CHUNK_MAX)
		return len;
	end = memrchr(text, '\n', LOG_CHUNK_MAX);
	return end ? (size_t)(end - text) + 1 : LOG_CHUNK_MAX;
}

static bool log_write_chunks(int fd, const char *text, size_t len)
{
	while (len) {
		size_t chunk = log_chunk_len(text, len);

		if (!log_write_chunk(fd, text, chunk))
			return false;
		text += chunk;
		len -= chunk;
	}
	return true;
}

/* A reader that went away must cost the host no SIGPIPE: the signal is held back, and taken if it
 * came. */
static bool log_write_quietly(int fd, const char *text, size_t len)
{
	uint64_t pipe_only = 1ull << (SIGPIPE - 1), before = 0, pending = 0;
	struct timespec none = { 0, 0 };
	bool ok;

	oa_sys4(SYS_rt_sigprocmask, SIG_BLOCK, &pipe_only, &before, LOG_SIGSET_LEN);
	oa_sys2(SYS_rt_sigpending, &pending, LOG_SIGSET_LEN);
	ok = log_write_chunks(fd, text, len);
	if (!ok && !(pending & pipe_only))
		oa_sys4(SYS_rt_sigtimedwait, &pipe_only, 0, &none, LOG_SIGSET_LEN);
	oa_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, LOG_SIGSET_LEN);
	return ok;
}

static bool log_to_stderr(const char *text, size_t len)
{
	int fd = oa_host_fd_borrow(2);
	bool ok = fd >= 0 && log_is_for_messages(fd) && log_write_quietly(fd, text, len);

	oa_host_fd_return(fd);
	return ok;
}

/* A server that changed its user, mostly. Once is enough, in all of its processes. */
static void log_complain(const char *path, int err)
{
	char line[LOG_LINE_MAX];
	int len;

	if (log_file.complained)
		return;
	log_file.complained = true;
	len = snprintf(line, sizeof(line), "otelauto: warning: OTELAUTO_LOG_FILE: %.512s cannot be opened (error %d): messages go to stderr\n",
		       path, err);
	if (len > 0 && (!oa_tree || oa_tree_first_warning(oa_bytes(line, (size_t)len))))
		(void)log_to_stderr(line, (size_t)len);
}

/* message: said on stderr when the file that the settings name cannot be had. */
static bool log_write_locked(const char *text, size_t len, bool message)
{
	const char *path = oa_config.log_file;
	int fd;

	if (!path || !*path)
		return log_to_stderr(text, len);
	fd = log_file_get(path);
	if (fd >= 0)
		return log_write_quietly(fd, text, len);
	log_complain(path, -fd);
	return message && log_to_stderr(text, len);
}

bool oa_log_write(const char *text, size_t len)
{
	bool ok;

	if (atomic_flag_test_and_set_explicit(&log_busy, memory_order_acquire))
		return false;
	ok = log_write_locked(text, len, false);
	atomic_flag_clear_explicit(&log_busy, memory_order_release);
	return ok;
}

void oa_log_forget(void) { atomic_flag_clear_explicit(&log_busy, memory_order_release); }

static struct log_site *log_site_get(const char *fmt)
{
	struct log_site *oldest = log_sites;

	for (size_t i = 0; i < LOG_SITES_MAX; i++) {
		if (log_sites[i].fmt == fmt)
			return &log_sites[i];
		if (log_sites[i].said_ns < oldest->said_ns)
			oldest = &log_sites[i];
	}
	*oldest = (struct log_site){ .fmt = fmt };
	return oldest;
}

/* returns   whether to say it now; ret_held: how often it was not said since the last time */
static bool log_site_may_speak(const char *fmt, unsigned *ret_held)
{
	struct log_site *site = log_site_get(fmt);
	uint64_t now = oa_now_ns();

	if (site->said_ns && now - site->said_ns < LOG_PERIOD_NS) {
		site->held++;
		return false;
	}
	*ret_held = site->held;
	site->said_ns = now;
	site->held = 0;
	return true;
}

static size_t log_append(char *line, size_t used, int added)
{
	if (added <= 0)
		return used;
	used += (size_t)added;
	return used < LOG_LINE_MAX - 1 ? used : LOG_LINE_MAX - 2;
}

static size_t log_format(char *line, enum oa_log_level level, const char *domain, unsigned held,
			 const char *fmt, va_list args)
{
	static const char *const names[] = { "", "error", "warning", "info", "debug" };
	bool with_domain = level >= OA_LOG_INFO && domain;
	size_t len = 0;

	len = log_append(line, len,
			 snprintf(line, LOG_LINE_MAX, "otelauto: %s: %s%s", names[level],
				  with_domain ? domain : "", with_domain ? ": " : ""));
	len = log_append(line, len, vsnprintf(line + len, LOG_LINE_MAX - len, fmt, args));
	if (held)
		len = log_append(line, len,
				 snprintf(line + len, LOG_LINE_MAX - len,
					  " (and %u times since last said)", held));
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	line[len++] = '\n';
	return len;
}

static void log_say_locked(bool limited, enum oa_log_level level, const char *domain, const char *fmt,
			   va_list args)
{
	bool by_tree = level == OA_LOG_WARN && oa_tree;
	char line[LOG_LINE_MAX];
	unsigned held = 0;
	size_t len;

	if (limited && !by_tree && level != OA_LOG_DEBUG && !log_site_may_speak(fmt, &held))
		return;
	len = log_format(line, level, domain, held, fmt, args);
	if (!by_tree || oa_tree_first_warning(oa_bytes(line, len)))
		(void)log_write_locked(line, len, true);
}

static void log_say(bool limited, enum oa_log_level level, const char *domain, const char *fmt,
		    va_list args)
{
	int saved = errno;

	if (!atomic_flag_test_and_set_explicit(&log_busy, memory_order_acquire)) {
		log_say_locked(limited, level, domain, fmt, args);
		atomic_flag_clear_explicit(&log_busy, memory_order_release);
	}
	errno = saved;
}

void oa_log(enum oa_log_level level, const char *domain, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_say(true, level, domain, fmt, args);
	va_end(args);
}

void oa_log_always(enum oa_log_level level, const char *domain, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_say(false, level, domain, fmt, args);
	va_end(args);
}
