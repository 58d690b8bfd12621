/* thread_server [UPSTREAM]: a thread per connection; each request makes one blocking call upstream.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

static int upstream;

static void *serve(void *arg)
{
	app_serve((int)(intptr_t)arg, upstream);
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

		if (fd < 0 && errno == EINTR)
			continue;
		if (fd < 0)
			break;
		if (pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd))
			close(fd);
	}
	close(listener);
	return app_finish(0);
}
