/* spawn_client PORT: on one connection, requests around children that are made by vfork,
 * posix_spawn, fork without exec and system; the children close or replace the connection's number
 * on their side only. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app.h"

extern char **environ;

static struct app_conn *conn;

static int ask(const char *what)
{
	struct app_head head = { 0 };
	char text[256], body[256];
	int n = snprintf(text, sizeof(text), "GET /spawn/%s HTTP/1.1\r\nHost: leaf\r\n\r\n", what);

	if (app_write_all(conn->fd, text, (size_t)n) || app_read_head(conn, &head) != 1 ||
	    app_read_body(conn, &head, body, sizeof(body)) < 0)
		head.status = -1;
	printf("%s: %d\n", what, head.status);
	fflush(stdout);
	return head.status != 200;
}

static int ended(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

static int by_vfork(int fd)
{
	pid_t pid = vfork();

	if (pid == 0) {
		close(fd);
		dup2(1, fd);
		close_range(3, ~0U, 0);
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	return ended(pid);
}

static int by_spawn(int fd)
{
	posix_spawn_file_actions_t actions;
	char *const argv[] = { "true", NULL };
	pid_t pid;
	int bad;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	bad = posix_spawn(&pid, "/bin/true", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return bad || ended(pid);
}

/* A child that makes a request of its own and leaves by `leave`. */
static int by_fork(int port, const char *path, void (*leave)(int))
{
	char body[256];
	pid_t pid = fork();

	if (pid == 0)
		leave(app_call(port, "GET", path, "", body, sizeof(body)) == 200 ? 0 : 1);
	return ended(pid);
}

int main(int argc, char **argv)
{
	int bad = 0, port;

	app_start();
	if (argc < 2)
		return 2;
	port = atoi(argv[1]);
	conn = calloc(1, sizeof(*conn));
	conn->fd = app_connect(port);
	bad += ask("first") + by_vfork(conn->fd);
	bad += ask("vfork") + by_spawn(conn->fd);
	bad += ask("posix_spawn") + by_fork(port, "/spawn/child", exit);
	bad += ask("fork") + by_fork(port, "/spawn/child", _exit);
	bad += ask("fork-again") + (system("exit 0") != 0);
	bad += ask("system");
	close(conn->fd);
	free(conn);
	return app_finish(bad);
}
