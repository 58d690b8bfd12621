/* prefork_server UPSTREAM [WORKERS]: workers share the listener and serve one connection at a time;
 * the parent starts a new one for each that dies. Upstream 0: answers with its process id. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app.h"

#define WORKERS_MAX 64

static int listener, upstream;

static void answer_pid(int fd)
{
	struct app_conn *c = malloc(sizeof(*c));
	struct app_head head;
	char body[32];

	c->fd = fd;
	c->len = 0;
	snprintf(body, sizeof(body), "%d", (int)getpid());
	while (app_read_head(c, &head) == 1 && app_read_body(c, &head, NULL, 0) >= 0)
		if (app_reply(fd, 200, body, head.close) || head.close)
			break;
	close(fd);
	free(c);
}

static void work(void)
{
	while (!app_stopped) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0 && errno != EINTR)
			break;
		if (fd < 0)
			continue;
		if (upstream)
			app_serve(fd, upstream);
		else
			answer_pid(fd);
	}
	_exit(0);
}

static pid_t spawn(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		alarm(60);
		work();
	}
	return pid;
}

int main(int argc, char **argv)
{
	pid_t workers[WORKERS_MAX];
	int count = argc > 2 ? atoi(argv[2]) : 4;

	app_start();
	upstream = argc > 1 ? atoi(argv[1]) : 0;
	listener = app_listen();
	for (int i = 0; i < count; i++)
		workers[i] = spawn();
	/* Looked at again and again: a signal that comes just before a blocking call would be missed. */
	while (!app_stopped) {
		for (int i = 0; i < count && !app_stopped; i++)
			if (workers[i] > 0 && waitpid(workers[i], NULL, WNOHANG) == workers[i])
				workers[i] = spawn();
		usleep(2000);
	}
	for (int left = count; left > 0; usleep(2000)) {
		left = 0;
		for (int i = 0; i < count; i++) {
			if (workers[i] > 0 && kill(workers[i], SIGTERM) == 0 && waitpid(workers[i], NULL, WNOHANG) == workers[i])
				workers[i] = 0;
			left += workers[i] > 0;
		}
	}
	close(listener);
	return app_finish(0);
}
