/* Rows 114 to 117: each kind of end keeps its status; a child that only exits delivers nothing and waits for nobody. */
#include "hostile.h"

static void at_exit(void)
{
	(void)!write(1, "[atexit]", 8);
}

__attribute__((destructor)) static void at_end(void)
{
	(void)!write(1, "[dtor]", 6);
}

int main(void)
{
	int fd[2];
	pid_t pid;

	atexit(at_exit);
	hostile_start(fd, NULL);
	fflush(stdout);
	for (int kind = 0; kind < 6; kind++) {
		pid = fork();
		if (!pid) {
			struct rlimit none = { 0, 0 };

			setrlimit(RLIMIT_CORE, &none);
			switch (kind) {
			case 0: exit(10);
			case 1: _exit(11);
			case 2: quick_exit(12);
			case 3: abort();
			case 4: raise(SIGKILL); break;
			case 5: execlp("true", "true", (char *)NULL);
			}
		}
		printf("%d: %d\n", kind, hostile_wait(pid));
		fflush(stdout);
	}
	return 9;
}
