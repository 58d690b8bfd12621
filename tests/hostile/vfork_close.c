/* Row 42: a vfork child closes, duplicates and replaces descriptors in its parent's memory; the parent's
 * connections must still be observed and work. */
#include <spawn.h>

#include "hostile.h"

extern char **environ;

int main(void)
{
	int fd[2], last[2], listener;
	posix_spawn_file_actions_t actions;
	char *argv[] = { (char *)"true", NULL };
	pid_t pid;

	hostile_start(fd, &listener);
	for (int i = 0; i < 50; i++) {
		pid = vfork();
		if (pid == 0) {
			close(fd[0]);
			dup2(fd[1], listener);
			close_range(3, ~0u, 0);
			_exit(7);
		}
		CHECK(hostile_wait(pid) == 7);
		hostile_exchange(fd);
	}
	CHECK(posix_spawn_file_actions_init(&actions) == 0);
	CHECK(posix_spawn_file_actions_addclose(&actions, fd[0]) == 0);
	CHECK(posix_spawn_file_actions_adddup2(&actions, fd[1], 0) == 0);
	CHECK(posix_spawnp(&pid, "true", &actions, NULL, argv, environ) == 0);
	CHECK(hostile_wait(pid) == 0);
	hostile_exchange(fd);
	hostile_last_begin(listener, last);
	pid = vfork();
	if (pid == 0) {
		dup2(fd[0], last[0]);
		dup3(last[0], last[1], 0);
		close(last[1]);
		_exit(7);
	}
	CHECK(hostile_wait(pid) == 7);
	hostile_last_end(last);
	CHECK(close(fd[0]) == 0 && close(fd[1]) == 0 && close(listener) == 0);
	CHECK(close(fd[0]) == -1 && errno == EBADF);
	puts("51 vfork children left no trace");
	return 0;
}
