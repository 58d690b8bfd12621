/* Socket addresses in the form spans keep. */
#include <netinet/in.h>
#include <stddef.h>
#include <sys/un.h>

#include "conn/peer.h"
#include "core/attr.h"

OA_HOT struct oa_addr oa_peer_from(const struct sockaddr *addr, socklen_t len)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct oa_addr out = { 0 };

	if (!addr || len < sizeof(addr->sa_family))
		return out;
	if (addr->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		const struct sockaddr_in *in = (const void *)addr;

		out.family = 4;
		out.port = ntohs(in->sin_port);
		memcpy(out.ip, &in->sin_addr, 4);
	} else if (addr->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		const struct sockaddr_in6 *in = (const void *)addr;
		bool v4 = !memcmp(&in->sin6_addr, mapped, 12);

		out.family = v4 ? 4 : 6;
		out.port = ntohs(in->sin6_port);
		memcpy(out.ip, (const uint8_t *)&in->sin6_addr + (v4 ? 12 : 0), v4 ? 4 : 16);
	} else if (addr->sa_family == AF_UNIX) {
		out.family = 1;
	}
	return out;
}

struct oa_bytes oa_peer_path(const struct sockaddr *addr, socklen_t len)
{
	const struct sockaddr_un *un = (const void *)addr;
	size_t head = offsetof(struct sockaddr_un, sun_path);
	struct oa_bytes path = { 0 };

	if (!addr || len <= head || un->sun_family != AF_UNIX)
		return path;
	path = oa_bytes(un->sun_path, len - head);
	if (path.ptr[0]) { /* a file name ends at its NUL; an abstract one is all of it */
		const void *nul = memchr(path.ptr, 0, path.len);

		if (nul)
			path.len = (size_t)((const uint8_t *)nul - path.ptr);
	}
	return path;
}

bool oa_peer_eq(const struct oa_addr *a, const struct oa_addr *b)
{
	return a->family == b->family && a->port == b->port && !memcmp(a->ip, b->ip, sizeof(a->ip));
}
