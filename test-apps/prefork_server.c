/* prefork_server UPSTREAM [WORKERS]: workers share the listener and serve one connection at a time;
 * the parent starts a new one for each that dies. Upstream 0: answers with its process id. */
#include <errno.h>
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
	while (!app_stopped) {
		pid_t dead = waitpid(-1, NULL, 0);

		for (int i = 0; i < count && dead > 0 && !app_stopped; i++)
			if (workers[i] == dead)
				workers[i] = spawn();
	}
	for (int i = 0; i < count; i++)
		kill(workers[i], SIGTERM);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	close(listener);
	return app_finish(0);
}
