/* Row 55: more than FD_SETSIZE descriptors, select() with sets longer than fd_set, poll with many. */
#include "hostile.h"

int main(void)
{
	struct rlimit lim = { 4096, 4096 };
	struct sockaddr_in addr;
	int fd[2], listener, last = 0;
	unsigned long *in = calloc(4096 / 64, 8);
	struct pollfd *p = calloc(1500, sizeof(*p));
	struct timeval soon = { 5, 0 };

	if (setrlimit(RLIMIT_NOFILE, &lim))
		lim.rlim_cur = 0;
	hostile_start(fd, &listener);
	for (int i = 0; i < 1500; i++) {
		last = dup(fd[1]);
		CHECK(last >= 0);
		p[i] = (struct pollfd){ .fd = last, .events = POLLIN };
	}
	hostile_send(fd[0], "x", 1);
	in[last / 64] |= 1ul << (last % 64);
	CHECK(select(last + 1, (fd_set *)in, NULL, NULL, &soon) == 1);
	CHECK(poll(p, 1500, 1000) == 1500);
	hostile_read(last, 1);
	socklen_t len = sizeof(addr);
	CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
	hostile_pair(listener, &addr, fd);
	hostile_exchange(fd);
	hostile_last(listener);
	puts("high numbers");
	return 0;
}
