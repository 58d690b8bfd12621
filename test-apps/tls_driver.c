/* tls_driver PORT STREAM SEED [partial] [moving] [ex] [bio] [small]: sends the file STREAM inside TLS as any program may, by calls
 * of random lengths on a non-blocking socket with tiny buffers, and checks what it may rely on: a call that waits is made
 * again with the same bytes (from elsewhere when "moving", grown now and then), results are its own bytes, the
 * error queue is empty after a success. bio: TLS over memory BIOs, the socket is handled here. small: short TLS
 * records. Reads the answers, prints "done N" and how much it read. STREAM is mapped read-only. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
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

static bool partial, moving, ex, bio, small_records;
static unsigned rng;
static int fd;
static SSL *ssl;
static BIO *to_net, *from_net;
static size_t received, waits;

static void fail(const char *why)
{
	printf("%s (errno %d, %s)\n", why, errno, ERR_error_string(ERR_peek_error(), NULL));
	exit(app_finish(1));
}

static unsigned random_number(void)
{
	rng = rng * 1103515245u + 12345u;
	return rng >> 16 & 0x7fff;
}

static void wait_for(short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, 20000) != 1)
		fail("never ready");
}

/* Memory BIOs: what TLS wrote goes to the socket, what came goes to TLS. */
static void pump(bool need_input)
{
	char buf[4096];
	int n;

	while ((n = BIO_read(to_net, buf, sizeof(buf))) > 0)
		for (int at = 0; at < n;) {
			ssize_t m = send(fd, buf + at, (size_t)(n - at), MSG_NOSIGNAL);

			if (m < 0 && errno == EAGAIN)
				wait_for(POLLOUT);
			else if (m < 0)
				fail("send");
			else
				at += (int)m;
		}
	if (!need_input)
		return;
	wait_for(POLLIN);
	n = (int)recv(fd, buf, sizeof(buf), 0);
	if (n <= 0)
		fail("recv");
	BIO_write(from_net, buf, n);
}

/* After a call that did not succeed. */
static void again(int result)
{
	int error = SSL_get_error(ssl, result);

	waits++;
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		fail("TLS failed");
	if (bio)
		pump(error == SSL_ERROR_WANT_READ);
	else
		wait_for(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT);
}

static void read_some(void)
{
	char buf[1000];
	int n;

	ERR_clear_error();
	n = SSL_read(ssl, buf, sizeof(buf));
	if (n > 0)
		received += (size_t)n;
	else if (SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ)
		fail("reading");
}

/* One call. returns bytes taken, 0 when it must be made again */
static size_t write_once(const char *from, size_t len)
{
	size_t n = 0;
	int result;

	errno = 0;
	ERR_clear_error();
	if (ex) {
		result = SSL_write_ex(ssl, from, len, &n);
	} else {
		result = SSL_write(ssl, from, (int)len);
		n = result > 0 ? (size_t)result : 0;
	}
	if (result <= 0) {
		again(result);
		return 0;
	}
	if (ERR_peek_error())
		fail("an error was left behind");
	if (n > len || !n)
		fail("not its own bytes");
	if (!partial && n != len)
		fail("a part, unasked");
	return n;
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
		size_t step = next_step(stream + at, len - at), n = 0;
		char *copy = NULL;

		while (!n) {
			const char *from = stream + at;

			if (moving) {
				copy = malloc(step);
				from = memcpy(copy, from, step);
			}
			n = write_once(from, step);
			if (copy)
				memset(copy, '!', step);
			free(copy);
			copy = NULL;
			if (!n && random_number() % 4 == 0 && len - at > step)
				step += random_number() % (len - at - step) % 5000;
		}
		at += n;
		if (bio)
			pump(false);
		read_some();
	}
	printf("done %zu\n", at);
}

/* To the peer's own end: what it sent unasked, unread, would make a reset of our close. */
static void finish(void)
{
	char buf[1000];
	ssize_t n;

	shutdown(fd, SHUT_WR);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0 || (n < 0 && errno == EAGAIN))
		wait_for(POLLIN);
}

static void handshake(int port)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int tiny = 2048, result;

	SSL_CTX_set_mode(ctx, (partial ? SSL_MODE_ENABLE_PARTIAL_WRITE : 0) | (moving ? SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER : 0));
	if (small_records)
		SSL_CTX_set_max_send_fragment(ctx, 512);
	fd = app_connect(port);
	if (fd < 0)
		fail("connect");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny));
	app_nonblock(fd);
	ssl = SSL_new(ctx);
	if (bio) {
		to_net = BIO_new(BIO_s_mem());
		from_net = BIO_new(BIO_s_mem());
		SSL_set_bio(ssl, from_net, to_net);
	} else {
		SSL_set_fd(ssl, fd);
	}
	while ((result = SSL_connect(ssl)) != 1)
		again(result);
	SSL_CTX_free(ctx);
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
		partial |= !strcmp(argv[i], "partial");
		moving |= !strcmp(argv[i], "moving");
		ex |= !strcmp(argv[i], "ex");
		bio |= !strcmp(argv[i], "bio");
		small_records |= !strcmp(argv[i], "small");
	}
	handshake(atoi(argv[1]));
	write_all(stream, (size_t)st.st_size);
	SSL_shutdown(ssl);
	if (bio)
		pump(false);
	finish();
	SSL_free(ssl);
	close(fd);
	return app_finish(0);
}
