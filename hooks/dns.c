/* How long names take: getaddrinfo and the gethostbyname family. libc's resolver does its own network calls out of
 * our sight; the connection made next to one of the addresses tells the time. A client looks its first name up
 * before its first connect, which is what activates us: conn/ takes these before activation too. */
#include "hooks/hook.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#include "core/clock.h"

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

OA_EXPORT int getaddrinfo(const char *restrict node, const char *restrict service,
			  const struct addrinfo *restrict hints, struct addrinfo **restrict ret_list)
{
	uint64_t start_ns;
	int result;

	if (!oa_hook_awake() || !node)
		return OA_REAL(getaddrinfo)(node, service, hints, ret_list);
	start_ns = oa_now_ns();
	result = OA_REAL(getaddrinfo)(node, service, hints, ret_list);
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

OA_EXPORT struct hostent *gethostbyname(const char *name)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	struct hostent *host = OA_REAL(gethostbyname)(name);

	if (awake && host)
		lookup_of_host(host, start_ns);
	return host;
}

OA_EXPORT struct hostent *gethostbyname2(const char *name, int family)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	struct hostent *host = OA_REAL(gethostbyname2)(name, family);

	if (awake && host)
		lookup_of_host(host, start_ns);
	return host;
}

OA_EXPORT int gethostbyname_r(const char *restrict name, struct hostent *restrict host, char *restrict buf, size_t room,
			      struct hostent **restrict ret_host, int *restrict ret_error)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	int result = OA_REAL(gethostbyname_r)(name, host, buf, room, ret_host, ret_error);

	if (awake && result == 0 && *ret_host)
		lookup_of_host(*ret_host, start_ns);
	return result;
}

OA_EXPORT int gethostbyname2_r(const char *restrict name, int family, struct hostent *restrict host, char *restrict buf,
			       size_t room, struct hostent **restrict ret_host, int *restrict ret_error)
{
	bool awake = oa_hook_awake();
	uint64_t start_ns = awake ? oa_now_ns() : 0;
	int result = OA_REAL(gethostbyname2_r)(name, family, host, buf, room, ret_host, ret_error);

	if (awake && result == 0 && *ret_host)
		lookup_of_host(*ret_host, start_ns);
	return result;
}
