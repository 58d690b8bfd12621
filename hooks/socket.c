/* Connections come about: socket socketpair accept accept4 connect bind listen; and end in parts: shutdown; and
 * what became of them: getsockopt(SO_ERROR). The first listen, accept or connect on a stream socket is what
 * activates the library. */
#include "hooks/hook.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/sys.h"
#include "core/tree.h"

#define SOCKET_TYPE_MASK 0xf

static void socket_made(int fd, int domain, int type)
{
	type &= SOCKET_TYPE_MASK;
	oa_note_set(fd, type == SOCK_STREAM ? OA_NOTE_STREAM : OA_NOTE_OTHER);
	if (oa_hook_active() || oa_fd_tracked(fd))
		OA_OBSERVE_ALWAYS()
			oa_conn_on_socket(fd, domain, type);
}

OA_EXPORT int socket(int domain, int type, int protocol)
{
	int fd = OA_REAL(socket)(domain, type, protocol);

	if (fd >= 0 && (oa_hook_awake() || oa_fd_tracked(fd)))
		socket_made(fd, domain, type);
	return fd;
}

OA_EXPORT int socketpair(int domain, int type, int protocol, int fds[2])
{
	int result = OA_REAL(socketpair)(domain, type, protocol, fds);

	if (result || !oa_hook_awake())
		return result;
	for (int i = 0; i < 2; i++) {
		oa_note_set(fds[i], OA_NOTE_WAKE);
		OA_OBSERVE()
			oa_conn_on_wake_fd(fds[i]);
	}
	return result;
}

/* -- servers -- */

/* A host that wants the port of our endpoint gets it. */
static void socket_yield(const struct sockaddr *addr)
{
	struct oa_tree *tree = oa_tree;
	/* The port is at the same place in both. */
	uint16_t port = ntohs(((const struct sockaddr_in *)addr)->sin_port);

	if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6)
		return;
	if (port && tree && port == atomic_load_explicit(&tree->port, memory_order_relaxed))
		OA_OBSERVE()
			oa_hook_yield_port(port);
}

/* One that bound it before we did: two may bind, one can listen. */
static void listen_yield(int fd)
{
	struct sockaddr_in6 addr = { 0 };
	socklen_t len = sizeof(addr);

	if (oa_hook_active() && oa_tree && oa_hook_yield_port && oa_sys3(SYS_getsockname, fd, &addr, &len) == 0)
		socket_yield((const struct sockaddr *)&addr);
}

OA_EXPORT int listen(int fd, int backlog)
{
	int result, err;

	listen_yield(fd);
	result = OA_REAL(listen)(fd, backlog);
	err = errno;
	if (result == 0 && oa_hook_awake() && oa_hook_is_stream(fd) && oa_hook_start())
		OA_OBSERVE()
			oa_conn_on_listen(fd);
	errno = err;
	return result;
}

/* A listener that we did not see becoming one: inherited, or handed over. Asks the kernel once. */
static bool accept_adopt_listener(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	if (oa_hook_kind(fd) == OA_FD_LISTENER)
		return true;
	if (!oa_hook_is_stream(fd) || oa_sys5(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 ||
	    !listens || !oa_hook_start())
		return false;
	OA_OBSERVE()
		oa_conn_on_listen(fd);
	return true;
}

static void accept_done(int listener, int fd, const struct sockaddr *addr, socklen_t len, int flags)
{
	oa_note_set(fd, OA_NOTE_STREAM);
	OA_OBSERVE()
		oa_conn_on_accepted(listener, fd, addr, len, flags & SOCK_NONBLOCK);
}

/* Takes the peer's address from the call itself: into a buffer of ours when the host does not want it. `room` is
 * what the host's buffer holds; the kernel reports the full length even when it had to cut. */
struct accept_peer {
	struct sockaddr *addr;
	socklen_t *len;
	socklen_t room, own_len;
	struct sockaddr_storage own;
};

static void accept_peer_init(struct accept_peer *p, struct sockaddr *addr, socklen_t *len)
{
	p->addr = addr;
	p->len = len;
	p->room = 0;
	if (!addr) {
		p->addr = (struct sockaddr *)&p->own;
		p->len = &p->own_len;
		p->room = p->own_len = sizeof(p->own);
	} else if (oa_hook_plausible(len, sizeof(*len))) {
		p->room = *len;
	}
}

static socklen_t accept_peer_len(const struct accept_peer *p)
{
	return *p->len < p->room ? *p->len : p->room;
}

OA_SLOW OA_HOT int accept_watched(int listener, struct sockaddr *addr, socklen_t *len, int flags, bool four)
{
	struct accept_peer peer;
	int fd, err = errno;
	bool ours = accept_adopt_listener(listener);

	errno = err;
	accept_peer_init(&peer, addr, len);
	if (ours)
		OA_OBSERVE()
			oa_conn_before_accept(listener);
	fd = four ? OA_REAL(accept4)(listener, peer.addr, peer.len, flags) :
		    OA_REAL(accept)(listener, peer.addr, peer.len);
	if (fd < 0)
		return fd;
	if (ours)
		accept_done(listener, fd, peer.addr, accept_peer_len(&peer), flags);
	else
		socket_made(fd, AF_UNSPEC, SOCK_SEQPACKET);
	return fd;
}

/* After we stood down: what had the number is forgotten. */
static int accept_off(int fd)
{
	if (fd >= 0 && oa_fd_tracked(fd))
		socket_made(fd, AF_UNSPEC, SOCK_SEQPACKET);
	return fd;
}

OA_EXPORT OA_HOT int accept(int listener, struct sockaddr *addr, socklen_t *len)
{
	return oa_hook_awake() ? accept_watched(listener, addr, len, 0, false) :
				 accept_off(OA_REAL(accept)(listener, addr, len));
}

OA_EXPORT OA_HOT int accept4(int listener, struct sockaddr *addr, socklen_t *len, int flags)
{
	return oa_hook_awake() ? accept_watched(listener, addr, len, flags, true) :
				 accept_off(OA_REAL(accept4)(listener, addr, len, flags));
}

OA_EXPORT int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (oa_tree && oa_hook_yield_port && len >= sizeof(struct sockaddr_in) && oa_hook_plausible(addr, len))
		socket_yield(addr);
	return OA_REAL(bind)(fd, addr, len);
}

/* -- clients -- */

static bool connect_is_ours(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (len < sizeof(sa_family_t) || !oa_hook_plausible(addr, len))
		return false;
	if (addr->sa_family != AF_INET && addr->sa_family != AF_INET6 && addr->sa_family != AF_UNIX)
		return false;
	return oa_hook_is_stream(fd) && oa_hook_start();
}

OA_SLOW int connect_watched(int fd, const struct sockaddr *addr, socklen_t len)
{
	int err = errno, result;
	bool ours = connect_is_ours(fd, addr, len);
	uint64_t start_ns = ours ? oa_now_ns() : 0;

	errno = err;
	result = OA_REAL(connect)(fd, addr, len);
	if (ours)
		OA_OBSERVE()
			oa_conn_on_connect(fd, addr, len, result, result ? errno : 0, start_ns);
	return result;
}

OA_EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return oa_hook_awake() ? connect_watched(fd, addr, len) : OA_REAL(connect)(fd, addr, len);
}

OA_EXPORT int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	int result = OA_REAL(getsockopt)(fd, level, name, value, len);

	if (level == SOL_SOCKET && name == SO_ERROR && result == 0 && oa_fd_tracked(fd) && *len >= sizeof(int))
		OA_OBSERVE()
			oa_conn_on_so_error(fd, *(const int *)value);
	return result;
}

/* -- both -- */

/* What we still owe the peer goes before the end of stream. */
OA_EXPORT int shutdown(int fd, int how)
{
	int result;

	if (!oa_fd_tracked(fd))
		return OA_REAL(shutdown)(fd, how);
	if (how != SHUT_RD && oa_hook_may_owe(fd))
		OA_OBSERVE_ALWAYS()
			(void)oa_conn_before_send_blind(fd); /* refused: then it is lost, the host's call is not */
	result = OA_REAL(shutdown)(fd, how);
	if (result == 0)
		OA_OBSERVE()
			oa_conn_on_shutdown(fd, how);
	return result;
}
