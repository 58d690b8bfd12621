#pragma once
/* What the two files of the stress host share: HTTP/1 over sockets of any kind, checked byte by
 * byte, and the accounts that all processes of the host write to. */
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_BODY_MAX 20000

/* In memory that all processes share. `exact` exchanges are made by threads that nobody cancels:
 * each is reported once, by both sides. */
struct host_accounts {
	_Atomic uint64_t exact_served, exact_called;
	_Atomic uint64_t chaos; /* exchanges begun that may be cut in two */
	_Atomic uint64_t signals, cancels, forks, passed, ranges, loads, threads;
	_Atomic uint64_t headers; /* requests that arrived with a header of the library's */
	_Atomic uint64_t bad;
};

extern struct host_accounts *host;
extern _Atomic bool host_over;
extern struct sockaddr_in host_addr; /* of the server of this process */

#define HOST_CHECK(x) \
	do { \
		if (!(x)) { \
			dprintf(1, "%s:%d: not so: %s (errno %d, process %d)\n", __FILE__, \
				__LINE__, #x, errno, getpid()); \
			atomic_fetch_add(&host->bad, 1); \
		} \
	} while (0)

/* -- host.c -- */

/* A connected TCP socket, whatever signals come; -1 when the server is gone. */
int host_connect(const struct sockaddr_in *to);
/* Makes one exchange and checks what comes back. path: "/exact", or another for those that do not
 * count. returns false when the peer ended the connection */
bool host_call(int fd, const char *path, uint64_t number);
/* Serves requests until the peer ends the connection; closes it. */
void host_serve(int fd);
/* Listens; returns the descriptor. */
int host_listen(struct sockaddr_in *ret_addr);
/* Small pieces go out at once. */
void host_no_delay(int fd);
bool host_send_all(int fd, const void *bytes, size_t len);

/* -- chaos.c -- */

/* Starts the timers and the threads that disturb; stack: bytes of their stacks. */
void chaos_start(size_t stack);
void chaos_stop(void);
