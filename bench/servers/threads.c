/* A server with a thread per connection: read, write per request.
 * threads [PORT]: prints its port, answers until it is killed. */
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/measure.h"

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[4096];

	while (read(fd, buf, sizeof(buf)) > 0)
		if (write(fd, measure_response, measure_response_len) < 0)
			break;
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at;
	int listener = measure_listen(&at, argc > 1 ? (unsigned)atoi(argv[1]) : 0), fd;
	pthread_attr_t attr;
	pthread_t thread;

	measure_raise_fd_limit();
	measure_make_response();
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0)
		if (pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd))
			measure_die("pthread_create");
	measure_die("accept");
}
