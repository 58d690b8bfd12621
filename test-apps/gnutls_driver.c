/* gnutls_driver PORT STREAM SEED [null] [cork] [send2] [small]: tls_driver.c's sister on GnuTLS. null: a call that waits is made
 * again as (NULL, 0); cork: several sends make a record; small: short TLS records. */
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app.h"

static bool null, cork, send2, small_records;
static unsigned rng;
static int fd;
static gnutls_session_t session;

static void fail(const char *why, int error)
{
	printf("%s (%s)\n", why, gnutls_strerror(error));
	exit(app_finish(1));
}

static unsigned random_number(void)
{
	rng = rng * 1103515245u + 12345u;
	return rng >> 16 & 0x7fff;
}

static void again(int error)
{
	struct pollfd p = { .fd = fd, .events = gnutls_record_get_direction(session) ? POLLOUT : POLLIN };

	if (error != GNUTLS_E_AGAIN && error != GNUTLS_E_INTERRUPTED)
		fail("TLS failed", error);
	if (poll(&p, 1, 20000) != 1)
		fail("never ready", 0);
}

static ssize_t put(const void *from, size_t len)
{
	return send2 ? gnutls_record_send2(session, from, len, 0, 0) : gnutls_record_send(session, from, len);
}

static void uncork(void)
{
	int n;

	while ((n = gnutls_record_uncork(session, 0)) < 0)
		again(n);
}

/* As a rule one request a call, else any number of bytes. */
static size_t next_step(const char *from, size_t left)
{
	const char *next = memmem(from + 1, left - 1, "POST /", 6);
	size_t step = random_number() % 4 ? random_number() % 3000 + 1 : random_number() * 3 % 60000 + 1;

	if (random_number() % 4)
		step = next ? (size_t)(next - from) : left;
	return step < left ? step : left;
}

static void write_all(const char *stream, size_t len)
{
	size_t at = 0;

	while (at < len) {
		size_t step = next_step(stream + at, len - at);
		ssize_t n;

		if (cork)
			gnutls_record_cork(session);
		n = put(stream + at, step);
		while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
			again((int)n);
			n = null ? put(NULL, 0) : put(stream + at, step);
		}
		if (n <= 0 || (size_t)n > step)
			fail("not its own bytes", (int)n);
		at += (size_t)n;
		if (cork)
			uncork();
	}
	printf("done %zu\n", at);
}

/* To the peer's own end: what it sent unasked, unread, would make a reset of our close. */
static void finish(void)
{
	char buf[1000];
	ssize_t n;

	while ((n = gnutls_bye(session, GNUTLS_SHUT_WR)) == GNUTLS_E_AGAIN)
		again((int)n);
	shutdown(fd, SHUT_WR);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0 || (n < 0 && errno == EAGAIN)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, 20000);
	}
}

static void handshake(int port)
{
	gnutls_certificate_credentials_t trust;
	int tiny = 2048, n;

	fd = app_connect(port);
	if (fd < 0)
		fail("connect", 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny));
	app_nonblock(fd);
	gnutls_certificate_allocate_credentials(&trust);
	gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK);
	gnutls_set_default_priority(session);
	gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trust);
	gnutls_transport_set_int(session, fd);
	while ((n = gnutls_handshake(session)) < 0)
		again(n);
	if (small_records)
		gnutls_record_set_max_size(session, 512);
}

int main(int argc, char **argv)
{
	struct stat st;
	int file;
	char *stream;

	app_start();
	if (argc < 4 || (file = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0 || fstat(file, &st))
		return 2;
	stream = mmap(NULL, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE, file, 0);
	close(file);
	rng = (unsigned)atoi(argv[3]);
	for (int i = 4; i < argc; i++) {
		null |= !strcmp(argv[i], "null");
		cork |= !strcmp(argv[i], "cork");
		send2 |= !strcmp(argv[i], "send2");
		small_records |= !strcmp(argv[i], "small");
	}
	handshake(atoi(argv[1]));
	write_all(stream, (size_t)st.st_size);
	finish();
	gnutls_deinit(session);
	close(fd);
	return app_finish(0);
}
