/* curl's multi interface inside the loop: curl says which sockets and which timer it waits for, the loop tells
 * it when they are ready. Sockets, also those of its resolver c-ares, are opened and closed through loop_fd.c. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <ares.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "core/sys.h"
#include "exporter/exporter.h"
#include "exporter/loop.h"

#define CURL_WATCHES 16 /* sockets curl may watch at once: OA_LOOP_FDS_MAX */

struct curl_watch {
	struct event ev;
	int fd; /* 0: free */
};

static struct {
	CURLM *multi;
	struct event *timer;
	struct curl_watch watch[CURL_WATCHES];
	struct oa_curl_transfer *transfers; /* under way */
} cl;

static bool curl_unlink(struct oa_curl_transfer *t)
{
	for (struct oa_curl_transfer **p = &cl.transfers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			return true;
		}
	return false;
}

static struct oa_curl_transfer *curl_transfer_of(CURL *easy)
{
	struct oa_curl_transfer *t = cl.transfers;

	while (t && t->easy != easy)
		t = t->next;
	return t;
}

static void curl_collect(void)
{
	CURLMsg *msg;
	int left;

	while (cl.multi && (msg = curl_multi_info_read(cl.multi, &left))) {
		struct oa_curl_transfer *t = curl_transfer_of(msg->easy_handle);
		int code = (int)msg->data.result;

		if (msg->msg != CURLMSG_DONE || !t)
			continue;
		(void)curl_multi_remove_handle(cl.multi, t->easy); /* msg is gone after this */
		(void)curl_unlink(t);
		t->done(t, code);
	}
}

static void curl_on_ready(evutil_socket_t fd, short what, void *arg)
{
	int running, mask = 0;

	(void)arg;
	if (what & EV_READ)
		mask |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		mask |= CURL_CSELECT_OUT;
	if (!cl.multi)
		return;
	(void)curl_multi_socket_action(cl.multi, fd, mask, &running);
	curl_collect();
}

static void curl_on_timer(evutil_socket_t fd, short what, void *arg)
{
	int running;

	(void)fd, (void)what, (void)arg;
	if (!cl.multi)
		return;
	(void)curl_multi_socket_action(cl.multi, CURL_SOCKET_TIMEOUT, 0, &running);
	curl_collect();
}

static int curl_set_timer(CURLM *multi, long ms, void *arg)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	(void)multi, (void)arg;
	if (ms < 0)
		return evtimer_del(cl.timer);
	return evtimer_add(cl.timer, &tv);
}

static struct curl_watch *curl_watch_find(int fd)
{
	for (unsigned i = 0; i < CURL_WATCHES; i++)
		if (cl.watch[i].fd == fd)
			return &cl.watch[i];
	return NULL;
}

static void curl_unwatch(struct curl_watch *w)
{
	(void)event_del(&w->ev);
	w->fd = 0;
}

static int curl_set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socketp)
{
	struct curl_watch *w = curl_watch_find(fd);
	short events = EV_PERSIST;

	(void)easy, (void)arg, (void)socketp;
	if (w)
		curl_unwatch(w);
	if (what == CURL_POLL_REMOVE)
		return 0;
	w = curl_watch_find(0);
	if (!w)
		return 0; /* never: more than loop_fd.c hands out */
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	w->fd = fd;
	if (event_assign(&w->ev, oa_loop_base(), fd, events, curl_on_ready, NULL) || event_add(&w->ev, NULL))
		w->fd = 0;
	return 0;
}

/* curl reads and writes its descriptors when a connection is closed (TLS), so the whole multi handle, and the
 * transfer in it, are left behind. Rare: programs that close everything do so when they start. */
static void curl_on_lost(void *arg, int fd)
{
	struct oa_curl_transfer *t;

	(void)arg, (void)fd;
	for (unsigned i = 0; i < CURL_WATCHES; i++)
		if (cl.watch[i].fd)
			curl_unwatch(&cl.watch[i]);
	if (cl.timer)
		(void)evtimer_del(cl.timer);
	cl.multi = NULL;
	while ((t = cl.transfers)) {
		cl.transfers = t->next;
		t->done(t, OA_CURL_LOST);
	}
}

static int curl_multi_open(void)
{
	if (cl.multi)
		return 0;
	if (!cl.timer)
		cl.timer = evtimer_new(oa_loop_base(), curl_on_timer, NULL);
	cl.multi = cl.timer ? curl_multi_init() : NULL;
	if (!cl.multi)
		return -ENOMEM;
	(void)curl_multi_setopt(cl.multi, CURLMOPT_SOCKETFUNCTION, curl_set_socket);
	(void)curl_multi_setopt(cl.multi, CURLMOPT_TIMERFUNCTION, curl_set_timer);
	(void)curl_multi_setopt(cl.multi, CURLMOPT_MAXCONNECTS, 6L);
	(void)curl_multi_setopt(cl.multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return 0;
}

int oa_curl_start(struct oa_curl_transfer *t)
{
	int err = oa_loop_base() ? curl_multi_open() : -ENODEV;

	if (err)
		return err;
	if (curl_multi_add_handle(cl.multi, t->easy) != CURLM_OK)
		return -EIO;
	t->next = cl.transfers;
	cl.transfers = t;
	return 0;
}

bool oa_curl_cancel(struct oa_curl_transfer *t)
{
	if (!curl_unlink(t))
		return true;
	oa_loop_fd_verify(); /* removing a transfer may close its connection */
	if (!cl.multi)
		return false;
	(void)curl_multi_remove_handle(cl.multi, t->easy);
	return true;
}

bool oa_loop_awaits(void) { return cl.transfers != NULL; }

static bool curl_may_write(void)
{
	for (unsigned i = 0; i < CURL_WATCHES; i++)
		if (cl.watch[i].fd && event_get_events(&cl.watch[i].ev) & EV_WRITE)
			return true;
	return false;
}

bool oa_loop_has_sent(void)
{
	for (const struct oa_curl_transfer *t = cl.transfers; t; t = t->next)
		if (t->talks)
			return false;
	return cl.transfers && !curl_may_write();
}

void oa_curl_forget(void)
{
	cl = (__typeof__(cl)){ 0 };
}

/* -- sockets -- */

static curl_socket_t curl_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	int fd = oa_loop_fd_open(addr->family, addr->socktype, addr->protocol, curl_on_lost, NULL);

	(void)arg, (void)purpose;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int curl_close_socket(void *arg, curl_socket_t fd)
{
	(void)arg;
	oa_loop_fd_close(fd);
	return 0;
}

void oa_curl_own_sockets(void *easy)
{
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, curl_open_socket);
	(void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, curl_close_socket);
}

/* -- c-ares, which curl starts out of our sight: its channels are made through a --wrap'ped init -- */

static ares_socket_t ares_on_socket(int domain, int type, int protocol, void *arg)
{
	int fd = oa_loop_fd_open(domain, type, protocol, curl_on_lost, NULL);

	(void)arg;
	if (fd < 0) {
		errno = -fd;
		return ARES_SOCKET_BAD;
	}
	return fd;
}

static int ares_on_close(ares_socket_t fd, void *arg)
{
	(void)arg;
	oa_loop_fd_close(fd);
	return 0;
}

static ssize_t ares_result(long n)
{
	if (n >= 0)
		return n;
	errno = (int)-n;
	return -1;
}

static int ares_on_connect(ares_socket_t fd, const struct sockaddr *addr, ares_socklen_t len, void *arg)
{
	(void)arg;
	return (int)ares_result(oa_sys3(SYS_connect, fd, addr, len));
}

static ares_ssize_t ares_on_recv(ares_socket_t fd, void *buf, size_t len, int flags, struct sockaddr *from,
				 ares_socklen_t *from_len, void *arg)
{
	(void)arg;
	return ares_result(oa_sys6(SYS_recvfrom, fd, (long)buf, (long)len, flags, (long)from, (long)from_len));
}

static ares_ssize_t ares_on_send(ares_socket_t fd, const struct iovec *iov, int count, void *arg)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };

	(void)arg;
	return ares_result(oa_sys3(SYS_sendmsg, fd, &msg, MSG_NOSIGNAL));
}

static const struct ares_socket_functions ares_functions = {
	.asocket = ares_on_socket,
	.aclose = ares_on_close,
	.aconnect = ares_on_connect,
	.arecvfrom = ares_on_recv,
	.asendv = ares_on_send,
};

int __real_ares_init_options(ares_channel *ret_channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *ret_channel, struct ares_options *options, int mask);
int __wrap_ares_init_options(ares_channel *ret_channel, struct ares_options *options, int mask)
{
	int status = __real_ares_init_options(ret_channel, options, mask);

	if (status == ARES_SUCCESS)
		ares_set_socket_functions(*ret_channel, &ares_functions, NULL);
	return status;
}

/* -- HTTP/2 without TLS: curl 7.88 puts a second HTTP/2 layer on a connection that has one when it is used again, and
 * breaks it so. Its own functions, by the linker's --wrap. -- */

struct Curl_easy;
struct connectdata;
bool Curl_conn_is_http2(const struct Curl_easy *data, const struct connectdata *conn, int index);
bool __real_Curl_http2_may_switch(struct Curl_easy *data, struct connectdata *conn, int index);
bool __wrap_Curl_http2_may_switch(struct Curl_easy *data, struct connectdata *conn, int index);
bool __wrap_Curl_http2_may_switch(struct Curl_easy *data, struct connectdata *conn, int index)
{
	return !Curl_conn_is_http2(data, conn, index) && __real_Curl_http2_may_switch(data, conn, index);
}
