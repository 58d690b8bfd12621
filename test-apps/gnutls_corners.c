/* gnutls_corners: what programs seldom ask of GnuTLS, and both ends of it in one process. Prints what it gets. */
#include <errno.h>
#include <stdbool.h>
#include <fcntl.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANONYMOUS "NORMAL:-VERS-ALL:+VERS-%s:-KX-ALL:+ANON-ECDH"
#define GET       "GET /corked HTTP/1.1\r\nHost: a\r\n\r\n"
#define ANSWER    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static int listener;
static bool refuses; /* the socket takes nothing just now */

static ssize_t push(gnutls_transport_ptr_t to, const void *from, size_t len)
{
	if (!refuses)
		return send((int)(long)to, from, len, 0);
	errno = EAGAIN;
	return -1;
}

static gnutls_session_t session_new(unsigned flags, int fd, const char *version)
{
	static gnutls_anon_client_credentials_t client;
	static gnutls_anon_server_credentials_t server;
	gnutls_session_t s;
	char priorities[128];

	if (!client) {
		gnutls_anon_allocate_client_credentials(&client);
		gnutls_anon_allocate_server_credentials(&server);
	}
	gnutls_init(&s, flags | GNUTLS_NONBLOCK);
	if (version) {
		(void)snprintf(priorities, sizeof(priorities), ANONYMOUS, version);
		printf("priorities: %d\n", gnutls_priority_set_direct(s, priorities, NULL));
	}
	gnutls_credentials_set(s, GNUTLS_CRD_ANON, flags & GNUTLS_SERVER ? (void *)server : (void *)client);
	gnutls_transport_set_int(s, fd);
	gnutls_transport_set_push_function(s, push);
	return s;
}

static void say(const char *what, ssize_t result, int err)
{
	printf("%s: %zd, errno %d\n", what, result, err);
}

/* Two of them, of which nothing is known yet. */
static void without_a_handshake(void)
{
	int fds[2], error;
	gnutls_session_t s;
	ssize_t n;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
		return;
	s = session_new(GNUTLS_CLIENT, fds[0], "TLS1.2");
	errno = 0;
	n = gnutls_record_send(s, GET, sizeof(GET) - 1);
	error = errno;
	say("sent too early", n, error);
	gnutls_deinit(s);
	s = session_new(GNUTLS_CLIENT, fds[0], NULL);
	errno = 0;
	n = gnutls_handshake(s);
	error = errno;
	say("handshake without priorities", n, error);
	gnutls_deinit(s);
	close(fds[0]);
	close(fds[1]);
}

/* A pair of datagram sockets, or a connection to ourselves. */
static bool open_sockets(int fds[2], int type)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);

	if (type == SOCK_DGRAM)
		return !socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds);
	fds[0] = socket(AF_INET, type, 0);
	if (getsockname(listener, (struct sockaddr *)&at, &len) || connect(fds[0], (struct sockaddr *)&at, len) ||
	    fcntl(fds[0], F_SETFL, O_NONBLOCK))
		return false;
	fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	return fds[1] >= 0;
}

static bool open_pair(gnutls_session_t ends[2], int type, unsigned flags, const char *version)
{
	int fds[2], done[2] = { -1, -1 }, one = 1;

	if (!open_sockets(fds, type))
		return false;
	for (unsigned end = 0; end < 2; end++)
		(void)setsockopt(fds[end], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ends[0] = session_new(GNUTLS_CLIENT | flags, fds[0], version);
	ends[1] = session_new(GNUTLS_SERVER | flags, fds[1], version);
	for (unsigned i = 0; i < 5000 && (done[0] || done[1]); i++)
		for (unsigned end = 0; end < 2; end++)
			if (done[end])
				done[end] = gnutls_handshake(ends[end]);
	printf("handshakes: %d %d\n", done[0], done[1]);
	return !done[0] && !done[1];
}

static void discarded_datagram(void)
{
	gnutls_session_t ends[2];
	char got[100];
	ssize_t n;

	if (!open_pair(ends, SOCK_DGRAM, GNUTLS_DATAGRAM, "DTLS1.2"))
		return;
	refuses = true;
	n = gnutls_record_send(ends[0], "never sent", 10);
	printf("refused: %zd, discarded: %zu\n", n, gnutls_record_discard_queued(ends[0]) > 0 ? (size_t)1 : 0);
	refuses = false;
	n = gnutls_record_send(ends[0], "sent", 4);
	printf("sent: %zd\n", n);
	n = gnutls_record_recv(ends[1], got, sizeof(got));
	printf("got: %.*s\n", n < 0 ? 0 : (int)n, got);
}

static void corked(void)
{
	gnutls_session_t ends[2];
	char got[1000];
	ssize_t n;

	if (!open_pair(ends, SOCK_STREAM, 0, "TLS1.2"))
		return;
	for (unsigned i = 0; i < 3; i++) {
		gnutls_record_cork(ends[0]);
		n = gnutls_record_send(ends[0], GET, sizeof(GET) - 1);
		printf("corked: %zd\n", n);
		refuses = true;
		n = gnutls_record_uncork(ends[0], 0);
		printf("refused: %zd\n", n);
		refuses = false;
		n = gnutls_record_uncork(ends[0], 0);
		printf("uncorked: %d\n", n > 0);
		n = gnutls_record_recv(ends[1], got, sizeof(got));
		printf("asked: %.21s\n", n > 0 ? got : "");
		printf("answered: %zd\n", gnutls_record_send(ends[1], ANSWER, sizeof(ANSWER) - 1));
		n = gnutls_record_recv(ends[0], got, sizeof(got));
		printf("told: %.*s\n", n < 15 ? 0 : 15, got);
	}
}

int main(void)
{
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listen(listener, 1)) /* what looks at connections is awake from here on */
		return 1;
	without_a_handshake();
	discarded_datagram();
	corked();
	return 0;
}
