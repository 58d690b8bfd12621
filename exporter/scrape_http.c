/* The HTTP side of the metrics endpoint: evhttp, one connection at a time. While one is open the
 * listener is not asked for more; others wait in its backlog. A connection lives for one second at
 * most, whatever its client does.
 *
 * Replies say "close", but we wait for the client to do it: the side that closes first keeps the
 * port in TIME_WAIT, and the host may want it. A client that does not is reset once it has
 * everything. */
#include "exporter/scrape.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cjson/cJSON.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <event2/util.h>

#include "core/clock.h"
#include "core/lead.h"
#include "core/stats.h"
#include "core/sys.h"
#include "exporter/exporter.h"
#include "exporter/prom_text.h"
#include "exporter/status.h"

#define HTTP_HEADER_MAX  2048
#define HTTP_BODY_MAX    256
#define HTTP_DEADLINE_NS 1000000000ull
#define HTTP_LINGER_NS   250000000ull /* for the client to close after a reply */

static const struct timeval http_at_once = { 0, 0 }, http_look_again = { 0, 10000 };

static struct evhttp *http_server;
static struct evhttp_bound_socket *http_bound;
static struct event *http_timer;
static struct oa_prom_out http_text; /* of every scrape; a reply refers to it until it is sent */

static struct {
	struct bufferevent *bev; /* NULL: none is open */
	uint64_t since_ns;
	uint64_t replied_ns; /* when all was handed to the kernel */
	bool watched;        /* its end will be told */
	bool asked;          /* a request came to an end */
	bool answered;
} http_conn;

/* libevent accepts and closes by these two (linker's --wrap, see meson.build), so that the
 * connection has a high number and is checked to be ours like all our descriptors. */
int __wrap_evutil_accept4_(int fd, struct sockaddr *peer, socklen_t *peer_len, int flags);
int __wrap_evutil_closesocket(int fd);

static void http_on_lost(void *arg, int fd)
{
	struct bufferevent *bev = http_conn.bev;

	(void)arg, (void)fd;
	if (!bev)
		return;
	/* evhttp would shut the number down when it frees the connection: it is left behind
	 * instead. */
	bufferevent_disable(bev, EV_READ | EV_WRITE);
	bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
	bufferevent_setfd(bev, -1);
}

int __wrap_evutil_accept4_(int fd, struct sockaddr *peer, socklen_t *peer_len, int flags)
{
	long got = oa_loop_fd_check(fd)
			   ? oa_sys4(SYS_accept4, fd, peer, peer_len, flags | SOCK_CLOEXEC)
			   : -EBADF;

	if (got >= 0)
		got = oa_loop_fd_adopt((int)got, http_on_lost, NULL);
	if (got >= 0)
		return (int)got;
	errno = (int)-got;
	return -1;
}

int __wrap_evutil_closesocket(int fd)
{
	oa_loop_fd_close(fd);
	return 0;
}

static void http_listener_enable(bool on)
{
	struct evconnlistener *l = http_bound ? evhttp_bound_socket_get_listener(http_bound) : NULL;

	if (l)
		(void)(on ? evconnlistener_enable(l)
			  : evconnlistener_disable(l)); /* fails without memory only */
}

/* The connection is gone: the next, please. */
static void http_conn_done(void)
{
	if (!http_conn.bev)
		return;
	if (http_conn.answered && !http_conn.asked)
		oa_stat_inc(OA_STAT_scrapes_refused);
	bufferevent_decref(http_conn.bev);
	memset(&http_conn, 0, sizeof(http_conn));
	(void)evtimer_del(http_timer);
	http_listener_enable(true);
}

static void http_on_close(struct evhttp_connection *c, void *arg)
{
	(void)c, (void)arg;
	http_conn_done();
}

/* What evhttp has set up for the connection; false when it is freed already. */
static bool http_conn_handler(bufferevent_event_cb *ret_on_event,
			      struct evhttp_connection **ret_conn)
{
	void *arg = NULL;

	*ret_on_event = NULL;
	bufferevent_getcb(http_conn.bev, NULL, NULL, ret_on_event, &arg);
	*ret_conn = arg;
	return *ret_on_event != NULL;
}

/* Ends it by a reset, which leaves no TIME_WAIT; evhttp is told that the client went away. */
static void http_conn_cut(void)
{
	const struct linger reset = { .l_onoff = 1 };
	struct evhttp_connection *c;
	bufferevent_event_cb on_event;
	int fd = (int)bufferevent_getfd(http_conn.bev);

	if (!http_conn.replied_ns)
		oa_stat_inc(OA_STAT_scrapes_refused);
	http_conn.asked = true; /* is counted */
	if (oa_loop_fd_check(fd))
		(void)oa_sys5(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (http_conn_handler(&on_event, &c))
		on_event(http_conn.bev, BEV_EVENT_EOF | BEV_EVENT_READING, c);
	http_conn_done();
}

static bool http_conn_all_arrived(void)
{
	int waiting = 0, fd = (int)bufferevent_getfd(http_conn.bev);

	return oa_sys3(SYS_ioctl, fd, SIOCOUTQ, &waiting) < 0 || waiting == 0;
}

/* Every 10 ms while a connection is open. */
static void http_on_timer(evutil_socket_t fd, short what, void *arg)
{
	uint64_t now = oa_now_ns();
	struct evhttp_connection *c;
	bufferevent_event_cb on_event;

	(void)fd, (void)what, (void)arg;
	oa_scrape_look_at_yield();
	if (!http_conn.bev)
		return;
	if (!http_conn_handler(&on_event, &c)) {
		http_conn_done();
		return;
	}
	if (!http_conn.watched)
		evhttp_connection_set_closecb(c, http_on_close, NULL);
	http_conn.watched = true;
	if (now - http_conn.since_ns >= HTTP_DEADLINE_NS ||
	    (http_conn.replied_ns && now - http_conn.replied_ns >= HTTP_LINGER_NS &&
	     http_conn_all_arrived()))
		http_conn_cut();
	else
		(void)evtimer_add(http_timer, &http_look_again);
}

static void http_on_output(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	(void)b, (void)arg;
	http_conn.answered |= info->n_added > 0;
}

/* evhttp asks for the transport of a connection that it has just accepted. */
static struct bufferevent *http_on_accept(struct event_base *base, void *arg)
{
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);

	(void)arg;
	if (!bev)
		return NULL;
	bufferevent_incref(bev);
	(void)evbuffer_add_cb(bufferevent_get_output(bev), http_on_output, NULL);
	http_conn.bev = bev;
	http_conn.since_ns = oa_now_ns();
	http_listener_enable(false);
	(void)evtimer_add(http_timer, &http_at_once);
	return bev;
}

static void http_on_sent(struct evhttp_request *req, void *arg)
{
	(void)req, (void)arg;
	http_conn.replied_ns = oa_now_ns();
}

/* What a reply's text is freed by; it is http_text's or cJSON's. */
static void http_keep_text(const void *text, size_t len, void *arg)
{
	(void)text, (void)len, (void)arg;
}

static void http_free_text(const void *text, size_t len, void *arg)
{
	(void)len, (void)arg;
	cJSON_free((void *)text);
}

static void http_reply(struct evhttp_request *req, int code, const char *reason, const char *type,
		       const char *text, size_t len, evbuffer_ref_cleanup_cb free_text)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *body = evbuffer_new();
	char length[OA_PROM_NUM_MAX + 1];

	*oa_prom_uint(length, len) = '\0';
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Content-Length", length);
	/* evhttp looks for exactly "close" in either direction and would close first. */
	evhttp_add_header(headers, "Connection", "close, close");
	evhttp_remove_header(evhttp_request_get_input_headers(req), "Connection");
	evhttp_request_set_on_complete_cb(req, http_on_sent, NULL);
	if (!body || evhttp_request_get_command(req) == EVHTTP_REQ_HEAD ||
	    evbuffer_add_reference(body, text, len, free_text, NULL) < 0)
		free_text(text, len, NULL);
	evhttp_send_reply(req, code, reason, body);
	if (body)
		evbuffer_free(body);
}

#define HTTP_TEXT "text/plain; charset=utf-8"

static void http_refuse(struct evhttp_request *req, int code, const char *reason)
{
	http_reply(req, code, reason, HTTP_TEXT, reason, strlen(reason), http_keep_text);
}

static void http_metrics(struct evhttp_request *req)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");
	struct oa_scrape_format format = oa_scrape_negotiate(oa_bytes_str(accept));

	http_text.openmetrics = format.openmetrics;
	oa_stat_inc(OA_STAT_scrapes);
	if (oa_prom_render(&http_text) < 0) {
		http_refuse(req, 503, "Out of memory");
		return;
	}
	http_reply(req, 200, "OK", format.content_type, http_text.mem, http_text.len,
		   http_keep_text);
}

static void http_health(struct evhttp_request *req)
{
	cJSON *health = cJSON_CreateObject();
	char *text = NULL;

	if (cJSON_AddStringToObject(health, "status", "ok") &&
	    cJSON_AddStringToObject(health, "version", OA_VERSION) &&
	    cJSON_AddNumberToObject(health, "pid", (double)oa_sys0(SYS_getpid)) &&
	    cJSON_AddBoolToObject(health, "leader", oa_lead_has()))
		text = cJSON_PrintUnformatted(health);
	cJSON_Delete(health);
	if (text)
		http_reply(req, 200, "OK", "application/json", text, strlen(text), http_free_text);
	else
		http_refuse(req, 503, "Out of memory");
}

static void http_status(struct evhttp_request *req)
{
	char *text = oa_status_json();

	if (text)
		http_reply(req, 200, "OK", "application/json", text, strlen(text), http_free_text);
	else
		http_refuse(req, 503, "Out of memory");
}

static void http_on_request(struct evhttp_request *req, void *arg)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;

	(void)arg;
	http_conn.asked = true;
	if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		http_refuse(req, 405, "Method Not Allowed");
	} else if (path && strcmp(path, "/metrics") == 0) {
		http_metrics(req);
	} else if (path && strcmp(path, "/healthz") == 0) {
		http_health(req);
	} else if (path && strcmp(path, "/api/status") == 0) {
		http_status(req);
	} else {
		http_refuse(req, 404, "Not Found");
	}
}

static int http_server_new(void)
{
	struct event_base *base = oa_loop_base();

	if (http_server)
		return 0;
	if (!http_timer && !(http_timer = evtimer_new(base, http_on_timer, NULL)))
		return -ENOMEM;
	http_server = evhttp_new(base);
	if (!http_server)
		return -ENOMEM;
	evhttp_set_max_headers_size(http_server, HTTP_HEADER_MAX);
	evhttp_set_max_body_size(http_server, HTTP_BODY_MAX);
	evhttp_set_allowed_methods(http_server, UINT16_MAX);
	evhttp_set_bevcb(http_server, http_on_accept, NULL);
	evhttp_set_gencb(http_server, http_on_request, NULL);
	return 0;
}

static void http_on_listener_error(struct evconnlistener *l, void *arg)
{
	(void)l, (void)arg;
	oa_scrape_on_listener_error();
}

int oa_scrape_http_start(int listen_fd)
{
	struct evconnlistener *l;
	int err = http_server_new();

	if (err)
		return err;
	l = evconnlistener_new(oa_loop_base(), NULL, NULL, 0, 0, listen_fd);
	if (!l)
		return -ENOMEM;
	http_bound = evhttp_bind_listener(http_server, l);
	if (!http_bound) {
		evconnlistener_free(l);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(l, http_on_listener_error);
	return 0;
}

void oa_scrape_http_stop(void)
{
	struct evhttp_bound_socket *bound = http_bound;

	http_bound = NULL;
	if (http_conn.bev)
		http_conn_cut();
	if (bound)
		evhttp_del_accept_socket(http_server, bound);
}

void oa_scrape_http_forget(void)
{
	http_server = NULL;
	http_bound = NULL;
	http_timer = NULL;
	memset(&http_text, 0, sizeof(http_text));
	memset(&http_conn, 0, sizeof(http_conn));
}
