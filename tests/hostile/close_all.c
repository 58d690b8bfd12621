/* Rows 48, 54: a daemon closes everything there is, three ways, then goes on; and loops over numbers up to the
 * limit, which must cost next to nothing. */
#include "hostile.h"

int main(void)
{
	int fd[2], listener;
	struct rlimit lim;

	for (int way = 0; way < 4; way++) {
		hostile_start(fd, &listener);
		usleep(30000);
		if (way == 0)
			closefrom(3);
		else if (way == 1)
			CHECK(close_range(3, ~0u, 0) == 0);
		else if (way == 2)
			for (int i = 3; i < 70000; i++)
				close(i);
		else
			CHECK(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
		printf("%d: %d %d\n", way, fcntl(listener, F_GETFD), fcntl(3, F_GETFD));
		CHECK(dup(1) == (way == 3 ? dup(1) - 1 : 3));
		if (way == 3)
			closefrom(3);
		close(3);
		usleep(30000);
	}
	CHECK(getrlimit(RLIMIT_NOFILE, &lim) == 0);
	CHECK(close(-1) == -1 && errno == EBADF);
	CHECK(close(0x7fffffff) == -1 && errno == EBADF);
	for (int i = 0; i < 3000000; i++)
		close(100000000 + i);
	hostile_start(fd, &listener);
	hostile_last(listener);
	puts("closed all");
	return 0;
}
