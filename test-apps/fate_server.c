/* fate_server [UPSTREAM]: a thread per connection; the first part of the path says how a request ends: /error/… 500,
 * /slow/… 200 after 60 ms, /lost/… 200 although its call is refused, everything else 200. Calls the upstream unless it
 * is /lost/. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

static int upstream;

static int starts(const char *path, const char *prefix) { return !strncmp(path, prefix, strlen(prefix)); }

static int answer(struct app_conn *c, const struct app_head *head)
{
	char body[1024];
	int status = 200;

	if (starts(head->target, "/lost/"))
		(void)app_call(1, "GET", "/refused", "", body, sizeof(body)); /* nobody listens on port 1 */
	else
		status = app_upstream(upstream, head, body, sizeof(body));
	if (starts(head->target, "/slow/"))
		usleep(60000);
	if (starts(head->target, "/error/"))
		status = 500;
	return app_reply(c->fd, status < 0 ? 502 : status, "fate", head->close);
}

static void *serve(void *arg)
{
	struct app_conn *c = malloc(sizeof(*c));
	struct app_head head;

	c->fd = (int)(intptr_t)arg;
	c->len = 0;
	while (app_read_head(c, &head) == 1)
		if (app_read_body(c, &head, NULL, 0) < 0 || answer(c, &head) || head.close)
			break;
	close(c->fd);
	free(c);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t attr;
	int listener;

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	listener = app_listen();
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while (!app_stopped) {
		int fd = accept(listener, NULL, NULL);
		pthread_t thread;

		if (fd >= 0 && pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd))
			close(fd);
	}
	close(listener);
	return app_finish(0);
}
