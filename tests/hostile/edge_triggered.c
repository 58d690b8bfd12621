/* Rows 76, 77, 79: an edge-triggered client with a small send buffer and a slow reader; every byte must arrive as
 * it was sent, and every EAGAIN must be the kernel's. FIONREAD is asked before each read. */
#include "hostile.h"

#define BODY (3 << 20)

static void *reader(void *arg)
{
	int fd = *(int *)arg, waiting;
	static unsigned char buf[7000];
	size_t total = 0;
	uint32_t sum = 1;

	for (;;) {
		ssize_t n;

		CHECK(ioctl(fd, FIONREAD, &waiting) == 0);
		n = read(fd, buf, 1 + total % sizeof(buf));
		CHECK(n >= 0);
		CHECK(n >= waiting || n == (ssize_t)(1 + (total % sizeof(buf))));
		if (!n)
			break;
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 31 + buf[i];
		total += (size_t)n;
	}
	printf("%zu %08x\n", total, sum);
	return NULL;
}

int main(void)
{
	static char out[BODY];
	int fd[2], size = 4096, ep;
	struct epoll_event ev = { .events = EPOLLOUT | EPOLLET };
	size_t done = 0, len;
	pthread_t t;

	hostile_start(fd, NULL);
	len = (size_t)snprintf(out, sizeof(out), "POST /up HTTP/1.1\r\nHost: x\r\ntraceparent: "
			       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: %d\r\n\r\n", BODY / 2);
	for (size_t i = 0; i < BODY / 2; i++)
		out[len + i] = (char)(i * 7 + i / 251);
	len += BODY / 2;
	CHECK(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	CHECK(fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0);
	ep = epoll_create1(0);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev) == 0);
	CHECK(pthread_create(&t, NULL, reader, &fd[1]) == 0);
	while (done < len) {
		CHECK(epoll_wait(ep, &ev, 1, 5000) == 1);
		for (;;) {
			ssize_t n = write(fd[0], out + done, len - done < 9001 ? len - done : 9001);

			if (n < 0) {
				CHECK(errno == EAGAIN);
				break;
			}
			done += (size_t)n;
			if (done == len)
				break;
		}
	}
	CHECK(shutdown(fd[0], SHUT_WR) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	return 0;
}
