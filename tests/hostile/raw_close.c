/* SYMBOLS 3, row 52: connections closed behind our back by syscall(SYS_close), their numbers used again by files,
 * pipes and new connections. */
#include "hostile.h"

int main(void)
{
	struct sockaddr_in addr;
	int listener, fd[2], p[2], file;
	char buf[32];

	alarm(20);
	listener = hostile_listen(&addr);
	for (int i = 0; i < 200; i++) {
		hostile_pair(listener, &addr, fd);
		hostile_send(fd[0], hostile_request, i % 2 ? sizeof(hostile_request) - 1 : 20);
		CHECK(syscall(SYS_close, fd[0]) == 0);
		file = open("/dev/zero", O_RDWR);
		if (file != fd[0]) { /* somebody else's descriptor was in the way */
			CHECK(syscall(SYS_dup3, file, fd[0], 0) == fd[0]);
			CHECK(syscall(SYS_close, file) == 0);
			file = fd[0];
		}
		CHECK(read(file, buf, sizeof(buf)) == sizeof(buf) && buf[0] == 0);
		CHECK(write(file, hostile_request, 10) == 10);
		CHECK(close(file) == 0);
		CHECK(syscall(SYS_close, fd[1]) == 0);
		CHECK(pipe(p) == 0);
		CHECK(write(p[1], "abc", 3) == 3 && read(p[0], buf, 3) == 3);
		CHECK(syscall(SYS_close, p[0]) == 0 && syscall(SYS_close, p[1]) == 0);
	}
	hostile_pair(listener, &addr, fd);
	hostile_exchange(fd);
	hostile_last(listener);
	puts("numbers used again");
	return 0;
}
