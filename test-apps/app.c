#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

volatile sig_atomic_t app_stopped;

static void app_on_stop(int sig)
{
	(void)sig;
	app_stopped = 1;
}

void app_start(void)
{
	struct sigaction stop = { .sa_handler = app_on_stop };

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	alarm(60);
}

static int app_by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

/* Waits until the file that $APP_HOLD names is there. */
static int app_hold(int status)
{
	const char *path = getenv("APP_HOLD");

	while (path && access(path, F_OK) && !app_stopped)
		usleep(2000);
	return status;
}

int app_finish(int status)
{
	const char *path = getenv("APP_FDS");
	int fds[4096], count = 0;
	DIR *dir;
	FILE *out;

	fflush(stdout);
	if (!path || !(dir = opendir("/proc/self/fd")))
		return app_hold(status);
	for (struct dirent *e; (e = readdir(dir)) && count < 4096;)
		if (isdigit((unsigned char)e->d_name[0]) && atoi(e->d_name) != dirfd(dir))
			fds[count++] = atoi(e->d_name);
	closedir(dir);
	qsort(fds, (size_t)count, sizeof(int), app_by_number);
	out = fopen(path, "w");
	if (!out)
		return app_hold(status);
	for (int i = 0; i < count; i++)
		fprintf(out, "%d\n", fds[i]);
	fclose(out);
	return app_hold(status);
}

static struct sockaddr_in app_loopback(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

int app_listen(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in addr = app_loopback(0);
	socklen_t len = sizeof(addr);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, len) || listen(fd, 512) ||
	    getsockname(fd, (struct sockaddr *)&addr, &len)) {
		perror("listen");
		exit(2);
	}
	printf("port %d\n", ntohs(addr.sin_port));
	fflush(stdout);
	return fd;
}

int app_nonblock(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

int app_connect(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = app_loopback(port);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

int app_connect_begin(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = app_loopback(port);

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) && errno != EINPROGRESS)
		perror("connect");
	return fd;
}

int app_write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void app_take_header(struct app_head *head, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	const char *value;
	size_t name, size;

	if (!colon)
		return;
	name = (size_t)(colon - line);
	for (value = colon + 1; value < line + len && *value == ' ';)
		value++;
	size = (size_t)(line + len - value);
	if (name == 14 && !strncasecmp(line, "content-length", name))
		head->content_length = strtol(value, NULL, 10);
	else if (name == 17 && !strncasecmp(line, "transfer-encoding", name))
		head->chunked = true;
	else if (name == 10 && !strncasecmp(line, "connection", name))
		head->close = size >= 5 && !strncasecmp(value, "close", 5);
	else if (name == 7 && !strncasecmp(line, "upgrade", name))
		head->upgrade = true;
	else if (name == 7 && !strncasecmp(line, "x-truth", name) && size < sizeof(head->truth)) {
		memcpy(head->truth, value, size);
		head->truth[size] = 0;
	}
}

long app_parse(const char *buf, size_t len, struct app_head *head)
{
	const char *end = memmem(buf, len, "\r\n\r\n", 4);
	char line[640];
	size_t first;

	if (!end)
		return len >= APP_BUF ? -1 : 0;
	memset(head, 0, sizeof(*head));
	head->content_length = -1;
	head->bytes = (size_t)(end - buf) + 4;
	first = (size_t)((const char *)memmem(buf, len, "\r\n", 2) - buf);
	if (first >= sizeof(line))
		return -1;
	memcpy(line, buf, first);
	line[first] = 0;
	if (sscanf(line, "HTTP/1.%*d %d", &head->status) != 1 &&
	    sscanf(line, "%15s %511s HTTP/1.", head->method, head->target) != 2)
		return -1;
	for (const char *p = buf + first + 2; p < end + 2;) {
		const char *stop = memmem(p, (size_t)(end + 2 - p), "\r\n", 2);

		app_take_header(head, p, (size_t)(stop - p));
		p = stop + 2;
	}
	return (long)head->bytes;
}

static ssize_t app_fill(struct app_conn *c)
{
	ssize_t n;

	if (c->len == APP_BUF)
		return -1;
	do
		n = read(c->fd, c->buf + c->len, APP_BUF - c->len);
	while (n < 0 && errno == EINTR && !app_stopped);
	if (n > 0)
		c->len += (size_t)n;
	c->buf[c->len] = 0;
	return n;
}

int app_read_head(struct app_conn *c, struct app_head *head)
{
	for (;;) {
		long n = app_parse(c->buf, c->len, head);
		ssize_t got;

		if (n)
			return n < 0 ? -1 : 1;
		got = app_fill(c);
		if (got <= 0)
			return got == 0 && c->len == 0 ? 0 : -1;
	}
}

static void app_take(struct app_conn *c, size_t n)
{
	c->len -= n;
	memmove(c->buf, c->buf + n, c->len + 1);
}

/* Takes one line off the buffer. returns its length without the end, -1 trouble */
static long app_take_line(struct app_conn *c, char *line, size_t cap)
{
	char *end;
	size_t len;

	while (!(end = memmem(c->buf, c->len, "\r\n", 2)))
		if (app_fill(c) <= 0)
			return -1;
	len = (size_t)(end - c->buf);
	snprintf(line, cap, "%.*s", (int)len, c->buf);
	app_take(c, len + 2);
	return (long)len;
}

static long app_read_chunks(struct app_conn *c, char *body, size_t cap)
{
	char line[128];
	long have = 0, size;

	while (app_take_line(c, line, sizeof(line)) > 0 && (size = strtol(line, NULL, 16)) > 0) {
		for (long left = size, n; left; left -= n, have += n) {
			if (!c->len && app_fill(c) <= 0)
				return -1;
			n = c->len < (size_t)left ? (long)c->len : left;
			if ((size_t)(have + n) + 1 < cap) {
				memcpy(body + have, c->buf, (size_t)n);
				body[have + n] = 0;
			}
			app_take(c, (size_t)n);
		}
		if (app_take_line(c, line, sizeof(line)) != 0)
			return -1;
	}
	while ((size = app_take_line(c, line, sizeof(line))) > 0)
		;
	return size < 0 ? -1 : have;
}

long app_read_body(struct app_conn *c, const struct app_head *head, char *body, size_t cap)
{
	long want = head->content_length, have = 0;
	bool none = head->status ? head->status < 200 || head->status == 204 || head->status == 304
				 : want < 0;

	app_take(c, head->bytes);
	if (cap)
		body[0] = 0;
	if (head->chunked && (!head->status || head->status == 200))
		return app_read_chunks(c, body, cap);
	if (none)
		return 0;
	while (want < 0 || have < want) {
		size_t n = c->len;

		if (!n) {
			ssize_t got = app_fill(c);

			if (got == 0 && want < 0)
				break;
			if (got <= 0)
				return -1;
			n = c->len;
		}
		if (want >= 0 && n > (size_t)(want - have))
			n = (size_t)(want - have);
		if ((size_t)have + n + 1 < cap) {
			memcpy(body + have, c->buf, n);
			body[have + (long)n] = 0;
		}
		have += (long)n;
		app_take(c, n);
	}
	return have;
}

/* The final one: what only announces it (100 Continue, 103 Early Hints) is passed over. */
static int app_read_answer(struct app_conn *c, struct app_head *head)
{
	int r;

	while ((r = app_read_head(c, head)) == 1 && head->status >= 100 && head->status < 200 &&
	       head->status != 101)
		app_take(c, head->bytes);
	return r;
}

int app_call(int port, const char *method, const char *path, const char *extra, char *body,
	     size_t cap)
{
	struct app_conn *c = malloc(sizeof(*c));
	struct app_head head;
	char text[1024];
	int n, status = -1;

	c->len = 0;
	c->fd = app_connect(port);
	if (c->fd < 0) {
		free(c);
		return -1;
	}
	n = snprintf(text, sizeof(text),
		     "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%sConnection: close\r\n\r\n", method,
		     path, port, extra);
	if (app_write_all(c->fd, text, (size_t)n) == 0 && app_read_answer(c, &head) == 1) {
		if (!strcmp(method, "HEAD"))
			head.content_length = 0;
		if (app_read_body(c, &head, body, cap) >= 0)
			status = head.status;
	}
	close(c->fd);
	free(c);
	return status;
}

int app_upstream_text(const struct app_head *request, char *text, size_t cap)
{
	const char *last = strrchr(request->target, '/');
	int n = snprintf(text, cap, "GET /leaf/%.200s HTTP/1.1\r\nHost: leaf\r\n",
			 last ? last + 1 : "");

	if (request->truth[0])
		n += snprintf(text + n, cap - (size_t)n, "X-Truth: %s\r\n", request->truth);
	return n + snprintf(text + n, cap - (size_t)n, "\r\n");
}

int app_upstream(int port, const struct app_head *request, char *body, size_t cap)
{
	char path[256], extra[128] = "";
	const char *last = strrchr(request->target, '/');

	if (!port) {
		snprintf(body, cap, "hello");
		return 200;
	}
	snprintf(path, sizeof(path), "/leaf/%.200s", last ? last + 1 : "");
	if (request->truth[0])
		snprintf(extra, sizeof(extra), "X-Truth: %s\r\n", request->truth);
	return app_call(port, "GET", path, extra, body, cap);
}

int app_reply_text(char *out, size_t cap, int status, const char *body, bool close)
{
	return snprintf(
		out, cap,
		"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n%s",
		status, status < 400 ? "OK" : "Error", strlen(body),
		close ? "Connection: close\r\n" : "", body);
}

int app_reply(int fd, int status, const char *body, bool close)
{
	char out[2048];
	int n = app_reply_text(out, sizeof(out), status, body, close);

	return app_write_all(fd, out, (size_t)n);
}

void app_serve(int fd, int upstream)
{
	struct app_conn *c = malloc(sizeof(*c));
	struct app_head head;
	char body[1024];

	c->fd = fd;
	c->len = 0;
	while (app_read_head(c, &head) == 1) {
		int status;

		if (app_read_body(c, &head, NULL, 0) < 0)
			break;
		status = app_upstream(upstream, &head, body, sizeof(body));
		if (status < 0)
			snprintf(body, sizeof(body), "no upstream");
		if (app_reply(fd, status < 0 ? 502 : 200, body, head.close) || head.close)
			break;
	}
	close(fd);
	free(c);
}
