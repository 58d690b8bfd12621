/* Row 15: the library is not preloaded but opened, and closed, again and again, by a program that forks meanwhile; its
 * path is the argument. */
#include <dlfcn.h>

#include "hostile.h"

int main(int argc, char **argv)
{
	int fd[2], listener;

	alarm(20);
	for (int i = 0; argc > 1 && i < 20; i++) {
		void *lib = dlopen(argv[1], RTLD_NOW | (i % 2 ? RTLD_GLOBAL : RTLD_LOCAL));
		pid_t pid;

		CHECK(lib);
		CHECK(!dlclose(lib));
		pid = fork();
		if (!pid)
			exit(4);
		CHECK(hostile_wait(pid) == 4);
	}
	hostile_start(fd, &listener);
	hostile_last(listener);
	puts("opened and closed");
	return 0;
}
