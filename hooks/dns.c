/* How long names take: getaddrinfo and the gethostbyname family. libc's resolver does its own network calls out of
 * our sight; the connection made next to one of the addresses tells the time. A client looks its first name up
 * before its first connect, which is what activates us: conn/ takes these before activation too. */
#include "hooks/hook.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "core/clock.h"
#include "core/config.h"

#define LOOKUP_ADDRS 4

union lookup_addr {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Answers in the shape that conn/ takes. */
struct lookup {
	unsigned count;
	uint64_t duration_ns;
	union lookup_addr addr[LOOKUP_ADDRS];
};

static void lookup_add(struct lookup *l, const struct sockaddr *addr, size_t len)
{
	if (l->count < LOOKUP_ADDRS && addr && len <= sizeof(l->addr[0]))
		memcpy(&l->addr[l->count++], addr, len);
}

static void lookup_tell(const struct lookup *l)
{
	struct addrinfo list[LOOKUP_ADDRS];

	if (!l->count)
		return;
	memset(list, 0, sizeof(list));
	for (unsigned i = 0; i < l->count; i++) {
		list[i].ai_family = l->addr[i].any.sa_family;
		list[i].ai_socktype = SOCK_STREAM;
		list[i].ai_addr = (struct sockaddr *)&l->addr[i].any;
		list[i].ai_addrlen = list[i].ai_family == AF_INET6 ? sizeof(struct sockaddr_in6) :
								     sizeof(struct sockaddr_in);
		list[i].ai_next = i + 1 < l->count ? &list[i + 1] : NULL;
	}
	oa_conn_on_lookup(list, l->duration_ns);
}

/* -- measured, when that is asked for -- */

static const char *error_of_addrinfo(int result)
{
	switch (result) {
	case 0: return NULL;
	case EAI_NONAME: return "host_not_found";
	case EAI_AGAIN: return "try_again";
	case EAI_FAIL: return "no_recovery";
	case EAI_NODATA: return "no_data";
	case EAI_ADDRFAMILY: return "address_family";
	case EAI_FAMILY: return "family";
	case EAI_SERVICE: return "service";
	case EAI_MEMORY: return "memory";
	case EAI_SYSTEM: return "system";
	default: return "_OTHER";
	}
}

static const char *error_of_host(bool found, int error)
{
	if (found)
		return NULL;
	switch (error) {
	case HOST_NOT_FOUND: return "host_not_found";
	case TRY_AGAIN: return "try_again";
	case NO_RECOVERY: return "no_recovery";
	case NO_DATA: return "no_data";
	case NETDB_INTERNAL: return "system";
	default: return "_OTHER";
	}
}

/* The first one may be what starts us. */
OA_SLOW void lookup_measure(const char *name, uint64_t start_ns, const char *error)
{
	uint64_t duration_ns = oa_now_ns() - start_ns;

	if (name && oa_hook_start())
		OA_OBSERVE()
			oa_conn_measure_lookup(name, duration_ns, error);
}

OA_EXPORT int getaddrinfo(const char *restrict node, const char *restrict service,
			  const struct addrinfo *restrict hints, struct addrinfo **restrict ret_list)
{
	uint64_t start_ns;
	int result;

	if (!oa_hook_awake() || !node)
		return OA_REAL(getaddrinfo)(node, service, hints, ret_list);
	start_ns = oa_now_ns();
	result = OA_REAL(getaddrinfo)(node, service, hints, ret_list);
	if (__builtin_expect(oa_config.dns_metrics, 0))
		lookup_measure(node, start_ns, error_of_addrinfo(result));
	if (result == 0)
		OA_OBSERVE_ALWAYS()
			oa_conn_on_lookup(*ret_list, oa_now_ns() - start_ns);
	return result;
}

OA_SLOW void lookup_of_host(const struct hostent *host, uint64_t start_ns)
{
	struct lookup l = { .duration_ns = oa_now_ns() - start_ns };

	for (char **at = host->h_addr_list; at && *at && l.count < LOOKUP_ADDRS; at++) {
		union lookup_addr a = { 0 };

		a.any.sa_family = (sa_family_t)host->h_addrtype;
		if (host->h_addrtype == AF_INET && host->h_length == sizeof(a.v4.sin_addr)) {
			memcpy(&a.v4.sin_addr, *at, sizeof(a.v4.sin_addr));
			lookup_add(&l, &a.any, sizeof(a.v4));
		} else if (host->h_addrtype == AF_INET6 && host->h_length == sizeof(a.v6.sin6_addr)) {
			memcpy(&a.v6.sin6_addr, *at, sizeof(a.v6.sin6_addr));
			lookup_add(&l, &a.any, sizeof(a.v6));
		}
	}
	OA_OBSERVE_ALWAYS()
		lookup_tell(&l);
}

/* A lookup of the gethostbyname family is over. The caller's h_errno stays as it is. */
OA_SLOW void host_looked_up(const char *name, const struct hostent *host, uint64_t start_ns, int error)
{
	if (oa_config.dns_metrics)
		lookup_measure(name, start_ns, error_of_host(host, error));
	if (host)
		lookup_of_host(host, start_ns);
}

OA_EXPORT struct hostent *gethostbyname(const char *name)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	struct hostent *host = OA_REAL(gethostbyname)(name);

	if (awake)
		host_looked_up(name, host, start_ns, h_errno);
	return host;
}

OA_EXPORT struct hostent *gethostbyname2(const char *name, int family)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	struct hostent *host = OA_REAL(gethostbyname2)(name, family);

	if (awake)
		host_looked_up(name, host, start_ns, h_errno);
	return host;
}

/* ERANGE: the caller's buffer was too small, and it asks again. */
OA_EXPORT int gethostbyname_r(const char *restrict name, struct hostent *restrict host, char *restrict buf, size_t room,
			      struct hostent **restrict ret_host, int *restrict ret_error)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	int result = OA_REAL(gethostbyname_r)(name, host, buf, room, ret_host, ret_error);

	if (awake && result != ERANGE)
		host_looked_up(name, result == 0 ? *ret_host : NULL, start_ns, *ret_error);
	return result;
}

OA_EXPORT int gethostbyname2_r(const char *restrict name, int family, struct hostent *restrict host, char *restrict buf,
			       size_t room, struct hostent **restrict ret_host, int *restrict ret_error)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	int result = OA_REAL(gethostbyname2_r)(name, family, host, buf, room, ret_host, ret_error);

	if (awake && result != ERANGE)
		host_looked_up(name, result == 0 ? *ret_host : NULL, start_ns, *ret_error);
	return result;
}
