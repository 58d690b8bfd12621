#pragma once
/* What the test programs share: listening, plain HTTP/1 and leaving in order. Nothing here knows of
 * tracing. Every program prints the same and ends the same with and without the preload. */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define APP_BUF 16384

extern volatile sig_atomic_t app_stopped; /* SIGTERM or SIGINT came */

/* Line-buffered output, SIGPIPE ignored, SIGTERM sets app_stopped and interrupts calls, SIGALRM
 * after a minute so that nothing hangs for ever. */
void app_start(void);

/* Writes the numbers of the open descriptors to the file that $APP_FDS names, then waits for the
 * file that $APP_HOLD names: a test that wants a short program's spans need not rely on what
 * happens at its exit. returns status */
int app_finish(int status);

/* Listens on a free port of 127.0.0.1 and prints "port N". Exits on trouble. */
int app_listen(void);
int app_nonblock(int fd);

/* A blocking connection to 127.0.0.1, or -1. */
int app_connect(int port);

/* A non-blocking one that is on its way: writable when it is there. */
int app_connect_begin(int port);

/* Writes all of it, whatever it takes, on a blocking descriptor. returns 0 or -1 */
int app_write_all(int fd, const void *buf, size_t len);

/* A connection with the bytes read from it that nobody has used yet. */
struct app_conn {
	int fd;
	size_t len;
	char buf[APP_BUF + 1];
};

/* The head of a request or response; text points into app_conn.buf until the next read. */
struct app_head {
	char method[16];
	char target[512];
	char truth[96];      /* X-Truth: who this request is, carried to every call made for it */
	int status;          /* responses only */
	long content_length; /* -1: none */
	bool chunked, close, upgrade;
	size_t bytes; /* of the head, in front of app_conn.buf */
};

/* Looks for a whole head in the first len bytes. returns its size, 0 not yet, -1 nonsense */
long app_parse(const char *buf, size_t len, struct app_head *head);

/* Reads until a whole head is in the buffer. returns 1, 0 end of stream before its first byte, -1
 * trouble */
int app_read_head(struct app_conn *c, struct app_head *head);

/* Takes the head and its body off the buffer; up to cap-1 bytes of the body go to `body`, ended by
 * NUL. returns the body's length or -1 */
long app_read_body(struct app_conn *c, const struct app_head *head, char *body, size_t cap);

/* One blocking call on a connection of its own; extra: more header lines or "". The body goes to
 * `body`. returns the status code or -1 */
int app_call(int port, const char *method, const char *path, const char *extra, char *body,
	     size_t cap);

/* The call that a server makes for a request: GET /leaf/<last part of the target>, with the same
 * X-Truth. Without an upstream (port 0) the body is "hello". */
int app_upstream(int port, const struct app_head *request, char *body, size_t cap);
/* Its request text. returns its length */
int app_upstream_text(const struct app_head *request, char *text, size_t cap);

int app_reply_text(char *out, size_t cap, int status, const char *body, bool close);
int app_reply(int fd, int status, const char *body, bool close);

/* Serves one blocking connection to its end, calling `upstream` for each request. */
void app_serve(int fd, int upstream);
