/* The side thread's event loop: libevent on poll(), because poll needs no descriptor of its own, starts no
 * thread and asks no signal. Who does what in it is up to http_post.c and scrape.c. */
#include <errno.h>

#include <event2/event.h>

#include "exporter/exporter.h"
#include "exporter/loop.h"

static struct event_base *loop_base;
static struct event *loop_limit; /* bounds one turn */
static bool loop_over;           /* it did */

/* libevent opens a pipe for signals with every loop. We handle none, so (by the linker's --wrap, see
 * meson.build) the two descriptors are never made. */
int __wrap_evutil_make_internal_pipe_(int fd[2]);
int __wrap_evutil_make_internal_pipe_(int fd[2])
{
	fd[0] = fd[1] = -1;
	return 0;
}

static void loop_on_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	loop_over = true;
}

/* libevent's own messages would go to stderr. */
static void loop_on_message(int severity, const char *text)
{
	(void)severity, (void)text;
}

static struct event_base *loop_base_new(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (!cfg)
		return NULL;
	if (event_config_avoid_method(cfg, "epoll") == 0 && event_config_avoid_method(cfg, "select") == 0 &&
	    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
					       EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

int oa_loop_open(void)
{
	if (loop_base)
		return 0;
	event_set_log_callback(loop_on_message);
	loop_base = loop_base_new();
	if (!loop_base)
		return -ENOMEM;
	loop_limit = evtimer_new(loop_base, loop_on_limit, NULL);
	if (!loop_limit) {
		event_base_free(loop_base);
		loop_base = NULL;
		return -ENOMEM;
	}
	return 0;
}

struct event_base *oa_loop_base(void)
{
	return loop_base;
}

bool oa_loop_turn(unsigned max_wait_ms)
{
	struct timeval limit = { max_wait_ms / 1000, (max_wait_ms % 1000) * 1000 };

	if (!loop_base)
		return false;
	oa_loop_fd_verify();
	loop_over = false;
	if (max_wait_ms && evtimer_add(loop_limit, &limit) == 0) {
		(void)event_base_loop(loop_base, EVLOOP_ONCE);
		(void)evtimer_del(loop_limit);
	} else {
		(void)event_base_loop(loop_base, EVLOOP_NONBLOCK);
	}
	return event_base_get_max_events(loop_base, EVENT_BASE_COUNT_ACTIVE, true) > loop_over;
}

void oa_loop_forget(void)
{
	oa_loop_fd_forget();
	oa_curl_forget();
	loop_base = NULL;
	loop_limit = NULL;
}
