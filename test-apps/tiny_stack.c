/* tiny_stack PORT: eight threads with the smallest stack there is, a request each; then one whose
 * signal handler on the smallest alternate stack makes the calls that a handler may make. */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app.h"

#define THREADS 8

static int port, pair[2];

/* Its own small code: app_call's buffers would fill such a stack by themselves. */
static void *request(void *arg)
{
	static const char text[] = "GET /tiny HTTP/1.1\r\nHost: leaf\r\nConnection: close\r\n\r\n";
	char *buf = arg;
	size_t have = 0;
	int fd = app_connect(port);
	ssize_t n;

	if (app_write_all(fd, text, sizeof(text) - 1))
		return NULL;
	while (have < 1023 && (n = read(fd, buf + have, 1023 - have)) > 0)
		have += (size_t)n;
	buf[have] = 0;
	close(fd);
	return buf;
}

static void on_signal(int sig)
{
	(void)sig;
	if (write(pair[0], "s", 1) != 1)
		_exit(3);
}

static int alternate_stack(void)
{
	stack_t stack = { .ss_size = (size_t)MINSIGSTKSZ };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	char byte = 0;

	stack.ss_sp = malloc(stack.ss_size);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || sigaltstack(&stack, NULL))
		return -1;
	sigaction(SIGUSR1, &act, NULL);
	raise(SIGUSR1);
	if (read(pair[1], &byte, 1) != 1 || byte != 's')
		return -1;
	close(pair[0]);
	close(pair[1]);
	stack.ss_flags = SS_DISABLE;
	if (sigaltstack(&stack, NULL))
		return -1;
	free(stack.ss_sp);
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];
	pthread_attr_t attr;
	int good = 0;

	app_start();
	if (argc < 2)
		return 2;
	port = atoi(argv[1]);
	pthread_attr_init(&attr);
	if (pthread_attr_setstacksize(&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN)))
		return 3;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], &attr, request, malloc(1024)))
			return 3;
	for (int i = 0; i < THREADS; i++) {
		void *answer = NULL;

		pthread_join(thread[i], &answer);
		good += answer && !strncmp(answer, "HTTP/1.1 200", 12);
		free(answer);
	}
	printf("%d of %d threads\n", good, THREADS);
	printf("alternate stack %s\n", alternate_stack() ? "failed" : "ok");
	return app_finish(good != THREADS);
}
