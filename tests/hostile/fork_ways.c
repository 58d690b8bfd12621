/* Row 43: every way to make a process; in each child a served exchange must work and the child must end at once. */
#include "hostile.h"

pid_t _Fork(void) __attribute__((weak));

static int serve_in_child(void)
{
	int fd[2], listener;
	struct sockaddr_in addr;

	alarm(10);
	listener = hostile_listen(&addr);
	hostile_pair(listener, &addr, fd);
	hostile_exchange(fd);
	hostile_last(listener);
	close(listener);
	return 5;
}

static int in_child(void *arg)
{
	(void)arg;
	_exit(serve_in_child());
}

int main(int argc, char **argv)
{
	static char stack[65536] __attribute__((aligned(16)));
	int fd[2];
	pid_t pid;

	hostile_start(fd, NULL);
	pid = fork();
	if (!pid)
		exit(serve_in_child());
	CHECK(hostile_wait(pid) == 5);
	pid = fork();
	if (!pid)
		_exit(serve_in_child());
	CHECK(hostile_wait(pid) == 5);
	if (_Fork) {
		pid = _Fork();
		if (!pid)
			_exit(serve_in_child());
		CHECK(hostile_wait(pid) == 5);
	}
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		_exit(serve_in_child());
	CHECK(hostile_wait(pid) == 5);
	pid = clone(in_child, stack + sizeof(stack), SIGCHLD, NULL);
	CHECK(hostile_wait(pid) == 5);
	CHECK(system("true") == 0);
	pid = fork();
	if (!pid) {
		CHECK(daemon(1, 1) == 0);
		_exit(serve_in_child());
	}
	CHECK(hostile_wait(pid) == 0);
	hostile_exchange(fd);
	puts("all ways to fork");
	fflush(stdout);
	(void)argv;
	if (argc > 1) /* until a signal: somebody may want to see all spans arrive */
		alarm(60), pause();
	return 0;
}
