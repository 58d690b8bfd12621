/* Rows 56, 60, 107: little address space, no file may grow, no process may be made. */
#include "hostile.h"

int main(void)
{
	struct rlimit as = { 64 << 20, 64 << 20 }, none = { 0, 0 };
	int fd[2], p[2];

	CHECK(setrlimit(RLIMIT_AS, &as) == 0);
	CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
	CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	hostile_start(fd, NULL);
	for (int i = 0; i < 100; i++)
		hostile_exchange(fd);
	CHECK(pipe(p) == 0 && write(p[1], "still here\n", 11) == 11);
	usleep(50000);
	hostile_exchange(fd);
	CHECK(getrlimit(RLIMIT_AS, &as) == 0 && as.rlim_cur == 64 << 20);
	CHECK(malloc(1 << 20));
	return 0;
}
