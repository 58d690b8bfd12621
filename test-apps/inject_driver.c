/* inject_driver SCRIPT STREAM: sends the bytes of the file STREAM as SCRIPT says, one call after
 * another, and checks what any program may rely on: results are the program's own bytes, EAGAIN is
 * real, memory is left alone. STREAM is mapped read-only. Operations, one a line; sending ones go
 * on from where the last one ended and are made again until all their bytes are taken: connect PORT
 * | unix PATH | pair FD          write N | send N [FLAG…] | sendto N [FLAG…] | read-write N sndbuf
 * N | nonblock | nodelay | cork 0|1    writev N,N,… | sendmsg N,N,… [FLAG…] | sendmmsg N,N;N,…
 * [FLAG…] copy N (write from a buffer that is wiped afterwards)      sendfile N | splice N | printf
 * N (stdio) recv N (N bytes, or to the end when 0)      answer (one whole response)   shutdown
 * close   say TEXT each N (N-byte writes to the end of STREAM) Prints what it received, "stuck" the
 * first time the kernel says EAGAIN, and "done N" at the end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "app.h"

#define IOVS     2048
#define MESSAGES 32

static const char *stream;
static size_t stream_len, at;
static int fd = -1, file, line, stuck;
static struct app_conn *conn;

static void fail(const char *why)
{
	printf("line %d at byte %zu: %s (errno %d)\n", line, at, why, errno);
	exit(app_finish(1));
}

static int flags_of(char *words)
{
	int flags = MSG_NOSIGNAL;

	for (char *w = strtok(words, " \n"); w; w = strtok(NULL, " \n")) {
		if (!strcmp(w, "more"))
			flags |= MSG_MORE;
		else if (!strcmp(w, "dontwait"))
			flags |= MSG_DONTWAIT;
		else if (!strcmp(w, "zerocopy"))
			flags |= MSG_ZEROCOPY;
		else if (!strcmp(w, "oob"))
			flags |= MSG_OOB;
		else
			fail("unknown flag");
	}
	return flags;
}

/* After EAGAIN: the kernel must agree that nothing more fits. */
static void wait_writable(void)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (!stuck++)
		puts("stuck");
	if (poll(&p, 1, 20000) != 1)
		fail("never writable again");
}

/* Takes one result into account. returns the bytes it stands for */
static size_t progress(ssize_t n, size_t asked)
{
	if (n < 0 && errno == EAGAIN) {
		wait_writable();
		return 0;
	}
	if (n < 0)
		fail("sending failed");
	if (n == 0 && asked)
		fail("zero bytes taken");
	if ((size_t)n > asked)
		fail("more taken than asked");
	at += (size_t)n;
	return (size_t)n;
}

static void plain(const char *op, size_t len, int flags)
{
	char *copy = NULL;

	if (at + len > stream_len)
		fail("script is longer than the stream");
	while (len) {
		const char *p = stream + at;
		ssize_t n;

		if (!strcmp(op, "copy")) {
			copy = malloc(len);
			p = memcpy(copy, p, len);
		}
		if (!strcmp(op, "send"))
			n = send(fd, p, len, flags);
		else if (!strcmp(op, "sendto"))
			n = sendto(fd, p, len, flags, NULL, 0);
		else if (!strcmp(op, "sendfile"))
			n = sendfile(fd, file, &(off_t){ (off_t)at }, len);
		else
			n = write(fd, p, len);
		if (copy) {
			memset(copy, '!', len);
			free(copy);
			copy = NULL;
		}
		len -= progress(n, len);
	}
}

static void spliced(size_t len)
{
	int pipe_fd[2];

	if (pipe2(pipe_fd, O_CLOEXEC))
		fail("pipe");
	while (len) {
		ssize_t n = write(pipe_fd[1], stream + at, len < 4096 ? len : 4096);
		size_t left = (size_t)n;

		while (left) {
			size_t m = progress(splice(pipe_fd[0], NULL, fd, NULL, left, 0), left);

			left -= m;
			len -= m;
		}
	}
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

static void stdio(size_t len)
{
	FILE *out = fdopen(dup(fd), "w");

	if (!out || fwrite(stream + at, 1, len, out) != len || fclose(out))
		fail("stdio");
	at += len;
}

/* "3,4,5" from stream offset `from`. returns the number of entries */
static int iov_of(char *lengths, size_t from, struct iovec *iov)
{
	int count = 0;
	char *save;

	for (char *w = strtok_r(lengths, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		size_t n = strtoul(w, NULL, 10);

		if (count == IOVS || from + n > stream_len)
			fail("script is longer than the stream");
		iov[count++] = (struct iovec){ (void *)(stream + from), n };
		from += n;
	}
	return count;
}

static size_t iov_bytes(const struct iovec *iov, int count)
{
	size_t sum = 0;

	while (count--)
		sum += (iov++)->iov_len;
	return sum;
}

static void vector(const char *op, char *lengths, int flags)
{
	static struct iovec iov[IOVS], before[IOVS];
	struct iovec *p = iov;
	int count = iov_of(lengths, at, iov);

	while (iov_bytes(p, count)) {
		struct msghdr msg = { .msg_iov = p, .msg_iovlen = (size_t)count }, msg_before = msg;
		ssize_t n;
		size_t took;

		memcpy(before, p, sizeof(*p) * (size_t)count);
		n = !strcmp(op, "writev") ? writev(fd, p, count) : sendmsg(fd, &msg, flags);
		if (memcmp(before, p, sizeof(*p) * (size_t)count) ||
		    memcmp(&msg, &msg_before, sizeof(msg)))
			fail("the iovec array was changed");
		took = progress(n, iov_bytes(p, count));
		for (; count && took >= p->iov_len; p++, count--)
			took -= p->iov_len;
		if (took) {
			p->iov_base = (char *)p->iov_base + took;
			p->iov_len -= took;
		}
	}
}

static void messages(char *lists, int flags)
{
	static struct iovec iov[MESSAGES][64];
	struct mmsghdr m[MESSAGES] = { 0 };
	size_t from = at;
	int count = 0, n;
	char *save;

	for (char *w = strtok_r(lists, ";", &save); w && count < MESSAGES;
	     w = strtok_r(NULL, ";", &save), count++) {
		m[count].msg_hdr.msg_iov = iov[count];
		m[count].msg_hdr.msg_iovlen = (size_t)iov_of(w, from, iov[count]);
		from += iov_bytes(iov[count], (int)m[count].msg_hdr.msg_iovlen);
	}
	n = sendmmsg(fd, m, (unsigned)count, flags);
	if (n < 1 && errno != EAGAIN)
		fail("sendmmsg");
	for (int i = 0; i < n; i++) {
		size_t asked = iov_bytes(m[i].msg_hdr.msg_iov, (int)m[i].msg_hdr.msg_iovlen);

		if (progress((ssize_t)m[i].msg_len, asked) != asked && i + 1 < n)
			fail("a message after a short one");
	}
	if (n < 1)
		wait_writable();
	if (at < from) { /* whatever is left goes out by itself */
		char rest[32];

		snprintf(rest, sizeof(rest), "%zu", from - at);
		vector("sendmsg", rest, flags);
	}
}

static void receive(size_t len)
{
	char buf[65536];
	size_t have = 0;
	ssize_t n;

	if (len > sizeof(buf))
		fail("recv is too long");
	while (have < sizeof(buf) && (!len || have < len)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		poll(&p, 1, 20000);
		n = recv(fd, buf + have, len ? len - have : sizeof(buf) - have, 0);
		if (n == 0)
			break;
		if (n < 0)
			fail("recv");
		have += (size_t)n;
	}
	printf("received %zu: ", have);
	fwrite(buf, 1, have, stdout);
	puts("");
}

static void answer(void)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct app_head head;
	char body[1024];
	int r;

	conn->fd = fd;
	while ((r = app_read_head(conn, &head)) == -1 && errno == EAGAIN)
		poll(&p, 1, 20000);
	if (r != 1 || app_read_body(conn, &head, body, sizeof(body)) < 0)
		fail("no whole answer");
	printf("answer %d %s\n", head.status, body);
}

static void unix_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		fail("connect");
}

static void option(const char *op, int value)
{
	int one = 1;

	if (!strcmp(op, "sndbuf"))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
	else if (!strcmp(op, "zerocopy-on"))
		setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one));
	else if (!strcmp(op, "nonblock"))
		app_nonblock(fd);
	else if (!strcmp(op, "ionbio"))
		ioctl(fd, FIONBIO, &one);
	else if (!strcmp(op, "nodelay"))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	else if (!strcmp(op, "cork"))
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
	else
		fail("unknown operation");
}

static void run(char *op, char *arg, char *rest)
{
	size_t n = arg ? strtoul(arg, NULL, 10) : 0;

	if (!strcmp(op, "connect")) {
		if ((fd = app_connect((int)n)) < 0)
			fail("connect");
	} else if (!strcmp(op, "unix"))
		unix_connect(arg);
	else if (!strcmp(op, "write") || !strcmp(op, "copy") || !strcmp(op, "sendfile"))
		plain(op, n, 0);
	else if (!strcmp(op, "send") || !strcmp(op, "sendto"))
		plain(op, n, flags_of(rest));
	else if (!strcmp(op, "each"))
		while (at < stream_len)
			plain("write", stream_len - at < n ? stream_len - at : n, 0);
	else if (!strcmp(op, "splice"))
		spliced(n);
	else if (!strcmp(op, "printf"))
		stdio(n);
	else if (!strcmp(op, "writev") || !strcmp(op, "sendmsg"))
		vector(op, arg, flags_of(rest));
	else if (!strcmp(op, "sendmmsg"))
		messages(arg, flags_of(rest));
	else if (!strcmp(op, "recv"))
		receive(n);
	else if (!strcmp(op, "answer"))
		answer();
	else if (!strcmp(op, "say"))
		printf("%s\n", arg);
	else if (!strcmp(op, "shutdown"))
		shutdown(fd, SHUT_WR);
	else if (!strcmp(op, "close"))
		close(fd);
	else
		option(op, (int)n);
}

int main(int argc, char **argv)
{
	static char text[65536];
	struct stat st;
	FILE *script;

	app_start();
	if (argc < 3 || !(script = fopen(argv[1], "re")) ||
	    (file = open(argv[2], O_RDONLY | O_CLOEXEC)) < 0 || fstat(file, &st))
		return 2;
	stream_len = (size_t)st.st_size;
	stream = mmap(NULL, stream_len + 1, PROT_READ, MAP_PRIVATE, file, 0);
	conn = calloc(1, sizeof(*conn));
	while (fgets(text, sizeof(text), script)) {
		char *op, *arg, *end = text + strcspn(text, "\n");

		line++;
		*end = 0;
		op = strtok(text, " ");
		if (!op)
			continue;
		arg = strtok(NULL, " ");
		run(op, arg, arg && arg + strlen(arg) < end ? arg + strlen(arg) + 1 : end);
	}
	fclose(script);
	close(file);
	printf("done %zu\n", at);
	return app_finish(at != stream_len);
}
