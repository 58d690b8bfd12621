/* Functions of the third parties that would read the host's environment, change its signals, take one of
 * libc's locks (a host that forks meanwhile leaves it locked in the child), or end the process. */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/utsname.h>

#include "core/civil_time.h"
#include "core/id.h"
#include "core/sys.h"
#include "core/wrap.h"

char *__wrap_getenv(const char *name) { return NULL; }
char *__wrap_secure_getenv(const char *name) { return NULL; }

/* Another preloaded library may have its own of these, whose state is gone when the process ends (nss_wrapper), or that
 * take locks: our thread runs none of them. */
int __wrap_gethostname(char *ret_name, size_t bytes)
{
	struct utsname names;

	if (oa_sys1(SYS_uname, &names) < 0 || strlen(names.nodename) >= bytes) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(ret_name, names.nodename);
	return 0;
}

uid_t __wrap_getuid(void) { return (uid_t)oa_sys0(SYS_getuid); }
uid_t __wrap_geteuid(void) { return (uid_t)oa_sys0(SYS_geteuid); }
gid_t __wrap_getgid(void) { return (gid_t)oa_sys0(SYS_getgid); }
gid_t __wrap_getegid(void) { return (gid_t)oa_sys0(SYS_getegid); }
pid_t __wrap_getpid(void) { return (pid_t)oa_sys0(SYS_getpid); }

long __wrap_syscall(long number, ...)
{
	long arguments[6], result;
	va_list list;

	va_start(list, number);
	for (unsigned i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	result = oa_sys6(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

int __wrap_gettimeofday(struct timeval *restrict ret_now, void *restrict zone)
{
	struct timespec now;

	__wrap_clock_gettime(CLOCK_REALTIME, &now);
	*ret_now = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

time_t __wrap_time(time_t *ret_now)
{
	struct timespec now;

	__wrap_clock_gettime(CLOCK_REALTIME, &now);
	if (ret_now)
		*ret_now = now.tv_sec;
	return now.tv_sec;
}

struct tm *__wrap_gmtime_r(const time_t *restrict seconds, struct tm *restrict ret_date)
{
	int result = oa_civil_from_unix(*seconds, ret_date);

	if (result == 0)
		return ret_date;
	errno = -result;
	return NULL;
}

struct tm *__wrap_gmtime(const time_t *seconds)
{
	static struct tm date; /* side thread only */

	return __wrap_gmtime_r(seconds, &date);
}

struct tm *__wrap_localtime_r(const time_t *restrict seconds, struct tm *restrict ret_date)
{
	return __wrap_gmtime_r(seconds, ret_date);
}

struct tm *__wrap_localtime(const time_t *seconds) { return __wrap_gmtime(seconds); }

/* libc's texts are translated, under a lock. strerrorname_np() would do but is too new. */
int __wrap___xpg_strerror_r(int error, char *text, size_t bytes)
{
	static const char prefix[] = "errno ";
	char whole[sizeof(prefix) + 10];
	char *at = whole + sizeof(whole);
	unsigned int left = error < 0 ? 0u : (unsigned int)error;

	*--at = '\0';
	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	at -= sizeof(prefix) - 1;
	memcpy(at, prefix, sizeof(prefix) - 1);
	if ((size_t)(whole + sizeof(whole) - at) > bytes)
		return ERANGE;
	memcpy(text, at, (size_t)(whole + sizeof(whole) - at));
	return 0;
}

char *__wrap_strerror(int error)
{
	static char text[32]; /* side thread only */

	__wrap___xpg_strerror_r(error, text, sizeof(text));
	return text;
}

/* Names are looked up by c-ares; the system's way loads libraries and takes locks. */
const char *__wrap_gai_strerror(int error) { return "name lookup failed"; }

int __wrap_getaddrinfo(const char *restrict node, const char *restrict service,
		       const struct addrinfo *restrict hints, struct addrinfo **restrict ret_list)
{
	return EAI_FAIL;
}

void __wrap_freeaddrinfo(struct addrinfo *list) {}

/* Always in digits, and never an error: evhttp, which asks for each connection, ends the process on one. */
int __wrap_getnameinfo(const struct sockaddr *restrict address, socklen_t bytes, char *restrict host,
		       socklen_t host_bytes, char *restrict service, socklen_t service_bytes, int flags)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	bool is_v6 = address->sa_family == AF_INET6, is_ip = is_v6 || address->sa_family == AF_INET;
	const void *number = is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr;

	if (host_bytes && (!is_ip || !inet_ntop(address->sa_family, number, host, host_bytes)))
		host[0] = '\0';
	if (service_bytes)
		snprintf(service, service_bytes, "%u", is_ip ? ntohs(is_v6 ? v6->sin6_port : v4->sin_port) : 0u);
	return 0;
}

struct hostent *__wrap_gethostbyname(const char *name) { return NULL; }

int __wrap_gethostbyname_r(const char *restrict name, struct hostent *restrict entry, char *restrict buf,
			   size_t bytes, struct hostent **restrict ret_entry, int *restrict ret_error)
{
	*ret_entry = NULL;
	*ret_error = NO_RECOVERY;
	return ENOENT;
}

struct servent *__wrap_getservbyname(const char *name, const char *proto) { return NULL; }

int __wrap_getservbyname_r(const char *restrict name, const char *restrict proto, struct servent *restrict entry,
			   char *restrict buf, size_t bytes, struct servent **restrict ret_entry)
{
	*ret_entry = NULL;
	return ENOENT;
}

int __wrap_getservbyport_r(int port, const char *restrict proto, struct servent *restrict entry,
			   char *restrict buf, size_t bytes, struct servent **restrict ret_entry)
{
	*ret_entry = NULL;
	return ENOENT;
}

struct protoent *__wrap_getprotobynumber(int number) { return NULL; }

int __wrap_getifaddrs(struct ifaddrs **ret_list)
{
	errno = ENOSYS;
	return -1;
}

void __wrap_freeifaddrs(struct ifaddrs *list) {}
unsigned int __wrap_if_nametoindex(const char *name) { return 0; }
char *__wrap_if_indextoname(unsigned int index, char *ret_name) { return NULL; }
struct passwd *__wrap_getpwuid(uid_t uid) { return NULL; }
struct passwd *__wrap_getpwnam(const char *name) { return NULL; }

int __wrap_getpwuid_r(uid_t uid, struct passwd *restrict entry, char *restrict buf, size_t bytes,
		      struct passwd **restrict ret_entry)
{
	*ret_entry = NULL;
	return 0;
}

int __wrap_sigaction(int number, const struct sigaction *restrict action, struct sigaction *restrict ret_old)
{
	if (ret_old)
		*ret_old = (struct sigaction){ .sa_handler = SIG_DFL };
	return 0;
}

__sighandler_t __wrap_signal(int number, __sighandler_t handler) { return SIG_DFL; }

/* libc's sequence is the host's: a program that called srand() must get the numbers it always got. */
int __wrap_rand(void) { return (int)(oa_id_random() & RAND_MAX); }
void __wrap_srand(unsigned int seed) {}

static void wrap_swap(uint8_t *a, uint8_t *b, size_t bytes)
{
	for (; bytes; bytes--, a++, b++) {
		uint8_t kept = *a;

		*a = *b;
		*b = kept;
	}
}

/* libc's takes memory from the host's heap. Heap sort: what is sorted may come from the network. */
void __wrap_qsort(void *items, size_t count, size_t bytes, int (*compare)(const void *, const void *))
{
	uint8_t *base = items;

	for (size_t root = count / 2, end = count; end > 1;) {
		size_t at, child;

		if (root)
			root--;
		else
			wrap_swap(base, base + --end * bytes, bytes);
		for (at = root; (child = 2 * at + 1) < end; at = child) {
			if (child + 1 < end && compare(base + child * bytes, base + (child + 1) * bytes) < 0)
				child++;
			if (compare(base + at * bytes, base + child * bytes) >= 0)
				break;
			wrap_swap(base + at * bytes, base + child * bytes, bytes);
		}
	}
}

/* A third party that finds itself in a state it cannot go on from must not take the host with it: its
 * thread stops for ever. On the main thread, where stopping would hang the host, the process ends. */
static void __attribute__((noreturn)) wrap_stop(void)
{
	static const struct timespec hour = { .tv_sec = 3600 };
	long pid = oa_sys0(SYS_getpid);

	for (;;) {
		if (oa_sys0(SYS_gettid) == pid)
			oa_sys2(SYS_kill, pid, SIGABRT);
		oa_sys2(SYS_nanosleep, &hour, NULL);
	}
}

void __wrap_exit(int status) { wrap_stop(); }
void __wrap_abort(void) { wrap_stop(); }

void __wrap___assert_fail(const char *text, const char *file, unsigned int line, const char *function)
{
	wrap_stop();
}
