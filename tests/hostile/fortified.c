/* Row 31: built with -D_FORTIFY_SOURCE=2, so that __read_chk, __recv_chk, __recvfrom_chk and __poll_chk are called. */
#include "hostile.h"

int main(int argc, char **argv)
{
	char buf[64];
	struct pollfd p[2];
	int fd[2];
	size_t n = (size_t)argc * 8;

	hostile_start(fd, NULL);
	(void)argv;
	for (int i = 0; i < 3; i++)
		hostile_send(fd[0], "12345678", 8);
	p[0] = p[1] = (struct pollfd){ .fd = fd[1], .events = POLLIN };
	CHECK(poll(p, (nfds_t)argc, 1000) == argc);
	CHECK(read(fd[1], buf, n) == 8);
	CHECK(recv(fd[1], buf, n, 0) == 8);
	CHECK(recvfrom(fd[1], buf, n, 0, NULL, NULL) == 8);
	puts("fortified");
	fflush(stdout);
	if (getenv("OVERFLOW"))
		CHECK(read(fd[1], buf, n * 100) == 0); /* must abort as without us */
	return 0;
}
